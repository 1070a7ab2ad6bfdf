//! What the cases share: an app with a path for each thing that can happen, a Collector, a proxy between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};
use slipstream_tests::otel::{Attributes, Collector, Kind, Span};
use slipstream_tests::{App, Client, Driver, Origin, Proxy, Running};

pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const PARENT: &str = "b7ad6b7169203331";

/// The line that makes a request part of that trace.
pub fn traceparent() -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n")
}

pub fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example:8080\r\n{lines}\r\n")
}

/// Answers by path: `/status/404` with that status; `/close` closes the second time that a connection is used; `/never` does not answer, `/part` not
/// whole.
pub fn app() -> App {
    App::scripted(|mut conn| {
        let mut served = 0;
        while let Some(request) = conn.request() {
            served += 1;
            let target = request.target.clone();
            let status = target.strip_prefix("/status/").unwrap_or("200").split(['?', '/']).next().unwrap().to_owned();
            if target.starts_with("/never") {
                conn.closed();
                return;
            }
            if target.starts_with("/part") {
                conn.send("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nok");
                conn.closed();
                return;
            }
            if target.starts_with("/close") && served > 1 {
                return;
            }
            if !conn.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok")) {
                return;
            }
        }
    })
}

/// Which way spans go to the Collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Http,
    Grpc,
}

/// `proxy`, exporting to `collector` by `door`, soon.
pub fn exporting(proxy: Proxy, collector: &Collector, door: Door) -> Proxy {
    let proxy = match door {
        Door::Http => proxy.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http())),
        Door::Grpc => proxy
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.grpc()))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    };
    soon(proxy.env("OTEL_SERVICE_NAME", "shop"))
}

pub fn soon(proxy: Proxy) -> Proxy {
    proxy.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("OTEL_BLRP_SCHEDULE_DELAY", "50")
}

/// A proxy in front of [`app`].
pub struct Scene {
    pub app: App,
    pub collector: Collector,
    pub proxy: Running,
    /// Spans that earlier looks of the case have taken.
    seen: AtomicUsize,
}

impl Scene {
    pub fn on(driver: Driver) -> Scene {
        Scene::set(driver, Door::Http, |proxy| proxy)
    }

    pub fn set(driver: Driver, door: Door, shape: impl FnOnce(Proxy) -> Proxy) -> Scene {
        let (app, collector) = (app(), Collector::start());
        let proxy = exporting(Proxy::in_front_of(&app).driver(driver), &collector, door);
        let proxy = shape(proxy).start();
        Scene { app, collector, proxy, seen: AtomicUsize::new(0) }
    }

    pub fn client(&self) -> Client {
        self.proxy.client()
    }

    /// The next so many spans that come, and no more are on the way.
    pub fn next(&self, count: usize) -> Vec<Span> {
        let before = self.seen.load(SeqCst);
        let spans = self.collector.spans_until(&format!("{count} more spans"), |spans| spans.len() >= before + count);
        assert_eq!(spans.len(), before + count, "{:#?}", &spans[before..]);
        self.seen.store(before + count, SeqCst);
        spans[before..].to_vec()
    }

    /// Asks on a connection of its own, and gives the SERVER and the CLIENT span.
    pub fn ask(&self, request: &str) -> (Span, Span) {
        let mut client = self.client();
        client.send(request);
        client.response();
        let mut spans = self.next(2);
        let client = spans.remove(spans.iter().position(|span| span.kind == Kind::Client).expect("a CLIENT span"));
        let server = spans.remove(0);
        assert_eq!(server.kind, Kind::Server);
        assert_eq!(client.parent.as_ref(), Some(&server.span_id));
        assert_eq!(client.trace_id, server.trace_id);
        assert!(
            server.start_ns <= client.start_ns && client.end_ns <= server.end_ns + 1_000_000,
            "{server:?} {client:?}"
        );
        (server, client)
    }

    /// The address of the app, as spans have it.
    pub fn app_port(&self) -> u16 {
        self.app.address().port()
    }
}

/// All attributes of a span but `except`, whose values differ each time; those must be there.
#[track_caller]
pub fn attributes(span: &Span, except: &[&str]) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = span.attributes.clone().into_iter().collect();
    for name in except {
        assert!(all.remove(*name).is_some(), "{name} is missing: {all:?}");
    }
    all
}

/// `{..}` as a map of attributes.
pub fn map(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).expect("a map")
}

pub fn text<'a>(attributes: &'a Attributes, name: &str) -> &'a str {
    attributes.get(name).and_then(Value::as_str).unwrap_or("")
}

/// What a SERVER span of [`get`] has, beside the port of its client.
pub fn usual_server(path: &str, status: u16) -> Value {
    json!({
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": path,
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "http.response.status_code": status,
        "slipstream.coalesce.role": "alone",
    })
}

/// What its CLIENT span has, on a new connection.
pub fn usual_client(scene: &Scene, target: &str, status: u16) -> Value {
    let port = scene.app_port();
    json!({
        "http.request.method": "GET",
        "url.full": format!("http://127.0.0.1:{port}{target}"),
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "network.protocol.version": "1.1",
        "http.response.status_code": status,
        "slipstream.upstream.reused": false,
    })
}

/// `value` with more members; null takes one away.
pub fn with(mut value: Value, more: Value) -> Value {
    let members = value.as_object_mut().expect("a map");
    for (key, value) in more.as_object().expect("a map") {
        if value.is_null() {
            members.remove(key);
        } else {
            members.insert(key.clone(), value.clone());
        }
    }
    value
}
