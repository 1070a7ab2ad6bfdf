//! Field names that the proxy acts on, recognised once while a head is parsed.

/// A field name. Whatever the proxy does not act on is [`Name::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Authorization,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    MaxForwards,
    ProxyAuthorization,
    ProxyConnection,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedClientCert,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    Other,
}

impl Name {
    /// Case is ignored (RFC 9110 section 5.1). The length rules out nearly all names before a byte is compared.
    pub fn of(name: &[u8]) -> Name {
        let candidates: &[(&str, Name)] = match name.len() {
            2 => &[("te", Name::Te)],
            3 => &[("via", Name::Via)],
            4 => &[("host", Name::Host), ("date", Name::Date)],
            6 => &[("cookie", Name::Cookie), ("expect", Name::Expect)],
            7 => &[("upgrade", Name::Upgrade), ("trailer", Name::Trailer)],
            9 => &[("forwarded", Name::Forwarded)],
            10 => &[("connection", Name::Connection), ("set-cookie", Name::SetCookie), ("keep-alive", Name::KeepAlive)],
            12 => &[("content-type", Name::ContentType), ("max-forwards", Name::MaxForwards)],
            13 => &[("cache-control", Name::CacheControl), ("authorization", Name::Authorization)],
            14 => &[("content-length", Name::ContentLength), ("http2-settings", Name::Http2Settings)],
            15 => &[("x-forwarded-for", Name::XForwardedFor)],
            16 => &[("proxy-connection", Name::ProxyConnection), ("x-forwarded-host", Name::XForwardedHost)],
            17 => &[("transfer-encoding", Name::TransferEncoding), ("x-forwarded-proto", Name::XForwardedProto)],
            19 => &[("proxy-authorization", Name::ProxyAuthorization)],
            23 => &[("x-forwarded-client-cert", Name::XForwardedClientCert)],
            _ => &[],
        };
        candidates
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map_or(Name::Other, |&(_, name)| name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Name::of(b"TRANSFER-encoding"), Name::TransferEncoding);
        assert_eq!(Name::of(b"transfer_encoding"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }
}
