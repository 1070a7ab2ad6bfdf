//! A response head, however it arrives, and the head that goes to the client for it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipstream_fuzz::framing::{Framed, examine};
use slipstream_fuzz::head::{self, Head};
use slipstream_fuzz::splits;
use slipstream_proxy::fault::Fault;
use slipstream_proxy::fuzzing::{
    AnswerHead, Body, Buf, Fields, HeadLimits, Method, Persist, ResponseHead, Version, answer_head, parse_response,
};

/// The proxy takes 256 fields from an app, whatever `fields` says.
const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };
/// So small that most inputs reach them.
const NARROW: HeadLimits = HeadLimits { bytes: 64, fields: 256 };
/// What goes out may be longer than what came.
const LIMITS_OUT: HeadLimits = HeadLimits { bytes: 1024 * 1024, fields: 256 };
/// With what the proxy adds, a head of so many fields still fits the parser's table.
const FIELDS_MAX: usize = 250;
const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
/// Fields that the proxy may drop or add to; see the target `request_head` for `close`.
const OURS: [&str; 4] = ["content-length", "date", "via", "close"];

fuzz_target!(|bytes: &[u8]| {
    for method in [Method::Get, Method::Head] {
        for limits in [WIDE, NARROW] {
            check(bytes, method, limits);
        }
    }
});

fn check(bytes: &[u8], method: Method, limits: HeadLimits) {
    let (whole, fields) = parse(bytes, method, limits);
    check_arrival(bytes, method, limits, &whole, &fields);
    let Ok(Some(head)) = whole else { return };
    let came = head::read(&bytes[..head.len]).expect("an accepted head is strict");
    check_framing(&head, method, &came);
    if fields.lines().len() > FIELDS_MAX {
        return;
    }
    for client in [Version::Http10, Version::Http11] {
        for wants_more in [true, false] {
            let (persist, chunked, body) = to_client(&head, client, wants_more);
            let mut out = Buf::default();
            let answer = AnswerHead { chunked, ..AnswerHead::new(bytes, &head, &fields, persist, DATE) };
            answer_head(&mut out, &answer);
            check_sent(out.filled(), method, (persist, body), &head, &came);
        }
    }
}

fn parse(bytes: &[u8], method: Method, limits: HeadLimits) -> (Result<Option<ResponseHead>, Fault>, Fields) {
    let mut fields = Fields::default();
    (parse_response(bytes, method, limits, &mut fields), fields)
}

/// The verdict on each prefix is that on the whole, or that more is needed; and none waits for what can change nothing.
fn check_arrival(
    bytes: &[u8],
    method: Method,
    limits: HeadLimits,
    whole: &Result<Option<ResponseHead>, Fault>,
    fields: &Fields,
) {
    if bytes.windows(4).any(|end| end == b"\r\n\r\n") || bytes.len() >= limits.bytes {
        assert!(!matches!(whole, Ok(None)), "waits for more of a head that is whole or over the limit");
    }
    let mut ends = vec![];
    if let Ok(Some(head)) = whole {
        assert!(head.len <= limits.bytes);
        ends = vec![head.len - 1, head.len];
    }
    for cut in splits::prefixes(bytes).into_iter().chain(ends) {
        let (early, early_fields) = parse(&bytes[..cut], method, limits);
        match (early, whole) {
            (Ok(None), Ok(Some(head))) => assert!(cut < head.len, "a whole head at {cut} that is not seen"),
            (Ok(None), _) => {}
            (Ok(Some(early)), Ok(Some(head))) => {
                assert_eq!(format!("{early:?}"), format!("{head:?}"), "another head at {cut}");
                assert_eq!(early_fields.lines(), fields.lines(), "other fields at {cut}");
            }
            (Err(early), Err(fault)) => assert_eq!(early, *fault, "another fault at {cut}"),
            (early, whole) => panic!("at {cut}: {early:?}, but whole: {whole:?}"),
        }
    }
}

fn check_framing(head: &ResponseHead, method: Method, came: &Head<'_>) {
    let meaning = examine(came, head.version == Version::Http10).expect("an accepted head is framed in one way");
    let body = match meaning.framed {
        _ if method == Method::Head || head.status < 200 || [204, 304].contains(&head.status) => Body::None,
        Framed::Unsaid => Body::UntilClose,
        Framed::Length(length) => Body::length(length),
        Framed::Chunked => Body::chunked(),
    };
    assert_eq!((head.body, head.persistent), (body, meaning.persistent));
    assert!((100..=999).contains(&head.status) && head.status != 101);
    let minor = if head.version == Version::Http10 { 0 } else { 1 };
    assert!(came.start.starts_with(format!("HTTP/1.{minor} {:03}", head.status).as_bytes()));
}

/// What the proxy says of the connection and the body to a client of this version, and the body that the client must read from it.
fn to_client(head: &ResponseHead, client: Version, wants_more: bool) -> (Persist, bool, Body) {
    let (chunked, body) = match (head.body, client) {
        _ if head.is_interim() => return (Persist::Keep, false, Body::None),
        (Body::Chunked(_), Version::Http10) => (false, Body::UntilClose),
        (Body::Chunked(_) | Body::UntilClose, Version::Http11) => (true, Body::chunked()),
        (body, _) => (false, body),
    };
    let persist = match client {
        _ if body == Body::UntilClose || !wants_more => Persist::Close,
        Version::Http10 => Persist::KeepHttp10,
        Version::Http11 => Persist::Keep,
    };
    (persist, chunked, body)
}

fn check_sent(out: &[u8], method: Method, said: (Persist, Body), head: &ResponseHead, came: &Head<'_>) {
    let (persist, body) = said;
    let (again, _) = parse(out, method, LIMITS_OUT);
    let again = again.expect("what is sent parses").expect("what is sent is whole");
    assert_eq!(again.len, out.len(), "bytes behind the head");
    assert_eq!((again.version, again.status, again.body), (Version::Http11, head.status, body));
    assert_eq!(again.persistent, persist != Persist::Close);

    let sent = head::read(out).expect("what is sent is strict");
    let start = format!("HTTP/1.1 {:03} ", head.status);
    let reason = came.start.get(13..).unwrap_or_default();
    assert_eq!(sent.start, [start.as_bytes(), reason].concat(), "status line");
    head::check_framed_once(&sent);
    let has_no_length = head.is_interim() || head.status == 204;
    assert_eq!(sent.values("content-length"), if has_no_length { vec![] } else { came.values("content-length") });
    let coded = sent.has("transfer-encoding");
    assert_eq!(coded, body == Body::chunked());
    assert!(!(coded && has_no_length), "a coding where there is no body (RFC 9112 6.1)");
    check_hop_by_hop(&sent, persist);
    let nominated = came.nominated();
    assert_eq!(sent.end_to_end(&[], &OURS), came.end_to_end(&nominated, &OURS), "fields end-to-end");
    let via = came.values("via");
    let all_via = sent.values("via");
    let ours: &[u8] = if head.version == Version::Http10 { b"1.0 slipstream" } else { b"1.1 slipstream" };
    assert_eq!(all_via, [&via[..], &[ours]].concat());
    let dates = came.values("date");
    let is_ours = dates.is_empty() && !head.is_interim();
    assert_eq!(sent.values("date"), if is_ours { vec![&DATE[..]] } else { dates });
}

/// Of the fields for one hop, the proxy's own alone.
fn check_hop_by_hop(sent: &Head<'_>, persist: Persist) {
    let connection = match persist {
        Persist::Keep => None,
        Persist::KeepHttp10 => Some(&b"keep-alive"[..]),
        Persist::Close => Some(&b"close"[..]),
    };
    assert_eq!(sent.values("connection"), Vec::from_iter(connection));
    for line in &sent.lines {
        let is_ours = matches!((&*line.name, line.value), ("connection", _) | ("transfer-encoding", b"chunked"));
        assert!(is_ours || !head::HOP_BY_HOP.contains(&&*line.name), "{} goes on", line.name);
    }
}
