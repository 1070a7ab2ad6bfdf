//! Time as the data path sees it.

use super::sys;
use std::time::Duration;

/// Milliseconds of CLOCK_MONOTONIC since this machine started, at the kernel's tick (1 to 10 ms): enough for deadlines, a few nanoseconds to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Later than any wait.
    pub const NEVER: Tick = Tick(u64::MAX);

    pub fn now() -> Tick {
        Tick(sys::clock_coarse_ns() / 1_000_000)
    }

    pub fn after(self, wait: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// An exact moment, for what is reported to people.
#[derive(Debug, Clone, Copy)]
pub struct Clock(u64);

impl Clock {
    pub fn now() -> Clock {
        Clock(sys::clock_ns())
    }

    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(sys::clock_ns().saturating_sub(self.0))
    }
}
