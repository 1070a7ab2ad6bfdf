//! The paces: closed loop, open loop at a fixed rate, and silence after one request on each connection.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Edge, Fleet, Load, Next, OnEdge, Outcome, Pace, Plan, TIMER, TURN_MAX, Transfers};
use crate::stats::Latencies;
use crate::sys;

/// How many first requests of idle connections are in flight at once: a crowd would grow pools that an idle process keeps.
const IDLE_IN_FLIGHT_MAX: usize = 16;
/// How long their opening may take; 5,000 TLS connections take some 3 s.
const OPENING_MAX: Duration = Duration::from_secs(60);
/// How often the caller is told of silence.
const SILENCE_STEP: Duration = Duration::from_millis(250);

/// The window's answers and latencies, filled while it is open.
struct Window {
    begin: Option<Instant>,
    answers: u64,
    latencies: Latencies,
    transfers: Range<usize>,
    transfer_bytes_before: u64,
}

impl Window {
    /// `transfers`: the numbers of the connections that carry them.
    fn new(transfers: Range<usize>) -> Self {
        Self { begin: None, answers: 0, latencies: Latencies::new(), transfers, transfer_bytes_before: 0 }
    }

    fn begin(&mut self, fleet: &Fleet<'_>, edge: OnEdge<'_>) -> Outcome<()> {
        edge(Edge::Begin).map(drop)?;
        self.transfer_bytes_before = fleet.received_bytes(self.transfers.clone());
        self.begin = Some(Instant::now());
        Ok(())
    }

    fn note(&mut self, due: Instant, now: Instant) {
        if self.begin.is_some() {
            self.answers += 1;
            self.latencies.record(u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Requests that were due and found no free connection count with their wait so far: the slow ones must not go missing.
    fn note_unsent(&mut self, dues: impl Iterator<Item = Instant>) {
        let now = Instant::now();
        for due in dues {
            self.latencies.record(u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Closes the window with requests in flight, then takes their answers, which only count for correctness.
    fn end(self, mut fleet: Fleet<'_>, edge: OnEdge<'_>) -> Outcome<Load> {
        edge(Edge::End).map(drop)?;
        let window = self.begin.map_or(Duration::ZERO, |begin| begin.elapsed());
        let transfer_bytes = fleet.received_bytes(self.transfers.clone()) - self.transfer_bytes_before;
        self.transfers.for_each(|number| fleet.abandon(number));
        fleet.drain()?;
        let (window_answers, latencies) = (self.answers, self.latencies);
        Ok(Load { counts: fleet.counts, window_answers, transfer_bytes, window, latencies, herds: Vec::new() })
    }
}

pub fn closed(plan: &Plan, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    for _ in 0..plan.connections {
        let number = fleet.open()?;
        fleet.request(number, plan.body_bytes, Instant::now());
    }
    let mut window = Window::new(0..0);
    for (length, measured) in [(plan.warm_up, false), (plan.window, true)] {
        if measured {
            window.begin(&fleet, edge)?;
        }
        let end = Instant::now() + length;
        while Instant::now() < end {
            fleet.turn(TURN_MAX, |_, due, now| {
                window.note(due, now);
                if plan.pace == Pace::NewConnections { Next::Reconnect } else { Next::Request(plan.body_bytes, now) }
            })?;
            if fleet.in_flight == 0 {
                break; // every connection failed; the counts say so
            }
        }
    }
    window.end(fleet, edge)
}

/// When each request of an open loop is due: known before the first one leaves, whatever the answers do. The first is number 1.
struct Schedule {
    start: Instant,
    period: Duration,
}

impl Schedule {
    fn due(&self, number: u32) -> Instant {
        self.start + self.period * number
    }

    /// How many are due at `now`.
    fn due_by(&self, now: Instant) -> u32 {
        u32::try_from((now - self.start).as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX)
    }
}

/// A request that finds no free connection waits for one, and its latency counts from when it was due.
pub fn open(plan: &Plan, requests_a_second: u32, transfers: Transfers, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    let mut free = VecDeque::new();
    for _ in 0..plan.connections {
        free.push_back(fleet.open()?);
    }
    for _ in 0..transfers.connections {
        let number = fleet.open()?;
        fleet.request(number, transfers.body_bytes, Instant::now());
    }
    // The timer only wakes us. It starts after the schedule, so it never fires before a request is due.
    let schedule = Schedule { start: Instant::now(), period: Duration::from_secs(1) / requests_a_second };
    let mut timer = sys::periodic_timer(schedule.period)?;
    fleet.epoll.add(&timer, TIMER, sys::READ)?;
    let begin = schedule.start + plan.warm_up;
    let end = begin + plan.window;
    let mut window = Window::new(plan.connections..plan.connections + transfers.connections);
    let mut sent = 0;
    while Instant::now() < end {
        if window.begin.is_none() && Instant::now() >= begin {
            window.begin(&fleet, edge)?;
        }
        let timer_fired = fleet.turn(TURN_MAX, |number, due, now| {
            if number >= plan.connections {
                return Next::Request(transfers.body_bytes, now);
            }
            window.note(due, now);
            free.push_back(number);
            Next::Rest
        })?;
        if timer_fired {
            timer.read_exact(&mut [0; 8])?;
        }
        let due = schedule.due_by(Instant::now());
        while sent < due
            && let Some(number) = free.pop_front()
        {
            sent += 1;
            fleet.request(number, plan.body_bytes, schedule.due(sent));
        }
    }
    window.note_unsent((sent + 1..=schedule.due_by(end)).map(|number| schedule.due(number)));
    window.end(fleet, edge)
}

/// The window is silence: the first edge stands before the first connection, the last when the caller has seen enough.
pub fn idle(plan: &Plan, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    let mut window = Window::new(0..0);
    window.begin(&fleet, edge)?;
    let opening_end = Instant::now() + OPENING_MAX;
    let mut opened = 0;
    while opened < plan.connections || fleet.in_flight > 0 {
        while opened < plan.connections && fleet.in_flight < IDLE_IN_FLIGHT_MAX {
            let number = fleet.open()?;
            opened += 1;
            fleet.request(number, plan.body_bytes, Instant::now());
        }
        fleet.turn(TURN_MAX, |_, due, now| {
            window.note(due, now);
            Next::Rest
        })?;
        if Instant::now() > opening_end {
            let (all, waiting) = (plan.connections, fleet.in_flight);
            return Err(format!("{opened} of {all} connections in {OPENING_MAX:?}, {waiting} without an answer").into());
        }
    }
    let start = Instant::now();
    let mut told = start;
    while edge(Edge::Silence(start.elapsed()))?.is_continue() && start.elapsed() < plan.window {
        while told.elapsed() < SILENCE_STEP {
            fleet.turn(TURN_MAX, |_, _, _| Next::Rest)?;
        }
        told += SILENCE_STEP;
    }
    window.end(fleet, edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_is_fixed_before_the_first_request() {
        let start = Instant::now();
        let schedule = Schedule { start, period: Duration::from_micros(500) };
        for (after_micros, due) in [(0, 0), (499, 0), (500, 1), (999, 1), (1000, 2), (1_000_000, 2000)] {
            assert_eq!(schedule.due_by(start + Duration::from_micros(after_micros)), due, "after {after_micros} us");
        }
        assert_eq!(schedule.due(3), start + Duration::from_micros(1500));
        assert_eq!(schedule.due_by(schedule.due(7)), 7);
    }
}
