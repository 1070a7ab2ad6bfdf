//! The part of a body that somebody still has to send (R9): chunks, each freed when the last participant has passed it.
//!
//! Chunks are numbered from 0 over the whole body. Pure: no wakers, no time.

use std::collections::VecDeque;

use crate::fault::Fault;
use crate::pieces::Chunk;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The app broke off: nobody may take what came for the whole (R10).
    Aborted(Fault),
}

#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first chunk that is held.
    first: u64,
    chunks: VecDeque<Held>,
    bytes: usize,
    end: Option<End>,
}

#[derive(Debug)]
struct Held {
    chunk: Chunk,
    /// How many participants have not passed it.
    wanted: usize,
}

impl Window {
    /// The first chunk that is held: the slowest participant is there.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next chunk will have.
    pub fn next(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn end(&self) -> Option<End> {
        self.end
    }

    pub fn get(&self, number: u64) -> Option<&Chunk> {
        let at = number.checked_sub(self.first)?;
        self.chunks.get(at as usize).map(|held| &held.chunk)
    }

    /// `wanted`: by so many participants; at least one.
    pub fn push(&mut self, chunk: Chunk, wanted: usize) {
        debug_assert!(self.end.is_none() && wanted > 0);
        self.bytes += chunk.len();
        self.chunks.push_back(Held { chunk, wanted });
    }

    pub fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// A participant has passed the chunks from `from` up to `to`. Returns how many bytes nobody wants any more.
    pub fn pass(&mut self, from: u64, to: u64) -> usize {
        debug_assert!(self.first <= from && from <= to && to <= self.next());
        let before = self.bytes;
        let range = (from - self.first) as usize..(to - self.first) as usize;
        self.chunks.range_mut(range).for_each(|held| held.wanted -= 1);
        while self.chunks.front().is_some_and(|held| held.wanted == 0) {
            let freed = self.chunks.pop_front().map_or(0, |held| held.chunk.len());
            self.bytes -= freed;
            self.first += 1;
        }
        before - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buf::Buf;

    fn chunk(bytes: usize) -> Chunk {
        let mut buf = Buf::default();
        buf.put(&vec![7; bytes]);
        Chunk::new(buf, &Arc::default())
    }

    #[test]
    fn r09_a_chunk_is_freed_when_the_last_has_passed() {
        let mut window = Window::default();
        (0..3).for_each(|n| window.push(chunk(10 + n), 2));
        assert_eq!((window.first(), window.next(), window.bytes()), (0, 3, 33));
        assert_eq!(window.pass(0, 2), 0);
        assert_eq!(window.pass(0, 1), 10);
        assert_eq!((window.first(), window.bytes()), (1, 23));
        assert!(window.get(0).is_none() && window.get(1).is_some() && window.get(3).is_none());
        // The second leaves where it is; the first goes to the end.
        assert_eq!(window.pass(1, 3), 11);
        assert_eq!(window.pass(2, 3), 12);
        assert_eq!((window.first(), window.next(), window.bytes()), (3, 3, 0));
    }

    #[test]
    fn r10_the_first_end_holds() {
        let mut window = Window::default();
        window.finish(End::Whole);
        window.finish(End::Aborted(Fault { kind: crate::fault::Kind::UpstreamBrokenOff, detail: "" }));
        assert_eq!(window.end(), Some(End::Whole));
    }
}
