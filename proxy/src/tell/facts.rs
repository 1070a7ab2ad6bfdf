//! What spans, records and lines say alike.

use crate::fault::{Fault, Kind};
use crate::http::{Method, Version};
use crate::telemetry::{Place, RequestStory};

/// Monotonic time as that of the world. Made anew now and then: the world's clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// At one moment.
    pub monotonic_ns: u64,
    pub unix_ns: u64,
}

impl Clock {
    pub fn unix_ns(self, monotonic_ns: u64) -> u64 {
        if monotonic_ns >= self.monotonic_ns {
            self.unix_ns.saturating_add(monotonic_ns - self.monotonic_ns)
        } else {
            self.unix_ns.saturating_sub(self.monotonic_ns - monotonic_ns)
        }
    }
}

/// An address and its port, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub address: String,
    pub port: Option<u16>,
}

impl Host {
    /// Of `host[:port]`, an IPv6 address in brackets.
    pub fn parse(authority: &str) -> Host {
        let (address, port) = match authority.rsplit_once(':') {
            Some((address, port)) if !port.ends_with(']') => (address, port.parse().ok()),
            _ => (authority, None),
        };
        let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
        Host { address: bare.unwrap_or(address).to_owned(), port }
    }
}

/// How a span of HTTP is called: never by its path, of which there is no end.
pub(super) fn name(method: Method, route: Option<&'static str>) -> String {
    let method = if method == Method::Other { "HTTP" } else { method.name() };
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    }
}

/// The caller gave it up.
pub(super) fn is_cancel(fault: Option<Fault>) -> bool {
    fault.is_some_and(|fault| fault.kind == Kind::ClientGone)
}

impl RequestStory {
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Who asked first, as far as it is believed.
    pub(super) fn client_address(&self) -> String {
        let told = if self.trusts_forwarding { self.asked.text(Place::Client) } else { None };
        told.map_or_else(|| self.peer.ip().to_string(), |client| Host::parse_client(&client))
    }

    /// `error.type`: our word, else the status of the app's 5xx.
    pub(super) fn error_type(&self) -> Option<String> {
        match self.fault {
            _ if is_cancel(self.fault) => None,
            Some(fault) => Some(fault.word().to_owned()),
            None => (self.status >= 500).then(|| self.status.to_string()),
        }
    }
}

impl Host {
    /// An element of `X-Forwarded-For`: an address, which some write with its port.
    fn parse_client(element: &str) -> String {
        if element.parse::<std::net::IpAddr>().is_ok() { element.to_owned() } else { Host::parse(element).address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_told_apart() {
        for (text, address, port) in [
            ("a.example", "a.example", None),
            ("a.example:8080", "a.example", Some(8080)),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("a:", "a", None),
            ("", "", None),
        ] {
            assert_eq!(Host::parse(text), Host { address: address.to_owned(), port }, "{text}");
        }
        for (element, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[::1]:1", "::1"),
        ] {
            assert_eq!(Host::parse_client(element), address);
        }
    }

    #[test]
    fn spans_are_named_by_method_and_route() {
        assert_eq!(name(Method::Get, Some("/a/*")), "GET /a/*");
        assert_eq!(name(Method::Patch, None), "PATCH");
        assert_eq!(name(Method::Other, None), "HTTP");
    }

    #[test]
    fn times_before_and_after_the_moment_are_told() {
        let clock = Clock { monotonic_ns: 100, unix_ns: 1000 };
        assert_eq!((clock.unix_ns(150), clock.unix_ns(100), clock.unix_ns(40)), (1050, 1000, 940));
    }
}
