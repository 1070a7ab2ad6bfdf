//! The chunked transfer coding, decoded in place.
//!
//! ```text
//! Size --;--> Extension --CR--> SizeLf --size > 0--> Data --> DataCr --> DataLf --> Size
//!   `---------CR---------------^   `----size = 0---> Trailers --> Done
//! ```
//!
//! What goes on is either the frames as they came, without their extensions, or the data alone. Either way it is moved to the front of the same
//! memory; nothing moves while nothing is cut out.

use crate::http::Name;

/// Hex digits of a size: all that fit a u64, leading zeros among them.
const SIZE_DIGITS_MAX: u8 = 16;
/// Bytes of one chunk's extension, and of all extensions of a body. Extensions carry nothing for us, and senders of many use them to burn CPU.
const EXTENSION_BYTES_MAX: u32 = 256;
const EXTENSIONS_BYTES_MAX: u32 = 8 * 1024;
/// Bytes and field lines of the trailer section.
const TRAILERS_BYTES_MAX: usize = 8 * 1024;
const TRAILERS_MAX: usize = 64;

/// What of the coding goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Sizes, data, trailers: the next hop reads chunks too.
    Frames,
    /// Data alone.
    Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// A body in chunks, somewhere inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// The size being read, then the bytes of the chunk still to come.
    left: u64,
    digits: u8,
    extension: u32,
    extensions: u32,
}

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked { state: State::Size, left: 0, digits: 0, extension: 0, extensions: 0 }
    }
}

/// How far a decoder came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Piece {
    /// The first `kept` bytes of the memory go on.
    pub kept: usize,
    /// The first `consumed` bytes of what was given are used up.
    pub consumed: usize,
    /// Bytes of content among what was used up.
    pub content: u64,
}

/// Why a body is refused, with text for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    /// Its chunks are broken, or two parsers could read them differently.
    Malformed(&'static str),
    /// Its trailer section is over a bound.
    TrailersTooLarge(&'static str),
}

impl From<&'static str> for BadBody {
    fn from(detail: &'static str) -> BadBody {
        BadBody::Malformed(detail)
    }
}

const TRAILERS_TOO_LONG: BadBody = BadBody::TrailersTooLarge("a trailer section over 8 KiB (RFC 6585 5)");
const TOO_MANY_TRAILERS: BadBody = BadBody::TrailersTooLarge("more than 64 trailers (RFC 6585 5)");

/// Two places in the same memory: what has been read, and what is kept of it.
struct Cursor<'b> {
    bytes: &'b mut [u8],
    read: usize,
    kept: usize,
}

impl Cursor<'_> {
    fn pass(&mut self, n: usize, keep: bool) {
        if keep {
            if self.kept != self.read {
                self.bytes.copy_within(self.read..self.read + n, self.kept);
            }
            self.kept += n;
        }
        self.read += n;
    }
}

impl Chunked {
    /// Bytes of the present chunk that are still to come.
    pub fn announced(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes as much of `bytes` as there is; bytes behind the end of the body are left alone.
    ///
    /// A trailer section is used up only when it is whole: while it is not, `consumed` stays before it and the caller reads more.
    /// Source: RFC 9112 section 7.1.
    pub fn decode(&mut self, bytes: &mut [u8], keep: Keep) -> Result<Piece, BadBody> {
        let frames = keep == Keep::Frames;
        let mut content = 0;
        let mut at = Cursor { bytes, read: 0, kept: 0 };
        while let Some(&byte) = at.bytes.get(at.read) {
            match self.state {
                State::Size => {
                    match byte {
                        b'\r' if self.digits > 0 => self.state = State::SizeLf,
                        b';' if self.digits > 0 => {
                            (self.state, self.extension) = (State::Extension, 0);
                            at.pass(1, false);
                            continue;
                        }
                        _ => self.digit(byte)?,
                    }
                    at.pass(1, frames);
                }
                State::Extension => {
                    self.extension_byte(byte)?;
                    at.pass(1, frames && self.state == State::SizeLf);
                }
                State::SizeLf => {
                    if byte != b'\n' {
                        return Err("a chunk size line that does not end in CR LF (RFC 9112 7.1)".into());
                    }
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                    at.pass(1, frames);
                }
                State::Data => {
                    let n = self.left.min((at.bytes.len() - at.read) as u64);
                    at.pass(n as usize, true);
                    content += n;
                    self.left -= n;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::DataCr | State::DataLf => {
                    let (wanted, next) =
                        if self.state == State::DataCr { (b'\r', State::DataLf) } else { (b'\n', State::Size) };
                    if byte != wanted {
                        return Err("chunk data that is not followed by CR LF: its size is wrong (RFC 9112 7.1)".into());
                    }
                    (self.state, self.digits) = (next, 0);
                    at.pass(1, frames);
                }
                State::Trailers => match trailers(&at.bytes[at.read..])? {
                    Some(n) => {
                        at.pass(n, frames);
                        self.state = State::Done;
                    }
                    None => break,
                },
                State::Done => break,
            }
        }
        Ok(Piece { kept: at.kept, consumed: at.read, content })
    }

    fn digit(&mut self, byte: u8) -> Result<(), &'static str> {
        let Some(digit) = (byte as char).to_digit(16) else {
            return Err("a chunk size that is not hexadecimal (RFC 9112 7.1)");
        };
        self.digits += 1;
        if self.digits > SIZE_DIGITS_MAX {
            return Err("a chunk size of more than 16 digits (RFC 9112 7.1)");
        }
        self.left = if self.digits == 1 { 0 } else { self.left << 4 } | u64::from(digit);
        if self.left > i64::MAX as u64 {
            return Err("a chunk size that overflows (RFC 9112 7.1)");
        }
        Ok(())
    }

    fn extension_byte(&mut self, byte: u8) -> Result<(), &'static str> {
        match byte {
            b'\r' if self.extension > 0 => self.state = State::SizeLf,
            b'\t' | b' '..=b'~' => {
                self.extension += 1;
                self.extensions += 1;
                if self.extension > EXTENSION_BYTES_MAX || self.extensions > EXTENSIONS_BYTES_MAX {
                    return Err("chunk extensions over the bound (RFC 9112 7.1.1)");
                }
            }
            _ => return Err("a chunk extension that is empty or holds a control character (RFC 9112 7.1.1)"),
        }
        Ok(())
    }
}

/// The length of a whole trailer section, its empty line included; `None`: not whole yet.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, BadBody> {
    let mut line_at = 0;
    loop {
        let Some(lf) = memchr::memchr(b'\n', &bytes[line_at..]) else {
            return if bytes.len() < TRAILERS_BYTES_MAX { Ok(None) } else { Err(TRAILERS_TOO_LONG) };
        };
        let line_end = line_at + lf + 1;
        if line_end > TRAILERS_BYTES_MAX {
            return Err(TRAILERS_TOO_LONG);
        }
        if lf == 0 || bytes[line_end - 2] != b'\r' {
            return Err("a trailer line that ends in LF without CR (RFC 9112 2.2)".into());
        }
        if lf == 1 {
            check_trailers(&bytes[..line_end])?;
            return Ok(Some(line_end));
        }
        line_at = line_end;
    }
}

fn check_trailers(section: &[u8]) -> Result<(), BadBody> {
    let mut table = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    match httparse::parse_headers(section, &mut table) {
        Ok(httparse::Status::Complete((len, fields))) if len == section.len() => {
            match fields.iter().any(|field| Name::of(field.name.as_bytes()).is_forbidden_in_trailers()) {
                true => Err("a trailer that frames, routes or authenticates a message (RFC 9110 6.5.1)".into()),
                false => Ok(()),
            }
        }
        Err(httparse::Error::TooManyHeaders) => Err(TOO_MANY_TRAILERS),
        _ => Err("a malformed trailer section (RFC 9112 7.1.2)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INCOMPLETE: BadBody = BadBody::Malformed("incomplete");

    /// Feeds `input` in pieces of `step` bytes; what was kept, and what was left over.
    fn run(input: &[u8], keep: Keep, step: usize) -> Result<(Vec<u8>, Vec<u8>), BadBody> {
        let (mut decoder, mut kept, mut buffer) = (Chunked::default(), vec![], vec![]);
        for part in input.chunks(step) {
            buffer.extend_from_slice(part);
            let piece = decoder.decode(&mut buffer, keep)?;
            kept.extend_from_slice(&buffer[..piece.kept]);
            buffer.drain(..piece.consumed);
        }
        if decoder.is_done() { Ok((kept, buffer)) } else { Err(INCOMPLETE) }
    }

    #[test]
    fn data_and_frames_come_out_and_the_next_message_stays() {
        let input = b"5;ext=\"1\"\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for step in 1..=input.len() {
            assert_eq!(run(input, Keep::Data, step), Ok((b"hello world".to_vec(), b"GET /".to_vec())), "step {step}");
            let frames = b"5\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
            assert_eq!(run(input, Keep::Frames, step), Ok((frames.to_vec(), b"GET /".to_vec())), "step {step}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(257));
        for bad in [
            "",
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "11111111111111111\r\n",
            "ffffffffffffffff\r\n",
            "1;\r\na\r\n",
            "1;a\n\r\na\r\n",
            "1;a\rb\r\n",
            "1;\x01\r\n",
            &long,
            "0\r\nX : 1\r\n\r\n",
            "0\r\nContent-Length: 1\r\n\r\n",
            "0\r\nHost: a\r\n\r\n",
            "0\r\n X: 1\r\n\r\n",
            "0\r\nX: 1\n\r\n",
            "0\r\n\n",
            "0\r\n\rX",
        ] {
            for step in [1, 3, 1000] {
                let got = run(bad.as_bytes(), Keep::Frames, step);
                assert!(
                    got.is_err() && (got != Err(INCOMPLETE) || bad.is_empty() || bad == "0\r\n\rX"),
                    "{bad:?} {got:?}"
                );
            }
        }
    }

    #[test]
    fn bounds_hold_at_the_bound_and_not_beyond() {
        let with_extension = |n: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(n)).into_bytes();
        assert!(run(&with_extension(256), Keep::Data, 7).is_ok());
        assert!(run(&with_extension(257), Keep::Data, 7).is_err());
        let with_digits = |n: usize| format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(n - 1)).into_bytes();
        assert!(run(&with_digits(16), Keep::Data, 7).is_ok());
        assert!(run(&with_digits(17), Keep::Data, 7).is_err());
        let with_trailer = |n: usize| format!("0\r\nX: {}\r\n\r\n", "v".repeat(n - 7)).into_bytes();
        assert!(run(&with_trailer(TRAILERS_BYTES_MAX), Keep::Frames, 1000).is_ok());
        assert!(run(&with_trailer(TRAILERS_BYTES_MAX + 1), Keep::Frames, 1000).is_err());
        let without_cr = format!("0\r\nX: {}\n", "v".repeat(2 * TRAILERS_BYTES_MAX)).into_bytes();
        for step in [1000, without_cr.len()] {
            assert_eq!(run(&without_cr, Keep::Frames, step), Err(TRAILERS_TOO_LONG), "step {step}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_mean_the_same(input in prop::collection::vec(prop::sample::select(b"0123456789abcf;\r\n\r\n\r\n X:".to_vec()), 0..120), step in 1usize..40) {
            for keep in [Keep::Data, Keep::Frames] {
                let (whole, pieces) = (run(&input, keep, input.len().max(1)), run(&input, keep, step));
                prop_assert_eq!(whole.is_ok(), pieces.is_ok());
                if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
                    prop_assert_eq!(whole.0, pieces.0);
                }
            }
        }
    }
}
