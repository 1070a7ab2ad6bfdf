//! Which worker has an open flight for a key, over all workers of the process.
//!
//! A table of cache lines; the hash of a key names its line. A line has seven entries, each a flight of one key, and a version: even at rest,
//! odd while somebody puts an entry in. Whoever opens a flight reads the version, looks through all entries, and puts its own in only if the
//! version is still the same: then nobody has put one in since the look, so no second entry for the key can be on its way. Taking an entry
//! out changes no version: it can only make a look too careful.
//!
//! Nobody waits: an opener that comes upon a change looks again, [`TRIES`] times at most, and then is told so. A thread that the kernel has taken
//! off its core in the middle of a change holds up no other thread; requests of that line ask again when it may be back.
//!
//! Must not know: what a flight is, who joins it, time. Limits: [`ENTRIES`] flights a line. Checked by loom in proxy/loom: that crate reads
//! this file, so it stands alone, on that crate's `stepped` atomics there.

#[cfg(loom)]
use super::stepped::AtomicU64;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Flights that a line has room for: with the version they fill a cache line of 64 bytes.
#[cfg(not(loom))]
pub const ENTRIES: usize = 7;
/// In a model a place has one in front of it and one behind: more add steps and no case.
#[cfg(loom)]
pub const ENTRIES: usize = 3;

/// Lines for each worker. With 1,000 flights of each worker open, a line has two on average, and one key in 220 finds its line full (Poisson).
const LINES_PER_WORKER: usize = 512;

/// 64 KiB: what two workers need.
#[cfg(not(loom))]
const LINES_MIN: usize = 1024;
/// In a model all keys share one line.
#[cfg(loom)]
const LINES_MIN: usize = 1;

/// 1 MiB, for 32 workers and more: a pod with so many cores has it to spare, and hardly more flights open.
#[cfg(not(loom))]
const LINES_MAX: usize = 16 * 1024;
#[cfg(loom)]
const LINES_MAX: usize = 1;

/// Looks at a line that is being changed. A change is two stores to a line that all cores want: some 100 ns, on two sockets the double. So many
/// looks take a microsecond or two: whoever has not ended its change by then is not running.
#[cfg(not(loom))]
const TRIES: usize = 16;
/// In a model no look takes long, and the second shows all that a third could.
#[cfg(loom)]
const TRIES: usize = 2;

/// Bits of an entry that name the worker. The proxy has at most 1,024.
const WORKER_BITS: u32 = 11;
const WORKER_MASK: u64 = (1 << WORKER_BITS) - 1;

/// The directory of a process with two workers or more.
pub struct Directory {
    /// A power of two.
    lines: Box<[Line]>,
}

/// What became of the wish to open a flight.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Opened {
    /// The caller's flight is the only one of its key, until [`Directory::close`].
    Mine(Entry),
    /// This worker has one open: ask it to join. It compares the keys in full, for an equal hash says little. It may have ended meanwhile.
    ///
    /// The caller has looked through its own flights first. So its own number here means that another key of its own has the same hash: then
    /// the request goes alone.
    Elsewhere(usize),
    /// The line has no room: the request goes alone.
    Full,
    /// Somebody is changing the line, and its thread is not running. Another opens the same key, maybe: ask again in a while.
    Busy,
}

/// An open flight's place in the directory.
///
/// No guard: it does not know its directory. Who holds it calls [`Directory::close`] exactly once, also where the flight is cancelled or
/// panics. Without that call its key is open at that worker for ever; a second call takes out whatever flight has the place by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Entry {
    line: u32,
    slot: u32,
}

/// One cache line: nothing else is on it, so workers that open flights of other keys do not slow each other down.
#[repr(align(64))]
struct Line {
    /// 0: free. Else the number of the worker and one in the low [`WORKER_BITS`], so that no entry is 0, and above them the hash of the key.
    /// The low bits of the hash need no place: they are in the number of the line, but for one bit where there are 1,024 lines.
    entries: [AtomicU64; ENTRIES],
    /// Even: at rest. Never wraps: a change each nanosecond would take 292 years.
    version: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Line>() == 64);

/// What a look through a line found.
enum Found {
    Worker(usize),
    Free(usize),
    Full,
}

impl Directory {
    /// For `workers` workers, numbered from 0: at most 2,047.
    pub fn new(workers: usize) -> Directory {
        debug_assert!(workers < 1 << WORKER_BITS);
        let lines = (workers * LINES_PER_WORKER).next_power_of_two().clamp(LINES_MIN, LINES_MAX);
        Directory { lines: (0..lines).map(|_| Line::new()).collect() }
    }

    /// Opens a flight for the key with this hash, if nobody has one. `worker`: the caller's number.
    pub fn open(&self, hash: u64, worker: usize) -> Opened {
        let at = self.line_of(hash);
        let line = &self.lines[at];
        // Acquire: whatever was put in up to this version is seen by the look.
        let mut version = line.version.load(Acquire);
        for _ in 0..TRIES {
            match line.look(hash) {
                // True even while the line is being changed: an entry is written only when its worker may keep it.
                Found::Worker(worker) => return Opened::Elsewhere(worker),
                Found::Full => return Opened::Full,
                Found::Free(_) if !version.is_multiple_of(2) => {
                    pause();
                    version = line.version.load(Acquire);
                }
                Found::Free(slot) => match line.put(slot, entry(hash, worker), version) {
                    Ok(()) => return Opened::Mine(Entry { line: at as u32, slot: slot as u32 }),
                    Err(newer) => version = newer,
                },
            }
        }
        Opened::Busy
    }

    /// Takes the flight out. From now on others open one for its key.
    pub fn close(&self, entry: Entry) {
        let place = &self.lines[entry.line as usize].entries[entry.slot as usize];
        debug_assert_ne!(place.load(Relaxed), 0, "closed twice");
        // Release: what was done for this flight is done for whoever opens the next, which it does only after a look has found this 0, or
        // what another worker put in its place after such a look.
        place.store(0, Release);
    }

    /// The worker that has a flight open for a key with this hash. It may have ended meanwhile, and one may have begun.
    pub fn look(&self, hash: u64) -> Option<usize> {
        match self.lines[self.line_of(hash)].look(hash) {
            Found::Worker(worker) => Some(worker),
            Found::Free(_) | Found::Full => None,
        }
    }

    fn line_of(&self, hash: u64) -> usize {
        hash as usize & (self.lines.len() - 1)
    }
}

impl Line {
    fn new() -> Line {
        Line { entries: std::array::from_fn(|_| AtomicU64::new(0)), version: AtomicU64::new(0) }
    }

    /// All entries are read, also behind a free one: the one for the key may be in any.
    fn look(&self, hash: u64) -> Found {
        let mut found = Found::Full;
        for (slot, place) in self.entries.iter().enumerate() {
            // Acquire: where it reads the 0 of a close, what was done for that flight is seen.
            match place.load(Acquire) {
                0 => found = Found::Free(slot),
                entry if (entry ^ hash) >> WORKER_BITS == 0 => {
                    return Found::Worker((entry & WORKER_MASK) as usize - 1);
                }
                _ => {}
            }
        }
        found
    }

    /// Puts an entry into a place that a look at this version found free; else says what the version is now.
    fn put(&self, slot: usize, entry: u64, version: u64) -> Result<(), u64> {
        // Relaxed: it publishes nothing, and what it rests on was acquired with the same number before the look. As it reads the newest
        // version of all, its success alone proves that nobody has put an entry in since. Acquire where it fails: the next look rests on it.
        self.version.compare_exchange(version, version + 1, Relaxed, Acquire)?;
        // Relaxed: the version says when it must be seen; earlier does no harm. It comes after the 0 that the look found there, because that
        // was read before this is written.
        self.entries[slot].store(entry, Relaxed);
        // Release: whoever reads this version sees the entry, and all those before it, which this thread had seen.
        self.version.store(version + 2, Release);
        Ok(())
    }
}

/// The flight of a key with this hash, open at this worker.
fn entry(hash: u64, worker: usize) -> u64 {
    debug_assert!(worker < WORKER_MASK as usize);
    hash & !WORKER_MASK | (worker as u64 + 1)
}

/// Gives the line to whoever changes it.
fn pause() {
    // Not loom's: that would let the other end its change, and no model would come to an opener that gives up.
    #[cfg(not(loom))]
    std::hint::spin_loop();
}

// The first line leaves them out of proxy/loom, whose tests are others; the path is for rustfmt, which looks for them from there too.
#[cfg(not(loom))]
#[cfg(test)]
#[path = "directory/tests.rs"]
mod tests;
