//! The case `idle`: memory of idle connections, plain and over TLS, and how often parked ones wake their workers.
//!
//! In: a `Bench` and a contestant, which is started anew for each of three passes. Out: one `Sample` with the figures of all three.
//! Memory is the growth of VmRSS from before the first connection until it no longer moves. Wake-ups are voluntary context
//! switches of the threads that carry connections: a thread that nobody wakes makes none.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::cases::{self, Case};
use crate::contestants::Contestant;
use crate::counters;
use crate::load::{Edge, Outcome, Pace, Plan};
use crate::measure::{Bench, Checks, MIB, Sample};

/// VmRSS that stood still for so long has settled: parking takes a second or two, sweeps come once a second.
const STILL: Duration = Duration::from_secs(4);
/// When it is read at the latest.
const SETTLE_MAX: Duration = Duration::from_secs(15);
const PARKED: usize = 100;
/// Silence before the wake-ups of parked connections are counted.
const PARK: Duration = Duration::from_secs(4);
/// For so long they are counted.
const PARKED_WATCH: Duration = Duration::from_secs(10);

pub fn sample(bench: &Bench, case: Case, contestant: Contestant) -> Outcome<Sample> {
    let mut checks = Checks::default();
    let connections = case.shape().connections;
    let plain = memory(bench, contestant, Crowd { connections, over_tls: false }, &mut checks)?;
    let tls = memory(bench, contestant, Crowd { connections, over_tls: true }, &mut checks)?;
    let switches = switches(bench, contestant, &mut checks)?;
    let figures = vec![
        (cases::RSS_PLAIN, plain.kib_a_connection),
        (cases::RSS_TLS, tls.kib_a_connection),
        (cases::RSS_BEFORE, plain.before_mib),
        (cases::SWITCHES, switches),
        ("settled after s, plain", plain.settled_after.as_secs_f64()),
        ("settled after s, TLS", tls.settled_after.as_secs_f64()),
    ];
    Ok(Sample { figures, checks })
}

/// The connections of one pass.
#[derive(Clone, Copy)]
struct Crowd {
    connections: usize,
    over_tls: bool,
}

struct Memory {
    before_mib: f64,
    kib_a_connection: f64,
    /// When it moved last. Later than `SETTLE_MAX` less `STILL`: it had not settled when it was read.
    settled_after: Duration,
}

fn memory(bench: &Bench, contestant: Contestant, crowd: Crowd, checks: &mut Checks) -> Outcome<Memory> {
    let (mut before, mut settling) = (0, Settling::default());
    *checks += pass(bench, contestant, crowd, SETTLE_MAX, |edge, pids| {
        let rss_bytes = counters::read(pids)?.rss_bytes;
        match edge {
            Edge::Begin => before = rss_bytes,
            Edge::Silence(at) => {
                settling.see(at, rss_bytes);
                if settling.still_at(at) >= STILL {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Edge::End => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let grown = settling.rss_bytes as f64 - before as f64;
    Ok(Memory {
        before_mib: before as f64 / MIB,
        kib_a_connection: grown / 1024.0 / crowd.connections as f64,
        settled_after: settling.since,
    })
}

/// Since when a figure stands still.
#[derive(Default)]
struct Settling {
    rss_bytes: u64,
    since: Duration,
}

impl Settling {
    /// `at`: since silence began.
    fn see(&mut self, at: Duration, rss_bytes: u64) {
        if rss_bytes != self.rss_bytes {
            *self = Self { rss_bytes, since: at };
        }
    }

    fn still_at(&self, at: Duration) -> Duration {
        at - self.since
    }
}

/// Voluntary context switches of the contestant's workers in `PARKED_WATCH`, while `PARKED` connections are parked.
fn switches(bench: &Bench, contestant: Contestant, checks: &mut Checks) -> Outcome<f64> {
    let mut watch = Watch::default();
    let crowd = Crowd { connections: PARKED, over_tls: false };
    *checks += pass(bench, contestant, crowd, PARK + PARKED_WATCH * 2, |edge, pids| {
        let Edge::Silence(at) = edge else { return Ok(ControlFlow::Continue(())) };
        Ok(watch.see(at, counters::voluntary_switches(pids, contestant.worker_threads())?))
    })?;
    watch.counted().map(|count| count as f64).ok_or_else(|| "the silence ended too early".into())
}

/// A counter's value when the watch began, and when it ended.
#[derive(Default)]
struct Watch {
    begin: Option<(Duration, u64)>,
    end: Option<u64>,
}

impl Watch {
    fn see(&mut self, at: Duration, count: u64) -> ControlFlow<()> {
        match self.begin {
            None if at >= PARK => self.begin = Some((at, count)),
            Some((begin, _)) if at >= begin + PARKED_WATCH => {
                self.end = Some(count);
                return ControlFlow::Break(());
            }
            None | Some(_) => {}
        }
        ControlFlow::Continue(())
    }

    fn counted(&self) -> Option<u64> {
        Some(self.end? - self.begin?.1)
    }
}

/// Starts the contestant, sends one request on each connection, and tells `edge` of the silence after it, with the contestant's pids.
fn pass(
    bench: &Bench,
    contestant: Contestant,
    crowd: Crowd,
    silence_max: Duration,
    mut edge: impl FnMut(Edge, &[u32]) -> Outcome<ControlFlow<()>>,
) -> Outcome<Checks> {
    let Crowd { connections, over_tls } = crowd;
    let started = bench.start_contestant(contestant, Case::Idle.setup(), over_tls)?;
    let plan = Plan {
        target: started.target,
        tls: bench.client_config(over_tls),
        body_bytes: 1024,
        connections,
        pace: Pace::Idle,
        warm_up: Duration::ZERO,
        window: silence_max,
    };
    let (_, checks) = bench.checked(&plan, &mut |at| edge(at, &started.pids))?;
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_settled_once_it_stood_still_and_any_move_starts_anew() {
        let seconds = Duration::from_secs;
        let mut settling = Settling::default();
        for (at, rss_bytes, since) in [(0, 900, 0), (1, 900, 0), (2, 800, 2), (5, 800, 2), (6, 801, 6), (9, 801, 6)] {
            settling.see(seconds(at), rss_bytes);
            assert_eq!((settling.rss_bytes, settling.since), (rss_bytes, seconds(since)), "at {at} s");
            assert_eq!(settling.still_at(seconds(at)), seconds(at - since));
        }
    }

    #[test]
    fn wakes_are_counted_from_when_connections_are_parked_and_for_the_whole_watch() {
        let mut watch = Watch::default();
        let step = Duration::from_millis(250);
        for n in 0.. {
            let at = step * n;
            let seen = watch.see(at, u64::from(n) + 7);
            if seen.is_break() {
                assert_eq!(at, PARK + PARKED_WATCH);
                break;
            }
            assert_eq!(watch.counted(), None, "at {at:?}");
        }
        assert_eq!(watch.counted(), Some(40));
    }
}
