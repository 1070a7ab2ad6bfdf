//! Waits: a flag that one thread raises for another, and a bounded poll for what has no event (a counter of another process).

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// Raised once, seen by all clones.
#[derive(Debug, Clone, Default)]
pub struct Event(Arc<(Mutex<bool>, Condvar)>);

impl Event {
    pub fn new() -> Event {
        Event::default()
    }

    pub fn raise(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    /// Waits until [`Event::raise`], at most for `pause`; whether it was raised.
    pub fn raised_within(&self, pause: Duration) -> bool {
        let raised = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(raised, pause, |raised| !*raised).unwrap().0
    }

    /// Waits for [`Event::raise`] for as long as a whole case may take; a case that fails never raises it, and its reason is another.
    pub fn wait_for_the_case(&self) {
        let raised = self.0.0.lock().unwrap();
        let _ = self.0.1.wait_timeout_while(raised, 6 * DEADLINE, |raised| !*raised);
    }

    /// Waits until [`Event::raise`]; panics at the deadline with `what` was waited for.
    pub fn wait(&self, what: &str) {
        let raised = self.0.0.lock().unwrap();
        let (_raised, late) = self.0.1.wait_timeout_while(raised, DEADLINE, |raised| !*raised).unwrap();
        assert!(!late.timed_out(), "waited {DEADLINE:?} in vain: {what}");
    }
}

/// Asks `probe` again and again until it gives a value; panics at the deadline with `what` was waited for.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
