//! The way to a Collector that is guarded: TLS with certificates of both sides, a token, compression; and one that is not to be trusted.

use slipstream_tests::otel::Collector;
use slipstream_tests::{App, Certs, Driver, Proxy, on_both_drivers};

use crate::scene::{Door, soon};

on_both_drivers! { needs "tests/otel/build";
    fn guarded_collector_takes_compressed_spans_by_http(driver: Driver) {
        guarded(driver, Door::Http);
    }

    fn guarded_collector_takes_compressed_spans_by_grpc(driver: Driver) {
        guarded(driver, Door::Grpc);
    }

    fn collector_of_another_authority_gets_nothing_and_the_log_says_why(driver: Driver) {
        let (certs, other, app) = (Certs::new(), Certs::new(), App::ok());
        let collector = Collector::set_up().tls(certs.leaf(&["localhost"])).start();
        let proxy = exporting(Proxy::in_front_of(&app).driver(driver), &collector, Door::Http, &other).start();
        assert_eq!(proxy.client().get("/").status, 200);
        proxy.metrics_until("both spans are given up", |metrics| {
            metrics.sum_where("slipstream_export_items_total", "signal=\"traces\",outcome=\"failed\"") == 2
        });
        assert!(proxy.stderr().contains("invalid peer certificate"), "{}", proxy.stderr());
        assert!(!proxy.stderr().contains("secret"), "{}", proxy.stderr());
        assert!(collector.spans().is_empty());
    }
}

fn guarded(driver: Driver, door: Door) {
    let (certs, app) = (Certs::new(), App::ok());
    let collector = Collector::set_up().tls(certs.leaf(&["localhost"])).client_authority(certs.authority_file());
    let collector = collector.bearer("secret+/=").start();
    let (chain, key) = certs.leaf(&["proxy.test"]);
    let proxy = exporting(Proxy::in_front_of(&app).driver(driver), &collector, door, &certs)
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &chain.display().to_string())
        .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key.display().to_string())
        .start();
    for _ in 0..3 {
        assert_eq!(proxy.client().get("/").status, 200);
    }
    collector.spans_until("two for each request", |spans| spans.len() == 6);
}

/// `proxy`, exporting traces over TLS with the Collector's token, trusting `authority`.
fn exporting(proxy: Proxy, collector: &Collector, door: Door, authority: &Certs) -> Proxy {
    let (address, protocol) = match door {
        Door::Http => (collector.http(), "http/protobuf"),
        Door::Grpc => (collector.grpc(), "grpc"),
    };
    soon(proxy)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://localhost:{}", address.port()))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret%2B/%3D")
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.authority_file().display().to_string())
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
}
