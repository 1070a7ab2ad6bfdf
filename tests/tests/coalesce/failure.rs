//! R8: the app fails before the head. One more attempt for the whole flight, then each gets its own answer from us; never one attempt each.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use slipstream_tests::{Client, Conn, Driver, Event, Response, Unanswering, eventually, on_both_drivers};

use crate::scene::{
    COLLAPSED, Flight, Leave, Reply, Scene, Setting, cache_status, followers, get, in_vain, number, ok, reply, rests,
    wait_until_counted,
};

const FOLLOWERS: usize = 8;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An app that fails by `fail` on its first connections: on the first once `together` is raised, on `fails - 1` more at once.
fn failing(driver: Driver, together: &Event, fails: usize, fail: impl Fn(Conn) + Send + Sync + 'static) -> Scene {
    let together = together.clone();
    Scene::playing(
        driver,
        |setting| setting,
        move |mut conn| {
            if conn.request().is_none() {
                return;
            }
            if conn.number == 0 {
                together.wait("all are there");
            }
            if conn.number < fails {
                return fail(conn);
            }
            while conn.send(OK) && conn.request().is_some() {}
        },
    )
}

/// Each has an answer from us with this status and this `error` of `Proxy-Status`, and can ask again.
fn assert_each_is_told(flight: &mut Flight, status: u16, error: &str) -> Vec<Response> {
    let responses = flight.responses();
    for response in &responses {
        let proxy_status = response.fields.joined("proxy-status");
        assert_eq!((response.status, response.keeps()), (status, true), "{response:?}");
        assert!(proxy_status.contains(&format!("error={error}")), "{proxy_status}");
        assert!(!response.text().trim().is_empty(), "no reason that a person understands");
    }
    responses
}

/// The app answers a flight by `reply`; how many requests it got, and how many answers there are among the clients.
fn answered(scene: &Scene, target: &str, reply: Reply) -> (usize, usize) {
    let mut flight = scene.flight(target, 3);
    scene.answer_all(target, reply.clone());
    let responses = flight.responses();
    let numbers: BTreeSet<String> = responses.iter().map(number).collect();
    let shared = numbers.len() == 1;
    for response in &responses[1..] {
        let told = cache_status(response);
        assert!(if shared { told == COLLAPSED } else { told.starts_with(&in_vain("")) }, "{target}: {told}");
    }
    scene.wait_until_follow(0);
    (scene.count(target), numbers.len())
}

const SHARED: (usize, usize) = (1, 1);
const RELEASED: (usize, usize) = (4, 4);
const ERRORS: [&str; 4] =
    ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"];

on_both_drivers! {
    fn r08_app_that_dies_is_asked_once_more_for_all(driver: Driver) {
        for die in [drop as fn(Conn), Conn::reset] {
            let together = Event::new();
            let scene = failing(driver, &together, 1, die);
            let mut flight = scene.flight("/a", FOLLOWERS);
            together.raise();
            assert_eq!(flight.shares().status, 200);
            assert_eq!((scene.count("/a"), scene.app.connections()), (2, 2));
            wait_until_counted(&scene.proxy, "follower", "shared", FOLLOWERS as u64);
            scene.rests(flight.clients());
        }
    }

    fn r08_app_that_dies_again_is_not_asked_by_each(driver: Driver) {
        for die in [drop as fn(Conn), Conn::reset] {
            let together = Event::new();
            let scene = failing(driver, &together, usize::MAX, die);
            let mut flight = scene.flight("/a", FOLLOWERS);
            together.raise();
            let responses = assert_each_is_told(&mut flight, 502, "connection_terminated");
            assert!(responses[1..].iter().all(|response| cache_status(response) == in_vain("error")));
            wait_until_counted(&scene.proxy, "follower", "error", FOLLOWERS as u64);
            scene.rests(flight.clients());
            assert_eq!((scene.count("/a"), scene.app.connections()), (2, 2));
        }
    }

    fn r08_key_is_free_after_a_failure(driver: Driver) {
        let together = Event::new();
        let scene = failing(driver, &together, 2, drop);
        let mut flight = scene.flight("/a", FOLLOWERS);
        together.raise();
        assert_each_is_told(&mut flight, 502, "connection_terminated");
        for client in flight.leader.iter_mut().chain(&mut flight.followers) {
            assert_eq!(client.get("/a").text(), "ok");
        }
        scene.rests(flight.clients());
    }

    fn r08_followers_are_asked_for_after_their_leader_has_left(driver: Driver) {
        for leave in Leave::BOTH {
            let together = Event::new();
            let scene = failing(driver, &together, 1, drop);
            let mut flight = scene.flight("/a", FOLLOWERS);
            leave.apply(flight.leader.take().expect("it is there"));
            scene.proxy.metrics_until("it has left", |metrics| metrics.sum("slipstream_requests_active") == FOLLOWERS as u64);
            together.raise();
            assert_eq!(flight.shares().text(), "ok", "{leave:?}");
            assert_eq!(scene.count("/a"), 2);
        }
    }

    fn r08_nothing_is_asked_once_more_when_nobody_is_left(driver: Driver) {
        let together = Event::new();
        let scene = failing(driver, &together, usize::MAX, drop);
        drop(scene.flight("/a", FOLLOWERS));
        scene.rests(0);
        together.raise();
        scene.app.wait_to_close(0);
        assert_eq!((scene.rests(0).sum("slipstream_upstream_requests_total"), scene.app.connections()), (1, 1));
    }

    /// The replay rule comes first: a connection that had gone stale is nobody's failure.
    fn r08_flight_on_a_stale_connection_is_sent_once_more(driver: Driver) {
        for fails in [1, usize::MAX] {
            let together = Event::new();
            let scripted = together.clone();
            let scene = Scene::playing(driver, |setting| setting.workers(1), move |mut conn| {
                if conn.number == 0 {
                    conn.request();
                    conn.send(OK);
                    conn.request();
                    scripted.wait("all are there");
                    return;
                }
                while conn.request().is_some() && conn.number >= fails && conn.send(OK) {}
            });
            let mut first = scene.proxy.client();
            assert_eq!(first.get("/first").text(), "ok");
            scene.proxy.metrics_until("it is idle", |metrics| metrics.sum("slipstream_upstream_connections_idle") == 1);
            let mut flight = scene.flight("/a", FOLLOWERS);
            assert_eq!(scene.app.connections(), 1);
            together.raise();
            if fails == 1 {
                assert_eq!(flight.shares().text(), "ok");
                assert_eq!(scene.count("/a"), 2);
            } else {
                assert_each_is_told(&mut flight, 502, "connection_terminated");
                // The replay, and the attempt after it.
                assert!((2..=3).contains(&scene.count("/a")), "{}", scene.count("/a"));
            }
        }
    }

    fn r08_app_that_answers_no_http_is_not_asked_by_each(driver: Driver) {
        for said in [
            "no status line at all\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        ] {
            let together = Event::new();
            let scene = failing(driver, &together, usize::MAX, move |mut conn| {
                conn.send(said);
            });
            let mut flight = scene.flight("/a", FOLLOWERS);
            together.raise();
            assert_each_is_told(&mut flight, 502, "http_protocol_error");
            scene.rests(flight.clients());
            assert!(scene.count("/a") <= 2, "{}", scene.count("/a"));
        }
    }

    fn r08_app_that_dies_in_its_head_is_not_asked_by_each(driver: Driver) {
        let together = Event::new();
        let scene = failing(driver, &together, usize::MAX, |mut conn| {
            conn.send("HTTP/1.1 200 OK\r\nContent-Le");
        });
        let mut flight = scene.flight("/a", FOLLOWERS);
        together.raise();
        assert_each_is_told(&mut flight, 502, "connection_terminated");
        scene.rests(flight.clients());
        assert!(scene.count("/a") <= 2, "{}", scene.count("/a"));
    }

    /// The app goes away while the flight waits for its turn, with nobody at its port.
    fn r08_app_that_is_gone_is_a_502_for_each(driver: Driver) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("bound");
        let policy = "concurrency: {limit: 1, queue: {depth: 9, timeout: 10m}}";
        let proxy = Setting::in_front_of(&address, driver).policy(policy).start();
        let ask = |target: &str, lines: &str| -> Client {
            let mut client = proxy.client();
            client.send(get(target, lines));
            client
        };
        let mut occupied = ask("/occupied", "Cache-Control: no-cache");
        let (stream, _) = eventually("the proxy connects", || listener.accept().ok());
        let leader = ask("/a", "");
        proxy.metrics_until("it waits for its turn", |metrics| metrics.sum("slipstream_permits_waiting") == 1);
        let waiting = (0..FOLLOWERS).map(|_| ask("/a", "")).collect();
        proxy.metrics_until("all follow", |metrics| followers(metrics) == FOLLOWERS as u64);
        drop(listener);
        drop(stream);
        assert_eq!(occupied.response().status, 502);
        let mut flight = Flight { leader: Some(leader), followers: waiting };
        assert_each_is_told(&mut flight, 502, "connection_refused");
        let metrics = rests(&proxy, 1 + flight.clients());
        assert!(metrics.sum("slipstream_upstream_connect_failures_total") <= 2);
    }

    /// A flight is there for joiners while it connects.
    fn r08_app_that_does_not_accept_is_a_504_for_each(driver: Driver) {
        let app = Unanswering::new();
        let proxy = Setting::in_front_of(&app, driver).policy("timeouts: {connect: 2s}").start();
        let ask = || {
            let mut client = proxy.client();
            client.send(get("/a", ""));
            client
        };
        let leader = ask();
        proxy.metrics_until("it connects", |metrics| metrics.sum("slipstream_coalesce_flights") == 1);
        let waiting = (0..FOLLOWERS).map(|_| ask()).collect();
        proxy.metrics_until("all follow", |metrics| followers(metrics) == FOLLOWERS as u64);
        let mut flight = Flight { leader: Some(leader), followers: waiting };
        assert_each_is_told(&mut flight, 504, "connection_timeout");
        rests(&proxy, flight.clients());
    }

    fn r08_app_that_never_answers_is_a_504_for_each(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::playing(driver, |setting| setting.workers(workers).policy("timeouts: {responseHeaders: 2s}"), |mut conn| {
                conn.request();
                conn.closed();
            });
            let mut flight = scene.flight("/a", FOLLOWERS);
            for response in assert_each_is_told(&mut flight, 504, "http_response_timeout") {
                let proxy_status = response.fields.joined("proxy-status");
                assert!(proxy_status.contains("details=\"responseHeaders\""), "{proxy_status}");
            }
            scene.app.end_of(0);
            scene.rests(flight.clients());
            assert!(scene.count("/a") <= 2, "{}", scene.count("/a"));
        }
    }

    /// It is an answer, and asking again would be a retry for each who waits.
    fn r08_error_of_the_app_is_shared_in_mode_identical(driver: Driver) {
        let scene = Scene::on(driver);
        for error in ERRORS {
            assert_eq!(answered(&scene, &format!("/{}-end", &error[..3]), reply(error, "")), SHARED, "{error}");
        }
    }

    /// RFC 9111 section 4: it may be fresh, but is no answer that a careful cache would give to others.
    fn r08_error_of_the_app_is_released_in_mode_cacheable(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: cacheable"));
        for error in ERRORS {
            for (at, lines) in ["", "Cache-Control: max-age=60"].iter().enumerate() {
                let target = format!("/{}-{at}-end", &error[..3]);
                assert_eq!(answered(&scene, &target, reply(error, lines)), RELEASED, "{error} {lines}");
            }
        }
    }

    fn r08_error_of_the_app_is_shared_or_released_as_the_policy_says(driver: Driver) {
        let fresh = || reply("503 Service Unavailable", "Cache-Control: max-age=60");
        let scene = Scene::set(driver, |setting| setting.coalescing("onError: release"));
        assert_eq!(answered(&scene, "/a", fresh()), RELEASED);
        assert_eq!(answered(&scene, "/b", ok()), SHARED);
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: cacheable, onError: share"));
        assert_eq!(answered(&scene, "/a", fresh()), SHARED);
    }

    /// What speaks against sharing speaks against it in an error too.
    fn r08_error_for_one_client_is_never_shared(driver: Driver) {
        let scene = Scene::on(driver);
        for (at, lines) in ["Set-Cookie: a=b", "Cache-Control: private", "Cache-Control: no-store", "Vary: *", "Vary: X-Request-Id"].iter().enumerate() {
            assert_eq!(answered(&scene, &format!("/{at}-end"), reply("500 Internal Server Error", lines)), RELEASED, "{lines}");
        }
    }
}
