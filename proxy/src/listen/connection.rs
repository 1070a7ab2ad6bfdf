//! One connection, from its first byte to its rest or its end.

use std::net::SocketAddr;
use std::rc::Rc;

use super::{Listening, Open, detect};
use crate::buf::Buf;
use crate::config::TlsMode;
use crate::downstream::Downstream;
use crate::io::{Deadline, Stream, Tick};
use crate::stop::Phase;
use crate::timeouts::Timer;
use crate::tls::{Certificates, TlsStream};
use crate::transport::Transport;
use crate::worker::Worker;

/// A connection that was just accepted.
pub(super) async fn begin(worker: Rc<Worker>, listening: Rc<Listening>, stream: Stream, peer: SocketAddr, open: Open) {
    let downstream = match &listening.tls {
        None => Downstream::new(Transport::Plain(stream), peer),
        Some(certificates) => match with_tls(&worker, certificates, stream, peer).await {
            Some(downstream) => downstream,
            None => return,
        },
    };
    serve(worker, listening, downstream, open).await;
}

/// Makes the handshake; where plain clients are let in too, the first byte says whether there is to be one. `None`: counted, and over.
async fn with_tls(
    worker: &Worker,
    certificates: &Certificates,
    stream: Stream,
    peer: SocketAddr,
) -> Option<Downstream> {
    let accepted = Tick::now();
    let mut received = Buf::default();
    if certificates.mode() == TlsMode::Permissive {
        received = detect::first_bytes(worker, &stream, accepted).await?;
        if !detect::is_tls(&received) {
            worker.counters.tls_plain_connections.add(1);
            return Some(Downstream::new(Transport::Plain(stream), peer).begun(received, accepted));
        }
    }
    let wait = worker.snapshot().policy.timeouts.tls_handshake;
    let deadline = Deadline { at: accepted.after(wait), timer: Timer::TlsHandshake };
    match TlsStream::accept(stream, certificates.server_config(), received, deadline).await {
        Ok((tls, established)) => {
            worker.counters.tls_handshakes.add(1);
            worker.counters.tls_resumptions.add(u64::from(established.resumed));
            let downstream = Downstream::new(Transport::Tls(Box::new(tls)), peer);
            Some(match established.client {
                Some(client) => downstream.of_client(&client),
                None => downstream,
            })
        }
        Err(error) => {
            worker.counters.tls_handshake_failures.add(1);
            if error.is_timeout() {
                worker.counters.timeouts[Timer::TlsHandshake as usize].add(1);
            }
            None
        }
    }
}

/// Serves it until it ends or comes to rest; then it is parked.
pub(super) async fn serve(worker: Rc<Worker>, listening: Rc<Listening>, downstream: Downstream, open: Open) {
    let Some(downstream) = crate::serve::connection(&worker, &listening, downstream).await else { return };
    if worker.phase() >= Phase::Closing {
        return downstream.linger().await;
    }
    let lot = listening.lot.clone();
    lot.park(&worker, downstream, listening, open);
}
