//! Accepting: from a listening socket to a [`Downstream`] whose requests are served.
//!
//! In: a listener, its certificates. Out: connections, each a task, or parked while it is idle. Must not know: HTTP, routes.

mod connection;
mod detect;
mod lot;

pub(crate) use lot::{EVICTED_AT_ONCE, Lot};

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::budget::{self, Held};
use crate::io::{Listener, Tick};
use crate::limits::Permits;
use crate::pool::Pool;
use crate::tls::Certificates;
use crate::worker::Worker;

/// How long a worker that can take no connection (no descriptor is free, `limits.connections` are open) waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections accepted in one go, before the others on the worker have their turn.
const ACCEPTS_IN_A_ROW: usize = 32;

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
    pub permits: Arc<Permits>,
    /// `Host` of a request that came without one.
    pub upstream_authority: String,
}

/// Open downstream connections of the process, over all workers (`limits.connections`).
#[derive(Debug, Default)]
pub(crate) struct Places(AtomicUsize);

impl Places {
    fn take(&self, limit: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |taken| (taken < limit).then_some(taken + 1)).is_ok()
    }
}

/// Accepts until the task is dropped.
///
/// Over the limit, without a descriptor or memory, the longest idle connection gives way. Where none is idle, the new one waits, unserved, for one that
/// ends; those behind it wait in the kernel's queue.
pub(crate) async fn accept(worker: Rc<Worker>, listener: Listener, listening: Rc<Listening>, places: Arc<Places>) {
    let mut in_a_row = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                while !places.take(worker.snapshot().policy.limits.connections) {
                    make_room(&worker, &listening.lot, 1).await;
                }
                while budget::is_full() {
                    make_room(&worker, &listening.lot, EVICTED_AT_ONCE).await;
                }
                let open = Open::new(worker.clone(), places.clone());
                let (task_worker, listening) = (worker.clone(), listening.clone());
                worker.spawn(move || connection::begin(task_worker, listening, stream, peer, open));
            }
            Err(_) => make_room(&worker, &listening.lot, EVICTED_AT_ONCE).await,
        }
        in_a_row += 1;
        if in_a_row == ACCEPTS_IN_A_ROW {
            in_a_row = 0;
            worker.reactor.yield_now().await;
        }
    }
}

async fn make_room(worker: &Worker, lot: &Lot, places: usize) {
    if lot.evict(worker, places) == 0 {
        worker.reactor.sleep_until(Tick::now().after(ACCEPT_PAUSE)).await;
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
        self.worker.counters.connections_open.fall();
        self.places.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
