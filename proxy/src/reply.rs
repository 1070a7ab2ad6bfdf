//! Answers of our own: faults, and requests that end at this hop.

use crate::buf::Buf;
use crate::fault::Fault;
use crate::h1::{Persist, RequestHead};
use crate::http::{Fields, Method, Name};

/// Fields that a TRACE does not send back: what a script must not get to read (RFC 9110 section 9.3.8).
const SECRET: [Name; 4] = [Name::Authorization, Name::ProxyAuthorization, Name::Cookie, Name::SetCookie];

/// A request that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub fault: Fault,
    /// Unknown where the head was not understood.
    pub method: Option<Method>,
    /// What the client is told of coalescing.
    pub cache_status: Option<&'static str>,
}

/// Appends the answer to a fault. `retry_after_s`: when it is worth another try.
pub(crate) fn fault(
    out: &mut Buf,
    failed: &Failed,
    persist: Persist,
    retry_after_s: Option<u64>,
    name: &str,
    date: &[u8; 29],
) {
    let Failed { fault, method, cache_status } = *failed;
    let status = fault.status();
    let body = format!("{status} {}\n{}\n", reason(status), fault.detail);
    out.put(format!("HTTP/1.1 {status} {}\r\n", reason(status)).as_bytes());
    put_fields(out, date, persist, "text/plain; charset=utf-8", body.len());
    if let Some(seconds) = retry_after_s {
        out.put(format!("retry-after: {seconds}\r\n").as_bytes());
    }
    if let Some(member) = cache_status {
        out.put(format!("cache-status: {member}\r\n").as_bytes());
    }
    let member = if is_token(name) { name.to_owned() } else { format!("\"{name}\"") };
    let error = fault.proxy_status_error();
    out.put(format!("proxy-status: {member}; error={error}; details=\"{}\"\r\n\r\n", fault.word()).as_bytes());
    if method != Some(Method::Head) {
        out.put(body.as_bytes());
    }
}

/// Appends the answer to an OPTIONS or TRACE whose `Max-Forwards` is used up here (RFC 9110 section 7.6.2).
pub(crate) fn last_hop(
    out: &mut Buf,
    bytes: &[u8],
    head: &RequestHead,
    fields: &Fields,
    persist: Persist,
    date: &[u8; 29],
) {
    out.put(b"HTTP/1.1 200 OK\r\n");
    if head.method != Method::Trace {
        put_fields(out, date, persist, "text/plain", 0);
        return out.put(b"\r\n");
    }
    let mut seen = Buf::head();
    seen.put(&bytes[..fields.lines().first().map_or(head.len - 2, |field| field.line_at())]);
    for (n, field) in fields.lines().iter().enumerate().filter(|(_, field)| !SECRET.contains(&field.name)) {
        seen.put(&bytes[field.line_at()..fields.line_end(n, head.len)]);
    }
    seen.put(b"\r\n");
    put_fields(out, date, persist, "message/http", seen.len());
    out.put(b"\r\n");
    out.put(seen.filled());
}

fn put_fields(out: &mut Buf, date: &[u8; 29], persist: Persist, content_type: &str, content_bytes: usize) {
    out.put(b"date: ");
    out.put(date);
    out.put(format!("\r\ncontent-type: {content_type}\r\ncontent-length: {content_bytes}\r\n").as_bytes());
    out.put(match persist {
        Persist::Keep => b"",
        Persist::KeepHttp10 => b"connection: keep-alive\r\n",
        Persist::Close => b"connection: close\r\n",
    });
}

/// An sf-token (RFC 8941 section 3.3.4).
fn is_token(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
