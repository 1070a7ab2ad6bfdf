//! The client's side of a connection: request heads in, an end that loses no answer.
//!
//! In: a connection. Out: [`RequestHead`]s one after another, the bytes behind each. Must not know: routes, pools, flights.

use std::net::SocketAddr;
use std::time::Duration;

use crate::buf::Buf;
use crate::config::{RoutePolicy, Timeouts};
use crate::fault::{Fault, Kind};
use crate::h1::{self, HeadLimits, RequestHead, Sender};
use crate::http::Fields;
use crate::io::{Deadline, IoError, Tick};
use crate::stop::{FIRST_BYTE_WAIT, Phase};
use crate::timeouts::Timer;
use crate::transport::Transport;

/// After an answer that ends the connection, what the client still sends is read and thrown away for so long: closing with bytes unread
/// would send a RST, which may overtake the answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// A head that has grown by less than this is not parsed again while its end is not in sight.
const REPARSE_BYTES_MIN: usize = 4096;

/// What became of the wait for a head.
pub(crate) enum Next {
    /// A whole head; its bytes are the first of `incoming`.
    Head(RequestHead),
    /// The client is done.
    Over,
    /// It said nothing for too long.
    Expired(Timer),
    /// The connection has come to rest.
    Idle,
}

/// A client's connection.
pub(crate) struct Downstream {
    pub transport: Transport,
    peer: SocketAddr,
    pub sender: Sender,
    /// What was read and not yet used up: the head being parsed or served, then its body, then pipelined requests.
    pub incoming: Buf,
    /// Of the head that was parsed last.
    pub fields: Fields,
    accepted: Tick,
    requests: u64,
    /// Since when it waits for a head with nothing of one come.
    idle_since: Tick,
}

impl Downstream {
    pub fn new(transport: Transport, peer: SocketAddr) -> Downstream {
        let sender = Sender::new(peer.ip(), matches!(transport, Transport::Tls(_)));
        Downstream {
            transport,
            peer,
            sender,
            incoming: Buf::default(),
            fields: Fields::default(),
            accepted: Tick::now(),
            requests: 0,
            idle_since: Tick::NEVER,
        }
    }

    /// It was read from before anybody knew that it is plain: `incoming` came, and the time for its first head runs since `accepted`.
    pub fn begun(self, incoming: Buf, accepted: Tick) -> Downstream {
        Downstream { incoming, accepted, ..self }
    }

    /// The client has shown a certificate, which the app is told of by this element of X-Forwarded-Client-Cert.
    pub fn of_client(self, element: &str) -> Downstream {
        Downstream { sender: self.sender.with_client_certificate(element), ..self }
    }

    /// The next whole head. A connection that sends nothing for `rest_after` comes to rest. `afford` says whether there is memory for a wait for
    /// the rest of a head.
    ///
    /// Errors: the fault to answer with, then close.
    pub async fn next_head(
        &mut self,
        policy: &RoutePolicy,
        phase: Phase,
        rest_after: Duration,
        afford: &dyn Fn() -> Result<(), Fault>,
    ) -> Result<Next, Fault> {
        let limits = HeadLimits { bytes: policy.limits.head_bytes, fields: policy.limits.head_fields };
        let mut deadline = self.first_deadline(&policy.timeouts, phase, rest_after);
        let mut parsed = 0;
        let mut skipped_empty_line = false;
        let mut has_begun = false;
        let mut may_be_over = self.requests > 0;
        loop {
            if !skipped_empty_line && self.incoming.filled().starts_with(b"\r\n") {
                self.incoming.consume(2);
                skipped_empty_line = true;
            }
            if self.is_worth_parsing(parsed, limits) {
                if let Some(head) = h1::parse_request(self.incoming.filled(), limits, &mut self.fields)? {
                    self.requests += 1;
                    return Ok(Next::Head(head));
                }
                parsed = self.incoming.len();
            }
            let was_empty = self.incoming.is_empty();
            if was_empty {
                self.incoming = Buf::default();
            } else {
                afford()?;
            }
            if std::mem::take(&mut has_begun) {
                deadline = Deadline::after(policy.timeouts.request_headers, Timer::RequestHeaders);
            }
            match self.read(limits, deadline).await {
                Ok(0) if was_empty => return Ok(Next::Over),
                Ok(0) => return Err(Fault { kind: Kind::Malformed, detail: "a head that was cut off (RFC 9112 8)" }),
                Ok(_) => {}
                Err(IoError::Expired(timer)) if was_empty && std::mem::take(&mut may_be_over) => {
                    if self.is_at_rest().await {
                        let may_rest = policy.timeouts.connection_idle > rest_after;
                        return Ok(if may_rest { Next::Idle } else { Next::Expired(timer) });
                    }
                    // Something has come, if not yet a byte of a head: under TLS a part of a record.
                    deadline = Deadline::after(policy.timeouts.request_headers, Timer::RequestHeaders);
                    continue;
                }
                // Nobody waits for an answer to nothing.
                Err(IoError::Expired(timer)) if was_empty => return Ok(Next::Expired(timer)),
                Err(_) if was_empty => return Ok(Next::Over),
                Err(IoError::Expired(timer)) => {
                    return Err(Fault { kind: Kind::TimedOut(timer), detail: "the head did not arrive whole in time" });
                }
                Err(IoError::Os(_)) => return Err(Fault { kind: Kind::ClientGone, detail: "the client broke off" }),
            }
            // Most heads have come whole with this, and need no deadline any more.
            has_begun = was_empty && deadline.timer == Timer::ConnectionIdle;
        }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port())
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Older than `age`: the answer under way is its last.
    pub fn is_aged(&self, age: Option<Duration>) -> bool {
        age.is_some_and(|age| Tick::now().since(self.accepted) >= age)
    }

    /// A new connection has to send a head soon; one that has sent requests may rest, until the proxy closes.
    fn first_deadline(&mut self, timeouts: &Timeouts, phase: Phase, rest_after: Duration) -> Deadline {
        let is_closing = phase >= Phase::Closing && self.incoming.is_empty();
        match self.requests {
            0 if is_closing => Deadline::after(FIRST_BYTE_WAIT.min(timeouts.request_headers), Timer::ConnectionIdle),
            0 => Deadline { at: self.accepted.after(timeouts.request_headers), timer: Timer::RequestHeaders },
            // What has come already is read all the same.
            _ if is_closing => Deadline::after(Duration::ZERO, Timer::ConnectionIdle),
            _ if self.incoming.is_empty() => {
                self.idle_since = Tick::now();
                let at = self.idle_since.after(timeouts.connection_idle.min(rest_after));
                Deadline { at, timer: Timer::ConnectionIdle }
            }
            _ => Deadline::after(timeouts.request_headers, Timer::RequestHeaders),
        }
    }

    async fn is_at_rest(&self) -> bool {
        self.transport.is_at_rest() && self.transport.socket().quiesce().await
    }

    /// A head that drips in would be parsed from its start again and again: it waits for its end, or for having doubled.
    fn is_worth_parsing(&self, parsed: usize, limits: HeadLimits) -> bool {
        let bytes = self.incoming.filled();
        !bytes.is_empty()
            && (parsed == 0
                || bytes.len() >= parsed * 2
                || bytes.len() < REPARSE_BYTES_MIN
                || bytes.len() >= limits.bytes
                || memchr::memmem::find(&bytes[parsed.saturating_sub(3)..], b"\r\n\r\n").is_some())
    }

    async fn read(&mut self, limits: HeadLimits, deadline: Deadline) -> Result<usize, IoError> {
        let incoming = &mut self.incoming;
        incoming.fit();
        if incoming.is_leased() && incoming.spare_bytes() == 0 {
            incoming.reserve(incoming.len().clamp(1, limits.bytes));
        }
        // One that is new while the proxy closes has a wait of its own, which is short: nobody ends it.
        let is_new_in_the_end = self.requests == 0 && deadline.timer == Timer::ConnectionIdle;
        self.transport.socket().set_idle(incoming.is_empty() && !is_new_in_the_end);
        let got = self.transport.recv(incoming, deadline).await;
        self.transport.socket().set_idle(false);
        got
    }

    /// A connection that has come to rest ([`Next::Idle`]), and when it has been idle for too long.
    pub fn rest(self, timeouts: &Timeouts) -> (Resting, Deadline) {
        let Downstream { transport, peer, sender, accepted, requests, idle_since, .. } = self;
        let until = Deadline { at: idle_since.after(timeouts.connection_idle), timer: Timer::ConnectionIdle };
        (Resting { transport, peer, client_certificate: sender.into_client_certificate(), accepted, requests }, until)
    }

    /// Ends the connection so that the last answer arrives.
    pub async fn linger(self) {
        let deadline = Deadline::after(LINGER, Timer::ConnectionIdle);
        let Downstream { transport, .. } = self;
        transport.finish(deadline).await;
        transport.socket().drain(deadline).await;
    }
}

/// What is left of a connection at rest: all that cannot be made anew.
pub(crate) struct Resting {
    pub transport: Transport,
    peer: SocketAddr,
    client_certificate: Box<[u8]>,
    accepted: Tick,
    requests: u64,
}

impl Resting {
    pub fn wake(self) -> Downstream {
        let Resting { transport, peer, client_certificate, accepted, requests } = self;
        let fresh = Downstream::new(transport, peer);
        let sender = fresh.sender.with_client_certificate_line(client_certificate);
        Downstream { sender, accepted, requests, ..fresh }
    }
}
