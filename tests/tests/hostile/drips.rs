//! Clients that send a byte now and then: each has the time of one head, and meanwhile others are served as ever.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use slipstream_tests::{App, Driver, Metrics, Proxy, nothing_is_left, on_both_drivers, shown};

use crate::descriptors_are_back;

/// A head without an end; every byte of it is well-formed so far.
fn byte_of_a_head(number: usize) -> u8 {
    const BEGIN: &[u8] = b"GET /drip HTTP/1.1\r\nHost: a\r\nX: ";
    BEGIN.get(number).copied().unwrap_or(b'y')
}

/// A client that drips, and what it was answered.
struct Drip {
    stream: TcpStream,
    answer: Vec<u8>,
    has_ended: bool,
}

impl Drip {
    fn to(address: SocketAddr) -> Drip {
        let stream = TcpStream::connect(address).expect("the proxy accepts");
        stream.set_nonblocking(true).expect("a socket");
        Drip { stream, answer: Vec::new(), has_ended: false }
    }

    /// Sends a byte and reads what is there.
    fn turn(&mut self, number: usize) {
        if self.has_ended {
            return;
        }
        let _ = self.stream.write(&[byte_of_a_head(number)]);
        let mut piece = [0; 2048];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => self.has_ended = true,
                Ok(count) => self.answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A byte that crossed the close is answered by a reset.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    self.has_ended = true
                }
                Err(error) => panic!("{error}"),
            }
            if self.has_ended || !matches!(self.stream.peek(&mut [0]), Ok(1..)) {
                return;
            }
        }
    }
}

fn used(metrics: &Metrics) -> u64 {
    metrics.sum("slipstream_memory_used_bytes")
}

/// A worker takes memory from the budget and gives it back in steps of 1 MiB, and keeps up to two for its next needs.
const KEPT_BYTES_MAX: u64 = 3 << 20;

struct Flood {
    /// How many drip.
    clients: usize,
    /// A byte each.
    every: Duration,
    /// `requestHeaders`.
    time: Duration,
}

impl Flood {
    /// How long all of them may take beyond their time: what a busy machine is behind.
    const GRACE: Duration = Duration::from_secs(20);

    fn play(&self, driver: Driver) {
        let app = App::ok();
        // Room for the others: at the limit of connections they would wait for one that ends.
        let policy = format!(
            "timeouts: {{requestHeaders: {}ms}}\nlimits: {{connections: {}}}",
            self.time.as_millis(),
            self.clients + 100
        );
        let proxy = Proxy::in_front_of(&app).driver(driver).policy(&policy).start();
        let mut good = proxy.client();
        assert_eq!(good.get("/good").text(), "ok");
        proxy.metrics_until("it is parked", |metrics| metrics.sum("slipstream_downstream_connections_parked") == 1);
        let (before, descriptors) = (proxy.metrics(), proxy.descriptors());

        let started = Instant::now();
        let mut drips: Vec<Drip> = (0..self.clients).map(|_| Drip::to(proxy.http())).collect();
        let connected = started.elapsed();
        let (mut rounds, mut served, mut most_open, mut most_used) = (0, 0, 0, 0);
        while drips.iter().any(|drip| !drip.has_ended) {
            assert!(started.elapsed() < connected + self.time + Flood::GRACE, "a head may drip for ever");
            // Between the bytes of the others, on a connection that is kept and on a new one.
            for (number, some) in drips.chunks_mut(self.clients.div_ceil(10)).enumerate() {
                some.iter_mut().for_each(|drip| drip.turn(rounds));
                assert_eq!(good.get(&format!("/good-{rounds}-{number}")).text(), "ok");
                assert_eq!(proxy.client().get(&format!("/new-{rounds}-{number}")).text(), "ok");
                served += 2;
            }
            let metrics = proxy.metrics();
            most_open = most_open.max(metrics.sum("slipstream_downstream_connections_open"));
            most_used = most_used.max(used(&metrics));
            rounds += 1;
            std::thread::park_timeout((started + self.every * rounds as u32).saturating_duration_since(Instant::now()));
        }
        assert!(most_open > self.clients as u64 / 2, "only {most_open} were open at once");

        let answered = drips.iter().filter(|drip| !drip.answer.is_empty());
        let wrong = answered.clone().find(|drip| !drip.answer.starts_with(b"HTTP/1.1 408 "));
        assert!(wrong.is_none(), "{}", wrong.map(|drip| shown(&drip.answer)).unwrap_or_default());
        // The answer may be lost to a byte that crossed it; not to most of them.
        assert!(answered.count() > self.clients / 2, "most of them learn why");
        drop(drips);

        assert_eq!(good.get("/after").text(), "ok");
        let after = nothing_is_left(&proxy, 1);
        assert!(!app.saw("/drip"), "a head without an end reached the app");
        assert_eq!(app.requests().len(), served + 2);
        assert_eq!(after.sum_where("slipstream_timeouts_total", "timeout=\"requestHeaders\""), self.clients as u64);
        assert_eq!(after.sum_where("slipstream_responses_total", "class=\"4xx\""), self.clients as u64);
        descriptors_are_back(&proxy, descriptors);
        let kept = used(&before) + KEPT_BYTES_MAX;
        assert!(most_used > kept, "the budget knows nothing of them: {most_used} bytes");
        proxy.metrics_until(&format!("no more than {kept} bytes are used"), |metrics| used(metrics) <= kept);
    }
}

on_both_drivers! {
    fn thousand_clients_that_drip_end_in_time_and_hold_nobody(driver: Driver) {
        Flood { clients: 1_000, every: Duration::from_millis(250), time: Duration::from_secs(2) }.play(driver);
    }
}

const LONG: Flood = Flood { clients: 10_000, every: Duration::from_secs(1), time: Duration::from_secs(30) };

#[test]
#[ignore = "long: 10,000 connections for half a minute"]
fn drip_of_10_000_clients_ends_in_time_and_holds_nobody() {
    LONG.play(Driver::Epoll);
}

#[test]
#[ignore = "long: 10,000 connections for half a minute, needs io_uring"]
fn drip_of_10_000_clients_ends_in_time_and_holds_nobody_under_io_uring() {
    LONG.play(Driver::IoUring);
}
