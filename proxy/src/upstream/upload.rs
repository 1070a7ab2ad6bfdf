//! The request on its way to the app.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use crate::buf::Buf;
use crate::config::RoutePolicy;
use crate::fault::{Fault, Kind};
use crate::h1::{BadBody, Body, Keep};
use crate::io::{Deadline, IoError, Stream};
use crate::leave::{Leave, Unused};
use crate::telemetry::WorkerCounters;
use crate::timeouts::Timer;
use crate::transport::Transport;
use crate::upstream::{BYTES_COUNTED_MIN, BYTES_IN_A_ROW};

/// A request to send: what is in memory, and where the rest comes from.
pub(crate) struct Upload<'a> {
    pub from: &'a Transport,
    pub to: &'a Stream,
    /// Head and what had come of the body; sent first, kept for a replay where that is all.
    pub out: Buf,
    /// What has come behind it.
    pub incoming: Buf,
    /// What of the body is still to come.
    pub body: Body,
    /// Content seen so far.
    pub content: u64,
    /// Bytes that the kernel took.
    pub sent: u64,
    pub policy: &'a RoutePolicy,
    pub request: Option<Deadline>,
    pub counters: &'a WorkerCounters,
}

/// How far a request came.
pub(crate) struct Uploaded {
    pub out: Buf,
    pub incoming: Buf,
    /// Bytes that the kernel took.
    pub sent: u64,
    pub end: UploadEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadEnd {
    /// All of it is sent.
    Whole,
    /// The app takes no more; it may have answered already.
    AppStopped,
    /// The client sent what is no body, too much, or stopped; or the app stopped reading for too long.
    Failed(Fault),
}

impl Upload<'_> {
    pub async fn run(mut self) -> Uploaded {
        let end = self.send_all().await;
        Uploaded { out: self.out, incoming: self.incoming, sent: self.sent, end }
    }

    async fn send_all(&mut self) -> UploadEnd {
        let out = std::mem::take(&mut self.out);
        let all = 0..out.len();
        let (n, outcome, out) = self.to.send(out, all, self.write_deadline()).await;
        self.sent += n as u64;
        if let Err(error) = outcome {
            self.out = out;
            return stopped(error);
        }
        let mut in_a_row = 0;
        while !self.body.is_over() {
            if let Err(fault) = self.read().await {
                return UploadEnd::Failed(fault);
            }
            let piece = match self.body.take(self.incoming.filled_mut(), Keep::Frames) {
                Ok(piece) => piece,
                Err(bad) => return UploadEnd::Failed(refused(bad)),
            };
            self.content += piece.content;
            self.counters.bytes_received.add(piece.content);
            if self
                .policy
                .limits
                .request_body_bytes
                .is_some_and(|max| self.content.saturating_add(self.body.announced()) > max)
            {
                return UploadEnd::Failed(TOO_LARGE);
            }
            let incoming = std::mem::take(&mut self.incoming);
            let (n, outcome, incoming) = self.to.send(incoming, 0..piece.kept, self.write_deadline()).await;
            self.incoming = incoming;
            self.incoming.consume(piece.consumed);
            self.sent += n as u64;
            if let Err(error) = outcome {
                return stopped(error);
            }
            in_a_row += piece.consumed.max(BYTES_COUNTED_MIN);
            if in_a_row >= BYTES_IN_A_ROW {
                in_a_row = 0;
                self.to.reactor().yield_now().await;
            }
        }
        UploadEnd::Whole
    }

    fn write_deadline(&self) -> Deadline {
        Deadline::after(self.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.request)
    }

    /// Reads more of the body, into larger memory once a read has filled what there was.
    async fn read(&mut self) -> Result<(), Fault> {
        if self.incoming.is_empty() && self.body_is_bulky() {
            self.incoming = Buf::bulk();
        }
        self.incoming.compact();
        let deadline = Deadline::after(self.policy.timeouts.request_body_idle, Timer::RequestBodyIdle).or(self.request);
        match self.from.recv(&mut self.incoming, deadline).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(IoError::Os(_)) => {
                Err(Fault { kind: Kind::ClientGone, detail: "the client broke off inside its request body" })
            }
            Err(IoError::Expired(timer)) => {
                Err(Fault { kind: Kind::TimedOut(timer), detail: "the request body stopped arriving" })
            }
        }
    }

    fn body_is_bulky(&self) -> bool {
        match self.body {
            Body::Length(left) => left > crate::buf::HEAD_BYTES as u64,
            _ => self.content > crate::buf::BULK_BYTES as u64,
        }
    }
}

pub(super) const TOO_LARGE: Fault =
    Fault { kind: Kind::BodyTooLarge, detail: "a request body over limits.requestBodyBytes (RFC 9110 15.5.14)" };

impl UploadEnd {
    pub const TOO_LARGE: Fault = TOO_LARGE;
}

/// What a client's broken body is answered with.
pub(crate) fn refused(bad: BadBody) -> Fault {
    match bad {
        BadBody::Malformed(detail) => Fault { kind: Kind::Malformed, detail },
        BadBody::TrailersTooLarge(detail) => Fault { kind: Kind::HeadTooLarge, detail },
    }
}

fn stopped(error: IoError) -> UploadEnd {
    match error {
        // It may have answered and closed; its answer is worth more than our error.
        IoError::Os(_) => UploadEnd::AppStopped,
        IoError::Expired(timer) => {
            let detail = "the app did not take the request in time";
            UploadEnd::Failed(Fault { kind: Kind::SendTimedOut(timer), detail })
        }
    }
}

/// An upload that goes on beside whatever else is waited for.
pub(crate) struct Alongside<'p, F, S> {
    rest: Pin<&'p mut Option<F>>,
    done: Option<Uploaded>,
    on_sent: S,
    leave: Leave<'p>,
}

impl<'p, F: Future<Output = Uploaded>, S: Fn()> Alongside<'p, F, S> {
    /// It is done, or `rest` runs; `on_sent` is called once that has ended.
    pub fn new(
        done: Option<Uploaded>,
        rest: Pin<&'p mut Option<F>>,
        on_sent: S,
        leave: Leave<'p>,
    ) -> Alongside<'p, F, S> {
        Alongside { rest, done, on_sent, leave }
    }

    /// Waits for `other` while the upload goes on; gives up on it when the upload fails by the client's doing, or the client leaves.
    pub async fn with<T>(&mut self, other: Pin<&mut impl Future<Output = T>>) -> Result<T, Fault> {
        self.with_answer(other, &Cell::new(false)).await
    }

    /// As [`Alongside::with`]; `is_at_last`: the last bytes of the answer are on their way.
    pub async fn with_answer<T>(
        &mut self,
        mut other: Pin<&mut impl Future<Output = T>>,
        is_at_last: &Cell<bool>,
    ) -> Result<T, Fault> {
        std::future::poll_fn(|cx| {
            if self.done.is_none()
                && let Some(rest) = self.rest.as_mut().as_pin_mut()
                && let Poll::Ready(uploaded) = rest.poll(cx)
            {
                self.done = Some(uploaded);
                (self.on_sent)();
            }
            if let Some(Uploaded { end: UploadEnd::Failed(fault), .. }) = self.done {
                return Poll::Ready(Err(fault));
            }
            if let Poll::Ready(done) = other.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let unused = match &self.done {
                _ if is_at_last.get() => Unused::Whatever,
                None => Unused::Body,
                Some(uploaded) if uploaded.incoming.is_empty() => Unused::Nothing,
                Some(_) => Unused::NextRequest,
            };
            self.leave.poll(cx, unused).map(|()| Err(Leave::FAULT))
        })
        .await
    }

    /// The app has answered: what was sent is sent no second time. The answer may take long.
    pub fn forget_sent(&mut self) {
        if let Some(uploaded) = &mut self.done {
            uploaded.out = Buf::default();
        }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.done, Some(Uploaded { end: UploadEnd::Whole, .. }))
    }

    /// What the upload left behind, if it has ended.
    pub fn into_done(self) -> Option<Uploaded> {
        self.done
    }
}
