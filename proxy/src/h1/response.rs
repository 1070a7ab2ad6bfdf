//! Response heads in.

use std::mem::MaybeUninit;

use super::FIELDS_MAX;
use super::body::Body;
use super::framing::{self, Refused};
use super::request::{HeadLimits, collect};
use crate::fault::{Fault, Kind};
use crate::http::{Fields, Method, Name, NameSet, Version, list};

/// A whole, well-formed response head, as [`super::RequestHead`].
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead {
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// Bytes of the head, the empty line included.
    pub len: usize,
    pub body: Body,
    /// The app can take another request on this connection.
    pub persistent: bool,
    /// `Keep-Alive: timeout=`, in seconds: how long the app says that it waits for the next request.
    pub keep_alive_s: Option<u64>,
    pub(super) nominates: bool,
}

impl ResponseHead {
    /// 1xx: the final head follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// Parses one response head from the front of `bytes`, the answer to a request of `method`.
///
/// `None`: incomplete, read more. Errors: `UpstreamGarbage`; not a byte of it may reach the client. Source: RFC 9112 sections 4 to 6.
pub fn parse_response(
    bytes: &[u8],
    method: Method,
    limits: HeadLimits,
    fields: &mut Fields,
) -> Result<Option<ResponseHead>, Fault> {
    // The parser would skip empty lines.
    if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) && !bytes.starts_with(b"HTTP/1.") {
        return Err(garbage("bytes that are no HTTP/1.x response (RFC 9112 4)"));
    }
    // What is behind the limit may have come or not: it says nothing.
    let bytes = &bytes[..bytes.len().min(limits.bytes)];
    let mut table = [const { MaybeUninit::<httparse::Header>::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut table) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(garbage("a head longer than limits.headBytes")),
        Err(error) => return Err(garbage(explain(error))),
    };
    collect(&bytes[..len], response.headers, fields).map_err(garbage)?;
    let (Some(minor), Some(status)) = (response.version, response.code) else {
        return Err(garbage("a status line that is not whole"));
    };
    if status < 100 {
        return Err(garbage("a status below 100 (RFC 9110 15)"));
    }
    if status == 101 {
        return Err(garbage("101 Switching Protocols that nobody asked for (RFC 9110 15.2.2)"));
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let head = &bytes[..len];
    let framing = framing::examine(head, fields, version).map_err(|refused| match refused {
        Refused::Ambiguous(detail) => garbage(detail),
        Refused::UnknownCoding => garbage("a transfer coding other than chunked (RFC 9112 6.1)"),
    })?;
    let has_no_body = method == Method::Head || status < 200 || matches!(status, 204 | 304);
    let body = match framing {
        _ if has_no_body => Body::None,
        framing::Framing { chunked: true, .. } => Body::chunked(),
        framing::Framing { length: Some(length), .. } => Body::length(length),
        _ => Body::UntilClose,
    };
    Ok(Some(ResponseHead {
        version,
        status,
        len,
        body,
        persistent: !framing.close && (version == Version::Http11 || framing.keep_alive),
        keep_alive_s: keep_alive_s(head, fields),
        nominates: framing.nominates,
    }))
}

fn garbage(detail: &'static str) -> Fault {
    Fault { kind: Kind::UpstreamGarbage, detail }
}

fn keep_alive_s(head: &[u8], fields: &Fields) -> Option<u64> {
    if !fields.known().has_any(NameSet::of(&[Name::KeepAlive])) {
        return None;
    }
    fields.all(head, Name::KeepAlive).find_map(keep_alive_timeout)
}

fn keep_alive_timeout(value: &[u8]) -> Option<u64> {
    list(value).find_map(|member| {
        let (name, number) = member.split_at_checked(8)?;
        let digits = std::str::from_utf8(number).ok().filter(|_| name.eq_ignore_ascii_case(b"timeout="))?;
        digits.trim_matches('"').parse().ok()
    })
}

fn explain(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::TooManyHeaders => "more than 256 fields",
        httparse::Error::Version => "a version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 2.3)",
        httparse::Error::HeaderName => "a field name that is no token, or white space around it (RFC 9112 5.1)",
        httparse::Error::HeaderValue => "a control character in a field value (RFC 9110 5.5)",
        httparse::Error::NewLine => "a line that does not end in CR LF (RFC 9112 2.2)",
        httparse::Error::Status => "a status that is not three digits (RFC 9112 4)",
        httparse::Error::Token => "a reason phrase with a control character (RFC 9112 4)",
    }
}

#[cfg(test)]
mod tests;
