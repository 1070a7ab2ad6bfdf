//! Telemetry: what happened, as numbers and as stories. In: what the worker saw that it happened to. Out: sums, and a [`Story`] for each span and
//! each line, read by the control thread alone.
//!
//! Must not know: control flow. Nothing here returns a value that a request depends on.

mod active;
mod asked;
mod attempt;
mod coalesce;
mod counters;
pub mod durations;
pub mod exports;
pub mod families;
mod histogram;
mod record;
mod stall;
mod story;
mod telling;
mod trace;

pub use active::{ActiveRequests, SCHEMES};
pub use asked::{Asked, Place, VALUE_BYTES_MAX};
pub(crate) use attempt::{Attempt, Origin, UpstreamName};
pub use coalesce::{CoalesceCounters, FOLLOWERS_BOUNDS, Outcome, Role, WAIT_BOUNDS_MS};
pub use counters::{CLOSED_BY_DRAIN, Counter, Gauge, WorkerCounters};
pub use histogram::Histogram;
pub use record::{Arrival, Onward, Record};
pub use stall::Stall;
pub use story::{AttemptStory, RequestStory, Story, UpstreamTimes, Wait};
pub use telling::{Listening, RING_STORIES, Telling, Tracing, rings};
pub use trace::{Came, Context, Ids, Lines, Propagators, Ratio, Root, Sampler, SpanId, TraceId};
