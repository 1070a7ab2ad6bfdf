//! Bad neighbours: clients that leave, drip or grab all they can, apps that hang or break off. Each costs what it was given, nobody else pays,
//! and nothing of it stays.

mod apps;
mod clients;
mod clock;
mod descriptors;
mod drips;
mod fairness;

use slipstream_tests::{Certs, Driver, NAME, Origin, Proxy, Running, eventually};

/// A proxy with a plain and a TLS listener, one worker and `policy` in front of `origin`.
fn proxy(driver: Driver, origin: &impl Origin, certs: &Certs, policy: &str) -> Running {
    Proxy::in_front_of(origin).driver(driver).tls(certs.leaf(&[NAME])).policy(policy).start()
}

/// Waits until `proxy` has no more than `before` descriptors open. Those of a scrape may be closed a moment after it.
fn descriptors_are_back(proxy: &Running, before: usize) {
    eventually(&format!("no more than {before} descriptors are open"), || {
        (proxy.descriptors() <= before).then_some(())
    });
}
