//! Configuration: what a process is started with, and what a request is judged by.
//!
//! In: flags, a YAML file (`slipstream_schema`). Out: [`Settings`], fixed while the process runs, and an `Arc<Snapshot>`, immutable and
//! swapped as a whole. Must not know: workers. Everything here is parsed and checked once, at the edge; nothing behind it can be wrong.

mod settings;
mod snapshot;

pub use settings::{IoDriver, ListenerSettings, Settings, TlsSettings, UpstreamSettings};
pub use snapshot::{Forwarded, Limits, Match, Route, RoutePolicy, Snapshot, Timeouts};
