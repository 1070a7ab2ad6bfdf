//! Time as the data path sees it.

use super::sys;
use std::sync::OnceLock;
use std::time::Duration;

#[cfg(test)]
thread_local! {
    /// What it is on this thread, where a test says so.
    static PRETENDED: std::cell::Cell<Option<Tick>> = const { std::cell::Cell::new(None) };
}

/// Milliseconds of CLOCK_MONOTONIC since this machine started, at the kernel's tick (1 to 10 ms): enough for deadlines, a few nanoseconds to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Later than any wait.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// Not earlier than the exact time, so that no deadline made from it is: the coarse clock is behind by up to its resolution.
    pub fn now() -> Tick {
        #[cfg(test)]
        if let Some(pretended) = PRETENDED.get() {
            return pretended;
        }
        static RESOLUTION_NS: OnceLock<u64> = OnceLock::new();
        let behind = RESOLUTION_NS.get_or_init(sys::clock_coarse_resolution_ns);
        Tick((sys::clock_coarse_ns() + behind).div_ceil(1_000_000))
    }

    /// From here on it is `now` on this thread, for a simulation. `None`: what it is.
    #[cfg(test)]
    pub fn pretend(now: Option<Tick>) {
        PRETENDED.set(now);
    }

    pub fn after(self, wait: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
