//! The admin server: probes, `/metrics`, `/config` and `/drain`, for kubelets, scrapers and people.
//!
//! In: a listener and a [`Proxy`](crate::report::Proxy) to look at, or to drain. Out: answers. Runs on the control thread; it reads what the workers write and they never
//! wait for it. Must not know: how a request is served. Limits: `server::CONNECTIONS_MAX`, [`Waits`].

mod routes;
mod server;
pub(crate) mod text;

pub use server::{Waits, serve};
