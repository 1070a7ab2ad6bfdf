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

/// How often idle connections that nobody watches (io_uring) are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

    fn until(&self, limit: Duration) -> Tick {
        let announced = self.announced.map_or(limit, |announced| announced.saturating_sub(ANNOUNCED_MARGIN));
        self.since.after(limit.min(announced))
    }
}

/// What the app's own closes have taught.
#[derive(Default)]
pub(super) struct Learned {
    shortest_ms: Cell<Option<u32>>,
    configured: Cell<Option<Duration>>,
}

impl Learned {
    /// The idle time in force, `configured` at most.
    pub fn limit(&self, configured: Duration) -> Duration {
        self.configured.set(Some(configured));
        let learned = self.shortest_ms.get().map(|ms| Duration::from_millis(u64::from(ms)) * LEARNED_PERCENT / 100);
        learned.map_or(configured, |learned| learned.min(configured))
    }

    fn observe(&self, idle: Duration) {
        let ms = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
        if self.shortest_ms.get().is_none_or(|shortest| ms < shortest) {
            self.shortest_ms.set(Some(ms));
        }
    }

    fn current(&self) -> Duration {
        self.limit(self.configured.get().unwrap_or(Duration::MAX))
    }
}

/// How idle connections reach the task that watches them.
#[derive(Default)]
pub(super) struct Sweeper {
    waker: RefCell<Option<Waker>>,
    /// It waits for nothing but a first idle connection.
    dormant: Cell<bool>,
}

impl Sweeper {
    /// Something that comes on `stream` wakes the sweeper.
    pub fn watch(&self, stream: &Stream) {
        let waker = self.waker.borrow();
        let Some(waker) = waker.as_ref() else { return };
        stream.watch_idle(waker);
        if self.dormant.replace(false) {
            waker.wake_by_ref();
        }
    }
}

/// Throws away what has gone stale or old, for as long as the worker lives. Costs nothing while nothing is idle.
pub(super) async fn sweep(pool: Rc<Pool>) {
    loop {
        let next = pool.drop_bad();
        pool.sweeper.dormant.set(next.is_none());
        let mut nap = pin!(pool.reactor.sleep_until(next.unwrap_or(Tick::NEVER)));
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
    /// Drops idle connections that are over, and learns from those that the app has closed. Returns when to look again; `None`: nothing is idle.
    fn drop_bad(&self) -> Option<Tick> {
        let (now, limit) = (Tick::now(), self.learned.current());
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|connection| {
            let quiet = connection.stream.is_quiet();
            if !quiet {
                self.learned.observe(now.since(connection.since));
            }
            quiet && connection.is_good(now, limit, None)
        });
        for _ in idle.len()..before {
            self.counters.upstream_connections_idle.fall();
            self.counters.upstream_connections_open.fall();
        }
        let first = idle.iter().map(|connection| connection.until(limit)).min()?;
        let soon = now.after(LOOK_EVERY);
        Some(if self.reactor.is_ring() { first.min(soon) } else { first })
    }
}
