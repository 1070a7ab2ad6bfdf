//! What is done to well-formed requests: blind damage, and what the literature on request smuggling does on purpose (Linhart and others
//! 2005; Kettle, "HTTP Desync Attacks", 2019; Jabiyev and others, "T-Reqs", 2021; Weikop, "Funky chunks", 2025).

use std::ops::Range;

use crate::rng::Rng;

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
        let other = rng.pick(&[&b"\n"[..], b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b" \r\n", b"\0\r\n", b"\x85\r\n"]);
        bytes.splice(end..line.end, other.iter().copied());
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
            let value = rng.pick(&[
                "+1",
                "-1",
                "1 ",
                " 0x5",
                "5,5",
                "5, 6",
                "0",
                "1e1",
                "5;",
                "5\t",
                "99999999999999999999",
                "\"5\"",
                "4_0",
            ]);
            let value = if rng.percent(40) { rng.below(60).to_string() } else { value.to_string() };
            bytes.splice(line, format!("Content-Length: {value}\r\n").into_bytes());
        }
    }),
    ("another coding", |rng, bytes| {
        if let Some(line) = named_line(bytes, b"transfer-encoding:") {
            bytes.splice(line, [&b"Transfer-Encoding:"[..], rng.pick(CODINGS), b"\r\n"].concat());
        }
    }),
    ("another chunk line", |rng, bytes| {
        let body = head_end(bytes);
        let sizes: Vec<Range<usize>> = lines(bytes)
            .into_iter()
            .filter(|line| line.start >= body && bytes[line.start].is_ascii_hexdigit())
            .collect();
        if !sizes.is_empty() {
            bytes.splice(sizes[rng.below(sizes.len())].clone(), rng.pick(CHUNK_LINES).iter().copied());
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

const LINES: &[&[u8]] = &[
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
    b"X: x\nTransfer-Encoding: chunked\r\n",
    b"X: x\rTransfer-Encoding: chunked\r\n",
    b"\0Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding\r\n: chunked\r\n",
    b"Transfer-\xe9ncoding: chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"tRANSFER-eNCODING: cHUNKED\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length:5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length:\t5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length\0: 5\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length: 5\nX: y\r\n",
    b"Host: b\r\n",
    b"Host: a, b\r\n",
    b"Host: a/b@c\r\n",
    b"Host:\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length\r\n",
    b"Connection: Transfer-Encoding\r\n",
    b"Connection: Host, X-Forwarded-For\r\n",
    b"Connection: close, x\r\nX: gone\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x 100-continue\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    b"TE: trailers, chunked\r\n",
    b"Trailer: Content-Length\r\n",
    b"X: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n",
    b"GET /smuggled HTTP/1.1\r\n",
    b": empty name\r\n",
    b"no colon\r\n",
    b"\r\r\n",
    b"X-Bell: \x07\r\n",
    b"X-Del: \x7f\r\n",
];

const CODINGS: &[&[u8]] = &[
    b" chunked",
    b"chunked",
    b"\tchunked\t",
    b" CHUNKED",
    b" chunked, chunked",
    b" gzip, chunked",
    b" chunked, gzip",
    b" chunked;q=1",
    b" \"chunked\"",
    b" chunked,",
    b" ,chunked",
    b" chunke",
    b" chunked x",
    b"\xa0chunked",
    b" chunked\x0b",
    b"",
];

const CHUNK_LINES: &[&[u8]] = &[
    b"5\r\n",
    b"0\r\n",
    b"0x5\r\n",
    b"+5\r\n",
    b"-1\r\n",
    b" 5\r\n",
    b"5 \r\n",
    b"5\t;a\r\n",
    b"5;\r\n",
    b"5;a\n\r\n",
    b"5;a\rb\r\n",
    b"5;\nx\r\n",
    b"5\n",
    b"5\r",
    b"5\r\r\n",
    b"5,a\r\n",
    b"5 ;a=b\r\n",
    b"5;\"a\r\n",
    b"00000000000000005\r\n",
    b"fffffffffffffffff\r\n",
    b"10000000000000005\r\n",
    b"\r\n",
    b"0\n\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n",
    b"0\r\nContent-Length: 5\r\n",
    b"0\r\n X: y\r\n",
    b"0\r\nX\r\n",
];

const BEHIND: &[&[u8]] = &[
    b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"G",
    b"GPOST /behind HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"x=1&y=2",
];

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
