//! Which series come of what workers noted.

use std::time::Duration;

use super::*;
use crate::admin::text;
use crate::config::{Flags, load};
use crate::fault::{Fault, Kind as FaultKind};
use crate::report::testing;
use crate::telemetry::durations::SETS_MAX;
use crate::timeouts::Timer;

const GET: ServerKey = ServerKey { method: Method::Get, is_tls: true, status: 200, route: 0, error: ErrorType::None };
const TO_APP: ClientKey = ClientKey { method: Method::Get, status: 200, error: ErrorType::None, upstream: 0 };

const SERVER: &str = "http_server_request_duration_seconds";
const CLIENT: &str = "http_client_request_duration_seconds";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The lines of the page that begin so.
fn lines(proxy: &Proxy, start: &str) -> Vec<String> {
    let mut families = Families::default();
    http(&mut families, proxy, &Sums(proxy));
    text::render(&families).lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

/// Labels and number of each set.
fn counts(proxy: &Proxy, name: &str) -> Vec<String> {
    let start = format!("{name}_count");
    lines(proxy, &start).iter().map(|line| line[start.len()..].to_owned()).collect()
}

#[test]
fn process_at_rest_shows_no_durations() {
    let proxy = testing::proxy(2);
    assert!(counts(&proxy, SERVER).is_empty() && counts(&proxy, CLIENT).is_empty());
    assert!(lines(&proxy, "http_server_active_requests").is_empty());
}

#[test]
fn workers_that_noted_the_same_are_one_series() {
    let proxy = testing::proxy(2);
    proxy.counters[0].server_durations.note(GET, ms(4));
    proxy.counters[0].server_durations.note(GET, ms(60));
    proxy.counters[1].server_durations.note(GET, ms(20_000));
    let labels = r#"http_request_method="GET",url_scheme="https",http_response_status_code="200""#;
    let page = lines(&proxy, SERVER);
    assert_eq!(page.len(), BOUNDS.len() + 3);
    for (line, value) in [
        (format!("{SERVER}_bucket{{{labels},le=\"0.005\"}}"), "1"),
        (format!("{SERVER}_bucket{{{labels},le=\"0.05\"}}"), "1"),
        (format!("{SERVER}_bucket{{{labels},le=\"0.075\"}}"), "2"),
        (format!("{SERVER}_bucket{{{labels},le=\"10\"}}"), "2"),
        (format!("{SERVER}_bucket{{{labels},le=\"+Inf\"}}"), "3"),
        (format!("{SERVER}_sum{{{labels}}}"), "20.064"),
        (format!("{SERVER}_count{{{labels}}}"), "3"),
    ] {
        assert!(page.contains(&format!("{line} {value}")), "{line} in {page:#?}");
    }
}

#[test]
fn errors_are_named_by_fault_or_status() {
    let proxy = testing::proxy(1);
    let fault = |kind| ErrorType::of(Fault { kind, detail: "" });
    let durations = &proxy.counters[0].server_durations;
    durations.note(
        ServerKey { is_tls: false, status: 504, error: fault(FaultKind::TimedOut(Timer::Request)), ..GET },
        ms(1),
    );
    durations.note(ServerKey { method: Method::Other, status: 500, error: ErrorType::Status, ..GET }, ms(1));
    durations.note(ServerKey { status: 0, error: fault(FaultKind::ClientGone), ..GET }, ms(1));
    let [timed_out, status, gone] = &counts(&proxy, SERVER)[..] else { panic!() };
    assert_eq!(
        timed_out,
        r#"{http_request_method="GET",url_scheme="http",http_response_status_code="504",error_type="request"} 1"#
    );
    assert_eq!(
        status,
        r#"{http_request_method="_OTHER",url_scheme="https",http_response_status_code="500",error_type="500"} 1"#
    );
    assert_eq!(gone, r#"{http_request_method="GET",url_scheme="https",error_type="client_gone"} 1"#);
}

#[test]
fn routes_are_named_by_their_pattern() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text =
        "policy:\n  routes:\n  - match: {pathPrefix: /api}\n  - match: {path: /exact}\n  - match: {method: PUT}\n";
    std::fs::write(file.path(), text).unwrap();
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    let snapshot = load(&flags).unwrap().snapshot();
    let patterns: Vec<Option<Pattern>> = snapshot.routes.iter().map(|route| route.policy.pattern).collect();
    assert_eq!(
        patterns.iter().map(|pattern| pattern.map(Pattern::text)).collect::<Vec<_>>(),
        [Some("/api/*"), Some("/exact"), None]
    );
    assert_eq!(snapshot.policy.pattern, None);
    let proxy = testing::proxy(1);
    for pattern in patterns {
        proxy.counters[0].server_durations.note(ServerKey { route: pattern.map_or(0, Pattern::number), ..GET }, ms(1));
    }
    let [prefix, exact, none] = &counts(&proxy, SERVER)[..] else { panic!() };
    assert!(prefix.contains(r#"url_scheme="https",http_route="/api/*","#), "{prefix}");
    assert!(exact.contains(r#"http_route="/exact""#) && !none.contains("http_route"), "{exact} {none}");
}

#[test]
fn upstreams_are_named_by_address_and_port() {
    let proxy = testing::proxy(1);
    let durations = &proxy.counters[0].client_durations;
    durations.note(TO_APP, ms(1));
    durations.note(ClientKey { status: 404, error: ErrorType::Status, ..TO_APP }, ms(1));
    durations.note(ClientKey { upstream: 9, ..TO_APP }, ms(1));
    assert_eq!(
        counts(&proxy, CLIENT),
        [
            r#"{http_request_method="GET",server_address="app.test",server_port="3000",http_response_status_code="200"} 1"#,
            r#"{http_request_method="GET",server_address="app.test",server_port="3000",http_response_status_code="404",error_type="404"} 1"#,
            r#"{http_request_method="GET",http_response_status_code="200"} 1"#,
        ]
    );
}

/// Two names of one app that resolve otherwise are two upstreams; one name is one series.
#[test]
fn keys_with_the_same_labels_are_one_series() {
    let mut proxy = testing::proxy(1);
    proxy.upstreams.push(proxy.upstreams[0].clone());
    let durations = &proxy.counters[0].client_durations;
    durations.note(TO_APP, ms(1));
    durations.note(ClientKey { upstream: 1, ..TO_APP }, ms(2));
    assert!(matches!(&counts(&proxy, CLIENT)[..], [one] if one.ends_with(" 2")), "{:?}", counts(&proxy, CLIENT));
}

#[test]
fn what_is_beyond_the_sets_is_one_series() {
    let proxy = testing::proxy(2);
    for worker in &proxy.counters {
        for status in 0..SETS_MAX as u16 + 2 {
            worker.server_durations.note(ServerKey { status: 200 + status, ..GET }, ms(1));
        }
    }
    let counts = counts(&proxy, SERVER);
    assert_eq!(counts.len(), SETS_MAX + 1);
    assert!(counts.contains(&r#"{otel_metric_overflow="true"} 4"#.to_owned()), "{counts:?}");
}

#[test]
fn requests_in_flight_are_shown_and_their_zero_stays() {
    let proxy = testing::proxy(2);
    let name = "http_server_active_requests";
    for worker in &proxy.counters {
        worker.requests_active_by.rise(Method::Get, true);
    }
    proxy.counters[1].requests_active_by.rise(Method::Patch, false);
    let post = format!(r#"{name}{{http_request_method="PATCH",url_scheme="http"}} 1"#);
    let get = |n: u64| format!(r#"{name}{{http_request_method="GET",url_scheme="https"}} {n}"#);
    assert_eq!(lines(&proxy, name), [post, get(2)]);
    for worker in &proxy.counters {
        worker.requests_active_by.fall(Method::Get, true);
        worker.server_durations.note(GET, ms(1));
    }
    proxy.counters[1].requests_active_by.fall(Method::Patch, false);
    assert_eq!(lines(&proxy, name), [get(0)]);
}

#[test]
fn connections_to_the_app_are_active_or_idle() {
    let mut proxy = testing::proxy(2);
    proxy.counters[0].upstream_connections_open.set(3);
    proxy.counters[0].upstream_connections_idle.set(1);
    proxy.counters[1].upstream_connections_open.set(2);
    let with = |labels: &str| {
        [("active", 4), ("idle", 1)]
            .map(|(state, n)| format!(r#"http_client_open_connections{{http_connection_state="{state}"{labels}}} {n}"#))
    };
    let shown = |proxy: &Proxy| lines(proxy, "http_client_open_connections");
    assert_eq!(shown(&proxy), with(r#",server_address="app.test",server_port="3000""#));
    proxy.upstreams.push(Upstream { address: "other.test".to_owned(), port: 80 });
    assert_eq!(shown(&proxy), with(""), "they are counted for both together");
}
