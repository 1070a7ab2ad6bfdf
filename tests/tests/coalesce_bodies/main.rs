//! Coalescing of identical GETs, seen from both sides of the proxy: bodies, what follows the head, workers, permits, pipelined twins, what is
//! told of it, the end of the proxy, and the table of acceptance (coalescing.md, R9 to R12b and R14 to R16).

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must panic, and the panic is its report")]

mod acceptance;
mod after_head;
mod bodies;
mod drain;
mod header;
mod metrics;
mod permits;
mod scene;
mod twins;
mod workers;
