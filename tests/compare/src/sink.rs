//! The collector of the cases about tracing: takes OTLP over HTTP/1.1, counts the spans, and says yes.
//!
//! In: `POST` of protobuf, by length or in chunks, as Slipstream and Envoy send it. Out: 200 without a body; to `GET /__count` how many spans have
//! come. One thread a connection: each contestant has one or two. It keeps nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::wire;

/// An export of 512 spans has a fifth of this.
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Serves until the process ends.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let spans = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept()?;
        let spans = spans.clone();
        thread::spawn(move || {
            // Whoever sends something else loses its connection, and the spans are missing in the table.
            let _ = connection(&stream, &spans);
        });
    }
}

fn connection(stream: &TcpStream, spans: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut body, mut out) = (String::new(), Vec::new(), stream);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_count = line.starts_with(&format!("GET {} ", wire::COUNT_PATH));
        body.clear();
        read_rest(&mut reader, &mut body)?;
        let answer = if is_count { spans.load(Relaxed).to_string() } else { String::new() };
        spans.fetch_add(spans_in(&body).ok_or(io::ErrorKind::InvalidData)?, Relaxed);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length";
        out.write_all(format!("{head}: {}\r\n\r\n{answer}", answer.len()).as_bytes())?;
    }
}

/// The fields and the body behind a request line.
fn read_rest(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let (mut length, mut is_chunked, mut line) = (0, false, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?,
            "transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    if !is_chunked {
        return take(reader, length, body);
    }
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        take(reader, length, body)?;
        line.clear();
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn take(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let taken = reader.take(length).read_to_end(body)?;
    if taken as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Spans in an ExportTraceServiceRequest: `resource_spans` 1, in each `scope_spans` 2, in each `spans` 2 (opentelemetry-proto, trace/v1).
/// `None`: no such message.
fn spans_in(request: &[u8]) -> Option<u64> {
    let mut spans = 0;
    for resource_spans in messages(request, 1)? {
        for scope_spans in messages(resource_spans, 2)? {
            spans += messages(scope_spans, 2)?.len() as u64;
        }
    }
    Some(spans)
}

/// The messages in field `wanted` of a message.
fn messages(mut message: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let length = match tag & 7 {
            0 => varint(&mut message).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = message.split_at_checked(length)?;
        message = rest;
        if tag == wanted << 3 | 2 {
            found.push(field);
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, inside: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let length = u8::try_from(inside.len()).expect("a short field");
        if length >= 0x80 {
            out.extend([length | 0x80, 1]);
        } else {
            out.push(length);
        }
        out.extend_from_slice(inside);
        out
    }

    #[test]
    fn spans_of_all_scopes_of_all_resources_are_counted_and_nothing_else() {
        let span = field(2, &[0x0a, 1, 7]);
        let scope = [field(1, b"name"), span.clone(), span.clone()].concat();
        let padded = [scope.clone(), field(3, &[0; 120])].concat();
        let resource = [field(1, b"who"), field(2, &scope), field(2, &padded), vec![0x20, 0x96, 1]].concat();
        let resource = [resource, vec![0x39, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
        assert_eq!(spans_in(&resource), None, "a resource is no request");
        let request = field(1, &field(2, &scope));
        assert_eq!(spans_in(&[request.clone(), request.clone()].concat()), Some(4));
        assert_eq!(messages(&resource, 2).map(|scopes| scopes.len()), Some(2));
        assert_eq!(spans_in(&[]), Some(0));
        assert_eq!(spans_in(&request[..request.len() - 1]), None);
    }

    #[test]
    fn body_comes_by_length_or_in_chunks() {
        let read = |text: &str| {
            let mut body = Vec::new();
            read_rest(&mut text.as_bytes(), &mut body).map(|()| body)
        };
        assert_eq!(read("Content-Length: 3\r\n\r\nabcd").ok(), Some(b"abc".to_vec()));
        assert_eq!(
            read("transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").ok(),
            Some(b"abc".to_vec())
        );
        assert_eq!(read("host: x\r\n\r\n").ok(), Some(Vec::new()));
        assert!(read("content-length: 3\r\n\r\nab").is_err());
        assert!(read("content-length: 99999999\r\n\r\n").is_err());
    }
}
