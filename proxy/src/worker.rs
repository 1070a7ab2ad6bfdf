//! A worker: one thread, one event loop, its own connections, pools and counters. What crosses threads is named in ARCHITECTURE.md.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::budget::{self, Held};
use crate::coalesce::Board;
use crate::config::Snapshot;
use crate::http::HttpDate;
use crate::io::{Reactor, Tick, coarse_ns, trim_memory, unix_s};
use crate::stop::{FIRST_BYTE_WAIT, Phase, Stop};
use crate::telemetry::{Telling, WorkerCounters};
use crate::timeouts::Timer;

/// A connection that has sent nothing for so long comes to rest. Most connections that send a next request do so sooner, and need no new task.
const REST_AFTER: Duration = Duration::from_secs(1);

/// The same where more than [`TASKS_FEW`] tasks are alive, at 6 KB each under epoll and 24 under io_uring: thousands of connections that
/// come at once and stay idle must not grow the heap for good.
const REST_AFTER_CROWDED: Duration = Duration::from_millis(10);
const TASKS_FEW: usize = 64;

/// The memory of a crowd's tasks is kept for so long after the last of them: those that came together may do so again soon, and pages that are
/// made anew are a fifth of what they cost.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// What a task that has ended leaves in the heap.
const TASK_BYTES: usize = 7 * 1024;

/// A turn of a task that is longer is a stall: the others wait for it. Twice what the kernel's coarse clock can tell.
const STALL_MIN: Duration = Duration::from_millis(8);

/// How often a worker that is about to end looks whether it can.
const END_LOOK: Duration = Duration::from_millis(20);

/// How long tasks may take to see that their wait has ended.
const BREAK_OFF_WAIT: Duration = Duration::from_secs(1);

/// State of one worker, shared by its tasks.
pub(crate) struct Worker {
    pub reactor: Rc<Reactor>,
    pub counters: Arc<WorkerCounters>,
    /// Where what requests were is told.
    pub telling: Rc<Telling>,
    /// What flights this worker has.
    pub board: Rc<Board>,
    /// Our member of `Proxy-Status`.
    pub name: Rc<str>,
    snapshots: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// The newest, so that a request takes it without an atomic write.
    #[allow(clippy::redundant_allocation)]
    // the outer count is the worker's own: cloning the inner one would contend between workers
    newest: RefCell<Rc<Arc<Snapshot>>>,
    date: RefCell<HttpDate>,
    stop: Arc<Stop>,
    tasks: Cell<usize>,
    /// The most tasks since the memory of those that ended was given back, where they were many.
    crowd: Cell<usize>,
    /// Since when there is none.
    empty_since: Cell<Tick>,
    /// That memory, while it is kept, and whoever gives it back.
    kept: Cell<Option<Held>>,
    attendant: Cell<Option<Waker>>,
}

impl Worker {
    pub fn new(
        reactor: Rc<Reactor>,
        telling: Telling,
        name: &str,
        snapshots: Arc<ArcSwap<Snapshot>>,
        stop: Arc<Stop>,
        board: Rc<Board>,
    ) -> Rc<Worker> {
        let newest = RefCell::new(Rc::new(snapshots.load_full()));
        Rc::new(Worker {
            reactor,
            counters: telling.counters.clone(),
            telling: Rc::new(telling),
            board,
            name: name.into(),
            snapshots: RefCell::new(Cache::new(snapshots)),
            newest,
            date: RefCell::default(),
            stop,
            tasks: Cell::new(0),
            crowd: Cell::new(0),
            empty_since: Cell::new(Tick::NEVER),
            kept: Cell::default(),
            attendant: Cell::default(),
        })
    }

    /// What the next request is judged by. One atomic load while nothing has changed.
    #[allow(clippy::redundant_allocation)]
    pub fn snapshot(&self) -> Rc<Arc<Snapshot>> {
        let mut cache = self.snapshots.borrow_mut();
        let current = cache.load();
        let mut newest = self.newest.borrow_mut();
        if !Arc::ptr_eq(current, &newest) {
            *newest = Rc::new(current.clone());
        }
        newest.clone()
    }

    /// The text of a `Date` field.
    pub fn date(&self) -> [u8; 29] {
        *self.date.borrow_mut().at(unix_s())
    }

    /// How far the proxy is on its way to its end. One load.
    pub fn phase(&self) -> Phase {
        self.stop.phase()
    }

    /// Connections end after the answer under way.
    pub fn is_stopping(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Waits for a phase. May be dropped.
    pub async fn reached(&self, phase: Phase) {
        self.stop.reached(phase).await;
    }

    /// How long a connection without a request keeps its task, for a next request at its heels.
    pub fn rest_after(&self) -> Duration {
        if self.tasks.get() <= TASKS_FEW {
            return REST_AFTER;
        }
        self.crowd.set(self.crowd.get().max(self.tasks.get()));
        REST_AFTER_CROWDED
    }

    /// Gives back to the system what a crowd of tasks needed, when none has come for [`KEPT_FOR`]. For as long as the worker lives.
    pub async fn attend_memory(self: Rc<Self>) {
        loop {
            std::future::poll_fn(|cx| {
                if self.crowd.get() > 0 && self.tasks.get() == 0 {
                    return Poll::Ready(());
                }
                self.attendant.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            self.kept.set(Some(Held::new(self.crowd.get() * TASK_BYTES)));
            let since = self.empty_since.get();
            self.reactor.sleep_until(since.after(KEPT_FOR)).await;
            if self.tasks.get() == 0 && self.empty_since.get() == since {
                self.give_back();
            }
            self.kept.take();
        }
    }

    fn emptied(&self) {
        if self.crowd.get() == 0 {
            return;
        }
        self.empty_since.set(Tick::now());
        if budget::is_tight() {
            self.trim();
        } else if let Some(attendant) = self.attendant.take() {
            attendant.wake();
        }
    }

    /// Gives back at once what is kept.
    pub fn give_back(&self) {
        if self.kept.take().is_some() {
            self.trim();
        }
    }

    fn trim(&self) {
        self.crowd.set(0);
        trim_memory();
    }

    /// Runs the task that `begin` makes; its panic costs nothing but itself.
    pub fn spawn<T: Future<Output = ()> + 'static>(self: &Rc<Self>, begin: impl FnOnce() -> T + 'static) {
        let worker = self.clone();
        self.tasks.set(self.tasks.get() + 1);
        monoio::spawn(guarded(worker, begin));
    }

    /// A connection without a request has waited for too long. At the end of the proxy its wait is ended whatever its time.
    pub fn idle_expired(&self, timer: Timer) {
        if self.phase() < Phase::Closing {
            self.counters.timeouts[timer as usize].add(1);
        }
    }

    /// A task had its turn, from `began_ns` on.
    fn note_turn(&self, began_ns: u64) {
        let took = Duration::from_nanos(coarse_ns().saturating_sub(began_ns));
        if took >= STALL_MIN {
            self.counters.stalls.add(1);
            self.counters.stall.note(Tick::now().0, took);
        }
    }

    /// Ends the connections that have carried a request and carry none now. Those that come to rest later end by themselves: what waits
    /// for a head asks for the phase first.
    pub fn close_idle(&self) {
        self.counters.closed_by_drain[1].add(self.reactor.end_idle_waits(Timer::ConnectionIdle));
    }

    /// Waits until the tasks are done, until [`Phase::Ended`] at most. Then ends what is left, so that the kernel holds no buffer of ours any more.
    pub async fn finish(&self) {
        let until = Tick::now().after(FIRST_BYTE_WAIT);
        while self.tasks.get() > 0 && self.phase() < Phase::Ended {
            if Tick::now() >= until {
                // Those that have waited since before: they are new, and have not said a word.
                self.reactor.end_idle_waits(Timer::RequestHeaders);
            }
            self.reactor.sleep_until(Tick::now().after(END_LOOK)).await;
        }
        self.counters.requests_broken_off.add(self.counters.requests_active.now());
        // What is broken off here may be shared by requests of other workers, which count their own first.
        self.reactor.sleep_until(Tick::now().after(END_LOOK)).await;
        let until = Tick::now().after(BREAK_OFF_WAIT);
        while self.tasks.get() > 0 && Tick::now() < until {
            self.reactor.end_all_waits();
            self.reactor.sleep_until(Tick::now().after(END_LOOK)).await;
        }
    }
}

/// What a task is on the heap: all of a connection, for as long as it is open. Handed over ready, the connection would be in it twice: where
/// it came, and where it is pinned.
pub(crate) async fn guarded<T: Future<Output = ()>>(worker: Rc<Worker>, begin: impl FnOnce() -> T) {
    let _running = Running(worker.clone());
    let mut task = pin!(begin());
    let panicked = std::future::poll_fn(|cx| {
        let began_ns = coarse_ns();
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)));
        worker.note_turn(began_ns);
        match polled {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await;
    if panicked {
        worker.counters.panics.add(1);
    }
}

struct Running(Rc<Worker>);

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.tasks.get() - 1;
        self.0.tasks.set(left);
        if left == 0 {
            self.0.emptied();
        }
    }
}
