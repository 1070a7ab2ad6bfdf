//! What a schedule is made of: who comes when and does what, how the app is, what goes wrong.

use std::time::Duration;

use super::executor::Temper;
use super::heads::{Framing, SHARED, Says, UNSHARED};
use super::rng::Rng;
use crate::config::{Coalescing, CoalescingMode, OnError, ReadAfterWrite};

#[derive(Debug)]
pub struct Plan {
    pub workers: usize,
    /// Bits of a hash that count.
    pub hash_mask: u64,
    pub rules: Coalescing,
    pub clients: Vec<Client>,
    pub writes: Vec<Write>,
    pub app: App,
    pub temper: Temper,
    /// Steps of a thousand in which a task dies.
    pub deaths: u64,
    pub drains_at: Option<u64>,
    pub reloads_at: Option<u64>,
}

/// One connection of a client. Times in milliseconds after the beginning.
#[derive(Debug, Clone)]
pub struct Client {
    pub worker: usize,
    pub shape: usize,
    pub arrives: u64,
    /// When the same request comes again on this connection.
    pub twins: Vec<u64>,
    pub leaves: Option<u64>,
    /// It leaves in the middle of its answer.
    pub leaves_after_bytes: Option<usize>,
    pub reader: Reader,
    /// Its `request` and `queue` times, after its arrival.
    pub request_ms: Option<u64>,
    pub queue_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Fast,
    /// So many milliseconds for each send.
    Slow(u64),
    /// It reads no more after so many bytes.
    Stops(usize),
}

/// A request that may change what others read.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    pub worker: usize,
    pub uri: &'static str,
    pub begins: u64,
    pub answered_after: u64,
    pub ends_after: u64,
    /// The client then reads what it wrote: on this worker, as this shape.
    pub reads: Option<(usize, usize)>,
}

/// How the app behaves: shares of its exchanges in percent.
#[derive(Debug)]
pub struct App {
    pub waits_for_permit: u64,
    pub permit_ms: u64,
    pub connect_ms: u64,
    pub refuses: u64,
    pub goes_stale: u64,
    pub dies_early: u64,
    pub is_silent: u64,
    pub says_unshared: u64,
    pub interims: u64,
    pub dies_inside: u64,
    pub think_ms: (u64, u64),
    pub chunks_max: u64,
    pub chunk_bytes_max: u64,
    pub chunk_ms: (u64, u64),
    pub chunked: u64,
}

/// What one exchange comes to. Times in milliseconds after the connection is there.
pub struct Script {
    pub interims: Vec<u64>,
    pub fate: Fate,
    pub says: Says,
    pub framing: Framing,
    /// Bytes, and how long after what came before.
    pub chunks: Vec<(usize, u64)>,
    pub dies_before_chunk: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The head comes then.
    Answers(u64),
    /// The connection had been idle for too long.
    Stale(u64),
    Dies(u64),
    Silent,
}

impl App {
    pub fn script(&self, rng: &mut Rng) -> Script {
        let think_ms = rng.between(self.think_ms.0, self.think_ms.1);
        let fate = match () {
            () if rng.percent(self.goes_stale) => Fate::Stale(rng.between(0, 1)),
            () if rng.percent(self.dies_early) => Fate::Dies(think_ms),
            () if rng.percent(self.is_silent) => Fate::Silent,
            () => Fate::Answers(think_ms),
        };
        let mut interims: Vec<u64> = Vec::new();
        while rng.percent(self.interims) && interims.len() < 3 {
            interims.push(rng.between(0, think_ms));
        }
        interims.sort_unstable();
        let says = if rng.percent(self.says_unshared) { rng.pick(&UNSHARED) } else { rng.pick(&SHARED) };
        let count = rng.between(0, self.chunks_max);
        let chunk = |rng: &mut Rng| {
            (rng.between(1, self.chunk_bytes_max) as usize, rng.between(self.chunk_ms.0, self.chunk_ms.1))
        };
        let chunks: Vec<(usize, u64)> = (0..count).map(|_| chunk(rng)).collect();
        let bytes = chunks.iter().map(|(bytes, _)| bytes).sum();
        let framing = if rng.percent(self.chunked) { Framing::Chunked } else { Framing::Length(bytes) };
        let dies = !chunks.is_empty() && rng.percent(self.dies_inside);
        let dies_before_chunk = dies.then(|| rng.below(chunks.len()));
        Script { interims, fate, says, framing, chunks, dies_before_chunk }
    }

    fn draw(rng: &mut Rng) -> App {
        let fails = rng.percent(10);
        let often = |rng: &mut Rng, percent: u64| if rng.percent(percent) { rng.pick(&[5, 30, 100]) } else { 0 };
        App {
            waits_for_permit: often(rng, 30),
            permit_ms: rng.pick(&[1, 20, 700]),
            connect_ms: rng.pick(&[0, 0, 1, 30]),
            refuses: if fails { rng.pick(&[0, 50, 100]) } else { rng.pick(&[0, 0, 10]) },
            goes_stale: rng.pick(&[0, 0, 10, 30]),
            dies_early: if fails { 100 } else { rng.pick(&[0, 0, 10, 40]) },
            is_silent: rng.pick(&[0, 0, 5]),
            says_unshared: rng.pick(&[0, 10, 50, 100]),
            interims: rng.pick(&[0, 0, 30]),
            dies_inside: rng.pick(&[0, 0, 20, 60]),
            think_ms: rng.pick(&[(0, 0), (0, 3), (5, 50), (100, 900), (0, 3000)]),
            chunks_max: rng.pick(&[0, 2, 8, 30]),
            chunk_bytes_max: rng.pick(&[4, 60, 200]),
            chunk_ms: rng.pick(&[(0, 0), (0, 0), (0, 2), (0, 100)]),
            chunked: rng.pick(&[0, 50, 100]),
        }
    }
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Plan {
        let workers = rng.pick(&[1, 1, 2, 2, 2, 3, 3]);
        let horizon_ms = rng.pick(&[0, 3, 40, 600, 2500]);
        let shapes = rng.pick(&[1, 2, 2, 3, 8]);
        let readers = rng.below(4);
        let leaving = rng.pick(&[0, 0, 20, 60]);
        let many = rng.pick(&[4, 8, 8, 16]);
        let app = App::draw(rng);
        let clients = (0..rng.between(2, many)).map(|_| client(rng, workers, shapes, horizon_ms, readers, leaving));
        let clients = clients.collect();
        let writes = if rng.percent(40) { rng.between(1, 3) } else { 0 };
        let writes = (0..writes).map(|_| write(rng, workers, horizon_ms, shapes)).collect();
        let is_calm = rng.percent(50);
        Plan {
            workers,
            // All; all collide; all in one line of the directory; some with one tag.
            hash_mask: rng.pick(&[u64::MAX, u64::MAX, u64::MAX, u64::MAX, 0, !0x7ff, 0x400]),
            rules: rules(rng),
            clients,
            writes,
            app,
            temper: if is_calm {
                Temper { stalls: 0, hurries: 0 }
            } else {
                Temper { stalls: rng.pick(&[0, 10, 50]), hurries: rng.pick(&[0, 5, 50]) }
            },
            deaths: rng.pick(&[0, 0, 0, 3, 15]),
            drains_at: rng.percent(10).then(|| rng.between(0, horizon_ms)),
            reloads_at: rng.percent(10).then(|| rng.between(0, horizon_ms)),
        }
    }
}

fn client(rng: &mut Rng, workers: usize, shapes: usize, horizon_ms: u64, readers: usize, leaving: u64) -> Client {
    let arrives = rng.between(0, horizon_ms);
    let twins = if rng.percent(15) { rng.between(1, 4) } else { 0 };
    let mut twins: Vec<u64> = (0..twins).map(|_| arrives + rng.pick(&[0, 0, 1, 30, 500])).collect();
    twins.sort_unstable();
    let reader = match (readers, rng.below(4)) {
        (0, _) | (1, 0..2) | (2, 0) => Reader::Fast,
        (1, _) | (3, 0) => Reader::Slow(rng.pick(&[1, 5, 60, 200])),
        (2, _) | (3, _) => Reader::Stops(rng.pick(&[0, 10, 300, 900])),
        _ => Reader::Fast,
    };
    Client {
        worker: rng.below(workers),
        shape: rng.below(shapes),
        arrives,
        twins,
        leaves: rng.percent(leaving).then(|| arrives + rng.pick(&[0, 1, 3, 40, 500, 1500])),
        leaves_after_bytes: rng.percent(leaving / 2).then(|| rng.pick(&[0, 1, 100, 600])),
        reader,
        request_ms: rng.percent(10).then(|| rng.pick(&[1, 50, 400, 2000])),
        queue_ms: rng.percent(20).then(|| rng.pick(&[0, 10, 300])),
    }
}

fn write(rng: &mut Rng, workers: usize, horizon_ms: u64, shapes: usize) -> Write {
    Write {
        worker: rng.below(workers),
        uri: rng.pick(&["/a", "/b"]),
        begins: rng.between(0, horizon_ms),
        answered_after: rng.pick(&[0, 1, 40, 300]),
        ends_after: rng.pick(&[0, 0, 1, 40]),
        reads: rng.percent(80).then(|| (rng.below(workers), rng.below(shapes))),
    }
}

fn rules(rng: &mut Rng) -> Coalescing {
    use CoalescingMode::{Cacheable, Identical, Observe};
    let ms = Duration::from_millis;
    Coalescing {
        mode: rng.pick(&[Identical, Identical, Identical, Identical, Identical, Cacheable, Observe]),
        join_window: ms(rng.pick(&[5, 100, 500, 2000])),
        max_wait: rng.percent(15).then(|| ms(rng.pick(&[10, 100, 600]))),
        read_after_write: rng.pick(&[
            ReadAfterWrite::Upstream,
            ReadAfterWrite::Upstream,
            ReadAfterWrite::Path,
            ReadAfterWrite::Off,
        ]),
        on_error: rng.pick(&[OnError::Share, OnError::Release]),
        ..super::world::built_in()
    }
}
