//! Addresses: where the proxy listens, where its app is, where its admin port is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::text::by_text;
use crate::{HostName, Invalid};

/// What is spoken on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Where the proxy accepts: `https://0.0.0.0:8443`, `http://[::]:8080`. Without a port that of the scheme; port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenAddress {
    pub scheme: Scheme,
    pub socket: SocketAddr,
}

const LISTEN: &str = "http://ADDRESS:PORT or https://ADDRESS:PORT, where ADDRESS is an IP address of this machine, such as 0.0.0.0, [::] or 127.0.0.1";

impl FromStr for ListenAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new(text, LISTEN);
        let (scheme, authority) = split_url(text).ok_or_else(refuse)?;
        match split_authority(authority).ok_or_else(refuse)? {
            (Host::Ip(ip), port) => {
                Ok(ListenAddress { scheme, socket: SocketAddr::new(ip, port.unwrap_or_else(|| scheme.port())) })
            }
            (Host::Name(_), _) => Err(refuse()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.word(), self.socket)
    }
}

by_text!(ListenAddress, LISTEN, {"type": "string"});

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Ip(IpAddr),
    /// Still to be resolved.
    Name(String),
}

/// Where the app is: `http://127.0.0.1:3000`, `http://[::1]:3000`, `http://app:3000`. Without a port: 80.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    host: Host,
    port: u16,
    authority: String,
}

impl UpstreamUrl {
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as written, in lower case.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

const UPSTREAM: &str = "http://HOST:PORT, such as http://127.0.0.1:3000 (no path; the app is reached in the clear)";

impl FromStr for UpstreamUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new(text, UPSTREAM);
        let (Scheme::Http, authority) = split_url(text).ok_or_else(refuse)? else { return Err(refuse()) };
        let (host, port) = split_authority(authority).ok_or_else(refuse)?;
        let port = port.unwrap_or_else(|| Scheme::Http.port());
        if port == 0 {
            return Err(refuse());
        }
        Ok(UpstreamUrl { host, port, authority: authority.to_ascii_lowercase() })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

by_text!(UpstreamUrl, UPSTREAM, {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp]://"});

/// Where the admin port is served, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminAddress {
    Off,
    At(SocketAddr),
}

const ADMIN: &str = "ADDRESS:PORT, such as 127.0.0.1:7590 or [::]:7590, or off";

impl FromStr for AdminAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "off" | "none" => Ok(AdminAddress::Off),
            _ => text.parse().map(AdminAddress::At).map_err(|_| Invalid::new(text, ADMIN)),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Off => f.write_str("off"),
            AdminAddress::At(socket) => socket.fmt(f),
        }
    }
}

by_text!(AdminAddress, ADMIN, {"type": "string"});

/// Splits `scheme://authority`, with or without the final `/`. The scheme ignores case (RFC 3986 3.1).
fn split_url(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = [Scheme::Http, Scheme::Https].into_iter().find(|known| known.word().eq_ignore_ascii_case(scheme))?;
    Some((scheme, rest.strip_suffix('/').unwrap_or(rest)))
}

/// Splits `host[:port]`; an IPv6 address stands in brackets. An empty port is refused.
fn split_authority(authority: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (Host::Ip(IpAddr::V6(inside.parse().ok()?)), port)
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (host_of(host)?, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    Some((host, port))
}

/// A name whose last label is a number is an IPv4 address or a mistake (WHATWG URL 3.5), never a name.
fn host_of(text: &str) -> Option<Host> {
    if let Ok(ip) = text.parse() {
        return Some(Host::Ip(IpAddr::V4(ip)));
    }
    let name: HostName = text.parse().ok()?;
    let whole = name.as_str().strip_suffix('.').unwrap_or(name.as_str());
    let last = whole.rsplit('.').next().unwrap_or_default();
    (!last.is_empty() && !last.bytes().all(|byte| byte.is_ascii_digit())).then(|| Host::Name(name.as_str().to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_is_a_scheme_and_an_ip_address() {
        for (text, shown) in [
            ("https://0.0.0.0:8443", "https://0.0.0.0:8443"),
            ("http://[::]:8080", "http://[::]:8080"),
            ("HTTP://127.0.0.1:0/", "http://127.0.0.1:0"),
            ("https://[::1]", "https://[::1]:443"),
            ("http://10.0.0.1", "http://10.0.0.1:80"),
            ("http://10.0.0.1:65535", "http://10.0.0.1:65535"),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<ListenAddress>().unwrap(), address);
        }
        for text in [
            "",
            "0.0.0.0:8443",
            "tcp://0.0.0.0:1",
            "http://",
            "http://localhost:80",
            "http://::1:80",
            "http://0.0.0.0:65536",
            "http://0.0.0.0:",
            "http://0.0.0.0:+1",
            "http://0.0.0.0:80/x",
            "http://u@0.0.0.0:80",
            "http://[::1]80",
            "http://[::1%eth0]:80",
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn an_upstream_is_an_http_origin() {
        for (text, authority, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", 3000),
            ("http://[::1]:3000/", "[::1]:3000", 3000),
            ("http://App.local", "app.local", 80),
            ("http://app:1", "app:1", 1),
            ("http://app.shop.svc.cluster.local.:80", "app.shop.svc.cluster.local.:80", 80),
        ] {
            let url: UpstreamUrl = text.parse().unwrap();
            assert_eq!((url.authority(), url.port()), (authority, port));
            assert_eq!(url.to_string().parse::<UpstreamUrl>().unwrap(), url);
        }
        for text in [
            "https://127.0.0.1:3000",
            "127.0.0.1:3000",
            "http://app:0",
            "http://app:65536",
            "http://1.2.3",
            "http://256.0.0.1:80",
            "http://app..:80",
            "http://a b:80",
            "http://app/x",
            "http://app?x",
            "http://u:p@app:80",
            "unix:/run/app.sock",
        ] {
            let refusal = text.parse::<UpstreamUrl>().unwrap_err().to_string();
            assert!(refusal.contains(text) && refusal.contains("http://HOST:PORT"), "{refusal}");
        }
    }

    #[test]
    fn the_admin_port_can_be_off() {
        assert_eq!("off".parse::<AdminAddress>().unwrap(), AdminAddress::Off);
        assert_eq!(serde_json::from_str::<AdminAddress>("false").unwrap(), AdminAddress::Off);
        assert_eq!("[::]:7590".parse::<AdminAddress>().unwrap().to_string(), "[::]:7590");
        for text in ["", "7590", ":7590", "localhost:7590", "http://127.0.0.1:7590"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text:?} must be refused");
        }
    }
}
