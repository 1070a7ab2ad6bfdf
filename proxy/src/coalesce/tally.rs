//! What all workers that carry participants of a flight must know of it: plain atomics, so that a joiner asks nobody.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

use super::FOLLOWERS_MAX;
use crate::io::Tick;
use crate::telemetry::{Context, SpanId, TraceId};

/// Of one flight. Its memory is used again for the next.
#[derive(Debug)]
pub(super) struct Tally {
    is_open: AtomicBool,
    /// Followers so far, those that have left among them.
    followers: AtomicU32,
    /// When the request went to the app, in milliseconds after 1; 0: it has not.
    dispatched: AtomicU64,
    /// The write epoch at that time (R7).
    epoch: AtomicU64,
    /// The CLIENT span of the exchange, where it is traced: the halves of its trace, and itself; 0: none (R13).
    trace: [AtomicU64; 2],
    span: AtomicU64,
}

/// Whether a flight takes one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Yes,
    /// Its answer has come, or it is too old for this one: the next request leads a new flight.
    No,
}

/// What a joiner is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: Tick,
    pub epoch: u64,
    pub join_window: Duration,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            is_open: AtomicBool::new(true),
            followers: AtomicU32::new(0),
            dispatched: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            trace: [AtomicU64::new(0), AtomicU64::new(0)],
            span: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Ready for the next flight; nobody else looks at it.
    pub fn reset(&self) {
        self.is_open.store(true, Relaxed);
        self.followers.store(0, Relaxed);
        self.dispatched.store(0, Relaxed);
        self.span.store(0, Relaxed);
    }

    /// What is shared is the exchange of this CLIENT span; of a later one where it is sent again.
    pub fn set_exchange(&self, context: Context) {
        let trace = context.trace.0;
        // The attempts of a flight are of one trace: whoever reads an older span reads the right trace.
        self.trace[0].store((trace >> 64) as u64, Relaxed);
        self.trace[1].store(trace as u64, Relaxed);
        self.span.store(context.span.0, Release);
    }

    pub fn exchange(&self) -> Option<Context> {
        let span = self.span.load(Acquire);
        let half = |n: usize| u128::from(self.trace[n].load(Relaxed));
        (span != 0).then(|| Context { trace: TraceId(half(0) << 64 | half(1)), span: SpanId(span), is_sampled: true })
    }

    /// The request goes to the app now. Once more where it has to be sent again: that is the read that is shared.
    pub fn dispatched(&self, now: Tick, epoch: u64) {
        self.epoch.store(epoch, Relaxed);
        self.dispatched.store(now.0 + 1, Relaxed);
    }

    pub fn is_dispatched(&self) -> bool {
        self.dispatched.load(Relaxed) > 0
    }

    pub fn close(&self) {
        self.is_open.store(false, Relaxed);
    }

    /// R6 and R7: whether a request that comes now may join. A flight that waits for its turn has read nothing yet.
    ///
    /// On another worker than the owner's the answer may be some microseconds old; a write that matters to the asker was over before that.
    pub fn takes(&self, moment: Moment) -> Takes {
        if !self.is_open.load(Relaxed) {
            return Takes::No;
        }
        match self.dispatched.load(Relaxed) {
            0 => Takes::Yes,
            at => {
                let age = moment.now.since(Tick(at - 1));
                let is_young = age < moment.join_window && self.epoch.load(Relaxed) == moment.epoch;
                if is_young { Takes::Yes } else { Takes::No }
            }
        }
    }

    /// Takes places for `n` followers. `None`: there are not so many (R9).
    pub fn take_places(&self, n: u32) -> Option<()> {
        let before = self.followers.fetch_add(n, Relaxed);
        if before + n <= FOLLOWERS_MAX {
            return Some(());
        }
        self.followers.fetch_sub(n, Relaxed);
        None
    }

    /// As many places as there are, up to `wanted`.
    pub fn take_some(&self, wanted: u32) -> u32 {
        let before = self.followers.fetch_add(wanted, Relaxed);
        let taken = wanted.min(FOLLOWERS_MAX.saturating_sub(before));
        self.followers.fetch_sub(wanted - taken, Relaxed);
        taken
    }

    pub fn is_full(&self) -> bool {
        self.followers() >= FOLLOWERS_MAX
    }

    pub fn followers(&self) -> u32 {
        self.followers.load(Relaxed)
    }
}
