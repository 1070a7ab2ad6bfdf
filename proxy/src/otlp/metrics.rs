//! Metric families as OTLP's messages: the same numbers that the admin server shows.
//!
//! Counters are monotonic sums, what rises and falls is a sum that is not, both cumulative since the start of the process; names and units
//! are those of [`Families`]. Limits: what the families hold.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::telemetry::families::{Buckets, Families, Family, Kind, Label, Series, Value};

/// What the numbers are counted over, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The start of the process: the same in every export, for a change says that all counters began anew.
    pub start_ns: u64,
    pub now_ns: u64,
}

/// The same as bytes.
pub fn encoded(families: &Families, period: Period, resource: Resource) -> Vec<u8> {
    request(families, period, resource).encode_to_vec()
}

/// What is sent to `/v1/metrics`.
pub fn request(families: &Families, period: Period, resource: Resource) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: "slipstream".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = families.iter().map(|family| of_family(family, period)).collect();
    let of_scope = ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() };
    let of_resource =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![of_scope], schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
}

fn of_family(family: &Family, period: Period) -> Metric {
    let sum = |is_monotonic| {
        let data_points = numbers(family, Some(period.start_ns), period.now_ns);
        metric::Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic })
    };
    let data = match family.kind {
        Kind::Counter => sum(true),
        Kind::UpDown => sum(false),
        // What is so now has no start.
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers(family, None, period.now_ns) }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family.series.iter().filter_map(|series| histogram(series, period)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: family.name.otlp().to_owned(),
        description: family.help.to_owned(),
        unit: family.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

fn numbers(family: &Family, start_ns: Option<u64>, now_ns: u64) -> Vec<NumberDataPoint> {
    let points = family.series.iter().filter_map(|series| {
        let value = match series.value {
            // A count of events does not come so far in a century.
            Value::Whole(number) => number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX)),
            Value::Real(number) => number_data_point::Value::AsDouble(number),
            Value::Buckets(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: start_ns.unwrap_or(0),
            time_unix_nano: now_ns,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    });
    points.collect()
}

fn histogram(series: &Series, period: Period) -> Option<HistogramDataPoint> {
    let Value::Buckets(Buckets { bounds, counts, sum }) = &series.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: period.start_ns,
        time_unix_nano: period.now_ns,
        count: counts.iter().sum(),
        sum: Some(*sum),
        bucket_counts: counts.clone(),
        explicit_bounds: bounds.clone(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    let attribute = |(key, label): &(&'static str, Label)| {
        let value = match label {
            Label::Text(text) => any_value::Value::StringValue(text.clone()),
            Label::Number(number) => any_value::Value::IntValue((*number).into()),
            Label::Flag(flag) => any_value::Value::BoolValue(*flag),
        };
        KeyValue { key: (*key).to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    };
    series.labels.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests;
