//! What is not worth waiting for: the memory of one worker.
//!
//! - [`PassTable`]: keys whose answer could not be shared. While a key is in it, requests for it do not coalesce.
//! - [`Trial`]: whether a route's flights are shared often enough for its requests to wait.
//!
//! Time is passed in. Must not know: flights, requests. Limits: [`KEYS_MAX`]; after the first key nothing is allocated.

use std::time::Duration;

use crate::io::Tick;

/// Keys that are remembered: 26 KiB a worker once there is one.
const KEYS_MAX: usize = 1024;

/// How long a key passes (R4): short enough that an answer which was private by chance costs little.
const PASS_MIN: Duration = Duration::from_secs(10);
/// What that grows to by doubling (R4): a key that always fails makes its requests wait once in two minutes, and one that has become shareable
/// is found out as late as that.
const PASS_MAX: Duration = Duration::from_secs(120);

/// Flights that a route is judged by (R4): as many as a word has bits.
const TRIAL_FLIGHTS: u32 = u64::BITS;
/// Of these, fewer than 5 % shared are too few (R4): for one answer shared, nineteen flights made followers wait for nothing.
const SHARED_PERCENT_MIN: u32 = 5;
/// How long a route's requests then go alone (R4).
const PAUSE: Duration = Duration::from_secs(30);

/// No slot.
const NONE: u16 = u16::MAX;

/// A chain for each key that may be there, so that most keys that are not find an empty one.
const CHAINS: usize = KEYS_MAX.next_power_of_two();

const _: () = assert!(KEYS_MAX < NONE as usize);

/// Keys that pass, by hash: two keys with one hash pass together. At most [`KEYS_MAX`]; the least recently used gives way.
///
/// A hash table with chains, whose slots are also in a list by use. Both are linked by slot numbers, so that nothing moves.
#[derive(Debug, Default)]
pub(crate) struct PassTable {
    slots: Vec<Slot>,
    /// The first slot of each chain; empty while there is no slot.
    chains: Vec<u16>,
    newest: u16,
    oldest: u16,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    until: Tick,
    /// How often the time has been doubled.
    doubled: u8,
    /// The next slot of the same chain.
    chained: u16,
    newer: u16,
    older: u16,
}

impl PassTable {
    /// Whether this key passes now. Then it has been used.
    pub fn passes(&mut self, hash: u64, now: Tick) -> bool {
        let Some(at) = self.find(hash) else { return false };
        let is_in_force = now < self.slots[at].until;
        if is_in_force {
            self.use_slot(at);
        }
        is_in_force
    }

    /// An answer for this key could not be shared: from now on it passes.
    ///
    /// A key that passed, and whose time is over, has shown it again: it passes for twice as long. One whose time is not over has shown nothing
    /// new, for that flight was opened before: its time begins anew.
    pub fn enter(&mut self, hash: u64, now: Tick) {
        match self.find(hash) {
            Some(at) => {
                let slot = &mut self.slots[at];
                if now >= slot.until && pass_time(slot.doubled) < PASS_MAX {
                    slot.doubled += 1;
                }
                slot.until = now.after(pass_time(slot.doubled));
                self.use_slot(at);
            }
            None => self.insert(hash, now.after(PASS_MIN)),
        }
    }

    /// Keys that pass now. Looks at all: a microsecond.
    pub fn len_in_force(&self, now: Tick) -> usize {
        self.slots.iter().filter(|slot| now < slot.until).count()
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let mut at = *self.chains.get(chain_of(hash))?;
        while let Some(slot) = self.slots.get(usize::from(at)) {
            if slot.hash == hash {
                return Some(usize::from(at));
            }
            at = slot.chained;
        }
        None
    }

    fn insert(&mut self, hash: u64, until: Tick) {
        if self.chains.is_empty() {
            self.chains = vec![NONE; CHAINS];
            self.slots.reserve_exact(KEYS_MAX);
            (self.newest, self.oldest) = (NONE, NONE);
        }
        let slot = Slot { hash, until, doubled: 0, chained: self.chains[chain_of(hash)], newer: NONE, older: NONE };
        let at = if self.slots.len() < KEYS_MAX {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            self.replace_oldest(slot)
        };
        self.chains[chain_of(hash)] = at as u16;
        self.link_as_newest(at);
    }

    /// The least recently used gives way to `slot`, whose chain may be the same.
    fn replace_oldest(&mut self, mut slot: Slot) -> usize {
        let at = self.oldest;
        self.unlink(usize::from(at));
        let Slot { hash, chained, .. } = self.slots[usize::from(at)];
        let first = &mut self.chains[chain_of(hash)];
        if *first == at {
            *first = chained;
            if slot.chained == at {
                slot.chained = chained;
            }
        } else {
            let mut before = usize::from(*first);
            while self.slots[before].chained != at {
                before = usize::from(self.slots[before].chained);
            }
            self.slots[before].chained = chained;
        }
        self.slots[usize::from(at)] = slot;
        usize::from(at)
    }

    fn use_slot(&mut self, at: usize) {
        if usize::from(self.newest) != at {
            self.unlink(at);
            self.link_as_newest(at);
        }
    }

    fn unlink(&mut self, at: usize) {
        let Slot { newer, older, .. } = self.slots[at];
        match self.slots.get_mut(usize::from(newer)) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(usize::from(older)) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_as_newest(&mut self, at: usize) {
        let before = std::mem::replace(&mut self.newest, at as u16);
        self.slots[at].newer = NONE;
        self.slots[at].older = before;
        match self.slots.get_mut(usize::from(before)) {
            Some(slot) => slot.newer = at as u16,
            None => self.oldest = at as u16,
        }
    }
}

fn chain_of(hash: u64) -> usize {
    hash as usize % CHAINS
}

fn pass_time(doubled: u8) -> Duration {
    PASS_MIN.saturating_mul(1 << doubled).min(PASS_MAX)
}

/// The last flights of one route that had a follower, and whether the route's requests wait at all.
#[derive(Debug)]
pub(crate) struct Trial {
    /// A bit a flight, the last one lowest: whether it was shared.
    shared: u64,
    /// Flights since it counts; [`TRIAL_FLIGHTS`] stands for that many and more.
    flights: u32,
    paused_until: Tick,
}

impl Default for Trial {
    fn default() -> Trial {
        Trial { shared: 0, flights: 0, paused_until: Tick(0) }
    }
}

impl Trial {
    /// A flight that had a follower has come to its head, or to none. During a pause it does not count: it was opened before.
    pub fn note(&mut self, shared: bool, now: Tick) {
        if self.is_paused(now) {
            return;
        }
        self.shared = self.shared << 1 | u64::from(shared);
        self.flights = (self.flights + 1).min(TRIAL_FLIGHTS);
        if self.flights == TRIAL_FLIGHTS && self.shared.count_ones() * 100 < SHARED_PERCENT_MIN * TRIAL_FLIGHTS {
            *self = Trial { paused_until: now.after(PAUSE), ..Trial::default() };
        }
    }

    /// The route's requests go alone.
    pub fn is_paused(&self, now: Tick) -> bool {
        now < self.paused_until
    }
}

#[cfg(test)]
mod tests;
