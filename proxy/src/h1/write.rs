//! Heads out: what came is copied in runs, what is meant for one hop alone is left out, ours is added.

use std::net::IpAddr;

use super::request::RequestHead;
use super::response::ResponseHead;
use super::target::Target;
use crate::buf::Buf;
use crate::config::Forwarded;
use crate::http::{Fields, Name, NameSet, Version, list};

/// Our name in `Via` (RFC 9110 section 7.6.3).
const VIA_10: &[u8] = b"via: 1.0 slipstream\r\n";
const VIA_11: &[u8] = b"via: 1.1 slipstream\r\n";

/// Longest head that is added to what came, the longest address and numbers included.
const ADDED_BYTES_MAX: usize = 512;

/// Who sends requests on a connection: written once, copied into each of them.
#[derive(Debug)]
pub struct Sender {
    address: Box<[u8]>,
    proto: &'static [u8],
    is_v6: bool,
    /// X-Forwarded-For, -Proto, Via and the start of X-Forwarded-Host of a request that came with none of them.
    usual: Box<[u8]>,
    /// The line X-Forwarded-Client-Cert of a client that has shown a certificate, else nothing.
    client_certificate: Box<[u8]>,
}

impl Sender {
    pub fn new(address: IpAddr, is_tls: bool) -> Sender {
        let address = address.to_canonical();
        let (text, proto) = (address.to_string(), if is_tls { "https" } else { "http" });
        let usual = format!(
            "x-forwarded-for: {text}\r\nx-forwarded-proto: {proto}\r\nvia: 1.1 slipstream\r\nx-forwarded-host: "
        );
        Sender {
            address: text.into_bytes().into_boxed_slice(),
            proto: proto.as_bytes(),
            is_v6: address.is_ipv6(),
            usual: usual.into_bytes().into_boxed_slice(),
            client_certificate: Box::default(),
        }
    }

    /// `element` is printable ASCII.
    pub fn with_client_certificate(self, element: &str) -> Sender {
        let line = format!("x-forwarded-client-cert: {element}\r\n");
        self.with_client_certificate_line(line.into_bytes().into_boxed_slice())
    }

    /// `line` is what [`Sender::into_client_certificate`] gave.
    pub fn with_client_certificate_line(self, line: Box<[u8]>) -> Sender {
        Sender { client_certificate: line, ..self }
    }

    /// Who the client has shown to be, as the app is told; empty where it has not.
    pub fn identity(&self) -> &[u8] {
        &self.client_certificate
    }

    /// All of a sender that its address does not tell.
    pub fn into_client_certificate(self) -> Box<[u8]> {
        self.client_certificate
    }
}

/// What a request head is made from.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The bytes that the head was parsed from.
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    pub fields: &'a Fields,
    pub sender: &'a Sender,
    pub forwarded: Forwarded,
    /// The `Host` of a request that came without one.
    pub upstream_authority: &'a str,
    /// Fields that are not copied, and the lines in their place.
    pub replaced: NameSet,
    pub added: &'a [u8],
}

/// Appends the head of the request as the app is to see it: HTTP/1.1, persistent. Returns where in `out` the added lines are.
///
/// Source: RFC 9110 sections 7.6 and 7.8, RFC 9112 section 3.2.2.
pub fn ask_head(out: &mut Buf, ask: Ask<'_>) -> usize {
    let Ask { bytes, head, fields, .. } = ask;
    out.reserve(head.len + ADDED_BYTES_MAX + ask.upstream_authority.len() + ask.added.len());
    let is_absolute = matches!(head.target, Target::Absolute { .. });
    if is_absolute {
        out.put(head.method_in(bytes));
        out.put(b" ");
        let path = head.path_and_query_in(bytes);
        if path.starts_with(b"?") {
            out.put(b"/");
        }
        out.put(path);
    } else {
        let (at, len) = head.target_span;
        out.put(&bytes[..at + len]);
    }
    out.put(b" HTTP/1.1\r\n");
    let special = is_absolute || fields.known().has_any(SPECIAL_IN_REQUESTS.with(ask.replaced));
    let came = copy_lines(
        out,
        bytes,
        head.len,
        fields,
        special,
        |name, nominated| match name {
            Name::Host => !is_absolute,
            Name::Expect => head.expects_continue,
            Name::MaxForwards => head.max_forwards.is_none(),
            Name::XForwardedClientCert => false,
            Name::XForwardedFor | Name::Forwarded => ask.forwarded == Forwarded::Off,
            Name::XForwardedProto | Name::XForwardedHost => ask.forwarded != Forwarded::Replace,
            name => !name.is_hop_by_hop() && !nominated && !ask.replaced.has(name),
        },
        head.nominates,
    );
    let added_at = out.len();
    out.put(ask.added);
    let authority = head.authority_in(bytes);
    match authority {
        Some(authority) if is_absolute => put_line(out, b"host: ", authority),
        None => put_line(out, b"host: ", ask.upstream_authority.as_bytes()),
        Some(_) => {}
    }
    if ask.forwarded != Forwarded::Off {
        out.put(&ask.sender.client_certificate);
    }
    match ask.forwarded {
        Forwarded::Off => {}
        Forwarded::Append if !came.any_forwarding && head.version == Version::Http11 && authority.is_some() => {
            out.put(&ask.sender.usual);
            put_line(out, b"", authority.unwrap_or_default());
        }
        Forwarded::Append | Forwarded::Replace => put_forwarding(out, ask, came, authority),
    }
    if let Some(hops) = head.max_forwards {
        put_line(out, b"max-forwards: ", hops.saturating_sub(1).to_string().as_bytes());
    }
    if head.wants_trailers {
        out.put(b"te: trailers\r\nconnection: te\r\n");
    }
    if head.body.is_chunked() {
        out.put(b"transfer-encoding: chunked\r\n");
    }
    out.put(b"\r\n");
    added_at
}

fn put_line(out: &mut Buf, name: &[u8], value: &[u8]) {
    out.put(name);
    out.put(value);
    out.put(b"\r\n");
}

/// Lines of these names may have to be left out of a request, or change what is added to it.
const SPECIAL_IN_REQUESTS: NameSet = NameSet::of(&[
    Name::Connection,
    Name::Expect,
    Name::Forwarded,
    Name::Http2Settings,
    Name::KeepAlive,
    Name::MaxForwards,
    Name::ProxyConnection,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
    Name::XForwardedClientCert,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
]);

/// As above, in a response.
const SPECIAL_IN_RESPONSES: NameSet = NameSet::of(&[
    Name::Connection,
    Name::Http2Settings,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
]);

/// Forwarding fields that came with a request.
#[derive(Debug, Clone, Copy, Default)]
struct Came {
    any_forwarding: bool,
    proto: bool,
    host: bool,
}

/// Copies the field lines: all where there is nothing `special`, else those that `keep` (given the name, and whether `Connection` nominates
/// it) says go on, in runs.
fn copy_lines(
    out: &mut Buf,
    bytes: &[u8],
    head_len: usize,
    fields: &Fields,
    special: bool,
    keep: impl Fn(Name, bool) -> bool,
    nominates: bool,
) -> Came {
    let mut came = Came::default();
    if !special {
        let from = fields.lines().first().map_or(head_len - 2, |field| field.line_at());
        out.put(&bytes[from..head_len - 2]);
        return came;
    }
    let mut run: Option<usize> = None;
    for (n, field) in fields.lines().iter().enumerate() {
        match field.name {
            Name::XForwardedFor | Name::Forwarded => came.any_forwarding = true,
            Name::XForwardedProto => (came.any_forwarding, came.proto) = (true, true),
            Name::XForwardedHost => (came.any_forwarding, came.host) = (true, true),
            _ => {}
        }
        let nominated =
            nominates && !field.name.survives_connection() && is_nominated(bytes, fields, field.name_in(bytes));
        if keep(field.name, nominated) {
            run.get_or_insert(field.line_at());
        } else if let Some(from) = run.take() {
            out.put(&bytes[from..field.line_at()]);
        }
        if n + 1 == fields.lines().len()
            && let Some(from) = run
        {
            out.put(&bytes[from..fields.line_end(n, head_len)]);
        }
    }
    came
}

pub(super) fn is_nominated(bytes: &[u8], fields: &Fields, name: &[u8]) -> bool {
    fields.all(bytes, Name::Connection).flat_map(list).any(|option| option.eq_ignore_ascii_case(name))
}

/// The forwarding fields of a request that came with some, or whose own are replaced.
fn put_forwarding(out: &mut Buf, ask: Ask<'_>, came: Came, authority: Option<&[u8]>) {
    let Ask { bytes, fields, sender, .. } = ask;
    let append = ask.forwarded == Forwarded::Append;
    let earlier = |name| fields.all(bytes, name).filter(move |value| append && !value.is_empty());
    out.put(b"x-forwarded-for: ");
    for value in earlier(Name::XForwardedFor) {
        out.put(value);
        out.put(b", ");
    }
    put_line(out, b"", &sender.address);
    if !(append && came.proto) {
        put_line(out, b"x-forwarded-proto: ", sender.proto);
    }
    if let Some(authority) = authority.filter(|_| !(append && came.host)) {
        put_line(out, b"x-forwarded-host: ", authority);
    }
    if earlier(Name::Forwarded).next().is_some() {
        out.put(b"forwarded: ");
        for value in earlier(Name::Forwarded) {
            out.put(value);
            out.put(b", ");
        }
        // An IPv6 address is quoted and bracketed (RFC 7239 section 6.1).
        let (open, close): (&[u8], &[u8]) = if sender.is_v6 { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
        out.put(open);
        out.put(&sender.address);
        out.put(close);
        out.put(b";proto=");
        put_line(out, b"", sender.proto);
    }
    out.put(if ask.head.version == Version::Http11 { VIA_11 } else { VIA_10 });
}

/// What becomes of the client's connection after this answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    /// HTTP/1.1 keeps it without a word.
    Keep,
    /// HTTP/1.0 asked to keep it, and is told that it is.
    KeepHttp10,
    Close,
}

/// What a response head is made from.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead<'a> {
    /// The bytes that the head was parsed from.
    pub bytes: &'a [u8],
    pub head: &'a ResponseHead,
    pub fields: &'a Fields,
    pub persist: Persist,
    /// The body goes on in chunks.
    pub chunked: bool,
    /// What to say where the app said nothing (RFC 9110 section 6.6.1).
    pub date: &'a [u8; 29],
    /// Our member of `Cache-Status` (RFC 9211), behind those of the app.
    pub cache_status: Option<&'a str>,
    /// The client did not ask for this answer itself, and is not told what concerns whoever did.
    pub shared: Option<Shared<'a>>,
}

/// How a client that shares an answer is told apart from the one whose request went up.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// `X-Request-Id` of both requests.
    pub asked: Option<&'a [u8]>,
    pub own: Option<&'a [u8]>,
}

impl<'a> AnswerHead<'a> {
    /// With the body as it came.
    pub fn new(
        bytes: &'a [u8],
        head: &'a ResponseHead,
        fields: &'a Fields,
        persist: Persist,
        date: &'a [u8; 29],
    ) -> AnswerHead<'a> {
        AnswerHead { bytes, head, fields, persist, chunked: false, date, cache_status: None, shared: None }
    }
}

/// Names whose lines are about one request, not about what it asked for.
const OF_ONE_REQUEST: NameSet = NameSet::of(&[Name::ServerTiming, Name::Traceresponse, Name::XRequestId]);

/// Appends the head of the response as the client is to see it.
pub fn answer_head(out: &mut Buf, answer: &AnswerHead<'_>) {
    let AnswerHead { bytes, head, fields, persist, chunked, date, cache_status, shared } = *answer;
    let own_bytes = shared.and_then(|shared| shared.own).map_or(0, <[u8]>::len);
    out.reserve(head.len + ADDED_BYTES_MAX + own_bytes);
    let line_end = fields.lines().first().map_or(head.len - 2, |field| field.line_at());
    out.put(b"HTTP/1.1");
    // Version and status have fixed places: `HTTP/1.x nnn`.
    out.put(&bytes[8..12]);
    out.put(if bytes[12] == b' ' { &bytes[12..line_end] } else { b" \r\n" });
    let drop_length = head.is_interim() || head.status == 204;
    let is_told_apart = shared.is_some() && fields.known().has_any(OF_ONE_REQUEST);
    let special = drop_length || is_told_apart || fields.known().has_any(SPECIAL_IN_RESPONSES);
    copy_lines(
        out,
        bytes,
        head.len,
        fields,
        special,
        |name, nominated| match name {
            Name::ContentLength => !drop_length,
            Name::ServerTiming | Name::Traceresponse | Name::XRequestId if shared.is_some() => false,
            name => !name.is_hop_by_hop() && !nominated,
        },
        head.nominates,
    );
    out.put(if head.version == Version::Http11 { VIA_11 } else { VIA_10 });
    if !fields.known().has_any(NameSet::of(&[Name::Date])) && !head.is_interim() {
        put_line(out, b"date: ", date);
    }
    if let Some(Shared { asked: Some(asked), own: Some(own) }) = shared {
        // The app echoes the request's own.
        if fields.all(bytes, Name::XRequestId).any(|echoed| echoed == asked) {
            put_line(out, b"x-request-id: ", own);
        }
    }
    if let Some(member) = cache_status {
        put_line(out, b"cache-status: ", member.as_bytes());
    }
    if chunked {
        out.put(b"transfer-encoding: chunked\r\n");
    }
    match persist {
        Persist::Keep => {}
        Persist::KeepHttp10 => out.put(b"connection: keep-alive\r\n"),
        Persist::Close => out.put(b"connection: close\r\n"),
    }
    out.put(b"\r\n");
}

#[cfg(test)]
mod tests;
