//! `tls.mode: permissive`: clients with TLS and without on one port, told apart by the first byte.

use slipstream_tests::{App, Certs, Client, Driver, End, Proxy, Running, Tls, TlsVersion, on_both_drivers};

use crate::asking;

fn permissive(driver: Driver, app: &App, certs: &Certs, policy: &str) -> Running {
    let builder =
        Proxy::in_front_of(app).driver(driver).tls(certs.leaf(&["app.test"])).flags(&["--tls-mode", "permissive"]);
    builder.policy(policy).start()
}

const USUAL: &str = "timeouts: {}";

fn plain_connections(proxy: &Running) -> u64 {
    proxy.metrics().sum("slipstream_tls_plain_connections_total")
}

on_both_drivers! {
    fn clients_with_tls_and_without_are_served_on_one_port(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, USUAL);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut tls = Client::tls(proxy.https(), &Tls::only(version, "app.test", &certs));
            assert_eq!((tls.get("/tls").text(), tls.get("/tls").text()), ("ok".into(), "ok".into()));
        }
        assert_eq!(app.request_for("/tls").fields.get("x-forwarded-proto"), Some("https"));
        assert_eq!(plain_connections(&proxy), 0);
        let mut plain = Client::plain(proxy.https());
        assert_eq!((plain.get("/plain").text(), plain.get("/plain").text()), ("ok".into(), "ok".into()));
        assert_eq!(app.request_for("/plain").fields.get("x-forwarded-proto"), Some("http"));
        assert_eq!(plain_connections(&proxy), 1, "a connection, not a request");
        assert_eq!(proxy.client().get("/").text(), "ok");
        assert_eq!(plain_connections(&proxy), 1, "a listener without TLS has nothing to tell apart");
    }

    /// `required` is the default.
    fn plain_client_is_not_let_in_unless_that_is_said(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        for flags in [&[][..], &["--tls-mode", "required"]] {
            let proxy = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"])).flags(flags).start();
            let mut client = Client::plain(proxy.https());
            client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(matches!(client.rest().1, End::Clean | End::Reset));
            assert_eq!(plain_connections(&proxy), 0);
        }
        assert!(!app.saw("/plain"));
    }

    fn first_bytes_may_come_one_by_one(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, USUAL);
        let mut plain = Client::plain(proxy.https());
        for byte in "\r\nPOST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".bytes() {
            plain.send([byte]);
        }
        assert_eq!(plain.response().text(), "ok");
        assert_eq!(app.request_for("/plain").body, b"hi");
        let mut tls = Client::try_tls_in_pieces(proxy.https(), &Tls::to("app.test", &certs), 1).expect("a handshake");
        assert_eq!(tls.get("/tls").text(), "ok");
    }

    /// What was read to tell them apart holds more than the first byte, and more than one request.
    fn nothing_of_what_came_with_the_first_byte_is_lost(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, USUAL);
        let mut plain = Client::plain(proxy.https());
        let body = "x".repeat(300_000);
        let before: String = (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        plain.send(format!("{before}POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        for _ in 0..21 {
            assert_eq!(plain.response().text(), "ok");
        }
        assert!(app.request_for("/large").body == body.as_bytes());
        assert_eq!(app.requests().len(), 21);
    }

    fn garbage_is_refused_as_on_a_plain_port(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, USUAL);
        for garbage in [&b"\0\0\0\0\r\n\r\n"[..], b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n", b"\x80\x2e\x01\x03\x01\r\n\r\n"] {
            let mut client = Client::plain(proxy.https());
            client.send(garbage);
            assert_eq!(client.response().status, 400, "{garbage:?}");
            client.expect_close();
        }
        let mut client = Client::plain(proxy.https());
        client.send(b"\x16\x03\x01\x00\x05hello");
        assert!(matches!(client.rest().1, End::Clean | End::Reset), "this one said that it is TLS");
        assert_eq!(plain_connections(&proxy), 3);
    }

    fn client_that_says_nothing_is_closed_at_the_later_deadline(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        for (policy, timer) in [
            ("timeouts: {tlsHandshake: 100ms, requestHeaders: 300ms}", "requestHeaders"),
            ("timeouts: {tlsHandshake: 300ms, requestHeaders: 100ms}", "tlsHandshake"),
        ] {
            let proxy = permissive(driver, &app, &certs, policy);
            Client::plain(proxy.https()).expect_close();
            let label = format!("timeout=\"{timer}\"");
            let metrics = proxy.metrics_until("it is counted", |metrics| metrics.sum_where("slipstream_timeouts_total", &label) == 1);
            assert_eq!(metrics.sum("slipstream_timeouts_total"), 1);
            proxy.metrics_until("it is gone", |metrics| metrics.sum("slipstream_downstream_connections_open") == 0);
        }
    }

    /// Once it is known what a client is, its own timer holds, and names what ran out.
    fn client_that_stops_is_closed_by_its_own_timer(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, "timeouts: {tlsHandshake: 300ms, requestHeaders: 300ms}");
        let mut plain = Client::plain(proxy.https());
        plain.send("GET / HT");
        assert_eq!(plain.response().status, 408);
        plain.expect_close();
        let mut tls = Client::plain(proxy.https());
        tls.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert!(matches!(tls.rest().1, End::Clean | End::Reset));
        let of = |metrics: &slipstream_tests::Metrics, timer: &str| metrics.sum_where("slipstream_timeouts_total", &format!("timeout=\"{timer}\""));
        proxy.metrics_until("both are counted", |metrics| of(metrics, "requestHeaders") == 1 && of(metrics, "tlsHandshake") == 1);
    }

    fn client_that_leaves_before_its_first_byte_harms_nobody(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = permissive(driver, &app, &certs, USUAL);
        for _ in 0..20 {
            Client::plain(proxy.https()).reset();
            drop(Client::plain(proxy.https()));
        }
        assert_eq!(Client::plain(proxy.https()).get("/").text(), "ok");
        let metrics = proxy.metrics_until("they are gone", |metrics| metrics.sum("slipstream_downstream_connections_open") == 0);
        assert_eq!(metrics.sum("slipstream_timeouts_total"), 0);
    }

    /// A plain client shows no certificate; the app can tell, for no claim of it arrives.
    fn plain_client_is_let_in_where_certificates_are_required_of_the_others(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").flags(&["--tls-mode", "permissive"]).start();
        let mut plain = Client::plain(proxy.https());
        plain.send("GET /plain HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: Hash=forged\r\n\r\n");
        assert_eq!(plain.response().text(), "ok");
        assert!(!app.request_for("/plain").fields.has("x-forwarded-client-cert"));
        let mut tls = Client::tls(proxy.https(), &Tls::to("app.test", &certs).showing(&clients.leaf(&["client.test"])));
        assert_eq!(tls.get("/tls").text(), "ok");
        assert!(app.request_for("/tls").fields.has("x-forwarded-client-cert"));
        assert!(crate::refusal(&proxy, &Tls::to("app.test", &certs)).contains("CertificateRequired"));
    }
}
