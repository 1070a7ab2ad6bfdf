//! Keys and the table that counts under them.

use super::*;
use crate::fault::{Fault, Kind};
use crate::http::Method;
use crate::timeouts::Timer;

const GET: ServerKey = ServerKey { method: Method::Get, is_tls: false, status: 0, route: 0, error: ErrorType::None };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The kinds, and each timer.
fn faults() -> impl Iterator<Item = Fault> {
    let kinds = [Kind::Malformed, Kind::ClientGone, Kind::UpstreamClosed, Kind::Internal, Kind::OverMemory];
    let timers = Timer::ALL.into_iter().flat_map(|timer| [Kind::TimedOut(timer), Kind::SendTimedOut(timer)]);
    kinds.into_iter().chain(timers).map(|kind| Fault { kind, detail: "" })
}

#[test]
fn keys_are_what_they_were_packed_from() {
    let errors = || faults().map(ErrorType::of).chain([ErrorType::None, ErrorType::Status]);
    for method in Method::ALL {
        for (status, number) in [(0, 0), (200, 1), (999, u16::MAX)] {
            for error in errors() {
                let client = ClientKey { method, status, error, upstream: number };
                assert_eq!(ClientKey::unpack(client.pack()), client);
                for is_tls in [false, true] {
                    let server = ServerKey { method, is_tls, status, route: number, error };
                    assert_eq!(ServerKey::unpack(server.pack()), server);
                    assert!(server.pack() < 1 << (u64::BITS - SET_BITS) && client.pack() < 1 << (u64::BITS - SET_BITS));
                }
            }
        }
    }
}

#[test]
fn methods_are_numbered_as_they_are_listed() {
    for (at, method) in Method::ALL.into_iter().enumerate() {
        assert_eq!(method as usize, at);
        assert_eq!(Method::of(method.name().as_bytes()), method);
    }
    assert_eq!(Method::of(b"get"), Method::Other);
}

#[test]
fn error_type_is_the_word_of_the_fault() {
    for fault in faults() {
        let ErrorType::Fault(word) = ErrorType::of(fault) else { panic!("{fault:?}") };
        assert_eq!(word.text(), fault.word());
    }
}

#[test]
fn bounds_are_the_same_in_both_units() {
    assert_eq!(BOUNDS_NS.map(|ns| ns as f64 / 1e9), BOUNDS);
}

#[test]
fn durations_are_counted_in_the_first_bucket_that_holds_them() {
    let table = Durations::<ServerKey>::default();
    assert_eq!(table.read(), []);
    for took in [Duration::ZERO, ms(5), Duration::from_nanos(5_000_001), ms(10_000), ms(10_001), Duration::MAX] {
        table.note(GET, took);
    }
    let [(key, noted)] = table.read()[..] else { panic!("{:?}", table.read()) };
    assert_eq!(key, Some(GET));
    assert_eq!((noted.buckets[0], noted.buckets[1], noted.buckets[13], noted.buckets[14]), (2, 1, 1, 2));
    assert_eq!(noted.count(), 6);
}

#[test]
fn each_key_has_its_own_set_until_they_are_used_up() {
    let table = Durations::<ServerKey>::default();
    let key = |n: usize| ServerKey { route: n as u16, status: 200 + n as u16 % 3, ..GET };
    for n in 0..SETS_MAX {
        table.note(key(n), ms(n as u64));
    }
    assert!(table.read().iter().all(|(key, _)| key.is_some()));
    for n in 0..SETS_MAX + 5 {
        table.note(key(n), ms(n as u64));
    }
    let read = table.read();
    assert_eq!(read.len(), SETS_MAX + 1);
    for (n, (found, noted)) in read[..SETS_MAX].iter().enumerate() {
        assert_eq!((*found, noted.count(), noted.sum_ns), (Some(key(n)), 2, 2 * n as u64 * 1_000_000));
    }
    assert_eq!((read[SETS_MAX].0, read[SETS_MAX].1.count()), (None, 5));
}

#[test]
fn key_of_zeros_is_a_key() {
    let zeros = ClientKey { method: Method::Get, status: 0, error: ErrorType::None, upstream: 0 };
    assert_eq!(zeros.pack(), 0);
    let table = Durations::default();
    table.note(zeros, ms(1));
    table.note(zeros, ms(1));
    assert_eq!(table.read().len(), 1);
}

#[test]
fn reader_sees_whole_sets_while_the_worker_counts() {
    let table = Durations::<ServerKey>::default();
    const EACH: u64 = 2_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..EACH * 60 {
                table.note(ServerKey { route: (n % 60) as u16, ..GET }, ms(1));
            }
        });
        loop {
            let read = table.read();
            let known = read.iter().filter(|(key, _)| key.is_some());
            assert!(read.len() <= SETS_MAX + 1 && known.into_iter().all(|(_, noted)| noted.count() <= EACH));
            if read.iter().map(|(_, noted)| noted.count()).sum::<u64>() == EACH * 60 {
                break;
            }
        }
    });
}
