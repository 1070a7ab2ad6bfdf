//! R12: who joins needs no permit. A flight has one, however many it answers, and whoever goes up alone takes one of their own.

use slipstream_tests::{Client, Event, Inside, Metrics, nothing_is_left, on_both_drivers};

use crate::scene::{
    HELD, OK, PATIENT, Scene, UNSHAREABLE, answers, assert_bodies, body, count, crowd, followers, get, with_length,
};

/// The policy of one that waits for joiners, and lets in so many at a time.
fn limited(concurrency: &str) -> String {
    format!("{PATIENT}\nconcurrency: {{{concurrency}}}")
}

/// (In use, waiting.)
fn permits(metrics: &Metrics) -> (u64, u64) {
    (metrics.sum("slipstream_permits_in_use"), metrics.sum("slipstream_permits_waiting"))
}

fn all_back(scene: &Scene) {
    scene.proxy.metrics_until("all permits are back", |metrics| permits(metrics) == (0, 0));
    scene.at_rest();
}

/// Nobody's time in the queue runs out.
const PATIENT_QUEUE: &str = "queue: {depth: 100, timeout: 10m}";

on_both_drivers! {
    /// There is no queue: a second permit that were asked for would be a 503.
    fn r12_twenty_identical_requests_take_one_permit(driver: Driver) {
        let scene = Scene::under(driver, &limited("limit: 1, queue: {depth: 0}"), OK);
        let mut clients = scene.flight(19);
        let metrics = scene.proxy.metrics();
        assert_eq!((permits(&metrics), followers(&metrics)), ((1, 0), 19));
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.proxy.metrics().sum("slipstream_shed_total"), 0);
        scene.shared_by(19);
        all_back(&scene);
    }

    /// A follower is none of those that wait for a permit, and is no younger than the flight's place in the line.
    fn r12_followers_join_a_flight_that_waits_for_its_permit(driver: Driver) {
        let scene = Scene::under(driver, &limited(&format!("limit: 1, {PATIENT_QUEUE}")), OK);
        let mut busy = scene.lead(&get("/held-busy"));
        let mut clients = crowd(&scene.proxy, 20);
        clients.iter_mut().for_each(|client| client.send(get(HELD)));
        scene.until_followers(19);
        let metrics = scene.proxy.metrics();
        assert_eq!(permits(&metrics), (1, 1));
        assert_eq!(scene.seen(HELD), 0, "it waits");
        scene.open("/held-busy");
        assert_eq!(busy.response().text(), "ok");
        scene.until_seen(HELD, 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen(HELD), 1);
        all_back(&scene);
    }

    /// Depth 1: the flight has the only place, and its followers need none.
    fn r12_followers_need_no_place_in_the_queue(driver: Driver) {
        let scene = Scene::under(driver, &limited("limit: 1, queue: {depth: 1, timeout: 10m}"), OK);
        let mut busy = scene.lead(&get("/held-busy"));
        let mut clients = crowd(&scene.proxy, 10);
        clients.iter_mut().for_each(|client| client.send(get(HELD)));
        scene.until_followers(9);
        assert_eq!(scene.proxy.client().get("/another").status, 503, "the queue is full");
        scene.open("/held-busy");
        scene.open(HELD);
        assert_eq!(busy.response().text(), "ok");
        assert_bodies(&answers(&mut clients), b"ok");
        all_back(&scene);
    }

    /// The flight keeps its place and its permit when the one who opened it leaves.
    fn r12_permit_stays_with_the_flight_when_its_leader_leaves(driver: Driver) {
        let scene = Scene::under(driver, &limited(&format!("limit: 1, {PATIENT_QUEUE}")), OK);
        let mut clients = scene.flight(5);
        clients.remove(0).reset();
        scene.proxy.metrics_until("it has left", |metrics| count(metrics, "leader", "left") == 1);
        let mut next = scene.proxy.client();
        next.send(get("/next"));
        scene.proxy.metrics_until("it waits", |metrics| permits(metrics) == (1, 1));
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(next.response().text(), "ok");
        all_back(&scene);
    }

    fn r12_permit_comes_back_when_the_last_participant_leaves(driver: Driver) {
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(&limited("limit: 1, queue: {depth: 0}")),
            |mut conn, request| {
                if request.target == "/never" {
                    conn.closed();
                    return None;
                }
                conn.send(OK).then_some(conn)
            },
        );
        for round in 1..=3 {
            let mut clients = crowd(&scene.proxy, 5);
            clients.iter_mut().for_each(|client| client.send(get("/never")));
            scene.until_followers(4);
            scene.until_seen("/never", round);
            clients.into_iter().for_each(Client::reset);
            all_back(&scene);
            assert_eq!(scene.proxy.client().get("/other").text(), "ok");
            // A client has the last byte a moment before the permit is back.
            all_back(&scene);
        }
        nothing_is_left(&scene.proxy, 0);
    }

    /// Until the last byte of its answer.
    fn r12_flight_holds_its_permit_to_the_end_of_the_body(driver: Driver) {
        let rest = Event::new();
        let told = rest.clone();
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(&limited(&format!("limit: 1, {PATIENT_QUEUE}"))),
            move |mut conn, request| {
                if request.target != HELD {
                    return conn.send(OK).then_some(conn);
                }
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
                told.wait_for_the_case();
                conn.send("world").then_some(conn)
            },
        );
        let mut clients = scene.flight(4);
        scene.open(HELD);
        for client in &mut clients {
            client.response_head();
            assert_eq!(client.take(5), b"hello");
        }
        let mut next = scene.proxy.client();
        next.send(get("/next"));
        scene.proxy.metrics_until("it waits", |metrics| permits(metrics) == (1, 1));
        assert_eq!(scene.seen("/next"), 0);
        rest.raise();
        clients.iter_mut().for_each(|client| assert_eq!(client.take(5), b"world"));
        assert_eq!(next.response().text(), "ok");
        all_back(&scene);
    }

    /// Herd at release: each of them waits for a permit of its own, and the app never holds more than it may.
    fn r12_followers_that_were_released_each_take_a_permit(driver: Driver) {
        const LIMIT: usize = 4;
        const FOLLOWERS: usize = 20;
        let inside = Inside::new();
        let counting = inside.clone();
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(&limited(&format!("limit: {LIMIT}, {PATIENT_QUEUE}"))),
            move |mut conn, _| {
                let stay = counting.enter();
                let (most, last) = UNSHAREABLE.split_at(UNSHAREABLE.len() - 1);
                conn.send(most);
                drop(stay);
                conn.send(last).then_some(conn)
            },
        );
        let mut clients = scene.flight(FOLLOWERS);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen(HELD), 1 + FOLLOWERS);
        assert!(inside.peak() <= LIMIT, "{} were in the app at once", inside.peak());
        assert_eq!(scene.proxy.metrics().sum("slipstream_shed_total"), 0);
        scene.counted(&[("leader", "unshareable", 1), ("follower", "unshareable", FOLLOWERS as u64)]);
        all_back(&scene);
    }

    /// A limit for the app is none for those whom one answer serves: more of them than permits and places together, and a larger body.
    fn r12_many_more_than_the_limit_are_served_by_one_permit(driver: Driver) {
        let whole = body(200_000);
        let scene = Scene::under(driver, &limited("limit: 2, queue: {depth: 2, timeout: 10m}"), with_length(&whole));
        let mut clients = scene.flight(200);
        assert_eq!(permits(&scene.proxy.metrics()), (1, 0));
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), &whole);
        scene.shared_by(200);
        all_back(&scene);
    }
}
