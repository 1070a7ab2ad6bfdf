//! What one request was: filled while it is served, counted by drop.

use super::WorkerCounters;
use crate::fault::{Fault, Kind};

/// One request, from its whole head on.
#[derive(Debug)]
pub struct Record<'w> {
    counters: &'w WorkerCounters,
}

impl<'w> Record<'w> {
    pub fn start(counters: &'w WorkerCounters) -> Record<'w> {
        counters.requests.add(1);
        counters.requests_active.rise();
        Record { counters }
    }

    /// The final or an interim head goes out with this status.
    pub fn answered(&self, status: u16) {
        self.counters.answered(status);
    }

    pub fn failed(&self, fault: Fault) {
        self.counters.failed(fault);
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.counters.requests_active.fall();
    }
}

impl WorkerCounters {
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5);
        self.responses[class - 1].add(1);
    }

    pub fn failed(&self, fault: Fault) {
        self.faults[fault.kind.index()].add(1);
        if let Kind::TimedOut(timer) | Kind::SendTimedOut(timer) = fault.kind {
            self.timeouts[timer as usize].add(1);
        }
        if let Some(why) = fault.shed() {
            self.shed[why as usize].add(1);
        }
    }
}
