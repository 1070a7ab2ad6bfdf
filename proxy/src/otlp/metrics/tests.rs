//! Families as a collector gets them.

use std::collections::BTreeMap;

use super::*;
use crate::report;
use crate::report::testing;

const PERIOD: Period = Period { start_ns: 1_000, now_ns: 5_000 };

/// Metrics by name.
fn sent(families: &Families) -> BTreeMap<String, Metric> {
    let request = request(families, PERIOD, Resource::default());
    let [of_resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    assert!(of_resource.resource.is_some());
    let [of_scope] = &of_resource.scope_metrics[..] else { panic!("{request:?}") };
    assert_eq!(of_scope.scope.as_ref().map(|scope| scope.name.as_str()), Some("slipstream"));
    let count = of_scope.metrics.len();
    let named: BTreeMap<_, _> = of_scope.metrics.iter().map(|metric| (metric.name.clone(), metric.clone())).collect();
    assert_eq!(named.len(), count, "a name is there twice");
    named
}

fn text(key: &str, value: &str) -> KeyValue {
    keyed(key, any_value::Value::StringValue(value.to_owned()))
}

fn keyed(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn sum(metric: &Metric) -> &Sum {
    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    sum
}

#[test]
fn counters_are_cumulative_sums_since_the_start() {
    let mut families = Families::default();
    families.counter("slipstream_a_total", "{a}", "A's.", 3_u64);
    families.convention(("b.c", "b_c"), Kind::UpDown, "{b}", "B's.").series([("d.e", "f")], 1.5);
    let sent = sent(&families);
    let a = &sent["slipstream_a"];
    assert_eq!((a.unit.as_str(), a.description.as_str()), ("{a}", "A's."));
    assert!(sum(a).is_monotonic && !sum(&sent["b.c"]).is_monotonic);
    for (metric, attributes, value) in [
        (a, vec![], number_data_point::Value::AsInt(3)),
        (&sent["b.c"], vec![text("d.e", "f")], number_data_point::Value::AsDouble(1.5)),
    ] {
        assert_eq!(sum(metric).aggregation_temporality, CUMULATIVE);
        let point = NumberDataPoint {
            attributes,
            start_time_unix_nano: 1_000,
            time_unix_nano: 5_000,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        assert_eq!(sum(metric).data_points, [point]);
    }
}

#[test]
fn gauges_have_no_start() {
    let mut families = Families::default();
    families.gauge("slipstream_b_bytes", "By", "B's.", 7_u64);
    let sent = sent(&families);
    let Some(metric::Data::Gauge(gauge)) = &sent["slipstream_b_bytes"].data else { panic!("{sent:?}") };
    let [point] = &gauge.data_points[..] else { panic!("{gauge:?}") };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, 5_000));
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(7)));
}

#[test]
fn histograms_keep_their_bounds_and_count_each_value_once() {
    let mut families = Families::default();
    let family = families.convention(("c.d", "c_d_seconds"), Kind::Histogram, "s", "C's.");
    let buckets = Buckets { bounds: vec![0.5, 1.0], counts: vec![1, 0, 2], sum: 7.5 };
    let labels = [("e", Label::Number(200)), ("f", Label::Flag(true))];
    family.series(labels, buckets);
    let sent = sent(&families);
    let Some(metric::Data::Histogram(histogram)) = &sent["c.d"].data else { panic!("{sent:?}") };
    let point = HistogramDataPoint {
        attributes: vec![keyed("e", any_value::Value::IntValue(200)), keyed("f", any_value::Value::BoolValue(true))],
        start_time_unix_nano: 1_000,
        time_unix_nano: 5_000,
        count: 3,
        sum: Some(7.5),
        bucket_counts: vec![1, 0, 2],
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    };
    assert_eq!((histogram.aggregation_temporality, &histogram.data_points[..]), (CUMULATIVE, &[point][..]));
}

#[test]
fn family_without_series_is_not_sent() {
    let mut families = Families::default();
    families.family("slipstream_none", Kind::Gauge, "", "Has no series.");
    assert!(sent(&families).is_empty());
}

/// A Collector's exporter for Prometheus adds `_total` to a monotonic sum and the unit to a name that has it not; in a gauge's name `1` is `ratio`.
#[test]
fn collector_gives_our_names_back() {
    let proxy = testing::proxy(1);
    let families = report::families(&proxy);
    let sent = sent(&families);
    for family in families.iter() {
        let (ours, metric) = (family.name.prometheus(), &sent[family.name.otlp()]);
        let is_monotonic = matches!(&metric.data, Some(metric::Data::Sum(sum)) if sum.is_monotonic);
        let unit = match metric.unit.as_str() {
            "s" => "_seconds",
            "By" => "_bytes",
            unit => {
                assert!(unit.is_empty() || unit.starts_with('{') && unit.ends_with('}'), "{ours}: {unit}");
                ""
            }
        };
        let name = metric.name.replace('.', "_");
        let bare = name.strip_suffix(unit).unwrap_or(&name);
        let back = format!("{bare}{unit}{}", if is_monotonic { "_total" } else { "" });
        assert_eq!(back, ours);
    }
}
