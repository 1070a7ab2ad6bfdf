//! What is counted of coalescing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Counter, Gauge, Histogram};

/// What a request was to its flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its own request went up, and others joined.
    Leader,
    Follower,
    /// Nobody joined it, or it did not wait for anybody.
    Alone,
}

impl Role {
    pub const LABELS: [&'static str; 3] = ["leader", "follower", "alone"];

    pub fn label(self) -> &'static str {
        Role::LABELS[self as usize]
    }
}

/// What became of it, or why it went alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is one that others may have.
    Shared,
    /// The answer must not be shared.
    Unshareable,
    /// The answer varies by a field that was not compared.
    Vary,
    /// A timer of this request ran out.
    Timeout,
    /// The app failed, or answered with an error that is not shared.
    Error,
    /// The flight, or the place where flights are found, had no room.
    Full,
    /// The worker holds as much of answers as it may.
    Memory,
    /// Its key, or its route, was not worth waiting for lately.
    Pass,
    /// It would have been shared; the policy only observes.
    Observed,
    /// Its client left.
    Left,
    /// It kept others waiting, and was broken off.
    Lagged,
    /// The app broke off inside the answer.
    Aborted,
}

impl Outcome {
    pub const LABELS: [&'static str; 12] = [
        "shared",
        "unshareable",
        "vary",
        "timeout",
        "error",
        "full",
        "memory",
        "pass",
        "observed",
        "left",
        "lagged",
        "aborted",
    ];

    pub fn label(self) -> &'static str {
        Outcome::LABELS[self as usize]
    }
}

/// Upper bounds of what followers wait, in milliseconds.
pub const WAIT_BOUNDS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];

/// Upper bounds of the followers of a flight.
pub const FOLLOWERS_BOUNDS: [u64; 8] = [1, 2, 4, 8, 16, 64, 256, 1_024];

#[derive(Debug, Default)]
pub struct CoalesceCounters {
    /// Eligible requests, by role and outcome.
    pub requests: [[Counter; Outcome::LABELS.len()]; Role::LABELS.len()],
    /// Flights under way that this worker leads, and their followers here.
    pub flights: Gauge,
    pub followers: Gauge,
    /// Bytes of bodies that wait for their last participant, on whatever worker: whoever drops one last counts it out.
    pub retained_bytes: Arc<AtomicU64>,
    pub pass_entries: Gauge,
    /// From joining to the head of the answer.
    pub wait_ms: Histogram<{ WAIT_BOUNDS_MS.len() }>,
    /// Of flights that had some.
    pub flight_followers: Histogram<{ FOLLOWERS_BOUNDS.len() }>,
}

impl CoalesceCounters {
    pub fn count(&self, role: Role, outcome: Outcome, requests: u64) {
        self.requests[role as usize][outcome as usize].add(requests);
    }
}
