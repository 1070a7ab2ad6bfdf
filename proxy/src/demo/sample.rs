//! The proxy's counters at one moment, summed over its workers.

use std::sync::Arc;

use crate::fault::Kind;
use crate::telemetry::WorkerCounters;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) connections: u64,
    pub(super) connections_open: u64,
    pub(super) handshakes: u64,
    pub(super) requests: u64,
    pub(super) active: u64,
    /// By class, 1xx first.
    pub(super) responses: [u64; 5],
    pub(super) upstream_requests: u64,
    pub(super) upstream_reused: u64,
    pub(super) upstream_replays: u64,
    pub(super) upstream_connects: u64,
    pub(super) upstream_open: u64,
    pub(super) upstream_idle: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// Those above zero.
    pub(super) faults: Vec<(&'static str, u64)>,
}

impl Sample {
    pub(super) fn of(counters: &[Arc<WorkerCounters>]) -> Sample {
        let sum = |number: &dyn Fn(&WorkerCounters) -> u64| counters.iter().map(|worker| number(worker)).sum::<u64>();
        let faults = Kind::LABELS.iter().enumerate().map(|(i, &kind)| (kind, sum(&|worker| worker.faults[i].sum())));
        Sample {
            connections: sum(&|worker| worker.connections.sum()),
            connections_open: sum(&|worker| worker.connections_open.now()),
            handshakes: sum(&|worker| worker.tls_handshakes.sum()),
            requests: sum(&|worker| worker.requests.sum()),
            active: sum(&|worker| worker.requests_active.now()),
            responses: std::array::from_fn(|class| sum(&|worker| worker.responses[class].sum())),
            upstream_requests: sum(&|worker| worker.upstream_requests.sum()),
            upstream_reused: sum(&|worker| worker.upstream_reused.sum()),
            upstream_replays: sum(&|worker| worker.upstream_replays.sum()),
            upstream_connects: sum(&|worker| worker.upstream_connects.sum()),
            upstream_open: sum(&|worker| worker.upstream_connections_open.now()),
            upstream_idle: sum(&|worker| worker.upstream_connections_idle.now()),
            bytes_received: sum(&|worker| worker.bytes_received.sum()),
            bytes_sent: sum(&|worker| worker.bytes_sent.sum()),
            faults: faults.filter(|&(_, n)| n > 0).collect(),
        }
    }

    /// Of a hundred requests to the app, those that found a warm connection. `None`: there were none.
    pub(super) fn reuse_percent(&self) -> Option<f64> {
        (self.upstream_requests > 0).then(|| 100.0 * self.upstream_reused as f64 / self.upstream_requests as f64)
    }
}
