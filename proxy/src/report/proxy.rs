//! The proxy that is looked at.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;

use crate::budget::Budget;
use crate::config::{Snapshot, UpstreamSettings};
use crate::control::{Driver, Reloads};
use crate::limits::Permits;
use crate::stop::Stop;
use crate::telemetry::WorkerCounters;
use crate::telemetry::exports::ExportCounters;
use crate::tls::Certificates;

/// What the control thread knows of a proxy.
#[derive(Debug)]
pub struct Proxy {
    pub counters: Vec<Arc<WorkerCounters>>,
    pub exports: Arc<ExportCounters>,
    /// By their numbers in [`crate::telemetry::durations::ClientKey`].
    pub upstreams: Vec<Upstream>,
    pub permits: &'static Permits,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub driver: Driver,
    pub certificates: Vec<Arc<Certificates>>,
    pub budget: Arc<Budget>,
    /// What the cgroup or the environment allows; `None`: nothing limits it.
    pub memory_limit_bytes: Option<u64>,
    pub reloads: Arc<Reloads>,
    pub ready: Arc<AtomicBool>,
    pub stop: Arc<Stop>,
}

/// An upstream, as metrics name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A name as it was configured, or an IP address (IPv6 without brackets).
    pub address: String,
    pub port: u16,
}

impl Upstream {
    pub fn of(settings: &UpstreamSettings) -> Upstream {
        let authority = settings.authority.as_str();
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => inside,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        };
        Upstream { address: host.to_owned(), port: settings.addresses.first().map_or(0, |address| address.port()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_is_named_without_brackets_and_with_its_port() {
        for (authority, address, host, port) in [
            ("app.test:3000", "127.0.0.1:3000", "app.test", 3000),
            ("app.test", "127.0.0.1:80", "app.test", 80),
            ("10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1", 8080),
            ("[::1]:8080", "[::1]:8080", "::1", 8080),
            ("[::1]", "[::1]:80", "::1", 80),
        ] {
            let addresses = vec![address.parse().expect("an address")];
            let settings = UpstreamSettings { authority: authority.to_owned(), addresses };
            assert_eq!(Upstream::of(&settings), Upstream { address: host.to_owned(), port }, "{authority}");
        }
    }
}
