//! Owned byte buffers that go round: leased from the thread's pool, handed to the kernel and back, returned by drop. All of them count for
//! the budget of the process.

use std::cell::RefCell;

use crate::budget;

/// What a head is read into and written from: larger than all but rare heads, and than one TLS record on the wire (18,437 bytes).
pub const HEAD_BYTES: usize = 18 * 1024 + 512;

/// What a large body moves through: fewer system calls for a MiB, and still eight of them fit a core's second-level cache.
pub const BULK_BYTES: usize = 128 * 1024;

/// What a wait may hold where memory is tight: a small head, or what has come of a larger one.
pub const WAIT_BYTES: usize = 1024;

/// Buffers of each size that an idle thread keeps (4.6 MiB and 4 MiB); the rest is given back to the allocator. A request in flight holds
/// one or two, so these are enough for 128 at once; memory that is not kept has to be cleared again, at 1 us for a head's.
const HEADS_KEPT_MAX: usize = 256;
const BULKS_KEPT_MAX: usize = 32;

/// What a thread without a request in flight keeps of each size.
const KEPT_IDLE: usize = 4;

thread_local! {
    static HEADS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static BULKS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
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

/// Gives back to the system what a thread that has become idle keeps, all but enough for the next few requests.
pub fn trim() {
    for (pool, bytes) in [(&HEADS, HEAD_BYTES), (&BULKS, BULK_BYTES)] {
        pool.with_borrow_mut(|kept| {
            budget::let_go(kept.len().saturating_sub(KEPT_IDLE) * bytes);
            kept.truncate(KEPT_IDLE);
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
        if budget::is_tight() { Buf { store: store(WAIT_BYTES), start: 0, end: 0 } } else { Buf::head() }
    }

    /// Holds no more memory than its bytes need, where memory is tight and they are few: a wait for the rest of them may be long.
    pub fn fit(&mut self) {
        if self.store.len() > WAIT_BYTES && self.len() < WAIT_BYTES && budget::is_tight() {
            let mut fitting = Buf { store: store(WAIT_BYTES), start: 0, end: 0 };
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

fn store(bytes: usize) -> Box<[u8]> {
    budget::hold(bytes);
    vec![0; bytes].into_boxed_slice()
}

fn give_back(store: Box<[u8]>) {
    let bytes = store.len();
    if !keep(store) {
        budget::let_go(bytes);
    }
}

/// Into the pool of its size, where there is one and it is not full. A thread that ends has none any more.
fn keep(store: Box<[u8]>) -> bool {
    let (pool, kept_max) = match store.len() {
        HEAD_BYTES => (&HEADS, HEADS_KEPT_MAX),
        BULK_BYTES => (&BULKS, BULKS_KEPT_MAX),
        _ => return false,
    };
    let kept_max = if budget::is_tight() { KEPT_IDLE } else { kept_max };
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
