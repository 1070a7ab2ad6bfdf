//! `slipstream-proxy demo`: a small app, the proxy in front of it, a little traffic, and what happens, live.
//!
//! With `--herd` instead: a thousand identical GETs at once, straight to the app and through the proxy, and what the app saw of them.
//!
//! In: [`Options`]. Out: pages and numbers for a person who has a minute. It uses the proxy through the same door as `run` and the same
//! sockets as anyone; what it shows are the proxy's own counters. Must not know: how a request is served.

mod app;
mod board;
mod certificate;
mod client;
mod crowd;
mod herd;
mod ports;
mod sample;
mod scene;
mod telemetry;
mod traffic;
mod welcome;

pub use scene::{Options, run};
pub use telemetry::telemetry;
