//! A TLS connection that we accepted: rustls without buffers of its own, between a socket and plain bytes.
//!
//! In: a [`Stream`] and a server configuration. Out: plain bytes, one reader and one writer at once. Must not know: HTTP.
//!
//! rustls sees all ciphertext that has come and is not used up, on every call: it keeps places in it (of a handshake message split over
//! records). So that memory stays in the session while a read is under way; the read fills memory of its own.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::client_auth::{self, Established};
use crate::budget;
use crate::buf::Buf;
use crate::io::{Deadline, IoError, SentNow, Stream};

/// Ciphertext that waits for the rest of its record or handshake message. rustls itself refuses larger handshake messages.
const INCOMING_BYTES_MAX: usize = 64 * 1024;

/// Plain bytes of one record (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What encryption adds to a record, at most: header 5, explicit nonce 8, tag 16, content type 1; rounded up.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Plain bytes that are encrypted and sent at once: what fits a bulk buffer in full records.
const SEND_BYTES: usize = 7 * RECORD_BYTES;
const _: () = assert!(SEND_BYTES + 7 * RECORD_OVERHEAD_BYTES <= crate::buf::BULK_BYTES);
const _: () = assert!(RECORD_BYTES + RECORD_OVERHEAD_BYTES <= crate::buf::HEAD_BYTES);

/// How long a peer whose handshake failed may take to close.
const ALERT_LINGER: Duration = Duration::from_secs(1);

/// A fatal alert in the clear (RFC 8446 section 6).
const CERTIFICATE_EXPIRED: &[u8] = &[21, 3, 3, 0, 2, 2, 45];

/// Why a TLS connection cannot go on.
#[derive(Debug)]
pub enum TlsError {
    Io(IoError),
    /// The peer broke the protocol; it has been told by an alert.
    Protocol(rustls::Error),
    /// The peer closed before the handshake was done.
    Closed,
    /// A part of a message has come, and there is no memory to wait for the rest.
    NoMemory,
}

impl TlsError {
    pub fn is_timeout(&self) -> bool {
        matches!(self, TlsError::Io(IoError::Expired(_)))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Io(error) => error.fmt(f),
            TlsError::Protocol(error) => error.fmt(f),
            TlsError::Closed => f.write_str("the client closed the connection during the handshake"),
            TlsError::NoMemory => f.write_str("the proxy holds as much memory as it may"),
        }
    }
}

/// An established TLS connection.
pub struct TlsStream {
    io: Stream,
    session: RefCell<Session>,
    sending: Sending,
}

/// Who sends ciphertext: one at a time, in the order in which it was made.
#[derive(Default)]
struct Sending {
    now: Cell<bool>,
    /// A send was given up: what follows would not decrypt.
    broken: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

struct Session {
    connection: UnbufferedServerConnection,
    /// Ciphertext that is not used up.
    incoming: Buf,
    /// Plain bytes that nobody has asked for yet.
    plain: Buf,
    /// Ciphertext to send, in order: handshake, alerts, key updates, ours.
    outgoing: Buf,
    peer_closed: bool,
    /// rustls has said that this cannot go on, and is not asked again: it would read the same bytes once more.
    failed: bool,
}

/// What a turn of the session came to.
enum Step {
    /// So many plain bytes were put into the reader's buffer.
    Read(usize),
    /// More ciphertext is needed.
    Blocked,
    /// The handshake is done and everything that came is used up.
    Idle,
    PeerClosed,
}

impl TlsStream {
    /// Makes the handshake, beginning with what has been `received` of it. `deadline` is that of the whole of it.
    pub async fn accept(
        io: Stream,
        config: Arc<ServerConfig>,
        received: Buf,
        deadline: Deadline,
    ) -> Result<(TlsStream, Established), TlsError> {
        let connection = UnbufferedServerConnection::new(config).map_err(TlsError::Protocol)?;
        let session = Session {
            connection,
            incoming: received,
            plain: Buf::default(),
            outgoing: Buf::default(),
            peer_closed: false,
            failed: false,
        };
        let tls = TlsStream { io, session: RefCell::new(session), sending: Sending::default() };
        let mut was_resumed = false;
        loop {
            let step = {
                let mut session = tls.session.borrow_mut();
                let step = session.turn(None);
                // Before our hello is sent, so that the alert is understood.
                let is_resumed = client_auth::is_resumed(&session.connection);
                if is_resumed
                    && !std::mem::replace(&mut was_resumed, is_resumed)
                    && client_auth::has_ended(&session.connection)
                {
                    session.outgoing.clear();
                    session.outgoing.put(CERTIFICATE_EXPIRED);
                    Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Expired))
                } else {
                    step
                }
            };
            tls.flush(deadline).await?;
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    // The alert must arrive: closing with bytes unread would send a RST, which may overtake it.
                    tls.io.finish();
                    tls.io.drain(deadline.or(Some(Deadline::after(ALERT_LINGER, deadline.timer)))).await;
                    return Err(TlsError::Protocol(error));
                }
            };
            match step {
                Step::Idle | Step::Read(_) => {
                    let established = Established::of(&tls.session.borrow().connection);
                    return Ok((tls, established));
                }
                Step::PeerClosed => return Err(TlsError::Closed),
                Step::Blocked => {
                    if budget::is_over() && tls.session.borrow().has_something() {
                        return Err(TlsError::NoMemory);
                    }
                    if tls.receive(deadline, Buf::waiting).await? == 0 {
                        return Err(TlsError::Closed);
                    }
                }
            }
        }
    }

    pub fn io(&self) -> &Stream {
        &self.io
    }

    /// Plain bytes have come that nobody has read, where the peer has closed its side and nobody reads.
    pub fn has_unread(&self, cx: &Context<'_>) -> bool {
        let mut session = self.session.borrow_mut();
        loop {
            let came = if session.has_something() { session.turn(None) } else { Ok(Step::Idle) };
            if !session.plain.is_empty() {
                return true;
            }
            if !matches!(came, Ok(Step::Idle | Step::Blocked)) {
                return false;
            }
            let mut fresh = Buf::head();
            match self.io.recv_now_or_later(&mut fresh, cx) {
                None => return true,
                Some(true) if !fresh.is_empty() => {}
                Some(_) => return false,
            }
            session.came(fresh);
        }
    }

    /// See [`Stream::may_have_come`].
    pub fn may_have_come(&self) -> bool {
        self.io.may_have_come() || self.session.borrow().has_something()
    }

    /// Nothing is left to send, and no part of a record has come.
    pub fn is_at_rest(&self) -> bool {
        let session = self.session.borrow();
        !session.has_something() && session.outgoing.is_empty()
    }

    /// As [`Stream::recv`]. `Ok(0)`: the peer has closed, with or without saying so by a `close_notify`; HTTP's own framing tells a truncation.
    pub fn recv(&self, buf: &mut Buf, deadline: Deadline) -> impl Future<Output = Result<usize, TlsError>> {
        self.recv_lent(buf, deadline, Buf::waiting)
    }

    /// See [`Stream::recv_lent`].
    pub async fn recv_lent(&self, buf: &mut Buf, deadline: Deadline, lend: fn() -> Buf) -> Result<usize, TlsError> {
        loop {
            let step = {
                let mut session = self.session.borrow_mut();
                if session.has_something() && !buf.is_leased() {
                    *buf = Buf::head();
                }
                if session.has_something() { session.turn(Some(buf)) } else { Ok(Step::Idle) }
            };
            self.flush(deadline).await?;
            match step.map_err(TlsError::Protocol)? {
                Step::Read(n) => return Ok(n),
                Step::PeerClosed => return Ok(0),
                Step::Blocked | Step::Idle => {
                    if self.receive(deadline, lend).await? == 0 {
                        return Ok(0);
                    }
                }
            }
        }
    }

    /// Reads ciphertext once. Whose record has come in part while far too much memory is used is broken off: there may be thousands of them.
    async fn receive(&self, deadline: Deadline, lend: fn() -> Buf) -> Result<usize, TlsError> {
        if budget::is_full() && self.session.borrow().has_something() {
            return Err(TlsError::NoMemory);
        }
        self.session.borrow_mut().give_back();
        let mut fresh = Buf::default();
        let n = self.io.recv_lent(&mut fresh, deadline, lend).await.map_err(TlsError::Io)?;
        self.session.borrow_mut().came(fresh);
        Ok(n)
    }

    /// As [`Stream::send_now`], for one record at most; counts plain bytes. Ciphertext that the kernel did not take waits for the send of the rest.
    pub fn send_now(&self, bytes: &[u8]) -> SentNow {
        let mut session = self.session.borrow_mut();
        // An error is met again by the send.
        if self.sending.now.get()
            || self.sending.broken.get()
            || bytes.len() > RECORD_BYTES
            || session.encrypt(bytes).is_err()
        {
            return SentNow::Part(0);
        }
        match self.io.send_now(session.outgoing.filled()) {
            SentNow::Whole => {
                session.outgoing = Buf::default();
                SentNow::Whole
            }
            SentNow::Part(sent) => {
                session.outgoing.consume(sent);
                SentNow::Part(bytes.len())
            }
        }
    }

    /// As [`Stream::send`]; counts plain bytes, of records that the kernel took whole. What was left unsent before goes first.
    pub async fn send(&self, buf: Buf, range: Range<usize>, deadline: Deadline) -> (usize, Result<(), TlsError>, Buf) {
        let (mut sent, mut encrypted) = (range.start, range.start);
        let outcome = loop {
            if let Err(error) = self.send_outgoing(deadline).await {
                break Err(error);
            }
            sent = encrypted;
            if sent == range.end {
                break Ok(());
            }
            encrypted += (range.end - sent).min(send_bytes());
            if let Err(error) = self.session.borrow_mut().encrypt(&buf.filled()[sent..encrypted]) {
                break Err(error);
            }
        };
        (sent - range.start, outcome, buf)
    }

    /// Sends what a turn of the session has made, unless a send is under way: that one goes on until nothing is left.
    async fn flush(&self, deadline: Deadline) -> Result<(), TlsError> {
        if self.sending.now.get() || self.session.borrow().outgoing.is_empty() {
            return Ok(());
        }
        self.send_outgoing(deadline).await
    }

    async fn send_outgoing(&self, deadline: Deadline) -> Result<(), TlsError> {
        loop {
            self.sending.idle().await?;
            let outgoing = std::mem::take(&mut self.session.borrow_mut().outgoing);
            if outgoing.is_empty() {
                return Ok(());
            }
            let guard = self.sending.begin();
            let len = outgoing.len();
            let (_, outcome, _) = self.io.send(outgoing, 0..len, deadline).await;
            outcome.map_err(TlsError::Io)?;
            guard.end();
        }
    }

    /// Says `close_notify` on a connection at rest that is about to be closed, as far as that needs no wait.
    pub fn farewell(&self) {
        let mut session = self.session.borrow_mut();
        if session.close().is_ok() {
            self.io.send_last(session.outgoing.filled());
        }
    }

    /// Says `close_notify`, so that the peer can tell the end from a truncation, then that no bytes follow.
    pub async fn finish(&self, deadline: Deadline) {
        let closed = self.session.borrow_mut().close();
        if closed.is_ok() {
            let _ = self.send_outgoing(deadline).await;
        }
        self.io.finish();
    }
}

impl Sending {
    /// Waits until nobody sends.
    async fn idle(&self) -> Result<(), TlsError> {
        std::future::poll_fn(|cx| {
            if self.broken.get() {
                return Poll::Ready(Err(TlsError::Closed));
            }
            if !self.now.get() {
                return Poll::Ready(Ok(()));
            }
            self.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn begin(&self) -> SendGuard<'_> {
        self.now.set(true);
        SendGuard(self)
    }
}

/// A send under way. Dropped before its end, it leaves the connection broken.
struct SendGuard<'s>(&'s Sending);

impl SendGuard<'_> {
    fn end(self) {
        self.0.now.set(false);
    }
}

impl Drop for SendGuard<'_> {
    fn drop(&mut self) {
        self.0.broken.set(self.0.now.replace(false));
        if let Some(waiter) = self.0.waiter.take() {
            waiter.wake();
        }
    }
}

impl Session {
    /// Memory that holds nothing goes back to the pool: a connection may wait for long.
    fn give_back(&mut self) {
        for buf in [&mut self.incoming, &mut self.plain] {
            if buf.is_empty() {
                *buf = Buf::default();
            }
        }
    }

    /// Ciphertext has come.
    fn came(&mut self, mut fresh: Buf) {
        if self.incoming.is_empty() {
            fresh.fit();
            self.incoming = fresh;
        } else {
            self.incoming.compact();
            self.incoming.put(fresh.filled());
        }
    }

    /// A turn could come to something: bytes that came, or an end.
    fn has_something(&self) -> bool {
        !self.incoming.is_empty() || !self.plain.is_empty() || self.peer_closed
    }

    /// Lets rustls work on what has come. With a reader, plain bytes go into its buffer; without, and what does not fit, into `plain`.
    fn turn(&mut self, mut reader: Option<&mut Buf>) -> Result<Step, rustls::Error> {
        if self.failed {
            return Err(rustls::Error::General("a session that has failed".into()));
        }
        let mut read = 0;
        if let Some(buf) = reader.as_deref_mut()
            && !self.plain.is_empty()
        {
            let n = self.plain.len().min(buf.spare_bytes());
            buf.put(&self.plain.filled()[..n]);
            self.plain.consume(n);
            return Ok(Step::Read(n));
        }
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(self.incoming.filled_mut());
            let mut step = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let fits = match reader.as_deref_mut() {
                            Some(buf) => {
                                let n = record.payload.len().min(buf.spare_bytes());
                                buf.put(&record.payload[..n]);
                                read += n;
                                n
                            }
                            None => 0,
                        };
                        self.plain.put(&record.payload[fits..]);
                    }
                    // Another record may have come whole: it is taken too where it surely fits.
                    let has_room = reader.as_deref_mut().is_some_and(|buf| buf.spare_bytes() >= RECORD_BYTES);
                    if (read > 0 || !self.plain.is_empty()) && !has_room {
                        step = Some(Ok(Step::Read(read)));
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing),
                // What was encoded is in `outgoing`, and is sent by whoever called.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => step = Some(Ok(Step::Blocked)),
                Ok(ConnectionState::WriteTraffic(_)) => {
                    step = Some(Ok(if read > 0 { Step::Read(read) } else { Step::Idle }))
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.peer_closed = true;
                    step = Some(Ok(Step::PeerClosed));
                }
                // Early data is not offered.
                Ok(_) => step = Some(Err(rustls::Error::General("a TLS state that was not asked for".into()))),
                Err(error) => step = Some(Err(error)),
            }
            if !matches!(step, Some(Err(_))) {
                self.incoming.consume(discard);
            }
            match step {
                None => {}
                Some(Err(error)) => {
                    // With all that came still in place: rustls goes on from where it failed.
                    self.take_alert();
                    self.failed = true;
                    return Err(error);
                }
                Some(Ok(Step::PeerClosed)) if read > 0 => return Ok(Step::Read(read)),
                Some(Ok(Step::Blocked | Step::Idle)) if self.peer_closed => return Ok(Step::PeerClosed),
                Some(Ok(Step::Blocked | Step::Idle)) if self.incoming.len() >= INCOMING_BYTES_MAX => {
                    return Err(rustls::Error::General("a TLS message over 64 KiB".into()));
                }
                Some(Ok(step)) => return Ok(step),
            }
        }
    }

    /// After an error rustls still has to send what it had said before, then an alert. It must not be asked once more after that: it would
    /// read the same bytes again, and it asserts that it sends one alert.
    fn take_alert(&mut self) {
        loop {
            let before = self.outgoing.len();
            match self.connection.process_tls_records(self.incoming.filled_mut()).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing),
                _ => return,
            }
            if is_alert(&self.outgoing.filled()[before..]) {
                return;
            }
        }
    }

    fn encrypt(&mut self, plain: &[u8]) -> Result<(), TlsError> {
        self.when_writable(|traffic, outgoing| {
            let needed = plain.len() + plain.len().div_ceil(RECORD_BYTES) * RECORD_OVERHEAD_BYTES;
            if needed > crate::buf::HEAD_BYTES && !outgoing.is_leased() {
                *outgoing = Buf::bulk();
            }
            make_room(outgoing, needed);
            traffic
                .encrypt(plain, outgoing.spare())
                .map(|n| outgoing.fill(n))
                .map_err(|error| rustls::Error::General(error.to_string()))
        })
    }

    fn close(&mut self) -> Result<(), TlsError> {
        self.when_writable(|traffic, outgoing| {
            make_room(outgoing, RECORD_OVERHEAD_BYTES);
            traffic
                .queue_close_notify(outgoing.spare())
                .map(|n| outgoing.fill(n))
                .map_err(|error| rustls::Error::General(error.to_string()))
        })
    }

    /// rustls hands out the right to write only when it has nothing else to do.
    fn when_writable(
        &mut self,
        write: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Buf,
        ) -> Result<(), rustls::Error>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Closed);
        }
        let mut write = Some(write);
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(self.incoming.filled_mut());
            let mut done = None;
            match state.map_err(TlsError::Protocol).inspect_err(|_| self.failed = true)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let write = write.take().expect("the loop ends with the first write");
                    done = Some(write(&mut traffic, &mut self.outgoing).map_err(TlsError::Protocol));
                }
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(TlsError::Protocol)?;
                        discard += record.discard;
                        self.plain.put(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.outgoing),
                ConnectionState::TransmitTlsData(data) => data.done(),
                // The peer reads on after its own close_notify.
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => done = Some(Err(TlsError::Closed)),
            }
            self.incoming.consume(discard);
            if let Some(done) = done {
                return done;
            }
        }
    }
}

/// A record of type alert, or one of TLS 1.3 that is encrypted and as short as no other record of a server's handshake
/// (RFC 8446 section 5.2: two bytes, the type, the tag).
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    match record {
        [ALERT, ..] => true,
        [APPLICATION_DATA, ..] => record.len() == 5 + 2 + 1 + 16,
        _ => false,
    }
}

/// How much is encrypted and sent at once.
fn send_bytes() -> usize {
    if budget::is_tight() { RECORD_BYTES } else { SEND_BYTES }
}

/// Room for `bytes` more, from the pool where there is none yet.
fn make_room(buf: &mut Buf, bytes: usize) {
    if !buf.is_leased() {
        *buf = Buf::head();
    }
    buf.reserve(bytes);
}

fn encode<Data>(data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>, outgoing: &mut Buf) {
    make_room(outgoing, RECORD_OVERHEAD_BYTES);
    loop {
        match data.encode(outgoing.spare()) {
            Ok(n) => return outgoing.fill(n),
            Err(rustls::unbuffered::EncodeError::InsufficientSize(needed)) => outgoing.reserve(needed.required_size),
            Err(rustls::unbuffered::EncodeError::AlreadyEncoded) => return,
        }
    }
}

#[cfg(test)]
mod tests;
