use std::net::TcpListener;
use std::thread;

use super::*;
use crate::{floor, origin, tls};

/// An origin and a floor before it, plain and TLS, on threads that end with the test process.
struct Path {
    plain: SocketAddr,
    tls: SocketAddr,
    config: Arc<ClientConfig>,
    origin: SocketAddr,
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback binds");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn path() -> Path {
    let folder = tempfile::tempdir().expect("a folder");
    let files = tls::make_files(folder.path()).expect("certificates");
    let server = tls::server_config(&files.chain, &files.key).expect("a server's TLS");
    let config = tls::client_config(&files).expect("a client's TLS");
    let (origin_listener, origin) = listen();
    let (plain_listener, plain) = listen();
    let (tls_listener, tls) = listen();
    thread::spawn(move || origin::serve(&origin_listener));
    thread::spawn(move || floor::serve(&plain_listener, Some((&tls_listener, server)), origin));
    Path { plain, tls, config, origin }
}

fn pass(path: &Path, over_tls: bool, body_bytes: u64, connections: usize, pace: Pace) -> Load {
    let plan = Plan {
        target: if over_tls { path.tls } else { path.plain },
        tls: over_tls.then(|| path.config.clone()),
        body_bytes,
        connections,
        pace,
        warm_up: Duration::from_millis(20),
        window: Duration::from_millis(100),
    };
    let before = crate::probe::received(path.origin).expect("the origin counts");
    let mut edges = Vec::new();
    let load = run(&plan, &mut |edge| {
        edges.push(edge);
        Ok(ControlFlow::Continue(()))
    })
    .expect("a pass");
    edges.retain(|edge| !matches!(edge, Edge::Silence(_)));
    assert_eq!(edges, [Edge::Begin, Edge::End]);
    let counts = &load.counts;
    let upstream = crate::probe::received(path.origin).expect("the origin counts") - before;
    assert_eq!((counts.errors, counts.not_ok, counts.wrong_bodies), (0, 0, 0), "{:?}", counts.first_error);
    assert_eq!(counts.answers + counts.abandoned, counts.requests);
    assert_eq!(upstream, counts.requests, "the origin saw each request once");
    assert!(load.window_answers > 0 && load.window_answers <= counts.answers);
    load
}

#[test]
fn closed_loop_gets_every_answer_plain_and_over_tls() {
    let path = path();
    for over_tls in [false, true] {
        for body_bytes in [1, 1024, 64 * 1024, 64 * 1024 + 1, 1024 * 1024] {
            pass(&path, over_tls, body_bytes, 8, Pace::Closed);
        }
    }
}

#[test]
fn new_connection_for_each_request_gets_every_answer_plain_and_over_tls() {
    let path = path();
    for over_tls in [false, true] {
        pass(&path, over_tls, 1024, 8, Pace::NewConnections);
    }
}

#[test]
fn open_loop_keeps_its_rate_beside_transfers_without_pause() {
    let path = path();
    for connections in [0, 2] {
        let transfers = Transfers { connections, body_bytes: 1_000_000_000_000 };
        let load = pass(&path, false, 1024, 4, Pace::Open { requests_a_second: 1000, transfers });
        assert_eq!(load.counts.abandoned, connections as u64);
        assert_eq!(load.transfer_bytes > 0, connections > 0);
        // 120 ms at 1,000 a second; the window itself may end late on a busy machine, so only a closed loop's thousands are ruled out.
        assert!((1..=500).contains(&load.counts.answers), "{} answers", load.counts.answers);
    }
}

#[test]
fn transfer_that_ends_is_followed_by_the_next_and_is_no_answer_of_the_window() {
    let transfers = Transfers { connections: 1, body_bytes: 10_000 };
    let load = pass(&path(), false, 1024, 2, Pace::Open { requests_a_second: 100, transfers });
    let (whole, small) = (load.counts.answers - load.window_answers, load.window_answers);
    assert!(whole > 5, "{whole} transfers in 120 ms");
    assert!((1..=50).contains(&small), "{small} small answers at 100 a second");
}

#[test]
fn idle_connections_send_one_request_each() {
    let path = path();
    for over_tls in [false, true] {
        assert_eq!(pass(&path, over_tls, 1024, 40, Pace::Idle).counts.requests, 40);
    }
}

#[test]
fn silence_begins_with_every_answer_in_and_ends_when_the_caller_has_seen_enough() {
    let (path, mut told) = (path(), Vec::new());
    let plan = Plan {
        target: path.plain,
        tls: None,
        body_bytes: 1024,
        connections: 40,
        pace: Pace::Idle,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(3600),
    };
    let load = run(&plan, &mut |edge| {
        let Edge::Silence(at) = edge else { return Ok(ControlFlow::Continue(())) };
        told.push((at, crate::probe::received(path.origin)?));
        Ok(if told.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .expect("a pass");
    assert_eq!((load.counts.answers, load.counts.errors), (40, 0));
    assert!(told.iter().all(|(_, answered)| *answered == 40), "{told:?}");
    assert!(told.is_sorted_by(|a, b| a.0 < b.0), "{told:?}");
}

#[test]
fn herd_asks_for_one_thing_on_every_connection_at_once_and_then_for_another() {
    let (path, delay) = (path(), Duration::from_millis(30));
    for over_tls in [false, true] {
        let plan = Plan {
            target: if over_tls { path.tls } else { path.plain },
            tls: over_tls.then(|| path.config.clone()),
            body_bytes: 1024,
            connections: 300,
            pace: Pace::Herd { delay, herds: 2 },
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
        };
        let mut received = Vec::new();
        let load = run(&plan, &mut |edge| {
            received.push((edge, crate::probe::received(path.origin)?));
            Ok(ControlFlow::Continue(()))
        })
        .expect("a pass");
        assert_eq!((load.counts.errors, load.counts.not_ok, load.counts.wrong_bodies), (0, 0, 0));
        assert_eq!((load.counts.requests, load.counts.answers), (900, 900));
        assert_eq!(load.herds.len(), 3);
        for herd in &load.herds {
            assert_eq!(herd.latencies.len(), 300);
            assert!(
                herd.latencies.iter().all(|latency| *latency >= delay && *latency <= herd.whole),
                "{:?}",
                herd.whole
            );
            assert!(herd.sending < herd.whole);
        }
        let first = received[0].1;
        let expected = [
            (Edge::Begin, 0),
            (Edge::End, 300),
            (Edge::Begin, 300),
            (Edge::End, 600),
            (Edge::Begin, 600),
            (Edge::End, 900),
        ];
        assert_eq!(received, expected.map(|(edge, count)| (edge, first + count)));
    }
}

#[test]
fn pipelines_get_every_answer_of_every_write() {
    let path = path();
    for depth in [1, 2, 64] {
        let load = pass(&path, false, 1024, 8, Pace::Pipelined { depth });
        assert_eq!(load.counts.requests % depth as u64, 0);
        assert!(load.counts.requests >= 8 * depth as u64);
    }
}

#[test]
fn shift_ends_with_every_answer_in_and_the_next_one_goes_on_with_other_paths() {
    let path = path();
    let plan = Plan {
        target: path.plain,
        tls: None,
        body_bytes: 1024,
        connections: 4,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: Duration::ZERO,
    };
    let mut shifts = Shifts::open(&plan).expect("connections");
    let mut received = crate::probe::received(path.origin).expect("the origin counts");
    for (length, at_least, at_most) in [
        (Length::Requests(3), 3, 3),
        (Length::Requests(4), 4, 4),
        (Length::Requests(101), 101, 101),
        (Length::Time(Duration::from_millis(20)), 4, u64::MAX),
        (Length::Time(Duration::ZERO), 4, 4),
    ] {
        let shift = shifts.work(length).expect("a shift");
        let counts = &shift.counts;
        assert_eq!((counts.errors, counts.not_ok, counts.wrong_bodies), (0, 0, 0), "{:?}", counts.first_error);
        assert_eq!(counts.answers, counts.requests);
        assert!((at_least..=at_most).contains(&counts.requests), "{}", counts.requests);
        let now = crate::probe::received(path.origin).expect("the origin counts");
        assert_eq!(now - received, counts.requests);
        received = now;
    }
}

/// Serves one connection with these bytes for whatever it asks, and then ends it.
fn serve_once(bytes: &'static [u8]) -> SocketAddr {
    let (listener, target) = listen();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        std::io::Read::read(&mut stream, &mut [0; 65536])?;
        std::io::Write::write_all(&mut stream, bytes)
    });
    target
}

#[test]
fn pipeline_that_brings_too_little_or_too_much_is_an_error() {
    let refused =
        b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\nHTTP/1.1 503 No\r\n";
    let whole = refused.len() - 17;
    for (bytes, answers) in [(&refused[..0], 0), (&refused[..whole / 2], 1), (&refused[..], 2)] {
        let plan = Plan {
            target: serve_once(bytes),
            tls: None,
            body_bytes: 1024,
            connections: 1,
            pace: Pace::Pipelined { depth: 2 },
            warm_up: Duration::ZERO,
            window: Duration::from_secs(5),
        };
        let counts = run(&plan, &mut |_| Ok(ControlFlow::Continue(()))).expect("a pass").counts;
        assert_eq!((counts.errors, counts.requests, counts.answers, counts.not_ok), (1, 2, answers, answers));
    }
}

#[test]
fn connection_that_the_other_side_closes_is_an_error() {
    let (listener, target) = listen();
    thread::spawn(move || listener.accept().map(drop));
    let plan = Plan {
        target,
        tls: None,
        body_bytes: 1024,
        connections: 1,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(5),
    };
    let load = run(&plan, &mut |_| Ok(ControlFlow::Continue(()))).expect("a pass");
    assert_eq!((load.counts.errors, load.counts.answers), (1, 0));
}
