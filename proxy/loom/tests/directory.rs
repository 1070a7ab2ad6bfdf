//! The directory of flights under every order of its atomic steps that needs at most [`PREEMPTIONS_MAX`] preemptions, and with every value
//! that a load may see by its ordering. In a model all keys share one line, and an opener looks at it twice.
#![cfg(loom)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use loom::sync::atomic::{AtomicUsize as LoomUsize, Ordering::Relaxed};
use loom::thread::{JoinHandle, spawn};
use slipstream_loom::directory::{Directory, ENTRIES, Entry, Opened};

/// Most errors of such code need two; three is what a minute allows.
const PREEMPTIONS_MAX: usize = 3;

const MAIN: usize = 0;

/// The hash of the nth key.
fn key(nth: usize) -> u64 {
    (nth as u64) << 32
}

/// What the threads of a model share.
struct Shared {
    directory: Directory,
    /// Flights that are open now, of each key. Not loom's: it only watches, and is never waited for.
    open: [AtomicUsize; 2],
    /// Flights so far, of each key. Counted in two steps, by whoever has the flight: none is lost only if each sees what the last has done.
    flights: [LoomUsize; 2],
}

/// What an opener learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Learnt {
    Mine,
    Elsewhere(usize),
    Full,
    Busy,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            directory: Directory::new(4),
            open: Default::default(),
            flights: [LoomUsize::new(0), LoomUsize::new(0)],
        })
    }

    /// Fills places of the line with keys that nobody asks for.
    fn fill(&self, places: usize) -> Vec<Entry> {
        let others = (0..places).map(|n| match self.directory.open(key(100 + n), MAIN) {
            Opened::Mine(entry) => entry,
            _ => panic!("there is room"),
        });
        others.collect()
    }

    /// A flight of the nth key, for as long as the caller wants.
    fn open(&self, nth: usize, worker: usize) -> (Learnt, Option<Entry>) {
        match self.directory.open(key(nth), worker) {
            Opened::Mine(entry) => {
                assert_eq!(self.open[nth].fetch_add(1, SeqCst), 0, "two flights for a key");
                let before = self.flights[nth].load(Relaxed);
                self.flights[nth].store(before + 1, Relaxed);
                (Learnt::Mine, Some(entry))
            }
            Opened::Elsewhere(other) => {
                assert_ne!(other, worker, "a worker finds its own flight in its own map");
                (Learnt::Elsewhere(other), None)
            }
            Opened::Full => (Learnt::Full, None),
            Opened::Busy => (Learnt::Busy, None),
        }
    }

    fn close(&self, nth: usize, entry: Entry) {
        assert_eq!(self.open[nth].fetch_sub(1, SeqCst), 1);
        self.directory.close(entry);
    }

    /// A whole flight. Returns 1 if there was one.
    fn fly(&self, nth: usize, worker: usize) -> usize {
        match self.open(nth, worker) {
            (_, Some(entry)) => {
                self.close(nth, entry);
                1
            }
            _ => 0,
        }
    }

    /// Nothing is open, and the line has room for as many as ever: no entry was lost.
    fn assert_at_rest(&self, flights: [usize; 2]) {
        assert_eq!(
            [0, 1].map(|nth| self.flights[nth].load(Relaxed)),
            flights,
            "one did not see what the last had done"
        );
        assert!([0, 1].iter().all(|&nth| self.directory.look(key(nth)).is_none()));
        self.fill(ENTRIES);
        assert_eq!(self.directory.open(key(0), MAIN), Opened::Full);
    }
}

fn start<T: 'static>(shared: &Arc<Shared>, thread: impl FnOnce(&Shared) -> T + 'static) -> JoinHandle<T> {
    let shared = shared.clone();
    spawn(move || thread(&shared))
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("a thread of the model does not panic")
}

/// Runs the model in every order, and returns all that it came to.
fn model<T: Ord + Send + 'static>(preemptions: usize, run: impl Fn() -> T + Send + Sync + 'static) -> Vec<T> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let came_to = run();
        let mut seen = all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(at) = seen.binary_search(&came_to) {
            seen.insert(at, came_to);
        }
    });
    std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner))
}

/// One opens; the other learns of it, or that the change is not over when it has looked twice.
#[test]
fn r11_of_two_openers_one_has_the_flight() {
    use Learnt::{Busy, Elsewhere, Mine};
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let other = start(&shared, |shared| shared.open(0, 1));
        let here = shared.open(0, MAIN);
        let there = join(other);
        assert_eq!(shared.directory.look(key(0)), Some(if here.0 == Mine { MAIN } else { 1 }));
        for entry in [here.1, there.1].into_iter().flatten() {
            shared.close(0, entry);
        }
        shared.assert_at_rest([1, 0]);
        (here.0, there.0)
    });
    assert_eq!(seen, [(Mine, Elsewhere(MAIN)), (Mine, Busy), (Elsewhere(1), Mine), (Busy, Mine)]);
}

/// A third preemption would take half a minute.
#[test]
fn r11_of_three_openers_one_has_the_flight() {
    let seen = model(2, || {
        let shared = Shared::new();
        let others = [1, 2].map(|worker| start(&shared, move |shared| shared.open(0, worker)));
        let here = shared.open(0, MAIN);
        let all = [here].into_iter().chain(others.map(join));
        let entries: Vec<Entry> = all.filter_map(|(_, entry)| entry).collect();
        let flights = entries.len();
        entries.into_iter().for_each(|entry| shared.close(0, entry));
        shared.assert_at_rest([flights, 0]);
        flights
    });
    assert_eq!(seen, [1]);
}

/// The order in which the first design had two flights: one has read the place in front as taken, the other comes when it is free.
#[test]
fn r11_a_place_that_is_freed_in_front_makes_no_second_flight() {
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let [in_front, in_the_middle] = shared.fill(2)[..] else { panic!("two were filled") };
        let others = [1, 2].map(|worker| start(&shared, move |shared| shared.open(0, worker)));
        shared.directory.close(in_front);
        let entries: Vec<Entry> = others.map(join).into_iter().filter_map(|(_, entry)| entry).collect();
        let flights = entries.len();
        entries.into_iter().for_each(|entry| shared.close(0, entry));
        shared.directory.close(in_the_middle);
        shared.assert_at_rest([flights, 0]);
        flights
    });
    assert_eq!(seen, [1]);
}

/// One after the other, or one alone; each sees what was done for the flight before.
#[test]
fn r11_a_key_is_handed_over_by_close_and_open() {
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let other = start(&shared, |shared| shared.fly(0, 1) + shared.fly(0, 1));
        let here = shared.fly(0, MAIN);
        let flights = here + join(other);
        shared.assert_at_rest([flights, 0]);
        flights
    });
    assert_eq!(seen, [1, 2, 3]);
}

/// The place of a closed flight is another key's before the next opener of the first key looks: what it has done is seen all the same. A third
/// preemption would take minutes.
#[test]
fn r11_a_key_is_handed_over_also_where_another_takes_its_place() {
    let seen = model(2, || {
        let shared = Shared::new();
        let others = shared.fill(ENTRIES - 1);
        let first = start(&shared, |shared| shared.fly(0, 1));
        let between = start(&shared, |shared| shared.fly(1, 2));
        let here = shared.fly(0, MAIN);
        let flights = [here + join(first), join(between)];
        others.into_iter().for_each(|entry| shared.directory.close(entry));
        shared.assert_at_rest(flights);
        flights
    });
    assert!(seen.contains(&[2, 1]) && seen.contains(&[1, 0]), "{seen:?}");
}

/// A look finds the right worker, or none; after the close, none.
#[test]
fn r11_a_look_finds_who_has_the_flight() {
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let other = start(&shared, |shared| shared.fly(0, 1));
        let looks = [shared.directory.look(key(0)), shared.directory.look(key(0))];
        assert_eq!(join(other), 1);
        shared.assert_at_rest([1, 0]);
        looks
    });
    assert_eq!(seen, [[None, None], [None, Some(1)], [Some(1), None], [Some(1), Some(1)]]);
}

/// Neither is taken for the other, and neither takes the other's place. One may have to ask again.
#[test]
fn r11_two_keys_of_one_line_have_a_place_each() {
    use Learnt::{Busy, Mine};
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let other = start(&shared, |shared| shared.open(1, 1));
        let here = shared.open(0, MAIN);
        let there = join(other);
        assert_eq!(shared.directory.look(key(0)), here.1.map(|_| MAIN));
        assert_eq!(shared.directory.look(key(1)), there.1.map(|_| 1));
        let flights = [here.1, there.1].map(|entry| usize::from(entry.is_some()));
        for (nth, entry) in [here.1, there.1].into_iter().enumerate() {
            entry.into_iter().for_each(|entry| shared.close(nth, entry));
        }
        shared.assert_at_rest(flights);
        (here.0, there.0)
    });
    assert_eq!(seen, [(Mine, Mine), (Mine, Busy), (Busy, Mine)]);
}

#[test]
fn r11_the_last_place_of_a_line_goes_to_one() {
    use Learnt::{Busy, Full, Mine};
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let others = shared.fill(ENTRIES - 1);
        let other = start(&shared, |shared| shared.open(1, 1));
        let here = shared.open(0, MAIN);
        let there = join(other);
        let flights = [here.1, there.1].map(|entry| usize::from(entry.is_some()));
        for (nth, entry) in [here.1, there.1].into_iter().enumerate() {
            entry.into_iter().for_each(|entry| shared.close(nth, entry));
        }
        others.into_iter().for_each(|entry| shared.directory.close(entry));
        shared.assert_at_rest(flights);
        (here.0, there.0)
    });
    assert_eq!(seen, [(Mine, Full), (Mine, Busy), (Full, Mine), (Busy, Mine)]);
}

/// Somebody closes meanwhile: both, one or none has a place, and never the same one.
#[test]
fn r11_a_place_that_is_freed_in_a_full_line_goes_to_one() {
    let seen = model(PREEMPTIONS_MAX, || {
        let shared = Shared::new();
        let mut others = shared.fill(ENTRIES);
        let openers = [(0, 1), (1, 2)].map(|(nth, worker)| start(&shared, move |shared| shared.open(nth, worker)));
        others.pop().into_iter().for_each(|entry| shared.directory.close(entry));
        let learnt = openers.map(join);
        let flights = learnt.map(|(_, entry)| usize::from(entry.is_some()));
        for (nth, (_, entry)) in learnt.into_iter().enumerate() {
            assert_eq!(shared.directory.look(key(nth)), entry.map(|_| nth + 1));
            entry.into_iter().for_each(|entry| shared.close(nth, entry));
        }
        others.into_iter().for_each(|entry| shared.directory.close(entry));
        shared.assert_at_rest(flights);
        flights
    });
    assert_eq!(seen, [[0, 0], [0, 1], [1, 0]]);
}
