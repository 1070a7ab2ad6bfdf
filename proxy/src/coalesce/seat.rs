//! One participant of a flight: what it waits for, and where in the body it is. Its drop leaves the flight, wherever that is.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::board::Board;
use super::flight::{Flight, Landing};
use super::key::Kept;
use super::lead::counted;
use super::tally::Tally;
use super::window::End;
use super::{Outcome, Role};
use crate::io::Tick;
use crate::pieces::Chunk;
use crate::telemetry::{Context as Exchange, WAIT_BOUNDS_MS};

/// Names a seat of a flight, for who carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeatNumber(pub(super) usize);

/// One participant of a flight.
pub(crate) struct Seat {
    board: Rc<Board>,
    flight: Rc<Flight>,
    number: usize,
    role: Role,
    since: Tick,
    /// What it is counted as. `None`: it goes on as another's, and is counted as that.
    outcome: Cell<Option<Outcome>>,
}

impl Seat {
    /// A follower's place has been taken.
    pub(super) fn new(board: Rc<Board>, flight: Rc<Flight>, role: Role) -> Seat {
        let number = flight.sit_down();
        if role == Role::Follower {
            flight.follow(number, 1);
        }
        Seat { board, flight, number, role, since: Tick::now(), outcome: Cell::new(Some(Outcome::Left)) }
    }

    #[cfg(test)]
    pub(super) fn flight(&self) -> &Rc<Flight> {
        &self.flight
    }

    pub fn number(&self) -> SeatNumber {
        SeatNumber(self.number)
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// The CLIENT span of what is shared, where it is traced (R13).
    pub fn exchange(&self) -> Option<Exchange> {
        self.flight.with_tally(Tally::exchange)
    }

    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// The request has gone to the app: it waits for no permit any more.
    pub fn is_dispatched(&self) -> bool {
        self.flight.is_dispatched()
    }

    /// What the flight comes to. May be dropped.
    pub fn poll_landing(&self, cx: &Context<'_>) -> Poll<Landing> {
        let landing = ready!(self.flight.poll_landing(self.number, cx));
        if self.role == Role::Follower {
            self.note_wait();
        }
        Poll::Ready(landing)
    }

    fn note_wait(&self) {
        let waited = Tick::now().since(self.since).as_millis() as u64;
        self.board.counters.coalesce.wait_ms.note(&WAIT_BOUNDS_MS, waited);
    }

    /// `n` of those behind it have waited too.
    pub fn twins_waited(&self, n: usize) {
        (0..n).for_each(|_| self.note_wait());
    }

    pub fn with_kept<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.flight.kept)
    }

    pub fn chunk(&self, number: u64) -> Option<Chunk> {
        self.flight.chunk(number)
    }

    pub fn end(&self) -> Option<End> {
        self.flight.end()
    }

    /// Ready when chunk `number`, or the end of the body, is there.
    pub fn poll_more(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        self.flight.poll_more(self.number, number, cx)
    }

    /// All before chunk `number` is sent.
    pub fn pass(&self, number: u64) {
        self.flight.pass(self.number, number);
    }

    /// Ready when this participant has kept others waiting for too long.
    pub fn poll_lagged(&self, cx: &Context<'_>) -> Poll<()> {
        self.flight.poll_lagged(self.number, cx)
    }

    /// The window is full, so nothing more is read before the slowest has passed something.
    pub fn is_window_full(&self) -> bool {
        self.flight.is_full()
    }

    /// So many requests that the same connection sends behind this one wait with it (R12b): together they take one place.
    pub fn twins_join(&self, n: usize) {
        self.flight.follow(self.number, n as i64);
    }

    /// The flight has not come to anything yet.
    pub fn is_aloft(&self) -> bool {
        self.flight.is_aloft()
    }

    /// `n` of them go their own way.
    pub fn twins_leave(&self, n: usize) {
        self.flight.follow(self.number, -(n as i64));
    }

    /// `n` of them are over.
    pub fn twins_end(&self, n: usize, outcome: Outcome) {
        self.twins_leave(n);
        self.board.counters.coalesce.count(Role::Follower, outcome, n as u64);
    }

    /// What this participant comes to; without a word, it is one whose client left. What it is counted as.
    pub fn set_outcome(&self, outcome: Outcome) -> Outcome {
        self.outcome.set(Some(outcome));
        self.counted(outcome)
    }

    fn counted(&self, outcome: Outcome) -> Outcome {
        if self.is_leader() { counted(&self.flight, outcome) } else { outcome }
    }

    /// Its request asks once more.
    pub fn asks_again(&self) {
        self.outcome.set(None);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flight.stand_up(self.number);
        let Some(outcome) = self.outcome.get() else { return };
        self.board.counters.coalesce.count(self.role, self.counted(outcome), 1);
    }
}
