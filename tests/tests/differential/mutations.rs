//! What is done to well-formed requests: blind damage, and what is known to confuse parsers ([`crate::literature`]).

use std::ops::Range;

use crate::literature::{CHUNK_LINES, CODINGS, LENGTHS, LINE_ENDS, LINES, filled_in};
use slipstream_tests::Rng;

type Mutate = fn(&mut Rng, &mut Vec<u8>);

/// Each changes the bytes of a connection, wherever it can.
pub const MUTATIONS: &[(&str, Mutate)] = &[
    ("a bit flipped", |rng, bytes| {
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }),
    ("a bit of the head flipped", |rng, bytes| {
        let at = rng.below(head_end(bytes));
        bytes[at] ^= 1 << rng.below(8);
    }),
    ("a special byte in the place of another", |rng, bytes| {
        let at = rng.below(bytes.len());
        bytes[at] = rng.pick(SPECIAL);
    }),
    ("a special byte put in", |rng, bytes| {
        let at = rng.below(bytes.len() + 1);
        bytes.insert(at, rng.pick(SPECIAL));
    }),
    ("a special byte put in at the edge of a word", |rng, bytes| {
        let edges: Vec<usize> = (1..bytes.len())
            .filter(|&at| bytes[at - 1].is_ascii_alphanumeric() != bytes[at].is_ascii_alphanumeric())
            .collect();
        if !edges.is_empty() {
            let at = rng.pick(&edges);
            bytes.insert(at, rng.pick(SPECIAL));
        }
    }),
    ("a byte taken out", |rng, bytes| {
        let at = rng.below(bytes.len());
        bytes.remove(at);
    }),
    ("a CR or LF taken out", |rng, bytes| {
        let ends: Vec<usize> = (0..bytes.len()).filter(|&at| matches!(bytes[at], b'\r' | b'\n')).collect();
        if !ends.is_empty() {
            bytes.remove(rng.pick(&ends));
        }
    }),
    ("a byte doubled", |rng, bytes| {
        let at = rng.below(bytes.len());
        bytes.insert(at, bytes[at]);
    }),
    ("cut short", |rng, bytes| bytes.truncate(1 + rng.below(bytes.len()))),
    ("a line doubled", |rng, bytes| {
        let line = line(rng, bytes);
        let doubled = bytes[line.clone()].to_vec();
        insert(bytes, line.end, &doubled);
    }),
    ("a line taken out", |rng, bytes| drop(bytes.drain(line(rng, bytes)))),
    ("a line moved", |rng, bytes| {
        let (from, to) = (line(rng, bytes), line(rng, bytes));
        let moved = bytes[from].to_vec();
        insert(bytes, to.start, &moved);
    }),
    ("a line folded", |rng, bytes| {
        let line = line(rng, bytes);
        let at = line.start + rng.below(line.len());
        insert(bytes, at, rng.pick(&[&b"\r\n "[..], b"\r\n\t", b"\n "]));
    }),
    ("an end of a line changed", |rng, bytes| {
        let line = line(rng, bytes);
        let end = line.start + bytes[line.clone()].trim_ascii_end().len();
        bytes.splice(end..line.end, rng.pick(LINE_ENDS).iter().copied());
    }),
    ("a space before a colon", |rng, bytes| {
        let line = line(rng, bytes);
        if let Some(colon) = bytes[line.clone()].iter().position(|&byte| byte == b':') {
            insert(bytes, line.start + colon, rng.pick(&[&b" "[..], b"\t", b"\x0b", b"\0", b"\r\n ", b"\xa0"]));
        }
    }),
    ("the case of a line changed", |rng, bytes| {
        let line = line(rng, bytes);
        for byte in &mut bytes[line] {
            if rng.percent(50) && byte.is_ascii_alphabetic() {
                *byte ^= 0x20;
            }
        }
    }),
    ("a line of the literature put in", |rng, bytes| {
        let at = line(rng, bytes).end;
        insert(bytes, at, rng.pick(LINES));
    }),
    ("a line of the literature in the place of framing", |rng, bytes| {
        if let Some(line) = framing_line(bytes) {
            bytes.splice(line, rng.pick(LINES).iter().copied());
        }
    }),
    ("a second framing line", |rng, bytes| {
        if let Some(line) = framing_line(bytes) {
            let second = [format!("Content-Length: {}\r\n", rng.below(50)), "Transfer-Encoding: chunked\r\n".into()];
            let at = if rng.percent(50) { line.start } else { line.end };
            insert(bytes, at, second[rng.below(2)].as_bytes());
        }
    }),
    ("another length", |rng, bytes| {
        if let Some(line) = named_line(bytes, b"content-length:") {
            bytes.splice(line, format!("Content-Length: {}\r\n", rng.below(60)).into_bytes());
        }
    }),
    ("a length written otherwise", |rng, bytes| {
        if let Some(line) = named_line(bytes, b"content-length:") {
            let number = bytes[line.clone()][b"content-length:".len()..].trim_ascii();
            let value = filled_in(rng.pick(LENGTHS), number);
            bytes.splice(line, [&b"Content-Length:"[..], &value, b"\r\n"].concat());
        }
    }),
    ("another coding", |rng, bytes| {
        if let Some(line) = named_line(bytes, b"transfer-encoding:") {
            bytes.splice(line, [&b"Transfer-Encoding:"[..], rng.pick(CODINGS), b"\r\n"].concat());
        }
    }),
    ("a chunk size written otherwise", |rng, bytes| {
        let mut sizes = lines(bytes);
        sizes.retain(|line| {
            let digits = digits(&bytes[line.clone()]);
            digits > 0 && matches!(bytes.get(line.start + digits), Some(b';' | b'\r' | b'\n'))
        });
        if !sizes.is_empty() {
            let line = sizes[rng.below(sizes.len())].clone();
            let size = line.start..line.start + digits(&bytes[line.clone()]);
            let other = filled_in(rng.pick(CHUNK_LINES), &bytes[size]);
            bytes.splice(line, other);
        }
    }),
    ("a piece of itself put in", |rng, bytes| {
        let from = rng.below(bytes.len());
        let upto = from + rng.below(bytes.len() - from + 1).min(200);
        let at = rng.below(bytes.len() + 1);
        let piece = bytes[from..upto].to_vec();
        insert(bytes, at, &piece);
    }),
    ("another head spliced in", |rng, bytes| {
        let other = crate::requests::connection(rng).bytes;
        let (at, from) = (line(rng, bytes).start, line(rng, &other).start);
        bytes.truncate(at);
        bytes.extend_from_slice(&other[from..]);
    }),
    ("a request behind it", |rng, bytes| bytes.extend_from_slice(rng.pick(BEHIND))),
    ("bytes before it", |rng, bytes| {
        insert(bytes, 0, rng.pick(&[&b"\r\n"[..], b"\r\n\r\n", b"\n", b" ", b"\r", b"\0", b"x", b"\xef\xbb\xbf"]))
    }),
    ("another version", |rng, bytes| {
        let end = lines(bytes).first().map_or(bytes.len(), |line| line.end);
        let line = &bytes[..end];
        if let Some(at) = line.windows(5).position(|window| window == b"HTTP/") {
            let other = rng.pick(&[
                "HTTP/1.0",
                "HTTP/1.1 ",
                "HTTP/1.2",
                "HTTP/0.9",
                "http/1.1",
                "HTTP/1.10",
                "HTTP/2.0",
                "",
                "HTTP/1.1\t",
            ]);
            bytes.splice(at..end, [other.as_bytes(), b"\r\n"].concat());
        }
    }),
];

/// Bytes that delimit something for some parser, or are white space for one and not for another.
const SPECIAL: &[u8] = b"\r\n\t \0:,;=/\\\"#%?0159-_\x0b\x0c\x7f\x80\x85\xa0\xff";

const BEHIND: &[&[u8]] = &[
    b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"G",
    b"GPOST /behind HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"x=1&y=2",
];

/// How many hex digits a line starts with.
fn digits(line: &[u8]) -> usize {
    line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// All lines with their ends, bodies taken for lines too. There is always one.
fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let whole = bytes.split_inclusive(|&byte| byte == b'\n').map(|line| {
        start += line.len();
        start - line.len()..start
    });
    whole.collect()
}

fn line(rng: &mut Rng, bytes: &[u8]) -> Range<usize> {
    {
        let lines = lines(bytes);
        lines[rng.below(lines.len())].clone()
    }
}

fn named_line(bytes: &[u8], name: &[u8]) -> Option<Range<usize>> {
    lines(bytes).into_iter().find(|line| bytes[line.clone()].to_ascii_lowercase().starts_with(name))
}

fn framing_line(bytes: &[u8]) -> Option<Range<usize>> {
    named_line(bytes, b"content-length:").or_else(|| named_line(bytes, b"transfer-encoding:"))
}

/// Where the first head ends.
fn head_end(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}
