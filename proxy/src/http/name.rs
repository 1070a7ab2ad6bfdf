//! Field names that the proxy acts on, recognised once while a head is parsed.

/// A field name. Whatever the proxy does not act on is [`Name::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Age,
    Authorization,
    B3,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Expires,
    Forwarded,
    Host,
    Http2Settings,
    IfRange,
    KeepAlive,
    MaxForwards,
    Pragma,
    ProxyAuthorization,
    ProxyConnection,
    Range,
    ServerTiming,
    SetCookie,
    Te,
    Traceparent,
    Traceresponse,
    Tracestate,
    Trailer,
    TransferEncoding,
    Upgrade,
    Vary,
    Via,
    XAmznTraceId,
    /// Any name that begins with `x-b3-`.
    XB3,
    XForwardedClientCert,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRealIp,
    XRequestId,
    Other,
}

impl Name {
    /// The name that `token` spells; case is ignored (RFC 9110 section 5.1).
    ///
    /// Length and first letter leave one candidate at most, the family of X-B3 apart. X-Forwarded-Client-Cert is known with `_` for any `-` too.
    pub fn of(token: &[u8]) -> Name {
        let [first, ..] = token else { return Name::Other };
        let (known, name): (&[u8], Name) = match (token.len(), first | 0x20) {
            (7.., b'x') if spells(&token[..5], b"x-b3-") => return Name::XB3,
            (2, b't') => (b"te", Name::Te),
            (2, b'b') => (b"b3", Name::B3),
            (3, b'v') => (b"via", Name::Via),
            (3, b'a') => (b"age", Name::Age),
            (4, b'h') => (b"host", Name::Host),
            (4, b'd') => (b"date", Name::Date),
            (4, b'v') => (b"vary", Name::Vary),
            (5, b'r') => (b"range", Name::Range),
            (6, b'p') => (b"pragma", Name::Pragma),
            (6, b'c') => (b"cookie", Name::Cookie),
            (6, b'e') => (b"expect", Name::Expect),
            (7, b'u') => (b"upgrade", Name::Upgrade),
            (7, b'e') => (b"expires", Name::Expires),
            (7, b't') => (b"trailer", Name::Trailer),
            (8, b'i') => (b"if-range", Name::IfRange),
            (9, b'x') => (b"x-real-ip", Name::XRealIp),
            (9, b'f') => (b"forwarded", Name::Forwarded),
            (10, b'c') => (b"connection", Name::Connection),
            (10, b's') => (b"set-cookie", Name::SetCookie),
            (10, b'k') => (b"keep-alive", Name::KeepAlive),
            (10, b't') => (b"tracestate", Name::Tracestate),
            (11, b't') => (b"traceparent", Name::Traceparent),
            (12, b'x') => (b"x-request-id", Name::XRequestId),
            (12, b'c') => (b"content-type", Name::ContentType),
            (12, b'm') => (b"max-forwards", Name::MaxForwards),
            (13, b'c') => (b"cache-control", Name::CacheControl),
            (13, b'a') => (b"authorization", Name::Authorization),
            (13, b's') => (b"server-timing", Name::ServerTiming),
            (13, b't') => (b"traceresponse", Name::Traceresponse),
            (14, b'c') => (b"content-length", Name::ContentLength),
            (14, b'h') => (b"http2-settings", Name::Http2Settings),
            (15, b'x') if spells(token, b"x-amzn-trace-id") => return Name::XAmznTraceId,
            (15, b'x') => (b"x-forwarded-for", Name::XForwardedFor),
            (16, b'p') => (b"proxy-connection", Name::ProxyConnection),
            (16, b'x') => (b"x-forwarded-host", Name::XForwardedHost),
            (17, b't') => (b"transfer-encoding", Name::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Name::XForwardedProto),
            (19, b'p') => (b"proxy-authorization", Name::ProxyAuthorization),
            (23, b'x') if spells_in_cgi(token, b"x-forwarded-client-cert") => return Name::XForwardedClientCert,
            _ => return Name::Other,
        };
        if spells(token, known) { name } else { Name::Other }
    }

    /// Meant for the next hop alone, whatever `Connection` says (RFC 9110 section 7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade
                | Name::Http2Settings
        )
    }

    /// `Connection: <name>` does not remove it: fields that frame, route or protect a message, which no sender may declare hop-by-hop
    /// (RFC 9110 section 7.6.1), and which a client must not be able to strip from what a proxy before us has set.
    pub fn survives_connection(self) -> bool {
        matches!(
            self,
            Name::Authorization
                | Name::CacheControl
                | Name::ContentLength
                | Name::ContentType
                | Name::Cookie
                | Name::Date
                | Name::Forwarded
                | Name::Host
                | Name::SetCookie
                | Name::Trailer
                | Name::Via
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedProto
        )
    }

    /// May not stand in a trailer section: it would frame or route a message that has been framed and routed (RFC 9110 section 6.5.1).
    pub fn is_forbidden_in_trailers(self) -> bool {
        self.is_hop_by_hop()
            || matches!(
                self,
                Name::Authorization
                    | Name::CacheControl
                    | Name::ContentLength
                    | Name::ContentType
                    | Name::Cookie
                    | Name::Expect
                    | Name::Forwarded
                    | Name::Host
                    | Name::MaxForwards
                    | Name::ProxyAuthorization
                    | Name::SetCookie
                    | Name::Trailer
                    | Name::XForwardedClientCert
                    | Name::XForwardedFor
                    | Name::XForwardedHost
                    | Name::XForwardedProto
            )
    }
}

/// `token` is `known`, which is in lower case, in any case. Of all bytes of a token, bit 0x20 tells upper case from lower and nothing else.
fn spells(token: &[u8], known: &[u8]) -> bool {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (eights, rest) = token.as_chunks::<8>();
    let (known_eights, known_rest) = known.as_chunks::<8>();
    eights.iter().zip(known_eights).all(|(a, b)| u64::from_ne_bytes(*a) | LOWER == u64::from_ne_bytes(*b))
        && rest.iter().zip(known_rest).all(|(a, b)| a | 0x20 == *b)
}

/// As [`spells`], with `_` for any `-`: an app behind CGI or WSGI gets both as one name, and would take a client's for ours.
fn spells_in_cgi(token: &[u8], known: &[u8]) -> bool {
    let alike = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    token.len() == known.len() && token.iter().zip(known).all(alike)
}

/// A set of known names. [`Name::Other`] is never in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameSet(u64);

impl NameSet {
    pub const fn of(names: &[Name]) -> NameSet {
        let mut set = NameSet(0);
        let mut n = 0;
        while n < names.len() {
            set.insert(names[n]);
            n += 1;
        }
        set
    }

    #[inline]
    pub const fn insert(&mut self, name: Name) {
        if !matches!(name, Name::Other) {
            self.0 |= 1 << name as u32;
        }
    }

    pub const fn with(self, also: NameSet) -> NameSet {
        NameSet(self.0 | also.0)
    }

    pub fn has(self, name: Name) -> bool {
        self.0 >> name as u32 & 1 != 0
    }

    pub fn has_any(self, of: NameSet) -> bool {
        self.0 & of.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_equal_length_and_first_letter_are_not_mistaken() {
        for name in ["hose", "x-forwarded-foo", "contention", "te\u{7f}", "to", "transfer-encodin_"] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let set = NameSet::of(&[Name::Te, Name::XForwardedProto, Name::Other]);
        assert!(set.has_any(NameSet::of(&[Name::Te])) && set.has_any(NameSet::of(&[Name::Via, Name::XForwardedProto])));
        assert!(!set.has_any(NameSet::of(&[Name::Host])) && !set.has_any(NameSet::of(&[Name::Other])));
    }

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Name::of(b"TRANSFER-encoding"), Name::TransferEncoding);
        assert_eq!(Name::of(b"transfer_encoding"), Name::Other);
        assert_eq!(Name::of(b"X_Forwarded-Client_CERT"), Name::XForwardedClientCert);
        assert_eq!(Name::of(b"x-forwarded-client.cert"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
        for name in ["x-b3-flags", "X-B3-TraceId", "x-b3-parentspanid"] {
            assert_eq!(Name::of(name.as_bytes()), Name::XB3, "{name}");
        }
        assert_eq!(Name::of(b"X-Request-ID"), Name::XRequestId);
        assert_eq!(Name::of(b"X-Amzn-Trace-Id"), Name::XAmznTraceId);
        assert_eq!(Name::of(b"x-b3-"), Name::Other);
    }
}
