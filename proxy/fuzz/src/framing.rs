//! What the fields of a head say of its message (RFC 9112 sections 6.1 to 6.3 and 9.3), as strict as `h1::framing` documents.

use crate::head::{Head, members};

const CONNECTION_OPTIONS_MAX: usize = 32;
const LENGTH_DIGITS_MAX: usize = 18;

/// How the message is framed by its fields, before its method or status says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    Unsaid,
    Length(u64),
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub framed: Framed,
    pub persistent: bool,
}

/// Rules that a head breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Broken {
    /// It is not framed in one way alone: 400.
    pub ambiguous: bool,
    /// It is framed by a coding that the proxy does not speak: 501.
    pub unknown_coding: bool,
}

pub fn examine(head: &Head<'_>, is_http_10: bool) -> Result<Meaning, Broken> {
    let mut broken = Broken::default();
    let mut framed = Framed::Unsaid;

    let lengths = head.values("content-length");
    match lengths[..] {
        [] => {}
        [value] => match length(value) {
            Some(length) => framed = Framed::Length(length),
            None => broken.ambiguous = true,
        },
        // RFC 9112 section 6.3 lets equal ones pass as one. The proxy does not.
        _ => broken.ambiguous = true,
    }

    let codings: Vec<String> = head.values("transfer-encoding").into_iter().flat_map(members).collect();
    if head.has("transfer-encoding") {
        framed = Framed::Chunked;
        broken.ambiguous |= !lengths.is_empty() || is_http_10;
        let (last, others) = codings.split_last().expect("a value has one member at least");
        let is_word =
            |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_final_once = last == "chunked" && others.iter().all(|other| is_word(other) && other != "chunked");
        broken.ambiguous |= !is_final_once;
        broken.unknown_coding = is_final_once && !others.is_empty();
    }

    let options = head.list("connection");
    broken.ambiguous |= options.len() > CONNECTION_OPTIONS_MAX;
    let has = |option: &str| options.iter().any(|other| other == option);
    if broken != Broken::default() {
        return Err(broken);
    }
    Ok(Meaning { framed, persistent: !has("close") && (!is_http_10 || has("keep-alive")) })
}

fn length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let is_number =
        !digits.is_empty() && digits.len() <= LENGTH_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().expect("18 digits fit"))
}
