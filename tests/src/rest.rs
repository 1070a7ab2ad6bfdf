//! What a proxy at rest has in use: nothing but connections that are idle.

use std::time::{Duration, Instant};

use crate::{DEADLINE, Metrics, Running};

/// Waits until nothing of `proxy` is in use: no request, no permit and nobody waiting for one, no flight and nothing kept of one, no
/// connection to the app but idle ones, and `clients` connections of clients. Panics at the deadline with what is left.
pub fn nothing_is_left(proxy: &Running, clients: u64) -> Metrics {
    let until = Instant::now() + DEADLINE;
    loop {
        let metrics = proxy.metrics();
        let left = left(&metrics, clients);
        if left.is_empty() {
            return metrics;
        }
        assert!(
            Instant::now() < until,
            "waited {DEADLINE:?} for nothing to be left, and there are {}",
            left.join(", ")
        );
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn left(metrics: &Metrics, clients: u64) -> Vec<String> {
    let expected = [
        ("slipstream_requests_active", 0),
        ("slipstream_permits_in_use", 0),
        ("slipstream_permits_waiting", 0),
        ("slipstream_coalesce_flights", 0),
        ("slipstream_coalesce_followers", 0),
        ("slipstream_coalesce_retained_bytes", 0),
        ("slipstream_upstream_connections_open", metrics.sum("slipstream_upstream_connections_idle")),
        ("slipstream_downstream_connections_open", clients),
    ];
    let differing = expected.into_iter().filter(|&(name, wanted)| metrics.sum(name) != wanted);
    differing.map(|(name, wanted)| format!("{} {name}, not {wanted}", metrics.sum(name))).collect()
}
