//! How much at a time, over all workers.
//!
//! In: a wish for a permit. Out: a [`Permit`], a place in the line, or word that the line is full. Must not know: HTTP, time, workers.

mod permits;

pub use permits::{Permit, Permits, Taken, Waiting};

#[cfg(test)]
mod tests;
