//! What an app holds at once: each request is inside from when its script has read it until just before its answer is whole.

use std::sync::{Arc, Condvar, Mutex};

use crate::DEADLINE;

/// Counts the requests inside an app; shared by its connections and the case.
#[derive(Debug, Clone, Default)]
pub struct Inside(Arc<(Mutex<Count>, Condvar)>);

#[derive(Debug, Default)]
struct Count {
    now: usize,
    peak: usize,
}

impl Inside {
    pub fn new() -> Inside {
        Inside::default()
    }

    /// A request is inside until what this gives is dropped: do so before the answer's last byte, or the next may come first.
    pub fn enter(&self) -> Stay {
        let mut count = self.0.0.lock().unwrap();
        count.now += 1;
        count.peak = count.peak.max(count.now);
        self.0.1.notify_all();
        Stay(self.clone())
    }

    /// The most that were inside at once.
    pub fn peak(&self) -> usize {
        self.0.0.lock().unwrap().peak
    }

    /// Waits until `wanted` have been inside at once; panics at the deadline.
    pub fn wait_for_peak(&self, wanted: usize) {
        let count = self.0.0.lock().unwrap();
        let (count, late) = self.0.1.wait_timeout_while(count, DEADLINE, |count| count.peak < wanted).unwrap();
        let peak = count.peak;
        // Whoever leaves while this panics needs the lock.
        drop(count);
        assert!(!late.timed_out(), "waited {DEADLINE:?} in vain: {wanted} inside at once, only {peak} were");
    }
}

/// One request inside.
#[derive(Debug)]
pub struct Stay(Inside);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.0.0.lock().unwrap().now -= 1;
    }
}
