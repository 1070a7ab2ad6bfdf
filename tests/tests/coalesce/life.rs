//! R5: a flight belongs to no client. It lives while one takes part, ends with the last, and leaves no key behind.

use slipstream_tests::{App, Client, Conn, End, Event, eventually, on_both_drivers};

use crate::scene::{Leave, Scene, get, ok, request, wait_until_counted};

/// Takes each request and never answers; sees the end of its connection.
fn silent(mut conn: Conn) {
    conn.request();
    conn.closed();
}

fn assert_cancelled(app: &App, number: usize) {
    assert!(matches!(app.end_of(number), End::Clean | End::Reset));
}

on_both_drivers! {
    fn r05_leader_that_leaves_only_detaches(driver: Driver) {
        for workers in [1, 2] {
            for leave in Leave::BOTH {
                let scene = Scene::set(driver, |setting| setting.workers(workers));
                let mut flight = scene.flight("/a", 12);
                leave.apply(flight.leader.take().expect("it is there"));
                scene.proxy.metrics_until("it has left", |metrics| metrics.sum("slipstream_requests_active") == 12);
                scene.answer_all("/a", ok());
                assert_eq!(flight.shares().status, 200, "{leave:?}");
                assert_eq!((scene.count("/a"), scene.app.connections()), (1, 1), "{leave:?}");
                wait_until_counted(&scene.proxy, "leader", "left", 1);
                wait_until_counted(&scene.proxy, "follower", "shared", 12);
                scene.rests(12);
            }
        }
    }

    fn r05_flight_takes_joiners_after_its_leader_has_left(driver: Driver) {
        for leave in Leave::BOTH {
            let scene = Scene::on(driver);
            let mut flight = scene.flight("/a", 1);
            leave.apply(flight.leader.take().expect("it is there"));
            scene.proxy.metrics_until("it has left", |metrics| metrics.sum("slipstream_requests_active") == 1);
            flight.followers.extend(scene.follow("/a", 8));
            scene.answer_all("/a", ok());
            flight.shares();
            assert_eq!(scene.count("/a"), 1);
        }
    }

    fn r05_follower_that_leaves_is_noticed_by_nobody(driver: Driver) {
        for leave in Leave::BOTH {
            let scene = Scene::on(driver);
            let mut flight = scene.flight("/a", 12);
            for _ in 0..6 {
                leave.apply(flight.followers.remove(0));
            }
            scene.wait_until_follow(6);
            scene.answer_all("/a", ok());
            flight.shares();
            assert_eq!((scene.count("/a"), scene.app.connections()), (1, 1), "{leave:?}");
            wait_until_counted(&scene.proxy, "follower", "left", 6);
            scene.rests(flight.clients());
        }
    }

    fn r05_last_to_leave_cancels_the_exchange(driver: Driver) {
        for workers in [1, 2] {
            for leave in Leave::BOTH {
                let scene = Scene::playing(driver, |setting| setting.workers(workers), silent);
                let mut flight = scene.flight("/a", 4);
                leave.apply(flight.leader.take().expect("it is there"));
                let last = flight.followers.pop().expect("it is there");
                flight.followers.into_iter().for_each(|client| leave.apply(client));
                scene.proxy.metrics_until("one is left", |metrics| metrics.sum("slipstream_requests_active") == 1);
                assert_eq!(scene.proxy.metrics().sum("slipstream_coalesce_flights"), 1, "{leave:?}");
                leave.apply(last);
                assert_cancelled(&scene.app, 0);
                assert_eq!(scene.rests(0).sum("slipstream_upstream_connections_open"), 0);
            }
        }
    }

    fn r05_leader_without_followers_that_leaves_cancels_the_exchange(driver: Driver) {
        for leave in Leave::BOTH {
            let scene = Scene::playing(driver, |setting| setting, silent);
            leave.apply(scene.lead("/a"));
            assert_cancelled(&scene.app, 0);
            scene.rests(0);
        }
    }

    /// Whoever comes next leads, whatever became of the one before.
    fn r05_key_is_free_after_a_cancel(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            for round in 1..=10 {
                for leave in Leave::BOTH {
                    let target = format!("/{round}-{leave:?}-end");
                    let flight = scene.flight(&target, 3);
                    flight.followers.into_iter().chain(flight.leader).for_each(|client| leave.apply(client));
                    scene.rests(0);
                    let mut next = scene.flight(&target, 3);
                    scene.answer_all(&target, ok());
                    next.shares();
                    assert_eq!(scene.count(&target), 2);
                    drop(next);
                    scene.rests(0);
                }
            }
        }
    }

    /// It joins while there is something to join, and else it leads.
    fn r05_request_that_crosses_a_cancel_is_answered(driver: Driver) {
        let scene = Scene::on(driver);
        for round in 0..30 {
            let target = format!("/{round}-end");
            let leader = scene.lead(&target);
            leader.reset();
            let mut client = scene.ask(get(&target, ""));
            scene.answer_all(&target, ok());
            assert_eq!(client.response().status, 200, "{round}");
            assert!(scene.count(&target) <= 2, "{round}");
        }
        scene.rests(0);
    }

    fn r05_cancels_leave_no_descriptor_behind(driver: Driver) {
        let scene = Scene::playing(driver, |setting| setting, silent);
        let cancel = || {
            let flight = scene.flight("/a", 6);
            flight.followers.into_iter().chain(flight.leader).for_each(drop);
            scene.rests(0);
        };
        cancel();
        let before = scene.proxy.descriptors();
        (0..10).for_each(|_| cancel());
        eventually("no more descriptors are open than before", || (scene.proxy.descriptors() <= before).then_some(()));
    }

    /// The place in the queue is the flight's too.
    fn r05_leader_that_leaves_in_the_queue_only_detaches(driver: Driver) {
        for leave in Leave::BOTH {
            let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 10m}}"));
            let mut occupied = scene.occupy();
            let leader = scene.ask(get("/a", ""));
            scene.wait_for_queue(1);
            let mut followers = scene.follow("/a", 4);
            leave.apply(leader);
            scene.proxy.metrics_until("it has left", |metrics| metrics.sum("slipstream_requests_active") == 5);
            assert_eq!(scene.proxy.metrics().sum("slipstream_permits_waiting"), 1);
            scene.answer_all("", ok());
            assert_eq!(occupied.response().status, 200);
            assert!(followers.iter_mut().all(|client| client.response().text().ends_with("to /a")), "{leave:?}");
            assert_eq!(scene.count("/a"), 1);
            scene.rests(5);
        }
    }

    fn r05_last_to_leave_gives_up_the_place_in_the_queue(driver: Driver) {
        for leave in Leave::BOTH {
            let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 10m}}"));
            let mut occupied = scene.occupy();
            let leader = scene.ask(get("/a", ""));
            scene.wait_for_queue(1);
            let followers = scene.follow("/a", 4);
            followers.into_iter().chain(Some(leader)).for_each(|client| leave.apply(client));
            scene.wait_for_queue(0);
            scene.answer_all("", ok());
            assert_eq!(occupied.response().status, 200);
            drop(occupied);
            scene.rests(0);
            assert_eq!(scene.count("/a"), 0);
        }
    }

    /// Once it is open, nobody in it is special.
    fn r05_leader_that_leaves_inside_the_answer_only_detaches(driver: Driver) {
        for workers in [1, 2] {
            for leave in Leave::BOTH {
                let [together, left] = [Event::new(), Event::new()];
                let scripted = [together.clone(), left.clone()];
                let scene = Scene::playing(driver, |setting| setting.workers(workers), move |mut conn| {
                    conn.request();
                    scripted[0].wait("all are there");
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
                    scripted[1].wait("the leader has left");
                    conn.send("world");
                    conn.closed();
                });
                let mut flight = scene.flight("/a", 4);
                together.raise();
                let mut leader = flight.leader.take().expect("it is there");
                leader.response_head();
                assert_eq!(leader.take(5), b"hello");
                leave.apply(leader);
                scene.proxy.metrics_until("it has left", |metrics| metrics.sum("slipstream_requests_active") == 4);
                left.raise();
                assert_eq!(flight.shares().text(), "helloworld", "{leave:?}");
                assert_eq!(scene.app.connections(), 1);
                scene.rests(4);
            }
        }
    }

    /// A policy may let a client go on reading after it has closed its side; such a one takes part as any other.
    fn r05_half_closed_participant_stays_where_that_is_asked_for(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("halfClose: keep"));
        let mut flight = scene.flight("/a", 2);
        flight.leader.iter_mut().chain(&mut flight.followers).for_each(Client::half_close);
        scene.answer_all("/a", ok());
        assert_eq!((flight.shares().status, scene.count("/a")), (200, 1));
    }

    /// A flight of before the write that has nobody left is in nobody's way.
    fn r05_key_is_free_after_a_cancel_beside_a_write(driver: Driver) {
        let scene = Scene::on(driver);
        let leader = scene.lead("/a");
        let mut writer = scene.ask(request("POST", "/write", "Content-Length: 0"));
        scene.wait_for("/write", 1);
        drop(leader);
        let mut next = scene.flight("/a", 2);
        scene.answer_all("", ok());
        next.shares();
        assert_eq!((writer.response().status, scene.count("/a")), (200, 2));
    }
}
