//! What a connection begins with, where clients with TLS and without are let in.
//!
//! In: a connection of which nothing was read. Out: its first bytes, and what the first of them says. They are read, not peeked at, for
//! io_uring has no wait that leaves them in the socket: whoever goes on begins with them.

use crate::buf::Buf;
use crate::io::{Deadline, IoError, Stream, Tick};
use crate::timeouts::Timer;
use crate::worker::Worker;

/// The type of a record that holds a handshake (RFC 8446 section 5.1). No request begins with it (RFC 9112 section 3).
const HANDSHAKE: u8 = 0x16;

/// Waits for the first bytes. `None`: the client has closed, or said nothing for as long as either kind of client may.
pub(super) async fn first_bytes(worker: &Worker, stream: &Stream, accepted: Tick) -> Option<Buf> {
    let mut received = Buf::default();
    match stream.recv(&mut received, deadline(worker, accepted)).await {
        Ok(1..) => return Some(received),
        Err(IoError::Expired(timer)) => worker.counters.timeouts[timer as usize].add(1),
        Ok(0) | Err(IoError::Os(_)) => {}
    }
    None
}

/// The later of both, from the accept. Once it is known which client this is, its own holds.
fn deadline(worker: &Worker, accepted: Tick) -> Deadline {
    let timeouts = &worker.snapshot().policy.timeouts;
    let (wait, timer) = if timeouts.tls_handshake > timeouts.request_headers {
        (timeouts.tls_handshake, Timer::TlsHandshake)
    } else {
        (timeouts.request_headers, Timer::RequestHeaders)
    };
    Deadline { at: accepted.after(wait), timer }
}

pub(super) fn is_tls(received: &Buf) -> bool {
    received.filled().first() == Some(&HANDSHAKE)
}
