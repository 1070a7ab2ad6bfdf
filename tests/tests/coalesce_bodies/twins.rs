//! R12b: byte-equal requests behind one that waits, on its own connection. They join as a number, and are answered in order.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use slipstream_tests::{Certs, Client, Driver, End, Event, Framing, NAME, Response, Way, on_both_drivers};

use crate::scene::{
    COLLAPSED, FOLLOWERS_MAX, HELD, KIB, MIB, OK, PATIENT, Scene, answers, assert_bodies, body, chunked, crowd,
    followers, get, get_with, together, value, with_length,
};

/// How many are asked for at once, the first included.
const TWINS_MAX: usize = 64;

fn repeated(request: &str, times: usize) -> String {
    request.repeat(times)
}

/// `times` equal requests in one write on a new connection; the app has the first, the others follow.
fn lead_twins(scene: &Scene, times: usize) -> Client {
    let client = scene.lead(&repeated(&get(HELD), times));
    scene.until_followers(times as u64 - 1);
    client
}

/// The next so many answers of one connection.
fn next(client: &mut Client, count: usize) -> Vec<Response> {
    (0..count).map(|_| client.response()).collect()
}

fn said(responses: &[Response]) -> Vec<String> {
    responses.iter().map(|response| response.fields.joined("cache-status")).collect()
}

/// An answer that is for one alone, and says the how manyth it is.
fn numbered_and_unshareable(driver: Driver) -> Scene {
    let asked = AtomicUsize::new(0);
    Scene::with(driver, move |mut conn, _| {
        let number = asked.fetch_add(1, SeqCst);
        let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: number={number}\r\n");
        conn.send(format!("{head}Content-Length: {}\r\n\r\n{number}", number.to_string().len())).then_some(conn)
    })
}

fn texts(responses: &[Response]) -> Vec<String> {
    responses.iter().map(Response::text).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

on_both_drivers! {
    fn r12b_64_twins_in_one_write_are_one_upstream_request(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = lead_twins(&scene, TWINS_MAX);
        scene.open(HELD);
        let responses = next(&mut client, TWINS_MAX);
        assert_bodies(&responses, b"ok");
        assert!(responses.iter().all(|response| response.framing == Framing::Length(2) && response.keeps()));
        let said = said(&responses);
        assert_eq!(said[0], "", "the first leads");
        assert!(said[1..].iter().all(|said| said == COLLAPSED), "{said:?}");
        scene.shared_by(TWINS_MAX - 1);
        // The connection is at its next head.
        assert_eq!(client.get("/next").text(), "ok");
    }

    fn r12b_64_twins_are_one_upstream_request_under_tls(driver: Driver) {
        let certs = Certs::new();
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(PATIENT).tls(certs.leaf(&[NAME])),
            |mut conn, _| conn.send(OK).then_some(conn),
        );
        let mut client = Way::Tls.client(&scene.proxy, &certs);
        client.send(repeated(&get(HELD), TWINS_MAX));
        scene.until_followers(TWINS_MAX as u64 - 1);
        scene.until_seen(HELD, 1);
        scene.open(HELD);
        assert_bodies(&next(&mut client, TWINS_MAX), b"ok");
        scene.shared_by(TWINS_MAX - 1);
    }

    /// Each has its own record, and counts as an answer of the connection.
    fn r12b_each_twin_is_a_request_of_its_own(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = lead_twins(&scene, 10);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 10), b"ok");
        scene.shared_by(9);
        let metrics = scene.proxy.metrics();
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"2xx\""), 10);
        assert_eq!(value(&metrics, "slipstream_coalesce_wait_seconds_count"), 9);
        assert_eq!(metrics.sum("slipstream_requests_active"), 0);
    }

    /// Each answer has an end of its own, be there nothing before it.
    fn r12b_twins_of_a_body_that_is_empty_or_ends_with_the_connection_are_right(driver: Driver) {
        for bytes in [0, 1, 20_000, 256 * KIB - 1] {
            let answer = [b"HTTP/1.1 200 OK\r\n\r\n", &body(bytes)[..]].concat();
            let scene = Scene::with(driver, move |mut conn, _| {
                conn.send(&answer);
                None
            });
            let mut client = lead_twins(&scene, 20);
            scene.open(HELD);
            assert_bodies(&next(&mut client, 20), &body(bytes));
            scene.at_rest();
        }
    }

    /// R8: each has its own fault, and none becomes an attempt.
    fn r12b_twins_fail_with_the_first(driver: Driver) {
        let scene = Scene::with(driver, |_, _| None);
        let mut client = lead_twins(&scene, 5);
        scene.open(HELD);
        assert!(next(&mut client, 5).iter().all(|response| response.status == 502));
        scene.counted(&[("leader", "error", 1), ("follower", "error", 4)]);
        scene.at_rest();
        assert!(scene.seen(HELD) <= 2);
    }

    /// More than may join wait behind them, as requests on one connection do.
    fn r12b_more_than_64_are_all_answered_in_order(driver: Driver) {
        const ALL: usize = 200;
        let scene = Scene::answering(driver, OK);
        let mut client = scene.lead(&repeated(&get(HELD), ALL));
        scene.proxy.metrics_until("as many follow as may", |metrics| followers(metrics) >= TWINS_MAX as u64 - 1);
        assert!(followers(&scene.proxy.metrics()) <= TWINS_MAX as u64);
        scene.open(HELD);
        assert_bodies(&next(&mut client, ALL), b"ok");
        scene.at_rest();
        let upstream = scene.seen(HELD);
        assert!((2..ALL).contains(&upstream), "{upstream} upstream requests");
    }

    fn r12b_twins_that_come_while_the_first_waits_join_too(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = scene.lead(&get(HELD));
        for (more, follow) in [(1, 1), (5, 6), (1, 7)] {
            client.send(repeated(&get(HELD), more));
            scene.until_followers(follow);
        }
        scene.open(HELD);
        assert_bodies(&next(&mut client, 8), b"ok");
        scene.shared_by(7);
    }

    fn r12b_twin_that_comes_in_pieces_joins_when_it_is_whole(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = scene.lead(&get(HELD));
        let twin = get(HELD);
        let (begin, end) = twin.split_at(twin.len() - 2);
        client.send(begin);
        // A way through the proxy by another connection: what came of the twin was seen.
        assert_eq!(scene.proxy.client().get("/other").text(), "ok");
        assert_eq!(followers(&scene.proxy.metrics()), 0);
        client.send(end);
        scene.until_followers(1);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 2), b"ok");
        assert_eq!(scene.seen(HELD), 1);
    }

    /// It is cut off by the answer, and is the next request of the connection.
    fn r12b_twin_that_is_not_whole_when_the_answer_comes_is_the_next_request(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let twin = get(HELD);
        let (begin, end) = twin.split_at(twin.len() / 2);
        let mut client = scene.lead(&format!("{twin}{twin}{begin}"));
        scene.until_followers(1);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 2), b"ok");
        client.send(end);
        assert_eq!(client.response().text(), "ok");
        assert_eq!(scene.seen(HELD), 2);
    }

    fn r12b_different_request_behind_twins_is_served_after_them(driver: Driver) {
        let scene = Scene::with(driver, |mut conn, request| conn.send(with_length(request.target.as_bytes())).then_some(conn));
        let twins = repeated(&get(HELD), 3);
        let mut client = scene.lead(&format!("{twins}{}{twins}", get("/other")));
        scene.until_followers(2);
        assert!(!scene.app.saw("/other"), "it waits for its turn");
        scene.open(HELD);
        assert_eq!(texts(&next(&mut client, 7)), [HELD, HELD, HELD, "/other", HELD, HELD, HELD]);
        let order: Vec<String> = scene.app.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(order[..3], [HELD, "/other", HELD], "{order:?}");
        scene.at_rest();
    }

    /// A body belongs to the request before it, whatever it looks like.
    fn r12b_body_that_looks_like_a_twin_is_none(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let twin = get(HELD);
        let post = format!("POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{twin}", twin.len());
        let mut client = scene.lead(&format!("{twin}{twin}{post}{twin}"));
        scene.until_followers(1);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 4), b"ok");
        assert_eq!(scene.app.request_for("/post").body, twin.as_bytes());
        assert_eq!(scene.seen(HELD), 2);
    }

    /// Equal by R2 but not by their bytes: they come after, in order.
    fn r12b_requests_that_differ_in_a_byte_are_no_twins(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let traced = |id: u8| get_with(HELD, &format!("X-Request-Id: {id}\r\n"));
        let mut client = scene.lead(&[traced(1), traced(1), traced(2)].concat());
        scene.until_followers(1);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 3), b"ok");
        let ids: Vec<String> = scene.app.requests().iter().map(|request| request.fields.joined("x-request-id")).collect();
        assert_eq!(ids, ["1", "2"]);
        scene.at_rest();
    }

    fn r12b_twins_of_a_follower_follow_too(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = vec![scene.lead(&get(HELD))];
        clients.extend(crowd(&scene.proxy, 4));
        clients[1..].iter_mut().for_each(|client| client.send(repeated(&get(HELD), 5)));
        scene.until_followers(20);
        scene.open(HELD);
        assert_eq!(clients[0].response().text(), "ok");
        for client in &mut clients[1..] {
            let responses = next(client, 5);
            assert_bodies(&responses, b"ok");
            assert_eq!(said(&responses), [COLLAPSED; 5]);
        }
        scene.shared_by(20);
    }

    /// Of R9's 1,024 all twins of one connection are one.
    fn r12b_twins_of_a_connection_are_one_of_1024_followers(driver: Driver) {
        const CONNECTIONS: usize = 20;
        const { assert!(CONNECTIONS * TWINS_MAX > FOLLOWERS_MAX) };
        let scene = Scene::answering(driver, OK);
        let mut clients = vec![scene.lead(&get(HELD))];
        clients.extend(crowd(&scene.proxy, CONNECTIONS));
        clients[1..].iter_mut().for_each(|client| client.send(repeated(&get(HELD), TWINS_MAX)));
        scene.until_followers((CONNECTIONS * TWINS_MAX) as u64);
        scene.open(HELD);
        assert_eq!(clients[0].response().text(), "ok");
        together(&mut clients[1..], |client| assert_bodies(&next(client, TWINS_MAX), b"ok"));
        scene.shared_by(CONNECTIONS * TWINS_MAX);
    }

    /// One after another, since they are of one connection.
    fn r12b_twins_of_an_unshareable_answer_go_up_alone_in_order(driver: Driver) {
        let scene = numbered_and_unshareable(driver);
        let mut client = lead_twins(&scene, 6);
        scene.open(HELD);
        let responses = next(&mut client, 6);
        assert_eq!(texts(&responses), numbers(0..6));
        let cookies: Vec<String> = responses.iter().map(|response| response.fields.joined("set-cookie")).collect();
        assert!(cookies.iter().zip(0..).all(|(cookie, number)| *cookie == format!("number={number}")), "{cookies:?}");
        assert_eq!(scene.seen(HELD), 6);
        scene.at_rest();
    }

    fn r12b_twins_of_a_follower_of_an_unshareable_answer_go_up_alone_in_order(driver: Driver) {
        let scene = numbered_and_unshareable(driver);
        let mut clients = vec![scene.lead(&get(HELD))];
        clients.extend(crowd(&scene.proxy, 1));
        clients[1].send(repeated(&get(HELD), 5));
        scene.until_followers(5);
        scene.open(HELD);
        assert_eq!(clients[0].response().text(), "0");
        assert_eq!(texts(&next(&mut clients[1], 5)), numbers(1..6));
        assert_eq!(scene.seen(HELD), 6);
        scene.at_rest();
    }

    fn r12b_twins_that_leave_are_counted_and_the_others_go_on(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(2);
        let mut leaves = scene.proxy.client();
        leaves.send(repeated(&get(HELD), 10));
        scene.until_followers(12);
        leaves.reset();
        scene.until_followers(2);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", 2), ("follower", "left", 10)]);
        scene.at_rest();
    }

    /// R5: nobody else is there, so the app's work ends.
    fn r12b_leader_that_leaves_with_its_twins_ends_the_flight(driver: Driver) {
        let scene = Scene::on(driver, |proxy| proxy.policy(PATIENT), |mut conn, _| {
            conn.closed();
            None
        });
        let mut client = scene.proxy.client();
        client.send(repeated(&get("/never"), 10));
        scene.until_followers(9);
        scene.until_seen("/never", 1);
        client.reset();
        scene.app.end_of(0);
        scene.counted(&[("leader", "left", 1), ("follower", "left", 9)]);
        scene.at_rest();
    }

    fn r12b_connection_that_ends_between_its_answers_holds_nobody(driver: Driver) {
        let whole = body(40 * KIB);
        let scene = Scene::answering(driver, with_length(&whole));
        let mut clients = scene.flight(2);
        let mut leaves = scene.proxy.client();
        leaves.send(repeated(&get(HELD), TWINS_MAX));
        scene.until_followers(2 + TWINS_MAX as u64);
        scene.open(HELD);
        assert_bodies(&next(&mut leaves, 3), &whole);
        leaves.response_head();
        leaves.reset();
        assert_bodies(&answers(&mut clients), &whole);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    /// RFC 9112 section 9.6: behind a request that closes there is nothing.
    fn r12b_twins_that_close_are_answered_once(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let closing = get_with(HELD, "Connection: close\r\n");
        let mut client = scene.lead(&repeated(&closing, 3));
        scene.open(HELD);
        let response = client.response();
        assert_eq!((response.text().as_str(), response.keeps()), ("ok", false));
        client.expect_close();
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    fn r12b_twins_whose_client_only_stops_sending_are_all_answered(driver: Driver) {
        let scene = Scene::under(driver, &format!("{PATIENT}\nhalfClose: keep"), OK);
        let mut client = lead_twins(&scene, 5);
        client.half_close();
        scene.open(HELD);
        assert_bodies(&next(&mut client, 5), b"ok");
        client.expect_close();
        assert_eq!(scene.seen(HELD), 1);
    }

    fn r12b_http_10_twins_that_keep_their_connection_are_answered_in_order(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let request = "GET /held HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n";
        let mut client = scene.lead(&repeated(request, 4));
        scene.until_followers(3);
        scene.open(HELD);
        let responses = next(&mut client, 4);
        assert_bodies(&responses, b"ok");
        assert!(responses.iter().all(Response::keeps));
        scene.shared_by(3);
    }

    /// Where the first answer has no end but that of the connection, the others cannot come.
    fn r12b_http_10_twins_of_a_body_without_a_length_get_one_answer(driver: Driver) {
        let scene = Scene::answering(driver, chunked(b"hello", 2));
        let request = "GET /held HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n";
        let mut client = scene.lead(&repeated(request, 3));
        scene.open(HELD);
        let response = client.response_head();
        assert_eq!((response.status, response.framing, response.keeps()), (200, Framing::UntilClose, false));
        let (text, end) = client.rest();
        assert_eq!((text.as_slice(), end), (&b"hello"[..], End::Clean));
        scene.at_rest();
    }

    /// What fits is sent again and again from one copy.
    fn r12b_twins_of_a_body_that_is_kept_are_right(driver: Driver) {
        let whole = body(MIB);
        let scene = Scene::answering(driver, with_length(&whole));
        let mut client = lead_twins(&scene, 8);
        scene.open(HELD);
        assert_bodies(&next(&mut client, 8), &whole);
        scene.shared_by(7);
    }

    /// The second answer begins behind the first, when a body that is not kept is long gone: each is right, whatever that takes.
    fn r12b_twins_of_a_larger_body_are_right(driver: Driver) {
        let whole = body(2 * MIB);
        for answer in [with_length(&whole), chunked(&whole, 100_000)] {
            let scene = Scene::answering(driver, answer);
            let mut clients = vec![lead_twins(&scene, 4)];
            clients.extend(scene.follow(1, &get(HELD)));
            clients.extend(crowd(&scene.proxy, 1));
            clients[2].send(repeated(&get(HELD), 3));
            scene.until_followers(7);
            scene.open(HELD);
            let mut asked: Vec<(Client, usize)> = clients.into_iter().zip([4, 1, 3]).collect();
            together(&mut asked, |(client, count)| assert_bodies(&next(client, *count), &whole));
            scene.at_rest();
            let upstream = scene.seen(HELD);
            assert!((1..8).contains(&upstream), "{upstream} upstream requests");
        }
    }

    fn r12b_twins_of_chunks_with_trailers_are_right(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n";
        let scene = Scene::answering(driver, ANSWER);
        let mut client = lead_twins(&scene, 5);
        scene.open(HELD);
        let responses = next(&mut client, 5);
        assert_bodies(&responses, b"hello world");
        assert!(responses.iter().all(|response| response.trailers.get("x-sum") == Some("42")));
        scene.at_rest();
    }

    /// R10: the first is broken off, and nothing behind it can be told from its rest.
    fn r12b_abort_within_the_body_ends_all_twins(driver: Driver) {
        let die = Event::new();
        let told = die.clone();
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            told.wait_for_the_case();
            None
        });
        let mut client = lead_twins(&scene, 5);
        scene.open(HELD);
        client.response_head();
        assert_eq!(client.take(5), b"hello");
        die.raise();
        let (rest, end) = client.rest();
        assert!(rest.is_empty() && matches!(end, End::Clean | End::Reset), "{end:?}");
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }
}
