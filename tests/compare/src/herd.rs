//! The case `herd`: many clients ask for the same thing at once, and how often the app is asked.
//!
//! In: a `Bench` and a contestant, which is started anew. Out: one `Sample` over several herds. What the app saw and what the contestant
//! used is read before and after each herd, so each herd has its own count.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::cases::{self, Case};
use crate::contestants::Contestant;
use crate::counters;
use crate::load::{Edge, Herd, Load, Outcome};
use crate::measure::{Bench, Sample};
use crate::stats;

pub fn sample(bench: &Bench, case: Case, contestant: Contestant, delay: Duration) -> Outcome<Sample> {
    let started = bench.start_contestant(contestant, case.setup(), case.shape().over_tls)?;
    let plan = bench.plan(case, started.target);
    let mut readings = Vec::new();
    let (load, mut checks) = bench.checked(&plan, &mut |edge| {
        // The probe costs the origin a moment, so it comes before the herd and after it.
        let upstream = bench.received()?;
        let cpu_ns = counters::read(&started.pids)?.cpu_ns;
        readings.push((edge, Reading { cpu_ns, upstream }));
        Ok(ControlFlow::Continue(()))
    })?;
    let herds = herds(&load, &readings);
    (checks.upstream_min, checks.upstream_max) = (0, 0);
    for seen in &herds {
        let Bounds { min, max } = allowed(contestant, plan.connections as u64, seen.herd.sending, delay);
        checks.upstream_min += min;
        checks.upstream_max += max;
    }
    Ok(Sample { figures: figures(&herds[1..]), checks })
}

#[derive(Clone, Copy)]
struct Reading {
    cpu_ns: u64,
    upstream: u64,
}

/// A herd and what it cost.
struct Seen<'a> {
    herd: &'a Herd,
    upstream: u64,
    cpu_ns: u64,
}

/// `readings`: two for each herd.
fn herds<'a>(load: &'a Load, readings: &[(Edge, Reading)]) -> Vec<Seen<'a>> {
    let pairs = load.herds.iter().zip(readings.chunks_exact(2));
    pairs
        .map(|(herd, pair)| {
            let (before, after) = (pair[0].1, pair[1].1);
            Seen { herd, upstream: after.upstream - before.upstream, cpu_ns: after.cpu_ns - before.cpu_ns }
        })
        .collect()
}

struct Bounds {
    min: u64,
    max: u64,
}

/// How many requests of a herd may reach the app: one, through Slipstream, where all had been sent long before the first answer. A
/// machine that kept the generator from sending them made no herd, and nobody can be held to one request for it.
fn allowed(contestant: Contestant, requests: u64, sending: Duration, delay: Duration) -> Bounds {
    let is_herd = sending < delay / 2;
    match contestant {
        Contestant::Direct => Bounds { min: requests, max: requests },
        _ if contestant.coalesces() && is_herd => Bounds { min: 1, max: 1 },
        _ => Bounds { min: 1, max: requests },
    }
}

/// Of a herd its median over those of the sample; the percentiles are over all their requests.
fn figures(herds: &[Seen<'_>]) -> Vec<(&'static str, f64)> {
    let median = |of: &dyn Fn(&Seen<'_>) -> f64| {
        let values: Vec<f64> = herds.iter().map(of).collect();
        stats::spread(&values).map_or(0.0, |spread| spread.median)
    };
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let latencies = herds.iter().flat_map(|seen| &seen.herd.latencies);
    let mut latencies: Vec<f64> = latencies.map(|latency| milliseconds(*latency)).collect();
    latencies.sort_by(f64::total_cmp);
    let most = herds.iter().map(|seen| seen.upstream).max().unwrap_or(0);
    vec![
        (cases::HERD_UPSTREAM, median(&|seen| seen.upstream as f64)),
        (cases::HERD_UPSTREAM_MOST, most as f64),
        (cases::HERD_WHOLE, median(&|seen| milliseconds(seen.herd.whole))),
        ("p50 ms", stats::at(&latencies, 500)),
        (cases::HERD_P99, stats::at(&latencies, 990)),
        ("CPU ms/herd", median(&|seen| seen.cpu_ns as f64 / 1e6)),
        ("sent within ms", median(&|seen| milliseconds(seen.herd.sending))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_may_reach_the_app_where_it_was_a_herd() {
        let (quick, slow) = (Duration::from_millis(99), Duration::from_millis(100));
        let allowed = |contestant, sending| {
            let Bounds { min, max } = allowed(contestant, 1000, sending, Duration::from_millis(200));
            (min, max)
        };
        assert_eq!(allowed(Contestant::Epoll, quick), (1, 1));
        assert_eq!(allowed(Contestant::IoUring, slow), (1, 1000));
        assert_eq!(allowed(Contestant::EpollOff, quick), (1, 1000));
        assert_eq!(allowed(Contestant::Varnish, quick), (1, 1000));
        assert_eq!(allowed(Contestant::Direct, slow), (1000, 1000));
    }

    #[test]
    fn each_herd_has_its_own_count_and_the_worst_one_is_told() {
        let herd = |whole| Herd {
            sending: Duration::from_millis(8),
            whole: Duration::from_millis(whole),
            latencies: vec![Duration::from_millis(whole - 1), Duration::from_millis(whole)],
        };
        let load = Load {
            counts: crate::load::Counts::default(),
            window_answers: 0,
            transfer_bytes: 0,
            window: Duration::ZERO,
            latencies: stats::Latencies::new(),
            herds: vec![herd(300), herd(210), herd(230), herd(220)],
        };
        let upstream = [(0, 7), (8, 9), (10, 12), (13, 14)];
        let reading = |upstream| (Edge::Begin, Reading { cpu_ns: upstream * 1_000_000, upstream });
        let readings: Vec<_> =
            upstream.iter().flat_map(|(before, after)| [reading(*before), reading(*after)]).collect();
        let herds = herds(&load, &readings);
        assert_eq!(herds.iter().map(|seen| seen.upstream).collect::<Vec<_>>(), [7, 1, 2, 1]);
        let figures = figures(&herds[1..]);
        let figure = |name| figures.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        assert_eq!(figure(cases::HERD_UPSTREAM), Some(1.0));
        assert_eq!(figure(cases::HERD_UPSTREAM_MOST), Some(2.0));
        assert_eq!(figure(cases::HERD_WHOLE), Some(220.0));
        assert_eq!(figure("p50 ms"), Some(219.0));
        assert_eq!(figure(cases::HERD_P99), Some(230.0));
        assert_eq!(figure("CPU ms/herd"), Some(1.0));
    }
}
