//! Cases in which contestants take turns: differences of one per cent, which is less than what a machine's speed changes from one second
//! to the next.
//!
//! In: a `Bench` and the contestants, which are started together and work a fifth of a second each, in turned order, while the others
//! sleep. Out: a `Sample` for each of these turns, which is compared with those beside it. What a contestant puts off until it has nothing else
//! to do counts for its turn too: CPU is read from one begin to the next.

use std::time::Duration;

use crate::cases::{self, Case};
use crate::contestants::Contestant;
use crate::counters;
use crate::load::{Length, Outcome, Shift, Shifts};
use crate::measure::{Bench, Checks, Sample, Started};

/// Of one contestant. Longer than what a turn's begin and end cost, shorter than what a machine's speed lasts.
const TURN: Duration = Duration::from_millis(200);

/// For each contestant its samples of one round: as many turns as fill the window.
pub fn samples(bench: &Bench, case: Case, contestants: &[Contestant]) -> Outcome<Vec<Vec<Sample>>> {
    let start = |contestant: &Contestant| bench.start_contestant(*contestant, case.setup(), case.shape().over_tls);
    let started = contestants.iter().map(start).collect::<Outcome<Vec<_>>>()?;
    let plans: Vec<_> = started.iter().map(|started| bench.plan(case, started.target)).collect();
    let mut shifts = plans.iter().map(Shifts::open).collect::<Outcome<Vec<_>>>()?;
    let mut samples: Vec<Vec<Sample>> = contestants.iter().map(|_| Vec::new()).collect();
    let mut turns: Vec<Option<Turn>> = contestants.iter().map(|_| None).collect();
    for shifts in &mut shifts {
        shifts.work(Length::Time(bench.warm_up))?;
    }
    let count = bench.window.as_micros().div_ceil(TURN.as_micros()).max(1);
    for number in 0..count {
        for place in 0..contestants.len() {
            let who = if number % 2 == 0 { place } else { contestants.len() - 1 - place };
            let now = Readings::of(&started[who])?;
            samples[who].extend(turns[who].take().map(|turn| turn.until(&now)));
            turns[who] = Some(Turn::work(bench, now, &mut shifts[who])?);
        }
    }
    for (who, turn) in turns.into_iter().enumerate() {
        let now = Readings::of(&started[who])?;
        samples[who].extend(turn.map(|turn| turn.until(&now)));
    }
    Ok(samples)
}

/// What is counted of a contestant from its start on.
struct Readings {
    cpu_ns: u64,
    /// That came to its collector, where it has one.
    spans: Option<u64>,
}

impl Readings {
    fn of(started: &Started) -> Outcome<Self> {
        Ok(Self { cpu_ns: counters::read(&started.pids)?.cpu_ns, spans: started.spans()? })
    }
}

/// A turn that is over, and what was counted before it.
struct Turn {
    begin: Readings,
    shift: Shift,
    upstream: u64,
}

impl Turn {
    fn work(bench: &Bench, begin: Readings, shifts: &mut Shifts<'_>) -> Outcome<Self> {
        let upstream = bench.received()?;
        let shift = shifts.work(Length::Time(TURN))?;
        let upstream = bench.received()? - upstream;
        Ok(Self { begin, shift, upstream })
    }

    fn until(self, end: &Readings) -> Sample {
        let Self { begin, shift, upstream } = self;
        let (answers, each) = (shift.counts.answers as f64, shift.counts.requests);
        let cpu_ns = (end.cpu_ns - begin.cpu_ns) as f64;
        let seconds = shift.length.as_secs_f64();
        let mut figures = vec![
            (cases::CPU_PER_REQUEST, cpu_ns / 1e3 / answers),
            ("requests/s", answers / seconds),
            (cases::P50, shift.latencies.micros_at(500)),
            (cases::P99, shift.latencies.micros_at(990)),
        ];
        if let (Some(begin), Some(end)) = (begin.spans, end.spans) {
            figures.push(("spans/1,000 requests", (end - begin) as f64 * 1e3 / answers));
        }
        Sample { figures, checks: Checks { counts: shift.counts, upstream, upstream_min: each, upstream_max: each } }
    }
}
