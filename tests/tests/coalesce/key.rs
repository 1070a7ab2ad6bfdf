//! R2: what two requests must have in common to share an answer, and what may differ.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use slipstream_proxy::config::{
    DrainSettings, IoDriver, ListenerSettings, Memory, Settings, UpstreamSettings, built_in_snapshot,
};
use slipstream_tests::{App, Certs, Client, DEADLINE, Driver, Event, NAME, Origin, Tls, on_both_drivers};
use socket2::{Domain, Socket, Type};

use crate::scene::{Scene, Setting, fresh_target, get, ok, reply};

/// Two GETs for a target of their own, with the lines of a pair: in both orders, the second never joins the first.
fn never_join(scene: &Scene, pairs: &[(&str, &str)]) {
    for (one, other) in pairs {
        for (first, second) in [(one, other), (other, one)] {
            let target = fresh_target();
            let ask = |lines: &str| scene.asking(get(&target, lines));
            scene.stays_apart(&format!("{second:?} behind {first:?}"), &target, ask(first), ask(second));
        }
    }
}

fn join(scene: &Scene, pairs: &[(&str, &str)]) {
    for (one, other) in pairs {
        for (first, second) in [(one, other), (other, one)] {
            let target = fresh_target();
            let ask = |lines: &str| scene.asking(get(&target, lines));
            scene.joins(&format!("{second:?} behind {first:?}"), &target, ask(first), ask(second));
        }
    }
}

/// Whole requests; `CASE` stands for what marks the pair.
fn pairs_of_requests(pairs: &[(&str, &str)], mut play: impl FnMut(&str, &str, &str, &str)) {
    for (at, (one, other)) in pairs.iter().enumerate() {
        let marker = format!("case-{at}-end");
        let whole = |request: &str| format!("{}\r\n\r\n", request.replace("CASE", &marker));
        play(&format!("{other:?} behind {one:?}"), &marker, &whole(one), &whole(other));
    }
}

/// A TLS listener beside the plain one, that asks for certificates of `clients` and takes who has none.
fn with_tls<'c>(certs: &'c Certs, clients: &'c Certs) -> impl FnOnce(Setting) -> Setting + 'c {
    move |setting| {
        let authority = clients.authority_file().display().to_string();
        let flags = ["--tls-client-ca", &authority, "--tls-client-certificates", "optional"];
        setting.with(|proxy| proxy.tls(certs.leaf(&[NAME])).flags(&flags))
    }
}

/// A client of the TLS listener that comes from `address`.
fn from(address: Ipv4Addr, scene: &Scene, tls: &Tls) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((address, 0)).into()).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(&scene.proxy.https().into()).expect("the proxy accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time");
    Client::try_tls_on(socket.into(), tls).expect("a handshake")
}

/// Within this process, because nothing of a running one changes its policy.
fn start_here(driver: Driver, app: &App) -> slipstream_proxy::Running {
    let settings = Settings {
        listeners: vec![ListenerSettings {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            upstream: UpstreamSettings { authority: app.address().to_string(), addresses: vec![app.address()] },
        }],
        workers: 2,
        pin: false,
        io_driver: match driver {
            Driver::Epoll => IoDriver::Epoll,
            Driver::IoUring => IoDriver::IoUring,
        },
        admin: None,
        name: "slipstream".to_owned(),
        drain: DrainSettings { delay: std::time::Duration::ZERO, grace: DEADLINE },
        memory: Memory { budget_bytes: 256 << 20, limit_bytes: None, stat: None },
        telemetry: Default::default(),
        snapshot: Arc::new(built_in_snapshot()),
    };
    slipstream_proxy::start(settings).expect("the proxy starts")
}

on_both_drivers! {
    fn r02_another_authority_never_joins(driver: Driver) {
        let scene = Scene::on(driver);
        pairs_of_requests(&[
            ("GET /CASE HTTP/1.1\r\nHost: a", "GET /CASE HTTP/1.1\r\nHost: b"),
            ("GET /CASE HTTP/1.1\r\nHost: a", "GET /CASE HTTP/1.1\r\nHost: a:80"),
            ("GET /CASE HTTP/1.1\r\nHost: a:8080", "GET /CASE HTTP/1.1\r\nHost: a:8081"),
            ("GET /CASE HTTP/1.1\r\nHost: a.test", "GET /CASE HTTP/1.1\r\nHost: a.test."),
            ("GET http://a/CASE HTTP/1.1\r\nHost: a", "GET http://b/CASE HTTP/1.1\r\nHost: a"),
            ("GET http://b/CASE HTTP/1.1\r\nHost: a", "GET /CASE HTTP/1.1\r\nHost: a"),
        ], |why, marker, one, other| scene.stays_apart(why, marker, scene.asking(one), scene.asking(other)));
    }

    /// RFC 9110 section 4.2.3: a host has no case.
    fn r02_authority_is_compared_in_lower_case(driver: Driver) {
        let scene = Scene::on(driver);
        pairs_of_requests(&[
            ("GET /CASE HTTP/1.1\r\nHost: Shop.Test:80", "GET /CASE HTTP/1.1\r\nHost: shop.test:80"),
            ("GET http://a/CASE HTTP/1.1\r\nHost: a", "GET /CASE HTTP/1.1\r\nHost: a"),
        ], |why, marker, one, other| scene.joins(why, marker, scene.asking(one), scene.asking(other)));
    }

    fn r02_path_and_query_are_compared_byte_for_byte(driver: Driver) {
        let scene = Scene::on(driver);
        let targets = [
            ("/CASE%41", "/CASEA"),
            ("/CASE%2f", "/CASE%2F"),
            ("/CASE/a", "/CASE/A"),
            ("/CASE", "/CASE/"),
            ("/CASE", "//CASE"),
            ("/x/CASE", "/x//CASE"),
            ("/CASE", "/./CASE"),
            ("/CASE/b", "/CASE/a/../b"),
            ("/CASE", "/CASE;v=1"),
            ("/CASE", "/CASE?"),
            ("/CASE?a", "/CASE?a="),
            ("/CASE?a=1&b=2", "/CASE?b=2&a=1"),
            ("/CASE?a=1", "/CASE?a=1&"),
            ("/CASE?a=%41", "/CASE?a=A"),
            ("/CASE?a=+", "/CASE?a=%20"),
            ("/CASE?a=b", "/CASE?a=B"),
            ("/CASE?a/b", "/CASE/a?b"),
        ];
        let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a");
        let requests: Vec<(String, String)> = targets.map(|(one, other)| (request(one), request(other))).into();
        let pairs: Vec<(&str, &str)> = requests.iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
        pairs_of_requests(&pairs, |why, marker, one, other| {
            scene.stays_apart(why, marker, scene.asking(one), scene.asking(other));
        });
    }

    fn r02_every_kind_of_field_is_compared(driver: Driver) {
        let scene = Scene::on(driver);
        let names = [
            "Accept", "Accept-Language", "Accept-Encoding", "Accept-Charset", "User-Agent", "Referer", "Origin", "Content-Type",
            "Baggage", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Prefix",
            "X-Forwarded-User", "X-Api-Key", "X-Auth-User", "X-Tenant", "Save-Data", "Sec-Fetch-Mode", "X-Amzn-Oidc-Identity", "X-B", "X-B4-TraceId",
        ];
        for name in names {
            let ask = |value: &str| scene.asking(get(&format!("/{name}-end"), &format!("{name}: {value}")));
            scene.stays_apart(name, &format!("/{name}-end"), ask("one"), ask("two"));
        }
        never_join(&scene, &[("Forwarded: for=192.0.2.1", "Forwarded: for=192.0.2.2"), ("Cache-Control: max-age=60", "Cache-Control: max-age=61")]);
    }

    /// A 304 says something only to who has that version.
    fn r02_validators_are_compared(driver: Driver) {
        let scene = Scene::on(driver);
        never_join(&scene, &[
            ("If-None-Match: \"a\"", "If-None-Match: \"b\""),
            ("If-None-Match: \"a\"", "If-None-Match: W/\"a\""),
            ("If-None-Match: \"a\"", ""),
            ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT"),
            ("If-Match: \"a\"", "If-Match: \"b\""),
            ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", ""),
        ]);
        let ask = || scene.asking(get("/shared", "If-None-Match: \"a\""));
        scene.joins_for("the same validator", "/shared", ask(), ask(), reply("304 Not Modified", "ETag: \"a\""));
    }

    /// What nobody knows may say who asks: a random identity on one of two.
    fn r02_field_that_only_one_has_keeps_it_apart(driver: Driver) {
        let scene = Scene::on(driver);
        never_join(&scene, &[
            ("X-Correlation-Id: 5f2c9d", ""),
            ("X-User: 17", "X-Request-Id: 17"),
            ("X-A:", ""),
            ("X-A: 1\r\nX-A: 1", "X-A: 1"),
            ("X-A: 1\r\nX-B: 1", "X-A: 1"),
        ]);
    }

    /// Bytes that move from one field to another, or within one, are other fields.
    fn r02_fields_are_compared_as_a_whole(driver: Driver) {
        let scene = Scene::on(driver);
        never_join(&scene, &[
            ("X-A: 1\r\nX-B: 2", "X-A: 2\r\nX-B: 1"),
            ("X-A: 1\r\nX-A: 2", "X-A: 2\r\nX-A: 1"),
            ("X-A: bc", "X-Ab: c"),
            ("X-A: b\r\nX-A: b\r\nX-C: d", "X-A: b\r\nX-C: d\r\nX-C: d"),
            ("X-A: one", "X-A: One"),
            ("X-A: one two", "X-A: one  two"),
            ("X-A: \u{e4}", "X-A: a"),
        ]);
    }

    /// RFC 9110 sections 5.1 and 5.3.
    fn r02_order_of_different_fields_and_case_of_their_names_do_not_matter(driver: Driver) {
        let scene = Scene::on(driver);
        join(&scene, &[
            ("X-A: 1\r\nX-B: 2\r\nAccept: x", "Accept: x\r\nX-B: 2\r\nX-A: 1"),
            ("X-A: 1\r\nX-B: 2\r\nX-A: 3", "X-B: 2\r\nX-A: 1\r\nX-A: 3"),
            ("ACCEPT: x\r\nx-a: 1", "accept: x\r\nX-A: 1"),
        ]);
    }

    fn r02_fields_of_tracing_are_not_compared(driver: Driver) {
        let scene = Scene::on(driver);
        join(&scene, &[
            ("Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Traceparent: 00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nTracestate: a=b", "Tracestate: a=c"),
            ("b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1", "B3: 0"),
            ("X-B3-TraceId: 80f198ee56343ba8\r\nX-B3-SpanId: e457b5a2e4d86bd1\r\nX-B3-Sampled: 1", "X-B3-TraceId: 90f198ee56343ba8"),
            ("X-B3-ParentSpanId: 05e3ac9a4f6e3b90\r\nX-B3-Flags: 1", ""),
            ("X-Request-Id: 1", "X-Request-Id: 2"),
            ("X-Request-Id: 1", ""),
            ("X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678", "X-Amzn-Trace-Id: Root=1-67891234-abcdef012345678912345678"),
            ("Via: 1.1 one", "Via: 1.1 two"),
            ("Via: 1.1 one", ""),
            ("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Date: Sun, 06 Nov 1994 08:49:38 GMT"),
        ]);
    }

    /// A name is ignored as a whole: what only begins like it is compared.
    fn r02_fields_that_look_like_ignored_ones_are_compared(driver: Driver) {
        let pairs = ["Traceparents", "X-Request-Ids", "B33", "X-B3", "X-Date", "Viaduct"].map(|name| (format!("{name}: 1"), format!("{name}: 2")));
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
        never_join(&Scene::on(driver), &pairs);
    }

    fn r02_ignored_fields_of_the_policy_are_not_compared(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("ignoreHeaders: [X-Request-Start, x-forwarded-for, user-agent]"));
        join(&scene, &[
            ("X-Request-Start: t=1", "x-request-start: t=2"),
            ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, 192.0.2.3"),
            ("User-Agent: one", ""),
            ("X-Request-Start: t=1\r\nX-Request-Id: 1", "X-Request-Id: 2"),
        ]);
        never_join(&scene, &[("X-Request-Start: t=1\r\nX-A: 1", "X-Request-Start: t=1\r\nX-A: 2"), ("X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.2")]);
    }

    /// RFC 9110 section 7.6.1: they are not for the app.
    fn r02_fields_of_the_connection_are_not_compared(driver: Driver) {
        let scene = Scene::on(driver);
        join(&scene, &[
            ("Connection: keep-alive\r\nKeep-Alive: timeout=5", ""),
            ("Connection: close", "Connection: keep-alive"),
            ("Proxy-Connection: keep-alive", ""),
            ("Connection: x-hop\r\nX-Hop: 1", "X-Hop: 2\r\nConnection: close, X-Hop"),
            ("Connection: x-hop\r\nX-Hop: 1", ""),
        ]);
        never_join(&scene, &[
            ("Connection: x-hop\r\nX-Hop: 1", "X-Hop: 1"),
            ("Connection: accept-language\r\nAccept-Language: de", "Accept-Language: de"),
        ]);
    }

    fn r02_mode_cacheable_does_not_compare_who_forwarded(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: cacheable"));
        for (at, lines) in ["", "X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2"].iter().enumerate() {
            let target = format!("/cacheable-{at}-end");
            let ask = |lines: &str| scene.asking(get(&target, lines));
            let (first, second) = (ask(lines), ask("X-Forwarded-For: 192.0.2.9"));
            scene.joins_for(lines, &target, first, second, reply("200 OK", "Cache-Control: max-age=60"));
        }
        never_join(&scene, &[
            ("X-Forwarded-Host: a.test", "X-Forwarded-Host: b.test"),
            ("X-Forwarded-Proto: http", "X-Forwarded-Proto: https"),
            ("Forwarded: for=192.0.2.1", "Forwarded: for=192.0.2.2"),
        ]);
    }

    fn r02_plain_and_tls_never_join(driver: Driver) {
        let (certs, clients) = (Certs::new(), Certs::new());
        let scene = Scene::set(driver, with_tls(&certs, &clients));
        let tls = |target: &str| (Client::tls(scene.proxy.https(), &Tls::to(NAME, &certs)), get(target, ""));
        let plain = |target: &str| scene.asking(get(target, ""));
        scene.stays_apart("TLS behind plain", "/plain-first", plain("/plain-first"), tls("/plain-first"));
        scene.stays_apart("plain behind TLS", "/tls-first", tls("/tls-first"), plain("/tls-first"));
        scene.joins("TLS behind TLS", "/both", tls("/both"), tls("/both"));
    }

    /// What the app is told of a certificate is told of one client.
    fn r02_clients_join_only_under_the_same_certificate(driver: Driver) {
        let (certs, clients) = (Certs::new(), Certs::new());
        let scene = Scene::set(driver, with_tls(&certs, &clients));
        let shown = [clients.leaf(&["one.test"]), clients.leaf(&["two.test"])];
        let tls = [Tls::to(NAME, &certs), Tls::to(NAME, &certs).showing(&shown[0]), Tls::to(NAME, &certs).showing(&shown[1])];
        for (first, one) in tls.iter().enumerate() {
            for (second, other) in tls.iter().enumerate() {
                let target = format!("/{first}-{second}-end");
                let ask = |tls: &Tls| (Client::tls(scene.proxy.https(), tls), get(&target, ""));
                let why = format!("certificate {second} behind {first}");
                if first == second {
                    scene.joins(&why, &target, ask(one), ask(other));
                } else {
                    scene.stays_apart(&why, &target, ask(one), ask(other));
                }
            }
        }
    }

    fn r02_client_address_is_compared_only_where_that_is_asked_for(driver: Driver) {
        const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
        let (certs, clients) = (Certs::new(), Certs::new());
        let tls = Tls::to(NAME, &certs);
        for asked in [false, true] {
            let fields = if asked { "compareClientAddress: true" } else { "" };
            let scene = Scene::set(driver, |setting| with_tls(&certs, &clients)(setting).coalescing(fields));
            let ask = |address: Ipv4Addr, target: &str| (from(address, &scene, &tls), get(target, ""));
            scene.joins("the same address, another port", "/same", ask(NEIGHBOUR, "/same"), ask(NEIGHBOUR, "/same"));
            let (one, other) = (ask(Ipv4Addr::LOCALHOST, "/other"), ask(NEIGHBOUR, "/other"));
            match asked {
                false => scene.joins("another address", "/other", one, other),
                true => scene.stays_apart("another address", "/other", one, other),
            }
        }
    }

    /// A flight goes on under the policy it began with, and takes nobody who is judged by another. Neither policy leaves a key behind.
    fn r02_another_generation_of_the_policy_never_joins(driver: Driver) {
        let go = Event::new();
        let scripted = go.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                scripted.wait("both requests are there");
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let proxy = start_here(driver, &app);
        let ask = || {
            let mut client = Client::plain(proxy.listeners[0]);
            client.send(get("/a", ""));
            client
        };
        let mut clients = vec![ask()];
        app.wait_for_connections(1);
        let mut snapshot = built_in_snapshot();
        snapshot.generation = 1;
        snapshot.policy.timeouts.queue = DEADLINE;
        proxy.publish(Arc::new(snapshot));
        clients.push(ask());
        app.wait_for_connections(2);
        go.raise();
        for client in &mut clients {
            assert_eq!((client.response().text().as_str(), client.get("/a").text().as_str()), ("ok", "ok"));
        }
        drop(clients);
        proxy.stop();
    }

    fn r02_app_sees_the_ignored_fields_of_the_leader(driver: Driver) {
        let scene = Scene::on(driver);
        let mut leader = scene.ask(get("/a", "X-Request-Id: leader"));
        scene.wait_for("/a", 1);
        let mut follower = scene.ask(get("/a", "X-Request-Id: follower"));
        scene.wait_until_follow(1);
        scene.answer_all("/a", ok());
        assert_eq!(leader.response().text(), follower.response().text());
        assert_eq!(scene.app.request_for("/a").fields.get("x-request-id"), Some("leader"));
        assert!(!scene.app.saw("follower"));
    }
}
