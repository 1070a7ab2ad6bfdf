//! Requests that the proxy has to accept, in every shape that the RFC allows and a few that only habit does, and how the app must see each.

use slipstream_tests::Rng;

/// What a client sends on one connection.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub meant: Vec<Meant>,
}

/// How one request of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    pub method: String,
    /// As the app sees it.
    pub target: String,
    pub body: Vec<u8>,
}

/// Rarely one that not every server takes.
const METHODS: &[&str] =
    &["GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND"];
const RARE_METHODS: &[&str] = &["TRACE", "BREW", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~"];

const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/b.html",
    "/a//b",
    "/a/./b",
    "/a/b/../c",
    "/%41%2f%2e",
    "/%e2%82%ac",
    "/a;p=1;q",
    "/~u/!$&'()*+,;=:@",
    "/a/",
    "/-._",
    "/HTTP/1.1",
    "/a:80",
    "//b/c",
    "/.",
    "/%0d%0aX:%20y",
    "/a&b",
];
const RARE_PATHS: &[&str] = &["/../a", "/a\"b", "/{x}|y", "/a\\b", "/^`", "/<>", "/%", "/%zz", "/%00", "/a[0]"];
const QUERIES: &[&str] =
    &["", "", "", "?", "?a=b&c=d", "?x=/../y", "?a?b", "?%20+", "?http://c/", "?a=%00", "?\"<>|{}", "?%"];
const HOSTS: &[&str] =
    &["a", "a.test", "a.test:8080", "A.Test", "127.0.0.1", "[::1]", "[::1]:80", "a:", "xn--bcher-kva.example", "a_b"];
const SPACES: &[&str] = &["", " ", " ", " ", " ", "  ", "\t", " \t "];

/// Names and values that are legal, some of them only just.
const FIELDS: &[(&str, &str)] = &[
    ("Accept", "*/*"),
    ("ACCEPT-encoding", "gzip;q=0, identity"),
    ("User-Agent", "slipstream (test; \"quoted\")"),
    ("Cookie", "a=b; c=\"d\""),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Authorization", "Basic YTpi"),
    ("X-Empty", ""),
    ("X-Obs-Text", "caf\u{e9} \u{ff}\u{80}"),
    ("X-Tab", "a\tb"),
    ("X-Quoted", "\"a \\\"b\\\" \\\\\""),
    ("X-Colons", ":a:b::c:"),
    ("X-Commas", ", ,a,,b ,"),
    ("X-Framing", "Transfer-Encoding: chunked"),
    ("X-Line", "GET / HTTP/1.1"),
    ("X-Escapes", "\\r\\n%0d%0a"),
    ("x-lower", "v"),
    ("X_Under", "1"),
    ("x.dot", "1"),
    ("!#$%&'*+-.^_`|~", "all of them"),
    ("7", "digit"),
    ("Content_Length", "7"),
    ("Transfer_Encoding", "chunked"),
    ("Content-Lengths", "3"),
    ("Transfer-Encodings", "gzip"),
    ("Trailer", "X-Sum"),
    ("TE", "trailers"),
    ("Connection", "keep-alive"),
    ("Connection", "x-hop, X-Lower"),
    ("Connection", "content-length, host, transfer-encoding"),
    ("X-Hop", "one"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Upgrade", "websocket"),
    ("Max-Forwards", "7"),
    ("Via", "1.0 fred, 1.1 p.example"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=192.0.2.1;host=\"a,b\""),
    ("Range", "bytes=0-1"),
    ("If-None-Match", "W/\"x\", *"),
    ("Host-", "b"),
];

/// Fields that may come once.
const SINGULAR: &[&str] = &["Authorization", "If-None-Match", "Max-Forwards"];

const BODIES: &[&[u8]] = &[
    b"",
    b"hello",
    b"x",
    b"\r\n",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"\0\xff\x80\n\n\r",
];
const EXTENSIONS: &[&str] = &["", "", "", ";a", ";a=b", ";a=\"b;c\"", "; a = b", ";a;b"];
const TRAILERS: &[&str] = &["", "", "", "X-Sum: 1\r\n", "X-Sum:\r\nx-sum: \t2 \r\n", "X-Obs: caf\u{e9}\r\n"];

/// One to three requests, one behind the other.
pub fn connection(rng: &mut Rng) -> Made {
    let mut made = Made::default();
    // One empty line before a request is skipped (RFC 9112 section 2.2).
    if rng.percent(3) {
        made.bytes.extend_from_slice(b"\r\n");
    }
    let more = [0, 0, 0, 0, 0, 0, 1, 1, 2];
    for left in (0..=rng.pick(&more)).rev() {
        request(rng, left == 0, &mut made);
    }
    made
}

fn request(rng: &mut Rng, is_last: bool, made: &mut Made) {
    let method = if rng.percent(3) { rng.pick(RARE_METHODS) } else { rng.pick(METHODS) };
    let host = rng.pick(HOSTS);
    let (said, target) = target(rng, method, host);
    let is_10 = rng.percent(8);
    let mut lines = fields(rng);
    if !(is_10 && rng.percent(50)) {
        lines.push(format!("Host:{}{host}{}", rng.pick(&["", " ", " ", "  "]), rng.pick(&["", "", " "])));
    }
    match (is_10, is_last) {
        (true, false) => lines.push("Connection: keep-alive".into()),
        (false, true) if rng.percent(10) => lines.push("Connection: close".into()),
        _ => {}
    }
    let has_body = rng.percent(if matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS") { 10 } else { 85 });
    let body = if has_body { body(rng) } else { Vec::new() };
    let mut framed = Vec::new();
    if has_body && !is_10 && rng.percent(50) {
        let name = rng.pick(&["Transfer-Encoding", "transfer-encoding"]);
        lines.push(format!("{name}:{}chunked", rng.pick(&["", " ", " "])));
        framed = chunked(rng, &body);
    } else if has_body {
        let zeros = if rng.percent(5) { "00" } else { "" };
        lines.push(format!("{}: {zeros}{}", rng.pick(&["Content-Length", "CONTENT-LENGTH"]), body.len()));
        framed.clone_from(&body);
    }
    if has_body && rng.percent(5) {
        lines.push("Expect: 100-continue".into());
    }
    // Host and framing may stand anywhere among the fields.
    for at in (1..lines.len()).rev() {
        lines.swap(at, rng.below(at + 1));
    }
    let version = if is_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    put(&mut made.bytes, &format!("{method} {said} {version}\r\n"));
    for line in lines {
        put(&mut made.bytes, &line);
        put(&mut made.bytes, "\r\n");
    }
    put(&mut made.bytes, "\r\n");
    made.bytes.extend(framed);
    made.meant.push(Meant { method: method.into(), target, body });
}

/// What the client says, and what the app is to see of it (RFC 9112 section 3.2).
fn target(rng: &mut Rng, method: &str, host: &str) -> (String, String) {
    let path = if rng.percent(3) { rng.pick(RARE_PATHS) } else { rng.pick(PATHS) };
    let path = format!("{path}{}", rng.pick(QUERIES));
    match (rng.below(20), method) {
        (0, "OPTIONS") => ("*".into(), "*".into()),
        (1, "OPTIONS") => (format!("http://{host}"), "*".into()),
        (0, _) => (format!("http://{host}"), "/".into()),
        (1, _) => (format!("http://{host}?q"), "/?q".into()),
        (2, _) => (format!("http://{host}{path}"), path),
        (3, _) => (format!("HTTPS://{host}{path}"), path),
        _ => (path.clone(), path),
    }
}

fn fields(rng: &mut Rng) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for _ in 0..rng.pick(&[0, 1, 2, 3, 5, 40]) {
        let (name, value) = rng.pick(FIELDS);
        if !SINGULAR.contains(&name) || !lines.iter().any(|line| line.starts_with(name)) {
            lines.push(format!("{name}:{}{value}{}", rng.pick(SPACES), rng.pick(SPACES)));
        }
    }
    if rng.percent(2) {
        lines.push(format!("X-Long: {}", "v".repeat(4000)));
    }
    lines
}

fn body(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => (0..rng.below(300)).map(|_| rng.byte()).collect(),
        _ => rng.pick(BODIES).to_vec(),
    }
}

fn chunked(rng: &mut Rng, body: &[u8]) -> Vec<u8> {
    let (mut framed, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(1 + rng.below(rest.len()));
        let size = match rng.below(4) {
            0 => format!("{:X}", chunk.len()),
            1 => format!("{:03x}", chunk.len()),
            _ => format!("{:x}", chunk.len()),
        };
        put(&mut framed, &format!("{size}{}\r\n", rng.pick(EXTENSIONS)));
        framed.extend_from_slice(chunk);
        put(&mut framed, "\r\n");
        rest = behind;
    }
    let last = rng.pick(&["0", "0", "0", "000"]);
    put(&mut framed, &format!("{last}{}\r\n{}\r\n", rng.pick(EXTENSIONS), rng.pick(TRAILERS)));
    framed
}

/// Text is Latin-1: one character a byte.
fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.chars().map(|c| c as u8));
}
