//! Where a request is served and by which rules: what every wait on the way to the app needs to know.

use std::rc::Rc;

use crate::config::RoutePolicy;
use crate::fault::Fault;
use crate::io::{Deadline, Tick};
use crate::listen::{EVICTED_AT_ONCE, Listening};
use crate::pool::{Ages, Lease, NO_DESCRIPTOR};
use crate::timeouts::Timer;
use crate::worker::Worker;

#[derive(Clone, Copy)]
pub(super) struct Site<'r> {
    pub worker: &'r Rc<Worker>,
    pub listening: &'r Rc<Listening>,
    pub policy: &'r RoutePolicy,
    /// `timeouts.request` of whoever waits. `None`: there is none, or several wait and each looks at its own.
    pub deadline: Option<Deadline>,
}

impl Site<'_> {
    /// A new connection to the app, for which idle connections give way where there is no descriptor left.
    pub async fn connect(&self) -> Result<Lease, Fault> {
        loop {
            let connected = self.listening.pool.connect(self.ages(), self.deadline).await;
            let is_short = matches!(connected, Err(fault) if fault == NO_DESCRIPTOR);
            if !is_short || self.listening.lot.evict(self.worker, EVICTED_AT_ONCE) == 0 {
                return connected;
            }
            self.worker.reactor.until_closed().await;
        }
    }

    pub fn ages(&self) -> Ages {
        let timeouts = &self.policy.timeouts;
        Ages { connect: timeouts.connect, idle: timeouts.upstream_idle, age: timeouts.max_connection_age }
    }

    pub fn idle_deadline(&self) -> Deadline {
        Deadline::after(self.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.deadline)
    }

    /// Of a wait that begins at `now`.
    pub fn head_deadline(&self, now: Tick) -> Deadline {
        let timeouts = &self.policy.timeouts;
        let from_now = |wait, timer| Deadline { at: now.after(wait), timer };
        let headers = timeouts.response_headers.map(|wait| from_now(wait, Timer::ResponseHeaders));
        from_now(timeouts.stream_idle, Timer::StreamIdle).or(self.deadline).or(headers)
    }

    /// `timeouts.queue` from now on. `None`: there is no queue.
    pub fn queue_deadline(&self) -> Option<Deadline> {
        self.policy.concurrency.limit.map(|_| Deadline::after(self.policy.timeouts.queue, Timer::Queue))
    }
}
