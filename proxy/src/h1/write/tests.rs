use super::*;
use crate::buf::HEAD_BYTES;
use crate::h1::testing::head;
use crate::h1::{FIELDS_MAX, HeadLimits, parse_request, parse_response};
use crate::http::Method;

const WIDE: HeadLimits = HeadLimits { bytes: 256 * 1024, fields: FIELDS_MAX };
const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

struct Asks {
    forwarded: Forwarded,
    sender: Sender,
}

impl Asks {
    fn from(address: &str, is_tls: bool, forwarded: Forwarded) -> Asks {
        Asks { forwarded, sender: Sender::new(address.parse().unwrap(), is_tls) }
    }

    /// The head that the app is sent for this one.
    #[track_caller]
    fn head(&self, text: &str) -> String {
        self.traced(text, NameSet::default(), "").0
    }

    /// The same with lines of ours in the place of others, and where they are.
    #[track_caller]
    fn traced(&self, text: &str, replaced: NameSet, added: &str) -> (String, usize) {
        let mut fields = Fields::default();
        let parsed = parse_request(text.as_bytes(), WIDE, &mut fields).unwrap().expect("whole");
        let mut out = Buf::head();
        let ask = Ask {
            bytes: text.as_bytes(),
            head: &parsed,
            fields: &fields,
            sender: &self.sender,
            forwarded: self.forwarded,
            upstream_authority: "app.example:3000",
            replaced,
            added: added.as_bytes(),
        };
        let at = ask_head(&mut out, ask);
        (String::from_utf8(out.filled().to_vec()).unwrap(), at)
    }
}

#[test]
fn lines_of_ours_stand_in_the_place_of_those_that_came() {
    let asks = Asks::from("192.0.2.1", false, Forwarded::Off);
    let came =
        head("GET / HTTP/1.1", &["Host: a", "traceparent: theirs", "tracestate: s=1", "X: y", "traceparent: again"]);
    let replaced = NameSet::of(&[Name::Traceparent]);
    let (sent, at) = asks.traced(&came, replaced, "traceparent: ours\r\n");
    assert_eq!(sent, head("GET / HTTP/1.1", &["Host: a", "tracestate: s=1", "X: y", "traceparent: ours"]));
    assert!(sent[at..].starts_with("traceparent: ours"));
    let (sent, at) = asks.traced(&head("GET / HTTP/1.1", &["Host: a"]), replaced, "traceparent: ours\r\n");
    assert!(sent[at..].starts_with("traceparent: ours"), "{sent}");
}

/// What the app is sent where nothing is added: the rules of what goes on, alone.
#[track_caller]
fn goes_on(start: &str, lines: &[&str]) -> String {
    Asks::from("192.0.2.1", false, Forwarded::Off).head(&head(start, lines))
}

#[track_caller]
fn answers(start: &str, lines: &[&str], method: Method, persist: Persist, chunked: bool) -> String {
    let text = head(start, lines);
    let mut fields = Fields::default();
    let parsed = parse_response(text.as_bytes(), method, WIDE, &mut fields).unwrap().expect("whole");
    let mut out = Buf::head();
    let answer = AnswerHead { chunked, ..AnswerHead::new(text.as_bytes(), &parsed, &fields, persist, DATE) };
    answer_head(&mut out, &answer);
    String::from_utf8(out.filled().to_vec()).unwrap()
}

#[test]
fn plain_request_is_copied_and_its_sender_named() {
    let asks = Asks::from("192.0.2.1", false, Forwarded::Append);
    assert_eq!(
        asks.head(&head("GET /a?b HTTP/1.1", &["Host: a:80", "accept: */*"])),
        "GET /a?b HTTP/1.1\r\nHost: a:80\r\naccept: */*\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\n\
         via: 1.1 slipstream\r\nx-forwarded-host: a:80\r\n\r\n"
    );
}

#[test]
fn request_without_what_a_sender_adds_is_the_same_bytes() {
    let text = head("POST /a HTTP/1.1", &["Host: a", "Content-Length: 3", "X-A: b", "Via: 1.0 before"]);
    assert_eq!(Asks::from("192.0.2.1", true, Forwarded::Off).head(&text), text);
}

#[test]
fn what_is_meant_for_one_hop_stays_behind() {
    let kept = &["Host: a", "X-A: b", "Trailer: c", "X-Z: d"][..];
    let hop =
        ["Connection: close", "Keep-Alive: timeout=5", "Proxy-Connection: x", "Upgrade: h2c", "HTTP2-Settings: x"];
    // First, between and last: each ends a run or begins one.
    for line in hop {
        for at in 0..=kept.len() {
            let mut lines = kept.to_vec();
            lines.insert(at, line);
            assert_eq!(goes_on("GET / HTTP/1.1", &lines), head("GET / HTTP/1.1", kept), "{line:?} at {at}");
        }
    }
    assert_eq!(
        goes_on("GET / HTTP/1.1", &[&hop[..], &["Host: a"], &hop].concat()),
        head("GET / HTTP/1.1", &["Host: a"])
    );
}

#[test]
fn field_that_connection_names_stays_behind_unless_it_frames_or_protects() {
    assert_eq!(
        goes_on("GET / HTTP/1.1", &["Host: a", "X-A: 1", "x-a: 2", "X-B: 3", "Connection: close, X-A"]),
        head("GET / HTTP/1.1", &["Host: a", "X-B: 3"])
    );
    let protected = ["Host: a", "Content-Length: 1", "Authorization: x", "Cookie: y", "Via: 1.1 z", "Forwarded: for=a"];
    let names = "Connection: host, content-length, authorization, cookie, via, forwarded";
    assert_eq!(goes_on("POST / HTTP/1.1", &[&protected[..], &[names]].concat()), head("POST / HTTP/1.1", &protected));
}

#[test]
fn absolute_target_becomes_a_path_and_its_host() {
    for (target, path) in [("http://b:1/p?q", "/p?q"), ("http://b:1", "/"), ("http://b:1?q", "/?q")] {
        assert_eq!(
            goes_on(&format!("GET {target} HTTP/1.1"), &["X-A: b", "Host: other"]),
            format!("GET {path} HTTP/1.1\r\nX-A: b\r\nhost: b:1\r\n\r\n")
        );
    }
    assert_eq!(goes_on("OPTIONS http://b HTTP/1.1", &["Host: a"]), "OPTIONS * HTTP/1.1\r\nhost: b\r\n\r\n");
}

#[test]
fn http_1_0_becomes_1_1_with_a_host() {
    assert_eq!(goes_on("GET / HTTP/1.0", &[]), "GET / HTTP/1.1\r\nhost: app.example:3000\r\n\r\n");
    assert_eq!(goes_on("GET / HTTP/1.0", &["Host: a"]), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let asks = Asks::from("192.0.2.1", false, Forwarded::Append);
    assert_eq!(
        asks.head(&head("GET / HTTP/1.0", &[])),
        "GET / HTTP/1.1\r\nhost: app.example:3000\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\n\
         via: 1.0 slipstream\r\n\r\n"
    );
}

#[test]
fn earlier_senders_are_appended_to() {
    let asks = Asks::from("192.0.2.1", true, Forwarded::Append);
    assert_eq!(
        asks.head(&head(
            "GET / HTTP/1.1",
            &["Host: a", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-For: 10.0.0.2", "X-A: b"]
        )),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-A: b\r\n\
         x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.1\r\nx-forwarded-host: a\r\nvia: 1.1 slipstream\r\n\r\n"
    );
    assert_eq!(
        asks.head(&head("GET / HTTP/1.1", &["Host: a", "X-Forwarded-Host: b", "Forwarded: for=c", "X-Forwarded-For:"])),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n\
         forwarded: for=c, for=192.0.2.1;proto=https\r\nvia: 1.1 slipstream\r\n\r\n"
    );
}

#[test]
fn earlier_senders_are_replaced_where_they_are_not_trusted() {
    let asks = Asks::from("192.0.2.1", true, Forwarded::Replace);
    let lines =
        ["Host: a", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: x", "X-Forwarded-Host: y", "Forwarded: for=z"];
    for lines in [&lines[..], &lines[..1]] {
        assert_eq!(
            asks.head(&head("GET / HTTP/1.1", lines)),
            "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n\
             x-forwarded-host: a\r\nvia: 1.1 slipstream\r\n\r\n"
        );
    }
}

#[test]
fn sender_is_left_out_where_it_is_not_wanted() {
    let text = head("GET / HTTP/1.1", &["Host: a", "X-Forwarded-For: b", "X-Forwarded-Proto: c", "Forwarded: for=d"]);
    assert_eq!(Asks::from("192.0.2.1", true, Forwarded::Off).head(&text), text);
}

#[test]
fn certificate_that_a_client_claims_never_goes_on() {
    for forwarded in [Forwarded::Append, Forwarded::Replace, Forwarded::Off] {
        let sent = Asks::from("192.0.2.1", true, forwarded)
            .head(&head("GET / HTTP/1.1", &["Host: a", "X-Forwarded-Client-Cert: By=me"]));
        assert!(!sent.to_lowercase().contains("client-cert"), "{sent}");
    }
}

#[test]
fn certificate_that_a_client_has_shown_goes_on_in_the_place_of_what_it_claims() {
    let lines = &["Host: a", "x_forwarded_client_cert: By=me", "X-Forwarded-Client-Cert: By=me", "Forwarded: for=b"];
    for (forwarded, lines) in
        [(Forwarded::Append, &lines[..1]), (Forwarded::Append, &lines[..]), (Forwarded::Replace, &lines[..])]
    {
        let mut asks = Asks::from("192.0.2.1", true, forwarded);
        asks.sender = asks.sender.with_client_certificate("Hash=ab;Subject=\"CN=c\"");
        let sent = asks.head(&head("GET / HTTP/1.1", lines));
        assert!(sent.contains("\r\nx-forwarded-client-cert: Hash=ab;Subject=\"CN=c\"\r\n"), "{sent}");
        assert!(!sent.contains("By=me") && sent.ends_with("\r\n\r\n"), "{sent}");
    }
    let mut asks = Asks::from("192.0.2.1", true, Forwarded::Off);
    asks.sender = asks.sender.with_client_certificate("Hash=ab");
    assert_eq!(asks.head(&head("GET / HTTP/1.1", lines)), head("GET / HTTP/1.1", &["Host: a", "Forwarded: for=b"]));
}

#[test]
fn ipv6_senders_are_written_as_each_field_wants() {
    let lines = &["Host: a", "Forwarded: for=b"];
    let sent = Asks::from("2001:db8::1", false, Forwarded::Append).head(&head("GET / HTTP/1.1", lines));
    assert!(sent.contains("x-forwarded-for: 2001:db8::1\r\n"), "{sent}");
    assert!(sent.contains("forwarded: for=b, for=\"[2001:db8::1]\";proto=http\r\n"), "{sent}");
    let mapped = Asks::from("::ffff:192.0.2.1", false, Forwarded::Append).head(&head("GET / HTTP/1.1", lines));
    assert!(mapped.contains("x-forwarded-for: 192.0.2.1\r\n") && mapped.contains(", for=192.0.2.1;"), "{mapped}");
}

#[test]
fn expectation_goes_on_where_it_counts() {
    let expects = &["Host: a", "Expect: 100-continue"];
    assert_eq!(goes_on("POST / HTTP/1.1", expects), head("POST / HTTP/1.1", expects));
    assert_eq!(goes_on("POST / HTTP/1.0", expects), head("POST / HTTP/1.1", &["Host: a"]));
}

#[test]
fn hops_are_counted_down() {
    for (came, goes) in [("10", "9"), ("1", "0"), ("4294967295", "4294967294")] {
        assert_eq!(
            goes_on("TRACE / HTTP/1.1", &[&format!("Max-Forwards: {came}"), "Host: a"]),
            format!("TRACE / HTTP/1.1\r\nHost: a\r\nmax-forwards: {goes}\r\n\r\n")
        );
    }
    assert_eq!(
        goes_on("GET / HTTP/1.1", &["Host: a", "Max-Forwards: x"]),
        head("GET / HTTP/1.1", &["Host: a", "Max-Forwards: x"])
    );
}

#[test]
fn trailers_and_chunks_are_asked_for_anew() {
    assert_eq!(
        goes_on("POST / HTTP/1.1", &["TE: gzip, trailers", "Host: a", "Transfer-Encoding: Chunked"]),
        "POST / HTTP/1.1\r\nHost: a\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    assert_eq!(goes_on("GET / HTTP/1.1", &["TE: gzip", "Host: a"]), head("GET / HTTP/1.1", &["Host: a"]));
}

#[test]
fn head_larger_than_a_buffer_is_written_whole() {
    for bytes in [HEAD_BYTES - 600, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 4 * HEAD_BYTES] {
        let big = format!("X: {}", "v".repeat(bytes));
        assert_eq!(goes_on("GET / HTTP/1.1", &["Host: a", &big]), head("GET / HTTP/1.1", &["Host: a", &big]));
        let answer = answers("HTTP/1.1 200 OK", &[&big, "Date: x"], Method::Get, Persist::Keep, false);
        assert_eq!(answer, head("HTTP/1.1 200 OK", &[&big, "Date: x", "via: 1.1 slipstream"]));
    }
}

#[test]
fn plain_answer_is_copied_and_dated() {
    let lines = ["Content-Length: 2", "server: app"];
    assert_eq!(
        answers("HTTP/1.1 200 OK", &lines, Method::Get, Persist::Keep, false),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nserver: app\r\nvia: 1.1 slipstream\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
    );
    assert_eq!(
        answers("HTTP/1.0 404 Not Found", &["Date: then", "Content-Length: 0"], Method::Get, Persist::Keep, false),
        head("HTTP/1.1 404 Not Found", &["Date: then", "Content-Length: 0", "via: 1.0 slipstream"])
    );
}

#[test]
fn answer_says_what_becomes_of_the_connection() {
    for (persist, line) in [
        (Persist::Keep, &[][..]),
        (Persist::KeepHttp10, &["connection: keep-alive"]),
        (Persist::Close, &["connection: close"]),
    ] {
        let lines = ["Date: x", "Connection: keep-alive", "Keep-Alive: timeout=5", "Content-Length: 0"];
        let expected = [&["Date: x", "Content-Length: 0", "via: 1.1 slipstream"], line].concat();
        assert_eq!(answers("HTTP/1.1 200 OK", &lines, Method::Get, persist, false), head("HTTP/1.1 200 OK", &expected));
    }
}

#[test]
fn answer_is_framed_as_its_body_goes_on() {
    assert_eq!(
        answers(
            "HTTP/1.1 200 OK",
            &["Transfer-Encoding: chunked", "Date: x", "Trailer: y"],
            Method::Get,
            Persist::Keep,
            true
        ),
        head("HTTP/1.1 200 OK", &["Date: x", "Trailer: y", "via: 1.1 slipstream", "transfer-encoding: chunked"])
    );
    assert_eq!(
        answers("HTTP/1.1 200 OK", &["Transfer-Encoding: chunked", "Date: x"], Method::Get, Persist::Close, false),
        head("HTTP/1.1 200 OK", &["Date: x", "via: 1.1 slipstream", "connection: close"])
    );
    // A HEAD and a 304 say how long the body would be; a 204 has none (RFC 9110 section 8.6).
    for (start, method) in [("HTTP/1.1 200 OK", Method::Head), ("HTTP/1.1 304 Not Modified", Method::Get)] {
        let answer = answers(start, &["Content-Length: 7", "Date: x"], method, Persist::Keep, false);
        assert_eq!(answer, head(start, &["Content-Length: 7", "Date: x", "via: 1.1 slipstream"]));
    }
    let answer =
        answers("HTTP/1.1 204 No Content", &["Content-Length: 7", "Date: x"], Method::Get, Persist::Keep, false);
    assert_eq!(answer, head("HTTP/1.1 204 No Content", &["Date: x", "via: 1.1 slipstream"]));
}

#[test]
fn interim_answer_has_neither_length_nor_date_of_ours() {
    let lines = ["Link: </a>", "Content-Length: 0"];
    assert_eq!(
        answers("HTTP/1.1 103 Early Hints", &lines, Method::Get, Persist::Keep, false),
        head("HTTP/1.1 103 Early Hints", &["Link: </a>", "via: 1.1 slipstream"])
    );
}

#[test]
fn status_line_keeps_its_reason_and_gets_its_space() {
    for (came, goes) in [
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.0 999 A  b", "HTTP/1.1 999 A  b"),
    ] {
        for lines in [&[][..], &["Date: x", "Content-Length: 0"]] {
            let answer = answers(came, lines, Method::Get, Persist::Keep, false);
            assert_eq!(answer.lines().next(), Some(goes), "{came:?}");
            assert!(answer.ends_with("\r\n\r\n") && !answer[..answer.len() - 4].contains("\r\n\r\n"), "{answer:?}");
        }
    }
}
