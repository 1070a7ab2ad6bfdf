//! Spans: SERVER for a request, INTERNAL for its wait in a flight, CLIENT for each attempt.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status};

use super::facts::{Clock, Host, is_cancel, name, version};
use super::redact;
use crate::fault::Fault;
use crate::http::Method;
use crate::otlp::attribute;
use crate::telemetry::{AttemptStory, Context, Place, RequestStory, Role, Wait};

/// `Span.flags`: the trace flag "sampled"; whether the parent is of another process is known; it is.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The SERVER span, and before it one for each wait. None where the request is not sampled.
pub(crate) fn of_request(story: &RequestStory, clock: Clock) -> Vec<Span> {
    let Some(context) = story.context.filter(|context| context.is_sampled) else { return Vec::new() };
    let mut spans: Vec<Span> = story.waits.iter().map(|wait| of_wait(wait, context, clock)).collect();
    spans.push(server(story, context, clock));
    spans
}

fn server(story: &RequestStory, context: Context, clock: Clock) -> Span {
    Span {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: context.span.to_bytes().to_vec(),
        parent_span_id: story.parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
        trace_state: story.asked.text(Place::State).unwrap_or_default(),
        flags: SAMPLED | KNOWS_REMOTE | if story.parent.is_some() { IS_REMOTE } else { 0 },
        name: name(story.method, story.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: clock.unix_ns(story.started_ns),
        end_time_unix_nano: clock.unix_ns(story.ended_ns),
        attributes: server_attributes(story),
        status: server_status(story),
        ..Span::default()
    }
}

/// What a request is told with, in its span and in its log record.
pub(super) fn server_attributes(story: &RequestStory) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(20);
    let mut put = |key, value: crate::otlp::Value| attributes.push(attribute(key, value));
    put("http.request.method", story.method.name().into());
    if story.method == Method::Other
        && let Some(spelled) = story.asked.text(Place::Method)
    {
        put("http.request.method_original", spelled.into());
    }
    put("url.scheme", story.scheme().into());
    put("url.path", story.asked.text(Place::Path).unwrap_or_default().into());
    if let Some(query) = story.asked.text(Place::Query) {
        put("url.query", redact::query(&query).into());
    }
    if let Some(route) = story.route {
        put("http.route", route.into());
    }
    if let Some(authority) = story.asked.text(Place::Authority) {
        let host = Host::parse(&authority);
        put("server.address", host.address.into());
        let usual = if story.is_tls { 443 } else { 80 };
        put("server.port", i64::from(host.port.unwrap_or(usual)).into());
    }
    put("client.address", story.client_address().into());
    put("network.peer.address", story.peer.ip().to_string().into());
    put("network.peer.port", i64::from(story.peer.port()).into());
    put("network.protocol.version", version(story.version).into());
    if let Some(agent) = story.asked.text(Place::UserAgent) {
        put("user_agent.original", agent.into());
    }
    if story.status > 0 {
        put("http.response.status_code", i64::from(story.status).into());
    }
    if let Some(error) = story.error_type() {
        put("error.type", error.into());
    }
    if let Some(reason) = story.fault.as_ref().and_then(Fault::shed) {
        put("slipstream.shed", reason.label().into());
    }
    if is_cancel(story.fault) {
        put("slipstream.cancelled", true.into());
    }
    if !story.queued.is_zero() {
        put("slipstream.queue.wait", story.queued.as_secs_f64().into());
    }
    if story.replays > 0 {
        put("slipstream.replays", i64::from(story.replays).into());
    }
    if let Some((role, outcome)) = story.coalesced {
        put("slipstream.coalesce.role", role.label().into());
        put("slipstream.coalesce.outcome", outcome.label().into());
    }
    attributes
}

/// 4xx is the caller's doing, and so is a cancel.
fn server_status(story: &RequestStory) -> Option<Status> {
    let is_callers = (400..500).contains(&story.status) || is_cancel(story.fault);
    match story.fault {
        _ if is_callers => None,
        Some(fault) => Some(error(fault.detail)),
        None => (story.status >= 500).then(|| error("")),
    }
}

fn error(message: &str) -> Status {
    Status { message: message.to_owned(), code: status::StatusCode::Error.into() }
}

/// R13: a follower's wait, linked to what it waited for.
fn of_wait(wait: &Wait, server: Context, clock: Clock) -> Span {
    let links = wait.exchange.map(|exchange| Link {
        trace_id: exchange.trace.to_bytes().to_vec(),
        span_id: exchange.span.to_bytes().to_vec(),
        flags: SAMPLED | KNOWS_REMOTE,
        ..Link::default()
    });
    let mut attributes = vec![attribute("slipstream.coalesce.role", Role::Follower.label())];
    // Without one it looked for a flight once more.
    attributes.extend(wait.outcome.map(|outcome| attribute("slipstream.coalesce.outcome", outcome.label())));
    Span {
        trace_id: server.trace.to_bytes().to_vec(),
        span_id: wait.span.to_bytes().to_vec(),
        parent_span_id: server.span.to_bytes().to_vec(),
        flags: SAMPLED | KNOWS_REMOTE,
        name: "coalesce wait".to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: clock.unix_ns(wait.from_ns),
        end_time_unix_nano: clock.unix_ns(wait.to_ns),
        attributes,
        links: links.into_iter().collect(),
        ..Span::default()
    }
}

/// The CLIENT span.
pub(crate) fn of_attempt(story: &AttemptStory, clock: Clock) -> Span {
    Span {
        trace_id: story.context.trace.to_bytes().to_vec(),
        span_id: story.context.span.to_bytes().to_vec(),
        parent_span_id: story.parent.to_bytes().to_vec(),
        trace_state: String::from_utf8_lossy(&story.state).into_owned(),
        flags: SAMPLED | KNOWS_REMOTE,
        name: name(story.method, story.route),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: clock.unix_ns(story.started_ns),
        end_time_unix_nano: clock.unix_ns(story.ended_ns),
        attributes: client_attributes(story),
        status: client_status(story),
        ..Span::default()
    }
}

fn client_attributes(story: &AttemptStory) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(14);
    let mut put = |key, value: crate::otlp::Value| attributes.push(attribute(key, value));
    put("http.request.method", story.method.name().into());
    if story.method == Method::Other {
        put("http.request.method_original", String::from_utf8_lossy(&story.method_text).into_owned().into());
    }
    let target = String::from_utf8_lossy(&story.target);
    let full = match target.split_once('?') {
        Some((path, query)) => format!("http://{}{path}?{}", story.upstream, redact::query(query)),
        None if target == "*" => format!("http://{}", story.upstream),
        None => format!("http://{}{target}", story.upstream),
    };
    put("url.full", full.into());
    let host = Host::parse(&story.upstream);
    put("server.address", host.address.into());
    put("server.port", i64::from(host.port.unwrap_or(80)).into());
    if let Some(peer) = story.peer {
        put("network.peer.address", peer.ip().to_string().into());
        put("network.peer.port", i64::from(peer.port()).into());
    }
    put("network.protocol.version", "1.1".into());
    if story.status > 0 {
        put("http.response.status_code", i64::from(story.status).into());
    }
    match story.fault {
        Some(fault) => put("error.type", fault.word().into()),
        None if story.status >= 400 => put("error.type", story.status.to_string().into()),
        None => {}
    }
    if story.resends > 0 {
        put("http.request.resend_count", i64::from(story.resends).into());
    }
    put("slipstream.upstream.reused", story.is_reused.into());
    if story.is_cancelled {
        put("slipstream.cancelled", true.into());
    }
    if let Some(followers) = story.followers {
        put("slipstream.coalesce.followers", i64::from(followers).into());
    }
    attributes
}

fn client_status(story: &AttemptStory) -> Option<Status> {
    match story.fault {
        Some(fault) => Some(error(fault.detail)),
        None => (story.status >= 400).then(|| error("")),
    }
}
