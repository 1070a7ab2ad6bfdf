//! Telemetry as the Collector's file exporter writes it, OTLP in JSON, read into plain structs. What OTLP does not allow fails the case.

use serde_json::{Map, Value};

/// Attributes by key: strings, numbers, booleans, lists and maps as in JSON, bytes in base64.
pub type Attributes = Map<String, Value>;

/// Who says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub resource: Attributes,
    /// Name and version of the instrumentation scope.
    pub scope: String,
    pub scope_version: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub source: Source,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// `None`: the root of its trace.
    pub parent: Option<String>,
    pub trace_state: String,
    /// The low byte is the one of `traceparent`; above it 0x100 and 0x200 say whether the parent is remote.
    pub flags: u64,
    pub name: String,
    pub kind: Kind,
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Attributes,
    pub events: Vec<SpanEvent>,
    pub links: Vec<Link>,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Unset,
    Ok,
    Error(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    pub name: String,
    pub time_ns: u64,
    pub attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
    pub trace_state: String,
    pub flags: u64,
    pub attributes: Attributes,
}

/// One metric of one export. Exported again it is another one, with newer points.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub source: Source,
    pub name: String,
    pub description: String,
    pub unit: String,
    pub kind: MetricKind,
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Gauge,
    Sum { monotonic: bool, temporality: Temporality },
    Histogram(Temporality),
    ExponentialHistogram(Temporality),
    Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporality {
    Unspecified,
    Delta,
    Cumulative,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub attributes: Attributes,
    pub start_ns: u64,
    pub time_ns: u64,
    pub measured: Measured,
    pub exemplars: Vec<Exemplar>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    Integer(i64),
    Double(f64),
    /// `counts` has one more than `bounds`.
    Histogram {
        count: u64,
        sum: Option<f64>,
        bounds: Vec<f64>,
        counts: Vec<u64>,
    },
    /// A point of an exponential histogram or a summary, as it was written.
    Other(Value),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub value: f64,
    pub time_ns: u64,
    pub trace_id: String,
    pub span_id: String,
    pub attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub source: Source,
    pub time_ns: u64,
    pub observed_ns: u64,
    pub severity_number: u64,
    pub severity: String,
    pub event_name: String,
    pub body: Value,
    pub attributes: Attributes,
    /// Empty where the record belongs to no span.
    pub trace_id: String,
    pub span_id: String,
    pub flags: u64,
}

/// The spans of one export.
pub(super) fn spans(export: &Value) -> Vec<Span> {
    let each = |(source, span): (Source, &Value)| Span {
        source,
        trace_id: text(span, "traceId"),
        span_id: text(span, "spanId"),
        parent: Some(text(span, "parentSpanId")).filter(|parent| !parent.is_empty()),
        trace_state: text(span, "traceState"),
        flags: number(span, "flags"),
        name: text(span, "name"),
        kind: match number(span, "kind") {
            0 => Kind::Unspecified,
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            other => panic!("no kind of a span: {other} in {span}"),
        },
        start_ns: number(span, "startTimeUnixNano"),
        end_ns: number(span, "endTimeUnixNano"),
        attributes: attributes(span),
        events: list(span, "events").iter().map(event).collect(),
        links: list(span, "links").iter().map(link).collect(),
        status: match number(&span["status"], "code") {
            0 => Status::Unset,
            1 => Status::Ok,
            2 => Status::Error(text(&span["status"], "message")),
            other => panic!("no status: {other} in {span}"),
        },
    };
    items(export, "resourceSpans", "scopeSpans", "spans").into_iter().map(each).collect()
}

fn event(event: &Value) -> SpanEvent {
    SpanEvent { name: text(event, "name"), time_ns: number(event, "timeUnixNano"), attributes: attributes(event) }
}

fn link(link: &Value) -> Link {
    Link {
        trace_id: text(link, "traceId"),
        span_id: text(link, "spanId"),
        trace_state: text(link, "traceState"),
        flags: number(link, "flags"),
        attributes: attributes(link),
    }
}

/// The metrics of one export.
pub(super) fn metrics(export: &Value) -> Vec<Metric> {
    let each = |(source, metric): (Source, &Value)| {
        const KINDS: [&str; 5] = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
        let name = KINDS.into_iter().find(|name| metric.get(name).is_some());
        let name = name.unwrap_or_else(|| panic!("a metric of no kind: {metric}"));
        let data = &metric[name];
        let kind = match name {
            "gauge" => MetricKind::Gauge,
            "sum" => MetricKind::Sum {
                monotonic: data["isMonotonic"].as_bool().unwrap_or_default(),
                temporality: temporality(data),
            },
            "histogram" => MetricKind::Histogram(temporality(data)),
            "exponentialHistogram" => MetricKind::ExponentialHistogram(temporality(data)),
            _ => MetricKind::Summary,
        };
        Metric {
            source,
            name: text(metric, "name"),
            description: text(metric, "description"),
            unit: text(metric, "unit"),
            kind,
            points: list(data, "dataPoints").iter().map(|written| point(kind, written)).collect(),
        }
    };
    items(export, "resourceMetrics", "scopeMetrics", "metrics").into_iter().map(each).collect()
}

fn point(kind: MetricKind, point: &Value) -> Point {
    let measured = match kind {
        MetricKind::Gauge | MetricKind::Sum { .. } => match point.get("asDouble") {
            Some(value) => Measured::Double(double(value)),
            None => Measured::Integer(integer(&point["asInt"])),
        },
        MetricKind::Histogram(_) => Measured::Histogram {
            count: number(point, "count"),
            sum: point.get("sum").map(double),
            bounds: list(point, "explicitBounds").iter().map(double).collect(),
            counts: list(point, "bucketCounts").iter().map(unsigned).collect(),
        },
        MetricKind::ExponentialHistogram(_) | MetricKind::Summary => Measured::Other(point.clone()),
    };
    Point {
        attributes: attributes(point),
        start_ns: number(point, "startTimeUnixNano"),
        time_ns: number(point, "timeUnixNano"),
        measured,
        exemplars: list(point, "exemplars").iter().map(exemplar).collect(),
    }
}

fn exemplar(exemplar: &Value) -> Exemplar {
    Exemplar {
        value: exemplar.get("asDouble").map_or_else(|| integer(&exemplar["asInt"]) as f64, double),
        time_ns: number(exemplar, "timeUnixNano"),
        trace_id: text(exemplar, "traceId"),
        span_id: text(exemplar, "spanId"),
        attributes: pairs(&exemplar["filteredAttributes"]),
    }
}

fn temporality(data: &Value) -> Temporality {
    match number(data, "aggregationTemporality") {
        0 => Temporality::Unspecified,
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        other => panic!("no temporality: {other}"),
    }
}

/// The records of one export.
pub(super) fn logs(export: &Value) -> Vec<LogRecord> {
    let each = |(source, record): (Source, &Value)| LogRecord {
        source,
        time_ns: number(record, "timeUnixNano"),
        observed_ns: number(record, "observedTimeUnixNano"),
        severity_number: number(record, "severityNumber"),
        severity: text(record, "severityText"),
        event_name: text(record, "eventName"),
        body: any(&record["body"]),
        attributes: attributes(record),
        trace_id: text(record, "traceId"),
        span_id: text(record, "spanId"),
        flags: number(record, "flags"),
    };
    items(export, "resourceLogs", "scopeLogs", "logRecords").into_iter().map(each).collect()
}

/// What an export holds, each with its source: a list of resources, each with a list of scopes, each with a list of items.
fn items<'v>(export: &'v Value, resources: &str, scopes: &str, items: &str) -> Vec<(Source, &'v Value)> {
    let mut all = Vec::new();
    for resource in list(export, resources) {
        for scope in list(resource, scopes) {
            let source = Source {
                resource: attributes(&resource["resource"]),
                scope: text(&scope["scope"], "name"),
                scope_version: text(&scope["scope"], "version"),
            };
            all.extend(list(scope, items).iter().map(|item| (source.clone(), item)));
        }
    }
    all
}

fn attributes(of: &Value) -> Attributes {
    pairs(&of["attributes"])
}

/// A list of keys and values; a key that comes twice is what OTLP forbids.
fn pairs(written: &Value) -> Attributes {
    let mut all = Attributes::new();
    for pair in written.as_array().into_iter().flatten() {
        let before = all.insert(text(pair, "key"), any(&pair["value"]));
        assert!(before.is_none(), "a key comes twice: {written}");
    }
    all
}

/// A value with the name of its type around it, without that.
fn any(written: &Value) -> Value {
    let Some((kind, value)) = written.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "intValue" => integer(value).into(),
        "doubleValue" => double(value).into(),
        "stringValue" | "boolValue" | "bytesValue" => value.clone(),
        "arrayValue" => list(value, "values").iter().map(any).collect(),
        "kvlistValue" => pairs(&value["values"]).into(),
        other => panic!("no type of a value: {other}"),
    }
}

fn list<'v>(of: &'v Value, key: &str) -> &'v [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

/// Empty where it is absent: so JSON of protobuf leaves out what has its default.
fn text(of: &Value, key: &str) -> String {
    match &of[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => panic!("{key} is no text: {other}"),
    }
}

/// 0 where it is absent.
fn number(of: &Value, key: &str) -> u64 {
    match &of[key] {
        Value::Null => 0,
        value => unsigned(value),
    }
}

/// JSON of protobuf writes 64 bits as text.
fn unsigned(value: &Value) -> u64 {
    let read = value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok());
    read.unwrap_or_else(|| panic!("no unsigned number: {value}"))
}

fn integer(value: &Value) -> i64 {
    let read = value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok());
    read.unwrap_or_else(|| panic!("no integer: {value}"))
}

/// What is no number is written as text too: `NaN`, `Infinity`.
fn double(value: &Value) -> f64 {
    let read = value.as_str().map_or_else(|| value.as_f64(), |text| text.parse().ok());
    read.unwrap_or_else(|| panic!("no number: {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_lose_the_names_of_their_types() {
        let written = json!({"attributes": [
            {"key": "text", "value": {"stringValue": "a"}},
            {"key": "number", "value": {"intValue": "-9007199254740993"}},
            {"key": "part", "value": {"doubleValue": 0.5}},
            {"key": "flag", "value": {"boolValue": true}},
            {"key": "none", "value": {}},
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "b"}, {"intValue": "1"}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": false}}]}}},
        ]});
        let read = json!({
            "text": "a", "number": -9_007_199_254_740_993_i64, "part": 0.5, "flag": true, "none": null, "list": ["b", 1], "map": {"k": false},
        });
        assert_eq!(Value::Object(attributes(&written)), read);
    }

    #[test]
    #[should_panic = "a key comes twice"]
    fn key_that_comes_twice_is_an_error() {
        let pair = json!({"key": "a", "value": {"boolValue": true}});
        attributes(&json!({"attributes": [pair, pair]}));
    }

    #[test]
    fn metrics_of_each_kind_are_read() {
        let histogram = json!({"count": "3", "sum": 1.5, "bucketCounts": ["1", "2", "0"], "explicitBounds": [0.1, 1], "exemplars": [
            {"asDouble": 0.5, "timeUnixNano": "7", "traceId": "aa", "spanId": "bb", "filteredAttributes": []}
        ]});
        let export = json!({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [
            {"name": "a", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [histogram]}},
            {"name": "b", "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [{"asInt": "4"}]}},
            {"name": "c", "gauge": {"dataPoints": [{"asDouble": 2.5}, {"asInt": "5"}]}},
        ]}]}]});
        let read = metrics(&export);
        let kinds: Vec<MetricKind> = read.iter().map(|metric| metric.kind).collect();
        let sum = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };
        assert_eq!(kinds, [MetricKind::Histogram(Temporality::Cumulative), sum, MetricKind::Gauge]);
        let measured: Vec<&Measured> =
            read.iter().flat_map(|metric| &metric.points).map(|point| &point.measured).collect();
        let histogram = Measured::Histogram { count: 3, sum: Some(1.5), bounds: vec![0.1, 1.0], counts: vec![1, 2, 0] };
        assert_eq!(measured, [&histogram, &Measured::Integer(4), &Measured::Double(2.5), &Measured::Integer(5)]);
        assert_eq!(read[0].points[0].exemplars[0].trace_id, "aa");
        assert_eq!(read[0].source.scope, "s");
    }
}
