use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::{Directory, ENTRIES, Entry, LINES_MAX, LINES_MIN, Opened, WORKER_BITS};

/// The hash of the nth key of a line.
fn hash(line: u64, nth: u64) -> u64 {
    nth << WORKER_BITS | line
}

fn mine(opened: Opened) -> Entry {
    match opened {
        Opened::Mine(entry) => entry,
        other => panic!("not opened but {other:?}"),
    }
}

#[test]
fn r11_one_worker_opens_and_the_others_learn_of_it() {
    let directory = Directory::new(4);
    assert_eq!(directory.look(77), None);
    let entry = mine(directory.open(77, 2));
    assert_eq!(directory.look(77), Some(2));
    assert_eq!(directory.open(77, 0), Opened::Elsewhere(2));
    assert_eq!(directory.open(77, 3), Opened::Elsewhere(2));
    directory.close(entry);
    assert_eq!(directory.look(77), None);
}

#[test]
fn r11_closed_key_is_opened_anew_by_anyone() {
    let directory = Directory::new(2);
    for round in 0..100 {
        let worker = round % 2;
        let entry = mine(directory.open(5, worker));
        assert_eq!(directory.open(5, 1 - worker), Opened::Elsewhere(worker));
        directory.close(entry);
    }
}

#[test]
fn r11_keys_of_one_line_do_not_mix() {
    let directory = Directory::new(8);
    let entries: Vec<Entry> = (0..ENTRIES).map(|n| mine(directory.open(hash(9, n as u64), n))).collect();
    for (n, entry) in entries.into_iter().enumerate() {
        assert_eq!(directory.look(hash(9, n as u64)), Some(n));
        directory.close(entry);
        assert_eq!(directory.look(hash(9, n as u64)), None);
    }
}

#[test]
fn r11_full_line_sends_alone_until_one_is_closed() {
    let directory = Directory::new(2);
    let mut entries: Vec<Entry> = (0..ENTRIES as u64).map(|n| mine(directory.open(hash(3, n), 0))).collect();
    assert_eq!(directory.open(hash(3, 7), 1), Opened::Full);
    assert_eq!(directory.open(hash(3, 4), 1), Opened::Elsewhere(0), "what is in a full line is found");
    let other_line = mine(directory.open(hash(4, 7), 1));
    directory.close(entries.swap_remove(2));
    let last = mine(directory.open(hash(3, 7), 1));
    assert_eq!(directory.open(hash(3, 8), 1), Opened::Full);
    for entry in entries.into_iter().chain([last, other_line]) {
        directory.close(entry);
    }
    assert!((0..9).all(|n| directory.look(hash(3, n)).is_none()));
}

#[test]
fn r11_equal_hash_of_another_key_is_elsewhere_also_at_home() {
    let directory = Directory::new(2);
    let _entry = mine(directory.open(11, 1));
    assert_eq!(directory.open(11, 0), Opened::Elsewhere(1));
    assert_eq!(directory.open(11, 1), Opened::Elsewhere(1));
}

#[test]
fn r11_every_hash_and_every_worker_has_an_entry() {
    let directory = Directory::new(1024);
    for hash in [0, 1, u64::MAX, u64::MAX << WORKER_BITS, 1 << 63] {
        for worker in [0, 1, 1023] {
            let entry = mine(directory.open(hash, worker));
            assert_eq!(directory.look(hash), Some(worker), "{hash:x}");
            directory.close(entry);
            assert_eq!(directory.look(hash), None, "{hash:x}");
        }
    }
}

#[test]
fn r11_hashes_that_differ_in_one_bit_are_told_apart() {
    // As many lines as the worker's bits can count: no bit is lost.
    let directory = Directory::new(4);
    assert!(directory.lines.len() >= 1 << WORKER_BITS);
    let entry = mine(directory.open(0xfeed_beef, 1));
    assert!((0..64).all(|bit| directory.look(0xfeed_beef ^ 1 << bit).is_none()));
    directory.close(entry);
}

#[test]
fn r11_there_are_more_lines_for_more_workers() {
    let lines = [1, 2, 3, 4, 32, 1024].map(|workers| Directory::new(workers).lines.len());
    assert_eq!(lines, [LINES_MIN, LINES_MIN, 2048, 2048, LINES_MAX, LINES_MAX]);
}

#[test]
fn r11_threads_never_have_a_key_open_twice() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let directory = Directory::new(THREADS);
    let keys: [u64; 9] = std::array::from_fn(|n| hash(1, n as u64));
    let open = keys.map(|_| AtomicUsize::new(0));
    let (flights, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (directory, open, flights, start) = (&directory, &open, &flights, &start);
            scope.spawn(move || {
                start.wait();
                let mut held = None;
                for round in 0..ROUNDS {
                    let nth = (round * (worker + 3)) % keys.len();
                    match directory.open(keys[nth], worker) {
                        Opened::Mine(entry) => {
                            assert_eq!(open[nth].fetch_add(1, SeqCst), 0, "two flights for a key");
                            flights.fetch_add(1, SeqCst);
                            // One stays open over the next round, so that lines fill up.
                            if let Some((before, entry)) = held.replace((nth, entry)) {
                                open[before].fetch_sub(1, SeqCst);
                                directory.close(entry);
                            }
                        }
                        Opened::Elsewhere(other) => assert!(other < THREADS),
                        Opened::Full | Opened::Busy => {}
                    }
                }
                if let Some((before, entry)) = held {
                    open[before].fetch_sub(1, SeqCst);
                    directory.close(entry);
                }
            });
        }
    });
    assert!(flights.load(SeqCst) > ROUNDS / 10);
    assert!(keys.iter().all(|&key| directory.look(key).is_none()));
}
