//! The access log: a line of JSON on stdout, and the same as a log record of OTLP.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::facts::{Clock, version};
use super::spans::server_attributes;
use super::{facts, redact};
use crate::otlp::attribute;
use crate::telemetry::{Outcome, Place, RequestStory, Role};

/// A request in the access log. What does not apply is left out. Times are in milliseconds.
#[derive(Serialize)]
struct Line {
    /// Of the request's whole head (RFC 3339, UTC).
    time: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    client: String,
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    scheme: &'static str,
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// 0: no answer went out.
    status: u16,
    /// To the last byte of the answer.
    duration_ms: f64,
    /// In the queue of `concurrency.limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<f64>,
    /// For what another request brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<f64>,
    /// From the request at the app to the head of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replays: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coalesce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The line, without its end.
pub(crate) fn line(story: &RequestStory, clock: Clock) -> String {
    let milliseconds = |ns: u64| (ns / 1000) as f64 / 1000.0;
    let waited: u64 = story.waits.iter().map(|wait| wait.to_ns.saturating_sub(wait.from_ns)).sum();
    let hex = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = Line {
        time: rfc3339(clock.unix_ns(story.started_ns)),
        kind: "access",
        trace_id: story.context.map(|context| hex(&context.trace.hex())),
        span_id: story.context.map(|context| hex(&context.span.hex())),
        client: story.client_address(),
        peer: story.peer.to_string(),
        host: story.asked.text(Place::Authority),
        scheme: story.scheme(),
        method: story.asked.text(Place::Method).unwrap_or_default(),
        path: story.asked.text(Place::Path).unwrap_or_default(),
        query: story.asked.text(Place::Query).map(|query| redact::query(&query)),
        protocol: format!("HTTP/{}", version(story.version)),
        route: story.route,
        user_agent: story.asked.text(Place::UserAgent),
        status: story.status,
        duration_ms: milliseconds(story.ended_ns.saturating_sub(story.started_ns)),
        queue_ms: (!story.queued.is_zero()).then(|| milliseconds(story.queued.as_nanos() as u64)),
        wait_ms: (!story.waits.is_empty()).then(|| milliseconds(waited)),
        upstream_ms: story.upstream.map(|times| milliseconds(times.head_ns.saturating_sub(times.sent_ns))),
        reused: story.upstream.map(|times| times.is_reused),
        replays: (story.replays > 0).then_some(story.replays),
        coalesce: story.coalesced.map(|(role, outcome)| format!("{} {}", role.label(), outcome.label())),
        error: story.error_type(),
        why: why(story),
    };
    serde_json::to_string(&line).expect("strings and numbers can be written")
}

/// In words, where it was not simply asked and answered.
fn why(story: &RequestStory) -> Option<String> {
    if let Some(fault) = story.fault {
        return Some(format!("{}: {}", fault.word(), fault.detail));
    }
    match story.coalesced {
        Some((Role::Follower, Outcome::Shared)) => Some("shared: the answer to an equal request under way".to_owned()),
        Some((Role::Follower, outcome)) => {
            Some(format!("{}: waited for an equal request and then went to the app itself", outcome.label()))
        }
        _ if story.replays > 0 => Some("replayed: the connection to the app had gone stale".to_owned()),
        _ => None,
    }
}

/// The same as a log record.
pub(crate) fn record(story: &RequestStory, clock: Clock) -> LogRecord {
    let mut attributes = server_attributes(story);
    let seconds = story.ended_ns.saturating_sub(story.started_ns) as f64 / 1e9;
    attributes.push(attribute("http.server.request.duration", seconds));
    if let Some(why) = why(story) {
        attributes.push(attribute("slipstream.why", why));
    }
    let path = story.asked.text(Place::Path).unwrap_or_default();
    let body = format!("{} {path} {}", facts::name(story.method, None), story.status);
    let is_error = story.status >= 500 || (story.fault.is_some() && !facts::is_cancel(story.fault));
    let severity = if is_error { SeverityNumber::Warn } else { SeverityNumber::Info };
    LogRecord {
        time_unix_nano: clock.unix_ns(story.started_ns),
        observed_time_unix_nano: clock.unix_ns(story.ended_ns),
        severity_number: severity.into(),
        severity_text: if is_error { "WARN" } else { "INFO" }.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
        attributes,
        flags: story.context.map_or(0, |context| u32::from(context.is_sampled)),
        trace_id: story.context.map(|context| context.trace.to_bytes().to_vec()).unwrap_or_default(),
        span_id: story.context.map(|context| context.span.to_bytes().to_vec()).unwrap_or_default(),
        event_name: "slipstream.access".to_owned(),
        ..LogRecord::default()
    }
}

/// `2026-11-26T06:47:00.123456Z`; to the microsecond, which is all that means something.
fn rfc3339(unix_ns: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ns / 1000 * 1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_660_809, "2026-11-26T02:40:09Z"),
        ] {
            assert_eq!(rfc3339(unix_s * 1_000_000_000), text);
        }
        assert_eq!(rfc3339(1_234_567), "1970-01-01T00:00:00.001234Z");
    }
}
