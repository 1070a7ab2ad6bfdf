//! Spans and log records as the messages that a collector takes.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// The conventions that names follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("slipstream".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

/// What is sent to `/v1/traces`.
pub fn spans_request(spans: Vec<Span>, resource: Resource) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, schema_url: SCHEMA.to_owned() }];
    let of_resource = ResourceSpans { resource: Some(resource), scope_spans, schema_url: SCHEMA.to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

/// What is sent to `/v1/logs`.
pub fn records_request(log_records: Vec<LogRecord>, resource: Resource) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, schema_url: SCHEMA.to_owned() }];
    let of_resource = ResourceLogs { resource: Some(resource), scope_logs, schema_url: SCHEMA.to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![of_resource] }.encode_to_vec()
}
