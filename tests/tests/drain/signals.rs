//! SIGTERM and SIGINT, in each state in which a connection, or the end itself, can be.

use slipstream_tests::{App, Certs, Client, End, Event, Proxy, Tls, on_both_drivers};

use crate::{LONG, NO_DELAY, ends_in_order, held, holding, last_answer, proxy, wait_for};

on_both_drivers! {
    fn signal_ends_an_idle_proxy_without_the_delay_of_a_drain(driver: Driver) {
        for signal in ["TERM", "INT"] {
            let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
            let mut idle = proxy.client();
            assert!(idle.get("/").keeps());
            proxy.signal(signal);
            idle.expect_close();
            drop(idle);
            ends_in_order(proxy);
        }
    }

    fn sigterm_waits_for_the_head_of_an_answer(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, LONG);
        let mut client = held(&proxy, &app);
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        go.raise();
        last_answer(&mut client);
        ends_in_order(proxy);
        assert_eq!(app.requests().len(), 1);
    }

    fn sigterm_waits_for_the_rest_of_a_request_body(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        let mut client = proxy.client();
        client.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
        app.wait_to_see("half");
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        client.send("rest");
        last_answer(&mut client);
        assert_eq!(app.request_for("/upload").body, b"halfrest");
        ends_in_order(proxy);
    }

    fn sigterm_waits_for_the_rest_of_an_answer(driver: Driver) {
        let go = Event::new();
        let raised = go.clone();
        let app = App::scripted(move |mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
            raised.wait("the case lets the rest go");
            conn.send("4\r\nrest\r\n0\r\n\r\n");
        });
        let proxy = proxy(driver, &app, LONG);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        client.response_head();
        assert_eq!(client.take(9), b"4\r\nhalf\r\n");
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        go.raise();
        assert_eq!(client.take(14), b"4\r\nrest\r\n0\r\n\r\n");
        client.expect_close();
        ends_in_order(proxy);
    }

    fn sigterm_waits_for_the_rest_of_a_head(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHo");
        proxy.metrics_until("it is accepted", |metrics| metrics.sum("slipstream_downstream_connections_open") == 1);
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        client.send("st: test\r\n\r\n");
        last_answer(&mut client);
        ends_in_order(proxy);
    }

    fn sigterm_waits_for_a_handshake_and_its_first_request(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"])).start();
        let tcp = std::net::TcpStream::connect(proxy.https()).expect("it listens");
        proxy.metrics_until("it is accepted", |metrics| metrics.sum("slipstream_downstream_connections_open") == 1);
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        let mut client = Client::try_tls_on(tcp, &Tls::to("app.test", &certs)).expect("the handshake goes on");
        client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
        last_answer(&mut client);
        drop(client);
        ends_in_order(proxy);
    }

    /// In a pod: the kubelet ends the sidecar once the app has ended. Neither the delay nor the grace of this proxy would end within this case.
    fn sigterm_while_draining_ends_it_at_once(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        let mut idle = proxy.client();
        assert!(idle.get("/").keeps());
        proxy.drain();
        proxy.signal("TERM");
        idle.expect_close();
        ends_in_order(proxy);
    }

    fn sigterm_while_closing_after_a_drain_ends_it_at_once(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, NO_DELAY);
        let mut client = held(&proxy, &app);
        proxy.drain();
        wait_for(&proxy, "closing");
        proxy.signal("TERM");
        client.expect_reset();
        let exit = proxy.wait_for_exit();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
        assert!(exit.stderr.contains("took too long and were broken off: 1"), "{}", exit.stderr);
        go.raise();
    }

    /// The app has ended, its answer is in kernels and in the proxy: it arrives whole.
    fn answer_of_an_app_that_is_gone_is_sent_to_its_end(driver: Driver) {
        const BODY_BYTES: usize = 300_000;
        let app = App::scripted(|mut conn| {
            conn.request();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            assert!(conn.send([head.into_bytes(), vec![b'x'; BODY_BYTES]].concat()));
        });
        let proxy = proxy(driver, &app, LONG);
        let mut client = Client::with_receive_buffer(proxy.http(), 16 << 10);
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        app.wait_to_close(0);
        proxy.drain();
        proxy.signal("TERM");
        assert_eq!(client.response().body.len(), BODY_BYTES);
        client.expect_close();
        ends_in_order(proxy);
    }

    fn second_signal_ends_the_process_at_once_while_it_closes(driver: Driver) {
        for (signal, code) in [("TERM", 143), ("INT", 130)] {
            let (app, go) = holding();
            let proxy = proxy(driver, &app, LONG);
            let mut client = held(&proxy, &app);
            proxy.signal("TERM");
            wait_for(&proxy, "closing");
            proxy.signal(signal);
            assert_eq!(proxy.wait_for_exit().code(), code);
            let (answer, end) = client.rest();
            assert!(answer.is_empty() && matches!(end, End::Clean | End::Reset), "{end:?}");
            go.raise();
        }
    }

    fn second_signal_after_a_drain_ends_the_process_at_once(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, LONG);
        let _client = held(&proxy, &app);
        proxy.drain();
        proxy.signal("TERM");
        wait_for(&proxy, "leaving");
        proxy.signal("INT");
        assert_eq!(proxy.wait_for_exit().code(), 130);
        go.raise();
    }

    fn drain_after_a_signal_changes_nothing(driver: Driver) {
        let (app, go) = holding();
        let proxy = proxy(driver, &app, LONG);
        let mut client = held(&proxy, &app);
        proxy.signal("TERM");
        wait_for(&proxy, "closing");
        assert_eq!(proxy.drain().code(), 0);
        wait_for(&proxy, "closing");
        go.raise();
        last_answer(&mut client);
        ends_in_order(proxy);
    }
}
