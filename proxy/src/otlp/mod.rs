//! Gets finished OTLP messages to a collector.
//!
//! In: the environment; encoded `Export...ServiceRequest`s with the number of items in each. Out: what became of every item, in
//! [`ExportCounters`](crate::telemetry::exports::ExportCounters), and a log line at most once a minute for each kind of trouble.
//! Must not know: requests, workers, what a span or a metric means. It runs on the control thread: no request waits for it.
//!
//! It is a sender of our own and not `opentelemetry-otlp`, for three reasons. Metrics are sums that workers hold, and the SDK takes no finished
//! histogram. What is dropped has to be counted to the item, what the collector refuses of an accepted batch (partial success) included. And
//! there is one rule of when to try again, the same for both protocols and all signals. The messages are those of `opentelemetry-proto`, HTTP is hyper's.

mod connect;
mod env;
mod messages;
pub mod metrics;
mod percent;
mod random;
mod reply;
mod resource;
mod send;
mod settings;
mod signal;
mod value;

pub use env::read;
pub use messages::{records_request, spans_request};
pub use opentelemetry_proto::tonic::logs::v1::LogRecord;
pub use opentelemetry_proto::tonic::resource::v1::Resource;
pub use opentelemetry_proto::tonic::trace::v1::Span;
pub use resource::resource;
pub use send::Exporter;
pub use settings::{Batch, Batches, Protocol, Settings, Target, TlsFiles, Url};
pub use value::{Value, attribute};
