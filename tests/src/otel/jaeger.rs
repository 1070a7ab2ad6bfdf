//! Jaeger: OTLP in over gRPC and HTTP, traces out as its query API gives them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::part::{Part, ask};
use super::signals::Attributes;
use crate::event::eventually;

/// The addresses of the part, by their place; the last is asked for health.
const GRPC: usize = 0;
const HTTP: usize = 1;
const QUERY: usize = 2;
const QUERY_GRPC: usize = 3;
const HEALTH: usize = 4;
const ADDRESSES: usize = 5;

/// A span as Jaeger stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// `service.name` of its resource.
    pub service: String,
    /// The other attributes of its resource.
    pub resource: Attributes,
    pub name: String,
    pub start_us: u64,
    pub duration_us: u64,
    /// Its parent, and each of its links.
    pub references: Vec<Reference>,
    /// Its attributes, and what Jaeger makes of the rest: `span.kind`, `otel.status_code`, `error`.
    pub tags: Attributes,
    /// The fields of each of its events.
    pub logs: Vec<Attributes>,
    /// What Jaeger finds strange about it.
    pub warnings: Vec<String>,
}

impl Span {
    /// `server`, `client` and so on.
    pub fn kind(&self) -> Option<&str> {
        self.tags.get("span.kind").and_then(Value::as_str)
    }

    /// The span that this one is a child of.
    pub fn parent(&self) -> Option<&str> {
        let mut parents = self.references.iter().filter(|reference| reference.kind == "CHILD_OF");
        parents.next().map(|parent| parent.span_id.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `CHILD_OF` or, of a link, `FOLLOWS_FROM`.
    pub kind: String,
    pub trace_id: String,
    pub span_id: String,
}

/// A Jaeger that runs; killed when dropped. What it stores is in its memory.
pub struct Jaeger {
    part: Part,
}

impl Jaeger {
    /// Starts it and waits until it takes spans.
    pub fn start() -> Jaeger {
        let part = Part::start("jaeger", ADDRESSES, "/status", &[], |directory, addresses| {
            let file = directory.join("jaeger.json");
            std::fs::write(&file, config(addresses).to_string()).unwrap();
            vec![format!("--config={}", file.display())]
        });
        Jaeger { part }
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.part.address(GRPC)
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> SocketAddr {
        self.part.address(HTTP)
    }

    /// The spans of a trace, in no order; none where it is unknown.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let answer = ask(self.part.address(QUERY), &format!("/api/traces/{id}")).expect("Jaeger answers");
        match answer.status {
            200 => spans(&serde_json::from_slice(&answer.body).expect("Jaeger says JSON")),
            404 => Vec::new(),
            _ => panic!("Jaeger says {} {}", answer.status, answer.text()),
        }
    }

    /// Waits until `holds` for the spans of a trace; panics at the deadline with `what` was waited for.
    pub fn trace_until(&self, id: &str, what: &str, mut holds: impl FnMut(&[Span]) -> bool) -> Vec<Span> {
        eventually(what, || Some(self.trace(id)).filter(|spans| holds(spans)))
    }

    /// The services that it has spans of, by name.
    pub fn services(&self) -> Vec<String> {
        let answer = ask(self.part.address(QUERY), "/api/services").expect("Jaeger answers");
        let answer: Value = serde_json::from_slice(&answer.body).expect("Jaeger says JSON");
        let names = answer["data"].as_array().into_iter().flatten();
        let mut names: Vec<String> = names.map(|name| name.as_str().expect("a name").into()).collect();
        names.sort();
        names
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.part.log()
    }
}

fn config(addresses: &[SocketAddr]) -> Value {
    let protocols = json!({"grpc": {"endpoint": addresses[GRPC]}, "http": {"endpoint": addresses[HTTP]}});
    json!({
        "extensions": {
            "healthcheckv2": {"use_v2": true, "http": {"endpoint": addresses[HEALTH]}},
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10_000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": addresses[QUERY]},
                "grpc": {"endpoint": addresses[QUERY_GRPC]},
            },
        },
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "extensions": ["healthcheckv2", "jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
        },
    })
}

/// The spans of an answer of `/api/traces`.
fn spans(answer: &Value) -> Vec<Span> {
    let traces = answer["data"].as_array().into_iter().flatten();
    let of_trace = |trace: &Value| -> Vec<Span> {
        let spans = trace["spans"].as_array().into_iter().flatten();
        spans.map(|span| read(span, &trace["processes"])).collect()
    };
    traces.flat_map(of_trace).collect()
}

fn read(span: &Value, processes: &Value) -> Span {
    let process = &processes[text(&span["processID"])];
    let references = span["references"].as_array().into_iter().flatten().map(|reference| Reference {
        kind: text(&reference["refType"]).into(),
        trace_id: text(&reference["traceID"]).into(),
        span_id: text(&reference["spanID"]).into(),
    });
    let warnings = span["warnings"].as_array().into_iter().flatten();
    Span {
        trace_id: text(&span["traceID"]).into(),
        span_id: text(&span["spanID"]).into(),
        service: text(&process["serviceName"]).into(),
        resource: tags(&process["tags"]),
        name: text(&span["operationName"]).into(),
        start_us: span["startTime"].as_u64().expect("a time"),
        duration_us: span["duration"].as_u64().expect("a duration"),
        references: references.collect(),
        tags: tags(&span["tags"]),
        logs: span["logs"].as_array().into_iter().flatten().map(|log| tags(&log["fields"])).collect(),
        warnings: warnings.map(|warning| text(warning).into()).collect(),
    }
}

fn tags(list: &Value) -> Attributes {
    let list = list.as_array().into_iter().flatten();
    list.map(|tag| (text(&tag["key"]).into(), tag["value"].clone())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
