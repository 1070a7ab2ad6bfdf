//! One connection, from its first byte to its rest or its end.

use std::net::SocketAddr;
use std::rc::Rc;

use super::{Listening, Open};
use crate::downstream::Downstream;
use crate::io::{Deadline, Stream};
use crate::timeouts::Timer;
use crate::tls::TlsStream;
use crate::transport::Transport;
use crate::worker::Worker;

/// A connection that was just accepted.
pub(super) async fn begin(worker: Rc<Worker>, listening: Rc<Listening>, stream: Stream, peer: SocketAddr, open: Open) {
    let transport = match &listening.tls {
        None => Transport::Plain(stream),
        Some(config) => {
            let wait = worker.snapshot().policy.timeouts.tls_handshake;
            let deadline = Deadline::after(wait, Timer::TlsHandshake);
            match TlsStream::accept(stream, config.clone(), deadline).await {
                Ok(tls) => {
                    worker.counters.tls_handshakes.add(1);
                    Transport::Tls(Box::new(tls))
                }
                Err(error) => {
                    worker.counters.tls_handshake_failures.add(1);
                    if error.is_timeout() {
                        worker.counters.timeouts[Timer::TlsHandshake as usize].add(1);
                    }
                    return;
                }
            }
        }
    };
    let downstream = Downstream::new(transport, peer.ip());
    serve(worker, listening, downstream, open).await;
}

/// Serves it until it ends or comes to rest; then it is parked.
pub(super) async fn serve(worker: Rc<Worker>, listening: Rc<Listening>, downstream: Downstream, open: Open) {
    if let Some(downstream) = crate::serve::connection(&worker, &listening, downstream).await
        && !worker.is_stopping()
    {
        let lot = listening.lot.clone();
        lot.park(&worker, downstream, listening, open);
    }
}
