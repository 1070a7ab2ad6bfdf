//! The paces: closed loop, open loop at a fixed rate, and silence after one request on each connection.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Edge, Fleet, Load, Next, Outcome, Pace, Plan, TIMER, TURN_MAX};
use crate::stats::Latencies;
use crate::sys;

/// How many first requests of idle connections are in flight at once: a crowd would grow pools that an idle process keeps.
const IDLE_IN_FLIGHT_MAX: usize = 16;
/// A body that nobody reads to its end: a day at 10 GB/s.
const UNENDING_BYTES: u64 = 1 << 50;

type OnEdge<'a> = &'a mut dyn FnMut(Edge) -> Outcome<()>;

/// The window's answers and latencies, filled while it is open.
struct Window {
    begin: Option<Instant>,
    answers: u64,
    latencies: Latencies,
}

impl Window {
    fn new() -> Self {
        Self { begin: None, answers: 0, latencies: Latencies::new() }
    }

    fn begin(&mut self, edge: OnEdge<'_>) -> Outcome<()> {
        edge(Edge::Begin)?;
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
    fn end(self, mut fleet: Fleet<'_>, transfers: Range<usize>, edge: OnEdge<'_>) -> Outcome<Load> {
        edge(Edge::End)?;
        let window = self.begin.map_or(Duration::ZERO, |begin| begin.elapsed());
        transfers.for_each(|number| fleet.abandon(number));
        fleet.drain()?;
        Ok(Load { counts: fleet.counts, window_answers: self.answers, window, latencies: self.latencies })
    }
}

pub fn closed(plan: &Plan, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    for _ in 0..plan.connections {
        let number = fleet.open()?;
        fleet.request(number, plan.body_bytes, Instant::now());
    }
    let mut window = Window::new();
    for (length, measured) in [(plan.warm_up, false), (plan.window, true)] {
        if measured {
            window.begin(edge)?;
        }
        let end = Instant::now() + length;
        while Instant::now() < end {
            fleet.turn(TURN_MAX, |_, due, now| {
                window.note(due, now);
                if plan.pace == Pace::NewConnections { Next::Reconnect } else { Next::Request(now) }
            })?;
            if fleet.in_flight == 0 {
                break; // every connection failed; the counts say so
            }
        }
    }
    window.end(fleet, 0..0, edge)
}

/// Requests become due by a timer; one that finds no free connection waits for it, and its latency counts from when it was due.
pub fn open(plan: &Plan, requests_a_second: u32, transfers: usize, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    let mut free = VecDeque::new();
    for _ in 0..plan.connections {
        free.push_back(fleet.open()?);
    }
    for _ in 0..transfers {
        let number = fleet.open()?;
        fleet.request(number, UNENDING_BYTES, Instant::now());
    }
    let period = Duration::from_secs(1) / requests_a_second;
    let mut timer = sys::periodic_timer(period)?;
    fleet.epoll.add(&timer, TIMER, sys::READ)?;
    let start = Instant::now();
    let end = start + plan.warm_up + plan.window;
    let mut window = Window::new();
    let (mut fired, mut sent) = (0u32, 0u32);
    while Instant::now() < end {
        if window.begin.is_none() && start.elapsed() >= plan.warm_up {
            window.begin(edge)?;
        }
        let timer_fired = fleet.turn(TURN_MAX, |number, due, now| {
            window.note(due, now);
            free.push_back(number);
            Next::Rest
        })?;
        if timer_fired {
            let mut expirations = [0; 8];
            timer.read_exact(&mut expirations)?;
            fired += u64::from_ne_bytes(expirations) as u32;
        }
        while sent < fired
            && let Some(number) = free.pop_front()
        {
            sent += 1;
            fleet.request(number, plan.body_bytes, start + period * sent);
        }
    }
    window.note_unsent((sent..fired).map(|number| start + period * (number + 1)));
    window.end(fleet, plan.connections..plan.connections + transfers, edge)
}

/// The window is silence: the first edge stands before the first connection, the last after `plan.window` without a byte.
pub fn idle(plan: &Plan, edge: OnEdge<'_>) -> Outcome<Load> {
    let mut fleet = Fleet::new(plan)?;
    let mut window = Window::new();
    window.begin(edge)?;
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
    }
    edge(Edge::Silence)?;
    let end = Instant::now() + plan.window;
    while Instant::now() < end {
        fleet.turn(TURN_MAX, |_, _, _| Next::Rest)?;
    }
    window.end(fleet, 0..0, edge)
}
