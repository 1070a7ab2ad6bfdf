//! Alive and cheap: clients that leave, connections that rest.

mod leaves;
mod parked;

use slipstream_tests::{App, Certs, Driver, NAME, Origin, Proxy, Running, Way, nothing_is_left};

/// A proxy with a plain and a TLS listener in front of `origin`.
fn proxy(driver: Driver, origin: &impl Origin, certs: &Certs, policy: &str) -> Running {
    Proxy::in_front_of(origin).driver(driver).tls(certs.leaf(&[NAME])).policy(policy).start()
}

/// An app that takes each request whole and never answers.
fn silent() -> App {
    App::scripted(|mut conn| {
        conn.request();
        conn.closed();
    })
}
