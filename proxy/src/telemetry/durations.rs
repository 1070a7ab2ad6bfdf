//! How long requests took, by what they were: the two histograms of OpenTelemetry's conventions for HTTP.
//!
//! In: a key and a duration, from the one worker that owns the table. Out: all sets of the table, for any reader at any time. A note is a
//! probe and two plain stores: no locked instruction, no allocation. Limits: [`SETS_MAX`] sets of labels; what comes after them is counted
//! in one more, as OpenTelemetry's cardinality limit has it.

mod keys;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Counter;
pub use keys::{ClientKey, ErrorType, Key, ServerKey};

/// Upper bounds of the buckets, in seconds, as the conventions give them for `http.server.request.duration`.
pub const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The same in nanoseconds.
const BOUNDS_NS: [u64; BOUNDS.len()] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Sets of labels that a worker tells apart: a dozen routes with a few methods and statuses each. A table is 7 KiB.
pub const SETS_MAX: usize = 48;

/// Places of the hash table. A quarter of them stays free, so a probe ends.
const PLACES: usize = 64;

/// In a place: the key above, the number of its set (from 1) below. 0: free.
const SET_BITS: u32 = 8;

/// Durations by key.
#[derive(Debug)]
pub struct Durations<K> {
    places: [AtomicU64; PLACES],
    /// Sets in use.
    used: Counter,
    /// The last one is for all keys that came when the others were in use.
    sets: [Set; SETS_MAX + 1],
    key: PhantomData<K>,
}

/// 128 bytes: what one note touches is two lines of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    /// Those over the last bound are last.
    buckets: [Counter; BOUNDS.len() + 1],
    sum_ns: Counter,
}

/// What was noted of one key, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noted {
    /// How many were within each bound of [`BOUNDS`] and above the one before; the last: how many were above all.
    pub buckets: [u64; BOUNDS.len() + 1],
    pub sum_ns: u64,
}

impl<K> Default for Durations<K> {
    fn default() -> Durations<K> {
        Durations {
            places: [const { AtomicU64::new(0) }; PLACES],
            used: Counter::default(),
            sets: std::array::from_fn(|_| Set::default()),
            key: PhantomData,
        }
    }
}

impl<K: Key> Durations<K> {
    /// Counts one. For the worker that owns the table alone.
    pub fn note(&self, key: K, took: Duration) {
        let set = &self.sets[self.set_of(key.pack())];
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS_NS.iter().position(|bound| took_ns <= *bound).unwrap_or(BOUNDS_NS.len());
        set.buckets[at].add(1);
        set.sum_ns.add(took_ns);
    }

    /// The number of the set of `key`; a new key takes the next one.
    fn set_of(&self, key: u64) -> usize {
        debug_assert!(key >> (u64::BITS - SET_BITS) == 0, "{key:x} leaves no room for the number of its set");
        for at in probes(key) {
            let place = self.places[at].load(Ordering::Relaxed);
            if place >> SET_BITS == key && place != 0 {
                return (place & ((1 << SET_BITS) - 1)) as usize - 1;
            }
            if place == 0 {
                let set = self.used.sum() as usize;
                if set == SETS_MAX {
                    break;
                }
                self.used.add(1);
                // Whoever reads the key finds its set, which is empty.
                self.places[at].store(key << SET_BITS | (set as u64 + 1), Ordering::Release);
                return set;
            }
        }
        SETS_MAX
    }

    /// What was noted so far, in the order in which the keys came; `None`: of all keys beyond [`SETS_MAX`], where there were some.
    pub fn read(&self) -> Vec<(Option<K>, Noted)> {
        let places = self.places.iter().map(|place| place.load(Ordering::Acquire)).filter(|place| *place != 0);
        let mut places: Vec<u64> = places.collect();
        places.sort_by_key(|place| place & ((1 << SET_BITS) - 1));
        let known = places.into_iter().map(|place| {
            let set = (place & ((1 << SET_BITS) - 1)) as usize - 1;
            (Some(K::unpack(place >> SET_BITS)), self.sets[set].read())
        });
        let beyond = self.sets[SETS_MAX].read();
        known.chain((beyond != Noted::default()).then_some((None, beyond))).collect()
    }
}

/// Every place once, from where `key` belongs.
fn probes(key: u64) -> impl Iterator<Item = usize> {
    // Fibonacci hashing: the upper bits of the product depend on all of the key.
    let first = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACES.ilog2())) as usize;
    (0..PLACES).map(move |step| (first + step) % PLACES)
}

impl Set {
    fn read(&self) -> Noted {
        Noted { buckets: self.buckets.each_ref().map(Counter::sum), sum_ns: self.sum_ns.sum() }
    }
}

impl Noted {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Adds what another worker noted.
    pub fn add(&mut self, other: &Noted) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(all, one)| *all += one);
        self.sum_ns += other.sum_ns;
    }
}

#[cfg(test)]
mod tests;
