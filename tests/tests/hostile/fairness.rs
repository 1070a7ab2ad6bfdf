//! One worker, and a client that never pauses: others are answered all the same. Several workers: each gets its share of what is slow.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use slipstream_tests::{App, Client, DEADLINE, Driver, Event, Proxy, Running, nothing_is_left, on_both_drivers};

/// Requests of the client that waits for each answer.
const REQUESTS: usize = 200;

/// A client that writes as fast as it is read, and reads as fast as it is answered.
struct Greedy {
    stream: TcpStream,
    received: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Greedy {
    /// Writes `first`, then `again` for ever.
    fn to(address: SocketAddr, first: String, again: String) -> Greedy {
        let stream = TcpStream::connect(address).expect("the proxy accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
        let (received, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (mut writes, mut reads) = (stream.try_clone().expect("a socket"), stream.try_clone().expect("a socket"));
        let (count, over, done) = (received.clone(), stopped.clone(), stopped.clone());
        let writer = std::thread::spawn(move || {
            let mut sent = writes.write_all(first.as_bytes());
            while sent.is_ok() && !again.is_empty() {
                sent = writes.write_all(again.as_bytes());
            }
            assert!(sent.is_ok() || over.load(SeqCst), "the proxy takes no more: {sent:?}");
        });
        let reader = std::thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            loop {
                match reads.read(&mut piece) {
                    Ok(count_read @ 1..) => count.fetch_add(count_read, SeqCst),
                    end => return assert!(done.load(SeqCst), "the proxy ended it: {end:?}"),
                };
            }
        });
        Greedy { stream, received, stopped, threads: vec![writer, reader] }
    }

    /// Bytes that it was sent so far.
    fn received(&self) -> usize {
        self.received.load(SeqCst)
    }

    fn stop(self) {
        self.stopped.store(true, SeqCst);
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads {
            thread.join().expect("it was not ended before its time");
        }
    }
}

/// The proxy has one worker, and the greedy clients of other cases would take the machine's turns from it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Beside a client that writes `first`, then `again` for ever, each request of another one is answered, on a kept connection and on new ones, and
/// the greedy one goes on. Gives the app.
fn others_are_served(driver: Driver, first: &str, again: &str) -> App {
    let _alone = ONE_AT_A_TIME.lock();
    let app = app();
    let proxy = Proxy::in_front_of(&app).driver(driver).workers(1).start();
    let greedy = Greedy::to(proxy.http(), first.to_owned(), again.to_owned());
    slipstream_tests::eventually("the greedy client is served", || (greedy.received() > 1 << 20).then_some(()));
    let before = greedy.received();
    let mut kept = proxy.client();
    for number in 0..REQUESTS {
        assert_eq!(kept.get(&format!("/kept-{number}")).text(), "ok");
        if number % 10 == 0 {
            assert_eq!(proxy.client().get(&format!("/new-{number}")).text(), "ok");
        }
    }
    assert!(greedy.received() > before, "the greedy client is served too");
    let metrics = proxy.metrics();
    // A turn of 8 ms: a machine that is busy elsewhere may make one of a short turn. Were it the rule, each request would have met one.
    let stalls = metrics.sum("slipstream_worker_stalls_total");
    assert!(stalls < REQUESTS as u64 / 2, "{stalls} turns kept the worker from all others");
    greedy.stop();
    drop(kept);
    nothing_is_left(&proxy, 0);
    app
}

/// Answers `/stream` without an end and reads a body without an end; all else by `ok`.
fn app() -> App {
    App::scripted(|mut conn| {
        while let Some(head) = conn.request_head() {
            match head.target.as_str() {
                "/stream" => {
                    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    let chunk = [b"10000\r\n", &[b'y'; 64 << 10][..], b"\r\n"].concat();
                    while conn.send(&chunk) {}
                    return;
                }
                "/upload" => {
                    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    // What comes in goes out again: so the client sees that it is taken.
                    while let Some(some) = conn.some() {
                        let chunk = [format!("{:x}\r\n", some.len()).as_bytes(), &some, b"\r\n"].concat();
                        if !conn.send(chunk) {
                            return;
                        }
                    }
                    return;
                }
                _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            };
        }
    })
}

on_both_drivers! {
    fn client_that_pipelines_without_end_does_not_hold_others(driver: Driver) {
        let many: String = (0..100).map(|number| format!("GET /piped-{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        others_are_served(driver, "", &many);
    }

    /// Many of them share an answer, so that the worker has more to write than the app.
    fn client_that_pipelines_one_request_without_end_does_not_hold_others(driver: Driver) {
        let many = "GET /piped HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
        others_are_served(driver, "", &many);
    }

    /// Refused by the proxy itself: not even the app is waited for.
    fn client_that_pipelines_what_the_proxy_answers_does_not_hold_others(driver: Driver) {
        let many = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n".repeat(100);
        let app = others_are_served(driver, "", &many);
        assert!(!app.saw("OPTIONS"));
    }

    fn answer_without_end_does_not_hold_others(driver: Driver) {
        others_are_served(driver, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "");
    }

    fn body_without_end_does_not_hold_others(driver: Driver) {
        let ask = "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("10000\r\n{}\r\n", "y".repeat(64 << 10));
        others_are_served(driver, ask, &chunk);
    }

    /// Each connection has had an answer and been idle; its second request is in the app. The kernel alone would spread them by a hash.
    fn slow_requests_are_spread_over_the_workers(driver: Driver) {
        const WORKERS: usize = 4;
        const CLIENTS: usize = 40;
        /// Rounds, each with other ports and so another spread by the kernel: in none it is even by itself so often.
        const ROUNDS: usize = 3;
        let mut handed_over = 0;
        for _ in 0..ROUNDS {
            let go = Event::new();
            let answers = go.clone();
            let app = App::scripted(move |mut conn| {
                while let Some(request) = conn.request() {
                    if request.target.starts_with("/slow") {
                        answers.wait("the case lets the app answer");
                    }
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
            let proxy = Proxy::in_front_of(&app).driver(driver).workers(WORKERS).start();
            let sets: Vec<(PathBuf, usize)> = event_sets(&proxy).into_values().map(|set| (set.clone(), watched(&set))).collect();
            let mut clients: Vec<Client> = Vec::new();
            for number in 0..CLIENTS {
                let mut client = proxy.client();
                assert_eq!(client.get("/quick").text(), "ok");
                client.send(format!("GET /slow-{number}. HTTP/1.1\r\nHost: a\r\n\r\n"));
                app.wait_to_see(&format!("/slow-{number}. "));
                clients.push(client);
            }
            if driver == Driver::Epoll {
                // A set for each worker, and in it the client's socket and the app's of each request.
                let spread: Vec<usize> = sets.iter().map(|(set, before)| (watched(set) - before) / 2).collect();
                let busy: Vec<usize> = spread.iter().copied().filter(|&requests| requests > 0).collect();
                let (least, most) = (busy.iter().min().expect("some"), busy.iter().max().expect("some"));
                assert!(busy.len() == WORKERS && most - least <= 5, "requests by event set: {spread:?}");
            }
            handed_over += proxy.metrics().sum("slipstream_downstream_connections_handed_over_total");
            go.raise();
            for client in &mut clients {
                assert_eq!(client.response().text(), "ok");
            }
            assert_eq!(app.requests().len(), 2 * CLIENTS);
            drop(clients);
            nothing_is_left(&proxy, 0);
        }
        assert!(handed_over > 0, "no worker gave a connection to another in {ROUNDS} rounds");
    }
}

/// The event sets of the process, each by one of its descriptors, and what is in it. Two descriptors of one set are one.
fn event_sets(proxy: &Running) -> BTreeMap<String, PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it runs");
    let open = open.map(|entry| entry.expect("it runs").path());
    let sets = open.filter(|path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventpoll]"));
    sets.map(|path| {
        let name = path.file_name().expect("a number").to_owned();
        let info = format!("/proc/{}/fdinfo", proxy.pid()).parse::<PathBuf>().expect("a path").join(name);
        (std::fs::read_to_string(&info).expect("it is open"), info)
    })
    .collect()
}

fn watched(set: &Path) -> usize {
    let info = std::fs::read_to_string(set).expect("it is open");
    info.lines().filter(|line| line.starts_with("tfd:")).count()
}
