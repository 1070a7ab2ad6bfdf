//! Warm connections to the app: reuse, order, idle time, and the replay rule. A connection that went stale is not the client's problem,
//! and a request that the app may have acted on is never sent twice.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use slipstream_tests::{App, Conn, Event, Proxy, on_both_drivers};

use crate::proxy;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers `requests` requests, then closes.
fn serve(conn: &mut Conn, requests: usize) {
    for _ in 0..requests {
        if conn.request().is_none() {
            return;
        }
        conn.send(OK);
    }
}

on_both_drivers! {
    fn connection_is_used_again(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app);
        for _ in 0..10 {
            assert_eq!(proxy.client().get("/").text(), "ok");
        }
        assert_eq!(app.connections(), 1);
        let metrics = proxy.metrics_until("all are done", |metrics| metrics.sum("slipstream_requests_active") == 0);
        assert_eq!(metrics.sum("slipstream_upstream_connections_total"), 1);
        assert_eq!(metrics.sum("slipstream_upstream_reuses_total"), 9);
        assert_eq!(metrics.sum("slipstream_upstream_connections_idle"), 1);
    }

    /// RFC 9112 section 9.3.
    fn connection_that_the_app_will_close_is_not_used_again(driver: Driver) {
        for head in ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.1 200 OK\r\nConnection: x, Close", "HTTP/1.0 200 OK"] {
            let app = App::answering(format!("{head}\r\nContent-Length: 2\r\n\r\nok"));
            let proxy = proxy(driver, &app);
            let mut client = proxy.client();
            for _ in 0..3 {
                assert_eq!(client.get("/").text(), "ok");
            }
            assert_eq!(app.connections(), 3, "{head}");
        }
    }

    /// RFC 9112 appendix C.2.2.
    fn connection_that_an_http_10_app_keeps_is_used_again(driver: Driver) {
        let app = App::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "ok");
        }
        assert_eq!(app.connections(), 1);
    }

    /// The newest first, so that what is not needed grows old and goes.
    fn connection_that_was_used_last_is_used_next(driver: Driver) {
        let together = Event::new();
        let scripted = together.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target.starts_with("/together") {
                    scripted.wait("all are under way");
                }
                let number = conn.number;
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"));
            }
        });
        let proxy = proxy(driver, &app);
        let mut clients: Vec<_> = (0..3).map(|_| proxy.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /together-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        app.wait_for_connections(3);
        together.raise();
        for client in &mut clients {
            client.response();
        }
        let last = clients[0].get("/").text();
        for _ in 0..10 {
            assert_eq!(clients[1].get("/").text(), last);
        }
        assert_eq!(app.connections(), 3);
    }

    /// coalescing.md, replay: the app closes each connection after a few requests, without a word. No client may notice.
    fn app_that_closes_idle_connections_costs_no_idempotent_request(driver: Driver) {
        let app = App::scripted(|mut conn| {
            let requests = 1 + conn.number % 3;
            serve(&mut conn, requests);
        });
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).start();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    for method in ["GET", "PUT", "DELETE", "OPTIONS"].iter().cycle().take(100) {
                        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
                        assert_eq!(client.response().status, 200, "{method}");
                    }
                });
            }
        });
        assert_eq!(proxy.metrics().sum_where("slipstream_responses_total", "class=\"5xx\""), 0);
    }

    /// The app takes the second request on a connection and closes without a byte: an idempotent one is sent once more.
    fn idempotent_request_on_a_stale_connection_is_sent_once_more(driver: Driver) {
        let app = App::scripted(|mut conn| match conn.number {
            0 => {
                serve(&mut conn, 1);
                conn.request();
            }
            _ => serve(&mut conn, usize::MAX),
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").text(), "ok");
        assert_eq!(client.get("/second").text(), "ok");
        assert_eq!(proxy.metrics().sum("slipstream_upstream_replays_total"), 1);
        let targets: Vec<String> = app.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, ["/first", "/second", "/second"]);
    }

    /// The same, with a body that is still wholly in memory.
    fn idempotent_request_with_a_small_body_is_sent_once_more(driver: Driver) {
        let app = App::scripted(|mut conn| match conn.number {
            0 => {
                serve(&mut conn, 1);
                conn.request();
            }
            _ => serve(&mut conn, usize::MAX),
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").text(), "ok");
        client.send("PUT /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().text(), "ok");
        let bodies: Vec<Vec<u8>> = app.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies, [b"".to_vec(), b"hello".to_vec(), b"hello".to_vec()]);
    }

    /// Once more, not for ever: the replacement fails too.
    fn replay_happens_once(driver: Driver) {
        let app = App::scripted(|mut conn| match conn.number {
            0 => {
                serve(&mut conn, 1);
                conn.request();
            }
            _ => {
                conn.request();
            }
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").text(), "ok");
        assert_eq!(client.get("/second").status, 502);
        assert_eq!(app.requests().len(), 3);
    }

    /// A fresh connection that fails is no stale one: nothing is sent again.
    fn request_on_a_fresh_connection_is_not_sent_again(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
        });
        let proxy = proxy(driver, &app);
        assert_eq!(proxy.client().get("/").status, 502);
        assert_eq!(app.connections(), 1);
    }

    /// RFC 9110 section 9.2.2: the app may have acted on it.
    fn post_that_the_app_may_have_seen_is_never_sent_again(driver: Driver) {
        for method in ["POST", "PATCH", "PURGE"] {
            let app = App::scripted(|mut conn| match conn.number {
                0 => {
                    serve(&mut conn, 1);
                    conn.request();
                }
                _ => serve(&mut conn, usize::MAX),
            });
            let proxy = proxy(driver, &app);
            let mut client = proxy.client();
            assert_eq!(client.get("/first").text(), "ok");
            client.send(format!("{method} /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
            assert_eq!(client.response().status, 502, "{method}");
            let times = app.requests().iter().filter(|request| request.target == "/second").count();
            assert_eq!((times, proxy.metrics().sum("slipstream_upstream_replays_total")), (1, 0), "{method}");
        }
    }

    /// An answer that has begun is not begun again.
    fn request_is_not_sent_again_after_the_first_byte_of_an_answer(driver: Driver) {
        let app = App::scripted(|mut conn| {
            serve(&mut conn, 1);
            conn.request();
            conn.send("HTTP/1.1 2");
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/first").text(), "ok");
        assert_eq!(client.get("/second").status, 502);
        assert_eq!((app.connections(), app.requests().len()), (1, 2));
    }

    /// A POST meets a connection that the app closed while idle: it was seen, so a new one is made and no client notices.
    fn connection_that_was_closed_while_idle_is_not_used(driver: Driver) {
        let app = App::scripted(|mut conn| serve(&mut conn, 1));
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for number in 0..10 {
            client.send(format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
            assert_eq!(client.response().status, 200);
            app.wait_to_close(number);
        }
        assert_eq!((app.connections(), app.requests().len()), (10, 10));
    }

    /// RFC 9112 section 9.3 and RFC 2068 section 19.7.1: `timeout` less 1 s, so a connection with 1 s is not kept at all.
    fn keep_alive_timeout_of_the_app_is_honoured(driver: Driver) {
        let app = App::answering("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/").text(), "ok");
        let started = std::time::Instant::now();
        app.end_of(0);
        assert!(started.elapsed() < Duration::from_secs(2), "the app would have closed first: {:?}", started.elapsed());
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(app.connections(), 2);
    }

    /// `upstreamIdle` is the bound where the app says nothing.
    fn idle_connection_is_closed_in_time(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).policy("timeouts: {upstreamIdle: 200ms}").start();
        assert_eq!(proxy.client().get("/").text(), "ok");
        app.end_of(0);
        proxy.metrics_until("none is left", |metrics| metrics.sum("slipstream_upstream_connections_open") == 0);
    }

    /// RFC 9112 section 9.2: bytes that no request asked for are no answer to the next one.
    fn connection_that_speaks_while_idle_is_thrown_away(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while conn.request().is_some() {
                conn.send(OK);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
                conn.note(format!("spoke on {}", conn.number));
            }
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for number in 0..5 {
            assert_eq!(client.get("/").text(), "ok");
            app.wait_for_note(&format!("spoke on {number}"));
        }
        assert_eq!(app.connections(), 5);
    }

    /// RFC 9110 section 15.5.9: servers say 408 on an idle connection before they close it; that is no answer to the next request.
    fn request_timeout_of_an_idle_connection_is_no_answer(driver: Driver) {
        let app = App::scripted(|mut conn| {
            serve(&mut conn, 1);
            conn.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for number in 0..5 {
            assert_eq!(client.get("/").status, 200);
            app.wait_to_close(number);
        }
    }

    /// An exchange that was cut off leaves bytes in its connection.
    fn connection_of_a_client_that_left_is_not_used_again(driver: Driver) {
        let left = AtomicUsize::new(0);
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target == "/left" {
                    left.fetch_add(1, SeqCst);
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlef");
                    conn.closed();
                    return;
                }
                conn.send(OK);
            }
        });
        let proxy = proxy(driver, &app);
        for _ in 0..5 {
            let mut leaving = proxy.client();
            leaving.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
            leaving.response_head();
            drop(leaving);
            assert_eq!(proxy.client().get("/").text(), "ok");
        }
    }
}
