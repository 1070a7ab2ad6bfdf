//! Request heads in.

use std::mem::MaybeUninit;

use super::FIELDS_MAX;
use super::body::Body;
use super::framing::{self, Framing, Refused};
use super::target::{self, Span, Target};
use super::write::is_nominated;
use crate::fault::{Fault, Kind};
use crate::http::{Field, Fields, Method, Name, NameSet, Version, list};

/// A whole, well-formed request head. Its bytes stay where they were read; the fields are in the `Fields` that the parse filled.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    /// Bytes of the head, the empty line included.
    pub len: usize,
    pub body: Body,
    /// The client can take another answer on this connection.
    pub persistent: bool,
    /// `Expect: 100-continue` of an HTTP/1.1 client.
    pub expects_continue: bool,
    /// `TE` contains `trailers`.
    pub wants_trailers: bool,
    /// `Max-Forwards` of OPTIONS and TRACE; of other methods it says nothing.
    pub max_forwards: Option<u32>,
    pub(super) nominates: bool,
    pub(super) method_len: usize,
    pub(super) target_span: Span,
    pub(super) target: Target,
    authority: Option<Span>,
}

impl RequestHead {
    pub fn method_in<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        &head[..self.method_len]
    }

    /// `host[:port]` that the request is for: of the target, else of `Host`; `None` only in HTTP/1.0.
    pub fn authority_in<'h>(&self, head: &'h [u8]) -> Option<&'h [u8]> {
        self.authority.map(|(at, len)| &head[at..at + len])
    }

    /// Path and query as they came: `*`, `/` and what follows, or a query alone behind the authority of an absolute target.
    pub fn path_and_query_in<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        let (at, len) = match self.target {
            Target::Origin | Target::Asterisk => self.target_span,
            Target::Absolute { path: (_, 0), .. } if self.method == Method::Options => return b"*",
            Target::Absolute { path: (_, 0), .. } => return b"/",
            Target::Absolute { path, .. } => path,
        };
        &head[at..at + len]
    }

    /// The field is meant for this hop alone, because `Connection` says so.
    pub fn drops_nominated(&self, head: &[u8], fields: &Fields, field: &Field) -> bool {
        self.nominates && !field.name.survives_connection() && is_nominated(head, fields, field.name_in(head))
    }

    /// The path without its query.
    pub fn path_in<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        let whole = self.path_and_query_in(head);
        match whole.iter().position(|&byte| byte == b'?') {
            Some(0) => b"/",
            Some(end) => &whole[..end],
            None => whole,
        }
    }
}

/// Bounds on a head (`limits.headBytes`, `limits.headFields`).
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    pub bytes: usize,
    pub fields: usize,
}

/// Parses one request head from the front of `bytes`.
///
/// Shape: `bytes` starts at the request line, behind at most one empty line that the caller has removed (RFC 9112 section 2.2). `None`: incomplete,
/// read more. Errors: the fault to answer with, then close. Source: RFC 9112 sections 2 to 6.
pub fn parse_request(bytes: &[u8], limits: HeadLimits, fields: &mut Fields) -> Result<Option<RequestHead>, Fault> {
    if bytes == b"\r" {
        // Half of that empty line: what it is depends on what comes next.
        return Ok(None);
    }
    if matches!(bytes.first(), Some(b'\r' | b'\n' | b' ' | b'\t')) {
        return Err(malformed("white space before the request line (RFC 9112 2.2)"));
    }
    // What is behind the limit may have come or not: it says nothing.
    let bytes = &bytes[..bytes.len().min(limits.bytes)];
    let mut table = [const { MaybeUninit::<httparse::Header>::uninit() }; FIELDS_MAX];
    let table = &mut table[..limits.fields.min(FIELDS_MAX)];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, table) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(too_large(bytes, limits)),
        Err(httparse::Error::Version) if bytes.len() < limits.bytes && is_inside_version(bytes) => return Ok(None),
        Err(error) => return Err(refuse(error, bytes)),
    };
    collect(&bytes[..len], request.headers, fields).map_err(malformed)?;
    let (Some(method_token), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(malformed("a request line that is not whole"));
    };
    let method = Method::of(method_token.as_bytes());
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    if method == Method::Connect {
        return Err(Fault {
            kind: Kind::NotImplemented,
            detail: "CONNECT: this is a gateway, not a tunnel (RFC 9110 9.3.6)",
        });
    }
    let target_at = offset(bytes, path.as_bytes());
    let target = target::split(path.as_bytes(), target_at, method == Method::Options).map_err(malformed)?;
    let head = &bytes[..len];
    let framing = framing::examine(head, fields, version).map_err(|refused| match refused {
        Refused::Ambiguous(detail) => malformed(detail),
        Refused::UnknownCoding => {
            Fault { kind: Kind::NotImplemented, detail: "a transfer coding other than chunked (RFC 9112 6.1)" }
        }
    })?;
    let authority = authority(head, fields, version, target)?;
    let about = about(head, fields, method, version)?;
    Ok(Some(RequestHead {
        method,
        version,
        len,
        body: body_of(framing),
        persistent: !framing.close && (version == Version::Http11 || framing.keep_alive),
        expects_continue: about.expects_continue,
        wants_trailers: about.wants_trailers,
        max_forwards: about.max_forwards,
        nominates: framing.nominates,
        method_len: method_token.len(),
        target_span: (target_at, path.len()),
        target,
        authority,
    }))
}

fn malformed(detail: &'static str) -> Fault {
    Fault { kind: Kind::Malformed, detail }
}

fn body_of(framing: Framing) -> Body {
    match framing {
        Framing { chunked: true, .. } => Body::chunked(),
        Framing { length: Some(length), .. } => Body::length(length),
        _ => Body::None,
    }
}

/// Where `part`, a slice of `whole`, starts.
pub(super) fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Copies the parser's table as places, and checks what the parser tolerates: a line that ends in a bare LF (RFC 9112 section 2.2).
pub(super) fn collect(head: &[u8], parsed: &[httparse::Header<'_>], fields: &mut Fields) -> Result<(), &'static str> {
    fields.clear();
    let mut crlf_everywhere = head.ends_with(b"\r\n\r\n");
    for header in parsed {
        let name_at = offset(head, header.name.as_bytes());
        crlf_everywhere &= name_at >= 2 && &head[name_at - 2..name_at] == b"\r\n";
        // An empty value has no place of its own in the parser's answer.
        let value_at = if header.value.is_empty() { name_at } else { offset(head, header.value) };
        let name = Name::of(header.name.as_bytes());
        fields.push(Field::new(name, (name_at, header.name.len()), (value_at, header.value.len())));
    }
    if crlf_everywhere { Ok(()) } else { Err("a line that ends in LF without CR (RFC 9112 2.2)") }
}

/// The request's `Host` is checked whatever the target says, then the target's authority wins (RFC 9112 sections 3.2 and 3.2.2).
fn authority(head: &[u8], fields: &Fields, version: Version, target: Target) -> Result<Option<Span>, Fault> {
    let mut hosts = fields.all(head, Name::Host);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(malformed("more than one Host (RFC 9112 3.2)"));
    }
    match host {
        None if version == Version::Http11 => return Err(malformed("no Host (RFC 9112 3.2)")),
        Some(host) if !target::is_authority(host) => {
            return Err(malformed("a Host that is no host with an optional port (RFC 9112 3.2)"));
        }
        _ => {}
    }
    Ok(match target {
        Target::Absolute { authority, .. } => Some(authority),
        Target::Origin | Target::Asterisk => host.map(|host| (offset(head, host), host.len())),
    })
}

#[derive(Debug, Default)]
struct About {
    expects_continue: bool,
    wants_trailers: bool,
    max_forwards: Option<u32>,
}

fn about(head: &[u8], fields: &Fields, method: Method, version: Version) -> Result<About, Fault> {
    const ABOUT: NameSet = NameSet::of(&[Name::Expect, Name::Te, Name::MaxForwards]);
    let mut about = About::default();
    if !fields.known().has_any(ABOUT) {
        return Ok(about);
    }
    for field in fields.lines() {
        match field.name {
            // A 1.0 client cannot take a 100, so the expectation is ignored (RFC 9110 10.1.1).
            Name::Expect if version == Version::Http11 => {
                if !field.value_in(head).eq_ignore_ascii_case(b"100-continue") {
                    let detail = "an expectation other than 100-continue (RFC 9110 10.1.1)";
                    return Err(Fault { kind: Kind::ExpectationFailed, detail });
                }
                about.expects_continue = true;
            }
            Name::Te => {
                let is_trailers = |member: &[u8]| member.eq_ignore_ascii_case(b"trailers");
                about.wants_trailers |= list(field.value_in(head)).any(is_trailers);
            }
            Name::MaxForwards if matches!(method, Method::Options | Method::Trace) => {
                let number =
                    std::str::from_utf8(field.value_in(head)).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
                let number = number.and_then(|digits| digits.parse().ok());
                if number.is_none() || about.max_forwards.is_some() {
                    return Err(malformed("a Max-Forwards that is not one decimal number (RFC 9110 7.6.2)"));
                }
                about.max_forwards = number;
            }
            _ => {}
        }
    }
    Ok(about)
}

fn too_large(bytes: &[u8], limits: HeadLimits) -> Fault {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line >= limits.bytes {
        Fault { kind: Kind::TargetTooLong, detail: "a request line longer than limits.headBytes (RFC 9112 3)" }
    } else {
        Fault { kind: Kind::HeadTooLarge, detail: "a head longer than limits.headBytes (RFC 6585 5)" }
    }
}

fn refuse(error: httparse::Error, bytes: &[u8]) -> Fault {
    malformed(match error {
        httparse::Error::TooManyHeaders => {
            return Fault { kind: Kind::HeadTooLarge, detail: "more fields than limits.headFields (RFC 6585 5)" };
        }
        httparse::Error::Version if names_another_version(bytes) => {
            let detail = "an HTTP version other than 1.0 and 1.1 (RFC 9110 15.6.6)";
            return Fault { kind: Kind::VersionNotSupported, detail };
        }
        httparse::Error::Version => "a request line without a version (RFC 9112 3)",
        httparse::Error::HeaderName => "a field name that is no token, or white space around it (RFC 9112 5.1)",
        httparse::Error::HeaderValue => "a control character in a field value (RFC 9110 5.5)",
        httparse::Error::NewLine => "a line that does not end in CR LF (RFC 9112 2.2)",
        httparse::Error::Token => {
            "a request line that is not method, target, version with one space between (RFC 9112 3)"
        }
        httparse::Error::Status => "a request line that is none",
    })
}

/// The request line ends inside `HTTP/<digit>.<digit>`, or before its line end: the rest decides between 400 and 505.
fn is_inside_version(bytes: &[u8]) -> bool {
    const SHAPE: &[u8] = b"HTTP/0.0\r";
    let mut parts = bytes.splitn(3, |&byte| byte == b' ');
    let version = parts.nth(2).unwrap_or_default();
    version.len() <= SHAPE.len()
        && version.iter().zip(SHAPE).all(|(byte, of)| byte == of || (*of == b'0' && byte.is_ascii_digit()))
}

/// The request line is whole, and ends in `HTTP/<digit>.<digit>`.
fn names_another_version(bytes: &[u8]) -> bool {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(_), Some(_), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests;
