//! What has happened to flights and participants, kept beside the room and compared with what it does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::app::Exchange;
use super::world::World;
use crate::coalesce::flight::Flight;
use crate::coalesce::tally::Tally;

/// Those that live, in order.
pub struct Records<T>(Rc<RefCell<Vec<Rc<T>>>>);

impl<T> Default for Records<T> {
    fn default() -> Self {
        Records(Rc::default())
    }
}

/// A record for as long as somebody holds this.
pub struct Living<T> {
    records: Rc<RefCell<Vec<Rc<T>>>>,
    record: Rc<T>,
}

impl<T> Records<T> {
    pub fn add(&self, record: T) -> Living<T> {
        let record = Rc::new(record);
        self.0.borrow_mut().push(record.clone());
        Living { records: self.0.clone(), record }
    }

    pub fn all(&self) -> Vec<Rc<T>> {
        self.0.borrow().clone()
    }
}

impl<T> std::ops::Deref for Living<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

impl<T> Drop for Living<T> {
    fn drop(&mut self) {
        self.records.borrow_mut().retain(|record| !Rc::ptr_eq(record, &self.record));
    }
}

/// What a flight came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its answer has come, for all or for its leader alone.
    Answered,
    Failed,
    /// Nobody was there, or its task died.
    Lost,
}

/// A flight that was opened: one upstream exchange for all requests of a class that came in time.
pub struct Opened {
    /// That led it.
    pub request: usize,
    pub class: usize,
    pub uri: &'static str,
    pub worker: usize,
    /// All that sit in the flight have this; the next flight may have it too.
    pub tally: Arc<Tally>,
    pub hash: u64,
    pub ending: Cell<Option<Ending>>,
    /// A newer one of its class was opened.
    pub is_superseded: Cell<bool>,
    pub is_full: Cell<bool>,
    /// When its request went to the app: milliseconds, event.
    pub dispatched: Cell<Option<(u64, u64)>>,
    pub attempts: Cell<u32>,
    /// The leader's task carries it, and could hand it over.
    pub flies_alone: Cell<bool>,
}

impl Opened {
    /// A request of the class that comes now, and knows of writes up to `barrier`, may join (R6, R7, R9).
    pub fn takes(&self, world: &World, barrier: u64) -> bool {
        let is_young = self.dispatched.get().is_none_or(|(at, event)| {
            u128::from(world.now() - at) < world.plan.rules.join_window.as_millis() && event > barrier
        });
        self.ending.get().is_none() && !self.is_superseded.get() && !self.is_full.get() && is_young
    }

    pub fn end(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
        }
        self.flies_alone.set(false);
    }
}

/// Ends a flight's record, whatever becomes of the task that has it.
pub struct Flying(pub Rc<Opened>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.end(Ending::Lost);
    }
}

impl std::ops::Deref for Flying {
    type Target = Rc<Opened>;

    fn deref(&self) -> &Rc<Opened> {
        &self.0
    }
}

/// A flight that a task of its own carries.
pub struct Carried {
    pub opened: Rc<Opened>,
    pub flight: Rc<Flight>,
    pub exchange: RefCell<Option<Rc<Exchange>>>,
    /// It reads no more before somebody has sent something.
    pub wants_room: Cell<bool>,
}

/// When a request asked, and what its client knew by then.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub request: usize,
    pub class: usize,
    pub at: u64,
    /// The last end of a write's epoch before.
    pub barrier: u64,
}

/// A request that waits for, or gets, an answer that is shared.
pub struct Participant {
    pub asked: Asked,
    pub worker: usize,
    pub is_leader: bool,
    flight: Rc<Flight>,
    /// It waits for what the flight comes to.
    pub waits: Cell<bool>,
    pub exchange: RefCell<Option<Rc<Exchange>>>,
    /// The first chunk that it has not taken, and the first that it has not sent.
    pub at: Cell<u64>,
    pub passed: Cell<u64>,
    /// It waits for the next chunk.
    pub starves: Cell<bool>,
    /// For which, and for how many milliseconds while the flight wanted room.
    pub starved: Cell<(u64, u64)>,
}

impl Participant {
    pub fn new(asked: Asked, worker: usize, flight: &Rc<Flight>, is_leader: bool) -> Participant {
        Participant {
            asked,
            worker,
            is_leader,
            flight: flight.clone(),
            waits: Cell::new(false),
            exchange: RefCell::default(),
            at: Cell::new(0),
            passed: Cell::new(0),
            starves: Cell::new(false),
            starved: Cell::default(),
        }
    }

    /// It sits in another worker's flight.
    pub fn is_remote(&self) -> bool {
        self.flight.line.borrow().is_some()
    }

    /// The flight that it sits in. `None`: another worker has been asked, and has not answered yet.
    pub fn opened(&self, world: &World) -> Option<Rc<Opened>> {
        let tally = self.flight.tally();
        let flights = world.flights.borrow();
        let mut newest_first = flights.iter().rev();
        let found = newest_first
            .find(|opened| Arc::ptr_eq(&opened.tally, &tally) && (opened.worker == self.worker) != self.is_remote());
        assert!(found.is_some() || self.is_remote(), "a flight of this worker that nobody has opened");
        found.cloned()
    }

    pub fn shares(&self, exchange: &Exchange) -> bool {
        self.exchange.borrow().as_ref().is_some_and(|of| of.number == exchange.number)
    }
}
