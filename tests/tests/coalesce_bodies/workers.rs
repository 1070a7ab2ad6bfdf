//! R11: the pod is the scope. Whichever worker a connection landed on, a key has one flight; and a key is free when its flight is over.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use slipstream_tests::{Client, Driver, Event, Metrics, Proxy, Response, Rng, on_both_drivers};

use crate::scene::{
    HELD, MIB, OK, PATIENT, Scene, answers, assert_bodies, at_rest, body, count, crowd, flights, followers, get,
    let_pass, together, value, with_length,
};

/// The app answers each request with its target.
pub fn echo(driver: Driver, workers: usize) -> Scene {
    Scene::on(
        driver,
        |proxy| proxy.workers(workers).policy(&format!("{PATIENT}\nlimits: {{connections: 20000}}")),
        |mut conn, request| conn.send(with_length(request.target.as_bytes())).then_some(conn),
    )
}

fn upstream(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_upstream_requests_total")
}

/// Everybody asks for a new key at the same moment, round after round: there is one flight, whoever was first.
fn everybody_at_once(driver: Driver, workers: usize) {
    const ROUNDS: usize = 40;
    const CLIENTS: usize = 16;
    let scene =
        Scene::on(driver, |proxy| proxy.workers(workers).policy(PATIENT), |mut conn, _| conn.send(OK).then_some(conn));
    let mut clients = crowd(&scene.proxy, CLIENTS);
    for round in 0..ROUNDS {
        let target = format!("{HELD}-{round}");
        let (request, ready) = (get(&target), Barrier::new(CLIENTS));
        together(&mut clients, |client| {
            ready.wait();
            client.send(&request);
        });
        scene.until_followers(CLIENTS as u64 - 1);
        scene.until_seen(&target, 1);
        scene.open(&target);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.at_rest();
        assert_eq!(scene.seen(&target), 1, "in round {round}");
    }
    let shared = (CLIENTS - 1) * ROUNDS;
    scene.counted(&[("leader", "shared", ROUNDS as u64), ("follower", "shared", shared as u64)]);
}

/// So many keys in flight at once, each with a leader and a follower on whatever workers; each gets the answer to its own.
pub fn many_keys_at_once(driver: Driver, keys: usize, exactly_one_each: bool) {
    let scene = echo(driver, 2);
    let mut clients = crowd(&scene.proxy, 2 * keys);
    let target = |number: usize| format!("{HELD}-{}", number % keys);
    clients.iter_mut().enumerate().for_each(|(number, client)| client.send(get(&target(number))));
    let in_flight = |metrics: &Metrics| upstream(metrics) + followers(metrics);
    scene.proxy.metrics_until("all are in flight", |metrics| in_flight(metrics) >= 2 * keys as u64);
    if exactly_one_each {
        let metrics = scene.proxy.metrics();
        assert_eq!((flights(&metrics), followers(&metrics)), (keys as u64, keys as u64));
    }
    (0..keys).for_each(|number| scene.open(&target(number)));
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, target(number)));
    }
    // A line of the directory that is full leaves a request alone.
    let most = if exactly_one_each { keys } else { 2 * keys };
    let requests = upstream(&scene.at_rest()) as usize;
    assert!((keys..=most).contains(&requests), "{requests} for {keys} keys");
}

/// So many keys one after another on each of some connections: nothing of them stays behind.
pub fn many_keys_in_turn(driver: Driver, keys: usize) {
    const CLIENTS: usize = 8;
    let scene = echo(driver, 2);
    let mut clients: Vec<(usize, Client)> = crowd(&scene.proxy, CLIENTS).into_iter().enumerate().collect();
    together(&mut clients, |(own, client)| {
        for number in 0..keys / CLIENTS {
            let target = format!("/{own}-{number}");
            assert_eq!(client.get(&target).text(), target);
        }
    });
    scene.counted(&[("alone", "*", keys as u64)]);
    scene.at_rest();
    assert_eq!(scene.app.requests().len(), keys);
}

on_both_drivers! {
    fn r11_identical_requests_on_both_workers_are_one_upstream_request(driver: Driver) {
        const CLIENTS: usize = 200;
        let scene = Scene::answering(driver, OK);
        let mut clients = crowd(&scene.proxy, CLIENTS);
        let request = get(HELD);
        clients.iter_mut().for_each(|client| client.send(&request));
        scene.until_followers(CLIENTS as u64 - 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.shared_by(CLIENTS - 1);
        assert_eq!(scene.app.connections(), 1);
    }

    /// Open and open: who is first is decided anew each time.
    fn r11_requests_that_come_at_the_same_moment_open_one_flight(driver: Driver) {
        everybody_at_once(driver, 2);
    }

    fn r11_four_workers_open_one_flight(driver: Driver) {
        everybody_at_once(driver, 4);
    }

    /// Without a directory.
    fn r11_one_worker_opens_one_flight(driver: Driver) {
        everybody_at_once(driver, 1);
    }

    /// Open, join and close: each connection asks again as soon as it has its answer, and must not get that one again.
    fn r11_flight_that_closes_is_joined_by_nobody_who_comes_after_it(driver: Driver) {
        const CLIENTS: usize = 8;
        const REQUESTS: usize = 150;
        let asked = AtomicUsize::new(0);
        let scene = Scene::on(driver, |proxy| proxy.policy(PATIENT), move |mut conn, _| {
            let number = asked.fetch_add(1, SeqCst) + 1;
            conn.send(with_length(number.to_string().as_bytes())).then_some(conn)
        });
        let mut clients = crowd(&scene.proxy, CLIENTS);
        let numbers = together(&mut clients, |client| {
            let mut last = 0;
            for _ in 0..REQUESTS {
                let number: usize = client.get("/number").text().parse().expect("a number");
                assert!(number > last, "{number} was read before {last} was answered");
                last = number;
            }
            last
        });
        let upstream = scene.app.requests().len();
        assert_eq!(numbers.into_iter().max(), Some(upstream));
        let metrics = scene.proxy.metrics_until("all are counted", |metrics| {
            count(metrics, "", "*") as usize == CLIENTS * REQUESTS
        });
        let shared = count(&metrics, "follower", "shared") as usize;
        assert!(shared > 0, "of {} requests none was shared", CLIENTS * REQUESTS);
        assert_eq!(upstream + shared, CLIENTS * REQUESTS);
        scene.at_rest();
    }

    /// Join and leave: clients come and go at any moment of a flight, and at the end no key and no place is taken.
    fn r11_clients_that_come_and_go_leave_no_key_behind(driver: Driver) {
        const THREADS: u64 = 8;
        const ROUNDS: usize = 60;
        let scene = Scene::on(driver, |proxy| proxy.policy(PATIENT), |mut conn, _| {
            Event::new().raised_within(Duration::from_millis(2));
            conn.send(OK).then_some(conn)
        });
        let address = scene.proxy.http();
        let mut rngs: Vec<Rng> = (0..THREADS).map(|thread| Rng::of_case(11, thread)).collect();
        together(&mut rngs, |rng| {
            for _ in 0..ROUNDS {
                let mut client = Client::plain(address);
                client.send(get(&format!("/{}", rng.below(3))));
                if rng.percent(40) {
                    let_pass(Duration::from_micros(rng.below(3_000) as u64));
                    client.reset();
                } else {
                    assert_eq!(client.response().text(), "ok");
                }
            }
        });
        let before = upstream(&scene.at_rest());
        let mut clients = crowd(&scene.proxy, 6);
        for number in 0..3 {
            for client in &mut clients {
                assert_eq!(client.get(&format!("/{number}")).text(), "ok");
            }
        }
        assert_eq!(upstream(&scene.proxy.metrics()), before + 18, "each of them was the only one in flight");
    }

    /// R5, with participants on both sides of the relay.
    fn r11_followers_of_both_workers_outlive_the_leader(driver: Driver) {
        const FOLLOWERS: usize = 15;
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(FOLLOWERS);
        clients.remove(0).reset();
        scene.proxy.metrics_until("it has left", |metrics| count(metrics, "leader", "left") == 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[("leader", "left", 1), ("follower", "shared", FOLLOWERS as u64)]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    /// R5: the last to leave, on whatever worker, cancels the app's work; and the key is free.
    fn r11_key_is_free_when_all_have_left_on_both_workers(driver: Driver) {
        let asked = AtomicUsize::new(0);
        let scene = Scene::on(driver, |proxy| proxy.policy(PATIENT), move |mut conn, _| {
            let number = asked.fetch_add(1, SeqCst);
            if number % 2 == 1 {
                return conn.send(OK).then_some(conn);
            }
            conn.closed();
            conn.note(format!("cancelled {number}"));
            None
        });
        for round in 0..5 {
            let mut clients = crowd(&scene.proxy, 10);
            clients.iter_mut().for_each(|client| client.send(get("/key")));
            scene.until_followers(9);
            scene.until_seen("/key", 2 * round + 1);
            clients.into_iter().for_each(Client::reset);
            scene.app.wait_for_note(&format!("cancelled {}", 2 * round));
            scene.at_rest();
            assert_eq!(scene.proxy.client().get("/key").text(), "ok");
            assert_eq!(scene.seen("/key"), 2 * round + 2);
        }
    }

    /// What fits is kept once for the pod; what does not is paced over the relay.
    fn r11_bodies_are_the_same_on_both_workers(driver: Driver) {
        for bytes in [600_000, 4 * MIB] {
            let whole = body(bytes);
            let scene = Scene::answering(driver, with_length(&whole));
            let mut clients = scene.flight(15);
            scene.open(HELD);
            assert_bodies(&together(&mut clients, Client::response), &whole);
            scene.shared_by(15);
        }
    }

    /// Another host is another key, and the app behind another listener would be.
    fn r11_keys_that_differ_only_in_their_host_are_two_flights_on_every_worker(driver: Driver) {
        let scene = Scene::on(driver, |proxy| proxy.policy(PATIENT), |mut conn, request| {
            let host = request.fields.get("host").unwrap_or_default();
            conn.send(with_length(host.as_bytes())).then_some(conn)
        });
        let mut clients = crowd(&scene.proxy, 20);
        let hosts = ["a.test", "b.test"];
        let asked: Vec<&str> = hosts.into_iter().cycle().take(20).collect();
        for (client, host) in clients.iter_mut().zip(&asked) {
            client.send(format!("GET {HELD} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        }
        scene.until_followers(18);
        scene.open(HELD);
        let got: Vec<String> = answers(&mut clients).iter().map(Response::text).collect();
        assert_eq!(got, asked);
        let upstream: HashSet<String> = scene.app.requests().iter().map(|request| request.fields.joined("host")).collect();
        assert_eq!((upstream.len(), scene.seen(HELD)), (2, 2));
        scene.at_rest();
    }

    fn r11_four_hundred_keys_at_once_are_four_hundred_flights(driver: Driver) {
        many_keys_at_once(driver, 400, true);
    }

    fn r11_two_thousand_keys_in_turn_leave_nothing_behind(driver: Driver) {
        many_keys_in_turn(driver, 2_000);
    }

    /// Two processes share nothing but the app.
    fn r11_two_proxies_before_one_app_are_two_scopes(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let other = Proxy::in_front_of(&scene.app).driver(driver).workers(2).policy(PATIENT).start();
        let mut clients = scene.flight(2);
        let mut apart = other.client();
        apart.send(get(HELD));
        scene.until_seen(HELD, 2);
        scene.open(HELD);
        clients.push(apart);
        assert_bodies(&answers(&mut clients), b"ok");
        at_rest(&other);
        assert_eq!(scene.seen(HELD), 2);
    }
}

/// 10,000 keys, by two requests each: 20,000 connections are more than many a machine gives one process, so a quarter of them at a time.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: thousands of connections; run by just coalesce-long"]
    fn ten_thousand_keys() {
        many_keys_at_once(Driver::Epoll, 2_500, false);
        many_keys_in_turn(Driver::Epoll, 10_000);
    }

    #[test]
    #[ignore = "long: thousands of connections, needs io_uring; run by just coalesce-long"]
    fn ten_thousand_keys_under_io_uring() {
        many_keys_at_once(Driver::IoUring, 2_500, false);
        many_keys_in_turn(Driver::IoUring, 10_000);
    }
}
