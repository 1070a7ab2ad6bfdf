//! The table of acceptance, row by row, and in full where that is quick: by events, so that a busy machine changes nothing. What takes minutes,
//! thousands of descriptors or a clock is in `long`, to be run alone and in release.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slipstream_tests::{App, Client, Driver, End, Event, Proxy, Running, on_both_drivers};

use crate::scene::{
    FOLLOWERS_MAX, HELD, KIB, LAG_BUDGET, MIB, OK, SLACK_BYTES, Scene, Slow, UNSHAREABLE, WINDOW_BYTES, answers,
    assert_bodies, body, count, counted, crowd, followers, get, let_pass, together, with_length,
};

const CROWD: usize = 1_000;

/// Everybody asks for [`HELD`] on a connection that stands.
fn all_ask(clients: &mut [Client]) {
    let request = get(HELD);
    clients.iter_mut().for_each(|client| client.send(&request));
}

/// A body for a leader and so many followers, the last of whom may be slow.
#[derive(Clone, Copy)]
struct Pile {
    bytes: usize,
    followers: usize,
}

/// What became of it.
struct Outcome {
    took: Duration,
    most_retained: u64,
}

impl Pile {
    /// All read as fast as they can. With a slow one, that reads 100 KiB/s: it is left behind within 3 s, and the others have it all.
    fn play(self, driver: Driver, with_slow: bool) -> Outcome {
        let whole = body(self.bytes);
        let scene = Scene::answering(driver, with_length(&whole));
        let mut clients = scene.flight(self.followers - 1);
        let slow = with_slow.then(|| scene.slow_follower());
        let mut took = Duration::ZERO;
        let opened = Instant::now();
        scene.open(HELD);
        let most_retained = scene.most_retained(|| {
            std::thread::scope(|scope| {
                let left_behind = slow.map(|slow| scope.spawn(move || reads_slowly(slow, opened)));
                assert_bodies(&together(&mut clients, Client::response), &whole);
                took = opened.elapsed();
                if let Some(left_behind) = left_behind {
                    let after = left_behind.join().expect("it is left behind");
                    assert!(after < Duration::from_secs(3), "left behind after {after:?}");
                }
            });
        });
        let lagged = if with_slow { 1 } else { 0 };
        scene.counted(&[
            ("leader", "shared", 1),
            ("follower", "shared", self.followers as u64 - 1),
            ("follower", "lagged", lagged),
        ]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
        Outcome { took, most_retained }
    }
}

/// 100 KiB/s until it is aborted; how long that took.
fn reads_slowly(mut slow: Slow, since: Instant) -> Duration {
    let head = slow.head();
    slow.body_in_pieces(&head, 10 * KIB, Duration::from_millis(100)).expect_err("it gets no whole body");
    since.elapsed()
}

/// CPU time that the threads of a process have used so far.
fn cpu(proxy: &Running) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("it runs");
    let of_task = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let schedstat = std::fs::read_to_string(task.expect("a task").path().join("schedstat")).expect("schedstat");
        schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
    };
    Duration::from_nanos(tasks.map(of_task).sum())
}

/// What GETs that never repeat cost with coalescing as a part of what they cost without, the least of some rounds of each in turn.
fn cost_of_never_repeating(driver: Driver, rounds: usize, requests: usize) -> f64 {
    // It keeps no list of what it got: there are hundreds of thousands.
    let app = App::scripted(|mut conn| while conn.request_head().is_some() && conn.send(OK) {});
    let start = |mode: &str| Proxy::in_front_of(&app).driver(driver).flags(&["--coalesce", mode]).start();
    let proxies = [start("off"), start("identical")];
    let mut clients = [proxies[0].client(), proxies[1].client()];
    let mut least = [Duration::MAX; 2];
    for round in 0..=rounds {
        for (at, proxy) in proxies.iter().enumerate() {
            let before = cpu(proxy);
            for number in 0..requests {
                assert_eq!(clients[at].get(&format!("/{round}/{number}")).status, 200);
            }
            // The first round pays for what is done once.
            if round > 0 {
                least[at] = least[at].min(cpu(proxy) - before);
            }
        }
    }
    counted(&proxies[1], &[("alone", "*", ((rounds + 1) * requests) as u64)]);
    least[1].as_secs_f64() / least[0].as_secs_f64()
}

/// Requests that come evenly over a time, each on a connection that stands, while the app takes longer than all of it to answer.
struct Evenly {
    requests: usize,
    over: Duration,
    answered_after: Duration,
    policy: &'static str,
}

impl Evenly {
    /// How many the app got, and for how long the requests came.
    fn play(&self, driver: Driver) -> (usize, Duration) {
        let after = self.answered_after;
        let scene = Scene::on(
            driver,
            |proxy| proxy.policy(self.policy),
            move |mut conn, _| {
                let_pass(after);
                conn.send(OK).then_some(conn)
            },
        );
        let mut clients = crowd(&scene.proxy, self.requests);
        let (request, started) = (get("/evenly"), Instant::now());
        for (number, client) in clients.iter_mut().enumerate() {
            let due = self.over.mul_f64(number as f64 / self.requests as f64);
            let_pass(due.saturating_sub(started.elapsed()));
            client.send(&request);
        }
        let came = started.elapsed();
        assert_bodies(&answers(&mut clients), b"ok");
        scene.at_rest();
        (scene.seen("/evenly"), came)
    }
}

on_both_drivers! {
    fn thousand_identical_gets_are_one_upstream_request(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = crowd(&scene.proxy, CROWD);
        all_ask(&mut clients);
        scene.until_followers(CROWD as u64 - 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.shared_by(CROWD - 1);
        assert_eq!(scene.app.connections(), 1);
    }

    /// Followers that were released are in the app all at the same time, so none waits for another; the second burst follows nobody.
    fn thousand_gets_of_an_unshareable_answer_are_a_thousand_upstream_requests(driver: Driver) {
        let asked = AtomicUsize::new(0);
        let (released, second) = (Event::new(), Event::new());
        let scene = Scene::with(driver, move |mut conn, _| {
            // The first is the leader's, whose answer releases the others.
            let number = asked.fetch_add(1, SeqCst) + 1;
            let all = if number <= CROWD { &released } else { &second };
            if number.is_multiple_of(CROWD) {
                all.raise();
            }
            if number > 1 {
                all.wait("all that nobody answers for are in the app");
            }
            conn.send(UNSHAREABLE).then_some(conn)
        });
        let mut clients = crowd(&scene.proxy, CROWD);
        all_ask(&mut clients);
        scene.until_followers(CROWD as u64 - 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        all_ask(&mut clients);
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen(HELD), 2 * CROWD);
        let crowd = CROWD as u64;
        scene.counted(&[("leader", "unshareable", 1), ("follower", "unshareable", crowd - 1), ("alone", "pass", crowd)]);
        scene.at_rest();
    }

    fn leader_that_resets_leaves_999_right_bodies_and_one_upstream_request(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut clients = scene.flight(CROWD - 1);
        clients.remove(0).reset();
        scene.proxy.metrics_until("it has left", |metrics| count(metrics, "leader", "left") == 1);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.counted(&[("leader", "left", 1), ("follower", "shared", CROWD as u64 - 1)]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    fn upstream_that_dies_after_half_a_body_is_a_thousand_aborts(driver: Driver) {
        let die = Event::new();
        let told = die.clone();
        let scene = Scene::with(driver, move |mut conn, _| {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            told.wait_for_the_case();
            None
        });
        let mut clients = crowd(&scene.proxy, CROWD);
        all_ask(&mut clients);
        scene.until_followers(CROWD as u64 - 1);
        scene.open(HELD);
        for client in &mut clients {
            assert_eq!(client.response_head().status, 200);
            assert_eq!(client.take(5), b"hello");
        }
        die.raise();
        for client in &mut clients {
            let (rest, end) = client.rest();
            assert!(rest.is_empty() && matches!(end, End::Clean | End::Reset), "{end:?}");
        }
        scene.counted(&[("leader", "aborted", 1), ("follower", "aborted", CROWD as u64 - 1)]);
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 1);
    }

    /// 8 MiB instead of 100 to 10 instead of 50: a stall of the lag budget is most of the time then, so how much longer it takes is no measure.
    fn slow_reader_of_a_large_body_is_left_behind_within_three_seconds(driver: Driver) {
        let outcome = Pile { bytes: 8 * MIB, followers: 10 }.play(driver, true);
        assert!(outcome.took < LAG_BUDGET + Duration::from_secs(2), "the others took {:?}", outcome.took);
        assert!(outcome.most_retained <= WINDOW_BYTES + SLACK_BYTES, "{} bytes were kept", outcome.most_retained);
    }

    /// Two full flights and a third instead of ten.
    fn more_than_a_flight_takes_are_as_few_flights_as_can_be(driver: Driver) {
        const REQUESTS: usize = 2 * (1 + FOLLOWERS_MAX) + 50;
        let scene = Scene::answering(driver, OK);
        let mut clients = crowd(&scene.proxy, REQUESTS);
        all_ask(&mut clients);
        scene.proxy.metrics_until("all are there", |metrics| followers(metrics) == REQUESTS as u64 - 3);
        scene.open(HELD);
        assert_bodies(&answers(&mut clients), b"ok");
        scene.at_rest();
        assert_eq!(scene.seen(HELD), 3);
    }

    /// At most one upstream request a `joinWindow`: the timers of the proxy may be a tick or two early.
    fn requests_that_come_evenly_are_one_upstream_request_a_join_window(driver: Driver) {
        const WINDOW: Duration = Duration::from_millis(190);
        let evenly = Evenly {
            requests: 400,
            over: Duration::from_secs(2),
            answered_after: Duration::from_secs(3),
            policy: "coalescing: {joinWindow: 200ms}",
        };
        let (upstream, came) = evenly.play(driver);
        let most = came.as_millis() / WINDOW.as_millis() + 1;
        assert!(upstream as u128 <= most, "{upstream} upstream requests in {came:?}");
    }
}

mod long {
    //! With the clock of the table. One at a time, on a machine that has nothing else to do.

    use std::sync::Mutex;

    use super::*;

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// The defaults, but for what 10,000 connections need that say nothing for a while.
    const ROOM: &str = "limits: {connections: 20000}\ntimeouts: {requestHeaders: 1m}";

    fn answered_in(driver: Driver, time: Duration) -> Scene {
        Scene::on(
            driver,
            |proxy| proxy.policy(ROOM),
            move |mut conn, _| {
                let_pass(time);
                conn.send(OK).then_some(conn)
            },
        )
    }

    /// From four threads, so that it is quick.
    fn at_once(clients: &mut [Client], target: &str) {
        let request = get(target);
        let each = clients.len().div_ceil(4);
        let mut parts: Vec<&mut [Client]> = clients.chunks_mut(each).collect();
        together(&mut parts, |part| part.iter_mut().for_each(|client| client.send(&request)));
    }

    fn thousand_in_200_ms(driver: Driver) {
        let scene = answered_in(driver, Duration::from_millis(200));
        let mut clients = crowd(&scene.proxy, CROWD);
        at_once(&mut clients, "/");
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen("/"), 1);
        scene.counted(&[("leader", "shared", 1), ("follower", "shared", CROWD as u64 - 1)]);
    }

    fn leader_resets_after_10_ms(driver: Driver) {
        let scene = answered_in(driver, Duration::from_millis(200));
        let mut clients = crowd(&scene.proxy, CROWD);
        clients[0].send(get("/"));
        scene.app.wait_to_see("GET / ");
        at_once(&mut clients[1..], "/");
        let_pass(Duration::from_millis(10));
        clients.remove(0).reset();
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen("/"), 1);
        scene.counted(&[("leader", "left", 1), ("follower", "shared", CROWD as u64 - 1)]);
    }

    /// The lag budget alone is a fifth of the time only where that is five seconds; a machine that is quicker is allowed the budget.
    fn hundred_mib_to_fifty(driver: Driver) {
        let pile = Pile { bytes: 100 * MIB, followers: 50 };
        let (without, with) = (pile.play(driver, false), pile.play(driver, true));
        let most = without.took.mul_f64(1.2).max(without.took + LAG_BUDGET + Duration::from_millis(200));
        assert!(with.took <= most, "{:?} beside a slow one, {:?} without", with.took, without.took);
        let kept = with.most_retained.max(without.most_retained);
        assert!(kept <= WINDOW_BYTES + SLACK_BYTES, "{kept} bytes were kept");
    }

    fn ten_thousand_at_once(driver: Driver) {
        let scene = answered_in(driver, Duration::from_secs(6));
        let mut clients = crowd(&scene.proxy, 10_000);
        at_once(&mut clients, "/");
        assert_bodies(&answers(&mut clients), b"ok");
        assert_eq!(scene.seen("/"), 10);
    }

    fn ten_thousand_evenly(driver: Driver) {
        let (requests, time) = (10_000, Duration::from_secs(6));
        let (upstream, came) = Evenly { requests, over: time, answered_after: time, policy: ROOM }.play(driver);
        assert!(upstream <= 22, "{upstream} upstream requests for those that came in {came:?}");
    }

    /// Wall time of a single machine cannot judge 1 %; CPU time of alternating rounds, the least of each, comes near.
    fn never_repeating(driver: Driver) {
        let cost = cost_of_never_repeating(driver, 12, 10_000);
        assert!(cost <= 1.01, "{cost:.4} times as much");
    }

    /// `row::epoll` and `row::io_uring` of each.
    macro_rules! rows {
        ($($row:ident)+) => {$(
            mod $row {
                use super::*;

                #[test]
                #[ignore = "long: with a clock, alone and in release; run by just coalesce-long"]
                fn epoll() {
                    let _alone = ONE_AT_A_TIME.lock();
                    super::$row(Driver::Epoll);
                }

                #[test]
                #[ignore = "long: with a clock, alone and in release, needs io_uring; run by just coalesce-long"]
                fn io_uring() {
                    let _alone = ONE_AT_A_TIME.lock();
                    super::$row(Driver::IoUring);
                }
            }
        )+};
    }

    rows! {
        thousand_in_200_ms
        leader_resets_after_10_ms
        hundred_mib_to_fifty
        ten_thousand_at_once
        ten_thousand_evenly
        never_repeating
    }
}
