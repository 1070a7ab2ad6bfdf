//! Fields that frame a message, in every mixture, against the rules of RFC 9112 sections 6.1 to 6.3.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use slipstream_fuzz::framing::{Broken, Framed, Meaning, examine};
use slipstream_fuzz::head;
use slipstream_proxy::fault::{Fault, Kind};
use slipstream_proxy::fuzzing::{Body, Fields, HeadLimits, Method, parse_request, parse_response};

/// Wide: a message is refused here for its framing alone.
const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 20, fields: 256 };
/// Lines of a message, fewer than the parser's table holds.
const LINES_MAX: usize = 100;

#[derive(Debug, Arbitrary)]
struct Message<'i> {
    is_http_10: bool,
    is_head: bool,
    status: Status,
    lines: Vec<Line<'i>>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Status {
    EarlyHints = 103,
    Ok = 200,
    NoContent = 204,
    NotModified = 304,
    Unknown = 999,
}

#[derive(Debug, Arbitrary)]
enum Line<'i> {
    Length(Case, Length<'i>),
    Coding(Case, Vec<Coding<'i>>),
    Connection(Case, Vec<Choice<'i>>),
    Other,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Case {
    Lower,
    Upper,
    Usual,
}

#[derive(Debug, Arbitrary)]
enum Length<'i> {
    Small(u8),
    Any(u64),
    Zeros(u8, u8),
    Signed(u8),
    Twice(u8),
    Bytes(&'i [u8]),
}

#[derive(Debug, Arbitrary)]
enum Coding<'i> {
    Chunked(Case),
    Gzip,
    Identity,
    /// The names that are most like `chunked`.
    Almost(Almost),
    Bytes(&'i [u8]),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Almost {
    Quoted,
    WithParameter,
    Shorter,
    Longer,
    Nothing,
    Tabbed,
    Spaced,
}

#[derive(Debug, Arbitrary)]
enum Choice<'i> {
    Close(Case),
    KeepAlive(Case),
    ContentLength,
    TransferEncoding,
    Other,
    Bytes(&'i [u8]),
}

fuzz_target!(|message: Message<'_>| {
    let version = if message.is_http_10 { "1.0" } else { "1.1" };
    let mut lines = Vec::new();
    for line in message.lines.iter().take(LINES_MAX) {
        line.write(&mut lines);
    }
    lines.extend_from_slice(b"\r\n");
    let mut fields = Fields::default();

    let request = [format!("POST / HTTP/{version}\r\nhost: a\r\n").as_bytes(), &lines].concat();
    let meaning = examine(&head::read(&request).expect("a head that is well-formed"), message.is_http_10);
    let verdict = parse_request(&request, LIMITS, &mut fields).map(|head| {
        let head = head.expect("a head that is whole");
        (head.body, head.persistent)
    });
    compare(verdict, meaning, &request, false, |framed| match framed {
        Framed::Unsaid => Body::None,
        Framed::Length(length) => Body::length(length),
        Framed::Chunked => Body::chunked(),
    });

    let status = message.status as u16;
    let response = [format!("HTTP/{version} {status} Word\r\n").as_bytes(), &lines].concat();
    let meaning = examine(&head::read(&response).expect("a head that is well-formed"), message.is_http_10);
    let method = if message.is_head { Method::Head } else { Method::Get };
    let verdict = parse_response(&response, method, LIMITS, &mut fields).map(|head| {
        let head = head.expect("a head that is whole");
        (head.body, head.persistent)
    });
    compare(verdict, meaning, &response, true, |framed| match framed {
        _ if message.is_head || [103, 204, 304].contains(&status) => Body::None,
        Framed::Unsaid => Body::UntilClose,
        Framed::Length(length) => Body::length(length),
        Framed::Chunked => Body::chunked(),
    });
});

fn compare(
    verdict: Result<(Body, bool), Fault>,
    meaning: Result<Meaning, Broken>,
    head: &[u8],
    is_response: bool,
    body: impl Fn(Framed) -> Body,
) {
    let agree = match (&verdict, meaning) {
        (Ok(read), Ok(meaning)) => *read == (body(meaning.framed), meaning.persistent),
        (Err(fault), Err(_)) if is_response => fault.kind == Kind::UpstreamGarbage,
        // A head that breaks two rules may be refused for either.
        (Err(fault), Err(broken)) => {
            (broken.ambiguous && fault.kind == Kind::Malformed)
                || (broken.unknown_coding && fault.kind == Kind::NotImplemented)
        }
        _ => false,
    };
    assert!(agree, "{verdict:?}, but by the RFC: {meaning:?}, of {}", head.escape_ascii());
}

impl Line<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Line::Length(case, length) => {
                out.extend(case.of("Content-Length: ").bytes());
                length.write(out);
            }
            Line::Coding(case, members) => {
                out.extend(case.of("Transfer-Encoding: ").bytes());
                write_list(out, members, Coding::write);
            }
            Line::Connection(case, members) => {
                out.extend(case.of("Connection: ").bytes());
                write_list(out, members, Choice::write);
            }
            Line::Other => out.extend_from_slice(b"x: y"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn write_list<T>(out: &mut Vec<u8>, members: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
    for (n, member) in members.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"" } else { b", " });
        write(member, out);
    }
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Case::Lower => text.to_ascii_lowercase(),
            Case::Upper => text.to_ascii_uppercase(),
            Case::Usual => text.to_owned(),
        }
    }
}

impl Length<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Length::Small(number) => out.extend(number.to_string().bytes()),
            Length::Any(number) => out.extend(number.to_string().bytes()),
            Length::Zeros(zeros, number) => {
                out.extend(std::iter::repeat_n(b'0', usize::from(zeros % 24)));
                out.extend(number.to_string().bytes());
            }
            Length::Signed(number) => out.extend(format!("+{number}").bytes()),
            Length::Twice(number) => out.extend(format!("{number}, {number}").bytes()),
            Length::Bytes(bytes) => write_bytes(out, bytes),
        }
    }
}

impl Coding<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Coding::Chunked(case) => out.extend(case.of("Chunked").bytes()),
            Coding::Gzip => out.extend_from_slice(b"gzip"),
            Coding::Identity => out.extend_from_slice(b"identity"),
            Coding::Almost(almost) => out.extend_from_slice(match almost {
                Almost::Quoted => b"\"chunked\"",
                Almost::WithParameter => b"chunked;a=b",
                Almost::Shorter => b"chunke",
                Almost::Longer => b"xchunked",
                Almost::Nothing => b"",
                Almost::Tabbed => b"\tchunked\t",
                Almost::Spaced => b"chunked chunked",
            }),
            Coding::Bytes(bytes) => write_bytes(out, bytes),
        }
    }
}

impl Choice<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Choice::Close(case) => out.extend(case.of("Close").bytes()),
            Choice::KeepAlive(case) => out.extend(case.of("Keep-Alive").bytes()),
            Choice::ContentLength => out.extend_from_slice(b"content-length"),
            Choice::TransferEncoding => out.extend_from_slice(b"transfer-encoding"),
            Choice::Other => out.extend_from_slice(b"x"),
            Choice::Bytes(bytes) => write_bytes(out, bytes),
        }
    }
}

/// Bytes that may stand in a field value, the others replaced: the lines stay lines.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 127);
    out.extend(bytes.iter().take(64).map(|&byte| if is_text(byte) { byte } else { b'_' }));
}
