//! What is exported, where to and how; as the environment says it.

use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::{Propagators, Sampler};

/// All that the environment says of telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub propagators: Propagators,
    pub sampler: Sampler,
    /// `None`: not exported.
    pub traces: Option<Target>,
    pub metrics: Option<Target>,
    pub logs: Option<Target>,
    pub batches: Batches,
}

/// How what is exported is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    pub spans: Batch,
    pub records: Batch,
    /// Metrics are read and sent so often.
    pub metric_interval: Duration,
}

/// How items are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Items that wait; what comes beyond is dropped.
    pub queue_max: usize,
    pub size: usize,
    /// The longest that the first item of a batch waits for others.
    pub delay: Duration,
}

/// A collector, for one signal.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub protocol: Protocol,
    pub url: Url,
    /// Names and values that every request carries.
    pub headers: Vec<(String, String)>,
    pub gzip: bool,
    /// For one message, with all that is tried for it.
    pub timeout: Duration,
    pub tls: TlsFiles,
}

/// Values of headers are credentials: they are not shown.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let Target { protocol, url, gzip, timeout, tls, .. } = self;
        write!(f, "Target {{ {protocol:?}, {url}, headers: {names:?}, gzip: {gzip}, timeout: {timeout:?}, {tls:?} }}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    HttpProtobuf,
    Grpc,
}

/// PEM files. Without `ca` the roots of the system count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    /// Certificate and key that we show.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// `http[s]://host[:port][/path]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub is_tls: bool,
    /// An IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// As it was given; may be empty.
    pub path: String,
    /// With its question mark; may be empty.
    pub query: String,
}

impl Url {
    /// Errors: what is wrong with it. `usual_port` where it has none; of https that is 443, where a gateway in front of a collector listens.
    pub fn parse(text: &str, is_tls: Option<bool>, usual_port: u16) -> Result<Url, &'static str> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err("its scheme is neither http nor https"),
            // gRPC endpoints are often given as host:port.
            None => match is_tls {
                Some(is_tls) => (is_tls, text),
                None => return Err("it begins with neither http:// nor https://"),
            },
        };
        if rest.contains(['#', '@', ' ']) {
            return Err("a fragment, a user or a space has no place in it");
        }
        let (rest, query) = rest.find('?').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                (host, Some(port.strip_prefix(':').ok_or("its host is no IPv6 address in brackets")?))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err("it has no host that could be one");
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("its port is no number of 1 to 65535")?,
            None if text.starts_with("https://") => 443,
            None => usual_port,
        };
        Ok(Url { is_tls, host: host.to_owned(), port, path: path.to_owned(), query: query.to_owned() })
    }

    /// What a request asks for.
    pub fn target(&self) -> String {
        format!("{}{}", if self.path.is_empty() { "/" } else { &self.path }, self.query)
    }

    /// A text that may be a URL, without what in it may be a secret: a user, a query.
    pub fn redacted(text: &str) -> String {
        let text = text.split_once('?').map_or(text.to_owned(), |(before, _)| format!("{before}?..."));
        match (text.find("://"), text.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => format!("{}://...{}", &text[..scheme], &text[at..]),
            (None, Some(at)) => format!("...{}", &text[at..]),
            _ => text,
        }
    }

    /// `host:port`, as in `Host` and `:authority`.
    pub fn authority(&self) -> String {
        let Url { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.is_tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_whole_or_refused() {
        for (text, shown) in [
            ("http://c:4318", "http://c:4318"),
            ("http://c", "http://c:4318"),
            ("https://c.example/base/", "https://c.example:443/base/"),
            ("https://c:4318?key=secret", "https://c:4318"),
            ("http://[::1]:1/", "http://[::1]:1/"),
            ("http://[::1]", "http://[::1]:4318"),
        ] {
            assert_eq!(Url::parse(text, None, 4318).map(|url| url.to_string()), Ok(shown.to_owned()), "{text}");
        }
        assert_eq!(Url::parse("c:4317", Some(false), 4317).map(|url| url.to_string()), Ok("http://c:4317".to_owned()));
        for text in [
            "c:4318",
            "ftp://c",
            "http://",
            "http://c:0",
            "http://c:x",
            "http://c:99999",
            "http://u@c",
            "http://[::1]x",
            "http://a b",
        ] {
            assert!(Url::parse(text, None, 4318).is_err(), "{text}");
        }
    }

    #[test]
    fn target_has_the_query_and_nothing_that_is_shown_has_a_secret() {
        let url = Url::parse("https://c/v1/traces/?key=secret", None, 4318).expect("a URL");
        assert_eq!(
            (url.target(), url.to_string()),
            ("/v1/traces/?key=secret".into(), "https://c:443/v1/traces/".into())
        );
        for (text, shown) in
            [("http://user:pass@c:1/x?key=1", "http://...@c:1/x?..."), ("user@c", "...@c"), ("http://c", "http://c")]
        {
            assert_eq!(Url::redacted(text), shown);
        }
    }
}
