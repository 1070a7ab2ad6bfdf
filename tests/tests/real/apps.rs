//! Real apps behind the proxy, asked by our own strict client.

use std::time::Duration;

use slipstream_tests::real::{Peer, go, nginx, node};
use slipstream_tests::{Client, Driver, Framing, on_both_drivers};

use crate::{assert_no_failure, proxy};

/// Requests with pauses about as long as `idle`, the time the app keeps a connection: it closes under our hands again and again.
fn survives_idle_closes(driver: Driver, app: &Peer, idle: Duration) {
    let proxy = proxy(driver, app);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = proxy.client();
                for round in 0..40 {
                    std::thread::park_timeout(idle * (80 + (round * 7 + thread * 11) % 40) / 100);
                    assert_eq!(client.get(&format!("/?{thread}-{round}")).status, 200, "round {round}");
                }
            });
        }
    });
    assert_no_failure(&proxy);
}

/// What every app of `tests/peers` does.
fn serves_every_page(driver: Driver, app: &Peer) {
    let proxy = proxy(driver, app);
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "hello\n");

    let slow = client.get("/slow");
    assert_eq!(slow.framing, Framing::Chunked);
    assert_eq!(slow.text(), (0..10).map(|part| format!("part {part}\n")).collect::<String>());

    let trailers = client.get("/trailers");
    assert_eq!((trailers.text().as_str(), trailers.trailers.get("x-sum")), ("hello", Some("42")));

    let hints = client.get("/hints");
    assert_eq!((hints.status, hints.fields.get("link")), (103, Some("</style.css>; rel=preload")));
    assert_eq!(client.response().text(), "hinted");

    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);

    client.send("POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    client.send("POST /digest HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("abc");
    assert!(client.response().text().starts_with("3 ba7816bf"));
    assert_no_failure(&proxy);

    client.send("GET /break HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_response().expect_err("an app that broke off looks whole");
    assert_eq!(proxy.client().get("/").text(), "hello\n");
}

on_both_drivers! {
    needs "node";

    fn node_serves_every_page(driver: Driver) {
        serves_every_page(driver, &node(&[]));
    }

    fn node_that_closes_idle_connections_costs_no_request(driver: Driver) {
        survives_idle_closes(driver, &node(&[("KEEP_ALIVE_MS", "50")]), Duration::from_millis(50));
    }

    /// Both directions at once, through a real pipe.
    fn node_echoes_while_it_reads(driver: Driver) {
        let app = node(&[]);
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        assert_eq!(client.response_head().status, 200);
        assert_eq!(client.take(10), b"5\r\nfirst\r\n");
        client.send("0\r\n\r\n");
        assert_eq!(client.take(5), b"0\r\n\r\n");
    }
}

on_both_drivers! {
    needs "go";

    fn go_serves_every_page(driver: Driver) {
        serves_every_page(driver, &go(&[]));
    }

    fn go_that_closes_idle_connections_costs_no_request(driver: Driver) {
        survives_idle_closes(driver, &go(&[("KEEP_ALIVE_MS", "50")]), Duration::from_millis(50));
    }
}

on_both_drivers! {
    needs "nginx";

    fn nginx_serves_files(driver: Driver) {
        let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
        let app = nginx("", &[("index.html", b"hello\n"), ("large", &large), ("empty", b"")]);
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/").text(), "hello\n");
        assert!(client.get("/large").body == large);
        assert_eq!(client.get("/empty").framing, Framing::Length(0));
        assert_eq!(client.get("/none").status, 404);

        client.send("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=100-199\r\n\r\n");
        let part = client.response();
        assert!(part.status == 206 && part.body == large[100..200]);

        let tag = client.get("/").fields.get("etag").expect("nginx sends an ETag").to_string();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n"));
        assert_eq!(client.response().status, 304);
        client.send("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response_to("HEAD").fields.get("content-length"), Some("5000000"));
        assert_eq!(client.get("/").text(), "hello\n");
        assert_no_failure(&proxy);
    }

    fn nginx_that_closes_idle_connections_costs_no_request(driver: Driver) {
        let app = nginx("keepalive_timeout 50ms;", &[("index.html", b"hello\n")]);
        survives_idle_closes(driver, &app, Duration::from_millis(50));
    }

    fn nginx_that_closes_after_three_requests_costs_no_request(driver: Driver) {
        let app = nginx("keepalive_requests 3;", &[("index.html", b"hello\n")]);
        let proxy = proxy(driver, &app);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let proxy = &proxy;
                scope.spawn(move || {
                    let mut client = proxy.client();
                    for round in 0..200 {
                        assert_eq!(client.get(&format!("/?{thread}-{round}")).status, 200);
                    }
                });
            }
        });
        assert_no_failure(&proxy);
        let metrics = proxy.metrics();
        assert!(metrics.sum("slipstream_upstream_reuses_total") >= 400, "connections are used again between the closes");
    }

    /// An answer that must not wait for the body: nginx refuses by the length.
    fn nginx_that_refuses_a_body_is_heard(driver: Driver) {
        let app = nginx("client_max_body_size 1k;", &[("index.html", b"hello\n")]);
        let proxy = proxy(driver, &app);
        let mut client: Client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        assert_eq!(client.response().status, 413);
    }
}
