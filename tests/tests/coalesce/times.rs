//! R6: whose time runs out gets its own answer and nobody else notices; and until when a flight takes joiners.

use std::time::{Duration, Instant};

use slipstream_tests::{Client, Event, Response, on_both_drivers};

use crate::scene::{
    COLLAPSED, Flight, Scene, cache_status, followers, get, in_vain, let_pass, number, ok, reply, wait_until_counted,
};

/// Between two arrivals whose times are to be told apart; half of the time that each has.
const LATER: Duration = Duration::from_secs(1);
/// Two ticks of the proxy's timers (5 ms) less than what is set, for they may round either way.
const NOT_BEFORE: Duration = Duration::from_millis(1990);

fn assert_timed_out(response: &Response) {
    let proxy_status = response.fields.joined("proxy-status");
    assert_eq!(response.status, 504, "{response:?}");
    assert!(proxy_status.contains("details=\"request\""), "{proxy_status}");
}

fn assert_shed(response: &Response) {
    let proxy_status = response.fields.joined("proxy-status");
    assert_eq!(response.status, 503, "{response:?}");
    assert!(proxy_status.contains("details=\"queue\""), "{proxy_status}");
    assert!(response.fields.has("retry-after"));
}

/// A flight of two that waits for a permit; the follower came [`LATER`].
fn queued(scene: &Scene) -> (Client, Client) {
    let leader = scene.ask(get("/a", ""));
    scene.wait_for_queue(1);
    let_pass(LATER);
    (leader, scene.follow("/a", 1).remove(0))
}

/// One that comes `after` the app has got the first: whether it joins is what the case is about.
fn later(scene: &Scene, after: Duration) -> (Client, Client) {
    let first = scene.lead("/a");
    let_pass(after);
    (first, scene.ask(get("/a", "")))
}

on_both_drivers! {
    /// The same time for both, so it is over for who came first.
    fn r06_request_time_is_each_participants_own(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers).policy("timeouts: {request: 2s}"));
            let started = Instant::now();
            let mut leader = scene.lead("/a");
            let_pass(LATER);
            let mut follower = scene.follow("/a", 1).remove(0);
            let late = leader.response();
            assert!(started.elapsed() >= NOT_BEFORE, "{:?}", started.elapsed());
            assert_timed_out(&late);
            assert!(!follower.has_something());
            scene.answer_all("/a", ok());
            let response = follower.response();
            assert_eq!((response.status, cache_status(&response).as_str(), scene.count("/a")), (200, COLLAPSED, 1));
            wait_until_counted(&scene.proxy, "leader", "timeout", 1);
            let metrics = scene.rests(2);
            assert_eq!(metrics.sum_where("slipstream_timeouts_total", "timeout=\"request\""), 1);
        }
    }

    /// Those that came first go, leader or not; those that came later stay.
    fn r06_followers_whose_time_is_over_go_alone(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("timeouts: {request: 2s}"));
        let mut early = scene.flight("/a", 3);
        let_pass(LATER);
        let mut late = scene.follow("/a", 3);
        let responses = early.responses();
        responses.iter().for_each(assert_timed_out);
        assert!(responses[1..].iter().all(|response| cache_status(response) == in_vain("timeout")));
        scene.answer_all("/a", ok());
        assert!(late.iter_mut().all(|client| client.response().status == 200));
        assert_eq!(scene.count("/a"), 1);
        wait_until_counted(&scene.proxy, "follower", "timeout", 3);
        wait_until_counted(&scene.proxy, "follower", "shared", 3);
        scene.rests(7);
    }

    fn r06_flight_ends_when_the_time_of_the_last_is_over(driver: Driver) {
        let scene = Scene::playing(driver, |setting| setting.policy("timeouts: {request: 2s}"), |mut conn| {
            conn.request();
            conn.closed();
        });
        let mut flight = scene.flight("/a", 4);
        flight.responses().iter().for_each(assert_timed_out);
        scene.app.end_of(0);
        assert_eq!(scene.app.connections(), 1);
        scene.rests(flight.clients());
    }

    /// Nothing of a flight may outlast it: who shares the answer's head has a deadline for its body.
    fn r06_request_time_goes_on_in_the_body(driver: Driver) {
        let together = Event::new();
        let scripted = together.clone();
        let scene = Scene::playing(driver, |setting| setting.policy("timeouts: {request: 2s}"), move |mut conn| {
            conn.request();
            scripted.wait("all are there");
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            conn.closed();
        });
        let mut flight = scene.flight("/a", 2);
        together.raise();
        for client in flight.leader.iter_mut().chain(&mut flight.followers) {
            let broken = client.try_response().expect_err("half a body is no answer");
            assert_eq!(broken.body, b"hello");
        }
        scene.app.end_of(0);
        drop(flight);
        scene.rests(0);
    }

    fn r06_flight_that_waits_for_a_permit_takes_joiners(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| {
                setting.workers(workers).join_window(Some("50ms")).policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 10m}}")
            });
            let mut occupied = scene.occupy();
            let leader = scene.ask(get("/a", ""));
            scene.wait_for_queue(1);
            // The window has not begun.
            let_pass(Duration::from_millis(200));
            let followers = scene.follow("/a", 8);
            let metrics = scene.proxy.metrics();
            assert_eq!((metrics.sum("slipstream_permits_in_use"), metrics.sum("slipstream_permits_waiting")), (1, 1));
            scene.answer_all("", ok());
            let mut flight = Flight { leader: Some(leader), followers };
            flight.shares();
            assert_eq!((occupied.response().status, scene.count("/a")), (200, 1));
            scene.rests(10);
        }
    }

    fn r06_queue_time_is_each_participants_own(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| {
                setting.workers(workers).policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 2s}}")
            });
            let mut occupied = scene.occupy();
            let (mut leader, mut follower) = queued(&scene);
            assert_shed(&leader.response());
            assert!(!follower.has_something());
            assert_eq!(scene.proxy.metrics().sum("slipstream_permits_waiting"), 1, "the flight keeps its place");
            scene.answer_all("", ok());
            assert_eq!(occupied.response().status, 200);
            let response = follower.response();
            assert_eq!((response.status, cache_status(&response).as_str(), scene.count("/a")), (200, COLLAPSED, 1));
            let metrics = scene.rests(3);
            assert_eq!(metrics.sum_where("slipstream_shed_total", "reason=\"queue\""), 1);
        }
    }

    /// Another that came after the flight, and before its last participant, is behind it.
    fn r06_flight_keeps_its_place_when_its_leader_is_shed(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 2s}}"));
        let mut occupied = scene.occupy();
        let mut leader = scene.ask(get("/a", ""));
        scene.wait_for_queue(1);
        let_pass(LATER);
        let mut behind = scene.ask(get("/behind", ""));
        scene.wait_for_queue(2);
        let mut follower = scene.follow("/a", 1).remove(0);
        assert_shed(&leader.response());
        scene.answer_all("", ok());
        assert_eq!([&mut occupied, &mut behind, &mut follower].map(|client| client.response().status), [200; 3]);
        let order: Vec<String> = scene.app.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(order, ["/occupied", "/a", "/behind"]);
    }

    fn r06_flight_ends_when_the_queue_time_of_the_last_is_over(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 2s}}"));
        let mut occupied = scene.occupy();
        let (mut leader, mut follower) = queued(&scene);
        let started = Instant::now();
        assert_shed(&leader.response());
        assert_shed(&follower.response());
        assert!(started.elapsed() >= NOT_BEFORE - LATER, "{:?}", started.elapsed());
        scene.wait_for_queue(0);
        scene.answer_all("", ok());
        assert_eq!(occupied.response().status, 200);
        scene.rests(3);
        assert_eq!(scene.count("/a"), 0);
    }

    fn r06_request_after_the_join_window_opens_a_flight(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers).join_window(Some("1s")));
            let (mut first, mut second) = later(&scene, Duration::from_millis(1100));
            scene.wait_for("/a", 2);
            // The newest flight has a window of its own.
            let mut third = scene.follow("/a", 1).remove(0);
            scene.answer_all("/a", ok());
            let [first, second, third] = [&mut first, &mut second, &mut third].map(|client| number(&client.response()));
            assert!(first != second && second == third, "{first} {second} {third}");
            assert_eq!(scene.count("/a"), 2);
        }
    }

    /// 500 ms in mode `identical`, 2 s in mode `cacheable`.
    fn r06_join_window_depends_on_the_mode(driver: Driver) {
        let fresh = || reply("200 OK", "Cache-Control: max-age=60");
        let scene = Scene::set(driver, |setting| setting.join_window(None));
        let (mut first, mut second) = later(&scene, Duration::from_millis(600));
        scene.wait_for("/a", 2);
        scene.answer_all("/a", fresh());
        assert_ne!(first.response().text(), second.response().text());
        let cacheable = || Scene::set(driver, |setting| setting.join_window(None).coalescing("mode: cacheable"));
        let scene = cacheable();
        let (mut first, mut second) = later(&scene, Duration::from_millis(600));
        scene.wait_until_follow(1);
        scene.answer_all("/a", fresh());
        assert_eq!(first.response().text(), second.response().text());
        let scene = cacheable();
        let (mut first, mut second) = later(&scene, Duration::from_millis(2100));
        scene.wait_for("/a", 2);
        scene.answer_all("/a", fresh());
        assert_ne!(first.response().text(), second.response().text());
    }

    /// Whoever comes after the head would have missed bytes, however long the window is.
    fn r06_request_after_the_head_opens_a_flight(driver: Driver) {
        for workers in [1, 2] {
            let go = Event::new();
            let scripted = go.clone();
            let scene = Scene::playing(driver, |setting| setting.workers(workers), move |mut conn| {
                conn.request();
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfrom{}", conn.number));
                scripted.wait("both requests are there");
                conn.send(" done");
            });
            let mut first = scene.lead("/a");
            first.response_head();
            assert_eq!(first.take(5), b"from0");
            let mut second = scene.ask(get("/a", ""));
            scene.wait_for("/a", 2);
            go.raise();
            assert_eq!((first.take(5).as_slice(), second.response().text().as_str()), (&b" done"[..], "from1 done"));
        }
    }

    fn r06_interim_answer_does_not_close_a_flight(driver: Driver) {
        let [hinted, together] = [Event::new(), Event::new()];
        let scripted = [hinted.clone(), together.clone()];
        let scene = Scene::playing(driver, |setting| setting, move |mut conn| {
            conn.request();
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            scripted[0].raise();
            scripted[1].wait("one follows");
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            conn.closed();
        });
        let mut leader = scene.lead("/a");
        hinted.wait("the app has sent it");
        assert_eq!(leader.response().status, 103);
        let mut follower = scene.follow("/a", 1).remove(0);
        together.raise();
        assert_eq!((leader.response().text(), follower.response().text()), ("ok".into(), "ok".into()));
        assert_eq!(scene.count("/a"), 1);
    }

    /// They have waited long enough for this one; together they ask once more, and the one that led goes on waiting.
    fn r06_followers_that_have_waited_long_enough_ask_once_more_together(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| {
                setting.workers(workers).join_window(Some("1500ms")).coalescing("maxWait: 2500ms")
            });
            let mut flight = scene.flight("/a", 8);
            scene.wait_for("/a", 2);
            // They came one after another, and so does the end of their patience.
            let_pass(Duration::from_millis(700));
            scene.wait_until_follow(7);
            let mut leader = flight.leader.take().expect("it is there");
            assert!(!leader.has_something());
            scene.answer_all("/a", ok());
            let numbers: Vec<String> = flight.followers.iter_mut().map(|client| number(&client.response())).collect();
            assert!(numbers.iter().all(|one| *one == numbers[0]), "{numbers:?}");
            assert_ne!(number(&leader.response()), numbers[0]);
            assert_eq!(scene.count("/a"), 2);
            drop((flight, leader));
            scene.rests(0);
        }
    }

    fn r06_followers_wait_for_as_long_as_it_takes_where_nothing_is_set(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.join_window(Some("1s")));
        let mut flight = scene.flight("/a", 3);
        let_pass(Duration::from_secs(3));
        assert_eq!((scene.count("/a"), followers(&scene.proxy.metrics())), (1, 3));
        scene.answer_all("/a", ok());
        flight.shares();
    }
}
