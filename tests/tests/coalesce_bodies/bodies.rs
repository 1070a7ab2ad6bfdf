//! R9: one body for all. What fits is kept for the slow, what does not is paced by them, and who is too slow for the others is left behind.

use std::time::{Duration, Instant};

use slipstream_tests::{Certs, Client, Driver, Framing, Metrics, NAME, Way, on_both_drivers};

use crate::scene::{
    CHUNKED, FOLLOWERS_MAX, HELD, KIB, LAG_BUDGET, MIB, OK, PATIENT, SLACK_BYTES, Scene, Slow, WINDOW_BYTES, answers,
    assert_bodies, assert_cut, body, chunk, chunked, count, crowd, flights, followers, get, get_with, let_pass,
    retained, together, with_length,
};

/// How soon a participant that does not read is left behind, at the latest.
const LEFT_BEHIND_WITHIN: Duration = Duration::from_secs(3);

/// A body that is paced, and that no kernel holds for a client that does not read.
const PACED_BYTES: usize = 8 * MIB;

/// The app sends a body of so many bytes, and notes `sent` when the proxy has taken it.
fn sends(driver: Driver, bytes: usize) -> Scene {
    let answer = with_length(&body(bytes));
    Scene::with(driver, move |mut conn, _| {
        let taken = conn.send(&answer);
        conn.note("sent");
        taken.then_some(conn)
    })
}

/// One of them stops reading, and the others do not wait for it for long. Gives what the flight has kept at most.
fn one_stops(scene: &Scene, others: &mut [Client], stopped: &mut Slow, bytes: usize) -> u64 {
    let opened = Instant::now();
    scene.open(HELD);
    let most = scene.most_retained(|| {
        assert_bodies(&together(others, Client::response), &body(bytes));
    });
    scene.proxy.metrics_until("it is left behind", |metrics| count(metrics, "", "lagged") == 1);
    assert!(opened.elapsed() < LEFT_BEHIND_WITHIN, "after {:?}", opened.elapsed());
    let broken = assert_cut(stopped.try_response());
    assert!(broken.body.len() < bytes && broken.body == body(broken.body.len()), "what came was right");
    most
}

on_both_drivers! {
    fn r09_body_with_a_length_is_the_same_for_all(driver: Driver) {
        let whole = body(300_000);
        let scene = Scene::answering(driver, with_length(&whole));
        let mut clients = scene.flight(8);
        scene.open(HELD);
        let responses = answers(&mut clients);
        assert_bodies(&responses, &whole);
        assert!(responses.iter().all(|response| response.framing == Framing::Length(whole.len()) && response.keeps()));
        scene.shared_by(8);
    }

    fn r09_chunked_body_is_the_same_for_all(driver: Driver) {
        let whole = body(300_000);
        let answer = chunked(&whole, 7_001);
        // In pieces that end anywhere within the chunks.
        let scene = Scene::with(driver, move |mut conn, _| answer.chunks(9_973).all(|piece| conn.send(piece)).then_some(conn));
        let mut clients = scene.flight(8);
        scene.open(HELD);
        let responses = answers(&mut clients);
        assert_bodies(&responses, &whole);
        assert!(responses.iter().all(|response| response.framing == Framing::Chunked && response.keeps()));
        scene.shared_by(8);
    }

    fn r09_body_that_ends_with_the_connection_is_the_same_for_all(driver: Driver) {
        let whole = body(100_000);
        let answer = [b"HTTP/1.1 200 OK\r\n\r\n", &whole[..]].concat();
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send(&answer);
            None
        });
        let mut clients = scene.flight(8);
        scene.open(HELD);
        let responses = answers(&mut clients);
        assert_bodies(&responses, &whole);
        // RFC 9112 section 6.3: nobody need lose a connection with the app's.
        assert!(responses.iter().all(|response| response.framing == Framing::Chunked && response.keeps()));
        scene.shared_by(8);
    }

    fn r09_answers_without_a_body_are_shared(driver: Driver) {
        const KINDS: [(&str, u16, &str); 4] = [
            ("/held-none", 204, "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
            ("/held-same", 304, "HTTP/1.1 304 Not Modified\r\nX: y\r\nETag: \"a\"\r\n\r\n"),
            ("/held-empty", 200, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n"),
            ("/held-chunks", 200, "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ];
        let scene = Scene::with(driver, |mut conn, request| {
            let (_, _, answer) = KINDS.iter().find(|(target, _, _)| *target == request.target).expect("one of them");
            conn.send(answer).then_some(conn)
        });
        for (target, status, _) in KINDS {
            let mut clients = scene.flight_of(&get_with(target, "If-None-Match: \"a\"\r\n"), 3);
            scene.open(target);
            for response in answers(&mut clients) {
                assert_eq!((response.status, response.fields.get("x"), response.body.len()), (status, Some("y"), 0), "{target}");
            }
            // Each connection is at its next head.
            clients.iter_mut().for_each(|client| client.send(get(target)));
            assert!(answers(&mut clients).iter().all(|response| response.status == status), "{target}");
            scene.at_rest();
        }
    }

    fn r09_body_comes_to_all_as_it_comes(driver: Driver) {
        let scene = Scene::with(driver, |mut conn, _| {
            conn.send(format!("{CHUNKED}5\r\nfirst\r\n"));
            let first = conn.request();
            assert!(first.is_none(), "the app is asked nothing more");
            None
        });
        let mut clients = scene.flight(4);
        scene.open(HELD);
        for client in &mut clients {
            assert_eq!(client.response_head().status, 200);
            assert_eq!(client.take(10), b"5\r\nfirst\r\n");
        }
        // R5: the last one takes the app's work along.
        clients.into_iter().for_each(Client::reset);
        scene.app.end_of(0);
        scene.at_rest();
    }

    fn r09_body_is_the_same_for_all_under_tls(driver: Driver) {
        let (whole, certs) = (body(700_000), Certs::new());
        let answer = with_length(&whole);
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(PATIENT).tls(certs.leaf(&[NAME])),
            move |mut conn, _| conn.send(&answer).then_some(conn),
        );
        let mut clients: Vec<Client> = (0..6).map(|_| Way::Tls.client(&scene.proxy, &certs)).collect();
        clients[0].send(get(HELD));
        scene.app.wait_to_see(HELD);
        clients[1..].iter_mut().for_each(|client| client.send(get(HELD)));
        scene.until_followers(5);
        scene.open(HELD);
        assert_bodies(&together(&mut clients, Client::response), &whole);
        scene.shared_by(5);
    }

    /// At the limit and one below it: the app is rid of it, the others have it, and whoever is slow may be so for longer than any lag budget.
    fn r09_body_of_1_mib_is_not_paced_by_a_slow_reader(driver: Driver) {
        for bytes in [MIB - 1, MIB] {
            let scene = sends(driver, bytes);
            let mut clients = scene.flight(3);
            let mut slow = scene.slow_follower();
            scene.open(HELD);
            assert_bodies(&answers(&mut clients), &body(bytes));
            scene.app.wait_for_note("sent");
            let_pass(LAG_BUDGET + LAG_BUDGET / 2);
            let kept = retained(&scene.proxy.metrics());
            let expected = (bytes - Slow::KERNEL_BYTES_MAX) as u64..=bytes as u64 + SLACK_BYTES;
            assert!(expected.contains(&kept), "{kept} bytes are kept, of {bytes} that one reader has left");
            assert_bodies(&[slow.try_response().expect("it may be slow")], &body(bytes));
            scene.shared_by(4);
        }
    }

    /// One above it.
    fn r09_body_of_a_byte_more_is_paced(driver: Driver) {
        let scene = sends(driver, MIB + 1);
        let mut clients = scene.flight(3);
        let mut slow = scene.slow_follower();
        let most = one_stops(&scene, &mut clients, &mut slow, MIB + 1);
        assert!(most <= WINDOW_BYTES + SLACK_BYTES, "{most} bytes were kept");
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", 3), ("follower", "lagged", 1)]);
    }

    fn r09_larger_body_is_paced_by_the_slowest(driver: Driver) {
        const BYTES: usize = 3 * MIB;
        let scene = sends(driver, BYTES);
        let mut clients = scene.flight(3);
        let mut slow = scene.slow_follower();
        scene.open(HELD);
        let most = scene.most_retained(|| {
            std::thread::scope(|scope| {
                let fast = scope.spawn(|| assert_bodies(&together(&mut clients, Client::response), &body(BYTES)));
                let head = slow.head();
                let read = slow.body_in_pieces(&head, 64 * KIB, Duration::from_millis(2));
                assert!(read.expect("it is not too slow") == body(BYTES));
                fast.join().expect("the others have it too");
            });
        });
        assert!(most <= WINDOW_BYTES + SLACK_BYTES, "{most} bytes were kept");
        scene.shared_by(4);
    }

    fn r09_slow_follower_is_aborted_and_the_others_go_on(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut clients = scene.flight(3);
        let mut slow = scene.slow_follower();
        let most = one_stops(&scene, &mut clients, &mut slow, PACED_BYTES);
        assert!(most <= WINDOW_BYTES + SLACK_BYTES, "{most} bytes were kept");
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", 3), ("follower", "lagged", 1)]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    /// Once it is open no participant is special.
    fn r09_slow_leader_is_aborted_and_its_followers_go_on(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut leader = Slow::asks(scene.proxy.http(), &get(HELD));
        scene.app.wait_to_see(HELD);
        let mut others = scene.follow(3, &get(HELD));
        one_stops(&scene, &mut others, &mut leader, PACED_BYTES);
        scene.counted(&[("leader", "lagged", 1), ("follower", "shared", 3)]);
        scene.at_rest();
    }

    /// The budget is the flight's: a second one that stops has none left.
    fn r09_two_slow_followers_hold_the_others_no_longer_than_one(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut clients = scene.flight(2);
        let mut slow = [scene.slow_follower(), scene.slow_follower()];
        let opened = Instant::now();
        scene.open(HELD);
        assert_bodies(&together(&mut clients, Client::response), &body(PACED_BYTES));
        assert!(opened.elapsed() < LEFT_BEHIND_WITHIN, "after {:?}", opened.elapsed());
        slow.iter_mut().for_each(|slow| drop(assert_cut(slow.try_response())));
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", 2), ("follower", "lagged", 2)]);
    }

    fn r09_single_participant_is_never_too_slow(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut alone = Slow::asks(scene.proxy.http(), &get(HELD));
        scene.open(HELD);
        assert_eq!(alone.head().status, 200);
        let_pass(2 * LAG_BUDGET);
        assert!(retained(&scene.proxy.metrics()) <= WINDOW_BYTES + SLACK_BYTES);
        assert!(alone.take(PACED_BYTES) == body(PACED_BYTES));
        scene.counted(&[("alone", "*", 1)]);
        scene.at_rest();
    }

    /// Nobody waits for it any more.
    fn r09_last_participant_that_is_left_is_never_too_slow(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let clients = scene.flight(2);
        let mut slow = scene.slow_follower();
        scene.open(HELD);
        assert_eq!(slow.head().status, 200);
        clients.into_iter().for_each(Client::reset);
        scene.until_followers(1);
        let_pass(2 * LAG_BUDGET);
        assert!(slow.take(PACED_BYTES) == body(PACED_BYTES));
        scene.counted(&[("leader", "left", 1), ("follower", "left", 2), ("follower", "shared", 1)]);
        scene.at_rest();
    }

    /// Each of them is as far as its kernel lets it be: none waits for another.
    fn r09_participants_that_all_stop_are_only_held_up(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut leader = Slow::asks(scene.proxy.http(), &get(HELD));
        scene.app.wait_to_see(HELD);
        let mut follower = scene.slow_follower();
        scene.open(HELD);
        assert_eq!((leader.head().status, follower.head().status), (200, 200));
        let_pass(2 * LAG_BUDGET);
        let bodies = together(&mut [leader, follower], |slow| slow.take(PACED_BYTES));
        assert!(bodies.iter().all(|whole| *whole == body(PACED_BYTES)));
        scene.shared_by(1);
    }

    fn r09_participant_that_leaves_within_the_body_holds_nobody(driver: Driver) {
        let scene = sends(driver, PACED_BYTES);
        let mut clients = scene.flight(3);
        let mut slow = scene.slow_follower();
        scene.open(HELD);
        assert_eq!(slow.head().status, 200);
        slow.reset();
        assert_bodies(&together(&mut clients, Client::response), &body(PACED_BYTES));
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", 3), ("follower", "left", 1)]);
        scene.at_rest();
    }

    /// What nobody has passed is kept for one window and no more, for as long as it lasts; with the last reader the app's work ends.
    fn r09_endless_body_costs_a_window_and_ends_with_its_readers(driver: Driver) {
        const GROWTH_BYTES_MAX: u64 = 4 << 20;
        let scene = Scene::with(driver, |mut conn, _| {
            conn.send(CHUNKED);
            let piece = chunk(&[b'y'; 64 * KIB]);
            while conn.send(&piece) {}
            conn.note("nobody reads");
            None
        });
        let mut clients = scene.flight(2);
        let before = scene.proxy.resident_bytes();
        scene.open(HELD);
        let most = scene.most_retained(|| {
            together(&mut clients, |client| {
                assert_eq!(client.response_head().status, 200);
                (0..256).for_each(|_| drop(client.take(64 * KIB)));
            });
        });
        let growth = scene.proxy.resident_bytes().saturating_sub(before);
        assert!(most <= WINDOW_BYTES + SLACK_BYTES, "{most} bytes were kept");
        assert!(growth <= GROWTH_BYTES_MAX, "it grew by {growth} bytes");
        clients.into_iter().for_each(Client::reset);
        scene.app.wait_for_note("nobody reads");
        scene.counted(&[("leader", "left", 1), ("follower", "left", 2)]);
        scene.at_rest();
    }

    fn r09_after_1024_followers_the_next_request_leads_a_new_flight(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(FOLLOWERS_MAX - 1);
        clients.extend(scene.follow(1, &get(HELD)));
        assert_eq!(scene.seen(HELD), 1);
        let mut next = crowd(&scene.proxy, 1);
        next[0].send(get(HELD));
        scene.until_seen(HELD, 2);
        clients.extend(next);
        clients.extend(scene.follow(1, &get(HELD)));
        let metrics = scene.proxy.metrics();
        assert_eq!((flights(&metrics), followers(&metrics)), (2, FOLLOWERS_MAX as u64 + 1));
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", FOLLOWERS_MAX as u64 + 1), ("", "full", 1)]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 2);
    }

    /// A pile-up of waiters costs what their connections cost: nobody holds a copy, or a buffer to come.
    fn r09_who_waits_costs_no_more_than_a_request(driver: Driver) {
        const WAITING: usize = 1_000;
        /// A connection that is served is counted with 10 KiB. Beside it are its head, and under io_uring 1 KiB in which a twin may come.
        const BYTES_EACH_MAX: u64 = 12 << 10;
        const STEPS_BYTES: u64 = 4 << 20;
        /// Two workers keep 256 buffers each of those in which the requests came.
        const KEPT_BYTES: u64 = (2 * 256 * 20) << 10;
        let used = |scene: &Scene| scene.proxy.metrics().sum("slipstream_memory_used_bytes");
        let scene = Scene::answering(driver, OK);
        let before = used(&scene);
        let mut clients = scene.flight(WAITING);
        let grown = used(&scene).saturating_sub(before);
        let most = WAITING as u64 * BYTES_EACH_MAX + KEPT_BYTES + STEPS_BYTES;
        assert!(grown <= most, "{WAITING} cost {grown} bytes");
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        drop(clients);
        scene.shared_by(WAITING);
        scene.proxy.metrics_until("it is given back", |metrics| {
            metrics.sum("slipstream_memory_used_bytes") <= before + STEPS_BYTES
        });
    }

    /// One worker: its budget is 16 MiB. Each flight has a follower that leaves most of its MiB there; sooner or later a request goes alone.
    fn r09_over_the_worker_budget_requests_go_alone(driver: Driver) {
        const FLIGHTS_MAX: usize = 40;
        const BUDGET_BYTES: u64 = 16 << 20;
        let answer = with_length(&body(MIB));
        let scene = Scene::on(
            driver,
            |proxy| proxy.workers(1).policy(PATIENT),
            move |mut conn, _| conn.send(&answer).then_some(conn),
        );
        let joined = |metrics: &Metrics| followers(metrics) + count(metrics, "follower", "lagged");
        let mut slow = Vec::new();
        while count(&scene.proxy.metrics(), "", "memory") == 0 {
            assert!(slow.len() < FLIGHTS_MAX, "nothing limits what is kept: {}", retained(&scene.proxy.metrics()));
            let target = format!("{HELD}-{}", slow.len());
            let mut leader = scene.lead(&get(&target));
            let before = joined(&scene.proxy.metrics());
            slow.push(Slow::asks(scene.proxy.http(), &get(&target)));
            scene.proxy.metrics_until("it follows or goes alone", |metrics| {
                joined(metrics) > before || scene.seen(&target) == 2
            });
            scene.open(&target);
            assert_bodies(&[leader.response()], &body(MIB));
            let kept = retained(&scene.proxy.metrics());
            assert!(kept <= BUDGET_BYTES + MIB as u64, "{kept} bytes are kept");
        }
        slow.into_iter().for_each(Slow::reset);
        scene.at_rest();
        let mut clients = scene.flight(2);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), &body(MIB));
        scene.at_rest();
    }
}
