//! In a cgroup of 64 MiB, as a sidecar is: whatever clients do, the kernel has no reason to kill it.

use std::sync::Mutex;

use slipstream_tests::{App, Certs, Client, Driver, Event, NAME, Proxy, Running, Way, on_both_drivers};

use crate::{KIB, MIB, active, assert_body, assert_shed, body_of, shed, slow_client, until_still, used};

const LIMIT_BYTES: u64 = 64 << 20;
const WORKERS: usize = 2;
const CLIENTS: usize = 200;
const BODY_BYTES: usize = 50_000_000;

/// What a proxy without work may hold: the steps that its workers have leased, and the few buffers that each keeps.
const IDLE_BYTES_MAX: u64 = 4 << 20;

/// Each has hundreds of connections on both sides of the proxy: beside each other they would not be sooner done.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn proxy(driver: Driver, app: &App, certs: &Certs) -> Running {
    let proxy = Proxy::in_front_of(app).driver(driver).workers(WORKERS).tls(certs.leaf(&[NAME]));
    // Who asks the same shares an answer, however long it takes to make all connections.
    let proxy = proxy.policy("coalescing: {joinWindow: 1m}").in_memory_cgroup(LIMIT_BYTES).start();
    let budget = proxy.metrics().sum("slipstream_memory_budget_bytes");
    assert!((LIMIT_BYTES / 2..LIMIT_BYTES).contains(&budget), "the limit was not seen: the budget is {budget}");
    proxy
}

/// The clients have left: what they held is given back, and requests are served.
fn assert_survived(proxy: &Running) {
    proxy.metrics_until("nothing is in flight", |metrics| active(metrics) == 0);
    for _ in 0..2 * WORKERS {
        assert_eq!(proxy.client().get("/small").text(), "ok");
    }
    proxy.metrics_until("what was held is given back", |metrics| {
        metrics.sum("slipstream_downstream_connections_open") == 0 && used(metrics) <= IDLE_BYTES_MAX
    });
    let cgroup = proxy.cgroup();
    assert_eq!(cgroup.kills(), 0);
    assert!(cgroup.peak_bytes() < LIMIT_BYTES, "{} bytes were used at once", cgroup.peak_bytes());
}

/// An app that sends a large body until nobody takes it; of `/held` once it may.
fn sends_much(go: &Event) -> App {
    let (go, piece) = (go.clone(), body_of(251 * 256));
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            if request.target == "/held" {
                go.wait_for_the_case();
            }
            if request.target == "/small" {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
            let mut left = BODY_BYTES;
            while left > 0 {
                let count = left.min(piece.len());
                if !conn.send(&piece[..count]) {
                    return;
                }
                left -= count;
            }
        }
    })
}

/// Each has an answer of its own: equal requests would share one, and the slow ones would be broken off.
fn slow_readers_survive(driver: Driver, way: Way) {
    let _alone = ONE_AT_A_TIME.lock();
    let (app, certs) = (sends_much(&Event::new()), Certs::new());
    let proxy = proxy(driver, &app, &certs);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let mut client = slow_client(way, &proxy, &certs);
            client.send(format!("GET /large/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client
        })
        .collect();
    let of_all = |metrics: &_| active(metrics) + shed(metrics) == CLIENTS as u64;
    proxy.metrics_until("all requests are there", of_all);
    let metrics = until_still(&proxy, |metrics| metrics.sum("slipstream_response_body_bytes_total"));
    let mut were_shed = 0;
    for client in &mut clients {
        let response = client.response_head();
        if response.status == 200 {
            assert_body(&client.take(4 * KIB), 0);
        } else {
            assert_shed(&response);
            were_shed += 1;
        }
    }
    assert_eq!(were_shed, shed(&metrics));
    assert!(were_shed < CLIENTS as u64 / 2, "{were_shed} of {CLIENTS} were shed: each needs some 100 KiB");
    let mut reader = slow_client(way, &proxy, &certs);
    reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reader.response_head().status, 200);
    assert_body(&reader.take(4 * MIB), 0);
    drop((clients, reader));
    assert_survived(&proxy);
}

/// All of them share one answer. Whoever holds up others for too long is broken off, so what each has got is not asked.
fn slow_readers_of_one_answer_survive(driver: Driver, way: Way) {
    let _alone = ONE_AT_A_TIME.lock();
    let go = Event::new();
    let (app, certs) = (sends_much(&go), Certs::new());
    let proxy = proxy(driver, &app, &certs);
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = slow_client(way, &proxy, &certs);
            client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    proxy.metrics_until("all requests are there", |metrics| active(metrics) == CLIENTS as u64);
    go.raise();
    until_still(&proxy, |metrics| metrics.sum("slipstream_response_body_bytes_total"));
    assert_eq!(app.requests().len(), 1);
    let mut reader = slow_client(way, &proxy, &certs);
    reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reader.response_head().status, 200);
    assert_body(&reader.take(4 * MIB), 0);
    drop((clients, reader));
    assert_survived(&proxy);
}

fn slow_uploads_survive(driver: Driver, way: Way) {
    let _alone = ONE_AT_A_TIME.lock();
    let go = Event::new();
    let reads = go.clone();
    let app = App::with_receive_buffer(8 * KIB, move |mut conn| {
        while let Some(head) = conn.request_head() {
            if head.target == "/large" {
                reads.wait_for_the_case();
            }
            let Some(request) = conn.request_body(head) else { return };
            assert_body(&request.body, 0);
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let certs = Certs::new();
    let proxy = proxy(driver, &app, &certs);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = slow_client(way, &proxy, &certs);
            client.send(format!("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
            client
        })
        .collect();
    proxy.metrics_until("all requests are there", |metrics| active(metrics) + shed(metrics) == CLIENTS as u64);
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.fill());
        }
    });
    assert_eq!(active(&proxy.metrics()) + shed(&proxy.metrics()), CLIENTS as u64, "nobody is broken off");
    let mut upload = slow_client(way, &proxy, &certs);
    upload.send(format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {MIB}\r\n\r\n"));
    upload.send(body_of(MIB));
    assert_eq!(upload.response().text(), "ok");
    go.raise();
    clients.into_iter().for_each(Client::reset);
    drop(upload);
    assert_survived(&proxy);
}

/// Many clients that have said a byte and are let in; then all of them send the rest of `begin`, which is no whole message.
fn begun_messages_survive(driver: Driver, way: Way, begin: &[u8]) {
    const CLIENTS: usize = 2000;
    let _alone = ONE_AT_A_TIME.lock();
    let (app, certs) = (App::ok(), Certs::new());
    let proxy = proxy(driver, &app, &certs);
    let address = if way == Way::Tls { proxy.https() } else { proxy.http() };
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::plain(address);
            client.send(&begin[..1]);
            client
        })
        .collect();
    proxy.metrics_until("all are let in", |metrics| {
        metrics.sum("slipstream_downstream_connections_open") == CLIENTS as u64
    });
    // One that is refused is refused in the middle of it.
    clients.iter_mut().for_each(|client| client.offer(&begin[1..]));
    until_still(&proxy, used);
    drop(clients);
    assert_survived(&proxy);
}

on_both_drivers! {
    needs "a memory cgroup";

    fn two_hundred_slow_readers_of_large_bodies_are_survived(driver: Driver) {
        slow_readers_survive(driver, Way::Plain);
    }

    fn two_hundred_slow_readers_of_large_bodies_are_survived_under_tls(driver: Driver) {
        slow_readers_survive(driver, Way::Tls);
    }

    fn two_hundred_slow_readers_of_one_large_body_are_survived(driver: Driver) {
        slow_readers_of_one_answer_survive(driver, Way::Plain);
    }

    fn two_hundred_slow_readers_of_one_large_body_are_survived_under_tls(driver: Driver) {
        slow_readers_of_one_answer_survive(driver, Way::Tls);
    }

    fn two_hundred_large_uploads_to_an_app_that_does_not_read_are_survived(driver: Driver) {
        slow_uploads_survive(driver, Way::Plain);
    }

    fn two_hundred_large_uploads_to_an_app_that_does_not_read_are_survived_under_tls(driver: Driver) {
        slow_uploads_survive(driver, Way::Tls);
    }

    /// 60 KiB of a head each: twice what there is, of clients that have asked for nothing yet.
    fn thousands_of_heads_without_an_end_are_survived(driver: Driver) {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(60 * KIB));
        begun_messages_survive(driver, Way::Plain, head.as_bytes());
    }

    /// The same within the handshake: a ClientHello of 60,000 bytes in records of 16,000, the last one missing.
    fn thousands_of_handshakes_without_an_end_are_survived(driver: Driver) {
        let mut hello = vec![1, 0, 0xea, 0x60];
        hello.resize(48_000, 0);
        let records = hello.chunks(16_000).flat_map(|piece| [&[22, 3, 1, 0x3e, 0x80], piece].concat());
        begun_messages_survive(driver, Way::Tls, &records.collect::<Vec<u8>>());
    }
}
