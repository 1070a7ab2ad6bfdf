//! What clients and the kubelet see from the drain to the end.

use std::io::ErrorKind;
use std::net::TcpStream;

use slipstream_tests::{App, Client, Event, Proxy, Refusing, eventually, on_both_drivers};

use crate::{LONG, NO_DELAY, admin, ends_in_order, held, holding, last_answer, proxy, wait_for};

on_both_drivers! {
    fn draining_proxy_is_not_ready_but_lives(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        assert_eq!(admin(&proxy, "/ready").status, 200);
        proxy.drain();
        let ready = admin(&proxy, "/ready");
        assert_eq!((ready.status, ready.text().contains("draining")), (503, true));
        for target in ["/live", "/startup"] {
            assert_eq!(admin(&proxy, target).status, 200, "{target}");
        }
    }

    fn draining_proxy_takes_connections_and_ends_each_with_its_answer(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        let mut kept = proxy.client();
        assert!(kept.get("/before").keeps());
        proxy.drain();
        let mut new = proxy.client();
        for client in [&mut kept, &mut new] {
            client.send("GET /after HTTP/1.1\r\nHost: test\r\n\r\n");
            last_answer(client);
        }
        let metrics = proxy.metrics();
        assert_eq!(metrics.sum_where("slipstream_connections_closed_by_drain_total", "how=\"answered\""), 2);
        assert_eq!(metrics.sum_where("slipstream_connections_closed_by_drain_total", "how=\"idle\""), 0);
    }

    fn request_that_was_in_flight_before_the_drain_is_told_that_it_is_the_last(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, LONG);
        let mut client = held(&proxy, &app);
        proxy.drain();
        go.raise();
        last_answer(&mut client);
    }

    fn answers_that_the_proxy_makes_itself_end_connections_too(driver: Driver) {
        let app = Refusing::new();
        let proxy = proxy(driver, &app, LONG);
        let mut client = proxy.client();
        assert!(client.get("/").keeps(), "a 502 alone does not end a connection");
        proxy.drain();
        let response = client.get("/");
        assert_eq!((response.status, response.keeps()), (502, false));
        client.expect_close();
        let mut client = proxy.client();
        client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n");
        assert!(!client.response().keeps());
        client.expect_close();
    }

    fn idle_connection_stays_until_the_delay_is_over(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, "delay: 300ms, grace: 24h");
        let mut idle = proxy.client();
        assert!(idle.get("/").keeps());
        let mut busy = held(&proxy, &app);
        proxy.drain();
        idle.expect_close();
        let metrics = proxy.metrics();
        assert_eq!(metrics.sum_where("slipstream_phase", "phase=\"closing\""), 1, "it was closed by the end of the delay");
        assert_eq!(metrics.sum_where("slipstream_connections_closed_by_drain_total", "how=\"idle\""), 1);
        assert!(!busy.has_something());
        go.raise();
        last_answer(&mut busy);
        ends_in_order(proxy);
    }

    fn closing_proxy_refuses_connections_and_is_not_ready(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, NO_DELAY);
        let mut busy = held(&proxy, &app);
        proxy.drain();
        let refused = eventually("connections are refused", || TcpStream::connect(proxy.http()).err());
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(admin(&proxy, "/ready").status, 503);
        for target in ["/live", "/startup"] {
            assert_eq!(admin(&proxy, target).status, 200, "{target}");
        }
        go.raise();
        last_answer(&mut busy);
        ends_in_order(proxy);
    }

    /// The app has not answered when the connection comes to rest: its answer had promised another request.
    fn connection_that_comes_to_rest_while_it_closes_is_ended(driver: Driver) {
        let go = Event::new();
        let raised = go.clone();
        let app = App::scripted(move |mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
            raised.wait("the case lets the rest go");
            conn.send("lf");
            conn.closed();
        });
        let proxy = proxy(driver, &app, NO_DELAY);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert!(client.response_head().keeps());
        proxy.drain();
        wait_for(&proxy, "closing");
        go.raise();
        assert_eq!(client.take(4), b"half");
        client.expect_close();
        ends_in_order(proxy);
    }

    /// Its first bytes may be on the way.
    fn new_connection_that_is_silent_when_the_listeners_close_is_served(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, NO_DELAY);
        let mut client = proxy.client();
        proxy.drain();
        wait_for(&proxy, "closing");
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
        app.wait_to_see("/held");
        go.raise();
        last_answer(&mut client);
        ends_in_order(proxy);
    }

    fn connection_that_stays_silent_does_not_hold_the_end(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, NO_DELAY);
        let mut client = proxy.client();
        proxy.metrics_until("it is accepted", |metrics| metrics.sum("slipstream_downstream_connections_open") == 1);
        proxy.drain();
        client.expect_close();
        drop(client);
        ends_in_order(proxy);
    }

    /// `limits.connections` holds in the end too, and the kernel's queue is emptied all the same.
    fn connections_in_the_queue_are_served_before_the_listener_closes(driver: Driver) {
        let (app, go) = holding();
        let config = format!("drain: {{{NO_DELAY}}}\npolicy: {{limits: {{connections: 1}}}}");
        let proxy = Proxy::in_front_of(&app).driver(driver).config(&config).start();
        let mut first = held(&proxy, &app);
        let mut queued: Vec<Client> = (0..5)
            .map(|n| {
                let mut client = proxy.client();
                client.send(format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n"));
                client
            })
            .collect();
        proxy.drain();
        wait_for(&proxy, "closing");
        go.raise();
        last_answer(&mut first);
        drop(first);
        for mut client in queued.drain(..) {
            last_answer(&mut client);
        }
        assert_eq!(app.requests().len(), 6);
        ends_in_order(proxy);
    }
}
