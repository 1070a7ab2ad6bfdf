//! The way back from another worker to the owner of a flight, under every order of its steps that needs at most
//! [`PREEMPTIONS_MAX`] preemptions: no change is slept through, and what was done before a change is seen with it. A wait that nobody ends is a deadlock, which loom finds.
#![cfg(loom)]

use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread::spawn;
use slipstream_loom::line::Line;

/// Most errors of such code need two.
const PREEMPTIONS_MAX: usize = 3;

/// What another worker does with a line, and its owner meanwhile.
fn model(other: fn(&Line), owner: fn(&Line)) {
    beside(Line::default, other, owner);
}

/// As [`model`], of whatever the two share.
fn beside<S: Send + Sync + 'static>(shared: fn() -> S, other: fn(&S), owner: fn(&S)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(move || {
        let here = Arc::new(shared());
        let there = here.clone();
        let worker = spawn(move || other(&there));
        owner(&here);
        worker.join().expect("the other worker does not panic");
    });
}

/// As the owner of a flight waits: a look, its waker, and a second look.
fn wait(line: &Line, is_ready: impl Fn(&Line) -> bool) {
    block_on(std::future::poll_fn(|cx| {
        if is_ready(line) {
            return Poll::Ready(());
        }
        line.register(cx.waker());
        if is_ready(line) { Poll::Ready(()) } else { Poll::Pending }
    }));
}

#[test]
fn owner_that_waits_for_room_never_sleeps_through_it() {
    let other = |line: &Line| {
        line.pass(1);
        line.pass(2);
    };
    model(other, |line| wait(line, |line| line.passed() == 2));
}

#[test]
fn owner_learns_that_nobody_is_left() {
    let other = |line: &Line| {
        line.starve(Some(0));
        line.leave();
    };
    model(other, |line| {
        wait(line, Line::is_gone);
        assert!(line.is_starved(0), "said before the leave");
    });
}

/// Room, or the end: whichever comes, the owner goes on, and goes on again for the other.
#[test]
fn owner_that_waits_for_either_learns_of_both() {
    let other = |line: &Line| {
        line.pass(1);
        line.leave();
    };
    model(other, |line| {
        wait(line, |line| line.passed() == 1 || line.is_gone());
        wait(line, Line::is_gone);
        assert_eq!(line.passed(), 1);
    });
}

/// Chunks may be given back once they are passed: what was done with them is over.
#[test]
fn what_was_done_before_a_pass_is_seen_with_it() {
    let other = |(line, done): &(Line, AtomicUsize)| {
        done.store(7, Relaxed);
        line.pass(1);
    };
    beside(Default::default, other, |(line, done)| {
        if line.passed() == 1 {
            assert_eq!(done.load(Relaxed), 7);
        }
    });
}
