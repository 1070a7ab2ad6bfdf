//! The exposition as a scraper reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::admin::text;
use crate::limits::{Permits, Taken};
use crate::report::testing;

fn render(proxy: &Proxy) -> String {
    text::render(&families(proxy))
}

/// A reader of the text format that is as strict as a linter: HELP, then TYPE, then the series of that one metric.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut series, mut seen, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(matches!(kind, "counter" | "gauge" | "histogram") && help.ends_with('.'), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(["slipstream_", "process_", "http_"].iter().any(|ours| name.starts_with(ours)), "{name}");
            assert!(seen.insert(name.to_owned()), "{name} twice");
            current = name.to_owned();
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let parts = ["", "_bucket", "_sum", "_count"].map(|part| format!("{current}{part}"));
            assert!(parts.iter().any(|part| part == name), "{line}");
            assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "{key} twice");
        }
    }
    series
}

#[test]
fn exposition_is_well_formed_and_bounded() {
    // Of many workers not all are shown.
    for workers in [1, 16] {
        let series = read(&render(&testing::proxy(workers)));
        assert!(series.len() <= 150, "{} series when idle, with {workers} workers", series.len());
    }
}

#[test]
fn names_that_others_rely_on_are_there() {
    let series = read(&render(&testing::proxy(1)));
    for key in [
        "slipstream_io_driver{driver=\"epoll\",reason=\"asked \\\"for\\\"\"}",
        &format!("slipstream_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
        "slipstream_workers",
        "slipstream_requests_total",
        "slipstream_responses_total{class=\"2xx\"}",
        "slipstream_upstream_requests_total",
        "slipstream_upstream_replays_total",
        "slipstream_timeouts_total{timeout=\"requestHeaders\"}",
        "slipstream_timeouts_total{timeout=\"queue\"}",
        "slipstream_permits_in_use",
        "slipstream_permits_waiting",
        "slipstream_coalesce_requests_total{role=\"follower\",outcome=\"shared\"}",
        "slipstream_coalesce_flights",
        "slipstream_coalesce_followers",
        "slipstream_coalesce_retained_bytes",
        "slipstream_coalesce_pass_entries",
        "slipstream_coalesce_wait_seconds_bucket{le=\"+Inf\"}",
        "slipstream_coalesce_flight_followers_count",
        "slipstream_shed_total{reason=\"limit\"}",
        "slipstream_shed_total{reason=\"queue\"}",
        "slipstream_shed_total{reason=\"memory\"}",
        "slipstream_would_shed_total{reason=\"limit\"}",
        "slipstream_faults_total{kind=\"client_gone\"}",
        "slipstream_panics_total",
        "slipstream_tls_resumptions_total",
        "slipstream_tls_plain_connections_total",
        "slipstream_tls_reloads_total{result=\"ok\"}",
        "slipstream_tls_reloads_total{result=\"failed\"}",
        "slipstream_phase{phase=\"running\"}",
        "slipstream_connections_closed_by_drain_total{how=\"idle\"}",
        "slipstream_requests_broken_off_total",
        "slipstream_memory_limit_bytes",
        "slipstream_export_items_total{signal=\"traces\",outcome=\"sent\"}",
        "slipstream_export_items_total{signal=\"logs\",outcome=\"queue_full\"}",
        "slipstream_export_retries_total{signal=\"metrics\"}",
        "slipstream_access_log_lines_total{outcome=\"dropped\"}",
        "http_client_open_connections{http_connection_state=\"idle\",server_address=\"app.test\",server_port=\"3000\"}",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(series.contains_key(key), "{key} is missing");
    }
}

#[test]
fn numbers_are_summed_over_the_workers() {
    let proxy = testing::proxy(3);
    for (worker, n) in proxy.counters.iter().zip([1, 10, 100]) {
        worker.requests.add(n);
        worker.responses[1].add(n);
        worker.requests_active.rise();
        worker.faults[fault::Kind::ClientGone.index()].add(n);
        worker.timeouts[0].add(n);
    }
    proxy.counters[0].requests_active.fall();
    let series = read(&render(&proxy));
    assert_eq!(series["slipstream_workers"], 3.0);
    assert_eq!(series["slipstream_requests_total"], 111.0);
    assert_eq!(series["slipstream_responses_total{class=\"2xx\"}"], 111.0);
    assert_eq!(series["slipstream_responses_total{class=\"5xx\"}"], 0.0);
    assert_eq!(series["slipstream_requests_active"], 2.0);
    assert_eq!(series["slipstream_faults_total{kind=\"client_gone\"}"], 111.0);
    assert_eq!(series["slipstream_timeouts_total{timeout=\"connect\"}"], 111.0);
}

#[test]
fn permits_are_shown_as_they_are_now() {
    let mut proxy = testing::proxy(1);
    assert_eq!(read(&render(&proxy))["slipstream_permits_limit"], f64::INFINITY);
    proxy.permits = Permits::forever(Some(2));
    let permits = proxy.permits;
    let taken: Vec<Taken<'_>> = (0..3).map(|_| permits.take(1)).collect();
    proxy.counters[0].shed[Shed::Queue as usize].add(3);
    proxy.counters[0].would_shed[Shed::Limit as usize].add(4);
    proxy.counters[0].queue_wait_ms.add(1500);
    let series = read(&render(&proxy));
    assert_eq!(series["slipstream_permits_limit"], 2.0);
    assert_eq!(series["slipstream_permits_in_use"], 2.0);
    assert_eq!(series["slipstream_permits_waiting"], 1.0);
    assert_eq!(series["slipstream_shed_total{reason=\"queue\"}"], 3.0);
    assert_eq!(series["slipstream_would_shed_total{reason=\"limit\"}"], 4.0);
    assert_eq!(series["slipstream_queue_wait_seconds_total"], 1.5);
    drop(taken);
}

#[test]
fn one_phase_is_marked() {
    let proxy = testing::proxy(1);
    for phase in Phase::ALL {
        proxy.stop.advance(phase);
        let series = read(&render(&proxy));
        for other in Phase::ALL {
            let marked = series[&format!("slipstream_phase{{phase=\"{}\"}}", other.name())];
            assert_eq!(marked, f64::from(u8::from(other == phase)), "{} in {}", other.name(), phase.name());
        }
    }
}

#[test]
fn certificate_of_two_listeners_is_one_series() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("a \"b\".crt"), dir.path().join("key"));
    let made = rcgen::generate_simple_self_signed(["one.test".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = crate::config::TlsSettings::showing(vec![(cert, key)]);
    let load = || crate::tls::Certificates::load(&settings).unwrap();

    let mut proxy = testing::proxy(1);
    proxy.certificates = vec![load(), load()];
    let series = read(&render(&proxy));
    let mut expiries =
        series.iter().filter(|(key, _)| key.starts_with("slipstream_tls_certificate_expiry_timestamp_seconds"));
    let (key, value) = expiries.next().unwrap();
    assert!(key.ends_with("a \\\"b\\\".crt\"}"), "{key}");
    assert!(*value > 1.8e9, "{value}");
    assert!(expiries.next().is_none());
}

#[test]
fn exports_are_shown_by_signal_and_outcome() {
    use crate::telemetry::exports::{Line, Outcome, Signal};
    let proxy = testing::proxy(1);
    proxy.exports.add_items(Signal::Traces, Outcome::QueueFull, 5);
    proxy.exports.add_items(Signal::Logs, Outcome::Rejected, 2);
    proxy.exports.add_retry(Signal::Metrics);
    proxy.exports.add_lines(Line::Dropped, 7);
    proxy.counters[0].spans_dropped.add(2);
    proxy.counters[0].lines_dropped.add(1);
    let series = read(&render(&proxy));
    assert_eq!(series["slipstream_export_items_total{signal=\"traces\",outcome=\"queue_full\"}"], 7.0);
    assert_eq!(series["slipstream_export_items_total{signal=\"logs\",outcome=\"rejected\"}"], 2.0);
    assert_eq!(series["slipstream_export_retries_total{signal=\"metrics\"}"], 1.0);
    assert_eq!(series["slipstream_access_log_lines_total{outcome=\"dropped\"}"], 8.0);
}

#[test]
fn of_many_workers_those_that_stalled_longest_are_shown() {
    let proxy = testing::proxy(12);
    proxy.counters[11].stall.note(Tick::now().0, std::time::Duration::from_millis(30));
    let series = read(&render(&proxy));
    let stalls: Vec<_> = series.iter().filter(|(key, _)| key.starts_with("slipstream_worker_stall_seconds")).collect();
    assert_eq!(stalls.len(), WORKERS_SHOWN_MAX);
    assert_eq!(series["slipstream_worker_stall_seconds{worker=\"11\"}"], 0.03);
}

#[test]
fn limit_of_memory_is_shown_where_there_is_one() {
    let mut proxy = testing::proxy(1);
    assert_eq!(read(&render(&proxy))["slipstream_memory_limit_bytes"], f64::INFINITY);
    proxy.memory_limit_bytes = Some(64 << 20);
    assert_eq!(read(&render(&proxy))["slipstream_memory_limit_bytes"], 67_108_864.0);
}
