use std::collections::BTreeMap;

use super::{CHAINS, KEYS_MAX, PassTable, TRIAL_FLIGHTS, Trial};
use crate::io::Tick;

/// Some time after the machine's start.
const START: u64 = 1_000_000;

fn at(seconds: u64) -> Tick {
    Tick(START + seconds * 1000)
}

/// The millisecond before.
fn just_before(tick: Tick) -> Tick {
    Tick(tick.0 - 1)
}

#[test]
fn r04_a_key_passes_for_ten_seconds() {
    let mut table = PassTable::default();
    assert!(!table.passes(1, at(0)));
    table.enter(1, at(0));
    assert!(table.passes(1, at(0)));
    assert!(table.passes(1, just_before(at(10))));
    assert!(!table.passes(1, at(10)));
    assert!(!table.passes(2, at(0)));
}

#[test]
fn r04_a_key_that_repeats_passes_for_twice_as_long_up_to_two_minutes() {
    let mut table = PassTable::default();
    let mut now = at(0);
    for seconds in [10, 20, 40, 80, 120, 120, 120] {
        table.enter(1, now);
        let end = Tick(now.0 + seconds * 1000);
        assert!(table.passes(1, just_before(end)), "{seconds}");
        assert!(!table.passes(1, end), "{seconds}");
        now = end;
    }
}

#[test]
fn r04_a_key_entered_while_it_passes_begins_anew_and_does_not_double() {
    let mut table = PassTable::default();
    table.enter(1, at(0));
    table.enter(1, at(9));
    assert!(table.passes(1, at(18)));
    assert!(!table.passes(1, at(19)));
    table.enter(1, at(30));
    table.enter(1, at(31));
    assert!(table.passes(1, just_before(at(51))));
    assert!(!table.passes(1, at(51)));
}

#[test]
fn r04_a_key_that_was_forgotten_begins_at_ten_seconds() {
    let mut table = PassTable::default();
    table.enter(1, at(0));
    table.enter(1, at(10));
    assert!(table.passes(1, at(29)));
    (0..KEYS_MAX as u64).for_each(|n| table.enter(1000 + n, at(30)));
    table.enter(1, at(40));
    assert!(table.passes(1, just_before(at(50))));
    assert!(!table.passes(1, at(50)));
}

#[test]
fn r04_the_least_recently_used_key_gives_way() {
    let mut table = PassTable::default();
    let keys = KEYS_MAX as u64;
    (0..keys).for_each(|key| table.enter(key, at(0)));
    assert!((0..keys).all(|key| table.passes(key, at(1))), "as many as there is room for");
    assert!(table.passes(0, at(1)));
    table.enter(keys, at(1));
    assert!(!table.passes(1, at(1)), "the one that was used longest ago");
    assert!(table.passes(0, at(1)) && table.passes(2, at(1)) && table.passes(keys, at(1)));
    assert_eq!(table.len_in_force(at(1)), KEYS_MAX);
}

#[test]
fn r04_a_question_after_its_time_is_no_use_of_a_key() {
    let mut table = PassTable::default();
    let keys = KEYS_MAX as u64;
    (0..keys).for_each(|key| table.enter(key, at(0)));
    assert!(!table.passes(0, at(20)));
    table.enter(keys, at(20));
    // Remembered it would pass for twenty.
    table.enter(0, at(20));
    assert!(!table.passes(0, at(30)));
}

#[test]
fn r04_the_gauge_counts_keys_in_force() {
    let mut table = PassTable::default();
    assert_eq!(table.len_in_force(at(0)), 0);
    table.enter(1, at(0));
    table.enter(2, at(5));
    table.enter(2, at(6));
    assert_eq!([0, 6, 10, 16].map(|seconds| table.len_in_force(at(seconds))), [2, 2, 1, 0]);
}

#[test]
fn r04_an_empty_table_holds_no_memory_and_a_used_one_does_not_grow() {
    let mut table = PassTable::default();
    assert!(!table.passes(1, at(0)));
    assert_eq!((table.slots.capacity(), table.chains.capacity()), (0, 0));
    table.enter(1, at(0));
    let held = (table.slots.capacity(), table.chains.capacity());
    (0..5000).for_each(|key| table.enter(key, at(0)));
    assert_eq!((table.slots.capacity(), table.chains.capacity()), held);
    assert!(held.0 * size_of::<super::Slot>() + held.1 * 2 <= 26 * 1024);
}

/// Against a plain model, with many keys in few chains.
#[test]
fn r04_the_table_remembers_as_a_list_in_order_of_use_would() {
    let mut table = PassTable::default();
    // What passes until when and how often it was doubled; and when it was used.
    let mut known: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
    let mut used: Vec<u64> = Vec::new();
    let mut random = 1_u64;
    for step in 0..20_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 33) % 1500;
        let (hash, now) = (key / 8 + key % 8 * CHAINS as u64, START + step * 7);
        let in_force = known.get(&hash).is_some_and(|(until, _)| now < *until);
        let enters = random >> 60 < 6;
        if enters {
            table.enter(hash, Tick(now));
            let doubled = known.get(&hash).map_or(0, |(_, doubled)| if in_force { *doubled } else { doubled + 1 });
            known.insert(hash, (now + (10_000 << doubled.min(4)).min(120_000), doubled));
        } else {
            assert_eq!(table.passes(hash, Tick(now)), in_force, "step {step}");
        }
        if enters || in_force {
            used.retain(|other| *other != hash);
            used.push(hash);
        }
        if used.len() > KEYS_MAX {
            known.remove(&used.remove(0));
        }
    }
    let now = START + 20_000 * 7;
    assert_eq!(table.slots.len(), KEYS_MAX);
    assert_eq!(table.len_in_force(Tick(now)), known.values().filter(|(until, _)| now < *until).count());
}

fn note(trial: &mut Trial, flights: u32, shared: bool, now: Tick) {
    (0..flights).for_each(|_| trial.note(shared, now));
}

#[test]
fn r04_a_route_is_not_judged_before_64_flights() {
    let mut trial = Trial::default();
    note(&mut trial, TRIAL_FLIGHTS - 1, false, at(0));
    assert!(!trial.is_paused(at(0)));
    trial.note(false, at(0));
    assert!(trial.is_paused(at(0)));
}

#[test]
fn r04_a_route_with_under_five_percent_shared_is_paused_for_30_seconds() {
    // 4 of 64 are 6 %, 3 are less than 5.
    for (shared, is_paused) in [(0, true), (3, true), (4, false), (64, false)] {
        let mut trial = Trial::default();
        note(&mut trial, shared, true, at(0));
        note(&mut trial, TRIAL_FLIGHTS - shared, false, at(0));
        assert_eq!(trial.is_paused(at(0)), is_paused, "{shared}");
        assert_eq!(trial.is_paused(just_before(at(30))), is_paused, "{shared}");
        assert!(!trial.is_paused(at(30)), "{shared}");
    }
}

#[test]
fn r04_only_the_last_64_flights_of_a_route_count() {
    let mut trial = Trial::default();
    note(&mut trial, 1000, true, at(0));
    note(&mut trial, TRIAL_FLIGHTS - 4, false, at(0));
    assert!(!trial.is_paused(at(0)));
    trial.note(false, at(0));
    assert!(trial.is_paused(at(0)));
}

#[test]
fn r04_after_a_pause_a_route_is_counted_afresh() {
    let mut trial = Trial::default();
    note(&mut trial, TRIAL_FLIGHTS, false, at(0));
    note(&mut trial, 100, false, at(29));
    assert!(!trial.is_paused(at(30)), "flights of before the pause neither prolong it");
    note(&mut trial, TRIAL_FLIGHTS - 1, false, at(31));
    assert!(!trial.is_paused(at(31)), "nor count after it");
    trial.note(false, at(32));
    assert!(trial.is_paused(at(61)) && !trial.is_paused(at(62)));
}
