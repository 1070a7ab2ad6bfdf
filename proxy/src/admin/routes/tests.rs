//! What each page answers, over real connections; and who is kept waiting by nobody.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;
use crate::admin::{Waits, serve};
use crate::report::testing;

/// Serves this proxy on a thread of its own for as long as the test asks.
struct Served {
    address: SocketAddr,
    _end: tokio::sync::oneshot::Sender<()>,
}

fn served(waits: Waits) -> Served {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::select! {
                () = serve(listener, Arc::new(testing::proxy(2)), waits) => {}
                _ = ended => {}
            }
        });
    });
    Served { address, _end: end }
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// The whole answer to one request.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn config_shows_policy_generation_workers_and_driver() {
    let answer = served(Waits::default()).ask("GET", "/config");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{head}");
    let shown: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(shown["generation"], 7);
    assert_eq!(shown["workers"], 2);
    assert_eq!(shown["ioDriver"]["name"], "epoll");
    assert_eq!(shown["policy"]["timeouts"]["connect"]["from"], "default");
}

#[test]
fn config_is_refused_unless_both_ends_are_loopback() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (local, remote, status) in [
        ("127.0.0.1:7590", "127.0.0.1:5", 200),
        ("[::1]:7590", "[::1]:5", 200),
        ("[::ffff:127.0.0.1]:7590", "[::ffff:127.0.0.1]:5", 200),
        ("10.0.0.1:7590", "10.0.0.1:5", 403),
        ("10.0.0.1:7590", "127.0.0.1:5", 403),
        ("127.0.0.1:7590", "10.0.0.2:5", 403),
        ("[::ffff:10.0.0.1]:7590", "[::ffff:10.0.0.1]:5", 403),
    ] {
        let ends = Ends { local: local.parse().unwrap(), remote: remote.parse().unwrap() };
        let answer = runtime.block_on(config(State(Arc::new(testing::proxy(1))), Extension(ends)));
        assert_eq!(answer.status().as_u16(), status, "{local} {remote}");
    }
}

#[test]
fn drain_is_refused_unless_both_ends_are_loopback_and_begins_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let proxy = Arc::new(testing::proxy(1));
    let asked = |local: &str, remote: &str| {
        let ends = Ends { local: local.parse().unwrap(), remote: remote.parse().unwrap() };
        runtime.block_on(drain(State(proxy.clone()), Extension(ends))).0.as_u16()
    };
    assert_eq!(asked("10.0.0.1:7590", "10.0.0.1:5"), 403);
    assert_eq!(asked("10.0.0.1:7590", "127.0.0.1:5"), 403);
    assert_eq!(asked("[::ffff:10.0.0.1]:7590", "[::ffff:10.0.0.1]:5"), 403);
    assert_eq!(proxy.stop.phase(), Phase::Running);
    assert_eq!(asked("[::ffff:127.0.0.1]:7590", "[::ffff:127.0.0.1]:5"), 202);
    assert_eq!(proxy.stop.phase(), Phase::Draining);
    proxy.stop.advance(Phase::Closing);
    assert_eq!(asked("[::1]:7590", "[::1]:5"), 202);
    assert_eq!(proxy.stop.phase(), Phase::Closing);
}

#[test]
fn drain_is_asked_by_post_alone() {
    let served = served(Waits::default());
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let answer = served.ask(method, "/drain").to_lowercase();
        assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: post"), "{answer}");
    }
    assert!(served.ask("GET", "/ready").contains("starting"), "none of them drained");
    assert!(served.ask("POST", "/drain").starts_with("HTTP/1.1 202"));
    let answer = served.ask("GET", "/ready");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
}

#[test]
fn unknown_path_is_404_and_lists_what_there_is() {
    let answer = served(Waits::default()).ask("GET", "/metric");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    for path in ["/live", "/ready", "/startup", "/metrics", "/config", "/drain"] {
        assert!(answer.contains(&format!("\n{path} ")), "{answer}");
    }
}

#[test]
fn wrong_method_is_405_with_allow_and_head_is_answered() {
    let served = served(Waits::default());
    let answer = served.ask("POST", "/metrics").to_lowercase();
    assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: get,head"), "{answer}");
    let answer = served.ask("HEAD", "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn garbage_costs_its_own_connection_only() {
    let served = served(Waits::default());
    for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", &[b'a'; 64 * 1024]] {
        let mut stream = served.connect();
        let _ = stream.write_all(garbage);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(served.ask("GET", "/live").starts_with("HTTP/1.1 200"));
}

#[test]
fn connection_that_sends_no_whole_head_is_closed() {
    let served = served(Waits { head: Duration::from_millis(50), ..Waits::default() });
    for part in ["", "GET /live HT"] {
        let mut stream = served.connect();
        stream.write_all(part.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
    // The same holds between two requests.
    let mut stream = served.connect();
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("live\n"), "{answer}");
}

#[test]
fn connection_that_never_takes_its_answers_is_closed() {
    let served = served(Waits { connection: Duration::from_millis(200), ..Waits::default() });
    let mut stream = served.connect();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    // Ends by the reset: without the bound this writes until the buffers are full, then waits.
    let error = loop {
        if let Err(error) = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") {
            break error;
        }
    };
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
}

#[test]
fn idle_connections_beyond_the_bound_do_not_lock_a_probe_out() {
    let served = served(Waits::default());
    let mut idle: Vec<_> = (0..64).map(|_| served.connect()).collect();
    assert!(served.ask("GET", "/live").starts_with("HTTP/1.1 200"));
    // The oldest gave way.
    assert_eq!(idle[0].read(&mut [0; 1]).unwrap_or(0), 0);
}
