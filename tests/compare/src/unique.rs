//! The cases `unique` and `unique-two`: what coalescing costs where there is nothing to coalesce.
//!
//! In: a `Bench` and the contestants, which are started together and take turns: a fifth of a second each, in turned order, while the others
//! sleep. Out: a `Sample` for each of these turns. A difference of one per cent is less than what a machine's speed changes from one
//! second to the next, so each turn is compared with the one beside it.

use std::time::Duration;

use crate::cases::{self, Case};
use crate::contestants::Contestant;
use crate::counters;
use crate::load::{Length, Outcome, Shifts};
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
    for (started, shifts) in started.iter().zip(&mut shifts) {
        turn(bench, started, shifts, bench.warm_up)?;
    }
    let turns = bench.window.as_micros().div_ceil(TURN.as_micros()).max(1);
    for number in 0..turns {
        for place in 0..contestants.len() {
            let who = if number % 2 == 0 { place } else { contestants.len() - 1 - place };
            samples[who].push(turn(bench, &started[who], &mut shifts[who], TURN)?);
        }
    }
    Ok(samples)
}

fn turn(bench: &Bench, started: &Started, shifts: &mut Shifts<'_>, length: Duration) -> Outcome<Sample> {
    let upstream = bench.received()?;
    let before = counters::read(&started.pids)?;
    let shift = shifts.work(Length::Time(length))?;
    let after = counters::read(&started.pids)?;
    let upstream = bench.received()? - upstream;
    let (answers, each) = (shift.counts.answers as f64, shift.counts.requests);
    let cpu_ns = (after.cpu_ns - before.cpu_ns) as f64;
    let seconds = shift.length.as_secs_f64();
    let figures = vec![
        (cases::CPU_PER_REQUEST, cpu_ns / 1e3 / answers),
        ("requests/s", answers / seconds),
        (cases::P50, shift.latencies.micros_at(500)),
        (cases::P99, shift.latencies.micros_at(990)),
        ("own cores busy %", cpu_ns / 1e7 / seconds),
    ];
    Ok(Sample { figures, checks: Checks { counts: shift.counts, upstream, upstream_min: each, upstream_max: each } })
}
