//! What the proxy tells: spans, context, log and counters, as a real Collector received them, under both drivers.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must panic, and the panic is its report")]

mod backend;
mod coalesced;
mod collectors;
mod context;
mod doors;
mod numbers;
mod scene;
mod spans;
