//! Telemetry: what happened, as numbers. In: increments by the worker that saw it. Out: sums, read by the control thread alone.
//!
//! Must not know: control flow. Nothing here returns a value that a request depends on.

mod counters;
mod record;
mod stall;

pub use counters::{CLOSED_BY_DRAIN, Counter, Gauge, WorkerCounters};
pub use record::Record;
pub use stall::Stall;
