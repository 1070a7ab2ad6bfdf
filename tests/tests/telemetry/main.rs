//! What the proxy tells: spans, context, log and counters, as a real Collector received them, under both drivers.

mod backend;
mod coalesced;
mod collectors;
mod context;
mod scene;
mod spans;
