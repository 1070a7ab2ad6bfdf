//! Backpressure: a body moves no faster than its reader, and what is on the way costs the proxy no memory of its size.

use slipstream_tests::{App, Client, Driver, Event, Proxy, Running, on_both_drivers};

const MIB: u64 = 1 << 20;
/// What the proxy may grow by, whatever passes through it.
const GROWTH_BYTES_MAX: u64 = MIB;
const PIECE: &[u8] = &[b'y'; 64 << 10];

/// An app that answers every request with `bytes` bytes, chunked or with a length.
fn sends(bytes: u64, chunked: bool) -> App {
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            let bytes = if request.target == "/warm" { 2 * MIB } else { bytes };
            let framing =
                if chunked { "Transfer-Encoding: chunked".to_string() } else { format!("Content-Length: {bytes}") };
            conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"));
            let mut left = bytes;
            while left > 0 {
                let piece = &PIECE[..left.min(PIECE.len() as u64) as usize];
                let sent = match chunked {
                    true => conn.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()),
                    false => conn.send(piece),
                };
                if !sent {
                    return;
                }
                left -= piece.len() as u64;
            }
            if chunked {
                conn.send("0\r\n\r\n");
            }
        }
    })
}

/// Buffers, stacks and code pages that a first large body touches are no growth by its size.
fn warm(proxy: &Running) {
    for _ in 0..3 {
        assert_eq!(proxy.client().get("/warm").body.len() as u64, 2 * MIB);
    }
}

/// Reads `bytes` bytes of body piece by piece, pausing before each of the first ones, while the proxy's memory is watched.
fn read_slowly(proxy: &Running, client: &mut Client, bytes: u64) -> u64 {
    const PAUSES: u64 = 50;
    let before = proxy.resident_bytes();
    let (mut read, mut most, mut pieces) = (0, before, 0);
    while read < bytes {
        if pieces < PAUSES {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        pieces += 1;
        let count = (bytes - read).min(MIB);
        client.take(count as usize);
        read += count;
        most = most.max(proxy.resident_bytes());
    }
    most - before
}

fn body_costs_no_memory(driver: Driver, bytes: u64) {
    let app = sends(bytes, false);
    let proxy = Proxy::in_front_of(&app).driver(driver).start();
    warm(&proxy);
    let mut client = Client::with_receive_buffer(proxy.http(), 64 << 10);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response_head();
    let growth = read_slowly(&proxy, &mut client, bytes);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
}

on_both_drivers! {
    fn body_of_64_mib_to_a_slow_reader_costs_no_memory(driver: Driver) {
        body_costs_no_memory(driver, 64 * MIB);
    }

    fn chunked_body_to_a_slow_reader_costs_no_memory(driver: Driver) {
        let app = sends(64 * MIB, true);
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        warm(&proxy);
        let mut client = Client::with_receive_buffer(proxy.http(), 64 << 10);
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response_head();
        // Whatever the proxy makes of the chunks, there are at least as many bytes as of data.
        let growth = read_slowly(&proxy, &mut client, 64 * MIB);
        assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
    }

    /// The other way: an app that reads slowly.
    fn body_of_64_mib_to_a_slow_app_costs_no_memory(driver: Driver) {
        let go = Event::new();
        let scripted = go.clone();
        let app = App::with_receive_buffer(64 << 10, move |mut conn| {
            while let Some(head) = conn.request_head() {
                if head.target == "/slow" {
                    scripted.wait("the client can send no more");
                }
                conn.request_body(head);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        for _ in 0..3 {
            let mut client = proxy.client();
            client.send(format!("POST /warm HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * MIB));
            (0..32).for_each(|_| client.send(PIECE));
            assert_eq!(client.response().text(), "ok");
        }
        let before = proxy.resident_bytes();
        let mut client = proxy.client();
        let bytes = 64 * MIB as usize;
        client.send(format!("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n"));
        let mut left = bytes - client.fill();
        let stalled = proxy.resident_bytes();
        go.raise();
        while left > 0 {
            let count = left.min(PIECE.len());
            client.send(&PIECE[..count]);
            left -= count;
        }
        assert_eq!(client.response().text(), "ok");
        let growth = proxy.resident_bytes().max(stalled) - before;
        assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
    }

    /// A reader that never reads holds its own answer only.
    fn reader_that_never_reads_holds_nobody_else(driver: Driver) {
        let app = sends(64 * MIB, false);
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        let stuck: Vec<Client> = (0..8)
            .map(|number| {
                let mut client = Client::with_receive_buffer(proxy.http(), 8 << 10);
                client.send(format!("GET /slow-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
                client
            })
            .collect();
        app.wait_for_connections(8);
        assert_eq!(proxy.client().get("/warm").body.len() as u64, 2 * MIB);
        drop(stuck);
    }
}

#[test]
#[ignore = "long: 10 GB through loopback"]
fn body_of_10_gb_to_a_slow_reader_costs_no_memory() {
    body_costs_no_memory(Driver::Epoll, 10_000_000_000);
}

#[test]
#[ignore = "long: 10 GB through loopback, needs io_uring"]
fn body_of_10_gb_to_a_slow_reader_costs_no_memory_under_io_uring() {
    body_costs_no_memory(Driver::IoUring, 10_000_000_000);
}
