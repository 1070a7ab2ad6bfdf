use proptest::prelude::*;

use super::*;
use crate::h1::testing::head;

const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: FIELDS_MAX };

fn parse(method: Method, text: &str) -> Result<Option<ResponseHead>, Fault> {
    parse_response(text.as_bytes(), method, WIDE, &mut Fields::default())
}

/// A whole head that answers a GET.
#[track_caller]
fn whole(start: &str, lines: &[&str]) -> ResponseHead {
    parse(Method::Get, &head(start, lines)).unwrap().expect("whole")
}

#[track_caller]
fn garbage(text: &str, why: &str) {
    match parse(Method::Get, text) {
        Err(fault) => {
            assert_eq!(fault.kind, Kind::UpstreamGarbage, "{text:?}");
            assert!(fault.detail.contains(why), "{text:?}: {why:?} in {:?}", fault.detail);
        }
        Ok(parsed) => panic!("{text:?} is taken: {parsed:?}"),
    }
}

#[test]
fn plain_response_is_read() {
    let text = head("HTTP/1.1 200 OK", &["Content-Length: 5", "Keep-Alive: timeout=30, max=100"]) + "hello";
    let mut fields = Fields::default();
    let head = parse_response(text.as_bytes(), Method::Get, WIDE, &mut fields).unwrap().unwrap();
    assert_eq!((head.version, head.status, head.body), (Version::Http11, 200, Body::Length(5)));
    assert_eq!(head.len, text.len() - 5);
    assert!(head.persistent && !head.is_interim() && !head.nominates);
    assert_eq!((head.keep_alive_s, fields.lines().len()), (Some(30), 2));
}

#[test]
fn head_is_whole_with_its_last_byte_and_not_before() {
    let text = head("HTTP/1.1 200 OK", &["Content-Length: 5"]);
    for cut in 0..text.len() {
        assert!(parse(Method::Get, &text[..cut]).unwrap().is_none(), "cut at {cut}");
    }
}

#[test]
fn status_line_may_lack_its_reason_and_the_space_before() {
    for start in ["HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 \u{e9}t\u{e9} !"] {
        assert_eq!(whole(start, &[]).status, 200, "{start:?}");
    }
}

#[test]
fn what_is_no_http_1_is_known_by_its_first_bytes() {
    for text in
        ["\r\nHTTP/1.1 200 OK\r\n\r\n", "\n", " HTTP/1.1", "h", "HTTP/2", "HTTP 1", "SSH-2.0-x\r\n", "\u{0}", "ICY 200"]
    {
        garbage(text, "no HTTP/1.x response");
    }
    for start in ["HTTP/1.2 200 OK", "HTTP/1.9 200 OK"] {
        garbage(&head(start, &[]), "a version other than");
    }
}

#[test]
fn status_is_three_digits_from_100_on() {
    for start in ["HTTP/1.1 20 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1  200 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 -20 OK"] {
        garbage(&head(start, &[]), "");
    }
    garbage(&head("HTTP/1.1 099 Low", &[]), "a status below 100");
    for status in [100, 102, 999] {
        assert_eq!(whole(&format!("HTTP/1.1 {status} X"), &[]).status, status);
    }
    garbage(
        &head("HTTP/1.1 101 Switching Protocols", &["Upgrade: x"]),
        "101 Switching Protocols that nobody asked for",
    );
}

#[test]
fn lines_and_fields_follow_the_grammar() {
    for text in [
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n\n",
        "HTTP/1.1 200 OK\n\n",
    ] {
        garbage(text, "LF without CR");
    }
    garbage(&head("HTTP/1.1 200 a\u{1}b", &[]), "");
    for line in ["X : a", " X: a", ": a"] {
        garbage(&head("HTTP/1.1 200 OK", &["A: b", line]), "a field name that is no token");
    }
    garbage(&head("HTTP/1.1 200 OK", &["A: b", " folded"]), "a field name that is no token");
    garbage(&head("HTTP/1.1 200 OK", &["A: b\u{1}"]), "a control character");
}

#[test]
fn framing_that_is_not_clear_is_garbage() {
    let with = |line: &str| head("HTTP/1.1 200 OK", &["Content-Length: 1", line]);
    garbage(&with("Content-Length: 1"), "more than one Content-Length");
    garbage(&with("Transfer-Encoding: chunked"), "both Content-Length and Transfer-Encoding");
    garbage(&head("HTTP/1.1 200 OK", &["Transfer-Encoding: gzip, chunked"]), "other than chunked");
    garbage(&head("HTTP/1.0 200 OK", &["Transfer-Encoding: chunked"]), "HTTP/1.0");
    // Even where there is no body whose length it could say.
    let text = head("HTTP/1.1 204 No Content", &["Content-Length: x"]);
    assert!(parse(Method::Head, &text).is_err());
}

#[test]
fn body_is_framed_by_method_status_and_fields() {
    let length = &["Content-Length: 7"][..];
    for (method, status, lines, body) in [
        (Method::Get, 200, length, Body::Length(7)),
        (Method::Get, 200, &["Content-Length: 0"], Body::None),
        (Method::Get, 200, &["Transfer-Encoding: chunked"], Body::chunked()),
        (Method::Get, 200, &[], Body::UntilClose),
        (Method::Head, 200, length, Body::None),
        (Method::Head, 200, &["Transfer-Encoding: chunked"], Body::None),
        (Method::Get, 204, length, Body::None),
        (Method::Get, 304, length, Body::None),
        (Method::Get, 103, length, Body::None),
        (Method::Get, 205, &[], Body::UntilClose),
    ] {
        let parsed = parse(method, &head(&format!("HTTP/1.1 {status} X"), lines)).unwrap().unwrap();
        assert_eq!(parsed.body, body, "{method:?} {status} {lines:?}");
    }
}

#[test]
fn connection_lives_on_by_version_and_word() {
    for (start, lines, persistent) in [
        ("HTTP/1.1 200 OK", &[][..], true),
        ("HTTP/1.1 200 OK", &["Connection: close"], false),
        ("HTTP/1.0 200 OK", &[], false),
        ("HTTP/1.0 200 OK", &["Connection: keep-alive"], true),
    ] {
        assert_eq!(whole(start, lines).persistent, persistent, "{start} {lines:?}");
    }
}

#[test]
fn announced_idle_time_is_read_where_it_can_be() {
    for (value, seconds) in [
        ("timeout=5", Some(5)),
        ("max=3, TIMEOUT=\"7\"", Some(7)),
        ("timeout=0", Some(0)),
        ("timeout=18446744073709551615", Some(u64::MAX)),
        ("timeout=18446744073709551616", None),
        ("timeout=", None),
        ("timeout=-1", None),
        ("timeout =5", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(whole("HTTP/1.1 200 OK", &[&format!("Keep-Alive: {value}")]).keep_alive_s, seconds, "{value:?}");
    }
    assert_eq!(whole("HTTP/1.1 200 OK", &["Keep-Alive: max=1", "Keep-Alive: timeout=9"]).keep_alive_s, Some(9));
}

#[test]
fn head_has_as_many_bytes_and_fields_as_the_limits_say() {
    let text = head("HTTP/1.1 200 OK", &["Content-Length: 5", "Server: app"]);
    let with = |text: &str, bytes: usize| {
        let limits = HeadLimits { bytes, fields: FIELDS_MAX };
        parse_response(text.as_bytes(), Method::Get, limits, &mut Fields::default())
            .map(|head| head.is_some())
            .map_err(|fault| fault.kind)
    };
    let cut = &text[..text.len() - 1];
    for (text, bytes, expected) in [
        (&text[..], text.len() + 1, Ok(true)),
        (&text, text.len(), Ok(true)),
        (&text, text.len() - 1, Err(Kind::UpstreamGarbage)),
        (cut, cut.len() + 1, Ok(false)),
        (cut, cut.len(), Err(Kind::UpstreamGarbage)),
    ] {
        assert_eq!(with(text, bytes), expected, "{bytes} bytes allowed, {} there", text.len());
    }
    let fields = |count: usize| {
        let lines: Vec<String> = (0..count).map(|n| format!("X-{n}: v")).collect();
        parse(Method::Get, &head("HTTP/1.1 200 OK", &lines.iter().map(String::as_str).collect::<Vec<_>>())).is_ok()
    };
    assert!(fields(FIELDS_MAX - 1) && fields(FIELDS_MAX) && !fields(FIELDS_MAX + 1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop::sample::select(b"HTTP/1.1 200 OK\r\n\r\nA:b \t,\x00\xff".to_vec()), 0..200)) {
        let text = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
        for input in [&bytes[..], &text[..]] {
            if let Ok(Some(head)) = parse_response(input, Method::Get, WIDE, &mut Fields::default()) {
                prop_assert!(input[..head.len].ends_with(b"\r\n\r\n"));
            }
        }
    }
}
