//! What goes over the wire: the path that asks for a body, the body that proves whose it is, and the reader that checks it.
//!
//! Path: `/b/<bytes>/c<connection>/r<number>`, never the same twice at a time, or `/b/<bytes>/d<milliseconds>/h<number>` for a crowd
//! that asks for one thing, whose answer takes so long. Body: the path, a newline, then a pattern by position. So an answer that was
//! shared with another path, crossed, shifted, cut or padded is seen as wrong, at the price of one comparison.

use std::sync::OnceLock;
use std::time::Duration;

use crate::sys;

/// The counting path of the origin; asked directly, never through a proxy, and not counted itself.
pub const COUNT_PATH: &str = "/__count";

/// Length after which the body's pattern repeats: a prime, so that a shift by a buffer's size is seen.
const PATTERN_PERIOD: usize = 251;
const PATTERN_BYTES: usize = PATTERN_PERIOD * 1024;

/// Head of an answer or request that is still taken for real; the heads here have under 300 bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Body of an answer that is read as a whole.
const WHOLE_BYTES_MAX: usize = 64 * 1024;

/// The pattern from position `at` of a body on, as much of it as one slice has (251 KiB less at most 250 bytes).
pub fn pattern(at: u64) -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let block = PATTERN.get_or_init(|| (0..PATTERN_BYTES).map(|i| (i % PATTERN_PERIOD) as u8).collect());
    &block[(at % PATTERN_PERIOD as u64) as usize..]
}

/// Writes the path of one request.
pub fn write_path(out: &mut Vec<u8>, body_bytes: u64, connection: usize, number: u64) {
    use std::io::Write;
    write!(out, "/b/{body_bytes}/c{connection}/r{number}").expect("a Vec takes every write");
}

/// Writes the path that a whole herd asks for.
pub fn write_herd_path(out: &mut Vec<u8>, body_bytes: u64, delay: Duration, number: u64) {
    use std::io::Write;
    write!(out, "/b/{body_bytes}/d{}/h{number}", delay.as_millis()).expect("a Vec takes every write");
}

/// Writes a request as a browser-like client would: a few fields, kept alive.
pub fn write_request(out: &mut Vec<u8>, path: &[u8]) {
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\nuser-agent: slipstream-compare\r\naccept: */*\r\n\r\n");
}

/// Appends the part of the body that holds the path; the rest is `pattern`.
pub fn write_body_start(out: &mut Vec<u8>, path: &[u8], body_bytes: u64) {
    let start = out.len();
    out.extend_from_slice(path);
    out.push(b'\n');
    out.truncate(start + usize::try_from(body_bytes).unwrap_or(usize::MAX).min(path.len() + 1));
}

/// Whether `bytes`, standing at position `at` of the body for `path`, are what the origin sent.
fn body_matches(path: &[u8], mut at: u64, mut bytes: &[u8]) -> bool {
    while (at as usize) < path.len() + 1 && !bytes.is_empty() {
        let expected = path.get(at as usize).copied().unwrap_or(b'\n');
        if bytes[0] != expected {
            return false;
        }
        bytes = &bytes[1..];
        at += 1;
    }
    while !bytes.is_empty() {
        let expected = pattern(at);
        let length = expected.len().min(bytes.len());
        if bytes[..length] != expected[..length] {
            return false;
        }
        bytes = &bytes[length..];
        at += length as u64;
    }
    true
}

/// The path of a GET and the bytes its head takes. `None`: the head is not complete. Error: not a request of ours.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some(end) = sys::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(Malformed("a request head without end")) } else { Ok(None) };
    };
    let rest = bytes[..end].strip_prefix(b"GET ").ok_or(Malformed("the origin answers GET only"))?;
    let path_end = sys::find(rest, b" HTTP/1.").ok_or(Malformed("a request line without version"))?;
    Ok(Some((&rest[..path_end], end + 4)))
}

/// The body length that a path asks for.
pub fn body_bytes_of(path: &[u8]) -> Option<u64> {
    number(path.strip_prefix(b"/b/")?.split(|b| *b == b'/').next()?)
}

/// How long the answer to a path is to take; `None`: no time.
pub fn delay_of(path: &[u8]) -> Option<Duration> {
    let milliseconds = path.split(|b| *b == b'/').nth(3)?.strip_prefix(b"d")?;
    number(milliseconds).map(Duration::from_millis)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

/// Why bytes could not be read as HTTP/1.1.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The answer for `path` that `bytes` begin with, and its length; `None`: it is not complete.
///
/// For answers that come one behind the other. `model`: the last right one, which is most often the next one too; the first and a changed
/// one are read in full and become it.
pub fn take_whole(bytes: &[u8], path: &[u8], model: &mut Vec<u8>) -> Result<Option<(usize, Verdict)>, Malformed> {
    if !model.is_empty() && bytes.starts_with(model) {
        return Ok(Some((model.len(), Verdict { status: 200, body_right: true })));
    }
    let Some(end) = sys::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(Malformed("an answer head without end")) } else { Ok(None) };
    };
    let (status, body_bytes) = parse_answer_head(&bytes[..end])?;
    let body = &bytes[end + 4..];
    let length = usize::try_from(body_bytes).unwrap_or(usize::MAX);
    if length > WHOLE_BYTES_MAX {
        return Err(Malformed("a body larger than any that is asked for"));
    }
    let Some(body) = body.get(..length) else { return Ok(None) };
    let body_right = body_bytes_of(path) == Some(body_bytes) && body_matches(path, 0, body);
    let whole = &bytes[..end + 4 + length];
    if status == 200 && body_right {
        model.clear();
        model.extend_from_slice(whole);
    }
    Ok(Some((whole.len(), Verdict { status, body_right })))
}

/// Reads one answer from the pieces in which it arrives and checks each body byte.
#[derive(Default)]
pub struct Answer {
    /// The head so far, when it came in more than one piece.
    head: Vec<u8>,
    in_body: bool,
    status: u16,
    length: u64,
    seen: u64,
    wrong: bool,
}

/// What an answer turned out to be.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Verdict {
    pub status: u16,
    /// The body has the length and the bytes that the path asks for.
    pub body_right: bool,
}

impl Answer {
    /// Takes the next piece; `Some` when the answer is complete. A byte after the end is malformed: we never pipeline.
    pub fn feed(&mut self, bytes: &[u8], path: &[u8]) -> Result<Option<Verdict>, Malformed> {
        let body = if self.in_body { bytes } else { self.feed_head(bytes)? };
        if !self.in_body {
            return Ok(None);
        }
        if body.len() as u64 > self.length - self.seen {
            return Err(Malformed("bytes after the end of an answer"));
        }
        self.wrong |= !body_matches(path, self.seen, body);
        self.seen += body.len() as u64;
        if self.seen < self.length {
            return Ok(None);
        }
        let body_right = !self.wrong && body_bytes_of(path) == Some(self.length);
        let verdict = Verdict { status: self.status, body_right };
        self.head.clear();
        (self.in_body, self.seen, self.wrong) = (false, 0, false);
        Ok(Some(verdict))
    }

    /// Takes the head, whole or in pieces; returns the bytes after it.
    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        if self.head.is_empty()
            && let Some(end) = sys::find(bytes, b"\r\n\r\n")
        {
            (self.status, self.length) = parse_answer_head(&bytes[..end])?;
            self.in_body = true;
            return Ok(&bytes[end + 4..]);
        }
        let had = self.head.len();
        self.head.extend_from_slice(bytes);
        let from = had.saturating_sub(3);
        let Some(end) = sys::find(&self.head[from..], b"\r\n\r\n").map(|at| from + at) else {
            let endless = self.head.len() > HEAD_BYTES_MAX;
            return if endless { Err(Malformed("an answer head without end")) } else { Ok(&[]) };
        };
        (self.status, self.length) = parse_answer_head(&self.head[..end])?;
        self.in_body = true;
        Ok(&bytes[end + 4 - had..])
    }
}

/// Status and Content-Length of an answer head (without its empty line). Every answer of the origin states its length, so a
/// proxy that passes it on must too.
fn parse_answer_head(head: &[u8]) -> Result<(u16, u64), Malformed> {
    let rest = head.strip_prefix(b"HTTP/1.1 ").ok_or(Malformed("an answer that is not HTTP/1.1"))?;
    let status = rest.get(..3).and_then(number).ok_or(Malformed("a status that is not three digits"))? as u16;
    let mut length = None;
    for line in head.split(|b| *b == b'\n').skip(1) {
        // 15 = the name and its colon; the length test keeps the usual field out of the comparison.
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            length = number(line[15..].trim_ascii());
        }
    }
    Ok((status, length.ok_or(Malformed("an answer without Content-Length"))?))
}

#[cfg(test)]
mod tests;
