//! Slipstream's data plane. ARCHITECTURE.md walks one request through the rooms.

pub mod buf;
pub mod config;
pub mod fault;
mod h1;
mod http;
mod io;
pub mod telemetry;
pub mod timeouts;

use std::net::SocketAddr;
use std::sync::Arc;

/// A proxy that runs: its workers, its control thread, the addresses it bound.
#[derive(Debug)]
pub struct Running {
    /// In the order of `Settings::listeners`, with the ports that the kernel gave.
    pub listeners: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    /// One for each worker.
    pub counters: Vec<Arc<telemetry::WorkerCounters>>,
}
