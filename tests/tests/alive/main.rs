//! Alive and cheap: clients that leave, connections that rest.

mod leaves;
mod parked;

use slipstream_tests::{App, Certs, Client, Driver, Origin, Proxy, Running, Tls};

/// A proxy with a plain and a TLS listener in front of `origin`.
fn proxy(driver: Driver, origin: &impl Origin, certs: &Certs, policy: &str) -> Running {
    Proxy::in_front_of(origin).driver(driver).tls(certs.leaf(&["app.test"])).policy(policy).start()
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
}

impl Way {
    const BOTH: [Way; 2] = [Way::Plain, Way::Tls];

    fn client(self, proxy: &Running, certs: &Certs) -> Client {
        match self {
            Way::Plain => proxy.client(),
            Way::Tls => Client::tls(proxy.https(), &Tls::to("app.test", certs)),
        }
    }
}

/// An app that takes each request whole and never answers.
fn silent() -> App {
    App::scripted(|mut conn| {
        conn.request();
        conn.closed();
    })
}

/// Nothing of `proxy` is in use any more: no request, no connection to the app but idle ones, no client but `clients`.
fn nothing_is_left(proxy: &Running, clients: u64) {
    proxy.metrics_until("nothing is in use", |metrics| {
        let open = metrics.sum("slipstream_upstream_connections_open");
        metrics.sum("slipstream_requests_active") == 0
            && open == metrics.sum("slipstream_upstream_connections_idle")
            && metrics.sum("slipstream_downstream_connections_open") == clients
    });
}
