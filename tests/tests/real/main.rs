//! Real neighbours on both sides: nginx, Node's http and Go's net/http as apps; curl, ab and Node's agent as clients.

mod apps;
mod clients;

use slipstream_tests::real::Peer;
use slipstream_tests::{Driver, Proxy, Running};

fn proxy(driver: Driver, app: &Peer) -> Running {
    Proxy::in_front_of(app).driver(driver).start()
}

/// Lower-case hex of SHA-256, as the apps' `/digest` says it. By coreutils: no crate for one line.
fn sha256(file: &std::path::Path) -> String {
    let said = slipstream_tests::real::run("sha256sum", &[&file.display().to_string()]);
    String::from_utf8_lossy(&said[..64]).into_owned()
}

fn assert_no_failure(proxy: &Running) {
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"5xx\""), 0, "{}", proxy.stderr());
}
