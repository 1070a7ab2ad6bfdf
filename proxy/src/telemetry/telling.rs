//! From the workers to the control thread: a ring for each worker, of which nobody waits for the other end.
//!
//! In: a [`Story`] for each span and each line. Out: the same, in order, by [`Listening::take`]. A full ring drops what is told and counts it.
//! Must not know: what becomes of a story.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use tokio::sync::Notify;

use super::trace::{Ids, Propagators, Sampler};
use super::{Story, WorkerCounters};

/// Stories of one worker that the control thread has not taken yet.
pub const RING_STORIES: usize = 1024;

/// What all workers do about traces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracing {
    pub sampler: Sampler,
    pub propagators: Propagators,
}

/// The worker's end.
#[derive(Debug)]
pub struct Telling {
    pub counters: Arc<WorkerCounters>,
    /// `None`: nothing is traced, and what belongs to a trace passes as it came.
    pub tracing: Option<Tracing>,
    pub ids: Ids,
    ring: RefCell<Producer<Story>>,
    bell: Arc<Bell>,
}

/// The control thread's end.
#[derive(Debug)]
pub struct Listening {
    rings: Vec<Consumer<Story>>,
    bell: Arc<Bell>,
}

/// Wakes the control thread when the first story comes, and before a ring is full. Each is rung once between two looks.
#[derive(Debug, Default)]
pub struct Bell {
    first: Ring,
    half: Ring,
}

impl Bell {
    /// Ready when something has been told.
    pub async fn told(&self) {
        self.first.rung.notified().await;
    }

    /// Ready when a ring is half full.
    pub async fn half_full(&self) {
        self.half.rung.notified().await;
    }
}

#[derive(Debug, Default)]
struct Ring {
    has_rung: AtomicBool,
    rung: Notify,
}

impl Ring {
    fn ring(&self) {
        // Looked at first: a locked step for each story would cost more than all the rest.
        if !self.has_rung.load(Relaxed) && !self.has_rung.swap(true, Relaxed) {
            self.rung.notify_one();
        }
    }
}

/// A ring for each of the workers, whose counters are `counters`. `seed` is random.
pub fn rings(counters: &[Arc<WorkerCounters>], tracing: Option<Tracing>, seed: u64) -> (Vec<Telling>, Listening) {
    let bell = Arc::new(Bell::default());
    let (tellings, rings) = counters
        .iter()
        .enumerate()
        .map(|(n, counters)| {
            let (producer, consumer) = RingBuffer::new(RING_STORIES);
            // Far apart in the sequence, for any number of workers.
            let ids = Ids::new(seed.wrapping_add((n as u64).wrapping_mul(0x2545_f491_4f6c_dd1d)));
            let telling =
                Telling { counters: counters.clone(), tracing, ids, ring: RefCell::new(producer), bell: bell.clone() };
            (telling, consumer)
        })
        .unzip();
    (tellings, Listening { rings, bell })
}

impl Telling {
    pub fn tell(&self, story: Story) {
        let mut ring = self.ring.borrow_mut();
        if let Err(PushError::Full(story)) = ring.push(story) {
            self.counters.spans_dropped.add(story.spans());
            self.counters.lines_dropped.add(u64::from(story.is_logged()));
        }
        self.bell.first.ring();
        if ring.slots() <= RING_STORIES / 2 {
            self.bell.half.ring();
        }
    }
}

impl Listening {
    /// Hands over what has been told, ring by ring.
    pub fn take(&mut self, mut each: impl FnMut(Story)) {
        self.bell.first.has_rung.store(false, Relaxed);
        self.bell.half.has_rung.store(false, Relaxed);
        for ring in &mut self.rings {
            // What comes meanwhile waits for the next time.
            for _ in 0..ring.slots() {
                let Ok(story) = ring.pop() else { break };
                each(story);
            }
        }
    }

    pub fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }
}
