//! A hierarchical timer wheel: pure, no clock of its own.
//!
//! Time is in milliseconds; the finest slot is [`TICK_MS`] wide. Each level has 64 slots, each as wide as the whole level below. Inserting,
//! removing and the search for the next occupied slot are constant time. An entry never fires early; it fires at most one tick late, and on
//! a coarse level it first moves down.

use std::num::NonZeroU32;

/// Width of the finest slot. Timeouts are from milliseconds to hours; five milliseconds is below what a person or a test can tell.
pub const TICK_MS: u64 = 5;

const SLOTS: usize = 64;
const LEVELS: usize = 6;
const NONE: u32 = u32::MAX;

/// Names an entry until it fires or is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(NonZeroU32);

impl EntryId {
    fn of(key: u32) -> EntryId {
        EntryId(NonZeroU32::MIN.saturating_add(key))
    }

    fn key(self) -> u32 {
        self.0.get() - 1
    }
}

#[derive(Debug)]
struct Entry<T> {
    due_tick: u64,
    level: u8,
    slot: u8,
    prev: u32,
    next: u32,
    value: T,
}

/// The wheel. `T` is what is handed back when an entry is due.
#[derive(Debug)]
pub struct Wheel<T> {
    /// All ticks up to and including this one have fired.
    done_tick: u64,
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
    entries: slab::Slab<Entry<T>>,
}

impl<T> Wheel<T> {
    pub fn new(now_ms: u64) -> Wheel<T> {
        Wheel {
            done_tick: now_ms / TICK_MS,
            occupied: [0; LEVELS],
            heads: [[NONE; SLOTS]; LEVELS],
            entries: slab::Slab::new(),
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    /// Fires when `advance` is called with `due_ms` or later.
    pub fn insert(&mut self, due_ms: u64, value: T) -> EntryId {
        let due_tick = due_ms.div_ceil(TICK_MS).max(self.done_tick + 1);
        let key = self.entries.insert(Entry { due_tick, level: 0, slot: 0, prev: NONE, next: NONE, value }) as u32;
        self.link(key);
        EntryId::of(key)
    }

    pub fn remove(&mut self, id: EntryId) -> T {
        self.unlink(id.key());
        self.entries.remove(id.key() as usize).value
    }

    /// When `advance` should be called next, in milliseconds: not later than the first due entry, and earlier where one must move down a level.
    pub fn next_ms(&self) -> Option<u64> {
        (0..LEVELS).filter_map(|level| self.next_of_level(level)).min().map(|tick| tick * TICK_MS)
    }

    /// Takes one entry that is due at `now_ms`, or `None` when there is none left. Call it until it says so.
    pub fn advance(&mut self, now_ms: u64) -> Option<T> {
        let now_tick = now_ms / TICK_MS;
        loop {
            let (level, tick) =
                (0..LEVELS).filter_map(|level| Some((level, self.next_of_level(level)?))).min_by_key(|&(_, t)| t)?;
            if tick > now_tick {
                self.done_tick = self.done_tick.max(now_tick);
                return None;
            }
            // Entries of this tick may be taken one by one, so the tick is done only when its slot is empty.
            self.done_tick = self.done_tick.max(tick.saturating_sub(1));
            let slot = Self::slot_at(level, tick);
            let key = self.heads[level][slot];
            self.unlink(key);
            if self.entries[key as usize].due_tick <= tick {
                return Some(self.entries.remove(key as usize).value);
            }
            self.link(key);
        }
    }

    /// Start of the first occupied slot of a level that is not wholly in the past.
    fn next_of_level(&self, level: usize) -> Option<u64> {
        if self.occupied[level] == 0 {
            return None;
        }
        let width = Self::width(level);
        // Slots are searched in the order of time, from the one that holds the next tick.
        let from = (self.done_tick + 1) / width;
        let turned = self.occupied[level].rotate_right((from % SLOTS as u64) as u32);
        let start = (from + u64::from(turned.trailing_zeros())) * width;
        Some(start.max(self.done_tick + 1))
    }

    fn width(level: usize) -> u64 {
        (SLOTS as u64).pow(level as u32)
    }

    fn slot_at(level: usize, tick: u64) -> usize {
        ((tick / Self::width(level)) % SLOTS as u64) as usize
    }

    /// Puts an entry into the finest level whose turn reaches its due tick; beyond the last level it waits in its farthest slot.
    fn link(&mut self, key: u32) {
        let from = self.done_tick + 1;
        let due = self.entries[key as usize].due_tick;
        let (level, slot) = (0..LEVELS)
            .find(|&level| due / Self::width(level) - from / Self::width(level) < SLOTS as u64)
            .map(|level| (level, Self::slot_at(level, due)))
            .unwrap_or_else(|| {
                let last = LEVELS - 1;
                (last, Self::slot_at(last, from + (SLOTS as u64 - 1) * Self::width(last)))
            });
        let head = self.heads[level][slot];
        let entry = &mut self.entries[key as usize];
        (entry.level, entry.slot, entry.prev, entry.next) = (level as u8, slot as u8, NONE, head);
        if head != NONE {
            self.entries[head as usize].prev = key;
        }
        self.heads[level][slot] = key;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, key: u32) {
        let Entry { level, slot, prev, next, .. } = self.entries[key as usize];
        let (level, slot) = (level as usize, slot as usize);
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
        if prev != NONE {
            self.entries[prev as usize].next = next;
        } else {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut values: Vec<u32> = std::iter::from_fn(|| wheel.advance(now_ms)).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn an_entry_fires_at_its_time_and_not_before() {
        for wait in [1, 5, 319, 320, 321, 20_480, 1_310_720, 3_600_000, 400_000_000] {
            let mut wheel = Wheel::new(12_345);
            wheel.insert(12_345 + wait, 1);
            assert!(fired(&mut wheel, 12_345 + wait - 1).is_empty(), "{wait} ms");
            assert_eq!(fired(&mut wheel, 12_345 + wait + TICK_MS), vec![1], "{wait} ms");
            assert_eq!((wheel.len(), wheel.next_ms()), (0, None));
        }
    }

    #[test]
    fn a_removed_entry_does_not_fire() {
        let mut wheel = Wheel::new(0);
        let (a, _) = (wheel.insert(100, 1), wheel.insert(100, 2));
        assert_eq!(wheel.remove(a), 1);
        assert_eq!(fired(&mut wheel, 200), vec![2]);
    }

    proptest! {
        /// Against a sorted list: whatever is inserted and removed, the same entries fire at the same calls, give or take one tick,
        /// and sleeping until `next_ms` misses nothing.
        #[test]
        fn behaves_as_a_sorted_list(start in 0u64..1 << 40, steps in prop::collection::vec((0u64..2_000_000, 0u64..40_000, any::<bool>()), 1..60)) {
            let mut wheel = Wheel::new(start);
            let mut model: Vec<(u64, u32, EntryId)> = vec![];
            let mut now = start;
            for (n, (wait, pass, remove)) in steps.into_iter().enumerate() {
                let id = wheel.insert(now + wait, n as u32);
                model.push((now + wait, n as u32, id));
                if remove && model.len() > 1 {
                    let (_, value, id) = model.swap_remove(0);
                    prop_assert_eq!(wheel.remove(id), value);
                }
                now += pass;
                let got = fired(&mut wheel, now);
                for value in &got {
                    let at = model.iter().position(|(_, v, _)| v == value).expect("fired once, and only what is waiting");
                    prop_assert!(model.swap_remove(at).0 <= now, "never early");
                }
                prop_assert!(model.iter().all(|(due, ..)| due + TICK_MS > now), "at most a tick late");
                let first = model.iter().map(|(due, ..)| *due).min();
                prop_assert_eq!(first.is_some(), wheel.next_ms().is_some());
                if let (Some(first), Some(next)) = (first, wheel.next_ms()) {
                    prop_assert!(next < first + TICK_MS, "sleeping until next_ms is not too late");
                    prop_assert!(next + TICK_MS > now, "and not in the past");
                }
            }
        }
    }
}
