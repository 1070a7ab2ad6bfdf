//! What the fields of a head say of its message: how long the body is, and whether the connection lives on.

use crate::http::{Fields, Name, NameSet, Version, list};

/// Members of all `Connection` lines together. Real messages have one or two; the bound keeps the search for nominated fields short.
const CONNECTION_OPTIONS_MAX: usize = 32;

/// Digits of a Content-Length: all that surely fit a u64.
const LENGTH_DIGITS_MAX: usize = 18;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    pub length: Option<u64>,
    pub chunked: bool,
    /// `Connection: close` / `keep-alive` was among the options.
    pub close: bool,
    pub keep_alive: bool,
    /// `Connection` names fields beyond those that are always hop-by-hop.
    pub nominates: bool,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its framing is broken, or two parsers could read it differently.
    Ambiguous(&'static str),
    /// It is framed well by a transfer coding that we do not speak.
    UnknownCoding,
}

/// Reads the framing of one head.
///
/// Source: RFC 9112 sections 6 and 7, RFC 9110 section 7.6.1. Refused beyond what the RFC demands: equal Content-Length values given twice
/// (6.3 allows to merge them), Transfer-Encoding in HTTP/1.0.
pub fn examine(head: &[u8], fields: &Fields, version: Version) -> Result<Framing, Refused> {
    const FRAMING: NameSet = NameSet::of(&[Name::ContentLength, Name::TransferEncoding, Name::Connection]);
    let mut found = Framing::default();
    if !fields.known().has_any(FRAMING) {
        return Ok(found);
    }
    let mut options = 0;
    for field in fields.lines() {
        match field.name {
            Name::ContentLength if found.length.is_some() => {
                return Err(Refused::Ambiguous("more than one Content-Length (RFC 9112 6.3)"));
            }
            Name::ContentLength => found.length = Some(length(field.value_in(head))?),
            Name::TransferEncoding if found.chunked => {}
            Name::TransferEncoding => {
                coding(fields.all(head, Name::TransferEncoding))?;
                found.chunked = true;
            }
            Name::Connection if field.value_in(head).eq_ignore_ascii_case(b"keep-alive") => {
                found.keep_alive = true;
                options += 1;
            }
            Name::Connection => {
                for option in list(field.value_in(head)) {
                    options += 1;
                    match option {
                        _ if option.eq_ignore_ascii_case(b"close") => found.close = true,
                        _ if option.eq_ignore_ascii_case(b"keep-alive") => found.keep_alive = true,
                        _ => found.nominates |= !Name::of(option).is_hop_by_hop(),
                    }
                }
            }
            _ => {}
        }
    }
    if found.chunked && found.length.is_some() {
        return Err(Refused::Ambiguous("both Content-Length and Transfer-Encoding (RFC 9112 6.1)"));
    }
    if found.chunked && version == Version::Http10 {
        return Err(Refused::Ambiguous("Transfer-Encoding in an HTTP/1.0 message (RFC 9112 6.1)"));
    }
    if options > CONNECTION_OPTIONS_MAX {
        return Err(Refused::Ambiguous("more than 32 Connection options"));
    }
    Ok(found)
}

fn length(value: &[u8]) -> Result<u64, Refused> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Ambiguous("a Content-Length that is not one decimal number (RFC 9110 8.6)"));
    }
    if value.len() > LENGTH_DIGITS_MAX {
        return Err(Refused::Ambiguous("a Content-Length of more than 18 digits"));
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// `chunked` alone is spoken. A list, on one line or more, that ends in `chunked` is well framed, by a coding we do not know; anything else
/// frames nothing.
fn coding<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Result<(), Refused> {
    let is_chunked = |member: &[u8]| member.eq_ignore_ascii_case(b"chunked");
    let is_token = |member: &[u8]| !member.is_empty() && member.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-');
    let mut members = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let mut last = members.next().unwrap_or_default();
    let mut others = false;
    for member in members {
        if is_chunked(last) || !is_token(last) {
            last = b"";
            break;
        }
        (last, others) = (member, true);
    }
    match is_chunked(last) {
        true if others => Err(Refused::UnknownCoding),
        true => Ok(()),
        false => Err(Refused::Ambiguous("a Transfer-Encoding that does not end in chunked, once (RFC 9112 6.1)")),
    }
}

#[cfg(test)]
mod tests;
