//! What another worker tells the owner of a flight: how far its participants are, whether one waits, whether any is left. Two numbers, a flag and a
//! waker; neither side waits for the other.
//!
//! The owner looks, registers, and looks again; the other stores, and wakes. So a change is seen by one of the two looks, or it finds the waker.
//!
//! Must not know: flights, bodies. Checked by loom in proxy/loom: that crate reads this file, so it stands alone, on that crate's `stepped` atomics there.

#[cfg(loom)]
use super::stepped::{AtomicU64, AtomicWaker};
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::Waker;

#[cfg(not(loom))]
use atomic_waker::AtomicWaker;

/// From one worker to the owner of a flight.
#[derive(Debug, Default)]
pub struct Line {
    /// All participants of that worker have passed the chunks before this one.
    passed: AtomicU64,
    /// 1: nobody is left there.
    gone: AtomicU64,
    /// The chunk that a participant of that worker waits for, and one; 0: none waits.
    starved: AtomicU64,
    /// The owner, while it waits for one of the first two.
    owner: AtomicWaker,
}

impl Line {
    // The other worker's end.

    /// All there have passed the chunks before this one.
    pub fn pass(&self, number: u64) {
        // Release: what they did with those chunks is done for whoever sees this.
        self.passed.store(number, Release);
        self.owner.wake();
    }

    /// Somebody waits for this chunk, or nobody for any. The owner looks at it when it wants to know, every 50 ms while its window is full.
    pub fn starve(&self, chunk: Option<u64>) {
        let starved = chunk.map_or(0, |chunk| chunk + 1);
        // One writer: the others on its worker wait for the same.
        if self.starved.load(Relaxed) != starved {
            self.starved.store(starved, Release);
        }
    }

    /// Nobody is left there.
    pub fn leave(&self) {
        self.gone.store(1, Release);
        self.owner.wake();
    }

    // The owner's end.

    /// From here on a change of the first two wakes this. It may have come a moment before: look again.
    pub fn register(&self, waker: &Waker) {
        self.owner.register(waker);
    }

    pub fn passed(&self) -> u64 {
        self.passed.load(Acquire)
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Acquire) == 1
    }

    /// Somebody there waits for this chunk, which has not been read.
    pub fn is_starved(&self, chunk: u64) -> bool {
        self.starved.load(Acquire) == chunk + 1
    }
}
