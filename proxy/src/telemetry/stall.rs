//! How long a task kept its worker from all others: the longest of the last minute or two.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Longest durations of two minutes, the one under way and the one before. One writer, as [`super::Counter`].
#[derive(Debug, Default)]
pub struct Stall([AtomicU64; 2]);

impl Stall {
    /// A task ran for `took` without a pause, until `at_ms` of a clock that never jumps.
    pub fn note(&self, at_ms: u64, took: Duration) {
        let minute = minute_of(at_ms);
        let place = &self.0[(minute % 2) as usize];
        let (noted, longest_ms) = unpack(place.load(Relaxed));
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        if noted != minute || took_ms > longest_ms {
            place.store(u64::from(minute) << 32 | u64::from(took_ms), Relaxed);
        }
    }

    /// The longest of this minute and the last.
    pub fn longest(&self, now_ms: u64) -> Duration {
        let now = minute_of(now_ms);
        let recent = self
            .0
            .iter()
            .map(|place| unpack(place.load(Relaxed)))
            .filter(|(minute, _)| now.saturating_sub(*minute) <= 1);
        Duration::from_millis(recent.map(|(_, longest_ms)| longest_ms.into()).max().unwrap_or(0))
    }
}

fn minute_of(ms: u64) -> u32 {
    // Of 8,000 years.
    (ms / 60_000) as u32
}

fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_stall_is_remembered_for_a_minute_and_forgotten_after_two() {
        let (stall, start) = (Stall::default(), 1_000 * 60_000);
        assert_eq!(stall.longest(start), Duration::ZERO);
        stall.note(start, Duration::from_millis(30));
        stall.note(start + 59_999, Duration::from_millis(20));
        assert_eq!(stall.longest(start + 59_999), Duration::from_millis(30));
        stall.note(start + 60_000, Duration::from_millis(10));
        assert_eq!(stall.longest(start + 119_999), Duration::from_millis(30));
        assert_eq!(stall.longest(start + 120_000), Duration::from_millis(10));
        stall.note(start + 120_000, Duration::from_millis(5));
        assert_eq!(stall.longest(start + 180_000), Duration::from_millis(5));
        assert_eq!(stall.longest(start + 600_000), Duration::ZERO);
    }
}
