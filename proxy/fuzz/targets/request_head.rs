//! A request head, however it arrives, and the head that goes to the app for it.

#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slipstream_fuzz::framing::{Framed, examine};
use slipstream_fuzz::head::{self, Head};
use slipstream_fuzz::splits;
use slipstream_proxy::config::Forwarded;
use slipstream_proxy::fault::Fault;
use slipstream_proxy::fuzzing::{
    Ask, Body, Buf, Fields, HeadLimits, RequestHead, Sender, Version, ask_head, parse_request,
};

/// With what the proxy adds, a head of so many fields still fits the parser's table.
const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 240 };
/// So small that most inputs reach them.
const NARROW: HeadLimits = HeadLimits { bytes: 64, fields: 3 };
/// What goes out may be longer than what came.
const LIMITS_OUT: HeadLimits = HeadLimits { bytes: 1024 * 1024, fields: 256 };
const UPSTREAM: &str = "127.0.0.1:8080";

/// Fields that the proxy may drop, change or add to; what they may hold is checked one by one.
const OURS: [&str; 10] = [
    "host",
    "expect",
    "max-forwards",
    "via",
    "forwarded",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    // `Connection: close` is an option, but beside a nominated name the proxy takes it for one too.
    "close",
];

/// Who asks: the sender, its address and protocol as they are told to the app.
static SENDERS: LazyLock<[(Sender, &str, &str); 2]> = LazyLock::new(|| {
    let sender = |address: &'static str, is_tls, proto| {
        (Sender::new(address.parse::<IpAddr>().expect("an address"), is_tls), address, proto)
    };
    [sender("192.0.2.1", false, "http"), sender("2001:db8::1", true, "https")]
});

fuzz_target!(|bytes: &[u8]| {
    for limits in [WIDE, NARROW] {
        let (whole, fields) = parse(bytes, limits);
        check_arrival(bytes, limits, &whole, &fields);
        let Ok(Some(request)) = whole else { continue };
        let came = head::read(&bytes[..request.len]).expect("an accepted head is strict");
        check_framing(&request, &came);
        for forwarded in [Forwarded::Append, Forwarded::Replace, Forwarded::Off] {
            for (sender, address, proto) in &*SENDERS {
                let mut out = Buf::default();
                ask_head(
                    &mut out,
                    Ask {
                        bytes,
                        head: &request,
                        fields: &fields,
                        sender,
                        forwarded,
                        upstream_authority: UPSTREAM,
                        replaced: Default::default(),
                        added: b"",
                    },
                );
                let sent = head::read(out.filled()).expect("what is sent is strict");
                check_start(&came, &sent);
                check_fields(&came, &sent);
                check_forwarding(&came, &sent, forwarded, address, proto);
                check_read_again(bytes, &request, out.filled());
            }
        }
    }
});

fn parse(bytes: &[u8], limits: HeadLimits) -> (Result<Option<RequestHead>, Fault>, Fields) {
    let mut fields = Fields::default();
    (parse_request(bytes, limits, &mut fields), fields)
}

/// The verdict on each prefix is that on the whole, or that more is needed; and none waits for what can change nothing.
fn check_arrival(bytes: &[u8], limits: HeadLimits, whole: &Result<Option<RequestHead>, Fault>, fields: &Fields) {
    if bytes.windows(4).any(|end| end == b"\r\n\r\n") || bytes.len() >= limits.bytes {
        assert!(!matches!(whole, Ok(None)), "waits for more of a head that is whole or over the limit");
    }
    let mut ends = vec![];
    if let Ok(Some(head)) = whole {
        assert!(head.len <= limits.bytes && fields.lines().len() <= limits.fields);
        ends = vec![head.len - 1, head.len];
    }
    for cut in splits::prefixes(bytes).into_iter().chain(ends) {
        let (early, early_fields) = parse(&bytes[..cut], limits);
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

fn check_framing(head: &RequestHead, came: &Head<'_>) {
    let meaning = examine(came, head.version == Version::Http10).expect("an accepted head is framed in one way");
    let body = match meaning.framed {
        Framed::Unsaid => Body::None,
        Framed::Length(length) => Body::length(length),
        Framed::Chunked => Body::chunked(),
    };
    assert_eq!((head.body, head.persistent), (body, meaning.persistent));
}

fn words<'h>(head: &Head<'h>) -> [&'h [u8]; 3] {
    let words: Vec<_> = head.start.split(|&byte| byte == b' ').collect();
    words.try_into().expect("method, target, version")
}

/// The authority of an absolute target, and what is behind it.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if matches!(target, [b'/', ..] | b"*") {
        return None;
    }
    let scheme_end = target.windows(3).position(|part| part == b"://").expect("an absolute target has ://") + 3;
    let rest = &target[scheme_end..];
    Some(rest.split_at(rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len())))
}

/// Method and target go on as they are; of an absolute target its path and query (RFC 9112 section 3.2.2).
fn check_start(came: &Head<'_>, sent: &Head<'_>) {
    let [method, target, _] = words(came);
    let wanted = match absolute(target) {
        None => target.to_vec(),
        Some((_, [])) if method == b"OPTIONS" => b"*".to_vec(),
        Some((_, path @ [b'/', ..])) => path.to_vec(),
        Some((_, query)) => [b"/", query].concat(),
    };
    assert!(head::is_token(method) && wanted.iter().all(u8::is_ascii_graphic) && !wanted.contains(&b'#'));
    assert_eq!(words(sent), [method, &wanted[..], b"HTTP/1.1"]);
}

/// `host[:port]` that the request is for.
fn authority<'h>(came: &Head<'h>) -> Option<&'h [u8]> {
    let [_, target, _] = words(came);
    absolute(target).map(|(authority, _)| authority).or_else(|| came.values("host").first().copied())
}

fn check_fields(came: &Head<'_>, sent: &Head<'_>) {
    assert_eq!(sent.values("host"), [authority(came).unwrap_or(UPSTREAM.as_bytes())], "one Host, the right one");
    head::check_framed_once(sent);
    assert_eq!(sent.has("transfer-encoding"), came.has("transfer-encoding"));
    assert_eq!(sent.values("content-length"), came.values("content-length"));

    // Of the fields for one hop, the proxy's own alone.
    let trailers = came.list("te").iter().any(|member| member == "trailers");
    assert_eq!(sent.values("te"), if trailers { vec![b"trailers"] } else { vec![] });
    assert_eq!(sent.values("connection"), if trailers { vec![b"te"] } else { vec![] });
    for name in ["keep-alive", "proxy-connection", "upgrade", "http2-settings", "x-forwarded-client-cert"] {
        assert!(!sent.has(name), "{name} goes on");
    }

    let [method, _, version] = words(came);
    let expect = if version == b"HTTP/1.1" { came.values("expect") } else { vec![] };
    assert_eq!(sent.values("expect"), expect);
    let hops = came.values("max-forwards");
    match (method, &hops[..]) {
        (b"OPTIONS" | b"TRACE", [hops]) => {
            let hops: u32 = std::str::from_utf8(hops).ok().and_then(|hops| hops.parse().ok()).expect("a number");
            assert_eq!(sent.values("max-forwards"), [hops.saturating_sub(1).to_string().as_bytes()]);
        }
        _ => assert_eq!(sent.values("max-forwards"), hops),
    }
    assert_eq!(sent.end_to_end(&[], &OURS), came.end_to_end(&came.nominated(), &OURS), "fields end-to-end");
}

/// The fields that say who asked.
fn check_forwarding(came: &Head<'_>, sent: &Head<'_>, forwarded: Forwarded, address: &str, proto: &str) {
    let values = |name| came.values(name).into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    // One line: what came and said something, then ours.
    let appended = |name, ours: &str| {
        let mut parts: Vec<_> = values(name).into_iter().filter(|value| !value.is_empty()).collect();
        parts.push(ours.into());
        vec![parts.join(&b", "[..])]
    };
    let or = |name, ours| if came.has(name) { values(name) } else { ours };
    let host = Vec::from_iter(authority(came).map(<[u8]>::to_vec));
    let node = if address.contains(':') { format!("\"[{address}]\"") } else { address.into() };
    let element = format!("for={node};proto={proto}");
    let is_forwarded = came.values("forwarded").iter().any(|value| !value.is_empty());
    let (fors, protos, hosts, elements) = match forwarded {
        Forwarded::Off => {
            (values("x-forwarded-for"), values("x-forwarded-proto"), values("x-forwarded-host"), values("forwarded"))
        }
        Forwarded::Append => (
            appended("x-forwarded-for", address),
            or("x-forwarded-proto", vec![proto.into()]),
            or("x-forwarded-host", host),
            if is_forwarded { appended("forwarded", &element) } else { vec![] },
        ),
        Forwarded::Replace => (vec![address.into()], vec![proto.into()], host, vec![]),
    };
    assert_eq!(sent.values("x-forwarded-for"), fors);
    assert_eq!(sent.values("x-forwarded-proto"), protos);
    assert_eq!(sent.values("x-forwarded-host"), hosts);
    assert_eq!(sent.values("forwarded"), elements);
    let [_, _, version] = words(came);
    let mut vias = came.values("via");
    if forwarded != Forwarded::Off {
        vias.push(if version == b"HTTP/1.0" { b"1.0 slipstream" } else { b"1.1 slipstream" });
    }
    assert_eq!(sent.values("via"), vias);
}

/// What is sent means to our own parser what came.
fn check_read_again(bytes: &[u8], request: &RequestHead, out: &[u8]) {
    let (again, _) = parse(out, LIMITS_OUT);
    let again = again.expect("what is sent parses").expect("what is sent is whole");
    assert_eq!(again.len, out.len(), "bytes behind the head");
    assert_eq!((again.version, again.persistent), (Version::Http11, true));
    assert_eq!(
        (again.body, again.wants_trailers, again.expects_continue),
        (request.body, request.wants_trailers, request.expects_continue)
    );
    assert_eq!(again.max_forwards, request.max_forwards.map(|hops| hops.saturating_sub(1)));
    assert_eq!((again.method, again.method_in(out)), (request.method, request.method_in(bytes)));
    let target = request.path_and_query_in(bytes);
    let slash: &[u8] = if target.starts_with(b"?") { b"/" } else { b"" };
    assert_eq!(again.path_and_query_in(out), [slash, target].concat());
    assert_eq!(again.path_in(out), request.path_in(bytes));
    assert_eq!(again.authority_in(out), Some(request.authority_in(bytes).unwrap_or(UPSTREAM.as_bytes())));
}
