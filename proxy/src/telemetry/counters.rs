//! Counters of one worker: written by that worker alone, read by anyone, so neither side waits or contends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::durations::{ClientKey, Durations, ServerKey};

/// A number that only grows. One writer: a plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn sum(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls. One writer, as [`Counter`].
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn rise(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub fn fall(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    pub fn rise_by(&self, n: u64) {
        self.set(self.now().wrapping_add(n));
    }

    pub fn fall_by(&self, n: u64) {
        self.set(self.now().wrapping_sub(n));
    }

    pub fn set(&self, to: u64) {
        self.0.store(to, Relaxed);
    }

    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How a connection ended because the proxy ends: with the answer that said so, or while it carried no request.
pub const CLOSED_BY_DRAIN: [&str; 2] = ["answered", "idle"];

/// What one worker counts. Names and meanings are those of `/metrics` (see `report::metrics`).
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Downstream connections accepted.
    pub connections: Counter,
    /// Of those, the ones handed over to another worker, which serves them.
    pub connections_handed_over: Counter,
    /// Downstream connections open now.
    pub connections_open: Gauge,
    /// Of those, the ones that are parked: idle, without a task.
    pub connections_parked: Gauge,
    /// Idle connections closed to make room.
    pub connections_evicted: Counter,
    /// TLS handshakes that ended well, and not.
    pub tls_handshakes: Counter,
    pub tls_handshake_failures: Counter,
    /// Of those that ended well, the ones that resumed a session.
    pub tls_resumptions: Counter,
    /// Plain connections on a listener with TLS that lets them in.
    pub tls_plain_connections: Counter,
    /// Requests whose head was read whole and was well-formed.
    pub requests: Counter,
    /// Requests between their whole head and the last byte of their answer.
    pub requests_active: Gauge,
    /// The same by scheme and method.
    pub requests_active_by: super::ActiveRequests,
    /// How long they took, from the whole head to the last byte of the answer; and what the app was asked, from the first byte sent.
    pub server_durations: Durations<ServerKey>,
    pub client_durations: Durations<ClientKey>,
    /// Spans and lines of the access log that found their ring full.
    pub spans_dropped: Counter,
    pub lines_dropped: Counter,
    /// Answers by the class of their status: index 0 is 1xx (101 and interim), index 4 is 5xx. Those that we made ourselves count too.
    pub responses: [Counter; 5],
    /// Requests sent to an upstream, replays included.
    pub upstream_requests: Counter,
    /// Upstream connections opened; requests that found a warm one.
    pub upstream_connects: Counter,
    pub upstream_connect_failures: Counter,
    pub upstream_reused: Counter,
    pub upstream_connections_open: Gauge,
    pub upstream_connections_idle: Gauge,
    /// Requests sent once more because a reused connection had gone stale.
    pub upstream_replays: Counter,
    /// Times that a task kept the worker from all others, for longer than [`crate::worker`] finds fair; and the longest lately.
    pub stalls: Counter,
    pub stall: super::Stall,
    /// Tasks that panicked; each cost its own connection only.
    pub panics: Counter,
    /// Connections of clients that could have gone on, by how they ended: [`CLOSED_BY_DRAIN`].
    pub closed_by_drain: [Counter; CLOSED_BY_DRAIN.len()],
    /// Requests in flight when nothing was waited for any more.
    pub requests_broken_off: Counter,
    /// Faults by [`crate::fault::Kind`], at `Kind::index`.
    pub faults: [Counter; crate::fault::Kind::COUNT],
    /// Timeouts by [`crate::timeouts::Timer`], in the order of `Timer::ALL`.
    pub timeouts: [Counter; crate::timeouts::Timer::COUNT],
    /// Requests that waited for a permit, however the wait ended, and for how long in sum.
    pub queue_waits: Counter,
    pub queue_wait_ms: Counter,
    /// Requests shed by [`crate::fault::Shed`], in the order of its kinds; and those that would have been, where the limit only observes.
    pub shed: [Counter; crate::fault::Shed::LABELS.len()],
    pub would_shed: [Counter; crate::fault::Shed::LABELS.len()],
    /// Permits given back at the head of an answer whose end may be far.
    pub permits_released_early: Counter,
    pub coalesce: super::CoalesceCounters,
    /// Body bytes: from clients, to clients.
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
}
