//! Which worker serves a connection: the one with the least to do.
//!
//! In: a connection that a worker has accepted. Out: the same, to be served here, or nothing: it is on its way to another worker. The kernel
//! spreads connections over listeners by a hash, which with few of them leaves one worker idle beside a busy one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use crate::io::Accepted;
use crate::telemetry::WorkerCounters;

/// Connections on their way to one worker. Where more have gathered the worker is too busy to be the better one.
const ON_THE_WAY_MAX: usize = 256;

/// A connection that was accepted and has its place (`limits.connections`).
pub(crate) struct Arrival {
    pub accepted: Accepted,
    pub peer: SocketAddr,
    /// The listener, in the order of the settings.
    pub listener: usize,
}

/// Where arrivals come from others.
pub(crate) type Inbox = mpsc::Receiver<Arrival>;

/// The workers of the process.
pub(crate) struct Crew(Vec<Member>);

struct Member {
    counters: Arc<WorkerCounters>,
    inbox: mpsc::Sender<Arrival>,
    on_the_way: AtomicUsize,
}

impl Member {
    /// Connections that have a task, or are about to.
    fn load(&self) -> usize {
        let open = self.counters.connections_open.now().saturating_sub(self.counters.connections_parked.now());
        open as usize + self.on_the_way.load(Relaxed)
    }
}

impl Crew {
    /// One member and one inbox for each worker.
    pub fn new(counters: &[Arc<WorkerCounters>]) -> (Arc<Crew>, Vec<Inbox>) {
        let member = |counters: &Arc<WorkerCounters>| {
            let (inbox, received) = mpsc::channel(ON_THE_WAY_MAX);
            (Member { counters: counters.clone(), inbox, on_the_way: AtomicUsize::new(0) }, received)
        };
        let (members, inboxes) = counters.iter().map(member).unzip();
        (Arc::new(Crew(members)), inboxes)
    }

    /// Gives the arrival back where worker `me` should serve it itself: nobody has clearly less to do.
    pub fn hand_over(&self, me: usize, arrival: Arrival) -> Option<Arrival> {
        let Some(other) = self.less_loaded(me) else { return Some(arrival) };
        self.0[other].on_the_way.fetch_add(1, Relaxed);
        match self.0[other].inbox.try_send(arrival) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(arrival) | mpsc::error::TrySendError::Closed(arrival)) => {
                self.0[other].on_the_way.fetch_sub(1, Relaxed);
                Some(arrival)
            }
        }
    }

    /// Whose load is so much less than that of `me` that a wake-up across threads is worth it.
    fn less_loaded(&self, me: usize) -> Option<usize> {
        let own = self.0[me].load();
        let others = self.0.iter().enumerate().filter(|(n, _)| *n != me);
        let (other, least) = others.map(|(n, member)| (n, member.load())).min_by_key(|(_, load)| *load)?;
        (own >= least + LEAD_MIN + least / LEAD_SHARE).then_some(other)
    }

    /// An arrival of the inbox is being served.
    pub fn received(&self, me: usize) {
        self.0[me].on_the_way.fetch_sub(1, Relaxed);
    }

    /// Arrivals are on their way to worker `me`.
    pub fn expects(&self, me: usize) -> bool {
        self.0[me].on_the_way.load(Relaxed) > 0
    }
}

/// A lead of fewer connections than this, or than one in [`LEAD_SHARE`], is none.
const LEAD_MIN: usize = 2;
const LEAD_SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(open: &[u64]) -> (Arc<Crew>, Vec<Inbox>) {
        let counters: Vec<Arc<WorkerCounters>> = open.iter().map(|_| Arc::default()).collect();
        for (counters, open) in counters.iter().zip(open) {
            (0..*open).for_each(|_| counters.connections_open.rise());
        }
        Crew::new(&counters)
    }

    #[test]
    fn worker_with_clearly_less_to_do_gets_the_next_connection() {
        for (open, to) in [
            (&[0, 0][..], None),
            (&[1, 0], None),
            (&[2, 0], Some(1)),
            (&[3, 2], None),
            (&[4, 2, 1], Some(2)),
            (&[100, 90], None),
            (&[104, 90], Some(1)),
            (&[5], None),
        ] {
            assert_eq!(crew(open).0.less_loaded(0), to, "{open:?}");
        }
    }

    #[test]
    fn what_is_on_the_way_and_what_is_parked_counts() {
        let (crew, _inboxes) = crew(&[3, 0]);
        crew.0[1].on_the_way.store(2, Relaxed);
        assert_eq!(crew.less_loaded(0), None);
        crew.received(1);
        assert!(crew.expects(1) && crew.less_loaded(0) == Some(1));
        crew.0[0].counters.connections_parked.rise();
        assert_eq!(crew.less_loaded(0), None);
    }
}
