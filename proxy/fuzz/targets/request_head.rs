//! A request head, however it arrives, and the head that goes to the app for it.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use slipstream_fuzz::framing::{Framed, examine};
use slipstream_fuzz::head::{self, Head};
use slipstream_fuzz::splits;
use slipstream_proxy::config::Forwarded;
use slipstream_proxy::fuzzing::{
    Ask, Body, Buf, Fields, HeadLimits, RequestHead, Sender, Version, ask_head, parse_request,
};

/// Small, so that inputs reach them.
const LIMITS: HeadLimits = HeadLimits { bytes: 2048, fields: 24 };
/// What goes out may be longer than what came.
const LIMITS_OUT: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };
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

fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields::default();
    let whole = parse_request(bytes, LIMITS, &mut fields);
    let mut again = Fields::default();
    for cut in splits::prefixes(bytes) {
        match (parse_request(&bytes[..cut], LIMITS, &mut again), &whole) {
            (Ok(None), Ok(Some(head))) => assert!(cut < head.len, "a whole head at {cut} that is not seen"),
            (Ok(None), _) => {}
            (Ok(Some(early)), Ok(Some(head))) => {
                assert_eq!(format!("{early:?}"), format!("{head:?}"), "another head at {cut}");
                assert_eq!(again.lines(), fields.lines(), "other fields at {cut}");
            }
            (Err(_), Err(_)) => {}
            (early, whole) => panic!("at {cut}: {early:?}, but whole: {whole:?}"),
        }
    }
    if let Ok(Some(head)) = whole {
        let came = head::read(&bytes[..head.len]).expect("an accepted head is strict");
        check_framing(&head, &came);
        let v4 = Sender::new(IpAddr::V4(Ipv4Addr::LOCALHOST), false);
        let v6 = Sender::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), true);
        for (sender, forwarded) in
            [(&v4, Forwarded::Append), (&v6, Forwarded::Append), (&v4, Forwarded::Replace), (&v6, Forwarded::Off)]
        {
            let mut out = Buf::head();
            ask_head(
                &mut out,
                Ask { bytes, head: &head, fields: &fields, sender, forwarded, upstream_authority: UPSTREAM },
            );
            check_sent(out.filled(), forwarded, bytes, &head, &came);
        }
    }
});

fn check_framing(head: &RequestHead, came: &Head<'_>) {
    let meaning = examine(came, head.version == Version::Http10).expect("an accepted head is framed in one way");
    let body = match meaning.framed {
        Framed::Unsaid => Body::None,
        Framed::Length(length) => Body::length(length),
        Framed::Chunked => Body::chunked(),
    };
    assert_eq!((head.body, head.persistent), (body, meaning.persistent));
}

fn check_sent(out: &[u8], forwarded: Forwarded, bytes: &[u8], head: &RequestHead, came: &Head<'_>) {
    let mut fields = Fields::default();
    let again =
        parse_request(out, LIMITS_OUT, &mut fields).expect("what is sent parses").expect("what is sent is whole");
    assert_eq!(again.len, out.len(), "bytes behind the head");
    assert_eq!((again.version, again.persistent), (Version::Http11, true));
    assert_eq!(
        (again.body, again.wants_trailers, again.expects_continue),
        (head.body, head.wants_trailers, head.expects_continue)
    );
    assert_eq!(again.max_forwards, head.max_forwards.map(|hops| hops.saturating_sub(1)));
    assert_eq!(again.method_in(out), head.method_in(bytes));
    let target = head.path_and_query_in(bytes);
    let slash: &[u8] = if target.starts_with(b"?") { b"/" } else { b"" };
    assert_eq!(again.path_and_query_in(out), [slash, target].concat());
    assert_eq!(again.path_in(out), head.path_in(bytes));
    assert_eq!(again.authority_in(out), Some(head.authority_in(bytes).unwrap_or(UPSTREAM.as_bytes())));

    let sent = head::read(out).expect("what is sent is strict");
    let start: Vec<&[u8]> = sent.start.split(|&byte| byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = start[..] else { panic!("the request line is no three words: {start:?}") };
    assert!(head::is_token(method) && !target.is_empty() && target.iter().all(u8::is_ascii_graphic));
    assert!(target == b"*" || target.starts_with(b"/"), "not in origin form");
    assert_eq!(sent.values("host").len(), 1);
    head::check_framed_once(&sent);
    check_hop_by_hop(&sent);
    let nominated = came.nominated();
    assert_eq!(sent.end_to_end(&[], &OURS), came.end_to_end(&nominated, &OURS), "fields end-to-end");
    check_forwarding(&sent, forwarded, came);
}

/// Of the fields for one hop, the proxy's own alone.
fn check_hop_by_hop(sent: &Head<'_>) {
    for line in &sent.lines {
        let is_ours = matches!(
            (&*line.name, line.value),
            ("te", b"trailers") | ("connection", b"te") | ("transfer-encoding", b"chunked")
        );
        assert!(is_ours || !head::HOP_BY_HOP.contains(&&*line.name), "{} goes on", line.name);
    }
    assert_eq!(sent.values("te").len(), sent.values("connection").len());
    assert!(sent.values("te").len() <= 1);
}

fn check_forwarding(sent: &Head<'_>, forwarded: Forwarded, came: &Head<'_>) {
    let count = |name: &str| sent.values(name).len();
    assert_eq!(count("x-forwarded-client-cert"), 0);
    let via = came.values("via");
    let all_via = sent.values("via");
    assert_eq!(all_via[..via.len()], via, "Via that came");
    if forwarded == Forwarded::Off {
        assert_eq!(all_via.len(), via.len());
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"] {
            assert_eq!(sent.values(name), came.values(name), "{name}");
        }
        return;
    }
    assert_eq!(all_via.len(), via.len() + 1);
    assert_eq!(count("x-forwarded-for"), 1);
    assert!(count("forwarded") <= 1);
    if forwarded == Forwarded::Replace {
        assert_eq!((count("x-forwarded-proto"), count("forwarded")), (1, 0));
        assert!(count("x-forwarded-host") <= 1);
    }
}
