//! What a collector's answer means. Pure.
//!
//! Source: OTLP 1.x, "OTLP/HTTP Response" and "OTLP/gRPC Response"; gRPC over HTTP/2; google.rpc.

use std::time::Duration;

use hyper::HeaderMap;
use prost::Message;

use super::percent;

/// What has become of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// All but so many items are taken; what the collector says of those, or of itself.
    Taken { rejected: u64, says: Option<String> },
    /// It will not be taken, however often it is sent.
    Refused(String),
    /// It may be taken later, at the earliest after that time.
    Later(String, Option<Duration>),
}

/// `Export...ServiceResponse`: the three of them are alike.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// `google.rpc.Status`, and the detail of it that we read.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn taken(body: &[u8], items: u64) -> Reply {
    match Answer::decode(body) {
        Ok(Answer { partial: Some(Partial { rejected, message }) }) => {
            let rejected = u64::try_from(rejected).unwrap_or(0).min(items);
            Reply::Taken { rejected, says: (!message.is_empty()).then(|| printable(&message)) }
        }
        Ok(Answer { partial: None }) => Reply::Taken { rejected: 0, says: None },
        // The status says that it is taken.
        Err(_) => {
            Reply::Taken { rejected: 0, says: Some("an answer that is none of OTLP; is it a collector?".to_owned()) }
        }
    }
}

/// Of `items` sent by HTTP. `body` is empty where it is too long.
pub(super) fn of_http(status: u16, headers: &HeaderMap, body: &[u8], items: u64) -> Reply {
    match status {
        200..=299 => taken(body, items),
        300..=399 => {
            let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            Reply::Refused(format!("it redirects ({status}) to {}: name the right endpoint itself", printable(to)))
        }
        429 | 502 | 503 | 504 => Reply::Later(format!("it answers {status}"), retry_after(headers)),
        _ => Reply::Refused(format!("it answers {status}")),
    }
}

/// A date as well would be allowed; collectors write seconds, and for a date our own times do.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Of `items` sent by gRPC. `trailers` are the headers where nothing else came.
pub(super) fn of_grpc(status: u16, trailers: &HeaderMap, body: &[u8], items: u64) -> Reply {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<u8>().ok()) else {
        let what = format!("it answers {status} and no status of gRPC; is it a collector?");
        return match status {
            429 | 502 | 503 | 504 => Reply::Later(what, None),
            200 => Reply::Later(what, None),
            _ => Reply::Refused(what),
        };
    };
    if code == 0 {
        // A prefix of five bytes: not compressed, and the length.
        return taken(body.get(5..).unwrap_or_default(), items);
    }
    let message = text("grpc-message").map(percent::decoded_where_possible).unwrap_or_default();
    let what = format!("it answers {} {}", code_name(code), printable(&message));
    let delay = text("grpc-status-details-bin").and_then(retry_delay);
    match code {
        1 | 4 | 10 | 11 | 14 | 15 => Reply::Later(what, delay),
        8 if delay.is_some() => Reply::Later(what, delay),
        _ => Reply::Refused(what),
    }
}

fn retry_delay(details: &str) -> Option<Duration> {
    let status = Status::decode(base64(details)?.as_slice()).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

/// With padding or without (gRPC over HTTP/2, "Binary-Header").
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

fn code_name(code: u8) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("a code that gRPC does not have")
}

/// What somebody else wrote, fit for a log.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn partial_success_rejects_as_many_as_it_says() {
        let answer = |rejected, message: &str| {
            Answer { partial: Some(Partial { rejected, message: message.to_owned() }) }.encode_to_vec()
        };
        let taken = |rejected, says: Option<&str>| Reply::Taken { rejected, says: says.map(str::to_owned) };
        let none = HeaderMap::new();
        assert_eq!(of_http(200, &none, &[], 9), taken(0, None));
        assert_eq!(of_http(200, &none, &answer(3, "too old"), 9), taken(3, Some("too old")));
        assert_eq!(of_http(202, &none, &answer(99, ""), 9), taken(9, None));
        assert_eq!(of_http(200, &none, &answer(-1, "a\nb"), 9), taken(0, Some("a b")));
        assert!(matches!(of_http(200, &none, b"<html>", 9), Reply::Taken { rejected: 0, says: Some(_) }));
        let framed = [&[0, 0, 0, 0, 0][..], &answer(2, "")].concat();
        assert_eq!(of_grpc(200, &headers(&[("grpc-status", "0")]), &framed, 9), taken(2, None));
        assert_eq!(of_grpc(200, &headers(&[("grpc-status", "0")]), b"", 9), taken(0, None));
    }

    #[test]
    fn what_may_be_sent_again_is_what_otlp_says() {
        for status in [100, 204, 301, 307, 400, 401, 404, 413, 429, 500, 501, 502, 503, 504] {
            let reply = of_http(status, &HeaderMap::new(), &[], 1);
            let is_later = matches!(reply, Reply::Later(..));
            assert_eq!(is_later, [429, 502, 503, 504].contains(&status), "{status}: {reply:?}");
        }
        for code in 1..=17 {
            let reply = of_grpc(200, &headers(&[("grpc-status", &code.to_string())]), &[], 1);
            let is_later = matches!(reply, Reply::Later(..));
            assert_eq!(is_later, [1, 4, 10, 11, 14, 15].contains(&code), "{code}: {reply:?}");
        }
    }

    #[test]
    fn a_redirect_says_where_to() {
        let reply = of_http(302, &headers(&[("location", "https://login")]), &[], 1);
        assert!(matches!(reply, Reply::Refused(why) if why.contains("https://login")));
    }

    #[test]
    fn times_to_wait_are_read() {
        let after = |value: &str| match of_http(429, &headers(&[("retry-after", value)]), &[], 1) {
            Reply::Later(_, after) => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("soon"), None);
        let delay = RetryInfo { delay: Some(Delay { seconds: 2, nanos: 500_000_000 }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: delay.encode_to_vec() };
        let details = Status { details: vec![any] }.encode_to_vec();
        let text = encoded(&details);
        let reply = of_grpc(200, &headers(&[("grpc-status", "8"), ("grpc-status-details-bin", &text)]), &[], 1);
        assert!(matches!(reply, Reply::Later(_, Some(delay)) if delay == Duration::from_millis(2500)), "{reply:?}");
    }

    fn encoded(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).collect();
        let digit = |six: &[u8]| (0..6).fold(0, |value, n| value << 1 | usize::from(six.get(n).copied().unwrap_or(0)));
        bits.chunks(6).map(|six| char::from(DIGITS[digit(six)])).collect()
    }

    #[test]
    fn base64_is_read_and_garbage_is_not() {
        assert_eq!(base64("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(base64(&encoded(b"\0\xff~")), Some(b"\0\xff~".to_vec()));
        assert_eq!(base64("a-b"), None);
    }
}
