//! The observability backends of the harness are real and work: what other suites lean on when they say that telemetry has arrived.

mod collector;
mod deployed;
mod jaeger;
mod prometheus;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use slipstream_tests::{Client, Response};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";
const PARENT: &str = "eee19b7ec3c1b173";
const LINKED_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const LINKED_SPAN: &str = "b7ad6b7169203331";
const START_NS: u64 = 1_790_000_000_000_000_000;
const END_NS: u64 = START_NS + 1_500_000;

/// An export of one span with all that a span can have.
fn one_span() -> Value {
    export(
        "resourceSpans",
        "scopeSpans",
        "spans",
        json!({
            "traceId": TRACE, "spanId": SPAN, "parentSpanId": PARENT, "traceState": "vendor=1", "flags": 0x101,
            "name": "GET /orders", "kind": 2, "startTimeUnixNano": START_NS.to_string(), "endTimeUnixNano": END_NS.to_string(),
            "attributes": [
                {"key": "http.response.status_code", "value": {"intValue": "503"}},
                {"key": "url.path", "value": {"stringValue": "/orders"}},
            ],
            "events": [{"name": "retry", "timeUnixNano": START_NS.to_string(), "attributes": [{"key": "attempt", "value": {"intValue": "2"}}]}],
            "links": [{"traceId": LINKED_TRACE, "spanId": LINKED_SPAN}],
            "status": {"code": 2, "message": "gave up"},
        }),
    )
}

/// An export of one counter with one point: 42 requests until now.
fn one_metric() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos().to_string();
    export(
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        json!({
            "name": "test.requests", "unit": "1", "description": "Requests.",
            "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [{
                "asInt": "42", "startTimeUnixNano": now, "timeUnixNano": now,
                "attributes": [{"key": "route", "value": {"stringValue": "/orders"}}],
            }]},
        }),
    )
}

fn one_log() -> Value {
    export(
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        json!({
            "timeUnixNano": START_NS.to_string(), "severityNumber": 17, "severityText": "ERROR", "body": {"stringValue": "it broke"},
            "attributes": [], "traceId": TRACE, "spanId": SPAN,
        }),
    )
}

fn export(resources: &str, scopes: &str, items: &str, item: Value) -> Value {
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "orders"}},
        {"key": "k8s.pod.name", "value": {"stringValue": "orders-0"}},
    ]});
    let scope = json!({"scope": {"name": "by hand", "version": "1"}, items: [item]});
    json!({resources: [{"resource": resource, scopes: [scope]}]})
}

/// `POST /v1/SIGNAL` with a body of JSON and these field lines.
fn post(client: &mut Client, signal: &str, lines: &[&str], body: &[u8]) -> Response {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    client.send(format!(
        "POST /v1/{signal} HTTP/1.1\r\nHost: collector\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

/// Sends an export; it is taken.
fn give(client: &mut Client, signal: &str, export: &Value) {
    let answer = post(client, signal, &[], export.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// By the program: no crate for one case.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip is everywhere");
    // Its output is smaller than a pipe's room: nobody waits for the other.
    child.stdin.take().expect("piped").write_all(bytes).expect("gzip reads");
    child.wait_with_output().expect("gzip ends").stdout
}
