//! Bytes to send that lie in several places: some of our own, some that other connections send too.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::buf::{Buf, WAIT_BYTES};

/// A part of a body that several connections send. Whoever drops it last gives its memory back, on whatever worker.
#[derive(Debug, Clone)]
pub(crate) struct Chunk(Arc<Retained>);

#[derive(Debug)]
struct Retained {
    buf: Buf,
    /// Where its bytes are counted.
    sum: Arc<AtomicU64>,
}

impl Chunk {
    /// Counts in `sum` for as long as somebody has it.
    pub fn new(buf: Buf, sum: &Arc<AtomicU64>) -> Chunk {
        sum.fetch_add(buf.len() as u64, Relaxed);
        Chunk(Arc::new(Retained { buf, sum: sum.clone() }))
    }

    pub fn filled(&self) -> &[u8] {
        self.0.buf.filled()
    }

    pub fn len(&self) -> usize {
        self.0.buf.len()
    }
}

impl Drop for Retained {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.buf.len() as u64, Relaxed);
    }
}

/// What is to be sent next, in order.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Heads and frames, which pieces point into: each may be sent several times.
    own: Buf,
    list: VecDeque<Piece>,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    Own(Range<usize>),
    Shared(Chunk, Range<usize>),
}

impl Pieces {
    /// Appends what `write` writes, and says where it is, so that it can be repeated.
    pub fn write(&mut self, write: impl FnOnce(&mut Buf)) -> Range<usize> {
        let from = self.own.len();
        write(&mut self.own);
        let written = from..self.own.len();
        self.repeat(written.clone());
        written
    }

    /// Appends what was written before.
    pub fn repeat(&mut self, written: Range<usize>) {
        self.push(Piece::Own(written.clone()), written.len());
    }

    /// Appends the filled bytes of `chunk` within `range`.
    pub fn share(&mut self, chunk: &Chunk, range: Range<usize>) {
        self.push(Piece::Shared(chunk.clone(), range.clone()), range.len());
    }

    fn push(&mut self, piece: Piece, bytes: usize) {
        if bytes > 0 {
            self.bytes += bytes;
            self.list.push_back(piece);
        }
    }

    /// Bytes that are not sent.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many pieces are not sent whole.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// What is not sent, piece by piece.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|piece| match piece {
            Piece::Own(range) => &self.own.filled()[range.clone()],
            Piece::Shared(chunk, range) => &chunk.filled()[range.clone()],
        })
    }

    /// What was written holds no more memory than it needs, where that is little: a send that waits keeps it.
    pub fn shrink(&mut self) {
        if self.own.len() <= WAIT_BYTES {
            self.own.shrink();
        }
    }

    /// The first `n` bytes are sent.
    pub fn sent(&mut self, mut n: usize) {
        debug_assert!(n <= self.bytes);
        self.bytes -= n;
        while let Some(first) = self.list.front_mut() {
            let (Piece::Own(range) | Piece::Shared(_, range)) = first;
            if n < range.len() {
                range.start += n;
                return;
            }
            n -= range.len();
            self.list.pop_front();
        }
        // All is sent: what was written is not repeated any more.
        self.own = Buf::default();
    }

    /// Moves as much as `out` has room for from here to there.
    pub fn copy_to(&mut self, out: &mut Buf) {
        let mut copied = 0;
        for slice in self.slices() {
            let n = slice.len().min(out.spare_bytes());
            out.put(&slice[..n]);
            copied += n;
            if n < slice.len() {
                break;
            }
        }
        self.sent(copied);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: &[u8]) -> Chunk {
        let mut buf = Buf::head();
        buf.put(bytes);
        Chunk::new(buf, &Arc::default())
    }

    fn all(pieces: &Pieces) -> Vec<u8> {
        pieces.slices().flatten().copied().collect()
    }

    #[test]
    fn pieces_come_in_order_and_may_be_repeated() {
        let mut pieces = Pieces::default();
        let head = pieces.write(|out| out.put(b"head "));
        let body = chunk(b"a body");
        pieces.share(&body, 2..6);
        pieces.repeat(head);
        pieces.share(&body, 0..0);
        assert_eq!((all(&pieces), pieces.len(), pieces.count()), (b"head bodyhead ".to_vec(), 14, 3));
    }

    #[test]
    fn what_is_sent_is_gone_wherever_the_kernel_stopped() {
        for stop in 0..=14 {
            let mut pieces = Pieces::default();
            let head = pieces.write(|out| out.put(b"head "));
            pieces.share(&chunk(b"body"), 0..4);
            pieces.repeat(head);
            pieces.sent(stop);
            assert_eq!(all(&pieces), b"head bodyhead "[stop..], "{stop}");
            assert_eq!(pieces.len(), 14 - stop);
        }
    }

    #[test]
    fn a_chunk_counts_until_the_last_has_dropped_it() {
        let sum = Arc::new(AtomicU64::new(1));
        let mut buf = Buf::head();
        buf.put(b"four");
        let chunk = Chunk::new(buf, &sum);
        let mut pieces = Pieces::default();
        pieces.share(&chunk, 0..4);
        drop(chunk);
        assert_eq!(sum.load(Relaxed), 5);
        pieces.sent(4);
        assert_eq!(sum.load(Relaxed), 1);
    }

    #[test]
    fn a_copy_takes_what_fits() {
        let mut pieces = Pieces::default();
        pieces.share(&chunk(&[1; 10_000]), 0..10_000);
        pieces.share(&chunk(&[2; 10_000]), 0..10_000);
        let mut out = Buf::head();
        pieces.copy_to(&mut out);
        assert_eq!((out.spare_bytes(), pieces.len()), (0, 20_000 - out.len()));
        out.clear();
        pieces.copy_to(&mut out);
        assert!(pieces.is_empty() && out.filled().iter().all(|&byte| byte == 2));
    }
}
