//! Where idle connections are parked: no task, no buffer, only what a next request needs.
//!
//! In: connections at rest. Out: each in a task again, when something comes or its time is over. The longest idle give way where memory,
//! descriptors or `limits.connections` run short. Must not know: HTTP.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use super::{Listening, Open, connection};
use crate::downstream::{Downstream, Resting};
use crate::io::Tick;
use crate::worker::Worker;
use crate::{budget, buf};

/// Places in the order of age that belong to nobody any more are forgotten when they are more than this, and more than the others.
const STALE_MAX: usize = 256;

/// How many are closed at once where descriptors or memory have run out: each gives little.
pub(crate) const EVICTED_AT_ONCE: usize = 16;

/// How many are closed at the end before others on the worker have their turn.
const CLOSED_IN_A_ROW: usize = 64;

/// An idle connection.
struct Parked {
    resting: Resting,
    listening: Rc<Listening>,
    open: Open,
    since: Tick,
}

/// The parked connections of one worker.
#[derive(Default)]
pub(crate) struct Lot {
    parked: RefCell<Slab<Parked>>,
    /// Longest idle first. An entry is stale where that place is empty or was taken at another time.
    by_age: RefCell<VecDeque<(u32, Tick)>>,
}

impl Lot {
    /// Wakes what is stirred, for as long as the worker lives.
    pub async fn attend(self: Rc<Self>, worker: Rc<Worker>) {
        let mut keys = Vec::new();
        loop {
            worker.reactor.stirred(&mut keys).await;
            for key in keys.drain(..) {
                self.wake(&worker, key as usize);
            }
        }
    }

    pub(super) fn park(&self, worker: &Worker, downstream: Downstream, listening: Rc<Listening>, open: Open) {
        let (resting, until) = downstream.rest(&worker.snapshot().policy.timeouts);
        let since = Tick::now();
        let mut parked = self.parked.borrow_mut();
        let entry = parked.vacant_entry();
        let key = entry.key();
        resting.transport.socket().park(key as u32, until);
        open.is_parked(true);
        entry.insert(Parked { resting, listening, open, since });
        worker.counters.connections_parked.rise();
        if worker.counters.requests_active.now() == 0 {
            buf::trim();
        }
        let mut by_age = self.by_age.borrow_mut();
        by_age.push_back((key as u32, since));
        if by_age.len() > 2 * parked.len() + STALE_MAX {
            by_age.retain(|&(key, since)| parked.get(key as usize).is_some_and(|parked| parked.since == since));
        }
    }

    fn wake(&self, worker: &Rc<Worker>, key: usize) {
        // It may have been closed since, to make room.
        let Some(Parked { resting, listening, open, .. }) = self.parked.borrow_mut().try_remove(key) else { return };
        worker.counters.connections_parked.fall();
        open.is_parked(false);
        let timer = resting.transport.socket().unpark();
        if let Some(timer) = timer {
            worker.idle_expired(timer);
        }
        if budget::is_full() && self.evict(worker, EVICTED_AT_ONCE) == 0 {
            // Thousands may wake at once: their tasks alone would be too much.
            resting.transport.farewell();
            worker.counters.connections_evicted.add(1);
            return;
        }
        let task_worker = worker.clone();
        worker.spawn(move || async move {
            match timer {
                Some(_) => resting.wake().linger().await,
                None => connection::serve(task_worker, listening, resting.wake(), open).await,
            }
        });
    }

    /// Makes room by closing those that have been idle for longest, at most `count`. Returns how many.
    pub fn evict(&self, worker: &Worker, count: usize) -> usize {
        let mut closed = 0;
        while closed < count {
            let Some((key, since)) = self.by_age.borrow_mut().pop_front() else { break };
            let mut parked = self.parked.borrow_mut();
            if parked.get(key as usize).is_none_or(|parked| parked.since != since) {
                continue;
            }
            let gone = parked.remove(key as usize);
            drop(parked);
            gone.resting.transport.farewell();
            drop(gone);
            worker.counters.connections_parked.fall();
            closed += 1;
        }
        worker.counters.connections_evicted.add(closed as u64);
        closed
    }

    /// Ends all of them: those that something has come to are served, and then close by themselves.
    pub async fn close_all(&self, worker: &Rc<Worker>) {
        let keys: Vec<usize> = self.parked.borrow().iter().map(|(key, _)| key).collect();
        for (n, key) in keys.into_iter().enumerate() {
            if self.parked.borrow().get(key).is_some_and(|parked| parked.resting.transport.socket().has_come()) {
                self.wake(worker, key);
            } else if let Some(parked) = self.parked.borrow_mut().try_remove(key) {
                parked.resting.transport.farewell();
                worker.counters.connections_parked.fall();
                worker.counters.closed_by_drain[1].add(1);
            }
            if n % CLOSED_IN_A_ROW == CLOSED_IN_A_ROW - 1 {
                worker.reactor.yield_now().await;
            }
        }
    }
}
