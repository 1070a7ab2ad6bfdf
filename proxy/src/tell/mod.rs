//! From stories to what people read: spans and log records of OpenTelemetry, lines of the access log.
//!
//! In: a [`Story`](crate::telemetry::Story), and how monotonic time stands to that of the world. Out: finished messages. Pure: no socket, no clock.
//! Names are those of OpenTelemetry's semantic conventions (HTTP, 1.44); ours begin with `slipstream.`.
//! Must not know: collectors, workers.

mod entry;
mod facts;
mod line;
mod redact;
mod spans;

pub(crate) use entry::of_entry;
pub(crate) use facts::Clock;
pub(crate) use line::{line, record};
pub(crate) use spans::{of_attempt, of_request};
