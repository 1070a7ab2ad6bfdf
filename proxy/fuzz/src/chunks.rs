//! The chunked coding, read whole and slowly (RFC 9112 section 7.1), with the bounds that `h1::chunked` documents.

use crate::head;

const SIZE_DIGITS_MAX: usize = 16;
const EXTENSION_BYTES_MAX: usize = 256;
const EXTENSIONS_BYTES_MAX: usize = 8 * 1024;
const TRAILERS_BYTES_MAX: usize = 8 * 1024;
const TRAILERS_MAX: usize = 64;

/// Fields that may not stand in a trailer section, as `Name::is_forbidden_in_trailers` documents them, beside the hop-by-hop ones.
const FORBIDDEN: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "max-forwards",
    "proxy-authorization",
    "set-cookie",
    "trailer",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// A whole body.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'b> {
    pub content: Vec<u8>,
    /// The body as it is without its extensions.
    pub frames: Vec<u8>,
    /// What follows the body.
    pub rest: &'b [u8],
}

/// The body at the front of `bytes`; `None`: it is not whole, or not one.
pub fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
    let (mut rest, mut content, mut frames, mut extensions) = (bytes, Vec::new(), Vec::new(), 0);
    loop {
        let (size_line, behind) = line(rest)?;
        let digits = size_line.iter().position(|&byte| byte == b';').unwrap_or(size_line.len());
        let (digits, extension) = size_line.split_at(digits);
        if let [b';', extension @ ..] = extension {
            let is_text = extension.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
            extensions += extension.len();
            if extension.is_empty() || !is_text || extension.len() > EXTENSION_BYTES_MAX {
                return None;
            }
        }
        if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || extensions > EXTENSIONS_BYTES_MAX {
            return None;
        }
        let size = digits
            .iter()
            .try_fold(0u128, |size, &digit| Some(size * 16 + u128::from(char::from(digit).to_digit(16)?)))?;
        frames.extend_from_slice(digits);
        frames.extend_from_slice(b"\r\n");
        rest = behind;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= rest.len())?;
        let (data, behind) = rest.split_at(size);
        content.extend_from_slice(data);
        frames.extend_from_slice(data);
        frames.extend_from_slice(b"\r\n");
        rest = behind.strip_prefix(b"\r\n")?;
    }
    let trailers = rest;
    let mut n = 0;
    loop {
        let (trailer, behind) = line(rest)?;
        rest = behind;
        if trailer.is_empty() {
            break;
        }
        n += 1;
        // The strict reading of a head serves: a start line, this line, an empty line.
        let as_head = [b"*\r\n", trailer, b"\r\n\r\n"].concat();
        let read = head::read(&as_head).ok()?;
        let name = &read.lines.first()?.name;
        if FORBIDDEN.contains(&&**name) || head::HOP_BY_HOP.contains(&&**name) {
            return None;
        }
    }
    let trailers = &trailers[..trailers.len() - rest.len()];
    if n > TRAILERS_MAX || trailers.len() > TRAILERS_BYTES_MAX {
        return None;
    }
    frames.extend_from_slice(trailers);
    Some(Decoded { content, frames, rest })
}

/// Up to the first CR LF; a lone CR or LF before it is an error.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    let is_clean = !line.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    is_clean.then_some((line, &bytes[end + 2..]))
}
