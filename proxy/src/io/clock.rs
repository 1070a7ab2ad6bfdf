//! Time as the data path sees it.

use super::sys;
use std::sync::OnceLock;
use std::time::Duration;

/// Milliseconds of CLOCK_MONOTONIC since this machine started, at the kernel's tick (1 to 10 ms): enough for deadlines, a few nanoseconds to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Later than any wait.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// Not earlier than the exact time, so that no deadline made from it is: the coarse clock is behind by up to its resolution.
    pub fn now() -> Tick {
        static RESOLUTION_NS: OnceLock<u64> = OnceLock::new();
        let behind = RESOLUTION_NS.get_or_init(sys::clock_coarse_resolution_ns);
        Tick((sys::clock_coarse_ns() + behind).div_ceil(1_000_000))
    }

    pub fn after(self, wait: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
