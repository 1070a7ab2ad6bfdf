//! Tasks of several workers on one thread, in an order that a seed decides, and time that goes on when that decides so.
//!
//! A task is polled only when its waker was called, so a wake that is forgotten leaves it where it is: then the schedule ends before its tasks have.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use super::rng::Rng;
use crate::io::Tick;

/// What a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Connection(usize),
    Writer(usize),
    Letters,
    /// Of the request that led the flight.
    Carrier(usize),
    Feed,
    Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub role: Role,
    pub worker: usize,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on worker {}", self.role, self.worker)
    }
}

struct Task {
    name: Name,
    /// `None` while it runs, and when it is over.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// A task is to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// How unruly a schedule is, of a thousand steps.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    /// A worker does nothing for a while.
    pub stalls: u64,
    /// Time goes on while there is something to do.
    pub hurries: u64,
}

/// What a step did.
#[derive(Debug, PartialEq, Eq)]
pub enum Stepped {
    Polled,
    /// It is later by so much; `at_rest`: there was nothing to do before.
    Later {
        ms: u64,
        at_rest: bool,
    },
    /// There is nothing to do, and nothing to wait for.
    Dry,
}

pub struct Executor {
    rng: RefCell<Rng>,
    temper: Temper,
    tasks: RefCell<Vec<Task>>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    timers_made: Cell<u64>,
    now: Cell<u64>,
    /// A worker that does nothing for so many steps.
    stalled: Cell<Option<(usize, u64)>>,
    /// How much time has gone on in a hurry.
    hurried_ms: Cell<u64>,
}

/// No machine has just started: a tick of 0 is no time.
const START_MS: u64 = 1_000_000;

impl Executor {
    pub fn new(rng: Rng, temper: Temper) -> Rc<Executor> {
        let executor = Executor {
            rng: RefCell::new(rng),
            temper,
            tasks: RefCell::default(),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
            now: Cell::new(0),
            stalled: Cell::new(None),
            hurried_ms: Cell::new(0),
        };
        executor.set_now(START_MS);
        Rc::new(executor)
    }

    /// Since the schedule began.
    pub fn now(&self) -> u64 {
        self.now.get() - START_MS
    }

    pub fn hurried_ms(&self) -> u64 {
        self.hurried_ms.get()
    }

    fn set_now(&self, now: u64) {
        self.now.set(now);
        Tick::pretend(Some(Tick(now)));
    }

    pub fn spawn(&self, name: Name, future: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        self.tasks.borrow_mut().push(Task { name, future: Some(Box::pin(future)), woken, waker });
    }

    pub fn sleep(self: &Rc<Self>, ms: u64) -> Sleep {
        self.sleep_until(self.now() + ms)
    }

    pub fn sleep_until(self: &Rc<Self>, at: u64) -> Sleep {
        Sleep { executor: self.clone(), at: at + START_MS, timer: None }
    }

    /// Those that are not over.
    pub fn unfinished(&self) -> Vec<Name> {
        self.tasks.borrow().iter().filter(|task| task.future.is_some()).map(|task| task.name).collect()
    }

    /// Polls a task that is to be polled, or lets time go on.
    pub fn step(&self) -> Stepped {
        let runnable = self.runnable();
        if runnable.is_empty() {
            return self.go_on(true);
        }
        if self.rng.borrow_mut().permille(self.temper.hurries) && !self.timers.borrow().is_empty() {
            return self.go_on(false);
        }
        self.poll(self.choose(&runnable));
        Stepped::Polled
    }

    fn runnable(&self) -> Vec<usize> {
        let is_runnable = |task: &Task| task.future.is_some() && task.woken.0.load(Relaxed);
        self.tasks.borrow().iter().enumerate().filter(|(_, task)| is_runnable(task)).map(|(n, _)| n).collect()
    }

    /// One of a worker that is not stalled, where there is one.
    fn choose(&self, runnable: &[usize]) -> usize {
        let (mut rng, tasks) = (self.rng.borrow_mut(), self.tasks.borrow());
        if rng.permille(self.temper.stalls) {
            let worker = tasks[rng.pick(runnable)].name.worker;
            self.stalled.set(Some((worker, rng.between(1, 60))));
        }
        let Some((stalled, steps)) = self.stalled.get() else { return rng.pick(runnable) };
        let others: Vec<usize> = runnable.iter().copied().filter(|&n| tasks[n].name.worker != stalled).collect();
        self.stalled.set((steps > 1 && !others.is_empty()).then_some((stalled, steps.saturating_sub(1))));
        rng.pick(if others.is_empty() { runnable } else { &others })
    }

    fn poll(&self, n: usize) {
        let (mut future, waker) = {
            let task = &mut self.tasks.borrow_mut()[n];
            task.woken.0.store(false, Relaxed);
            (task.future.take().expect("only those are runnable"), task.waker.clone())
        };
        let mut cx = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.tasks.borrow_mut()[n].future = Some(future),
            Err(panic) => {
                // What it held would be given back in disorder, and a second panic ends the process.
                std::mem::forget(future);
                resume_unwind(panic);
            }
        }
    }

    /// To the next timer.
    fn go_on(&self, at_rest: bool) -> Stepped {
        let Some(next) = self.timers.borrow().keys().next().map(|(at, _)| *at) else { return Stepped::Dry };
        let ms = next.saturating_sub(self.now.get());
        if !at_rest {
            self.hurried_ms.set(self.hurried_ms.get() + ms);
        }
        self.set_now(next);
        let later = self.timers.borrow_mut().split_off(&(next + 1, 0));
        let due = self.timers.replace(later);
        due.into_values().for_each(Waker::wake);
        Stepped::Later { ms, at_rest }
    }

    /// In so many of a thousand calls drops a task that `may` die, as a panic in it would.
    pub fn maybe_kill(&self, permille: u64, may: impl Fn(Role) -> bool) -> Option<Name> {
        if !self.rng.borrow_mut().permille(permille) {
            return None;
        }
        let live = |task: &Task| task.future.is_some() && may(task.name.role);
        let live: Vec<usize> =
            self.tasks.borrow().iter().enumerate().filter(|(_, task)| live(task)).map(|(n, _)| n).collect();
        if live.is_empty() {
            return None;
        }
        let victim = self.rng.borrow_mut().pick(&live);
        let (name, future) = {
            let task = &mut self.tasks.borrow_mut()[victim];
            (task.name, task.future.take())
        };
        drop(future);
        Some(name)
    }

    /// Drops what is left.
    pub fn clear(&self) {
        let tasks = self.tasks.take();
        drop(tasks);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        Tick::pretend(None);
    }
}

/// A timer, which is gone with whoever waited for it.
pub struct Sleep {
    executor: Rc<Executor>,
    at: u64,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.executor.now.get() >= self.at {
            return Poll::Ready(());
        }
        let timer = self.timer.unwrap_or_else(|| {
            let number = self.executor.timers_made.get();
            self.executor.timers_made.set(number + 1);
            number
        });
        self.timer = Some(timer);
        self.executor.timers.borrow_mut().insert((self.at, timer), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.executor.timers.borrow_mut().remove(&(self.at, timer));
        }
    }
}

/// Lets others go first.
pub fn yield_now() -> impl Future<Output = ()> {
    let mut has_yielded = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
