//! The load generator: one thread, one epoll set, many connections, one request in flight on each (pipelines apart).
//!
//! In: a `Plan`. Out: a `Load`, with what was asked and answered over the whole pass (for correctness) and within the window
//! (for figures). Connections live in a `Fleet`; how requests are paced is in `pace`. Latency is from the moment a request is
//! due: in the closed loop that is when it is sent. It knows nothing of contestants; `Edge` tells the caller when to read clocks.

mod connection;
mod herd;
mod pace;
mod pipeline;
mod shift;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::{AddAssign, ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::stats::Latencies;
use crate::sys::{self, Epoll};
use crate::wire::{self, Verdict};
use connection::Connection;
pub use herd::Herd;
pub use shift::{Length, Shift, Shifts};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// One read: small enough that a small answer does not wait long behind transfers that are read beside it.
const READ_BYTES: usize = 64 * 1024;
/// Longest wait for events, so that the window's end and Ctrl-C are seen.
const TURN_MAX: Duration = Duration::from_millis(10);
/// How long answers may take to come in after the last request was sent.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Token of the pace's timer, above those of all connections.
const TIMER: u64 = u64::MAX;

/// Whom to load with what.
pub struct Plan {
    pub target: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    pub body_bytes: u64,
    pub connections: usize,
    pub pace: Pace,
    pub warm_up: Duration,
    pub window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The next request as soon as the last one is answered.
    Closed,
    /// The same, but each on a connection of its own, which the client closes after the answer.
    NewConnections,
    /// So many requests a second whatever the answers do, on the connections that are free, beside bodies without pause.
    Open { requests_a_second: u32, transfers: Transfers },
    /// One request on each connection, few at a time, then silence until the caller has seen enough, for `window` at most.
    Idle,
    /// One request for the same thing on all connections at once, once to warm up and then `herds` times, each for another thing; the
    /// app takes `delay`.
    Herd { delay: Duration, herds: u32 },
    /// So many identical requests in one write, and the next ones when all are answered.
    Pipelined { depth: usize },
}

/// Connections that load one body after another, each read as fast as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfers {
    pub connections: usize,
    pub body_bytes: u64,
}

impl Transfers {
    pub const NONE: Self = Self { connections: 0, body_bytes: 0 };
}

/// The edges of the measured window (of herds: of each, the first included), and the silence of idle connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Begin,
    /// No request is in flight since so long; told again and again until the caller breaks off.
    Silence(Duration),
    End,
}

/// Whom to tell; only in silence does it matter whether the pass is to go on.
pub type OnEdge<'a> = &'a mut dyn FnMut(Edge) -> Outcome<ControlFlow<()>>;

/// Counts of a whole pass.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub requests: u64,
    pub answers: u64,
    /// Transfers that were left on purpose in the middle of a body.
    pub abandoned: u64,
    pub not_ok: u64,
    pub wrong_bodies: u64,
    pub errors: u64,
    /// The first error's text, for the reader.
    pub first_error: Option<String>,
}

/// The counts of two passes that are judged as one.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.answers += other.answers;
        self.abandoned += other.abandoned;
        self.not_ok += other.not_ok;
        self.wrong_bodies += other.wrong_bodies;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// What a pass saw.
pub struct Load {
    pub counts: Counts,
    /// Without those of transfers.
    pub window_answers: u64,
    /// What transfers brought within the window, heads and TLS included.
    pub transfer_bytes: u64,
    pub window: Duration,
    /// Of requests; of pipelines that of a whole write. Herds have their own.
    pub latencies: Latencies,
    /// Each herd, the one that warms up first.
    pub herds: Vec<Herd>,
}

/// Runs one pass; `edge` is called at both ends of the window, with requests in flight.
pub fn run(plan: &Plan, edge: OnEdge<'_>) -> Outcome<Load> {
    match plan.pace {
        Pace::Closed | Pace::NewConnections => pace::closed(plan, edge),
        Pace::Open { requests_a_second, transfers } => pace::open(plan, requests_a_second, transfers, edge),
        Pace::Idle => pace::idle(plan, edge),
        Pace::Herd { delay, herds } => herd::herds(plan, delay, herds, edge),
        Pace::Pipelined { depth } => pipeline::pipelined(plan, depth, edge),
    }
}

/// What a connection does after an answer.
enum Next {
    /// Sends the next request, for a body of so many bytes, which was due at the given time.
    Request(u64, Instant),
    /// Closes this connection and sends the next request on a new one.
    Reconnect,
    Rest,
}

struct Fleet<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    scratch: Vec<u8>,
    /// Those of earlier shifts: numbers of requests go on.
    requests_before: u64,
    counts: Counts,
    in_flight: usize,
}

impl<'a> Fleet<'a> {
    fn new(plan: &'a Plan) -> io::Result<Self> {
        Ok(Self {
            plan,
            epoll: Epoll::new()?,
            connections: Vec::new(),
            scratch: vec![0; READ_BYTES],
            requests_before: 0,
            counts: Counts::default(),
            in_flight: 0,
        })
    }

    /// Opens one more connection, which does nothing yet; returns its number.
    fn open(&mut self) -> io::Result<usize> {
        let number = self.connections.len();
        self.connections.push(Some(self.connect(number)?));
        Ok(number)
    }

    fn connect(&self, number: usize) -> io::Result<Connection> {
        let connection = Connection::open(self.plan.target, self.plan.tls.as_ref())?;
        self.epoll.add(connection.stream(), number as u64, sys::READ)?;
        Ok(connection)
    }

    /// Sends the next request on connection `number`; a failure is counted and ends that connection.
    fn request(&mut self, number: usize, body_bytes: u64, due: Instant) {
        let request = self.requests_before + self.counts.requests + 1;
        self.send(number, due, |path| wire::write_path(path, body_bytes, number, request));
    }

    /// The same for a path of the caller's.
    fn send(&mut self, number: usize, due: Instant, write_path: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections[number].as_mut() else { return };
        self.counts.requests += 1;
        match connection.request(write_path, due) {
            Ok(()) => self.in_flight += 1,
            Err(error) => self.fail(number, &error),
        }
    }

    /// Takes what has arrived within `timeout`; asks `done` for each complete answer what comes next. Returns whether the timer fired.
    fn turn(&mut self, timeout: Duration, mut done: impl FnMut(usize, Instant, Instant) -> Next) -> Outcome<bool> {
        let mut timer_fired = false;
        for index in 0..self.epoll.wait(Some(timeout))? {
            let (token, _) = self.epoll.event(index);
            if token == TIMER {
                timer_fired = true;
                continue;
            }
            let number = token as usize;
            let Some(connection) = self.connections[number].as_mut() else { continue };
            match connection.take(&mut self.scratch) {
                Ok(None) => {}
                Ok(Some(verdict)) => {
                    let due = connection.due();
                    self.count(verdict);
                    match done(number, due, Instant::now()) {
                        Next::Rest => {}
                        Next::Request(body_bytes, due) => self.request(number, body_bytes, due),
                        Next::Reconnect => self.reconnect(number),
                    }
                }
                Err(error) => {
                    if connection.is_waiting() {
                        self.in_flight -= 1;
                    }
                    self.fail(number, &error);
                }
            }
        }
        if sys::interrupted() { Err("interrupted".into()) } else { Ok(timer_fired) }
    }

    /// The new connection's request is due before it connects: the client waits for both.
    fn reconnect(&mut self, number: usize) {
        let due = Instant::now();
        if let Some(connection) = self.connections[number].take() {
            connection.close();
        }
        match self.connect(number) {
            Ok(connection) => {
                self.connections[number] = Some(connection);
                self.request(number, self.plan.body_bytes, due);
            }
            Err(error) => self.fail(number, &error),
        }
    }

    fn count(&mut self, verdict: Verdict) {
        self.in_flight -= 1;
        self.counts.answers += 1;
        if verdict.status != 200 {
            self.counts.not_ok += 1;
        } else if !verdict.body_right {
            self.counts.wrong_bodies += 1;
        }
    }

    fn fail(&mut self, number: usize, error: &io::Error) {
        self.connections[number] = None;
        self.counts.errors += 1;
        self.counts.first_error.get_or_insert_with(|| format!("connection {number}: {error}"));
    }

    /// What these connections received so far. One that failed counts nothing any more; its error fails the run.
    fn received_bytes(&self, numbers: Range<usize>) -> u64 {
        self.connections[numbers].iter().flatten().map(Connection::received_bytes).sum()
    }

    /// Leaves a connection in the middle of its answer.
    fn abandon(&mut self, number: usize) {
        if self.connections[number].take().is_some_and(|connection| connection.is_waiting()) {
            self.in_flight -= 1;
            self.counts.abandoned += 1;
        }
    }

    /// Waits for the answers in flight, sending nothing new. An answer that never comes is an error.
    fn drain(&mut self) -> Outcome<()> {
        let end = Instant::now() + DRAIN_MAX;
        while self.in_flight > 0 && Instant::now() < end {
            self.turn(TURN_MAX, |_, _, _| Next::Rest)?;
        }
        if self.in_flight > 0 {
            self.counts.errors += self.in_flight as u64;
            self.counts.first_error.get_or_insert_with(|| format!("{} requests without answer", self.in_flight));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
