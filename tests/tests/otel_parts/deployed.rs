//! The configuration of the Collector that users are given, deploy/observability: the Collector accepts it, and it does what it says.

use std::path::{Path, PathBuf};

use slipstream_tests::Client;
use slipstream_tests::otel::{Collector, Jaeger, Prometheus};

use crate::{TRACE, give, one_metric, one_span};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability").join(name)
}

#[test]
#[ignore = "needs tests/otel/build"]
fn collector_accepts_the_configuration() {
    let (whole, remote_write) = (file("collector.yaml"), file("remote-write.yaml"));
    let traces = ("TRACES_ENDPOINT", "jaeger:4317");
    let metrics = ("METRICS_ENDPOINT", "https://mimir/api/v1/push");
    assert_eq!(Collector::validate(&[&whole], &[traces]).as_deref(), Ok(""));
    assert_eq!(Collector::validate(&[&whole, &remote_write], &[traces, metrics]).as_deref(), Ok(""));
    let insecure = Collector::validate(&[&whole], &[traces, ("TRACES_INSECURE", "maybe")]);
    assert!(insecure.as_ref().is_err_and(|said| said.contains("insecure")), "{insecure:?}");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn configuration_without_a_backend_is_refused() {
    let (whole, remote_write) = (file("collector.yaml"), file("remote-write.yaml"));
    let said = Collector::validate(&[&whole], &[]);
    assert!(said.as_ref().is_err_and(|said| said.contains("endpoint")), "{said:?}");
    let said = Collector::validate(&[&whole, &remote_write], &[("TRACES_ENDPOINT", "jaeger:4317")]);
    assert!(said.as_ref().is_err_and(|said| said.contains("endpoint")), "{said:?}");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn spans_reach_the_backend_and_metrics_the_page() {
    let jaeger = Jaeger::start();
    let collector = Collector::set_up().deployed(&file("collector.yaml"));
    let collector = collector.env("TRACES_ENDPOINT", &jaeger.grpc().to_string()).env("TRACES_INSECURE", "true").start();
    let prometheus = Prometheus::start(collector.metrics_page());
    let mut client = Client::plain(collector.http());
    give(&mut client, "traces", &one_span());
    give(&mut client, "metrics", &one_metric());
    jaeger.trace_until(TRACE, "the span is stored", |spans| spans.len() == 1);
    // Without `honor_labels` the job of the page is kept beside the scraper's.
    let wanted = "test_requests_total{exported_job=\"orders\", route=\"/orders\"}";
    let samples = prometheus.query_until(wanted, "the metric is scraped", |samples| samples.len() == 1);
    assert_eq!(samples[0].value, 42.0);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn metrics_are_written_to_a_store() {
    let prometheus = Prometheus::store();
    let collector = Collector::set_up().deployed(&file("collector.yaml")).deployed(&file("remote-write.yaml"));
    let collector = collector.env("TRACES_ENDPOINT", "127.0.0.1:9").env("METRICS_INSECURE", "true");
    let collector = collector.env("METRICS_ENDPOINT", &prometheus.remote_write_url()).start();
    give(&mut Client::plain(collector.http()), "metrics", &one_metric());
    let wanted = "test_requests_total{job=\"orders\"}";
    let samples = prometheus.query_until(wanted, "the metric is written", |samples| samples.len() == 1);
    assert_eq!(samples[0].value, 42.0);
}
