//! Write epochs of an upstream: a client that has written joins no read that began before its write.
//!
//! Every write makes the epoch a new one; a flight takes joiners only in the epoch that it was dispatched in. A write bumps three times:
//! - at its dispatch: who acts on it without waiting for its answer joins no read from before;
//! - when the head of its answer has come, before any byte of it goes to the client: with that the client may go on;
//! - when the exchange ends, however it ends: the app may have written as late as that.
//!
//! A flight reads its epoch before its first byte goes upstream, a request that may join reads the epoch after its head has come. So a flight
//! whose epoch is still that of a request was dispatched after the answer to every write that the request's client knows of.
//!
//! Must not know: which methods write, flights. It covers writes through this process.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words for paths. Two paths that share one only keep a join from happening now and then; 32 KiB an upstream.
const PATHS: usize = 4096;

/// The epochs of one upstream, shared by all workers.
///
/// Relaxed everywhere, for a word publishes nothing but itself. What matters is that a bump comes before the answer that lets a client go on,
/// and a reading after the request that the client then sends. Sockets see to that: the kernel orders what a thread did before a send before
/// what a thread does after the receipt of what was sent, on one machine by its locks, over a wire by the barriers around the device. Of one
/// word, no reading that comes after a bump is older than it.
#[derive(Debug)]
pub struct Epochs {
    upstream: AtomicU64,
    paths: [AtomicU64; PATHS],
}

/// Whose writes count for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of the upstream.
    Upstream,
    /// Those to the same path and query, by their hash.
    Path(u64),
    /// None.
    Off,
}

impl Epochs {
    pub fn new() -> Epochs {
        Epochs { upstream: AtomicU64::new(0), paths: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// A write to the path and query with this hash begins, is answered, or ends. Both words: routes of one upstream may differ in scope.
    pub fn write(&self, uri_hash: u64) {
        self.upstream.fetch_add(1, Relaxed);
        self.path(uri_hash).fetch_add(1, Relaxed);
    }

    /// The epoch now: equal to one taken earlier in the same scope only if no write in it was bumped between.
    pub fn now(&self, scope: Scope) -> u64 {
        match scope {
            Scope::Upstream => self.upstream.load(Relaxed),
            Scope::Path(uri_hash) => self.path(uri_hash).load(Relaxed),
            Scope::Off => 0,
        }
    }

    fn path(&self, uri_hash: u64) -> &AtomicU64 {
        &self.paths[uri_hash as usize % PATHS]
    }
}

impl Default for Epochs {
    fn default() -> Epochs {
        Epochs::new()
    }
}

/// A write that is under way: bumps when it is made and by its drop, and in between where it is told of the answer.
#[derive(Debug)]
#[must_use]
pub struct Writing {
    epochs: Arc<Epochs>,
    uri_hash: u64,
    is_over: Cell<bool>,
}

impl Writing {
    /// Before the first byte goes upstream.
    pub fn dispatch(epochs: Arc<Epochs>, uri_hash: u64) -> Writing {
        epochs.write(uri_hash);
        Writing { epochs, uri_hash, is_over: Cell::new(false) }
    }

    /// Before the first byte of the answer goes to the client.
    pub fn answered(&self) {
        self.epochs.write(self.uri_hash);
    }

    /// The whole answer had come when [`Writing::answered`] was said: a read that has begun since then began after the write.
    pub fn was_over(&self) {
        self.is_over.set(true);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_over.get() {
            self.epochs.write(self.uri_hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Epochs, PATHS, Scope, Writing};

    #[test]
    fn r07_a_write_ends_the_epoch_of_its_upstream_and_of_its_path() {
        let epochs = Epochs::new();
        let scopes = [Scope::Upstream, Scope::Path(7), Scope::Path(8)];
        let before = scopes.map(|scope| epochs.now(scope));
        epochs.write(7);
        let after = scopes.map(|scope| epochs.now(scope));
        assert_ne!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        assert_eq!(before[2], after[2], "another path");
    }

    #[test]
    fn r07_an_epoch_ends_with_the_dispatch_the_answer_and_the_end_of_a_write() {
        let epochs = Arc::new(Epochs::new());
        let mut seen = vec![epochs.now(Scope::Path(1))];
        let writing = Writing::dispatch(epochs.clone(), 1);
        seen.push(epochs.now(Scope::Path(1)));
        writing.answered();
        seen.push(epochs.now(Scope::Path(1)));
        drop(writing);
        seen.push(epochs.now(Scope::Path(1)));
        assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
    }

    #[test]
    fn r07_without_read_after_write_no_write_counts() {
        let epochs = Epochs::new();
        let before = epochs.now(Scope::Off);
        epochs.write(1);
        assert_eq!(epochs.now(Scope::Off), before);
    }

    #[test]
    fn r07_every_path_has_a_word_and_some_share_one() {
        let epochs = Epochs::new();
        for uri_hash in [0, PATHS as u64 - 1, PATHS as u64, u64::MAX] {
            let before = epochs.now(Scope::Path(uri_hash));
            epochs.write(uri_hash);
            assert_ne!(epochs.now(Scope::Path(uri_hash)), before, "{uri_hash}");
        }
        assert_eq!(epochs.now(Scope::Path(0)), epochs.now(Scope::Path(PATHS as u64)));
    }

    #[test]
    fn r07_writes_of_all_threads_count() {
        let epochs = Epochs::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| epochs.write(3)));
            }
        });
        assert_eq!((epochs.now(Scope::Upstream), epochs.now(Scope::Path(3))), (4000, 4000));
    }
}
