//! The policy vocabulary of Slipstream, written once: the CRD's spec, the stream's payload, the YAML file and the admin dump.
//!
//! In: text (YAML, JSON, one annotation's value). Out: types that cannot be wrong: every number, duration, size and name is checked against
//! its range while it is read, so that an error knows its line. Must not know: files, sockets, the environment; this crate does no I/O.
//! Limits: [`StaticFile::BYTES_MAX`], the ranges in the field types, the lengths in [`List`].
//!
//! Every field is optional, for layers merge field by field ([`Level`]); the defaults are the lowest layer, [`Policy::built_in`] and
//! [`StaticFile::built_in`], and each field's doc says default, range and unit.

mod address;
mod error;
mod fields;
mod file;
mod gaps;
mod level;
mod list;
mod locate;
mod name;
mod parse;
mod policy;
mod quantity;
mod ratio;
mod route;
mod section;
mod text;
mod units;
mod words;

pub use address::{AdminAddress, Host, ListenAddress, Scheme, UpstreamUrl};
pub use error::{ConfigError, Invalid, Misfit};
pub use file::{Certificate, Drain, Listener, ListenerTls, StaticFile, Telemetry, WorkerCount, Workers};
pub use gaps::{is_without_effect, not_yet_in_force};
pub use level::{Effective, Field, Level};
pub use list::List;
pub use name::{FieldName, FilePath, HeaderValue, HostName, IgnoredField, Method, Path, ServiceName};
pub use policy::{Coalescing, Concurrency, Limits, Policy, Queue, RequestTelemetry, Timeouts, Upstream};
pub use quantity::{Bounded, OrNone, Quantity};
pub use ratio::Ratio;
pub use route::{HeaderMatch, Match, Route, RouteLimits, RouteTimeouts};
pub use units::{ByteSize, Bytes, Count, Duration, Milliseconds, Whole};
pub use words::{
    AccessLog, ClientCertificates, CoalescingMode, ConcurrencyMode, Credentials, Forwarded, HalfClose, IoDriver,
    LongLived, OnError, ReadAfterWrite, StatusHeader, TlsMode, UpstreamProtocol, UpstreamTls,
};
