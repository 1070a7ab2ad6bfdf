//! The context of a trace: how it comes and how it goes on.

use slipstream_tests::otel::Kind;
use slipstream_tests::{App, Driver, Proxy, Request, on_both_drivers};

use crate::scene::{Door, PARENT, Scene, TRACE, get, soon, traceparent};

/// A proxy that traces, without anybody to tell, and what the app saw of one request through it.
fn seen(driver: Driver, shape: impl FnOnce(Proxy) -> Proxy, lines: &str) -> Request {
    let app = App::ok();
    let proxy = Proxy::in_front_of(&app).driver(driver).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let proxy = shape(soon(proxy)).start();
    let mut client = proxy.client();
    client.send(get("/seen", lines));
    client.response();
    app.request_for("/seen")
}

fn parent_of(request: &Request) -> (String, String, String) {
    let lines = request.fields.all("traceparent");
    let [line] = lines[..] else { panic!("one traceparent: {lines:?}") };
    let parts: Vec<&str> = line.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { panic!("{line}") };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16), "{line}");
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

on_both_drivers! {
    fn trace_goes_on_and_state_keeps_its_order(driver: Driver) {
        let lines = format!("{}tracestate: b=2,a=1\r\nbaggage: k=v\r\ntracestate: c=3\r\n", traceparent());
        let request = seen(driver, |proxy| proxy, &lines);
        let (trace, span, flags) = parent_of(&request);
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
        assert_ne!(span, PARENT);
        assert_eq!(request.fields.all("tracestate"), ["b=2,a=1", "c=3"]);
        assert_eq!(request.fields.get("baggage"), Some("k=v"));
    }

    fn broken_parent_begins_a_new_trace_and_is_not_handed_on(driver: Driver) {
        for broken in [
            format!("traceparent: 00-{}-{PARENT}-01\r\n", "0".repeat(32)),
            format!("traceparent: 00-{TRACE}-{}-01\r\n", "0".repeat(16)),
            format!("traceparent: 00-{TRACE}-{PARENT}\r\n"),
            "traceparent: what\r\n".to_owned(),
            format!("{}{}", traceparent(), traceparent()),
        ] {
            let request = seen(driver, |proxy| proxy, &format!("{broken}tracestate: a=1\r\n"));
            let (trace, _, flags) = parent_of(&request);
            assert!(trace != TRACE && trace != "0".repeat(32), "{broken}");
            assert_eq!(flags, "01");
            assert!(!request.fields.has("tracestate"), "{broken}");
        }
    }

    fn state_of_50_members_is_dropped_and_the_trace_is_kept(driver: Driver) {
        let members: Vec<String> = (0..50).map(|n| format!("k{n}=v")).collect();
        let request = seen(driver, |proxy| proxy, &format!("{}tracestate: {}\r\n", traceparent(), members.join(",")));
        assert_eq!(parent_of(&request).0, TRACE);
        assert!(!request.fields.has("tracestate"));
    }

    fn large_baggage_passes(driver: Driver) {
        let baggage = format!("k={}", "v".repeat(20 << 10));
        let request = seen(driver, |proxy| proxy, &format!("{}baggage: {baggage}\r\n", traceparent()));
        assert_eq!(request.fields.get("baggage"), Some(baggage.as_str()));
    }

    fn unsampled_trace_stays_unsampled(driver: Driver) {
        let lines = traceparent().replace("-01\r", "-00\r");
        let (trace, _, flags) = parent_of(&seen(driver, |proxy| proxy, &lines));
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
        let off = |proxy: Proxy| proxy.env("OTEL_TRACES_SAMPLER", "always_off");
        assert_eq!(parent_of(&seen(driver, off, &traceparent())).2, "00");
        let none = |proxy: Proxy| proxy.policy("telemetry: {traceSampleRatio: 0}");
        assert_eq!(parent_of(&seen(driver, none, "")).2, "00");
        assert_eq!(parent_of(&seen(driver, none, &traceparent())).2, "01", "who asks has decided");
        let route = |proxy: Proxy| {
            proxy.policy(
                "telemetry: {traceSampleRatio: 0}\nroutes: [{match: {path: /seen}, telemetry: {traceSampleRatio: 1}}]",
            )
        };
        assert_eq!(parent_of(&seen(driver, route, "")).2, "01");
    }

    fn b3_comes_and_goes_where_it_is_asked_for(driver: Driver) {
        let b3 = |proxy: Proxy| proxy.env("OTEL_PROPAGATORS", "b3");
        let request = seen(driver, b3, &format!("b3: {TRACE}-{PARENT}-1\r\ntraceparent: left-as-it-is\r\n"));
        let line = request.fields.get("b3").unwrap();
        assert!(line.starts_with(&format!("{TRACE}-")) && line.ends_with("-1") && !line.contains(PARENT), "{line}");
        assert_eq!(request.fields.get("traceparent"), Some("left-as-it-is"));
        let multi = |proxy: Proxy| proxy.env("OTEL_PROPAGATORS", "tracecontext,b3multi");
        let lines = format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {PARENT}\r\nX-B3-Sampled: 0\r\n");
        let request = seen(driver, multi, &lines);
        assert_eq!(request.fields.all("x-b3-traceid"), [TRACE]);
        assert_eq!(request.fields.all("x-b3-sampled"), ["0"]);
        assert_eq!((parent_of(&request).0.as_str(), parent_of(&request).2.as_str()), (TRACE, "00"));
    }

    fn without_an_endpoint_a_trace_passes_as_it_came(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        let lines = format!("{}tracestate: a=1,,b=2\r\nb3: x\r\n", traceparent());
        let mut client = proxy.client();
        client.send(get("/seen", &lines));
        client.response();
        assert!(String::from_utf8_lossy(&app.received(0)).contains(&lines));
    }

    fn without_an_endpoint_a_broken_parent_is_not_handed_on_either(driver: Driver) {
        for policy in ["telemetry: {accessLog: off}", "telemetry: {accessLog: on}"] {
            let app = App::ok();
            let proxy = Proxy::in_front_of(&app).driver(driver).policy(policy).start();
            let mut client = proxy.client();
            client.send(get("/seen", "traceparent: what\r\ntracestate: a=1\r\nb3: x\r\n"));
            client.response();
            let request = app.request_for("/seen");
            assert_eq!(parent_of(&request).2, "00", "{policy}");
            assert!(!request.fields.has("tracestate") && request.fields.get("b3") == Some("x"), "{policy}");
        }
    }

    fn bad_variables_are_said_and_the_proxy_runs(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver);
        let proxy = proxy.env("OTEL_TRACES_SAMPLER", "sometimes").env("OTEL_BSP_MAX_QUEUE_SIZE", "many").start();
        assert_eq!(proxy.client().get("/").status, 200);
        let log = proxy.stop().stderr;
        assert!(log.contains("OTEL_TRACES_SAMPLER: found `sometimes`, allowed: always_on"), "{log}");
        assert!(log.contains("OTEL_BSP_MAX_QUEUE_SIZE: found `many`, allowed: a whole number"), "{log}");
    }
}

on_both_drivers! { needs "tests/otel/build";
    fn what_is_not_sampled_is_not_told(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| proxy.env("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
        for lines in ["", &traceparent().replace("-01\r", "-00\r")] {
            let mut client = scene.client();
            client.send(get("/", lines));
            client.response();
        }
        let (server, _) = scene.ask(&get("/told", &traceparent()));
        assert_eq!(server.kind, Kind::Server);
        assert_eq!(scene.collector.spans().len(), 2, "of the last request alone");
    }
}
