//! TLS at the listener: versions, certificates by server name, ALPN, and the two ways a connection can end (RFC 8446, RFC 7301).

use std::time::{Duration, Instant};

use slipstream_tests::{App, Certs, Client, Driver, End, Framing, Proxy, Running, Tls, TlsVersion, on_both_drivers};

fn proxy(driver: Driver, app: &App, certs: &Certs) -> Running {
    Proxy::in_front_of(app).driver(driver).tls(certs.leaf(&["app.test", "www.app.test"])).start()
}

/// The names in the certificate that the proxy showed, as far as `names` asks: found by their bytes in its DER.
fn shows(client: &Client, name: &str) -> bool {
    let chain = client.session().peer_certificates().expect("a server shows a certificate");
    slipstream_tests::contains(&chain[0], name.as_bytes())
}

on_both_drivers! {
    fn versions_1_2_and_1_3_are_served(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        for (version, protocol) in [(TlsVersion::V1_2, rustls::ProtocolVersion::TLSv1_2), (TlsVersion::V1_3, rustls::ProtocolVersion::TLSv1_3)] {
            let mut client = Client::tls(proxy.https(), &Tls::only(version, "app.test", &certs));
            for _ in 0..3 {
                assert_eq!(client.get("/").text(), "ok");
            }
            assert_eq!(client.session().protocol_version(), Some(protocol));
        }
        assert!(proxy.metrics().sum("slipstream_tls_handshakes_total") >= 2);
    }

    /// RFC 6066 section 3.
    fn server_name_chooses_the_certificate(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let builder = Proxy::in_front_of(&app).driver(driver);
        let proxy = builder.tls(certs.leaf(&["one.test"])).tls(certs.leaf(&["two.test"])).tls(certs.leaf(&["*.wild.test"])).start();
        for (name, shown) in [("one.test", "one.test"), ("two.test", "two.test"), ("any.wild.test", "*.wild.test"), ("TWO.test", "two.test")] {
            let mut client = Client::tls(proxy.https(), &Tls::to(name, &certs));
            assert!(shows(&client, shown), "{name}");
            assert_eq!(client.get("/").text(), "ok");
        }
    }

    /// Who names no server, or one that nobody has, gets the first certificate, and judges it.
    fn unknown_or_no_server_name_gets_the_first_certificate(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["one.test"])).tls(certs.leaf(&["two.test"])).start();
        let client = Client::tls(proxy.https(), &Tls::to("one.test", &certs).without_sni());
        assert!(shows(&client, "one.test"));
        let refused = Client::try_tls(proxy.https(), &Tls::to("three.test", &certs)).err().expect("the name does not fit");
        assert!(refused.to_string().contains("not valid for name"), "{refused}");
    }

    /// RFC 7301 section 3.2.
    fn http_1_1_is_negotiated(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        for offer in [&["http/1.1"][..], &["h2", "http/1.1"], &["http/1.0", "http/1.1"]] {
            let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs).alpn(offer));
            assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]), "{offer:?}");
            assert_eq!(client.get("/").text(), "ok");
        }
    }

    /// RFC 7301 section 3.2: no protocol in common is an alert, not a guess.
    fn protocol_that_is_not_spoken_is_refused(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let refused = Client::try_tls(proxy.https(), &Tls::to("app.test", &certs).alpn(&["spdy/3"])).err().expect("nothing in common");
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    }

    fn app_is_told_that_the_client_came_by_tls(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        assert_eq!(client.get("/told").text(), "ok");
        assert_eq!(app.request_for("/told").fields.get("x-forwarded-proto"), Some("https"));
    }

    /// Heads and bodies do not follow the borders of records.
    fn request_in_many_records_is_whole(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        for part in "POST /parts HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".as_bytes().chunks(3) {
            client.send(part);
        }
        assert_eq!(client.response().text(), "ok");
        assert_eq!(app.request_for("/parts").body, b"hello");
    }

    fn requests_in_one_record_are_told_apart(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        let targets: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
        client.send(targets.iter().map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).collect::<String>());
        for _ in &targets {
            assert_eq!(client.response().text(), "ok");
        }
        let seen: Vec<String> = app.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(seen, targets);
    }

    fn large_bodies_pass_both_ways(driver: Driver) {
        let certs = Certs::new();
        let app = App::scripted(|mut conn| {
            while let Some(request) = conn.request() {
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
                conn.send(request.body);
            }
        });
        let proxy = proxy(driver, &app, &certs);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut client = Client::tls(proxy.https(), &Tls::only(version, "app.test", &certs));
            let body: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 251) as u8).collect();
            client.send(format!("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(&body);
            let response = client.response();
            assert_eq!(response.framing, Framing::Length(body.len()));
            assert!(response.body == body);
        }
    }

    /// RFC 8446 section 6.1: the proxy says that it is done before it closes.
    fn close_notify_is_sent_at_the_end(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut client = Client::tls(proxy.https(), &Tls::only(version, "app.test", &certs));
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(client.response().text(), "ok");
            client.expect_close();
        }
    }

    /// RFC 8446 section 6.1, after a refusal.
    fn refusal_ends_with_close_notify(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
        assert_eq!(client.response().status, 400);
        client.expect_close();
    }

    /// RFC 8446 section 6.1: a client that is done says so, and is answered in kind.
    fn close_notify_of_an_idle_client_is_answered(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        assert_eq!(client.get("/").text(), "ok");
        client.close_notify();
        client.expect_close();
    }

    /// RFC 8446 section 6.1: FIN without close_notify may be an attacker's, so what came is no whole message.
    fn body_cut_short_by_fin_is_never_whole(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        client.send("POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        app.wait_to_see("/cut");
        client.half_close();
        app.assert_never_whole("/cut");
    }

    /// The same for close_notify: the body's own framing says when it ends.
    fn body_cut_short_by_close_notify_is_never_whole(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        client.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        app.wait_to_see("/cut");
        client.close_notify();
        client.half_close();
        app.assert_never_whole("/cut");
    }

    fn plain_http_on_the_tls_port_is_closed(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let mut client = Client::plain(proxy.https());
        client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
        let (_, end) = client.rest();
        assert!(matches!(end, End::Clean | End::Reset), "{end:?}");
        assert!(!app.saw("/plain"));
        proxy.metrics_until("the failure is counted", |metrics| {
            metrics.sum("slipstream_tls_handshakes_total") > 0
        });
    }

    fn garbage_on_the_tls_port_is_closed(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        let long = [b"\x16\x03\x01\xff\xff".as_slice(), &[0; 70_000]].concat();
        for garbage in [&b"\0\0\0\0\0\0\0\0"[..], b"\x16\x03\x01\x00\x05hello", b"\x17\x03\x03\x00\x05hello", b"\x15\x03\x01\x00\x02\x02\x28", &long] {
            let mut client = Client::plain(proxy.https());
            client.offer(garbage);
            let (_, end) = client.rest();
            assert!(matches!(end, End::Clean | End::Reset), "{end:?} after {garbage:?}");
        }
        assert_eq!(Client::tls(proxy.https(), &Tls::to("app.test", &certs)).get("/").text(), "ok");
    }

    /// `tlsHandshake` of the policy, from accept.
    fn handshake_that_stalls_is_closed(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let builder = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"]));
        let proxy = builder.policy("timeouts: {tlsHandshake: 300ms}").start();
        for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
            let mut client = Client::plain(proxy.https());
            client.send(begun);
            let started = Instant::now();
            let (_, end) = client.rest();
            assert!(matches!(end, End::Clean | End::Reset), "{end:?}");
            assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
        }
        proxy.metrics_until("all are counted", |metrics| metrics.sum_where("slipstream_timeouts_total", "timeout=\"tlsHandshake\"") == 3);
    }

    fn client_that_leaves_in_the_handshake_harms_nobody(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        for _ in 0..20 {
            let mut client = Client::plain(proxy.https());
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            client.reset();
        }
        assert_eq!(Client::tls(proxy.https(), &Tls::to("app.test", &certs)).get("/").text(), "ok");
        proxy.metrics_until("they are gone", |metrics| metrics.sum("slipstream_downstream_connections_open") <= 1);
    }

    fn plain_listener_serves_beside_the_tls_one(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs);
        assert_eq!(proxy.client().get("/").text(), "ok");
        assert_eq!(Client::tls(proxy.https(), &Tls::to("www.app.test", &certs)).get("/").text(), "ok");
    }
}
