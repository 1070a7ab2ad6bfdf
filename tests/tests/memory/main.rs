//! What the proxy may hold: it stays within its budget whatever clients do, says no in time, and gives back what it took.

#![allow(clippy::unwrap_used, reason = "a test that cannot read /proc must panic")]

mod budget;
mod cgroup;
mod idle;

use slipstream_tests::{Certs, Client, Metrics, NAME, Response, Running, Tls, Way, eventually};

const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;

/// Its kernel holds next to nothing that was not read.
fn slow_client(way: Way, proxy: &Running, certs: &Certs) -> Client {
    match way {
        Way::Plain => Client::with_receive_buffer(proxy.http(), 8 * KIB),
        Way::Tls => Client::tls_with_receive_buffer(proxy.https(), &Tls::to(NAME, certs), 8 * KIB),
    }
}

fn used(metrics: &Metrics) -> u64 {
    metrics.sum("slipstream_memory_used_bytes")
}

fn active(metrics: &Metrics) -> u64 {
    metrics.sum("slipstream_requests_active")
}

fn shed(metrics: &Metrics) -> u64 {
    metrics.sum_where("slipstream_shed_total", "reason=\"memory\"")
}

/// Says that there was no memory, and when to come again.
fn assert_shed(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.fields.all("retry-after"), ["1"]);
    let why = response.fields.all("proxy-status");
    assert!(why.len() == 1 && why[0].ends_with("error=connection_limit_reached; details=\"memory\""), "{why:?}");
}

/// Waits until nothing moves any more: so many looks in a row see the same.
fn until_still(proxy: &Running, moving: impl Fn(&Metrics) -> u64) -> Metrics {
    const LOOKS: u32 = 50;
    let (mut last, mut same) = (u64::MAX, 0);
    eventually("nothing moves any more", || {
        let metrics = proxy.metrics();
        let now = moving(&metrics);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same >= LOOKS).then_some(metrics)
    })
}

/// Byte `n` of a body is `n % 251`: whoever gets a wrong piece sees it.
fn body_of(bytes: usize) -> Vec<u8> {
    (0..251).cycle().take(bytes).collect()
}

fn assert_body(got: &[u8], from: usize) {
    let wrong = got.iter().zip(from..).position(|(&byte, at)| usize::from(byte) != at % 251);
    assert!(wrong.is_none(), "byte {wrong:?} of {} behind byte {from} is wrong", got.len());
}
