//! R10: what follows a head that was shared. An abort of the app is one for all and never a clean end; and what is for one participant alone.

use slipstream_tests::{Client, Conn, Driver, End, Event, Framing, Response, on_both_drivers, shown};

use crate::scene::{
    CHUNKED, HELD, MIB, PATIENT, Scene, answers, assert_cut, body, get, get_with, together, with_length,
};

/// An app that sends `begin`, a head and a part of a body, and once the case says `die` goes as `death` does.
fn dying(driver: Driver, policy: &str, begin: &'static str, death: fn(Conn)) -> (Scene, Event) {
    let die = Event::new();
    let told = die.clone();
    let scene = Scene::on(
        driver,
        |proxy| proxy.policy(policy),
        move |mut conn, _| {
            conn.send(begin);
            told.wait_for_the_case();
            death(conn);
            None
        },
    );
    (scene, die)
}

/// How a participant speaks.
const HTTP_11: &str = "GET /held HTTP/1.1\r\nHost: test\r\n\r\n";
const HTTP_10: &str = "GET /held HTTP/1.0\r\nHost: test\r\n\r\n";

/// A leader and followers that speak as `request` does get the head and `half`; then the app dies, and nobody can take that for the end.
fn aborts_all(driver: Driver, begin: &'static str, death: fn(Conn), request: &str, half: &str, ends: &[End]) {
    const FOLLOWERS: usize = 5;
    let (scene, die) = dying(driver, PATIENT, begin, death);
    let mut clients = scene.flight_of(request, FOLLOWERS);
    scene.open(HELD);
    for client in &mut clients {
        assert_eq!(client.response_head().status, 200);
        assert_eq!(client.take(half.len()), half.as_bytes());
    }
    die.raise();
    for client in &mut clients {
        let (rest, end) = client.rest();
        assert!(rest.is_empty() && ends.contains(&end), "{end:?} after {}", shown(&rest));
    }
    scene.counted(&[("leader", "aborted", 1), ("follower", "aborted", FOLLOWERS as u64)]);
    scene.at_rest();
    assert_eq!(scene.seen(HELD), 1, "what was begun is not sent again");
}

/// Framing shows that a part is missing, so either end will do.
const BROKEN_OFF: &[End] = &[End::Clean, End::Reset];
const RESET: &[End] = &[End::Reset];

const HALF_OF_TEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
const A_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nhello";

fn closes(conn: Conn) {
    drop(conn);
}

fn resets(conn: Conn) {
    conn.reset();
}

fn speaks_nonsense(mut conn: Conn) {
    conn.send("nonsense\r\n");
    conn.closed();
}

fn is_silent(mut conn: Conn) {
    conn.closed();
}

/// The only answer to each, the leader's first.
fn final_answers(driver: Driver, app_says: &'static str, requests: &[String]) -> Vec<Response> {
    let scene = Scene::answering(driver, app_says);
    let mut clients = vec![scene.lead(&requests[0])];
    for request in &requests[1..] {
        clients.extend(scene.follow(1, request));
    }
    scene.open(HELD);
    let responses = answers(&mut clients);
    scene.shared_by(requests.len() - 1);
    responses
}

/// A request of its own id.
fn from(id: &str) -> String {
    get_with(HELD, &format!("X-Request-Id: {id}\r\n"))
}

on_both_drivers! {
    fn r10_app_that_closes_within_a_body_with_a_length_aborts_all(driver: Driver) {
        aborts_all(driver, HALF_OF_TEN, closes, HTTP_11, "hello", BROKEN_OFF);
    }

    fn r10_app_that_resets_within_a_body_with_a_length_aborts_all(driver: Driver) {
        aborts_all(driver, HALF_OF_TEN, resets, HTTP_11, "hello", BROKEN_OFF);
    }

    fn r10_app_that_closes_within_chunks_aborts_all(driver: Driver) {
        aborts_all(driver, A_CHUNK, closes, HTTP_11, "5\r\nhello\r\n", BROKEN_OFF);
    }

    fn r10_app_that_sends_a_broken_chunk_aborts_all(driver: Driver) {
        aborts_all(driver, A_CHUNK, speaks_nonsense, HTTP_11, "5\r\nhello\r\n", BROKEN_OFF);
    }

    /// The end of the connection would be the end of their body.
    fn r10_app_that_closes_within_chunks_resets_http_10(driver: Driver) {
        aborts_all(driver, A_CHUNK, closes, HTTP_10, "hello", RESET);
    }

    fn r10_app_that_resets_a_body_without_an_end_aborts_all(driver: Driver) {
        aborts_all(driver, UNTIL_CLOSE, resets, HTTP_11, "5\r\nhello\r\n", BROKEN_OFF);
    }

    fn r10_app_that_resets_a_body_without_an_end_resets_http_10(driver: Driver) {
        aborts_all(driver, UNTIL_CLOSE, resets, HTTP_10, "hello", RESET);
    }

    fn r10_app_that_falls_silent_within_a_body_aborts_all(driver: Driver) {
        let policy = format!("{PATIENT}\ntimeouts: {{streamIdle: 1s}}");
        let (scene, die) = dying(driver, &policy, HALF_OF_TEN, is_silent);
        let mut clients = scene.flight(3);
        scene.open(HELD);
        for client in &mut clients {
            assert_eq!(assert_cut(client.try_response()).body, b"hello");
        }
        die.raise();
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    /// Who is behind when the app dies may have what came, but no end of it.
    fn r10_slow_participant_of_a_kept_body_is_aborted_too(driver: Driver) {
        let answer = with_length(&body(MIB));
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send(&answer[..answer.len() - 1]);
            None
        });
        let mut clients = scene.flight(2);
        let mut slow = scene.slow_follower();
        scene.open(HELD);
        for client in &mut clients {
            assert_cut(client.try_response());
        }
        let broken = assert_cut(slow.try_response());
        assert!(broken.body == body(broken.body.len()), "what came was right");
        scene.counted(&[("leader", "aborted", 1), ("follower", "aborted", 3)]);
        scene.at_rest();
    }

    /// RFC 9112 section 7.1.2.
    fn r10_trailers_are_shared(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Other: y\r\n\r\n";
        for response in final_answers(driver, ANSWER, &[get(HELD), get(HELD), get(HELD)]) {
            assert_eq!((response.framing, response.text().as_str()), (Framing::Chunked, "hello"));
            assert_eq!((response.trailers.get("x-sum"), response.trailers.get("x-other")), (Some("42"), Some("y")));
        }
    }

    /// Until the final head a flight takes joiners, so it does behind an interim one.
    fn r10_interim_responses_reach_the_leader_alone(driver: Driver) {
        const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        let go = Event::new();
        let told = go.clone();
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send(HINTS);
            told.wait_for_the_case();
            conn.send(format!("HTTP/1.1 102 Processing\r\n\r\n{HINTS}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).then_some(conn)
        });
        let mut early = scene.flight(2);
        scene.open(HELD);
        let hints = early[0].response();
        assert_eq!((hints.status, hints.fields.get("link")), (103, Some("</a.css>")));
        let mut followers = early.split_off(1);
        followers.extend(scene.follow(2, &get(HELD)));
        go.raise();
        let of_leader: Vec<u16> = (0..3).map(|_| early[0].response().status).collect();
        assert_eq!(of_leader, [102, 103, 200]);
        assert!(answers(&mut followers).iter().all(|response| response.status == 200));
        scene.shared_by(4);
    }

    fn r10_interim_responses_reach_nobody_once_the_leader_has_left(driver: Driver) {
        let scene = Scene::answering(driver, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let mut followers = scene.flight(3);
        followers.remove(0).reset();
        scene.proxy.metrics_until("it has left", |metrics| crate::scene::count(metrics, "leader", "left") == 1);
        scene.open(HELD);
        assert!(answers(&mut followers).iter().all(|response| (response.status, response.text().as_str()) == (200, "ok")));
        scene.counted(&[("leader", "left", 1), ("follower", "shared", 3)]);
        scene.at_rest();
    }

    fn r10_followers_get_neither_timings_nor_the_trace_of_the_leader(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer-Timing: db;dur=53\r\n\
             Traceresponse: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Kept: yes\r\nserver-timing: app;dur=47\r\nContent-Length: 2\r\n\r\nok";
        let responses = final_answers(driver, ANSWER, &[get(HELD), get(HELD), get(HELD)]);
        assert_eq!(responses[0].fields.joined("server-timing"), "db;dur=53, app;dur=47");
        assert!(responses[0].fields.has("traceresponse"));
        for response in &responses[1..] {
            assert_eq!((response.fields.get("x-kept"), response.text().as_str()), (Some("yes"), "ok"));
            assert!(!response.fields.has("server-timing") && !response.fields.has("traceresponse"), "{response:?}");
        }
    }

    /// The app echoes the only id that it knows.
    fn r10_follower_gets_its_own_request_id_where_the_app_echoes_one(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nx-request-id: the-leader\r\nContent-Length: 2\r\n\r\nok";
        let responses = final_answers(driver, ANSWER, &[from("the-leader"), from("a-follower"), get(HELD), from("another-one")]);
        let ids: Vec<Option<&str>> = responses.iter().map(|response| response.fields.get("x-request-id")).collect();
        assert_eq!(ids, [Some("the-leader"), Some("a-follower"), None, Some("another-one")]);
    }

    fn r10_follower_gets_no_request_id_where_the_app_sends_none(driver: Driver) {
        let responses = final_answers(driver, crate::scene::OK, &[from("the-leader"), from("a-follower")]);
        assert!(responses.iter().all(|response| !response.fields.has("x-request-id")));
    }

    /// An id that the app made up for the request that it saw.
    fn r10_request_id_of_the_app_is_the_leaders_alone(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Request-Id: made-up\r\nContent-Length: 2\r\n\r\nok";
        let responses = final_answers(driver, ANSWER, &[get(HELD), get(HELD), get(HELD)]);
        let ids: Vec<Option<&str>> = responses.iter().map(|response| response.fields.get("x-request-id")).collect();
        assert_eq!(ids, [Some("made-up"), None, None]);
    }

    fn r10_http_10_leader_and_http_11_follower_each_get_their_framing(driver: Driver) {
        speak_their_own(driver, [HTTP_10, HTTP_11]);
    }

    fn r10_http_11_leader_and_http_10_follower_each_get_their_framing(driver: Driver) {
        speak_their_own(driver, [HTTP_11, HTTP_10]);
    }

    /// `Connection` is of one connection, so it is not compared, and each is answered in its own way.
    fn r10_connection_is_kept_or_ended_as_each_has_asked(driver: Driver) {
        let ways = [
            (get(HELD), true),
            (get_with(HELD, "Connection: close\r\n"), false),
            ("GET /held HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n".to_owned(), true),
            (HTTP_10.to_owned(), false),
        ];
        for first in 0..ways.len() {
            let scene = Scene::answering(driver, crate::scene::OK);
            let mut ways = ways.clone();
            ways.rotate_left(first);
            let mut clients = vec![scene.lead(&ways[0].0)];
            ways[1..].iter().for_each(|(request, _)| clients.extend(scene.follow(1, request)));
            scene.open(HELD);
            for (client, (request, keeps)) in clients.iter_mut().zip(&ways) {
                let response = client.response();
                assert_eq!((response.text().as_str(), response.keeps()), ("ok", *keeps), "{request}");
                if *keeps {
                    assert_eq!(client.get("/next").text(), "ok", "{request}");
                } else {
                    client.expect_close();
                }
            }
            assert_eq!(scene.seen(HELD), 1);
        }
    }

    fn r10_via_and_date_are_said_once_to_each(driver: Driver) {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nVia: 1.1 before\r\nContent-Length: 2\r\n\r\nok";
        for response in final_answers(driver, ANSWER, &[get(HELD), get(HELD), HTTP_10.to_owned()]) {
            assert_eq!(response.fields.joined("via"), "1.1 before, 1.1 slipstream");
            assert!(response.fields.get("date").is_some_and(|date| date.ends_with(" GMT")), "{response:?}");
        }
    }
}

/// One flight, whose first request leads: a body in chunks, one that ends with the connection and one with a length.
fn speak_their_own(driver: Driver, requests: [&str; 2]) {
    let bodies = [
        ([CHUNKED, "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 42\r\n\r\n"].concat(), Framing::Chunked, Framing::UntilClose),
        (UNTIL_CLOSE.to_owned(), Framing::Chunked, Framing::UntilClose),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(), Framing::Length(5), Framing::Length(5)),
    ];
    for (answer, for_11, for_10) in bodies {
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send(&answer);
            None
        });
        let mut clients: Vec<Client> = vec![scene.lead(requests[0])];
        clients.extend(scene.follow(1, requests[1]));
        clients.extend(scene.follow(1, requests[0]));
        scene.open(HELD);
        let responses = together(&mut clients, Client::response);
        for (response, request) in responses.iter().zip([requests[0], requests[1], requests[0]]) {
            let (framing, keeps) = if request == HTTP_11 { (for_11, true) } else { (for_10, false) };
            let is = (response.version.as_str(), response.framing, response.text(), response.keeps());
            assert_eq!(is, ("HTTP/1.1", framing, "hello".to_owned(), keeps), "{request}");
        }
        scene.shared_by(2);
    }
}
