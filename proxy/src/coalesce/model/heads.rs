//! Requests and answers: real heads, read by the real parser, so that the room compares and judges what it does in the proxy.

use std::rc::Rc;

use crate::coalesce::{Question, Scope, Unshared};
use crate::config::{Coalescing, CoalescingMode, OnError};
use crate::h1::{self, HeadLimits, RequestHead, ResponseHead};
use crate::http::{Fields, Method};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

/// A kind of request. Those of one class may share an answer, whatever else of them differs.
pub struct Shape {
    pub class: usize,
    pub uri: &'static str,
    identity: &'static str,
    bytes: Vec<u8>,
    head: RequestHead,
    fields: Fields,
}

/// The digits of a request's number in its head.
const NUMBER: &str = "00000000";

/// Path, fields, who sent it, class.
const SHAPES: [(&str, &[&str], &str, usize); 8] = [
    ("/a", &["accept: text/html", "x-request-id: 00000000", "accept-language: de"], "", 0),
    // Another order, another client's trace.
    ("/a", &["accept-language: de", "traceparent: 00-1-2-03", "accept: text/html", "x-request-id: 00000000"], "", 0),
    ("/b", &["accept: text/html", "x-request-id: 00000000"], "", 1),
    // One field differs.
    ("/a", &["accept: text/plain", "x-request-id: 00000000", "accept-language: de"], "", 2),
    // Another client.
    ("/a", &["accept: text/html", "x-request-id: 00000000", "accept-language: de"], "spiffe://x/y", 3),
    ("/b?c", &["x-request-id: 00000000"], "", 4),
    ("/b?d", &["x-request-id: 00000000"], "", 5),
    ("/a/", &["x-request-id: 00000000", "x-user: 1"], "", 6),
];
pub const CLASSES: usize = 7;

thread_local! {
    static READ: Rc<[Shape]> = SHAPES.iter().map(read).collect();
}

fn read(&(uri, lines, identity, class): &(&'static str, &[&str], &'static str, usize)) -> Shape {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let bytes = format!("GET {uri} HTTP/1.1\r\nhost: app\r\n{lines}\r\n").into_bytes();
    let mut fields = Fields::default();
    let head = h1::parse_request(&bytes, LIMITS, &mut fields).unwrap().unwrap();
    Shape { class, uri, identity, bytes, head, fields }
}

/// One request.
pub struct Request {
    shapes: Rc<[Shape]>,
    shape: usize,
    /// Its number is its `X-Request-Id`.
    pub number: usize,
    pub bytes: Vec<u8>,
}

impl Request {
    pub fn new(shape: usize, number: usize) -> Request {
        let shapes = READ.with(Rc::clone);
        let mut bytes = shapes[shape].bytes.clone();
        let at = bytes.windows(NUMBER.len()).position(|digits| digits == NUMBER.as_bytes()).unwrap();
        bytes[at..at + NUMBER.len()].copy_from_slice(format!("{number:08}").as_bytes());
        Request { shapes, shape, number, bytes }
    }

    pub fn shape(&self) -> &Shape {
        &self.shapes[self.shape]
    }

    pub fn question<'a>(&'a self, generation: u64, rules: &'a Coalescing) -> Question<'a> {
        let Shape { identity, head, fields, .. } = self.shape();
        let scope = Scope { upstream: 0, generation, route: 0, is_tls: false, client: None };
        Question { scope, identity: identity.as_bytes(), bytes: &self.bytes, head, fields, rules }
    }
}

/// The number in a head, be it a request's or an answer's.
pub fn number_of(digits: &[u8]) -> usize {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// What the app says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Page,
    /// It varies by a field that is compared.
    VariesByCompared,
    NotFound,
    SetsCookie,
    Private,
    /// It varies by a field that is not compared.
    VariesByTrace,
    Fails,
}

pub const SHARED: [Says; 3] = [Says::Page, Says::VariesByCompared, Says::NotFound];
pub const UNSHARED: [Says; 4] = [Says::SetsCookie, Says::Private, Says::VariesByTrace, Says::Fails];

impl Says {
    /// As the rules say it (R3, R8), without the room's code.
    pub fn unshared(self, rules: &Coalescing) -> Option<Unshared> {
        match self {
            Says::Page | Says::VariesByCompared | Says::NotFound => None,
            Says::SetsCookie | Says::Private => Some(Unshared::Unshareable),
            Says::VariesByTrace => Some(Unshared::Vary),
            Says::Fails => (rules.on_error == OnError::Release).then_some(Unshared::Error),
        }
    }
}

/// How the body of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

/// The head of an answer.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub head: ResponseHead,
    pub fields: Fields,
}

/// The status line has the same length in all of them, and the number of the exchange comes next.
const EXCHANGE_AT: usize = "HTTP/1.1 200 x\r\nx-exchange: ".len();

impl Answer {
    pub fn new(says: Says, framing: Framing, exchange: usize, rules: &Coalescing) -> Answer {
        let fresh = if rules.mode == CoalescingMode::Cacheable { "cache-control: max-age=900\r\n" } else { "" };
        let (status, lines) = match says {
            Says::Page => (200, fresh),
            Says::VariesByCompared => (200, "cache-control: max-age=900\r\nvary: accept\r\n"),
            Says::NotFound => (404, fresh),
            Says::SetsCookie => (200, "cache-control: max-age=900\r\nset-cookie: a=b\r\n"),
            Says::Private => (200, "cache-control: private\r\n"),
            Says::VariesByTrace => (200, "cache-control: max-age=900\r\nvary: accept, traceparent\r\n"),
            Says::Fails => (503, fresh),
        };
        let framing = match framing {
            Framing::Length(bytes) => format!("content-length: {bytes}\r\n"),
            Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        };
        let bytes = format!("HTTP/1.1 {status} x\r\nx-exchange: {exchange:08}\r\n{lines}{framing}\r\n").into_bytes();
        let mut fields = Fields::default();
        let head = h1::parse_response(&bytes, Method::Get, LIMITS, &mut fields).unwrap().unwrap();
        Answer { bytes, head, fields }
    }
}

/// The exchange whose answer has this head.
pub fn exchange_of(head: &[u8]) -> usize {
    number_of(&head[EXCHANGE_AT..EXCHANGE_AT + NUMBER.len()])
}

/// The bytes of a body from `from` on: of no two exchanges the same.
pub fn body(exchange: usize, from: usize, len: usize) -> Rc<[u8]> {
    thread_local! {
        static TEXT: Vec<u8> = {
            let mut rng = super::rng::Rng::of_seed(1);
            (0..1 << 16).map(|_| rng.number() as u8).collect()
        };
    }
    let start = exchange * 263 % (1 << 15) + from;
    TEXT.with(|text| Rc::from(&text[start..start + len]))
}
