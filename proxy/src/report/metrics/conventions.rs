//! The metrics that OpenTelemetry's conventions for HTTP name, with the labels that they ask for.

use super::{Families, Kind, Proxy, Sums};
use crate::config::Pattern;
use crate::http::Method;
use crate::report::Upstream;
use crate::telemetry::durations::{BOUNDS, ClientKey, Durations, ErrorType, Key, Noted, ServerKey};
use crate::telemetry::families::{Buckets, Family, Label, Value};
use crate::telemetry::{SCHEMES, WorkerCounters};

type Labels = Vec<(&'static str, Label)>;

pub(super) fn http(families: &mut Families, proxy: &Proxy, sums: &Sums<'_>) {
    let asked = all(proxy, |worker| &worker.server_durations);
    active(families, sums, &asked);
    let family = families.convention(
        ("http.server.request.duration", "http_server_request_duration_seconds"),
        Kind::Histogram,
        "s",
        "Time from the whole head of a request to the last byte of its answer, in seconds.",
    );
    for (key, noted) in &asked {
        add(family, key.map_or_else(overflow, |key| of_server(&key)), noted);
    }
    let family = families.convention(
        ("http.client.request.duration", "http_client_request_duration_seconds"),
        Kind::Histogram,
        "s",
        "Time from sending a request to the app to the last byte of its answer, in seconds.",
    );
    for (key, noted) in &all(proxy, |worker| &worker.client_durations) {
        add(family, key.map_or_else(overflow, |key| of_client(&key, &proxy.upstreams)), noted);
    }
    let open = sums.of(|worker| worker.upstream_connections_open.now());
    let idle = sums.of(|worker| worker.upstream_connections_idle.now());
    let family = families.convention(
        ("http.client.open_connections", "http_client_open_connections"),
        Kind::UpDown,
        "{connection}",
        "Connections to the app open now, by whether they carry a request.",
    );
    // They are counted for all upstreams together. A connection may come to rest between the two looks.
    for (state, count) in [("active", open.saturating_sub(idle)), ("idle", idle)] {
        let mut labels = vec![("http.connection.state", Label::from(state))];
        if let [only] = &proxy.upstreams[..] {
            labels.extend(of_upstream(only));
        }
        family.series(labels, count);
    }
}

/// Those that are in flight, and a zero for what has been. A process at rest has none.
fn active(families: &mut Families, sums: &Sums<'_>, asked: &[(Option<ServerKey>, Noted)]) {
    let family = families.convention(
        ("http.server.active_requests", "http_server_active_requests"),
        Kind::UpDown,
        "{request}",
        "Requests between their whole head and the last byte of their answer, by what they ask with.",
    );
    for (is_tls, scheme) in [false, true].into_iter().zip(SCHEMES) {
        for method in Method::ALL {
            let now = sums.of(|worker| worker.requests_active_by.now(method, is_tls));
            let has_been = asked.iter().filter_map(|(key, _)| *key);
            if now > 0 || has_been.into_iter().any(|key| (key.method, key.is_tls) == (method, is_tls)) {
                family.series([("http.request.method", method.name()), ("url.scheme", scheme)], now);
            }
        }
    }
}

/// What all workers noted, by key; `None`: beyond what one of them tells apart.
fn all<K: Key + PartialEq>(proxy: &Proxy, of: impl Fn(&WorkerCounters) -> &Durations<K>) -> Vec<(Option<K>, Noted)> {
    let mut all: Vec<(Option<K>, Noted)> = Vec::new();
    for (key, noted) in proxy.counters.iter().flat_map(|worker| of(worker).read()) {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => sum.add(&noted),
            None => all.push((key, noted)),
        }
    }
    all
}

/// Two keys may have the same labels: an upstream under two numbers is one series.
fn add(family: &mut Family, labels: Labels, noted: &Noted) {
    let known = family.series.iter_mut().find(|series| series.labels == labels);
    match known.map(|series| &mut series.value) {
        Some(Value::Buckets(buckets)) => {
            buckets.counts.iter_mut().zip(noted.buckets).for_each(|(all, one)| *all += one);
            buckets.sum += noted.sum_seconds();
        }
        _ => {
            let (counts, sum) = (noted.buckets.to_vec(), noted.sum_seconds());
            family.series(labels, Buckets { bounds: BOUNDS.to_vec(), counts, sum });
        }
    }
}

/// The one series that OpenTelemetry's cardinality limit gives all that is beyond it.
fn overflow() -> Labels {
    vec![("otel.metric.overflow", Label::Flag(true))]
}

fn of_server(key: &ServerKey) -> Labels {
    let ServerKey { method, is_tls, status, route, error } = *key;
    let mut labels = vec![
        ("http.request.method", Label::from(method.name())),
        ("url.scheme", Label::from(SCHEMES[usize::from(is_tls)])),
    ];
    labels.extend(Pattern::numbered(route).map(|pattern| ("http.route", Label::from(pattern.text()))));
    labels.extend(of_end(status, error));
    labels
}

fn of_client(key: &ClientKey, upstreams: &[Upstream]) -> Labels {
    let ClientKey { method, status, error, upstream } = *key;
    let mut labels = vec![("http.request.method", Label::from(method.name()))];
    labels.extend(upstreams.get(usize::from(upstream)).into_iter().flat_map(of_upstream));
    labels.extend(of_end(status, error));
    labels
}

fn of_upstream(upstream: &Upstream) -> [(&'static str, Label); 2] {
    [("server.address", Label::from(upstream.address.as_str())), ("server.port", Label::Number(upstream.port))]
}

fn of_end(status: u16, error: ErrorType) -> Labels {
    let mut labels = Labels::new();
    if status != 0 {
        labels.push(("http.response.status_code", Label::Number(status)));
    }
    match error {
        ErrorType::None => {}
        ErrorType::Fault(word) => labels.push(("error.type", Label::from(word.text()))),
        ErrorType::Status => labels.push(("error.type", Label::Text(status.to_string()))),
    }
    labels
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
