//! The open flights of a worker by the hash of their key: one for each hash.
//!
//! Chains of flights in a fixed number of places: most chains are empty or one flight long, and nothing is allocated for one that comes and goes.

use std::array;
use std::cell::Cell;
use std::rc::Rc;

use super::flight::Flight;

/// A power of two. With 1,000 flights of a worker open a chain is one long; 8 KiB.
const PLACES: usize = 1024;

pub(super) struct Table {
    chains: Box<[Link; PLACES]>,
}

impl Default for Table {
    fn default() -> Table {
        Table { chains: Box::new(array::from_fn(|_| Link::default())) }
    }
}

impl Table {
    fn chain(&self, hash: u64) -> &Link {
        // The directory goes by other bits.
        &self.chains[(hash >> 32) as usize % PLACES]
    }

    pub fn find(&self, hash: u64) -> Option<Rc<Flight>> {
        self.chain(hash).find(hash)
    }

    /// There is none with its hash.
    pub fn insert(&self, flight: Rc<Flight>) {
        let chain = self.chain(flight.hash.get());
        flight.next.0.set(chain.0.take());
        chain.0.set(Some(flight));
    }

    /// Takes this flight out, if it is there.
    pub fn remove(&self, flight: &Rc<Flight>) {
        self.chain(flight.hash.get()).take_out(flight);
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.chains.iter().all(|chain| {
            let first = chain.0.take();
            let is_empty = first.is_none();
            chain.0.set(first);
            is_empty
        })
    }
}

/// To the first or the next flight of a chain.
#[derive(Default)]
pub(super) struct Link(Cell<Option<Rc<Flight>>>);

impl Link {
    fn find(&self, hash: u64) -> Option<Rc<Flight>> {
        let here = self.0.take()?;
        let found = if here.hash.get() == hash { Some(here.clone()) } else { here.next.find(hash) };
        self.0.set(Some(here));
        found
    }

    fn take_out(&self, flight: &Rc<Flight>) {
        match self.0.take() {
            None => {}
            Some(here) if Rc::ptr_eq(&here, flight) => self.0.set(here.next.0.take()),
            Some(here) => {
                here.next.take_out(flight);
                self.0.set(Some(here));
            }
        }
    }
}
