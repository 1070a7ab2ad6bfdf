//! Owned byte buffers that go round: leased from the thread's pool, handed to the kernel and back, returned by drop. All of them count for
//! the budget of the process.

use std::cell::RefCell;

use crate::budget;

/// What a head is read into and written from: larger than all but rare heads, and than one TLS record on the wire (18,437 bytes).
pub const HEAD_BYTES: usize = 18 * 1024 + 512;

/// What a large body moves through: fewer system calls for a MiB, and still eight of them fit a core's second-level cache.
pub const BULK_BYTES: usize = 128 * 1024;

/// What a wait may hold that seldom brings anything, and any where memory is tight: a small head, or what has come of a larger one.
pub const WAIT_BYTES: usize = 1024;

/// Buffers of each size that a busy thread keeps (4.6 MiB, 4 MiB and 256 KiB); the rest is given back to the allocator. A request in flight holds
/// one or two, so these are enough for 128 at once; memory that is not kept has to be cleared again, at 1 us for a head's.
const HEADS_KEPT_MAX: usize = 256;
const BULKS_KEPT_MAX: usize = 32;
const LITTLES_KEPT_MAX: usize = 256;

/// What a thread without a request in flight keeps of each size.
const KEPT_IDLE: usize = 4;

thread_local! {
    static HEADS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static BULKS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LITTLES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A fixed piece of memory with a filled part: `store[start..end]`.
///
/// The default is empty and owns no memory.
#[derive(Debug, Default)]
pub struct Buf {
    store: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Gives back to the system what a thread that has become idle keeps, all but enough for the next few requests; all where memory has run out.
pub fn trim() {
    let kept_max = kept_max(KEPT_IDLE);
    for (pool, bytes) in [(&HEADS, HEAD_BYTES), (&BULKS, BULK_BYTES), (&LITTLES, WAIT_BYTES)] {
        pool.with_borrow_mut(|kept| {
            budget::let_go(kept.len().saturating_sub(kept_max) * cost_bytes(bytes));
            kept.truncate(kept_max);
        });
    }
}

impl Buf {
    /// An empty buffer of [`HEAD_BYTES`].
    pub fn head() -> Buf {
        Buf::lease(&HEADS, HEAD_BYTES)
    }

    /// An empty buffer of [`BULK_BYTES`], or of [`HEAD_BYTES`] where memory is tight.
    pub fn bulk() -> Buf {
        if budget::is_tight() { Buf::head() } else { Buf::lease(&BULKS, BULK_BYTES) }
    }

    /// An empty buffer for a wait that may be long: of [`HEAD_BYTES`], or of [`WAIT_BYTES`] where memory is tight.
    pub fn waiting() -> Buf {
        if budget::is_tight() { Buf::little() } else { Buf::head() }
    }

    /// An empty buffer of [`WAIT_BYTES`].
    pub fn little() -> Buf {
        Buf::lease(&LITTLES, WAIT_BYTES)
    }

    /// Holds no more memory than its bytes need, where memory is tight and they are few: a wait for the rest of them may be long.
    pub fn fit(&mut self) {
        if self.store.len() > WAIT_BYTES && self.len() < WAIT_BYTES && budget::is_tight() {
            let mut fitting = Buf::little();
            fitting.put(self.filled());
            *self = fitting;
        }
    }

    fn lease(pool: &'static std::thread::LocalKey<RefCell<Vec<Box<[u8]>>>>, bytes: usize) -> Buf {
        let store = pool.with_borrow_mut(Vec::pop).unwrap_or_else(|| store(bytes));
        Buf { store, start: 0, end: 0 }
    }

    pub fn filled(&self) -> &[u8] {
        &self.store[self.start..self.end]
    }

    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.store[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// It owns memory, be it filled or not.
    pub fn is_leased(&self) -> bool {
        !self.store.is_empty()
    }

    /// The unfilled part behind the filled one.
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.store[self.end..]
    }

    pub fn spare_bytes(&self) -> usize {
        self.store.len() - self.end
    }

    /// The first `n` bytes of [`Buf::spare`] were written and are filled now.
    pub fn fill(&mut self, n: usize) {
        debug_assert!(n <= self.spare_bytes());
        self.end += n;
    }

    /// The first `n` filled bytes are used up.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Only the first `n` filled bytes are left.
    pub fn truncate(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.end = self.start + n;
    }

    /// Holds no more memory than its bytes need.
    pub fn shrink(&mut self) {
        if self.store.len() > self.len() {
            let mut fitting = Buf { store: store(self.len()), start: 0, end: 0 };
            fitting.put(self.filled());
            *self = fitting;
        }
    }

    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Moves the filled part to the front, so that all free memory is spare.
    pub fn compact(&mut self) {
        if self.start > 0 {
            self.store.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Makes room for at least `bytes` more: moves, then doubles. The caller bounds what it asks for.
    pub fn reserve(&mut self, bytes: usize) {
        if self.spare_bytes() >= bytes {
            return;
        }
        if self.store.len() < HEAD_BYTES && self.len() + bytes <= HEAD_BYTES && !budget::is_tight() {
            let mut head = Buf::head();
            head.put(self.filled());
            *self = head;
            return;
        }
        self.compact();
        if self.spare_bytes() < bytes {
            let least = if budget::is_tight() { WAIT_BYTES } else { HEAD_BYTES };
            let wanted = (self.store.len() * 2).max(self.end + bytes).max(least);
            let mut store = store(wanted);
            store[..self.end].copy_from_slice(&self.store[..self.end]);
            give_back(std::mem::replace(&mut self.store, store));
        }
    }

    /// Appends `bytes`, growing where they do not fit.
    pub fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.spare_bytes() < bytes.len() {
            self.reserve(bytes.len());
        }
        let end = self.end + bytes.len();
        self.store[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }
}

impl Drop for Buf {
    /// Most buffers that are dropped own no memory: they were moved from.
    #[inline]
    fn drop(&mut self) {
        if self.is_leased() {
            give_back(std::mem::take(&mut self.store));
        }
    }
}

/// What a store takes of the machine: the allocator's header comes on top, and memory that is mapped is whole pages ([`crate::io::map_memory_from`]).
fn cost_bytes(bytes: usize) -> usize {
    const HEADER_BYTES: usize = 16;
    const PAGE_BYTES: usize = 4096;
    if bytes >= HEAD_BYTES { (bytes + HEADER_BYTES).next_multiple_of(PAGE_BYTES) } else { bytes + HEADER_BYTES }
}

fn store(bytes: usize) -> Box<[u8]> {
    budget::hold(cost_bytes(bytes));
    vec![0; bytes].into_boxed_slice()
}

fn give_back(store: Box<[u8]>) {
    let bytes = store.len();
    if !keep(store) {
        budget::let_go(cost_bytes(bytes));
    }
}

/// Of the `most` buffers that a thread may keep, how many it may now.
fn kept_max(most: usize) -> usize {
    if !budget::is_tight() {
        most
    } else if budget::is_over() {
        0
    } else {
        most.min(KEPT_IDLE)
    }
}

/// Into the pool of its size, where there is one and it is not full. A thread that ends has none any more.
fn keep(store: Box<[u8]>) -> bool {
    let (pool, kept_max) = match store.len() {
        HEAD_BYTES => (&HEADS, HEADS_KEPT_MAX),
        BULK_BYTES => (&BULKS, BULKS_KEPT_MAX),
        WAIT_BYTES => (&LITTLES, LITTLES_KEPT_MAX),
        _ => return false,
    };
    let kept_max = self::kept_max(kept_max);
    let kept = pool.try_with(|kept| match kept.try_borrow_mut() {
        Ok(mut kept) if kept.len() < kept_max => {
            kept.push(store);
            true
        }
        _ => false,
    });
    kept.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs where `used` bytes of a budget of 16 MiB are used, on a thread of its own; in the end all is given back.
    fn with_used(used: usize, run: impl FnOnce() + Send + 'static) {
        let budget = budget::Budget::new(16 << 20, 1);
        let share = budget.clone();
        std::thread::spawn(move || {
            share.join();
            budget::hold(used);
            run();
        })
        .join()
        .expect("what runs does not panic");
        assert_eq!(budget.used_bytes(), 0);
    }

    const ROOMY: usize = 0;
    const TIGHT: usize = 9 << 20;
    const OVER: usize = 16 << 20;

    #[test]
    fn wait_holds_less_where_memory_is_tight() {
        with_used(ROOMY, || assert_eq!(Buf::waiting().spare_bytes(), HEAD_BYTES));
        with_used(TIGHT, || assert_eq!(Buf::waiting().spare_bytes(), WAIT_BYTES));
    }

    #[test]
    fn bulk_is_a_heads_size_where_memory_is_tight() {
        with_used(ROOMY, || assert_eq!(Buf::bulk().spare_bytes(), BULK_BYTES));
        with_used(TIGHT, || assert_eq!(Buf::bulk().spare_bytes(), HEAD_BYTES));
    }

    #[test]
    fn few_bytes_fit_into_less_where_memory_is_tight() {
        with_used(ROOMY, || {
            let mut buf = Buf::head();
            buf.put(b"GET");
            buf.fit();
            assert_eq!((buf.filled(), buf.spare_bytes()), (&b"GET"[..], HEAD_BYTES - 3));
        });
        with_used(TIGHT, || {
            for (bytes, store) in [(0, WAIT_BYTES), (WAIT_BYTES - 1, WAIT_BYTES), (WAIT_BYTES, HEAD_BYTES)] {
                let mut buf = Buf::head();
                buf.put(&vec![7; bytes + 1]);
                buf.consume(1);
                buf.fit();
                assert_eq!((buf.filled(), buf.store.len()), (&vec![7; bytes][..], store), "{bytes} bytes");
                buf.fit();
                assert_eq!(buf.store.len(), store, "a second time changes nothing");
            }
            let mut none = Buf::default();
            none.fit();
            assert!(!none.is_leased());
        });
    }

    #[test]
    fn growth_is_in_small_steps_where_memory_is_tight() {
        with_used(TIGHT, || {
            let mut buf = Buf::waiting();
            buf.put(&[7; WAIT_BYTES]);
            buf.put(b"x");
            assert_eq!((buf.len(), buf.store.len()), (WAIT_BYTES + 1, 2 * WAIT_BYTES));
        });
    }

    /// What `count` heads that were leased at once and dropped leave in use.
    fn kept_of(count: usize) -> usize {
        let before = budget::held_bytes();
        drop((0..count).map(|_| Buf::head()).collect::<Vec<Buf>>());
        (budget::held_bytes() - before) / cost_bytes(HEAD_BYTES)
    }

    #[test]
    fn fewer_are_kept_the_less_memory_there_is() {
        with_used(ROOMY, || {
            assert_eq!(kept_of(300), HEADS_KEPT_MAX);
            trim();
            assert_eq!(budget::held_bytes(), KEPT_IDLE * cost_bytes(HEAD_BYTES));
        });
        with_used(TIGHT, || assert_eq!(kept_of(10), KEPT_IDLE));
        with_used(OVER, || assert_eq!(kept_of(10), 0));
    }

    #[test]
    fn trim_leaves_nothing_where_memory_has_run_out() {
        with_used(TIGHT, || {
            assert_eq!(kept_of(10), KEPT_IDLE);
            budget::hold(OVER - TIGHT);
            trim();
            assert_eq!(budget::held_bytes(), OVER);
        });
    }

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut buf = Buf::head();
        buf.put(b"abc");
        buf.put(b"def");
        buf.consume(2);
        assert_eq!(buf.filled(), b"cdef");
        buf.compact();
        assert_eq!((buf.filled(), buf.spare_bytes()), (&b"cdef"[..], HEAD_BYTES - 4));
        buf.consume(4);
        assert!(buf.is_empty());
    }

    #[test]
    fn a_full_buffer_grows_and_keeps_its_bytes() {
        let mut buf = Buf::head();
        buf.put(&vec![7; HEAD_BYTES]);
        buf.put(b"x");
        assert_eq!(buf.len(), HEAD_BYTES + 1);
        assert_eq!(buf.filled()[HEAD_BYTES], b'x');
    }

    #[test]
    fn a_dropped_buffer_is_leased_again_empty() {
        let mut buf = Buf::head();
        buf.put(b"secret");
        drop(buf);
        assert!(Buf::head().is_empty());
    }
}
