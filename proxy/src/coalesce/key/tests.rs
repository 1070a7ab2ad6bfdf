use super::*;
use crate::config::built_in_snapshot;
use crate::h1::{HeadLimits, parse_request};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 128 };

/// A request that was read.
struct Read {
    bytes: Vec<u8>,
    head: RequestHead,
    fields: Fields,
    rules: Coalescing,
    scope: Scope,
}

fn scope() -> Scope {
    Scope { upstream: 0, generation: 0, route: 0, is_tls: false, client: None }
}

fn read(head: &str) -> Read {
    let bytes = head.as_bytes().to_vec();
    let mut fields = Fields::default();
    let head = parse_request(&bytes, LIMITS, &mut fields).unwrap().unwrap();
    Read { bytes, head, fields, rules: built_in_snapshot().policy.coalescing, scope: scope() }
}

fn get(lines: &str) -> Read {
    let lines: String = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect();
    read(&format!("GET /a?b=c HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"))
}

impl Read {
    fn question(&self) -> Question<'_> {
        let Read { bytes, head, fields, rules, scope } = self;
        Question { scope: *scope, identity: b"", bytes, head, fields, rules }
    }

    fn is_eligible(&self) -> bool {
        is_eligible(&self.bytes, &self.head, &self.fields, &self.rules)
    }
}

fn kept(read: &Read) -> Kept {
    Kept::new(&read.question(), Tick::now())
}

/// Both ways: equal, and found by the same hash.
fn share(one: &Read, other: &Read) -> bool {
    let keyer = Keyer::random();
    let equal = kept(one).equals(&other.question());
    assert_eq!(equal, kept(other).equals(&one.question()));
    if equal {
        assert_eq!(keyer.hash(&one.question()), keyer.hash(&other.question()));
    }
    equal
}

#[test]
fn r01_get_without_a_body_is_eligible() {
    for lines in ["", "Accept: a", "Content-Length: 0", "Cache-Control: max-age=1, no-transform", "Pragma: x"] {
        assert!(get(lines).is_eligible(), "{lines}");
    }
}

#[test]
fn r01_each_guard_keeps_a_request_alone() {
    for lines in [
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
        "Upgrade: h2c\nConnection: upgrade",
        "Expect: 100-continue",
        "Range: bytes=0-1",
        "If-Range: \"a\"",
        "Cache-Control: no-cache",
        "Cache-Control: a=b, NO-STORE",
        "Cache-Control: max-age=0",
        "Cache-Control: max-age=\"0\"",
        "Cache-Control: max-age",
        "Cache-Control: max-age = 00",
        "Pragma: no-cache",
        "Authorization: a",
        "Cookie: a=b",
        "Proxy-Authorization: a",
    ] {
        assert!(!get(lines).is_eligible(), "{lines}");
    }
    for method in ["HEAD", "POST", "OPTIONS", "get"] {
        assert!(!read(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).is_eligible(), "{method}");
    }
}

#[test]
fn r01_mode_and_credentials_are_the_policys() {
    let mut off = get("");
    off.rules.mode = CoalescingMode::Off;
    assert!(!off.is_eligible());
    let mut let_in = get("Authorization: a\nCookie: b");
    let_in.rules.credentials = Credentials::Identical;
    assert!(let_in.is_eligible());
}

#[test]
fn r02_equal_requests_share_and_every_part_of_the_key_counts() {
    let plain = get("Accept: a");
    assert!(share(&plain, &get("Accept: a")));
    for other in [
        read("GET /a?b=d HTTP/1.1\r\nHost: a.test\r\nAccept: a\r\n\r\n"),
        read("GET //a?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: a\r\n\r\n"),
        read("GET /%61?b=c HTTP/1.1\r\nHost: a.test\r\nAccept: a\r\n\r\n"),
        read("GET /a?b=c HTTP/1.1\r\nHost: a.test:80\r\nAccept: a\r\n\r\n"),
        get("Accept: b"),
        get("accept: A"),
        get("Accept: a\nX-User: 1"),
        get("Accept: a\nAccept: a"),
        get(""),
        Read { scope: Scope { upstream: 1, ..scope() }, ..get("Accept: a") },
        Read { scope: Scope { generation: 1, ..scope() }, ..get("Accept: a") },
        Read { scope: Scope { route: 1, ..scope() }, ..get("Accept: a") },
        Read { scope: Scope { is_tls: true, ..scope() }, ..get("Accept: a") },
        Read { scope: Scope { client: Some([127, 0, 0, 1].into()), ..scope() }, ..get("Accept: a") },
    ] {
        assert!(!share(&plain, &other), "{}", String::from_utf8_lossy(&other.bytes));
        let hashes = [&plain, &other].map(|read| Keyer { keys: [3, 5, 7, 9], mask: u64::MAX }.hash(&read.question()));
        assert_ne!(hashes[0], hashes[1], "{}", String::from_utf8_lossy(&other.bytes));
    }
}

#[test]
fn r02_an_identity_is_compared() {
    let (one, keyer) = (get(""), Keyer::random());
    let shown = Question { identity: b"x-forwarded-client-cert: Hash=1\r\n", ..one.question() };
    assert!(!kept(&one).equals(&shown) && keyer.hash(&shown) != keyer.hash(&one.question()));
    assert!(Kept::new(&shown, Tick::now()).equals(&shown));
}

#[test]
fn r02_what_does_not_count_is_not_compared() {
    for (one, other) in [
        ("traceparent: 1\ntracestate: a\nb3: 1\nx-b3-traceid: 1\nx-request-id: 1\nx-amzn-trace-id: 1", ""),
        ("via: 1.1 a\nDate: x", "Via: 1.0 b"),
        ("Connection: close, x-hop\nX-Hop: 1", "Connection: x-hop\nx-hop: 2"),
        ("ACCEPT: a", "accept: a"),
        ("Accept: a\nX-A: 1\nX-A: 2", "X-A: 1\nX-A: 2\nAccept: a"),
    ] {
        assert!(share(&get(one), &get(other)), "{one} and {other}");
    }
    assert!(!share(&get("X-A: 1\nX-A: 2"), &get("X-A: 2\nX-A: 1")), "order within a name counts");
    assert!(!share(&get("X-A: 1\nX-B: 1\nX-A: 2"), &get("X-A: 2\nX-B: 1\nX-A: 1")));
}

#[test]
fn r02_the_target_in_either_form_is_one_request() {
    let absolute = read("GET http://A.test/a?b=c HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(share(&absolute, &get("")));
}

#[test]
fn r02_the_policy_adds_to_what_is_not_compared() {
    let set = |lines: &str, change: &dyn Fn(&mut Coalescing)| {
        let mut read = get(lines);
        change(&mut read.rules);
        read
    };
    let ignoring = |rules: &mut Coalescing| rules.ignore = [Box::from("x-a")].into();
    assert!(share(&set("X-A: 1", &ignoring), &set("x-a: 2", &ignoring)));
    assert!(!covers(b"X-A", &set("", &ignoring).rules) && covers(b"x-a", &get("").rules));
    let cacheable = |rules: &mut Coalescing| rules.mode = CoalescingMode::Cacheable;
    assert!(share(&set("X-Forwarded-For: 1\nX-Real-IP: 2", &cacheable), &set("", &cacheable)));
    assert!(!share(&get("X-Forwarded-For: 1"), &get("")));
    assert!(!share(&set("X-Forwarded-Host: a", &cacheable), &set("", &cacheable)));
}

#[test]
fn r03_vary_by_what_nobody_has_is_covered() {
    let rules = get("").rules;
    for token in ["Range", "if-range", "Expect", "Upgrade", "Host", "Accept", "Cookie", "Authorization", "X-Any"] {
        assert!(covers(token.as_bytes(), &rules), "{token}");
    }
    for token in ["traceparent", "X-Request-Id", "TE", "Connection", "Via"] {
        assert!(!covers(token.as_bytes(), &rules), "{token}");
    }
}

#[test]
fn r12b_twins_are_counted_while_they_are_equal_and_whole() {
    let head = b"GET / HTTP/1.1\r\n\r\n";
    let behind = |n: usize, rest: &str| [head.repeat(n), rest.as_bytes().to_vec()].concat();
    for (bytes, expected) in [
        (behind(0, ""), 0),
        (behind(3, ""), 3),
        (behind(2, "GET /"), 2),
        (behind(1, "GET /b HTTP/1.1\r\n\r\n"), 1),
        (behind(9, ""), 5),
    ] {
        assert_eq!(twins(head, &bytes, 5), expected);
    }
}
