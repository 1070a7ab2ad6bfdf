//! Herds: every connection asks for the same thing at once, again and again for another thing.

use std::time::{Duration, Instant};

use super::{DRAIN_MAX, Edge, Fleet, Load, Next, OnEdge, Outcome, Plan, TURN_MAX};
use crate::stats::Latencies;
use crate::wire;

/// After a herd, so that what a contestant still does for it is counted with it.
const REST: Duration = Duration::from_millis(50);

/// What one herd saw.
pub struct Herd {
    /// From the first byte sent to when the last request had been.
    pub sending: Duration,
    /// From the first byte sent to the last byte received.
    pub whole: Duration,
    /// Of each request from its own send, in the order of the answers.
    pub latencies: Vec<Duration>,
}

/// `delay`: what the app takes for each of them. Every connection is there before the first herd.
pub fn herds(plan: &Plan, delay: Duration, herds: u32, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    for _ in 0..plan.connections {
        fleet.open()?;
    }
    let start = Instant::now();
    let mut seen = Vec::new();
    for number in 0..=herds {
        edge(Edge::Begin).map(drop)?;
        seen.push(herd(&mut fleet, delay, u64::from(number))?);
        edge(Edge::End).map(drop)?;
    }
    let window = start.elapsed();
    fleet.drain()?;
    let window_answers = fleet.counts.answers;
    Ok(Load {
        counts: fleet.counts,
        window_answers,
        transfer_bytes: 0,
        window,
        latencies: Latencies::new(),
        herds: seen,
    })
}

fn herd(fleet: &mut Fleet<'_>, delay: Duration, number: u64) -> Outcome<Herd> {
    let mut path = Vec::new();
    wire::write_herd_path(&mut path, fleet.plan.body_bytes, delay, number);
    let begin = Instant::now();
    for connection in 0..fleet.plan.connections {
        fleet.send(connection, Instant::now(), |out| out.extend_from_slice(&path));
    }
    let sending = begin.elapsed();
    let mut latencies = Vec::with_capacity(fleet.plan.connections);
    let (mut last, end) = (begin, begin + delay + DRAIN_MAX);
    // An answer that has not come by then is an error when the connections are drained.
    while fleet.in_flight > 0 && Instant::now() < end {
        fleet.turn(TURN_MAX, |_, due, now| {
            latencies.push(now - due);
            last = now;
            Next::Rest
        })?;
    }
    let rest_end = Instant::now() + REST;
    while Instant::now() < rest_end {
        fleet.turn(TURN_MAX, |_, _, _| Next::Rest)?;
    }
    Ok(Herd { sending, whole: last - begin, latencies })
}
