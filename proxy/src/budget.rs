//! The bytes that the process may hold: buffers, tasks of connections, TLS sessions, and the kernel's buffers of its sockets.
//!
//! In: what a thread takes and gives back. Out: whether memory runs short. Each worker leases its share in steps, so that most leases of a
//! buffer touch nothing that threads share; where memory is tight the steps are small, so that an idle connection that gives way makes a
//! difference. Nothing is refused here: whoever starts new work asks first ([`is_over`]), whoever has a choice takes less where memory is
//! tight ([`is_tight`]). Must not know: what the bytes are for.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// What a worker takes from the budget, and gives back, at once; less where that would be more than a small part of it.
const STEP_BYTES: usize = 1024 * 1024;

/// The same where memory is tight: as exact as it matters.
const TIGHT_STEP_BYTES: usize = 16 * 1024;

/// The budget is so many steps of each worker, or more. One may hold three that it does not use: together less than a twentieth of it.
const STEPS_MIN: usize = 64;

/// The budget of a process.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    step: usize,
    /// Steps that the workers hold, in bytes.
    leased: AtomicIsize,
    /// What the kernel holds for our sockets, where it is counted to us.
    kernel: AtomicUsize,
}

/// The share of one thread. A thread that gives back what another has taken (a piece of an answer that workers share) may come below zero; the
/// sum over all is right.
#[derive(Default)]
struct Share {
    budget: OnceCell<Arc<Budget>>,
    held: Cell<isize>,
    leased: Cell<isize>,
}

thread_local! {
    static SHARE: Share = Share::default();
}

impl Budget {
    /// Shared by `workers` threads, at least 1.
    pub fn new(limit_bytes: usize, workers: usize) -> Arc<Budget> {
        let step = (limit_bytes / (STEPS_MIN * workers)).clamp(TIGHT_STEP_BYTES, STEP_BYTES);
        Arc::new(Budget { limit: limit_bytes, step, leased: AtomicIsize::new(0), kernel: AtomicUsize::new(0) })
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit
    }

    pub fn used_bytes(&self) -> usize {
        // A worker may give back before another has taken.
        self.leased.load(Relaxed).max(0) as usize + self.kernel.load(Relaxed)
    }

    fn is_tight(&self) -> bool {
        self.used_bytes() > self.limit / 2
    }

    fn is_over(&self) -> bool {
        self.used_bytes() >= self.limit
    }

    fn is_full(&self) -> bool {
        self.used_bytes() >= self.limit.saturating_add(self.limit / 16)
    }

    fn step_bytes(&self) -> usize {
        if self.is_tight() { TIGHT_STEP_BYTES } else { self.step }
    }

    /// What the kernel holds now.
    pub fn set_kernel_bytes(&self, bytes: usize) {
        self.kernel.store(bytes, Relaxed);
    }

    /// What the calling thread holds counts from here on. Once a thread.
    pub fn join(self: &Arc<Self>) {
        SHARE.with(|share| {
            let _ = share.budget.set(self.clone());
            share.settle();
        });
    }
}

impl Share {
    /// Leases what is held, and two steps at most that are not.
    fn settle(&self) {
        let Some(budget) = self.budget.get() else { return };
        let (held, leased) = (self.held.get(), self.leased.get());
        let step = budget.step_bytes() as isize;
        let wanted = held + (step - held.rem_euclid(step)) % step;
        if wanted > leased || leased - held > 2 * step {
            budget.leased.fetch_add(wanted - leased, Relaxed);
            self.leased.set(wanted);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(budget) = self.budget.get() {
            budget.leased.fetch_sub(self.leased.get(), Relaxed);
        }
    }
}

/// The calling thread holds `bytes` more.
pub fn hold(bytes: usize) {
    with(|share| {
        share.held.set(share.held.get() + bytes as isize);
        if share.held.get() > share.leased.get() {
            share.settle();
        }
    });
}

/// The calling thread holds `bytes` less.
pub fn let_go(bytes: usize) {
    with(|share| {
        share.held.set(share.held.get() - bytes as isize);
        if share.leased.get() - share.held.get() > 2 * TIGHT_STEP_BYTES as isize {
            share.settle();
        }
    });
}

/// What the calling thread holds, to the byte.
#[cfg(test)]
pub fn held_bytes() -> usize {
    with(|share| share.held.get()).map_or(0, |held| usize::try_from(held).expect("what one thread took and gave back"))
}

/// More than half is used: whoever has a choice takes less.
pub fn is_tight() -> bool {
    joined(Budget::is_tight)
}

/// All is used: new work is refused.
pub fn is_over() -> bool {
    joined(Budget::is_over)
}

/// More than all is used, and even to refuse work would cost too much.
pub fn is_full() -> bool {
    joined(Budget::is_full)
}

/// False on a thread that has no budget.
fn joined(is_short: impl FnOnce(&Budget) -> bool) -> bool {
    with(|share| share.budget.get().is_some_and(|budget| is_short(budget))).unwrap_or(false)
}

/// Not where the thread ends: what is freed then has been taken from its share.
fn with<T>(look: impl FnOnce(&Share) -> T) -> Option<T> {
    SHARE.try_with(look).ok()
}

/// Bytes that are held until this is dropped, on the thread that took them.
#[derive(Debug)]
pub struct Held(Cell<usize>);

impl Held {
    pub fn new(bytes: usize) -> Held {
        hold(bytes);
        Held(Cell::new(bytes))
    }

    pub fn set(&self, bytes: usize) {
        hold(bytes);
        let_go(self.0.replace(bytes));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let_go(self.0.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on a thread of its own, whose share begins empty.
    fn on_a_worker(budget: &Arc<Budget>, run: impl FnOnce() + Send + 'static) {
        let budget = budget.clone();
        let worker = std::thread::spawn(move || {
            budget.join();
            run();
        });
        worker.join().expect("the worker does not panic");
    }

    #[test]
    fn shares_are_leased_in_steps_and_given_back() {
        let budget = Budget::new(100 * STEP_BYTES, 1);
        let seen = budget.clone();
        on_a_worker(&budget, move || {
            hold(1);
            assert_eq!(seen.used_bytes(), STEP_BYTES);
            hold(STEP_BYTES - 1);
            assert_eq!(seen.used_bytes(), STEP_BYTES);
            hold(1);
            assert_eq!(seen.used_bytes(), 2 * STEP_BYTES);
            hold(8 * STEP_BYTES);
            assert_eq!(seen.used_bytes(), 10 * STEP_BYTES);
            let_go(8 * STEP_BYTES);
            assert_eq!(seen.used_bytes(), 2 * STEP_BYTES);
            let_go(STEP_BYTES + 1);
            assert_eq!(
                seen.used_bytes(),
                2 * STEP_BYTES,
                "one step of slack, so that one buffer to and fro costs nothing"
            );
        });
        assert_eq!(budget.used_bytes(), 0, "a thread that ends holds nothing");
    }

    #[test]
    fn shortage_is_seen_by_all_workers() {
        let budget = Budget::new(10 * STEP_BYTES, 1);
        let second = budget.clone();
        on_a_worker(&budget, move || {
            hold(4 * STEP_BYTES);
            assert!(!is_tight());
            on_a_worker(&second, || {
                hold(2 * STEP_BYTES);
                assert!(is_tight() && !is_over());
                let held = Held::new(4 * STEP_BYTES);
                assert!(is_over() && !is_full());
                held.set(5 * STEP_BYTES);
                assert!(is_full());
                drop(held);
                assert!(!is_over());
            });
            second.set_kernel_bytes(6 * STEP_BYTES);
            assert!(is_over(), "what the kernel holds counts");
        });
    }

    /// Idle connections that give way are few KiB each: a step of 1 MiB would hide them.
    #[test]
    fn small_things_count_where_memory_is_tight() {
        let budget = Budget::new(4 * STEP_BYTES, 1);
        on_a_worker(&budget, || {
            hold(4 * STEP_BYTES);
            assert!(is_over());
            let_go(3 * TIGHT_STEP_BYTES);
            assert!(!is_over());
            hold(3 * TIGHT_STEP_BYTES);
            assert!(is_over());
        });
    }

    #[test]
    fn many_workers_without_work_do_not_use_up_a_small_budget() {
        let workers = 16;
        let budget = Budget::new(16 * STEP_BYTES, workers);
        let each = budget.clone();
        let (begin, done) = (std::sync::Barrier::new(workers), std::sync::Barrier::new(workers));
        std::thread::scope(|scope| {
            let work = || {
                each.join();
                begin.wait();
                hold(200 * 1024);
                let_go(200 * 1024);
                hold(1);
                done.wait();
                assert!(!is_tight(), "{} bytes are said to be used", each.used_bytes());
            };
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            // The end of a scope does not wait for what a thread drops last.
            workers.into_iter().for_each(|worker| worker.join().expect("the worker does not panic"));
        });
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn thread_that_has_not_joined_is_never_short() {
        hold(usize::MAX / 2);
        assert!(!is_tight() && !is_over() && !is_full());
        let_go(usize::MAX / 2);
    }
}
