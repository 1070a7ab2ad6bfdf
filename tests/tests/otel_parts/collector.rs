//! The Collector: what it takes in comes back as it was, by each door and through each lock.

use serde_json::{Value, json};
use slipstream_tests::otel::{Collector, Kind, Measured, MetricKind, Span, Status, Temporality};
use slipstream_tests::{Certs, Client, Tls, TlsVersion};

use crate::{
    END_NS, LINKED_SPAN, LINKED_TRACE, PARENT, SPAN, START_NS, TRACE, give, gzip, one_log, one_metric, one_span, post,
};

fn one_comes(collector: &Collector) -> Span {
    let mut spans = collector.spans_until("the span is written", |spans| !spans.is_empty());
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

/// The preface of HTTP/2 with empty settings, and what a server begins with: its settings.
fn assert_speaks_http2(mut client: Client) {
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(client.take(9)[3], 4, "a frame of settings comes first");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn span_comes_back_as_it_was_sent() {
    let collector = Collector::start();
    give(&mut Client::plain(collector.http()), "traces", &one_span());
    let span = one_comes(&collector);
    assert_eq!((span.trace_id.as_str(), span.span_id.as_str(), span.parent.as_deref()), (TRACE, SPAN, Some(PARENT)));
    assert_eq!((span.name.as_str(), span.kind, span.flags), ("GET /orders", Kind::Server, 0x101));
    assert_eq!((span.start_ns, span.end_ns, span.trace_state.as_str()), (START_NS, END_NS, "vendor=1"));
    assert_eq!(Value::Object(span.attributes), json!({"http.response.status_code": 503, "url.path": "/orders"}));
    assert_eq!(span.status, Status::Error("gave up".into()));
    assert_eq!((span.events.len(), span.events[0].name.as_str()), (1, "retry"));
    assert_eq!(span.events[0].attributes["attempt"], 2);
    assert_eq!((span.links.len(), span.links[0].trace_id.as_str()), (1, LINKED_TRACE));
    assert_eq!(span.links[0].span_id, LINKED_SPAN);
    assert_eq!(Value::Object(span.source.resource), json!({"service.name": "orders", "k8s.pod.name": "orders-0"}));
    assert_eq!((span.source.scope.as_str(), span.source.scope_version.as_str()), ("by hand", "1"));
}

#[test]
#[ignore = "needs tests/otel/build"]
fn metrics_and_logs_come_back_as_they_were_sent() {
    let collector = Collector::set_up().metrics_page().start();
    let mut client = Client::plain(collector.http());
    give(&mut client, "metrics", &one_metric());
    give(&mut client, "logs", &one_log());

    let metrics = collector.metrics_until("the metric is written", |metrics| !metrics.is_empty());
    let metric = &metrics[0];
    assert_eq!(
        (metric.name.as_str(), metric.unit.as_str(), metric.description.as_str()),
        ("test.requests", "1", "Requests.")
    );
    assert_eq!(metric.kind, MetricKind::Sum { monotonic: true, temporality: Temporality::Cumulative });
    assert_eq!(metric.points[0].measured, Measured::Integer(42));
    assert_eq!(metric.points[0].attributes["route"], "/orders");
    let page = collector.metrics_text();
    assert!(page.lines().any(|line| line.starts_with("test_requests_total{") && line.ends_with(" 42")), "{page}");

    let logs = collector.logs_until("the record is written", |logs| !logs.is_empty());
    assert_eq!((&logs[0].body, logs[0].severity.as_str(), logs[0].severity_number), (&json!("it broke"), "ERROR", 17));
    assert_eq!((logs[0].trace_id.as_str(), logs[0].span_id.as_str(), logs[0].time_ns), (TRACE, SPAN, START_NS));
    assert_eq!(collector.spans(), []);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn body_of_gzip_is_taken() {
    let collector = Collector::start();
    let packed = gzip(one_span().to_string().as_bytes());
    let answer = post(&mut Client::plain(collector.http()), "traces", &["Content-Encoding: gzip"], &packed);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(one_comes(&collector).trace_id, TRACE);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn what_is_no_otlp_is_refused() {
    let collector = Collector::start();
    let mut client = Client::plain(collector.http());
    assert_eq!(post(&mut client, "traces", &[], b"{\"resourceSpans\": 1}").status, 400);
    give(&mut client, "traces", &one_span());
    one_comes(&collector);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn door_of_grpc_speaks_http2() {
    let collector = Collector::start();
    assert_speaks_http2(Client::plain(collector.grpc()));
}

#[test]
#[ignore = "needs tests/otel/build"]
fn under_tls_both_doors_are_for_those_who_trust_it() {
    let certs = Certs::new();
    let collector = Collector::set_up().tls(certs.leaf(&["collector.test"])).start();
    give(&mut Client::tls(collector.http(), &Tls::to("collector.test", &certs)), "traces", &one_span());
    assert_eq!(one_comes(&collector).trace_id, TRACE);
    let h2 = Tls::to("collector.test", &certs).alpn(&["h2"]);
    assert_speaks_http2(Client::tls(collector.grpc(), &h2));

    for door in [collector.http(), collector.grpc()] {
        assert!(Client::try_tls(door, &Tls::to("other.test", &certs)).is_err(), "another name");
        assert!(Client::try_tls(door, &Tls::to("collector.test", &Certs::new())).is_err(), "another authority");
    }
    let mut plain = Client::plain(collector.http());
    plain.send("POST /v1/traces HTTP/1.1\r\nHost: collector\r\nContent-Length: 2\r\n\r\n{}");
    assert!(plain.try_response().is_ok_and(|answer| answer.status == 400), "Go says so to a client without TLS");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let (certs, of_clients) = (Certs::new(), Certs::new());
    let collector = Collector::set_up().tls(certs.leaf(&["collector.test"]));
    let collector = collector.client_authority(of_clients.authority_file()).start();
    // By TLS 1.2, where a client hears of the refusal in its handshake.
    let tls = Tls::only(TlsVersion::V1_2, "collector.test", &certs);
    assert!(Client::try_tls(collector.http(), &tls).is_err());
    let known = tls.showing(&of_clients.leaf(&["proxy.test"]));
    give(&mut Client::tls(collector.http(), &known), "traces", &one_span());
    one_comes(&collector);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn request_without_the_token_is_refused() {
    let collector = Collector::set_up().bearer("secret").start();
    let mut client = Client::plain(collector.http());
    let body = one_span().to_string();
    assert_eq!(post(&mut client, "traces", &[], body.as_bytes()).status, 401);
    assert_eq!(post(&mut client, "traces", &["Authorization: Bearer other"], body.as_bytes()).status, 401);
    assert_eq!(post(&mut client, "traces", &["Authorization: Bearer secret"], body.as_bytes()).status, 200);
    one_comes(&collector);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn collector_that_was_away_goes_on_where_it_was() {
    let mut collector = Collector::start();
    let mut client = Client::plain(collector.http());
    give(&mut client, "traces", &one_span());
    one_comes(&collector);
    collector.end();
    assert!(client.rest().0.is_empty(), "its connections end");
    assert!(std::net::TcpStream::connect(collector.http()).is_err());
    assert_eq!(collector.spans().len(), 1, "what came is kept");

    collector.start_again();
    give(&mut Client::plain(collector.http()), "traces", &one_span());
    collector.spans_until("both are written", |spans| spans.len() == 2);
}
