//! HTTP/1 messages as the neighbours of the proxy read them: by the letter of RFC 9112, nothing repaired.

use std::io::Read;

use crate::inlet::{End, Inlet};

/// Field lines in the order they came. Text is Latin-1: one character a byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The values of all lines with this name, names compared without case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only line with this name; panics where there are more.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "more than one {name}: {all:?}");
        all.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// All lines of this name as one list (RFC 9110 section 5.3).
    pub fn joined(&self, name: &str) -> String {
        self.all(name).join(", ")
    }
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// A start line and field lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub line: String,
    pub fields: Fields,
}

/// A message that did not come to its end, with what did come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub end: End,
    pub head: Option<Head>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Fields,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection may carry another exchange after this answer (RFC 9112 section 9.3).
    pub fn keeps(&self) -> bool {
        let options = self.fields.joined("connection").to_ascii_lowercase();
        let named = |option| options.split(',').any(|have| have.trim() == option);
        match self.version.as_str() {
            "HTTP/1.1" => !named("close"),
            _ => named("keep-alive"),
        }
    }
}

impl Request {
    /// Reads one request. `None`: the connection ended cleanly before its first byte.
    pub fn read<S: Read>(inlet: &mut Inlet<S>) -> Result<Option<Request>, Broken> {
        match Request::read_head(inlet)? {
            Some(request) => request.read_body(inlet).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a head only; the body stays in the connection.
    pub fn read_head<S: Read>(inlet: &mut Inlet<S>) -> Result<Option<Request>, Broken> {
        let Some(head) = read_head(inlet)? else { return Ok(None) };
        let framing = request_framing(&head).map_err(|why| malformed(&head, why))?;
        let mut parts = head.line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(&head, format!("a request line without three parts: {:?}", head.line)));
        };
        let known = matches!(version, "HTTP/1.1" | "HTTP/1.0");
        if !is_token(method) || target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) || !known {
            return Err(malformed(&head, format!("a malformed request line: {:?}", head.line)));
        }
        if head.fields.all("host").len() != 1 {
            return Err(malformed(&head, "not exactly one Host".into()));
        }
        Ok(Some(Request {
            method: method.into(),
            target: target.into(),
            version: version.into(),
            fields: head.fields,
            framing,
            body: Vec::new(),
            trailers: Fields::default(),
        }))
    }

    /// Reads the body of a head that [`Request::read_head`] gave.
    pub fn read_body<S: Read>(mut self, inlet: &mut Inlet<S>) -> Result<Request, Broken> {
        match read_body(inlet, self.framing, &mut self.body) {
            Ok(trailers) => Ok(Request { trailers, ..self }),
            Err(end) => {
                let line = format!("{} {} {}", self.method, self.target, self.version);
                Err(Broken { end, head: Some(Head { line, fields: self.fields }), body: self.body })
            }
        }
    }
}

impl Response {
    /// Reads one response, interim ones included, to a request with `method`.
    pub fn read<S: Read>(inlet: &mut Inlet<S>, method: &str) -> Result<Response, Broken> {
        let mut response = Response::read_head(inlet, method)?;
        match read_body(inlet, response.framing, &mut response.body) {
            Ok(trailers) => Ok(Response { trailers, ..response }),
            Err(end) => {
                let line = format!("{} {} {}", response.version, response.status, response.reason);
                Err(Broken { end, head: Some(Head { line, fields: response.fields }), body: response.body })
            }
        }
    }

    /// Reads a head only; the body stays in the connection.
    pub fn read_head<S: Read>(inlet: &mut Inlet<S>, method: &str) -> Result<Response, Broken> {
        let Some(head) = read_head(inlet)? else {
            return Err(Broken { end: End::Clean, head: None, body: Vec::new() });
        };
        let bad_line = || malformed(&head, format!("a malformed status line: {:?}", head.line));
        let (version, rest) = head.line.split_once(' ').ok_or_else(bad_line)?;
        let (status, reason) = rest.split_once(' ').ok_or_else(bad_line)?;
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !digits {
            return Err(bad_line());
        }
        let status: u16 = status.parse().map_err(|_| bad_line())?;
        let framing = response_framing(&head, status, method).map_err(|why| malformed(&head, why))?;
        let (version, reason) = (version.to_string(), reason.to_string());
        let (fields, body, trailers) = (head.fields, Vec::new(), Fields::default());
        Ok(Response { version, status, reason, fields, framing, body, trailers })
    }
}

fn malformed(head: &Head, why: String) -> Broken {
    Broken { end: End::Malformed(why), head: Some(head.clone()), body: Vec::new() }
}

/// Reads a start line and field lines up to the empty line. `None`: a clean end before the first byte.
fn read_head<S: Read>(inlet: &mut Inlet<S>) -> Result<Option<Head>, Broken> {
    let mut head = Head::default();
    if inlet.held().is_empty() {
        match inlet.fill() {
            Ok(()) => {}
            Err(End::Clean) => return Ok(None),
            Err(end) => return Err(Broken { end, head: None, body: Vec::new() }),
        }
    }
    let read = (|| {
        head.line = inlet.line()?;
        head.fields = read_fields(inlet)?;
        Ok(())
    })();
    match read {
        Ok(()) => Ok(Some(head)),
        Err(end) => Err(Broken { end, head: None, body: inlet.held().to_vec() }),
    }
}

/// Field lines up to and with the empty line.
fn read_fields<S: Read>(inlet: &mut Inlet<S>) -> Result<Fields, End> {
    let mut fields = Fields::default();
    loop {
        let line = inlet.line()?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| End::Malformed(format!("a field line without a colon: {line:?}")))?;
        if !is_token(name) {
            return Err(End::Malformed(format!("a malformed field name: {line:?}")));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(End::Malformed(format!("a control character in a field value: {line:?}")));
        }
        fields.0.push((name.into(), value.trim_matches([' ', '\t']).into()));
    }
}

fn read_body<S: Read>(inlet: &mut Inlet<S>, framing: Framing, body: &mut Vec<u8>) -> Result<Fields, End> {
    match framing {
        Framing::None => Ok(Fields::default()),
        Framing::Length(length) => {
            while body.len() < length {
                if inlet.held().is_empty() {
                    inlet.fill()?;
                }
                let count = inlet.held().len().min(length - body.len());
                body.extend(inlet.take(count)?);
            }
            Ok(Fields::default())
        }
        Framing::Chunked => read_chunks(inlet, body),
        Framing::UntilClose => {
            let (rest, end) = inlet.rest();
            body.extend(rest);
            match end {
                End::Clean => Ok(Fields::default()),
                end => Err(end),
            }
        }
    }
}

/// Chunks, the last chunk, trailers (RFC 9112 section 7.1). Extensions are refused: the proxy may not forward them.
fn read_chunks<S: Read>(inlet: &mut Inlet<S>, body: &mut Vec<u8>) -> Result<Fields, End> {
    loop {
        let line = inlet.line()?;
        let hex = !line.is_empty() && line.len() <= 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex {
            return Err(End::Malformed(format!("a malformed chunk size: {line:?}")));
        }
        let size = usize::from_str_radix(&line, 16).map_err(|error| End::Malformed(error.to_string()))?;
        if size == 0 {
            return read_fields(inlet);
        }
        read_body(inlet, Framing::Length(body.len() + size), body)?;
        if inlet.take(2)? != b"\r\n" {
            return Err(End::Malformed("chunk data that is not followed by CRLF".into()));
        }
    }
}

fn request_framing(head: &Head) -> Result<Framing, String> {
    Ok(declared(head)?.unwrap_or(Framing::None))
}

fn response_framing(head: &Head, status: u16, method: &str) -> Result<Framing, String> {
    let declared = declared(head)?;
    Ok(match (status, method, declared) {
        (100..=199 | 204 | 304, _, _) | (_, "HEAD", _) => Framing::None,
        (_, _, Some(framing)) => framing,
        (_, _, None) => Framing::UntilClose,
    })
}

/// What Content-Length and Transfer-Encoding say; any doubt is an error.
fn declared(head: &Head) -> Result<Option<Framing>, String> {
    let (lengths, codings) = (head.fields.all("content-length"), head.fields.all("transfer-encoding"));
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(Framing::Length(length.parse().map_err(|_| format!("an overflowing length: {length}"))?)))
        }
        _ => Err(format!("framing in doubt: Content-Length {lengths:?}, Transfer-Encoding {codings:?}")),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
