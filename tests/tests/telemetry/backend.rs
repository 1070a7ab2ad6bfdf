//! End to end: a request with a known trace, and what a person finds of it in Jaeger.

use slipstream_tests::otel::{Collector, Jaeger};
use slipstream_tests::{Proxy, on_both_drivers};

use crate::scene::{Door, PARENT, TRACE, app, exporting, get, traceparent};

on_both_drivers! { needs "tests/otel/build";
    fn trace_is_found_in_jaeger(driver: Driver) {
        let jaeger = Jaeger::start();
        let collector = Collector::set_up().traces_to(jaeger.grpc()).start();
        let app = app();
        let proxy = exporting(Proxy::in_front_of(&app).driver(driver), &collector, Door::Grpc).start();
        let mut client = proxy.client();
        client.send(get("/cart", &traceparent()));
        client.response();
        let spans = jaeger.trace_until(TRACE, "two spans", |spans| spans.len() == 2);
        let of = |kind| spans.iter().find(|span| span.kind() == Some(kind)).unwrap_or_else(|| panic!("{kind}: {spans:#?}"));
        let (server, client) = (of("server"), of("client"));
        assert_eq!((server.service.as_str(), server.name.as_str(), server.parent()), ("shop", "GET", Some(PARENT)));
        assert_eq!(client.parent(), Some(server.span_id.as_str()));
        assert_eq!(server.tags["url.path"], "/cart");
    }
}
