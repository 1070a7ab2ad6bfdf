//! What the counters of coalescing must say in the end: each request once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::world::World;
use crate::coalesce::{Outcome, Role};
use crate::telemetry::CoalesceCounters;

const OUTCOMES: usize = Outcome::LABELS.len();

/// Who a request was, as far as it knows itself: whether somebody joined makes a leader of one that is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Own,
    Follower,
}

/// By worker.
pub struct Ledger {
    counts: RefCell<Vec<[[u64; OUTCOMES]; 2]>>,
    /// Requests that would have joined. They are counted as what the flight came to, when it does.
    observers: RefCell<u64>,
}

impl Ledger {
    pub fn new(workers: usize) -> Ledger {
        Ledger { counts: RefCell::new(vec![[[0; OUTCOMES]; 2]; workers]), observers: RefCell::default() }
    }

    pub fn count(&self, worker: usize, who: Who, outcome: Outcome, requests: u64) {
        self.counts.borrow_mut()[worker][who as usize][as_told(who, outcome)] += requests;
    }

    pub fn observes(&self) {
        *self.observers.borrow_mut() += 1;
    }

    /// Compares with what the room has counted.
    pub fn check(&self, world: &World) {
        if *self.observers.borrow() > 0 {
            return self.check_observers(world);
        }
        for (worker, counters) in world.counters.iter().enumerate() {
            let counted = read(&counters.coalesce);
            let expected = self.counts.borrow()[worker];
            assert_eq!(counted, expected, "worker {worker} counted otherwise: [own, follower], {:?}", Outcome::LABELS);
        }
    }

    /// Where the policy observes, who leads and who would have followed is the room's to say.
    fn check_observers(&self, world: &World) {
        let counted: u64 = world.counters.iter().map(|counters| sum(&read(&counters.coalesce))).sum();
        let expected = self.counts.borrow().iter().map(sum).sum::<u64>() + *self.observers.borrow();
        assert_eq!(counted, expected, "requests counted");
    }
}

fn sum(counts: &[[u64; OUTCOMES]; 2]) -> u64 {
    counts.iter().flatten().sum()
}

/// A leader whose answer was shared may be counted as one that came after a full flight, or as one that only observes.
fn as_told(who: Who, outcome: Outcome) -> usize {
    match (who, outcome) {
        (Who::Own, Outcome::Full | Outcome::Observed) => Outcome::Shared as usize,
        _ => outcome as usize,
    }
}

fn read(counters: &CoalesceCounters) -> [[u64; OUTCOMES]; 2] {
    let mut counts = [[0; OUTCOMES]; 2];
    for (role, who) in [(Role::Leader, Who::Own), (Role::Alone, Who::Own), (Role::Follower, Who::Follower)] {
        for outcome in ALL {
            let told = as_told(who, outcome);
            counts[who as usize][told] += counters.requests[role as usize][outcome as usize].sum();
        }
    }
    counts
}

const ALL: [Outcome; OUTCOMES] = [
    Outcome::Shared,
    Outcome::Unshareable,
    Outcome::Vary,
    Outcome::Timeout,
    Outcome::Error,
    Outcome::Full,
    Outcome::Memory,
    Outcome::Pass,
    Outcome::Observed,
    Outcome::Left,
    Outcome::Lagged,
    Outcome::Aborted,
];

/// A request on its way to being counted, however its task ends.
pub struct Ticket {
    world: Rc<World>,
    worker: usize,
    who: Who,
    outcome: Cell<Option<Outcome>>,
}

impl Ticket {
    /// Without a word, it is one whose client left.
    pub fn new(world: &Rc<World>, worker: usize, who: Who) -> Ticket {
        Ticket { world: world.clone(), worker, who, outcome: Cell::new(Some(Outcome::Left)) }
    }

    pub fn set(&self, outcome: Outcome) {
        self.outcome.set(Some(outcome));
    }

    /// It asks once more, and is counted as what comes of that.
    pub fn asks_again(&self) {
        self.outcome.set(None);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.get() {
            self.world.ledger.count(self.worker, self.who, outcome, 1);
        }
    }
}
