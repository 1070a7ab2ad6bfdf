//! Jaeger: what its users see of a span.

use slipstream_tests::Client;
use slipstream_tests::otel::jaeger::Reference;
use slipstream_tests::otel::{Collector, Jaeger};

use crate::{LINKED_SPAN, LINKED_TRACE, PARENT, SPAN, START_NS, TRACE, give, one_span};

fn assert_stored(jaeger: &Jaeger) {
    let spans = jaeger.trace_until(TRACE, "the span is stored", |spans| !spans.is_empty());
    assert_eq!(spans.len(), 1);
    let span = &spans[0];
    assert_eq!((span.trace_id.as_str(), span.span_id.as_str(), span.parent()), (TRACE, SPAN, Some(PARENT)));
    assert_eq!((span.service.as_str(), span.name.as_str(), span.kind()), ("orders", "GET /orders", Some("server")));
    assert_eq!((span.start_us, span.duration_us), (START_NS / 1000, 1500));
    let link = Reference { kind: "FOLLOWS_FROM".into(), trace_id: LINKED_TRACE.into(), span_id: LINKED_SPAN.into() };
    assert!(span.references.contains(&link), "{:?}", span.references);
    assert_eq!((&span.tags["http.response.status_code"], &span.tags["url.path"]), (&503.into(), &"/orders".into()));
    assert_eq!((&span.tags["error"], &span.tags["otel.status_description"]), (&true.into(), &"gave up".into()));
    assert_eq!(span.resource["k8s.pod.name"], "orders-0");
    assert_eq!((&span.logs[0]["event"], &span.logs[0]["attempt"]), (&"retry".into(), &2.into()));
    assert_eq!(jaeger.services(), ["orders"]);
}

#[test]
#[ignore = "needs tests/otel/build"]
fn span_reaches_jaeger_through_the_collector() {
    let jaeger = Jaeger::start();
    let collector = Collector::set_up().traces_to(jaeger.grpc()).start();
    assert_eq!(jaeger.trace(TRACE), [], "nothing is there before");
    give(&mut Client::plain(collector.http()), "traces", &one_span());
    assert_stored(&jaeger);
    assert_eq!(collector.spans().len(), 1, "it is in the Collector's file too");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn jaeger_takes_a_span_itself() {
    let jaeger = Jaeger::start();
    give(&mut Client::plain(jaeger.http()), "traces", &one_span());
    assert_stored(&jaeger);
}
