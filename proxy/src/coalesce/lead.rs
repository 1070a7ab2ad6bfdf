//! What holds a flight that this worker owns: guards that travel with the data and give back by drop, so that no key is ever stuck and nobody waits
//! for somebody who is gone.
//!
//! ```text
//! Lead --(somebody joined)--> Carrier --(the head came, and may be shared)--> Pump
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::board::Board;
use super::flight::{AnswerHead, Flight};
use super::key::Kept;
use super::seat::{Seat, SeatNumber};
use super::tally::Tally;
use super::window::End;
use super::{Outcome, RETAINED_BYTES_MAX, Role};
use crate::buf::Buf;
use crate::config::Coalescing;
use crate::fault::{Fault, Kind};
use crate::io::Tick;
use crate::pieces::Chunk;
use crate::telemetry::Context;

/// Why a body ends where nobody says how.
pub(super) const BROKEN_OFF: Fault =
    Fault { kind: Kind::UpstreamBrokenOff, detail: "the shared answer was broken off" };

/// A flight that its leader's task carries: nobody has joined, as far as that task knows.
pub(crate) struct Lead {
    board: Rc<Board>,
    /// `None`: it has been handed over.
    flight: Option<Rc<Flight>>,
    /// What it is counted as.
    outcome: Cell<Outcome>,
}

impl Lead {
    pub(super) fn new(board: Rc<Board>, flight: Rc<Flight>) -> Lead {
        board.counters.coalesce.flights.rise();
        Lead { board, flight: Some(flight), outcome: Cell::new(Outcome::Left) }
    }

    pub(super) fn flight(&self) -> &Rc<Flight> {
        self.flight.as_ref().expect("taken only by value")
    }

    /// The request goes to the app now.
    pub fn dispatched(&self, rules: &Coalescing, now: Tick) {
        self.board.dispatched(self.flight(), rules, now);
    }

    /// It is traced, by this CLIENT span.
    pub fn is_exchange(&self, context: Context) {
        self.flight().with_tally(|tally| tally.set_exchange(context));
    }

    /// Ready when somebody has joined.
    pub fn poll_joined(&self, cx: &TaskContext<'_>) -> Poll<()> {
        self.flight().poll_joined(cx)
    }

    pub fn is_joined(&self) -> bool {
        self.flight().was_joined.get()
    }

    /// The policy observes: what would become of others is counted.
    pub fn is_observed(&self) -> bool {
        self.flight().observes.get()
    }

    /// From here on a task of its own carries the flight; the leader is a participant as any other.
    pub fn hand_over(mut self) -> (Carrier, Seat) {
        let flight = self.flight.take().expect("taken only by value");
        let carrier = Carrier { board: self.board.clone(), flight: flight.clone(), has_landed: false };
        let seat = Seat::new(self.board.clone(), flight, Role::Leader);
        (carrier, seat)
    }

    /// Nobody has joined, and what has come of it is this. What it is counted as.
    pub fn end(self, outcome: Outcome) -> Outcome {
        self.outcome.set(outcome);
        counted(self.flight(), outcome)
    }

    /// What went up.
    pub fn with_kept<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.flight().kept)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        self.board.counters.coalesce.flights.fall();
        self.board.close(&flight);
        self.board.learn(&flight, self.outcome.get());
        let role = if flight.was_joined.get() { Role::Leader } else { Role::Alone };
        self.board.counters.coalesce.count(role, counted(&flight, self.outcome.get()), 1);
        match role {
            Role::Alone => self.board.retire(flight),
            _ => flight.lose(false),
        }
    }
}

/// What a leader is counted as. Nothing is shared where the policy observes. Who leads because another flight was full is counted as that, if
/// nothing worse has come of it (R9).
pub(super) fn counted(flight: &Flight, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Shared if flight.observes.get() => Outcome::Observed,
        Outcome::Shared if flight.after_full.get() => Outcome::Full,
        outcome => outcome,
    }
}

/// A flight with participants, before the head of its answer.
pub(crate) struct Carrier {
    board: Rc<Board>,
    flight: Rc<Flight>,
    has_landed: bool,
}

impl Carrier {
    pub fn dispatched(&self, rules: &Coalescing, now: Tick) {
        self.board.dispatched(&self.flight, rules, now);
    }

    /// See [`Lead::is_exchange`].
    pub fn is_exchange(&self, context: Context) {
        self.flight.with_tally(|tally| tally.set_exchange(context));
    }

    /// How many have joined so far.
    pub fn followers(&self) -> u32 {
        self.flight.with_tally(Tally::followers)
    }

    /// The worker has room for a body of so many bytes, until its last participant has it.
    pub fn may_retain(&self, bytes: u64) -> bool {
        bytes <= RETAINED_BYTES_MAX && self.board.may_retain(bytes)
    }

    /// Ready when the last participant has left (R5).
    pub fn poll_deserted(&self, cx: &TaskContext<'_>) -> Poll<()> {
        self.flight.poll_pilot(cx, Flight::is_deserted)
    }

    pub fn with_kept<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.flight.kept)
    }

    #[cfg(test)]
    pub(super) fn flight(&self) -> &Rc<Flight> {
        &self.flight
    }

    /// Wakes a participant: there is something for it outside of the flight.
    pub fn wake(&self, seat: SeatNumber) {
        self.flight.wake(seat.0);
    }

    /// The answer is for all of them. `reserved`: the bytes of its body, where it is retained.
    pub fn land(mut self, head: AnswerHead, reserved: u64) -> Pump {
        self.settle(Outcome::Shared);
        self.board.reserved.set(self.board.reserved.get() + reserved);
        self.flight.land(Arc::new(head));
        Pump { carrier: self, reserved: Cell::new(reserved) }
    }

    /// The answer is for the leader alone; all others go alone, at once (R4).
    pub fn release(mut self, why: Outcome) {
        self.settle(why);
        self.flight.release(why);
    }

    /// There is no answer: each gets its own fault.
    pub fn fail(mut self, fault: Fault) {
        self.settle(if matches!(fault.kind, Kind::TimedOut(_)) { Outcome::Timeout } else { Outcome::Error });
        self.flight.fail(fault);
    }

    fn settle(&mut self, outcome: Outcome) {
        self.has_landed = true;
        self.board.close(&self.flight);
        self.board.learn(&self.flight, outcome);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.board.counters.coalesce.flights.fall();
        if !self.has_landed {
            self.settle(Outcome::Left);
            self.flight.lose(false);
        }
    }
}

/// The body of a shared answer on its way in. Dropped before its end, it is an abort for everyone (R10).
pub(crate) struct Pump {
    carrier: Carrier,
    /// Bytes of the body that are still to come, where it is retained.
    reserved: Cell<u64>,
}

impl Pump {
    fn flight(&self) -> &Flight {
        &self.carrier.flight
    }

    fn unreserve(&self, bytes: u64) {
        let (board, left) = (&self.carrier.board, self.reserved.get());
        let bytes = bytes.min(left);
        self.reserved.set(left - bytes);
        board.reserved.set(board.reserved.get() - bytes);
    }

    /// How many have joined.
    pub fn followers(&self) -> u32 {
        self.carrier.followers()
    }

    /// A part of the body, for everyone.
    pub fn push(&self, part: Buf) {
        self.unreserve(part.len() as u64);
        self.flight().push(Chunk::new(part, &self.carrier.board.counters.coalesce.retained_bytes));
    }

    pub fn finish(&self, end: End) {
        self.flight().finish(end);
    }

    pub fn is_deserted(&self) -> bool {
        self.flight().is_deserted()
    }

    pub fn poll_deserted(&self, cx: &TaskContext<'_>) -> Poll<()> {
        self.carrier.poll_deserted(cx)
    }

    /// Ready when the window has room, or nobody is left.
    pub fn poll_room(&self, cx: &TaskContext<'_>) -> Poll<()> {
        self.flight().poll_pilot(cx, |flight| {
            flight.look_at_relays();
            !flight.is_full() || flight.is_deserted()
        })
    }

    /// The window has been full for `waited`: whoever keeps others waiting pays for it (R9).
    pub fn charge(&self, waited: Duration) {
        if self.flight().has_starved() {
            self.flight().charge(waited);
            self.flight().urge_relays();
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.unreserve(u64::MAX);
        self.flight().finish(End::Aborted(BROKEN_OFF));
    }
}
