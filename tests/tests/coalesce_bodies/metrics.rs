//! R14: each request that could share is counted once, by what it was and what came of it. (`lagged`, `aborted`, `full` and `memory` are
//! counted where they happen: bodies, after_head.)

use slipstream_tests::{Client, Driver, Metrics, on_both_drivers};

use crate::scene::{
    HELD, OK, PATIENT, Scene, UNSHAREABLE, answers, answers_and_closes, assert_bodies, count, crowd, flights,
    followers, get, get_with, value,
};

fn waits(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_coalesce_wait_seconds_count")
}

fn pass_entries(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_coalesce_pass_entries")
}

/// The app answers everybody but one: a leader and two followers; then all are counted so.
fn counts(driver: Driver, answer: &'static str, status: u16, expected: &[(&str, &str, u64)]) -> Scene {
    let scene = Scene::answering(driver, answer);
    let mut clients = scene.flight(2);
    scene.open(HELD);
    assert!(answers(&mut clients).iter().all(|response| response.status == status));
    scene.counted(expected);
    scene.at_rest();
    scene
}

/// So that nothing is read from the connection any more: then the read does not tell of its end.
const LAST: &str = "Connection: close\r\n";

fn on_one_worker(driver: Driver) -> Scene {
    Scene::on(driver, |proxy| proxy.workers(1).policy(PATIENT), |mut conn, _| conn.send(OK).then_some(conn))
}

on_both_drivers! {
    fn r14_shared_answer_counts_its_leader_and_its_followers(driver: Driver) {
        let scene = counts(driver, OK, 200, &[("leader", "shared", 1), ("follower", "shared", 2)]);
        let metrics = scene.proxy.metrics();
        assert_eq!(waits(&metrics), 2, "each follower has waited once");
        assert_eq!(value(&metrics, "slipstream_coalesce_flight_followers_sum"), 2);
        assert!(value(&metrics, "slipstream_coalesce_flight_followers_count") >= 1);
        assert_eq!(value(&metrics, "slipstream_upstream_requests_total"), 1, "two were saved");
    }

    fn r14_flight_that_nobody_joined_was_alone(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = scene.proxy.client();
        for _ in 0..3 {
            client.get("/alone");
        }
        scene.counted(&[("alone", "*", 3)]);
        let metrics = scene.at_rest();
        assert_eq!((waits(&metrics), value(&metrics, "slipstream_coalesce_flight_followers_sum")), (0, 0));
    }

    fn r14_gauges_tell_of_what_is_in_flight(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(3);
        let mut others = scene.flight_of(&get("/held-other"), 2);
        let metrics = scene.proxy.metrics();
        assert_eq!((flights(&metrics), followers(&metrics)), (2, 5));
        scene.open("/held-other");
        assert_bodies(&answers(&mut others), b"ok");
        scene.proxy.metrics_until("one is over", |metrics| (flights(metrics), followers(metrics)) == (1, 3));
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.at_rest();
    }

    fn r14_requests_that_may_not_share_are_not_counted(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = scene.proxy.client();
        for request in [
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".to_owned(),
            get_with("/", "Authorization: Basic eDp5\r\n"),
            get_with("/", "Cookie: a=b\r\n"),
            get_with("/", "Range: bytes=0-1\r\n"),
            get_with("/", "Cache-Control: no-cache\r\n"),
        ] {
            client.send(&request);
            assert_eq!(client.response().text(), "ok", "{request}");
        }
        assert_eq!(scene.app.requests().len(), 5);
        scene.counted(&[]);
    }

    fn r14_unshareable_answer_is_counted_and_its_key_passes(driver: Driver) {
        let scene = counts(driver, UNSHAREABLE, 200, &[("leader", "unshareable", 1), ("follower", "unshareable", 2)]);
        assert_eq!(scene.seen(HELD), 3);
        let metrics = scene.proxy.metrics();
        // One on each worker that has met it.
        assert!((1..=2).contains(&pass_entries(&metrics)), "{} entries", pass_entries(&metrics));
        // On whatever worker, one of many is where it is known.
        let mut clients: Vec<Client> = (0..16).map(|_| scene.proxy.client()).collect();
        assert!(clients.iter_mut().all(|client| client.get(HELD).status == 200));
        scene.proxy.metrics_until("some have passed", |metrics| count(metrics, "", "pass") > 0);
        assert_eq!(scene.seen(HELD), 19);
    }

    fn r14_answer_that_varies_is_counted_as_such(driver: Driver) {
        const VARIES: &str = "HTTP/1.1 200 OK\r\nVary: *\r\nContent-Length: 2\r\n\r\nok";
        counts(driver, VARIES, 200, &[("leader", "vary", 1), ("follower", "vary", 2)]);
    }

    fn r14_participants_that_leave_are_counted(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(4);
        clients.remove(0).reset();
        clients.remove(0).reset();
        scene.counted(&[("leader", "left", 1), ("follower", "left", 1)]);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[("leader", "left", 1), ("follower", "left", 1), ("follower", "shared", 3)]);
        scene.at_rest();
    }

    /// More at once than a ring takes: some close before the proxy hears that their last byte is sent.
    fn r14_clients_that_close_with_the_last_byte_were_served(driver: Driver) {
        const CROWD: u64 = 1_000;
        let scene = on_one_worker(driver);
        for round in 1..=5 {
            let target = format!("{HELD}-{round}");
            let clients = scene.flight_of(&get_with(&target, LAST), CROWD as usize - 1);
            let all = scene.while_others_come(|| {
                scene.open(&target);
                answers_and_closes(clients)
            });
            assert_bodies(&all, b"ok");
            scene.counted(&[("leader", "shared", round), ("follower", "shared", round * (CROWD - 1))]);
        }
        let metrics = scene.at_rest();
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"client_gone\""), 0);
    }

    /// The same where each has an answer of its own.
    fn clients_that_close_with_the_last_byte_of_an_answer_of_their_own_were_served(driver: Driver) {
        const CROWD: usize = 1_000;
        let scene = on_one_worker(driver);
        let mut clients = crowd(&scene.proxy, CROWD);
        let all = scene.while_others_come(|| {
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(get_with(&format!("/{number}"), LAST));
            }
            answers_and_closes(clients)
        });
        assert_bodies(&all, b"ok");
        scene.counted(&[("alone", "*", CROWD as u64)]);
        let metrics = scene.at_rest();
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"client_gone\""), 0);
    }

    fn r14_participants_whose_time_is_over_are_counted(driver: Driver) {
        let policy = format!("{PATIENT}\nroutes: [{{match: {{path: {HELD}}}, timeouts: {{request: 1s}}}}]");
        let scene = Scene::under(driver, &policy, OK);
        let mut clients = scene.flight(2);
        assert!(answers(&mut clients).iter().all(|response| response.status == 504));
        scene.counted(&[("leader", "timeout", 1), ("follower", "timeout", 2)]);
        scene.at_rest();
        scene.open(HELD);
    }

    fn r14_failure_before_the_head_is_counted_for_each(driver: Driver) {
        let scene = Scene::with(driver, |_, _| None);
        let mut clients = scene.flight(2);
        scene.open(HELD);
        assert!(answers(&mut clients).iter().all(|response| response.status == 502));
        scene.counted(&[("leader", "error", 1), ("follower", "error", 2)]);
        scene.at_rest();
        assert!(scene.seen(HELD) <= 2, "N waiters never become N retries");
    }

    /// Nothing is joined; what would have been shared is known when the answer is.
    fn r14_observe_counts_what_would_be_shared(driver: Driver) {
        let scene = Scene::under(driver, "coalescing: {mode: observe, joinWindow: 1m}", OK);
        let mut clients = vec![scene.lead(&get(HELD))];
        for count in 2..=3 {
            clients.push(scene.proxy.client());
            clients.last_mut().expect("one").send(get(HELD));
            scene.until_seen(HELD, count);
        }
        scene.open(HELD);
        let responses = answers(&mut clients);
        assert_bodies(&responses, b"ok");
        assert!(responses.iter().all(|response| !response.fields.has("cache-status")));
        let metrics = scene.proxy.metrics_until("all are counted", |metrics| count(metrics, "", "*") == 3);
        assert!(count(&metrics, "", "observed") >= 2, "the two that would have followed");
        assert_eq!(count(&metrics, "", "shared"), 0);
        scene.at_rest();
    }

    fn r14_off_counts_nothing(driver: Driver) {
        let scene = Scene::on(driver, |proxy| proxy.flags(&["--coalesce", "off"]), |mut conn, _| conn.send(OK).then_some(conn));
        let mut clients = vec![scene.lead(&get(HELD)), scene.proxy.client()];
        clients[1].send(get(HELD));
        scene.until_seen(HELD, 2);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[]);
        scene.at_rest();
    }
}
