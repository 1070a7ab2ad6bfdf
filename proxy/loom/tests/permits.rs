//! Permits under every order of their atomic steps that needs at most [`PREEMPTIONS_MAX`] preemptions.
//!
//! Loom finds what never ends too: a wake that is lost is a thread that waits for ever, and the model fails as deadlocked.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread::{JoinHandle, spawn};
use slipstream_loom::permits::{Permit, Permits, Taken, Waiting};

/// Most errors of such code need two; three is what a minute allows.
const PREEMPTIONS_MAX: usize = 3;

/// What the threads of a model share.
struct Shared {
    permits: Permits,
    limit: usize,
    /// Not one of loom's: it only watches, and is never waited for.
    inside: AtomicUsize,
}

impl Shared {
    fn new(limit: u32) -> Arc<Shared> {
        Shared::with(Permits::new(Some(limit)), limit as usize)
    }

    /// `limit`: the largest of those that the model sets.
    fn with(permits: Permits, limit: usize) -> Arc<Shared> {
        Arc::new(Shared { permits, limit, inside: AtomicUsize::new(0) })
    }

    /// Has a permit for a while.
    fn use_up(&self, permit: Permit<'_>) {
        assert!(self.inside.fetch_add(1, SeqCst) < self.limit, "more in use than the limit");
        loom::thread::yield_now();
        self.inside.fetch_sub(1, SeqCst);
        drop(permit);
    }

    /// Waits where it has to.
    fn pass(&self) {
        self.wait_for(self.permits.take(9));
    }

    fn wait_for(&self, taken: Taken<'_>) {
        match taken {
            Taken::Permit(permit) => self.use_up(permit),
            Taken::Wait(waiting) => self.use_up(block_on(waiting)),
            Taken::Full => panic!("the line has room"),
        }
    }

    fn take(&self) -> Permit<'_> {
        match self.permits.take(0) {
            Taken::Permit(permit) => permit,
            _ => panic!("a permit is free"),
        }
    }

    /// Nothing is in use, nobody waits, and every permit can be had.
    fn assert_at_rest(&self) {
        let usage = self.permits.usage();
        assert_eq!((usage.in_use, usage.waiting), (0, 0));
        let all: Vec<Permit<'_>> = (0..self.limit).map(|_| self.take()).collect();
        assert!(matches!(self.permits.take(0), Taken::Full));
        drop(all);
    }
}

fn model(threads: impl Fn() + Send + Sync + 'static) {
    model_within(PREEMPTIONS_MAX, threads);
}

fn model_within(preemptions_max: usize, threads: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(threads);
}

fn start(shared: &Arc<Shared>, thread: fn(&Shared)) -> JoinHandle<()> {
    let shared = shared.clone();
    spawn(move || thread(&shared))
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn look<'p>(waiting: &mut Waiting<'p>) -> Option<Permit<'p>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => Some(permit),
        Poll::Pending => None,
    }
}

#[test]
fn two_takers_and_a_giver_share_one_permit() {
    model(|| {
        let shared = Shared::new(1);
        let held = shared.take();
        let takers = [start(&shared, Shared::pass), start(&shared, Shared::pass)];
        drop(held);
        join(takers);
        shared.assert_at_rest();
    });
}

#[test]
fn three_threads_share_two_permits() {
    model(|| {
        let shared = Shared::new(2);
        let others = [start(&shared, Shared::pass), start(&shared, Shared::pass)];
        shared.pass();
        join(others);
        shared.assert_at_rest();
    });
}

/// Two permits are given back, one of them by another thread, while two wait. A third preemption would take minutes.
#[test]
fn two_releases_let_two_in() {
    model_within(2, || {
        let shared = Shared::new(2);
        let held = shared.take();
        let giver = start(&shared, Shared::pass);
        let waiter = start(&shared, Shared::pass);
        let taken = shared.permits.take(9);
        drop(held);
        shared.wait_for(taken);
        join([giver, waiter]);
        shared.assert_at_rest();
    });
}

/// What a wait does whose time is over, or whose client has left: it may have been handed the permit, which then goes to the one behind.
#[test]
fn who_leaves_while_a_permit_is_handed_over_loses_none() {
    model(|| {
        let shared = Shared::new(1);
        let others = [start(&shared, Shared::pass), start(&shared, Shared::pass)];
        match shared.permits.take(9) {
            Taken::Permit(permit) => shared.use_up(permit),
            Taken::Wait(mut waiting) => drop(look(&mut waiting)),
            Taken::Full => panic!("the line has room"),
        }
        join(others);
        shared.assert_at_rest();
    });
}

#[test]
fn first_in_the_line_is_let_in_first() {
    model(|| {
        let shared = Shared::new(1);
        let other = start(&shared, Shared::pass);
        let first = shared.permits.take(9);
        let Taken::Wait(mut second) = shared.permits.take(9) else {
            panic!("the first has the permit, or waits for it")
        };
        assert!(look(&mut second).is_none(), "the second overtook the first");
        shared.wait_for(first);
        shared.use_up(block_on(second));
        join([other]);
        shared.assert_at_rest();
    });
}

#[test]
fn full_line_sheds_and_nobody_else_is_lost() {
    model(|| {
        let shared = Shared::new(1);
        let brief = |shared: &Shared| match shared.permits.take(1) {
            Taken::Full => {}
            taken => shared.wait_for(taken),
        };
        let others = [start(&shared, brief), start(&shared, brief)];
        brief(&shared);
        join(others);
        shared.assert_at_rest();
    });
}

#[test]
fn larger_limit_lets_in_who_waits_beside_who_is_let_in() {
    model(|| {
        let shared = Shared::with(Permits::new(Some(1)), 2);
        let held = shared.take();
        let waiters = [start(&shared, Shared::pass), start(&shared, |shared| shared.permits.set_limit(Some(2)))];
        let taken = shared.permits.take(9);
        drop(held);
        shared.wait_for(taken);
        join(waiters);
        shared.assert_at_rest();
    });
}

/// The permit of the first stays out: the larger limit alone lets the other in.
#[test]
fn larger_limit_is_enough_to_be_let_in() {
    model(|| {
        let shared = Shared::with(Permits::new(Some(1)), 2);
        let held = shared.take();
        let waiter = start(&shared, Shared::pass);
        shared.permits.set_limit(Some(2));
        join([waiter]);
        drop(held);
        shared.assert_at_rest();
    });
}

#[test]
fn smaller_limit_holds_once_enough_have_ended() {
    model(|| {
        let shared = Shared::with(Permits::new(Some(2)), 2);
        let other = start(&shared, Shared::pass);
        let held = shared.take();
        shared.permits.set_limit(Some(1));
        drop(held);
        shared.pass();
        join([other]);
        let last = shared.take();
        assert!(matches!(shared.permits.take(0), Taken::Full));
        drop(last);
    });
}
