//! Idle connections: how long they may be, and who throws them away.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Pool;
use crate::io::{Stream, Tick};

/// An announced idle time is the app's, measured from when it sent; ours ends earlier by this much.
const ANNOUNCED_MARGIN: Duration = Duration::from_secs(1);

/// Of the shortest idle time after which the app was seen to close, this share is used: in percent.
const LEARNED_PERCENT: u32 = 80;

/// No app waits less than this for the next request. One that closes sooner is ending or has failed, which says nothing of its idle time.
const LEARNED_MIN: Duration = Duration::from_millis(500);

/// What was learned so long ago is forgotten: a restart may have taught it, or the app has another configuration by now.
const LEARNED_FOR: Duration = Duration::from_secs(600);

/// A connection that has been idle for so long gives its memory back: the next request is not at its heels.
const REST_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Idle {
    pub stream: Stream,
    pub born: Tick,
    pub since: Tick,
    /// `Keep-Alive: timeout=` of the last response.
    pub announced: Option<Duration>,
}

impl Idle {
    pub fn is_good(&self, now: Tick, limit: Duration, age: Option<Duration>) -> bool {
        now < self.until(limit) && age.is_none_or(|age| now.since(self.born) < age)
    }

    fn next_look(&self, limit: Duration) -> Tick {
        let rests = if self.stream.is_restless() { self.since.after(REST_AFTER) } else { Tick::NEVER };
        rests.min(self.until(limit))
    }

    fn until(&self, limit: Duration) -> Tick {
        let announced = self.announced.map_or(limit, |announced| announced.saturating_sub(ANNOUNCED_MARGIN));
        self.since.after(limit.min(announced))
    }
}

/// An idle connection that the app closed.
#[derive(Debug, Clone, Copy)]
struct Observed {
    idle: Duration,
    at: Tick,
}

/// What the app's own closes have taught.
#[derive(Default)]
pub(super) struct Learned {
    shortest: Cell<Option<Observed>>,
    configured: Cell<Option<Duration>>,
}

impl Learned {
    /// The idle time in force, `configured` at most.
    pub fn limit(&self, now: Tick, configured: Duration) -> Duration {
        self.configured.set(Some(configured));
        let Some(shortest) = self.shortest.get() else { return configured };
        if now.since(shortest.at) >= LEARNED_FOR {
            self.shortest.set(None);
            return configured;
        }
        configured.min(shortest.idle * LEARNED_PERCENT / 100)
    }

    fn observe(&self, now: Tick, idle: Duration) {
        if idle >= LEARNED_MIN && self.shortest.get().is_none_or(|shortest| idle < shortest.idle) {
            self.shortest.set(Some(Observed { idle, at: now }));
        }
    }

    pub fn current(&self, now: Tick) -> Duration {
        self.limit(now, self.configured.get().unwrap_or(Duration::MAX))
    }
}

/// How idle connections reach the task that watches them.
pub(super) struct Sweeper {
    waker: RefCell<Option<Waker>>,
    /// When it looks next, unless it is woken.
    naps_until: Cell<Tick>,
}

impl Default for Sweeper {
    fn default() -> Sweeper {
        Sweeper { waker: RefCell::default(), naps_until: Cell::new(Tick::NEVER) }
    }
}

impl Sweeper {
    /// Something that comes on the connection wakes the sweeper, and so does the end of its time.
    pub fn watch(&self, connection: &Idle, limit: Duration) {
        let waker = self.waker.borrow();
        let Some(waker) = waker.as_ref() else { return };
        connection.stream.watch_idle(waker);
        let next = connection.next_look(limit);
        if next < self.naps_until.get() {
            self.naps_until.set(next);
            waker.wake_by_ref();
        }
    }

    /// Nothing has come on the idle `stream`.
    pub fn is_quiet(&self, stream: &Stream) -> bool {
        stream.is_quiet(self.waker.borrow().as_ref().unwrap_or(Waker::noop()))
    }
}

/// Throws away what has gone stale or old, for as long as the worker lives. Costs nothing while nothing is idle.
pub(super) async fn sweep(pool: Rc<Pool>) {
    let alarm = pool.reactor.alarm();
    loop {
        let next = pool.drop_bad();
        pool.sweeper.naps_until.set(next);
        let mut nap = pin!(alarm.reached(next));
        let mut polled = false;
        std::future::poll_fn(|cx| {
            *pool.sweeper.waker.borrow_mut() = Some(cx.waker().clone());
            let done = nap.as_mut().poll(cx).is_ready();
            // Any wake, of the nap or of a connection, is a reason to look.
            if done || std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Pool {
    /// Drops idle connections that are over, and learns from those that the app has closed. Returns when to look again.
    fn drop_bad(&self) -> Tick {
        let now = Tick::now();
        let limit = self.learned.current(now);
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|connection| {
            let quiet = self.sweeper.is_quiet(&connection.stream);
            if !quiet {
                self.learned.observe(now, now.since(connection.since));
            }
            quiet && connection.is_good(now, limit, None)
        });
        for _ in idle.len()..before {
            self.counters.upstream_connections_idle.fall();
            self.counters.upstream_connections_open.fall();
        }
        for connection in idle.iter().filter(|connection| now.since(connection.since) >= REST_AFTER) {
            connection.stream.rest();
        }
        idle.iter().map(|connection| connection.next_look(limit)).min().unwrap_or(Tick::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(30);

    #[test]
    fn shortest_idle_time_that_the_app_bore_is_kept_to_with_a_margin() {
        let (learned, now) = (Learned::default(), Tick(1_000_000));
        learned.observe(now, Duration::from_secs(10));
        learned.observe(now, Duration::from_secs(5));
        learned.observe(now, Duration::from_secs(8));
        assert_eq!(learned.limit(now, CONFIGURED), Duration::from_secs(4));
        assert_eq!(learned.limit(now, Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn restart_of_the_app_does_not_switch_keep_alive_off() {
        let (learned, now) = (Learned::default(), Tick(1_000_000));
        for idle in [Duration::ZERO, LEARNED_MIN - Duration::from_millis(1)] {
            learned.observe(now, idle);
            assert_eq!(learned.limit(now, CONFIGURED), CONFIGURED);
        }
        learned.observe(now, LEARNED_MIN);
        assert!(learned.limit(now, CONFIGURED) < LEARNED_MIN);
        assert_eq!(learned.limit(now.after(LEARNED_FOR), CONFIGURED), CONFIGURED, "it is forgotten in the end");
    }
}
