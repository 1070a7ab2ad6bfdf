//! Metrics by OTLP are those of the page for Prometheus: the same families, the same numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use slipstream_tests::otel::{Measured, Metric, MetricKind, Temporality};
use slipstream_tests::{Client, DEADLINE, Running, on_both_drivers};

use crate::scene::{Door, Scene, get, text};

/// Families that have their name from conventions: by OTLP, and on the page.
const CONVENTIONS: [(&str, &str); 4] = [
    ("http.server.request.duration", "http_server_request_duration_seconds"),
    ("http.server.active_requests", "http_server_active_requests"),
    ("http.client.request.duration", "http_client_request_duration_seconds"),
    ("http.client.open_connections", "http_client_open_connections"),
];

/// What an export, a look at the page or time itself changes.
const MOVE: [&str; 4] = ["slipstream_export_", "slipstream_worker_stall", "slipstream_memory_used", "process_"];

on_both_drivers! { needs "tests/otel/build";
    fn numbers_by_otlp_are_those_of_the_page(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| {
            proxy.env("OTEL_METRIC_EXPORT_INTERVAL", "100").policy("telemetry: {accessLog: on}")
        });
        let mut client = scene.client();
        for target in ["/", "/status/404", "/status/500", "/"] {
            client.send(get(target, ""));
            client.response();
        }
        drop(client);
        let until = Instant::now() + DEADLINE;
        loop {
            let (exported, page) = (scene.collector.metrics(), page(&scene.proxy));
            let (exported, asked) = (last(&exported), page.get("http_server_request_duration_seconds"));
            let differing = differing(&exported, &page);
            if differing.is_empty() && asked == Some(&4.0) {
                break;
            }
            assert!(Instant::now() < until, "after {asked:?} requests: {differing:#?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn histograms_and_counters_are_of_the_kinds_that_conventions_ask_for(driver: Driver) {
        let scene = Scene::set(driver, Door::Grpc, |proxy| proxy.env("OTEL_METRIC_EXPORT_INTERVAL", "100"));
        let mut client = scene.client();
        client.send(get("/", ""));
        client.response();
        let wanted = [
            ("http.server.request.duration", "s", MetricKind::Histogram(Temporality::Cumulative)),
            ("http.client.request.duration", "s", MetricKind::Histogram(Temporality::Cumulative)),
            ("http.server.active_requests", "{request}", sum(false)),
            ("http.client.open_connections", "{connection}", sum(false)),
            ("slipstream_requests", "{request}", sum(true)),
            ("slipstream_memory_budget_bytes", "By", MetricKind::Gauge),
        ];
        let metrics = scene.collector.metrics_until("one request", |metrics| {
            last(metrics).get("http.server.request.duration").is_some_and(|metric| count(metric) == 1.0)
        });
        let metrics = last(&metrics);
        for (name, unit, kind) in wanted {
            let metric = metrics[name];
            assert_eq!((metric.unit.as_str(), metric.kind), (unit, kind), "{name}");
        }
        let point = &metrics["http.server.request.duration"].points[0];
        let Measured::Histogram { bounds, .. } = &point.measured else { panic!("a histogram: {point:?}") };
        assert_eq!(bounds[..], [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(text(&point.attributes, "http.request.method"), "GET");
        assert_eq!(text(&point.attributes, "url.scheme"), "http");
        assert_eq!(point.attributes["http.response.status_code"], 200);
    }
}

/// Families that only one of them has, and numbers that differ.
fn differing(exported: &BTreeMap<&str, &Metric>, page: &BTreeMap<String, f64>) -> Vec<String> {
    let by_otlp: BTreeMap<String, f64> =
        exported.iter().map(|(name, metric)| (on_page(name, page), count(metric))).collect();
    let names: BTreeSet<&String> = by_otlp.keys().chain(page.keys()).collect();
    let moves = |name: &str| MOVE.iter().any(|begin| name.starts_with(begin));
    let differs = |name: &&String| match (by_otlp.get(*name), page.get(*name)) {
        (Some(exported), Some(shown)) => exported != shown && !moves(name),
        _ => true,
    };
    let told = |name: &String| format!("{name}: {:?} by OTLP, {:?} on the page", by_otlp.get(name), page.get(name));
    names.into_iter().filter(differs).map(told).collect()
}

fn sum(monotonic: bool) -> MetricKind {
    MetricKind::Sum { monotonic, temporality: Temporality::Cumulative }
}

/// Of each metric what was exported last.
fn last(metrics: &[Metric]) -> BTreeMap<&str, &Metric> {
    metrics.iter().map(|metric| (metric.name.as_str(), metric)).collect()
}

/// Over all points; of a histogram how many values it has.
fn count(metric: &Metric) -> f64 {
    let of = |measured: &Measured| match measured {
        Measured::Integer(value) => *value as f64,
        Measured::Double(value) => *value,
        Measured::Histogram { count, .. } => *count as f64,
        Measured::Other(other) => panic!("{}: {other}", metric.name),
    };
    metric.points.iter().map(|point| of(&point.measured)).sum()
}

/// The name that a metric by OTLP has on the page.
fn on_page(name: &str, page: &BTreeMap<String, f64>) -> String {
    let by_conventions = CONVENTIONS.iter().find(|(otlp, _)| *otlp == name).map(|(_, page)| (*page).to_owned());
    by_conventions.unwrap_or_else(|| {
        let counter = format!("{name}_total");
        if page.contains_key(&counter) { counter } else { name.to_owned() }
    })
}

/// Each family and the sum of its series; of a histogram how many values it has.
fn page(proxy: &Running) -> BTreeMap<String, f64> {
    let text = Client::plain(proxy.admin()).get("/metrics").text();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let sum = |series: &str| -> f64 {
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let of_family = lines.filter(|(begin, _)| begin.split('{').next() == Some(series));
        of_family.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    };
    families
        .map(|(name, kind)| {
            (name.to_owned(), sum(&if kind == "histogram" { format!("{name}_count") } else { name.into() }))
        })
        .collect()
}
