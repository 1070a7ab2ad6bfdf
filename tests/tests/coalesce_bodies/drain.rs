//! R16: the end of a proxy with flights in it. They finish, take no joiners, and each answer is the last of its connection.

use slipstream_tests::{Client, Driver, Running, on_both_drivers};

use crate::scene::{
    HELD, KIB, MIB, OK, PATIENT, Scene, answers, assert_bodies, body, followers, get, together, with_length,
};

/// Neither a delay nor a grace that ends within a case.
const LONG: &str = "delay: 10m, grace: 24h";
/// The listeners close at once, and requests have all the time they want.
const NO_DELAY: &str = "delay: 0s, grace: 24h";

fn scene(driver: Driver, drain: &str, answer: Vec<u8>) -> Scene {
    let config = format!("drain: {{{drain}}}\npolicy:\n  {PATIENT}\n");
    Scene::on(driver, |proxy| proxy.config(&config), move |mut conn, _| conn.send(&answer).then_some(conn))
}

/// Waits until the proxy is in `phase`.
fn wait_for(proxy: &Running, phase: &str) {
    let label = format!("phase=\"{phase}\"");
    proxy.metrics_until(phase, |metrics| metrics.sum_where("slipstream_phase", &label) == 1);
}

/// Everybody gets the whole body, is told that it is the last one, and it is.
fn last_answers(clients: &mut [Client], body: &[u8]) {
    let responses = together(clients, |client| {
        let response = client.response();
        client.expect_close();
        response
    });
    assert_bodies(&responses, body);
    assert!(responses.iter().all(|response| !response.keeps()), "{:?}", responses[0].fields);
}

fn ends_in_order(scene: Scene) {
    let Scene { proxy, app: _app, .. } = scene;
    let exit = proxy.wait_for_exit();
    assert_eq!(exit.code(), 0, "{}", exit.stderr);
    assert!(exit.stderr.contains("no request was broken off"), "{}", exit.stderr);
}

on_both_drivers! {
    fn r16_open_flight_finishes_while_the_proxy_drains(driver: Driver) {
        let scene = scene(driver, LONG, OK.into());
        let mut clients = scene.flight(7);
        scene.proxy.drain();
        wait_for(&scene.proxy, "draining");
        scene.open(HELD);
        last_answers(&mut clients, b"ok");
        scene.shared_by(7);
    }

    fn r16_flight_of_a_draining_proxy_takes_no_joiners(driver: Driver) {
        let scene = scene(driver, LONG, OK.into());
        let mut clients = scene.flight(3);
        scene.proxy.drain();
        wait_for(&scene.proxy, "draining");
        for more in 1..=2 {
            let mut late = scene.proxy.client();
            late.send(get(HELD));
            scene.until_seen(HELD, 1 + more);
            clients.push(late);
        }
        assert_eq!(followers(&scene.proxy.metrics()), 3, "nor is one taken by a flight that opened in the drain");
        scene.open(HELD);
        last_answers(&mut clients, b"ok");
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 3);
    }

    /// Behind a drain that has no delay the listeners are closed; who is in flight is served.
    fn r16_open_flight_finishes_when_the_listeners_are_closed(driver: Driver) {
        let scene = scene(driver, NO_DELAY, OK.into());
        let mut clients = scene.flight(7);
        scene.proxy.drain();
        wait_for(&scene.proxy, "closing");
        scene.open(HELD);
        last_answers(&mut clients, b"ok");
        assert_eq!(scene.seen(HELD), 1);
        ends_in_order(scene);
    }

    fn r16_sigterm_waits_for_an_open_flight(driver: Driver) {
        let scene = scene(driver, LONG, OK.into());
        let mut clients = scene.flight(7);
        scene.proxy.signal("TERM");
        wait_for(&scene.proxy, "closing");
        scene.open(HELD);
        last_answers(&mut clients, b"ok");
        ends_in_order(scene);
    }

    /// A body that is paced, and is on its way to all when the end comes.
    fn r16_body_within_a_flight_is_sent_to_its_end(driver: Driver) {
        let whole = body(6 * MIB);
        let scene = scene(driver, NO_DELAY, with_length(&whole));
        let mut clients = scene.flight(4);
        scene.open(HELD);
        for client in &mut clients {
            assert_eq!(client.response_head().status, 200);
        }
        scene.proxy.drain();
        let bodies = together(&mut clients, |client| {
            let read = client.take(whole.len());
            client.expect_close();
            read
        });
        assert!(bodies.iter().all(|read| *read == whole));
        ends_in_order(scene);
    }

    /// One that the app has sent whole, and a follower has not yet read.
    fn r16_body_that_is_kept_for_a_slow_follower_is_sent_to_its_end(driver: Driver) {
        let whole = body(MIB);
        let scene = scene(driver, NO_DELAY, with_length(&whole));
        let mut clients = scene.flight(2);
        let mut slow = scene.slow_follower();
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), &whole);
        scene.proxy.drain();
        wait_for(&scene.proxy, "closing");
        drop(clients);
        let head = slow.head();
        assert!(slow.body_in_pieces(&head, 256 * KIB, std::time::Duration::ZERO).expect("it is all there") == whole);
        drop(slow);
        ends_in_order(scene);
    }

    /// The grace is over: everybody is broken off, none is left, and the process ends.
    fn r16_flight_that_outlives_the_grace_is_broken_off_for_all(driver: Driver) {
        let scene = scene(driver, "delay: 0s, grace: 500ms", OK.into());
        let mut clients = scene.flight(3);
        scene.proxy.drain();
        together(&mut clients, Client::expect_reset);
        let Scene { proxy, app: _app, gates } = scene;
        let exit = proxy.wait_for_exit();
        gates.of(HELD).raise();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
        assert!(exit.stderr.contains("took too long and were broken off: 4"), "{}", exit.stderr);
    }

    /// A flight whose leader has left does not hold the end for longer than those who are still there.
    fn r16_participants_that_leave_within_a_drain_let_it_end(driver: Driver) {
        let scene = Scene::on(
            driver,
            |proxy| proxy.config(&format!("drain: {{{NO_DELAY}}}\npolicy:\n  {PATIENT}\n")),
            |mut conn, _| {
                conn.closed();
                None
            },
        );
        let mut clients = vec![scene.proxy.client(), scene.proxy.client(), scene.proxy.client()];
        clients.iter_mut().for_each(|client| client.send(get("/never")));
        scene.until_followers(2);
        scene.proxy.drain();
        wait_for(&scene.proxy, "closing");
        clients.into_iter().for_each(Client::reset);
        let Scene { proxy, app: _app, .. } = scene;
        assert_eq!(proxy.wait_for_exit().code(), 0);
    }
}
