//! The report: everything that is counted, with what is known of the process, as metric families.
//!
//! In: a [`Proxy`] to look at. Out: [`Families`](crate::telemetry::families::Families), summed over the workers, for whoever shows or sends
//! them. Runs on the control thread; it reads what the workers write and they never wait for it. Must not know: who reads it, how a request is
//! served.

mod metrics;
mod process;
mod proxy;
#[cfg(test)]
pub(crate) mod testing;

pub use metrics::families;
pub use proxy::{Proxy, Upstream};
