//! Permits: so many requests are in flight at a time, the others wait in a line, first come, first served.
//!
//! One atomic word says how many permits are in use and how many requests wait. While nobody waits, a permit is taken and given back by one
//! compare-and-swap. Somebody waits only where all permits are in use; from then on everyone goes through the line, under its lock, until it
//! is empty again. So the lock is touched only while the limit is reached, and nobody overtakes the line.
//!
//! Limits: the line is as long as its taker allows. Checked by loom in proxy/loom: that crate reads this file, so it stands alone.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// Stands for no limit. The schema allows far less.
const NO_LIMIT: u32 = u32::MAX;

/// The permits of a process.
#[derive(Debug)]
pub struct Permits {
    /// A [`Count`]. While it says that somebody waits, only who holds the line writes it.
    word: AtomicU64,
    limit: AtomicU32,
    line: Mutex<Line>,
}

/// What is in the word.
#[derive(Clone, Copy)]
struct Count {
    in_use: u32,
    waiting: u32,
}

impl Count {
    fn of(word: u64) -> Count {
        Count { in_use: word as u32, waiting: (word >> 32) as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.waiting) << 32 | u64::from(self.in_use)
    }

    /// One more may be in use, and nobody has come before.
    fn is_free(self, limit: u32) -> bool {
        self.waiting == 0 && self.in_use < limit
    }

    /// The first who waits may come in.
    fn lets_in(self, limit: u32) -> bool {
        self.waiting > 0 && self.in_use < limit
    }

    fn take(self) -> Count {
        Count { in_use: self.in_use + 1, ..self }
    }

    fn let_in(self) -> Count {
        Count { in_use: self.in_use + 1, waiting: self.waiting - 1 }
    }
}

/// Who waits, oldest first: as many as the word says, whenever the lock is free.
#[derive(Debug, Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Rises along the line. A ticket that is not in the line any more has been handed a permit.
    ticket: u64,
    waker: Option<Waker>,
}

impl Line {
    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }
}

/// What became of the wish for a permit.
#[derive(Debug)]
#[must_use]
pub enum Taken<'p> {
    Permit(Permit<'p>),
    /// All are in use: wait for one.
    Wait(Waiting<'p>),
    /// All are in use, and as many wait as may.
    Full,
}

/// How many permits are in use now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub in_use: u32,
    pub waiting: u32,
    pub limit: Option<u32>,
}

impl Permits {
    /// `None`: there are enough for everyone.
    pub fn new(limit: Option<u32>) -> Permits {
        Permits {
            word: AtomicU64::new(0),
            limit: AtomicU32::new(limit.unwrap_or(NO_LIMIT)),
            line: Mutex::new(Line::default()),
        }
    }

    /// For as long as the process lives: a permit may then go wherever its request goes, and counts no owners.
    #[cfg(not(loom))]
    pub fn forever(limit: Option<u32>) -> &'static Permits {
        Box::leak(Box::new(Permits::new(limit)))
    }

    /// From now on so many. A larger limit lets in who waits; over a smaller one nobody comes in before enough permits were given back.
    pub fn set_limit(&self, limit: Option<u32>) {
        // Who holds the line meanwhile goes by the old limit, and is in the line when it is looked at next.
        self.limit.store(limit.unwrap_or(NO_LIMIT), Relaxed);
        self.let_in(0);
    }

    /// A permit if one is free and nobody waits; else a place in the line, if fewer than `depth` wait.
    pub fn take(&self, depth: u32) -> Taken<'_> {
        let limit = self.limit.load(Relaxed);
        let taken = self.word.fetch_update(AcqRel, Relaxed, |word| {
            let count = Count::of(word);
            count.is_free(limit).then(|| count.take().word())
        });
        match taken {
            Ok(_) => Taken::Permit(Permit { permits: self }),
            Err(_) => self.line_up(depth),
        }
    }

    pub fn usage(&self) -> Usage {
        let Count { in_use, waiting } = Count::of(self.word.load(Relaxed));
        let limit = self.limit.load(Relaxed);
        Usage { in_use, waiting, limit: (limit != NO_LIMIT).then_some(limit) }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing panics while it is held, so a poisoned line is whole.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line_up(&self, depth: u32) -> Taken<'_> {
        let mut line = self.line();
        let limit = self.limit.load(Relaxed);
        // As long as nobody waits, permits are given back beside the lock: all are in use when the wait is written down, or one is taken.
        let before = self.word.fetch_update(AcqRel, Acquire, |word| {
            let count = Count::of(word);
            match count {
                _ if count.is_free(limit) => Some(count.take()),
                Count { waiting, .. } if waiting < depth => Some(Count { waiting: waiting + 1, ..count }),
                _ => None,
            }
            .map(Count::word)
        });
        match before {
            Ok(before) if Count::of(before).is_free(limit) => Taken::Permit(Permit { permits: self }),
            Ok(_) => {
                let ticket = line.next_ticket;
                line.next_ticket += 1;
                line.waiters.push_back(Waiter { ticket, waker: None });
                Taken::Wait(Waiting { permits: self, ticket: Some(ticket) })
            }
            Err(_) => Taken::Full,
        }
    }

    fn give_back(&self) {
        let given = self.word.fetch_update(AcqRel, Relaxed, |word| {
            let count = Count::of(word);
            (count.waiting == 0).then(|| Count { in_use: count.in_use - 1, ..count }.word())
        });
        if given.is_err() {
            self.let_in(1);
        }
    }

    /// Takes `given_back` permits out of use and hands out what is free, oldest first, until nobody waits or all are in use.
    fn let_in(&self, mut given_back: u32) {
        loop {
            let mut line = self.line();
            let limit = self.limit.load(Relaxed);
            let step = |word| {
                let count = Count::of(word);
                let rest = Count { in_use: count.in_use - given_back, ..count };
                if rest.lets_in(limit) { (rest.let_in(), true) } else { (rest, false) }
            };
            let (Ok(before) | Err(before)) = self.word.fetch_update(AcqRel, Acquire, |word| Some(step(word).0.word()));
            let (after, lets_in) = step(before);
            let first = if lets_in { line.waiters.pop_front() } else { None };
            drop(line);
            // Not under the lock: a wake of another worker's task is a system call.
            if let Some(waker) = first.and_then(|waiter| waiter.waker) {
                waker.wake();
            }
            if !after.lets_in(limit) {
                return;
            }
            given_back = 0;
        }
    }
}

/// The right to have a request in flight, given back by drop: to the first in the line, where somebody waits.
#[derive(Debug)]
#[must_use]
pub struct Permit<'p> {
    permits: &'p Permits,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.permits.give_back();
    }
}

/// A place in the line. It owns no buffer and may be dropped: the place is given up, and a permit that was just handed to it goes to the next.
#[derive(Debug)]
pub struct Waiting<'p> {
    permits: &'p Permits,
    /// `None`: its permit has been taken.
    ticket: Option<u64>,
}

impl<'p> Future for Waiting<'p> {
    type Output = Permit<'p>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'p>> {
        let permits = self.permits;
        let ticket = self.ticket.expect("a future is not polled after it was ready");
        let mut line = permits.line();
        if let Some(at) = line.position(ticket) {
            let waker = &mut line.waiters[at].waker;
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        self.ticket = None;
        Poll::Ready(Permit { permits })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut line = self.permits.line();
        match line.position(ticket) {
            Some(at) => {
                line.waiters.remove(at);
                let leave = |word| Some(Count { waiting: Count::of(word).waiting - 1, ..Count::of(word) }.word());
                let _always_changes = self.permits.word.fetch_update(AcqRel, Relaxed, leave);
            }
            None => {
                drop(line);
                self.permits.give_back();
            }
        }
    }
}
