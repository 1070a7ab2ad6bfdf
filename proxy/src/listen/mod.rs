//! Accepting: from a listening socket to a [`Downstream`] whose requests are served.
//!
//! In: a listener, its certificates. Out: connections, each a task, or parked while it is idle. Must not know: HTTP, routes.

mod connection;
mod crew;
mod detect;
mod door;
mod lot;

pub(crate) use crew::{Crew, Inbox};
pub(crate) use door::Hall;
pub(crate) use lot::{EVICTED_AT_ONCE, Lot};

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::budget::Held;
use crate::buf;
use crate::limits::Permits;
use crate::pool::Pool;
use crate::telemetry::UpstreamName;
use crate::tls::Certificates;
use crate::worker::Worker;

/// What a connection holds beside its buffers: its task and, under TLS, the session (4 KiB, parked or not).
const SERVED_BYTES: usize = 10 * 1024;
const PARKED_BYTES: usize = 5 * 1024;

/// One address on one worker: how connections begin and where their requests go.
pub(crate) struct Listening {
    pub tls: Option<Arc<Certificates>>,
    pub pool: Rc<Pool>,
    /// Where idle connections of the worker are parked.
    pub lot: Rc<Lot>,
    /// Of the process, over all workers and listeners.
    pub permits: &'static Permits,
    /// Among the upstreams of the settings: listeners in front of the same app share it.
    pub upstream: u32,
    /// `Host` of a request that came without one.
    pub upstream_authority: String,
    /// It as it is told of.
    pub told: Rc<UpstreamName>,
}

/// Open downstream connections of the process, over all workers (`limits.connections`).
#[derive(Debug, Default)]
pub(crate) struct Places(AtomicUsize);

impl Places {
    fn take(&self, limit: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |taken| (taken < limit).then_some(taken + 1)).is_ok()
    }
}

/// Counts an open connection and holds its place, until it is dropped.
struct Open {
    worker: Rc<Worker>,
    places: Arc<Places>,
    /// Its memory, buffers apart.
    held: Held,
}

impl Open {
    /// A place has been taken.
    fn new(worker: Rc<Worker>, places: Arc<Places>) -> Open {
        worker.counters.connections.add(1);
        worker.counters.connections_open.rise();
        Open { worker, places, held: Held::new(SERVED_BYTES) }
    }

    /// It is parked, or served again.
    fn is_parked(&self, parked: bool) {
        self.held.set(if parked { PARKED_BYTES } else { SERVED_BYTES });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.worker.counters.requests_active.now() == 0 {
            buf::trim();
        }
        self.worker.counters.connections_open.fall();
        self.places.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
