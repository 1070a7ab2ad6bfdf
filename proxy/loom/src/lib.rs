//! The code that workers share, built on loom's atomics and locks. tests/ runs it in every order in which threads may touch it.
//!
//! A crate of its own: `cfg(loom)` holds for every crate of a build, and tokio has no signals under it.

#[cfg(loom)]
#[path = "../../src/coalesce/directory.rs"]
pub mod directory;
#[cfg(loom)]
#[path = "../../src/coalesce/line.rs"]
pub mod line;
#[cfg(loom)]
#[path = "../../src/limits/permits.rs"]
pub mod permits;

/// Loom's atomics, each step of which is preceded by one that is in every thread's way.
///
/// Loom tries an order only if it sees that two steps could disturb each other, and forgets a load of one thread at the next load of another
/// (loom issues 166 and 392, as of 0.7.3): a store after that is then never tried before the first load. Read-modify-writes it always sees.
/// This one is relaxed, on a word of its own: it orders threads for loom, and makes nothing visible.
#[cfg(loom)]
pub mod stepped {
    use std::task::Waker;

    use loom::sync::atomic::{self, AtomicUsize, Ordering};

    loom::lazy_static! {
        static ref STEPS: AtomicUsize = AtomicUsize::new(0);
    }

    fn step() {
        STEPS.fetch_add(1, Ordering::Relaxed);
    }

    /// As the crate of this name, on loom's own.
    #[derive(Debug)]
    pub struct AtomicWaker(loom::future::AtomicWaker);

    impl Default for AtomicWaker {
        fn default() -> AtomicWaker {
            AtomicWaker(loom::future::AtomicWaker::new())
        }
    }

    impl AtomicWaker {
        pub fn register(&self, waker: &Waker) {
            step();
            self.0.register(waker.clone());
        }

        pub fn wake(&self) {
            step();
            self.0.wake();
        }
    }

    #[derive(Debug, Default)]
    pub struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        pub fn new(value: u64) -> AtomicU64 {
            AtomicU64(atomic::AtomicU64::new(value))
        }

        pub fn load(&self, order: Ordering) -> u64 {
            step();
            self.0.load(order)
        }

        pub fn store(&self, value: u64, order: Ordering) {
            step();
            self.0.store(value, order);
        }

        pub fn compare_exchange(&self, old: u64, new: u64, order: Ordering, fails: Ordering) -> Result<u64, u64> {
            step();
            self.0.compare_exchange(old, new, order, fails)
        }
    }
}
