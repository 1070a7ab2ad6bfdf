//! A head, read by the letter.

/// Fields for one hop alone (RFC 9110 section 7.6.1).
pub const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"];

/// Fields that `Connection` cannot remove, as `Name::survives_connection` documents them.
const SURVIVES: [&str; 14] = [
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "host",
    "set-cookie",
    "trailer",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// A field line: its name in lower case, its value without the white space around it, and the line as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'h> {
    pub name: String,
    pub value: &'h [u8],
    pub line: &'h [u8],
}

#[derive(Debug)]
pub struct Head<'h> {
    pub start: &'h [u8],
    pub lines: Vec<Line<'h>>,
}

/// Reads a head that is the whole of `bytes`. Errors: what is wrong, for people.
pub fn read(bytes: &[u8]) -> Result<Head<'_>, String> {
    let mut rest = bytes;
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or("a head without an end")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            break;
        }
        if let Some(byte) = line.iter().find(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err(format!("control character {byte:#x} in a line"));
        }
        lines.push(line);
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes behind the head", rest.len()));
    }
    if lines.is_empty() {
        return Err("no start line".into());
    }
    let start = lines.remove(0);
    let lines = lines.into_iter().map(field).collect::<Result<_, _>>()?;
    Ok(Head { start, lines })
}

fn field(line: &[u8]) -> Result<Line<'_>, String> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or("a field line without a colon")?;
    let name = &line[..colon];
    if !is_token(name) {
        return Err(format!("a field name that is no token: {:?}", name.escape_ascii().to_string()));
    }
    let name = name.iter().map(|&byte| char::from(byte.to_ascii_lowercase())).collect();
    Ok(Line { name: known_in_cgi(name), value: trim(&line[colon + 1..]), line })
}

/// The one name that is known with `_` for any `-` too, as `Name::of` documents it.
fn known_in_cgi(name: String) -> String {
    const KNOWN: &str = "x-forwarded-client-cert";
    if name.replace('_', "-") == KNOWN { KNOWN.into() } else { name }
}

/// RFC 9110 section 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Without spaces and tabs around it (RFC 9110 section 5.6.3).
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a list, trimmed and in lower case, empty ones among them.
pub fn members(value: &[u8]) -> Vec<String> {
    let member = |member: &[u8]| trim(member).iter().map(|&byte| char::from(byte.to_ascii_lowercase())).collect();
    value.split(|&byte| byte == b',').map(member).collect()
}

impl<'h> Head<'h> {
    pub fn values(&self, name: &str) -> Vec<&'h [u8]> {
        self.lines.iter().filter(|line| line.name == name).map(|line| line.value).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// The members of all lines of a name.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.values(name).into_iter().flat_map(members).filter(|member| !member.is_empty()).collect()
    }

    /// Field names that `Connection` makes hop-by-hop beyond those that always are. `close` and `keep-alive` are options, no fields.
    pub fn nominated(&self) -> Vec<String> {
        let mut names = self.list("connection");
        names.retain(|name| name != "close" && !HOP_BY_HOP.contains(&&**name) && !SURVIVES.contains(&&**name));
        names
    }

    /// Lines that go on as they came, in order: those end-to-end, without `ours`, which the proxy may change.
    pub fn end_to_end(&self, nominated: &[String], ours: &[&str]) -> Vec<&'h [u8]> {
        let stays = |name: &str| {
            !HOP_BY_HOP.contains(&name) && !ours.contains(&name) && !nominated.iter().any(|other| other == name)
        };
        self.lines.iter().filter(|line| stays(&line.name)).map(|line| line.line).collect()
    }
}

/// What must hold of every head that the proxy sends: not framed twice, and coded at most by `chunked`, said once.
pub fn check_framed_once(sent: &Head<'_>) {
    let (lengths, codings) = (sent.values("content-length"), sent.values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "framed more than once: {lengths:?} {codings:?}");
    assert!(lengths.iter().all(|value| value.len() <= 18 && value.iter().all(u8::is_ascii_digit) && !value.is_empty()));
    assert!(codings.iter().all(|value| *value == b"chunked"), "{codings:?}");
}
