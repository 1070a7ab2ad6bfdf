//! Single-flight: one upstream exchange answers all identical GETs that are in flight, over all workers. Nothing is stored.
//!
//! In: a request that was read. Out: [`Join`]: lead a flight, follow one, or go alone. Must not know: what an upstream is, sockets, how a flight is
//! carried. Limits: [`FOLLOWERS_MAX`] a flight, [`WINDOW_BYTES`] or [`RETAINED_BYTES_MAX`] of a body, [`RETAINED_BYTES_MAX_OF_WORKER`].
//! The rules have numbers (R1 to R16), which tests carry in their names; ARCHITECTURE.md says them.

mod board;
mod directory;
mod epoch;
mod feed;
mod flight;
mod key;
mod lead;
mod line;
mod pass;
mod relay;
mod seat;
mod share;
mod table;
mod tally;
mod window;

pub(crate) use board::{Board, Busy, FlightSeed, Join, Letters};
pub(crate) use epoch::Writing;
pub(crate) use feed::{Fed, Feed};
pub(crate) use flight::{AnswerHead, Landing};
pub(crate) use key::{Kept, Question, Scope, covers, is_eligible, twins};
pub(crate) use lead::{Carrier, Lead, Pump};
pub(crate) use seat::{Seat, SeatNumber};
pub(crate) use share::{Terms, Unshared, judge};
pub(crate) use window::End;

pub(crate) use crate::telemetry::{Outcome, Role};

/// Followers of one flight. One more closes it: the next request leads a new one.
pub(crate) const FOLLOWERS_MAX: u32 = if cfg!(test) { 5 } else { 1024 };

/// Requests of one connection that wait for the same answer, the first among them.
pub(crate) const TWINS_MAX: usize = 64;

/// A body whose length is known and at most this is read at full speed, whoever is slow.
pub(crate) const RETAINED_BYTES_MAX: u64 = if cfg!(test) { 1024 } else { 1024 * 1024 };

/// All such bodies of a worker.
pub(crate) const RETAINED_BYTES_MAX_OF_WORKER: u64 = if cfg!(test) { 3 * 1024 } else { 16 * 1024 * 1024 };

/// What is read ahead of the slowest participant of any other body.
pub(crate) const WINDOW_BYTES: usize = if cfg!(test) { 512 } else { 256 * 1024 };

#[cfg(test)]
mod model;
