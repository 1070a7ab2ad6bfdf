//! R7: a client that has written never gets what was read before its write.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use slipstream_tests::{Client, on_both_drivers};

use crate::scene::{Scene, counted, get, let_pass, number, ok, reply, request};

/// A read that began before, one that came after, and one that followed the second: who shares an answer with whom.
struct Reads {
    target: String,
    old: Client,
}

impl Reads {
    fn begin(scene: &Scene, target: &str) -> Reads {
        Reads { target: target.into(), old: scene.lead(target) }
    }

    /// What comes now goes to the app, and is what others join.
    fn are_closed(mut self, scene: &Scene) {
        let mut new = scene.lead(&self.target);
        let mut joined = scene.follow(&self.target, 1).remove(0);
        scene.answer_all(&self.target, ok());
        let [old, new, joined] = [&mut self.old, &mut new, &mut joined].map(|client| number(&client.response()));
        assert!(old != new, "{}: what was read before the write", self.target);
        assert_eq!(new, joined, "{}: who comes after the write joins who came after it", self.target);
        scene.wait_until_follow(0);
    }

    /// What comes now joins.
    fn are_open(mut self, scene: &Scene) {
        let mut joined = scene.follow(&self.target, 1).remove(0);
        scene.answer_all(&self.target, ok());
        assert_eq!(number(&self.old.response()), number(&joined.response()), "{}", self.target);
        assert_eq!(scene.count(&self.target), 1);
        scene.wait_until_follow(0);
    }
}

/// A request that the app answers at once, on a connection of its own.
fn whole(scene: &Scene, method: &str, target: &str) {
    let mut client = scene.ask(request(method, target, "Content-Length: 0"));
    assert_eq!(client.response_to(method).status, 200, "{method} {target}");
}

const WRITES: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "PURGE"];
const READS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

on_both_drivers! {
    /// Through any connection, so through any worker.
    fn r07_read_after_a_write_never_joins_a_read_before_it(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            scene.answer_all("/write", ok());
            for round in 0..3 {
                for method in WRITES {
                    let reads = Reads::begin(&scene, &format!("/{method}-{round}-end"));
                    whole(&scene, method, "/write");
                    reads.are_closed(&scene);
                }
            }
            scene.rests(0);
        }
    }

    /// On the very connection that wrote, at once: whoever has the end of its answer may ask.
    fn r07_who_has_written_reads_what_is_new(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            scene.answer_all("/write", ok());
            let mut writer = scene.proxy.client();
            for round in 0..20 {
                let target = format!("/{round}-end");
                let mut old = scene.lead(&target);
                writer.send(request("POST", "/write", "Content-Length: 0"));
                assert_eq!(writer.response().status, 200);
                writer.send(get(&target, ""));
                scene.wait_for(&target, 2);
                scene.answer_all(&target, ok());
                assert_ne!(number(&writer.response()), number(&old.response()), "{round}");
            }
        }
    }

    /// The app may have acted on it by now.
    fn r07_read_during_a_write_never_joins_a_read_before_it(driver: Driver) {
        let scene = Scene::on(driver);
        let reads = Reads::begin(&scene, "/a");
        let mut writer = scene.ask(request("POST", "/write", "Content-Length: 0"));
        scene.wait_for("/write", 1);
        reads.are_closed(&scene);
        scene.answer_all("/write", ok());
        assert_eq!(writer.response().status, 200);
    }

    /// The app may not have acted on it before that read.
    fn r07_read_after_a_write_never_joins_a_read_during_it(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            for round in 0..10 {
                let write = format!("/write-{round}-end");
                let mut writer = scene.ask(request("PUT", &write, "Content-Length: 0"));
                scene.wait_for(&write, 1);
                let reads = Reads::begin(&scene, &format!("/{round}-end"));
                scene.answer_all(&write, ok());
                assert_eq!(writer.response().status, 200);
                reads.are_closed(&scene);
            }
        }
    }

    /// Those that follow already have written nothing since they came.
    fn r07_write_takes_no_answer_from_those_that_wait(driver: Driver) {
        let scene = Scene::on(driver);
        let mut flight = scene.flight("/a", 6);
        scene.answer_all("/write", ok());
        whole(&scene, "POST", "/write");
        scene.answer_all("/a", ok());
        assert_eq!((flight.shares().status, scene.count("/a")), (200, 1));
        assert_eq!(counted(&scene.rests(7), "follower", "unshareable"), 0);
    }

    /// A write that the app refuses is one: only the app knows what it did.
    fn r07_write_that_fails_counts(driver: Driver) {
        let scene = Scene::on(driver);
        scene.answer_all("/write", reply("500 Internal Server Error", ""));
        let reads = Reads::begin(&scene, "/a");
        assert_eq!(scene.ask(request("POST", "/write", "Content-Length: 0")).response().status, 500);
        reads.are_closed(&scene);
    }

    fn r07_write_whose_client_has_left_counts(driver: Driver) {
        let scene = Scene::on(driver);
        let reads = Reads::begin(&scene, "/a");
        let writer = scene.ask(request("POST", "/write", "Content-Length: 0"));
        scene.wait_for("/write", 1);
        writer.reset();
        // A read that begins before the proxy knows of it began before the end of the write.
        scene.proxy.metrics_until("the write is over", |metrics| {
            metrics.sum_where("slipstream_faults_total", "kind=\"client_gone\"") == 1
        });
        reads.are_closed(&scene);
    }

    fn r07_write_with_a_body_counts(driver: Driver) {
        let scene = Scene::on(driver);
        scene.answer_all("/write", ok());
        let reads = Reads::begin(&scene, "/a");
        let mut writer = scene.ask("POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        writer.send(vec![b'x'; 200_000]);
        assert_eq!(writer.response().status, 200);
        reads.are_closed(&scene);
    }

    /// RFC 9110 section 9.2.1.
    fn r07_safe_methods_close_nothing(driver: Driver) {
        let scene = Scene::on(driver);
        scene.answer_all("/read", ok());
        for method in READS {
            let reads = Reads::begin(&scene, &format!("/{method}-end"));
            let mut client = scene.ask(request(method, "/read", ""));
            assert_eq!(client.response_to(method).status, 200, "{method}");
            reads.are_open(&scene);
        }
    }

    /// A write is one for all reads of this app, whatever its authority and its route.
    fn r07_mode_upstream_looks_at_no_uri(driver: Driver) {
        let scene = Scene::set(driver, |setting| {
            setting.coalescing("readAfterWrite: upstream").policy("routes: [{match: {path: /write}, timeouts: {request: 9s}}]")
        });
        scene.answer_all("/write", ok());
        let reads = Reads::begin(&scene, "/a");
        assert_eq!(scene.ask("POST /write?to=b HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n").response().status, 200);
        reads.are_closed(&scene);
    }

    fn r07_mode_path_looks_at_the_uri(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers).coalescing("readAfterWrite: path"));
            for method in WRITES {
                let (same, other) = (format!("/{method}-same-end"), format!("/{method}-other-end"));
                let reads = Reads::begin(&scene, &other);
                scene.answer_all("/write", ok());
                whole(&scene, method, "/write");
                reads.are_open(&scene);
                // The app holds what has this target, and the write has it too.
                let mut old = scene.lead(&same);
                let mut writer = scene.ask(request(method, &same, "Content-Length: 0"));
                scene.wait_for(&same, 2);
                let mut new = scene.lead(&same);
                scene.answer_all(&same, ok());
                assert_eq!(writer.response().status, 200);
                assert_ne!(number(&old.response()), number(&new.response()), "{method}");
            }
        }
    }

    fn r07_mode_off_lets_any_read_join(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("readAfterWrite: off"));
        scene.answer_all("/write", ok());
        for method in WRITES {
            let reads = Reads::begin(&scene, &format!("/{method}-end"));
            whole(&scene, method, "/write");
            reads.are_open(&scene);
        }
    }

    /// It goes to the app after the write, and is what those share that came while it waited.
    fn r07_read_that_waits_for_its_turn_takes_joiners_beside_a_write(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 1, queue: {depth: 9, timeout: 10m}}"));
        let mut writer = scene.ask(request("POST", "/write", "Content-Length: 0"));
        scene.wait_for("/write", 1);
        let mut leader = scene.ask(get("/a", ""));
        scene.wait_for_queue(1);
        let mut follower = scene.follow("/a", 1).remove(0);
        scene.answer_all("", ok());
        assert_eq!(writer.response().status, 200);
        assert_eq!(number(&leader.response()), number(&follower.response()));
        assert_eq!(scene.count("/a"), 1);
    }

    /// Many at once, under both: nobody who has written reads what it has overwritten.
    fn r07_no_writer_ever_reads_the_past(driver: Driver) {
        // The app keeps a number; a write makes it larger, and says so, before it is answered. A read takes a while.
        let value = AtomicU64::new(0);
        let scene = Scene::playing(driver, |setting| setting, move |mut conn| {
            while let Some(request) = conn.request() {
                let now = match request.method.as_str() {
                    "POST" => value.fetch_add(1, SeqCst) + 1,
                    _ => value.load(SeqCst),
                };
                if request.method == "GET" {
                    let_pass(Duration::from_millis(3));
                }
                let body = format!("{now:08}");
                if !conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{body}")) {
                    return;
                }
            }
        });
        let ask = |client: &mut Client, text: String| -> u64 {
            client.send(text);
            client.response().text().parse().expect("a number")
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = scene.proxy.client();
                    for _ in 0..40 {
                        let wrote = ask(&mut client, request("POST", "/value", "Content-Length: 0"));
                        for _ in 0..3 {
                            let read = ask(&mut client, get("/value", ""));
                            assert!(read >= wrote, "wrote {wrote} and read {read}");
                        }
                    }
                });
            }
        });
        assert!(counted(&scene.rests(0), "follower", "shared") > 0, "nobody shared, so nothing was shown");
    }
}
