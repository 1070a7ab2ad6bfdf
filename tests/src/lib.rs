//! The test harness: the proxy as a process, and both of its neighbours as scripts.
//!
//! A case starts a [`Proxy`] in front of an [`App`] (a script on a raw socket) or of a real server ([`real`]), talks to it through a raw
//! [`Client`], and asserts what each side saw, byte for byte. Nothing here shares code with the proxy: the parsers of [`message`] are
//! a second opinion, and strict.
//!
//! Rules: ports come from the kernel; every wait ends by an event or by [`DEADLINE`], never by a sleep; a harness that cannot do
//! its work panics, so a case never passes because its peer was missing.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must panic, and the panic is its report")]

mod absent;
mod app;
mod binary;
mod certs;
mod cgroup;
mod client;
mod driver;
mod event;
mod inlet;
mod inside;
pub mod message;
mod metrics;
mod nursery;
pub mod otel;
mod proxy;
pub mod real;
mod rest;
mod rng;
mod shared;
mod way;

use std::net::SocketAddr;
use std::time::Duration;

pub use absent::{Refusing, Unanswering};
pub use app::{App, Conn};
pub use binary::proxy_binary;
pub use certs::Certs;
pub use cgroup::Cgroup;
pub use client::{Client, Tls, TlsVersion};
pub use driver::Driver;
pub use event::{Event, eventually};
pub use inlet::{End, Inlet};
pub use inside::{Inside, Stay};
pub use message::{Broken, Fields, Framing, Head, Request, Response};
pub use metrics::Metrics;
pub use nursery::spawn;
pub use proxy::{Exit, Proxy, Running};
pub use rest::nothing_is_left;
pub use rng::{Rng, asked};
pub use shared::{Case, Shared, refused, refused_in_body, refused_in_body_late};
pub use way::{NAME, Way};

/// How long any single wait may take. Far above what a loaded machine needs, far below a CI job's limit.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What a proxy can be put in front of: anything with an address.
pub trait Origin {
    fn address(&self) -> SocketAddr;
}

impl Origin for SocketAddr {
    fn address(&self) -> SocketAddr {
        *self
    }
}

/// Whether `needle` occurs in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && hay.windows(needle.len()).any(|window| window == needle)
}

/// `bytes` for a person: printable ASCII as it is, the rest escaped, long input cut.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 600;
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let more = if cut.len() < bytes.len() { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", cut.escape_ascii())
}
