//! The end of a proxy, phase by phase: a word that every room may know, and the one place where its threads share it.
//!
//! In: the wish for a phase, from any thread. Out: the phase, for a load; and a wake-up for each task and thread that waits for one. Must not
//! know: who asks, how long a phase lasts (`control`), what a worker does in it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How far a proxy is on its way to its end. It goes on, and never back:
///
/// ```text
///          POST /drain            drain.delay is over
///  Running ──────────> Draining ──────────────────────┐
///     │                   │                           v      all is done, or drain.grace is over
///     │ a signal          │                        Closing ───────────────────────────────────────> Ended
///     └───────────────────┼──────────────────────────>│                                               ^
///                         │ a signal                  │ a signal                                      │
///                         └──────────> Leaving <──────┘                                               │
///                                         └───────────────────────────────────────────────────────────┘
///                                                    all is done, or 700 ms are over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running,
    /// Not ready any more, and each answer ends its connection. Connections are still taken: who sends them learns late that it should not.
    Draining,
    /// No listeners, and no connection without a request. What there is, is finished.
    Closing,
    /// The same, and the app is gone: what is left to do are sends.
    Leaving,
    /// Nothing is waited for. What is not done is broken off.
    Ended,
}

impl Phase {
    pub const ALL: [Phase; 5] = [Phase::Running, Phase::Draining, Phase::Closing, Phase::Leaving, Phase::Ended];

    /// The name in the metric `slipstream_phase`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Closing => "closing",
            Phase::Leaving => "leaving",
            Phase::Ended => "ended",
        }
    }
}

/// From [`Phase::Closing`] on, a new connection may be silent for so long: its first bytes are on the way, for a round trip or until the kernel
/// that sent them tries again after a second.
pub const FIRST_BYTE_WAIT: Duration = Duration::from_millis(1500);

/// The phase of one proxy, shared by its threads.
#[derive(Debug, Default)]
pub struct Stop {
    phase: AtomicU8,
    tasks: Notify,
    threads: Condvar,
    /// Guards nothing but the moment between a look at `phase` and the wait.
    looking: Mutex<()>,
}

impl Stop {
    /// One load.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// Goes on to `phase`, and wakes whoever waits. False: the proxy was there already, or further.
    pub fn advance(&self, phase: Phase) -> bool {
        if self.phase.fetch_max(phase as u8, Ordering::AcqRel) >= phase as u8 {
            return false;
        }
        self.tasks.notify_waiters();
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.threads.notify_all();
        true
    }

    /// Asks the proxy to end in order, without the delay of a drain.
    pub fn ask(&self) {
        self.advance(Phase::Closing);
    }

    /// It has been asked to end, or a drain has come so far.
    pub fn is_asked(&self) -> bool {
        self.phase() >= Phase::Closing
    }

    /// Waits for `phase`, or a later one, as a task of any runtime that can be woken from another thread (monoio: feature `sync`). May be dropped.
    pub async fn reached(&self, phase: Phase) {
        loop {
            let mut notified = std::pin::pin!(self.tasks.notified());
            notified.as_mut().enable();
            if self.phase() >= phase {
                return;
            }
            notified.await;
        }
    }

    /// Waits as a thread until the proxy is asked to end. True: asked.
    pub fn wait_timeout(&self, at_most: Duration) -> bool {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.threads.wait_timeout_while(looking, at_most, |()| !self.is_asked());
        drop(waited);
        self.is_asked()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::runtime;

    use super::*;

    #[test]
    fn phase_goes_on_and_never_back() {
        let stop = Stop::default();
        assert_eq!(stop.phase(), Phase::Running);
        assert!(stop.advance(Phase::Draining));
        assert!(!stop.advance(Phase::Draining), "a second drain changes nothing");
        assert!(!stop.is_asked());
        assert!(stop.advance(Phase::Leaving));
        assert!(!stop.advance(Phase::Closing) && !stop.advance(Phase::Draining));
        assert_eq!(stop.phase(), Phase::Leaving);
    }

    #[test]
    fn every_phase_is_at_the_place_of_its_number() {
        for (number, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, number, "{}", phase.name());
        }
    }

    #[test]
    fn tasks_and_threads_are_woken_whether_they_wait_before_or_after() {
        let stop = Arc::new(Stop::default());
        assert!(!stop.wait_timeout(Duration::ZERO));
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let long = Duration::from_secs(60);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| stop.wait_timeout(long));
            let task = scope.spawn(|| runtime.block_on(stop.reached(Phase::Closing)));
            let begin = Instant::now();
            stop.advance(Phase::Draining);
            assert!(!thread.is_finished() && !task.is_finished(), "draining is not what they wait for");
            stop.ask();
            assert!(thread.join().unwrap());
            task.join().unwrap();
            assert!(stop.wait_timeout(long));
            assert!(begin.elapsed() < long);
        });
        runtime.block_on(stop.reached(Phase::Draining));
    }
}
