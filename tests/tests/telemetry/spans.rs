//! Names, kinds, parents, status and every attribute, against the semantic conventions.

use serde_json::json;
use slipstream_tests::otel::{Collector, Kind, Span, Status};
use slipstream_tests::{Certs, Client, Origin, Proxy, Refusing, Tls, on_both_drivers};

use crate::scene::{
    Door, PARENT, Scene, TRACE, attributes, exporting, get, map, text, traceparent, usual_client, usual_server, with,
};

const VARIES: &[&str] = &["network.peer.port", "slipstream.coalesce.outcome"];
const TO_REMOTE: u64 = 0x301;
const TO_LOCAL: u64 = 0x101;

on_both_drivers! { needs "tests/otel/build";
    fn get_is_told_with_every_attribute_by_http(driver: Driver) {
        told_with_every_attribute(&Scene::on(driver));
    }

    fn get_is_told_with_every_attribute_by_grpc(driver: Driver) {
        told_with_every_attribute(&Scene::set(driver, Door::Grpc, |proxy| proxy));
    }

    fn client_errors_are_the_clients_and_server_errors_the_servers(driver: Driver) {
        let scene = Scene::on(driver);
        for (status, server_fails) in [(404, false), (500, true), (503, true)] {
            let path = format!("/status/{status}");
            let (server, client) = scene.ask(&get(&path, ""));
            let failed = json!({"error.type": status.to_string()});
            let expected = usual_server(&path, status);
            let expected = if server_fails { with(expected, failed.clone()) } else { expected };
            assert_eq!(attributes(&server, VARIES), map(expected), "{status}");
            assert_eq!(server.status, if server_fails { Status::Error(String::new()) } else { Status::Unset }, "{status}");
            let reused = json!({"slipstream.upstream.reused": status != 404});
            let expected = with(with(usual_client(&scene, &path, status), failed), reused);
            assert_eq!(attributes(&client, &[]), map(expected), "{status}");
            assert_eq!(client.status, Status::Error(String::new()), "{status}");
        }
    }

    fn other_methods_bodies_and_versions_are_told(driver: Driver) {
        let scene = Scene::on(driver);
        let (server, client) = scene.ask("POST /form HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\na=b");
        assert_eq!((server.name.as_str(), client.name.as_str()), ("POST", "POST"));
        assert_eq!((text(&server.attributes, "server.address"), &server.attributes["server.port"]), ("::1", &json!(80)));
        let (server, client) = scene.ask("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n");
        for span in [&server, &client] {
            assert_eq!(span.name, "HTTP");
            assert_eq!(text(&span.attributes, "http.request.method"), "_OTHER");
            assert_eq!(text(&span.attributes, "http.request.method_original"), "BREW");
        }
        let (server, _) = scene.ask("GET /old HTTP/1.0\r\n\r\n");
        assert_eq!(text(&server.attributes, "network.protocol.version"), "1.0");
        assert!(!server.attributes.contains_key("server.address"), "it named no host");
    }

    fn client_is_who_asked_first(driver: Driver) {
        let scene = Scene::on(driver);
        let (server, _) = scene.ask(&get("/", "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n"));
        assert_eq!(text(&server.attributes, "client.address"), "203.0.113.7");
        assert_eq!(text(&server.attributes, "network.peer.address"), "127.0.0.1");
    }

    fn route_is_in_the_name_and_the_path_never(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| {
            proxy.policy("routes: [{match: {pathPrefix: /api}, coalescing: {mode: off}}]")
        });
        let (server, client) = scene.ask(&get("/api/orders/17", ""));
        assert_eq!((server.name.as_str(), client.name.as_str()), ("GET /api/*", "GET /api/*"));
        assert_eq!(text(&server.attributes, "http.route"), "/api/*");
        assert_eq!(scene.ask(&get("/other", "")).0.name, "GET");
    }

    fn tls_is_told_as_https(driver: Driver) {
        let certs = Certs::new();
        let scene = Scene::set(driver, Door::Http, |proxy| proxy.tls(certs.leaf(&["shop.example"])));
        let mut client = Client::tls(scene.proxy.https(), &Tls::to("shop.example", &certs));
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        client.response();
        let spans = scene.next(2);
        let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
        assert_eq!((text(&server.attributes, "url.scheme"), &server.attributes["server.port"]), ("https", &json!(443)));
    }

    fn faults_have_their_word_and_the_right_status(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| proxy.policy("timeouts: {responseHeaders: 50ms}"));
        let (server, client) = scene.ask(&get("/never", ""));
        for span in [&server, &client] {
            assert_eq!(text(&span.attributes, "error.type"), "responseHeaders");
            assert!(matches!(&span.status, Status::Error(why) if !why.is_empty()), "{span:?}");
        }
        assert_eq!(server.attributes["http.response.status_code"], json!(504));
        assert!(!client.attributes.contains_key("http.response.status_code"));
    }

    fn refused_connection_is_an_attempt_that_failed(driver: Driver) {
        let (refusing, collector) = (Refusing::new(), Collector::start());
        let proxy = exporting(Proxy::in_front_of(&refusing).driver(driver), &collector, Door::Http).start();
        assert_eq!(proxy.client().get("/").status, 502);
        let spans = collector.spans_until("two spans", |spans| spans.len() == 2);
        assert!(spans.iter().all(|span| text(&span.attributes, "error.type") == "connect_failed"), "{spans:#?}");
        let client = spans.iter().find(|span| span.kind == Kind::Client).unwrap();
        assert_eq!(client.attributes["server.port"], json!(refusing.address().port()));
        assert!(!client.attributes.contains_key("http.response.status_code"));
    }

    fn shed_request_says_why_and_asks_nobody(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| {
            proxy.policy("concurrency: {limit: 1, queue: {depth: 1, timeout: 50ms}}").each_goes_up()
        });
        let mut occupies = scene.client();
        occupies.send(get("/never", ""));
        scene.app.wait_to_see("/never");
        let mut client = scene.client();
        client.send(get("/late", ""));
        assert_eq!(client.response().status, 503);
        let [server] = &scene.next(1)[..] else { panic!("one span") };
        assert_eq!((server.kind, text(&server.attributes, "slipstream.shed")), (Kind::Server, "queue"));
        assert_eq!(text(&server.attributes, "error.type"), "queue");
        assert!(server.attributes["slipstream.queue.wait"].as_f64().unwrap() > 0.0);
    }

    fn caller_that_leaves_is_no_error(driver: Driver) {
        let scene = Scene::on(driver);
        let mut client = scene.client();
        client.send(get("/never", ""));
        scene.app.wait_to_see("/never");
        client.reset();
        cancelled(&scene.next(2));
    }

    fn caller_that_leaves_in_the_answer_is_no_error(driver: Driver) {
        let scene = Scene::on(driver);
        let mut client = scene.client();
        client.send(get("/part", ""));
        client.response_head();
        client.reset();
        cancelled(&scene.next(2));
        let failed = scene.proxy.metrics();
        assert_eq!(failed.sum_where("http_client_request_duration_seconds_count", "error_type"), 0);
    }

    fn replay_is_a_second_attempt(driver: Driver) {
        let scene = Scene::on(driver);
        let mut client = scene.client();
        client.send(get("/warm", ""));
        client.response();
        scene.next(2);
        client.send(get("/close", &traceparent()));
        client.response();
        let spans = scene.next(3);
        let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
        assert_eq!(server.attributes["slipstream.replays"], json!(1));
        let attempts: Vec<_> = spans.iter().filter(|span| span.kind == Kind::Client).collect();
        let [first, second] = attempts[..] else { panic!("two attempts: {spans:?}") };
        assert_eq!(first.attributes["slipstream.upstream.reused"], json!(true));
        assert!(matches!(first.status, Status::Error(_)) && !first.attributes.contains_key("http.request.resend_count"));
        assert_eq!(second.attributes["http.request.resend_count"], json!(1));
        assert_eq!(second.status, Status::Unset);
        assert!(first.parent.as_ref() == Some(&server.span_id) && second.parent == first.parent);
        // Each told the app who asks.
        for attempt in [first, second] {
            scene.app.wait_to_see(&format!("traceparent: 00-{TRACE}-{}-01", attempt.span_id));
        }
    }
}

fn cancelled(spans: &[Span]) {
    for span in spans {
        assert_eq!(span.status, Status::Unset, "{span:?}");
        assert_eq!(span.attributes.get("slipstream.cancelled"), Some(&json!(true)), "{span:?}");
        assert!(!span.attributes.contains_key("error.type"), "{span:?}");
    }
}

fn told_with_every_attribute(scene: &Scene) {
    let lines = format!("{}User-Agent: test/1\r\n", traceparent());
    let (server, client) = scene.ask(&get("/cart?id=7&token=secret", &lines));
    let more = json!({"url.query": "id=7&token=REDACTED", "user_agent.original": "test/1"});
    assert_eq!(attributes(&server, VARIES), map(with(usual_server("/cart", 200), more)));
    assert_eq!(attributes(&client, &[]), map(usual_client(scene, "/cart?id=7&token=REDACTED", 200)));
    assert_eq!((server.name.as_str(), client.name.as_str()), ("GET", "GET"));
    assert_eq!((server.trace_id.as_str(), server.parent.as_deref()), (TRACE, Some(PARENT)));
    assert_eq!((server.flags, client.flags), (TO_REMOTE, TO_LOCAL));
    assert_eq!((&server.status, &client.status), (&Status::Unset, &Status::Unset));
    assert_eq!(server.source.scope, "slipstream");
    assert_eq!(text(&server.source.resource, "service.name"), "shop");
    assert!(!text(&server.source.resource, "service.instance.id").is_empty());
    assert!(server.start_ns > 1_700_000_000_000_000_000 && server.end_ns > server.start_ns);
    scene.app.wait_to_see(&format!("traceparent: 00-{TRACE}-{}-01", client.span_id));
}
