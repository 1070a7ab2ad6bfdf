use proptest::prelude::*;

use super::*;
use crate::h1::testing::head;

const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 128 };

fn parse(text: &str) -> Result<Option<RequestHead>, Fault> {
    parse_request(text.as_bytes(), WIDE, &mut Fields::default())
}

/// A whole head.
#[track_caller]
fn whole(start: &str, lines: &[&str]) -> RequestHead {
    parse(&head(start, lines)).unwrap().expect("whole")
}

#[track_caller]
fn refused(text: &str, kind: Kind, why: &str) {
    match parse(text) {
        Err(fault) => {
            assert_eq!(fault.kind, kind, "{text:?}: {}", fault.detail);
            assert!(fault.detail.contains(why), "{text:?}: {why:?} in {:?}", fault.detail);
        }
        Ok(parsed) => panic!("{text:?} is taken: {parsed:?}"),
    }
}

#[test]
fn plain_request_is_read() {
    let text = head("GET /a/b?c=d HTTP/1.1", &["Host: a.example:80", "Accept: */*", "X-Empty:"]) + "next";
    let mut fields = Fields::default();
    let head = parse_request(text.as_bytes(), WIDE, &mut fields).unwrap().unwrap();
    let bytes = text.as_bytes();
    assert_eq!(head.len, text.len() - "next".len());
    assert_eq!((head.method, head.version, head.body), (Method::Get, Version::Http11, Body::None));
    assert_eq!(head.method_in(bytes), b"GET");
    assert_eq!(head.authority_in(bytes), Some(&b"a.example:80"[..]));
    assert_eq!(head.path_and_query_in(bytes), b"/a/b?c=d");
    assert_eq!(head.path_in(bytes), b"/a/b");
    assert!(head.persistent && !head.expects_continue && !head.wants_trailers && !head.nominates);
    assert_eq!(head.max_forwards, None);
    let lines: Vec<(&[u8], &[u8])> =
        fields.lines().iter().map(|field| (field.name_in(bytes), field.value_in(bytes))).collect();
    assert_eq!(lines, [(&b"Host"[..], &b"a.example:80"[..]), (b"Accept", b"*/*"), (b"X-Empty", b"")]);
    assert_eq!(fields.lines()[0].name, Name::Host);
}

#[test]
fn head_is_whole_with_its_last_byte_and_not_before() {
    let text = head("POST /x HTTP/1.1", &["Host: a", "Content-Length: 3"]);
    for cut in 0..text.len() {
        assert!(parse(&text[..cut]).unwrap().is_none(), "cut at {cut}");
    }
    assert_eq!(whole("POST /x HTTP/1.1", &["Host: a", "Content-Length: 3"]).body, Body::Length(3));
}

#[test]
fn fields_of_the_head_before_are_forgotten() {
    let mut fields = Fields::default();
    for lines in [&["Host: a", "Te: trailers", "Cookie: b"][..], &["Host: a"]] {
        let head = parse_request(head("GET / HTTP/1.1", lines).as_bytes(), WIDE, &mut fields).unwrap().unwrap();
        assert_eq!((fields.lines().len(), head.wants_trailers), (lines.len(), lines.len() == 3));
    }
}

#[test]
fn request_line_has_three_parts_with_one_space_between() {
    for text in ["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\nGET", " GET / HTTP/1.1", "\tGET"] {
        refused(text, Kind::Malformed, "white space before the request line");
    }
    for start in ["GET  / HTTP/1.1", "GET /  HTTP/1.1", "G@T / HTTP/1.1", "GET /\u{1} HTTP/1.1", "GET /\tHTTP/1.1"] {
        refused(&head(start, &["Host: a"]), Kind::Malformed, "");
    }
    for start in ["GET /", "GET / ", "GET / http/1.1", "GET / HTTP/1.1 ", "GET / HTTPS/1.1", "GET / HTTP/11"] {
        refused(&head(start, &["Host: a"]), Kind::Malformed, "");
    }
}

#[test]
fn other_versions_are_told_so() {
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.1"] {
        refused(&head(&format!("GET / {version}"), &["Host: a"]), Kind::VersionNotSupported, "other than 1.0 and 1.1");
    }
}

#[test]
fn lines_end_in_cr_lf() {
    for text in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nB: c\nD: e\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.0\n\n",
        "GET / HTTP/1.0\n\r\n",
    ] {
        refused(text, Kind::Malformed, "LF without CR");
    }
    refused("GET / HTTP/1.1\rHost: a\r\n\r\n", Kind::Malformed, "");
}

#[test]
fn field_lines_follow_the_grammar() {
    for line in ["X : a", " X: a", "X", ": a", "X@: a", "X\u{0}: a"] {
        refused(&head("GET / HTTP/1.1", &["Host: a", line]), Kind::Malformed, "a field name that is no token");
    }
    // A folded line (RFC 9112 section 5.2).
    refused(&head("GET / HTTP/1.1", &["Host: a", "X: a", " b"]), Kind::Malformed, "a field name that is no token");
    for line in ["X: a\u{0}b", "X: a\u{1}b", "X: a\u{7f}b"] {
        refused(&head("GET / HTTP/1.1", &["Host: a", line]), Kind::Malformed, "a control character");
    }
    whole("GET / HTTP/1.1", &["Host: a", "X: a\tb \u{e9}"]);
}

#[test]
fn connect_is_not_carried() {
    refused(&head("CONNECT a:80 HTTP/1.1", &["Host: a:80"]), Kind::NotImplemented, "CONNECT");
}

#[test]
fn framing_is_that_of_the_fields() {
    assert!(whole("POST / HTTP/1.1", &["Host: a", "Transfer-Encoding: chunked"]).body.is_chunked());
    assert_eq!(whole("POST / HTTP/1.1", &["Host: a", "Content-Length: 0"]).body, Body::None);
    let post = |line: &str| head("POST / HTTP/1.1", &["Host: a", line]);
    refused(&post("Content-Length: x"), Kind::Malformed, "not one decimal number");
    refused(&post("Transfer-Encoding: gzip, chunked"), Kind::NotImplemented, "other than chunked");
    refused(&post("Transfer-Encoding: gzip"), Kind::Malformed, "does not end in chunked");
}

#[test]
fn host_is_there_once_and_is_one() {
    refused(&head("GET / HTTP/1.1", &[]), Kind::Malformed, "no Host");
    refused(&head("GET / HTTP/1.1", &["Host: a", "Host: a"]), Kind::Malformed, "more than one Host");
    refused(&head("GET / HTTP/1.0", &["Host: a", "Host: a"]), Kind::Malformed, "more than one Host");
    for host in ["", "a b", "a,b", "u@a", "a:x", "a/b"] {
        let line = format!("Host: {host}");
        refused(&head("GET / HTTP/1.1", &[&line]), Kind::Malformed, "a Host that is no host");
        refused(&head("GET http://b/ HTTP/1.1", &[&line]), Kind::Malformed, "a Host that is no host");
    }
    let text = head("GET / HTTP/1.0", &[]);
    assert_eq!(parse(&text).unwrap().unwrap().authority_in(text.as_bytes()), None);
}

#[test]
fn authority_of_the_target_wins() {
    for (target, path_and_query, path) in
        [("http://b:1/p?q", "/p?q", "/p"), ("HTTPS://b:1", "/", "/"), ("http://b:1?q", "?q", "/")]
    {
        let text = head(&format!("GET {target} HTTP/1.1"), &["Host: a"]);
        let (head, bytes) = (parse(&text).unwrap().unwrap(), text.as_bytes());
        assert_eq!(head.authority_in(bytes), Some(&b"b:1"[..]), "{target}");
        assert_eq!(head.path_and_query_in(bytes), path_and_query.as_bytes(), "{target}");
        assert_eq!(head.path_in(bytes), path.as_bytes(), "{target}");
    }
    refused(&head("GET http://b/ HTTP/1.1", &[]), Kind::Malformed, "no Host");
    refused(&head("GET http://u@b/ HTTP/1.1", &["Host: a"]), Kind::Malformed, "an authority in the request target");
}

#[test]
fn asterisk_is_of_options_alone() {
    for target in ["*", "http://b"] {
        let text = head(&format!("OPTIONS {target} HTTP/1.1"), &["Host: a"]);
        assert_eq!(parse(&text).unwrap().unwrap().path_and_query_in(text.as_bytes()), b"*", "{target}");
    }
    refused(&head("GET * HTTP/1.1", &["Host: a"]), Kind::Malformed, "method other than OPTIONS");
}

#[test]
fn connection_lives_on_by_version_and_word() {
    for (version, lines, persistent) in [
        ("HTTP/1.1", &[][..], true),
        ("HTTP/1.1", &["Connection: close"], false),
        ("HTTP/1.1", &["Connection: keep-alive, close"], false),
        ("HTTP/1.0", &[], false),
        ("HTTP/1.0", &["Connection: keep-alive"], true),
        ("HTTP/1.0", &["Connection: keep-alive", "Connection: close"], false),
    ] {
        let lines = [&["Host: a"], lines].concat();
        assert_eq!(whole(&format!("GET / {version}"), &lines).persistent, persistent, "{version} {lines:?}");
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    assert!(whole("POST / HTTP/1.1", &["Host: a", "Expect: 100-Continue"]).expects_continue);
    assert!(!whole("POST / HTTP/1.0", &["Host: a", "Expect: 100-continue"]).expects_continue);
    assert!(!whole("POST / HTTP/1.0", &["Host: a", "Expect: the-moon"]).expects_continue);
    for lines in [&["Expect: the-moon"][..], &["Expect: 100-continue", "Expect: x"], &["Expect: 100-continue, x"]] {
        let text = head("POST / HTTP/1.1", &[&["Host: a"], lines].concat());
        refused(&text, Kind::ExpectationFailed, "other than 100-continue");
    }
}

#[test]
fn trailers_are_wanted_by_te() {
    for (te, wanted) in [("trailers", true), ("gzip;q=1, Trailers", true), ("gzip", false), ("xtrailers", false)] {
        assert_eq!(whole("GET / HTTP/1.1", &["Host: a", &format!("TE: {te}")]).wants_trailers, wanted, "{te}");
    }
}

#[test]
fn max_forwards_is_a_number_where_it_means_something() {
    for (value, hops) in [("0", 0), ("10", 10), ("4294967294", u32::MAX - 1), ("4294967295", u32::MAX)] {
        for method in ["OPTIONS", "TRACE"] {
            let head = whole(&format!("{method} / HTTP/1.1"), &["Host: a", &format!("Max-Forwards: {value}")]);
            assert_eq!(head.max_forwards, Some(hops));
        }
    }
    for lines in [
        &["Max-Forwards: 4294967296"][..],
        &["Max-Forwards:"],
        &["Max-Forwards: -1"],
        &["Max-Forwards: +1"],
        &["Max-Forwards: 1", "Max-Forwards: 1"],
    ] {
        let text = head("TRACE / HTTP/1.1", &[&["Host: a"], lines].concat());
        refused(&text, Kind::Malformed, "a Max-Forwards that is not one decimal number");
    }
    assert_eq!(whole("GET / HTTP/1.1", &["Host: a", "Max-Forwards: x"]).max_forwards, None);
}

#[test]
fn head_has_as_many_bytes_as_the_limit_says() {
    let text = head("GET / HTTP/1.1", &["Host: a", &format!("X: {}", "v".repeat(200))]);
    let with = |text: &str, bytes: usize| {
        let limits = HeadLimits { bytes, fields: 8 };
        parse_request(text.as_bytes(), limits, &mut Fields::default()).map(|head| head.map(|head| head.len))
    };
    let kind = |got: Result<Option<usize>, Fault>| got.map_err(|fault| fault.kind);
    assert_eq!(kind(with(&text, text.len() + 1)), Ok(Some(text.len())));
    assert_eq!(kind(with(&text, text.len())), Ok(Some(text.len())));
    assert_eq!(kind(with(&text, text.len() - 1)), Err(Kind::HeadTooLarge));
    // What is not whole is read on for as long as it could still fit.
    let cut = &text[..text.len() - 1];
    assert_eq!(kind(with(cut, cut.len() + 1)), Ok(None));
    assert_eq!(kind(with(cut, cut.len())), Err(Kind::HeadTooLarge));
    assert_eq!(kind(with(cut, cut.len() - 1)), Err(Kind::HeadTooLarge));
}

#[test]
fn request_line_over_the_limit_is_told_from_a_head_over_it() {
    let limits = HeadLimits { bytes: 100, fields: 8 };
    let kind = |text: String| parse_request(text.as_bytes(), limits, &mut Fields::default()).unwrap_err().kind;
    // Without its LF the line has 99, 100 and 101 bytes.
    for (bytes, expected) in [(99, Kind::HeadTooLarge), (100, Kind::TargetTooLong), (101, Kind::TargetTooLong)] {
        let line = format!("GET /{} HTTP/1.1\r", "p".repeat(bytes - "GET / HTTP/1.1\r".len()));
        assert_eq!(line.len(), bytes);
        assert_eq!(kind(format!("{line}\nHost: a\r\n\r\n")), expected, "{bytes}");
        assert_eq!(kind(format!("{line}\nHost: a")), expected, "{bytes}, cut");
    }
    assert_eq!(kind(format!("GET /{}", "p".repeat(95))), Kind::TargetTooLong);
}

#[test]
fn head_has_as_many_fields_as_the_limit_says() {
    let with = |fields: usize, limit: usize| {
        let more: Vec<String> = (1..fields).map(|n| format!("X-{n}: v")).collect();
        let lines: Vec<&str> = std::iter::once("Host: a").chain(more.iter().map(String::as_str)).collect();
        let limits = HeadLimits { bytes: 64 * 1024, fields: limit };
        parse_request(head("GET / HTTP/1.1", &lines).as_bytes(), limits, &mut Fields::default())
            .map(|head| head.is_some())
    };
    for (limit, most) in [(1, 1), (8, 8), (FIELDS_MAX, FIELDS_MAX), (FIELDS_MAX + 1, FIELDS_MAX)] {
        if most > 1 {
            assert_eq!(with(most - 1, limit), Ok(true), "{limit}");
        }
        assert_eq!(with(most, limit), Ok(true), "{limit}");
        assert_eq!(with(most + 1, limit).map_err(|fault| fault.kind), Err(Kind::HeadTooLarge), "{limit}");
    }
}

proptest! {
    /// Bytes from a client are an answer, never a panic; and what is taken does not depend on what follows it.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop::sample::select(b"GET / HTTP/1.1\r\n\r\nHost:aX \t,*#?\x00\xff".to_vec()), 0..200)) {
        let text = [b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..]].concat();
        for input in [&bytes[..], &text[..]] {
            let mut fields = Fields::default();
            if let Ok(Some(head)) = parse_request(input, WIDE, &mut fields) {
                let alone = parse_request(&input[..head.len], WIDE, &mut Fields::default()).unwrap().unwrap();
                prop_assert_eq!(alone.len, head.len);
                prop_assert!(input[..head.len].ends_with(b"\r\n\r\n"));
                head.authority_in(input);
                head.path_in(input);
            }
        }
    }
}

fn kind_within(bytes: &[u8], limit: usize) -> Option<Kind> {
    let limits = HeadLimits { bytes: limit, fields: 8 };
    parse_request(bytes, limits, &mut Fields::default()).map_err(|fault| fault.kind).err()
}

#[test]
fn another_version_is_refused_with_the_same_fault_however_it_arrives() {
    let line = b"GET / HTTP/2.0\r\n";
    for cut in 1..line.len() {
        assert_eq!(kind_within(&line[..cut], 1024), None, "{cut}");
    }
    assert_eq!(kind_within(line, 1024), Some(Kind::VersionNotSupported));
    for bad in ["GET / HTTP/x", "GET / HTTP/2,", "GET / HTTP/2.0 ", "GET / HTTP/2.0\rx", "GET / HTTPS", "GET / ab"] {
        assert_eq!(kind_within(bad.as_bytes(), 1024), Some(Kind::Malformed), "{bad}");
    }
}

#[test]
fn bytes_behind_the_limit_change_nothing() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX\x01";
    for len in 26..=head.len() {
        assert_eq!(kind_within(&head[..len], 26), Some(Kind::HeadTooLarge), "{len}");
    }
    assert_eq!(kind_within(head, head.len()), Some(Kind::Malformed));
    assert_eq!(kind_within(b"GET /\x01", 5), Some(Kind::TargetTooLong));
}
