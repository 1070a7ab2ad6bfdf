//! Clients that never pause while the proxy ends: each request is answered whole, or its connection is refused. None is lost.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use slipstream_tests::{App, DEADLINE, Driver, Proxy, Running, eventually, on_both_drivers};

const CLIENTS: usize = 4;

/// What a client does with a connection that an answer leaves open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Leave,
    AskAgain,
}

/// Threads that send request after request, until they are refused.
struct Load {
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    fn on(address: SocketAddr, then: Then) -> Load {
        let answered = Arc::new(AtomicUsize::new(0));
        let clients = (0..CLIENTS).map(|number| {
            let answered = answered.clone();
            std::thread::spawn(move || {
                let mut round = 0;
                while let Some(mut stream) = connected(address)? {
                    loop {
                        let target = format!("/{number}-{round}");
                        let keeps = exchange(&mut stream, &target).map_err(|error| format!("{target}: {error}"))?;
                        answered.fetch_add(1, SeqCst);
                        round += 1;
                        if then == Then::Leave || !keeps {
                            break;
                        }
                    }
                }
                Ok(())
            })
        });
        Load { clients: clients.collect(), answered }
    }

    /// Waits until so many more requests have been answered.
    fn go_on(&self, more: usize) {
        let from = self.answered.load(SeqCst);
        eventually("the load goes on", || (self.answered.load(SeqCst) >= from + more).then_some(()));
    }

    /// Waits until every client is refused, and gives how many requests were answered. Panics where one was lost.
    fn refused(self) -> usize {
        let lost: Vec<String> = self
            .clients
            .into_iter()
            .filter_map(|client| client.join().expect("it returns what it met").err())
            .collect();
        assert!(lost.is_empty(), "{} of {CLIENTS} clients lost a request: {lost:?}", lost.len());
        self.answered.load(SeqCst)
    }
}

/// `None`: refused, or not let in for so long that nobody is there.
fn connected(address: SocketAddr) -> Result<Option<TcpStream>, String> {
    match TcpStream::connect_timeout(&address, DEADLINE) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(format!("a connection: {error}")),
    }
}

/// One request and its whole answer. True: the connection may carry another.
fn exchange(stream: &mut TcpStream, target: &str) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut piece)? {
            0 => return Err(std::io::Error::other(format!("it ended after {}", slipstream_tests::shown(&answer)))),
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    Ok(!slipstream_tests::contains(&answer.to_ascii_lowercase(), b"\r\nconnection: close\r\n"))
}

fn loaded(driver: Driver, drain: &str, then: Then) -> (App, Running, Load) {
    let app = App::ok();
    let config = format!("drain: {{{drain}}}");
    let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).config(&config).start();
    let load = Load::on(proxy.http(), then);
    load.go_on(200);
    (app, proxy, load)
}

/// The app saw each request once (no two are equal), none was broken off, and the process ended in order.
fn none_is_lost(app: &App, proxy: Running, load: Load) {
    let answered = load.refused();
    crate::ends_in_order(proxy);
    assert_eq!(app.requests().len(), answered);
}

/// Moments in which a listener may close: each is another chance to be in the middle of somebody's handshake.
const ROUNDS: usize = 3;

on_both_drivers! {
    fn no_request_is_lost_by_a_drain_under_load(driver: Driver) {
        for _ in 0..ROUNDS {
            let (app, proxy, load) = loaded(driver, "delay: 100ms, grace: 24h", Then::Leave);
            assert_eq!(proxy.drain().code(), 0);
            none_is_lost(&app, proxy, load);
        }
    }

    /// Within the delay each connection is told that it ends, before it is ended.
    fn no_request_on_a_kept_connection_is_lost_by_a_drain(driver: Driver) {
        for _ in 0..ROUNDS {
            let (app, proxy, load) = loaded(driver, "delay: 1s, grace: 24h", Then::AskAgain);
            assert_eq!(proxy.drain().code(), 0);
            none_is_lost(&app, proxy, load);
        }
    }

    fn no_request_is_lost_by_a_signal_under_load(driver: Driver) {
        for _ in 0..ROUNDS {
            let (app, proxy, load) = loaded(driver, "delay: 10m, grace: 24h", Then::Leave);
            proxy.signal("TERM");
            none_is_lost(&app, proxy, load);
        }
    }

    fn no_request_is_lost_by_a_signal_while_it_drains_under_load(driver: Driver) {
        for _ in 0..ROUNDS {
            let (app, proxy, load) = loaded(driver, "delay: 10m, grace: 24h", Then::Leave);
            assert_eq!(proxy.drain().code(), 0);
            load.go_on(200);
            proxy.signal("TERM");
            none_is_lost(&app, proxy, load);
        }
    }

    fn draining_leaves_nothing_behind(driver: Driver) {
        let app = App::ok();
        let proxy = crate::proxy(driver, &app, crate::LONG);
        proxy.drain();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(proxy.http()).expect("it still accepts");
            assert!(exchange(&mut stream, "/").is_ok_and(|keeps| !keeps));
        }
        let metrics = proxy.metrics_until("all are gone", |metrics| metrics.sum("slipstream_downstream_connections_open") == 0);
        assert_eq!(metrics.sum("slipstream_requests_active"), 0);
        assert_eq!(metrics.sum_where("slipstream_connections_closed_by_drain_total", "how=\"answered\""), 100);
        assert_eq!(app.connections(), 1, "connections to the app are kept on");
    }
}
