//! Slipstream's data plane. ARCHITECTURE.md walks one request through the rooms.

pub mod admin;
mod budget;
mod buf;
pub mod cli;
mod coalesce;
pub mod config;
pub mod control;
pub mod demo;
mod downstream;
pub mod drain;
pub mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod h1;
mod http;
mod io;
mod leave;
mod limits;
mod listen;
pub mod log;
pub mod otlp;
mod pieces;
mod pool;
mod reply;
pub mod report;
mod route;
mod serve;
mod start;
pub mod stop;
pub mod telemetry;
mod tell;
pub mod timeouts;
pub mod tls;
mod transport;
mod upstream;
mod worker;

pub use start::{Running, StartError, start};
