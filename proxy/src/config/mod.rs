//! Configuration: what a process is started with, and what a request is judged by.
//!
//! In: [`Flags`], a YAML file (`slipstream_schema`), the [`Environment`]. Out: [`Settings`], fixed while the process runs, and an
//! `Arc<Snapshot>`, immutable and swapped as a whole. Must not know: workers. Everything here is parsed and checked once, at the edge;
//! nothing behind it can be wrong. The way: `flags`, `read` (a file's text) > `load` (what holds, and who said it) > `resolve` (names to
//! addresses, `auto` to a number of workers, policy to `snapshot`).

mod cpus;
mod drain;
mod error;
mod flags;
mod listeners;
mod load;
mod memory;
mod pattern;
mod policy;
mod read;
mod resolve;
mod settings;
mod snapshot;

pub use error::Error;
pub use flags::Flags;
pub use load::{Loaded, load};
pub use memory::{Memory, kernel_bytes};
pub use pattern::Pattern;
pub use resolve::{Environment, built_in_snapshot};
pub use settings::{
    ClientAuth, DrainSettings, IoDriver, ListenerSettings, Settings, TelemetrySettings, TlsMode, TlsSettings,
    UpstreamSettings,
};
pub use snapshot::{
    Coalescing, CoalescingMode, Concurrency, ConcurrencyMode, Credentials, Forwarded, HalfClose, Limits, LongLived,
    Match, OnError, ReadAfterWrite, Route, RoutePolicy, Snapshot, StatusHeader, Telemetry, Timeouts,
};
