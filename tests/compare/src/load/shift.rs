//! Shifts: kept connections that work for a while, one request in flight on each, and rest with none, as often as the caller likes.
//!
//! So two programs can take turns within a fraction of a second, and what each of them did in a shift can be counted exactly.

use std::time::{Duration, Instant};

use super::{Counts, DRAIN_MAX, Fleet, Next, Outcome, Plan, TURN_MAX};
use crate::stats::Latencies;

/// How long a shift is.
#[derive(Clone, Copy)]
pub enum Length {
    Time(Duration),
    Requests(u64),
}

pub struct Shifts<'a> {
    fleet: Fleet<'a>,
}

/// What one shift saw. Every request was answered in it, or is an error.
pub struct Shift {
    pub counts: Counts,
    pub length: Duration,
    pub latencies: Latencies,
}

impl<'a> Shifts<'a> {
    /// Opens the connections.
    pub fn open(plan: &'a Plan) -> Outcome<Self> {
        let mut fleet = Fleet::new(plan)?;
        for _ in 0..plan.connections {
            fleet.open()?;
        }
        Ok(Self { fleet })
    }

    pub fn work(&mut self, length: Length) -> Outcome<Shift> {
        let body_bytes = self.fleet.plan.body_bytes;
        let fleet = &mut self.fleet;
        fleet.requests_before += std::mem::take(&mut fleet.counts).requests;
        let start = Instant::now();
        let (end, mut left) = match length {
            Length::Time(time) => (start + time, u64::MAX),
            Length::Requests(requests) => (start + Duration::from_secs(3600), requests),
        };
        for number in 0..fleet.connections.len() {
            if left > 0 {
                fleet.request(number, body_bytes, Instant::now());
                left -= 1;
            }
        }
        let mut latencies = Latencies::new();
        let mut last_answer = start;
        while fleet.in_flight > 0 && last_answer.elapsed() < DRAIN_MAX {
            fleet.turn(TURN_MAX, |_, due, now| {
                latencies.record(u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX));
                last_answer = now;
                if now >= end || left == 0 {
                    return Next::Rest;
                }
                left -= 1;
                Next::Request(body_bytes, now)
            })?;
        }
        fleet.drain()?;
        Ok(Shift { counts: fleet.counts.clone(), length: start.elapsed(), latencies })
    }
}
