//! A request that is whole in memory, on its way up until a head of its answer has come.
//!
//! ```text
//! line > permit > connection > sent > head
//!          ^          `--- a stale connection: once more, on a new one
//! ```
//!
//! What has been reached stays in the [`Ascent`]: [`Ascent::climb`] may be dropped wherever it waits and be called again, by another task too,
//! but for while it connects or sends ([`Climb::is_bound`]).

use std::cell::Cell;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::admit::{Admitted, Line};
use super::site::Site;
use crate::buf::Buf;
use crate::fault::{Fault, Kind};
use crate::h1::ResponseHead;
use crate::http::{Fields, Method};
use crate::io::{Deadline, IoError, SentNow, Tick};
use crate::pool::{Lease, Replay};
use crate::telemetry::{Attempt, Context, Origin};
use crate::upstream::read_head;

pub(super) struct Ascent {
    /// Head and body as the app gets them; empty where they are not sent again.
    out: Buf,
    method: Method,
    replay: Replay,
    /// It is kept in memory for another attempt, whatever the connection.
    keeps: bool,
    line: Line,
    admitted: Option<Admitted>,
    lease: Option<Lease>,
    has_warm_ones: bool,
    sent: Sent,
    origin: Origin,
    attempt: Option<Attempt>,
    /// What has come of the answer; a head that was reached is its first bytes.
    pub buf: Buf,
    pub fields: Fields,
}

/// How much of a request the kernel has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Part(usize),
    Whole,
    /// The app takes no more of it; it may have answered.
    Refused(usize),
}

/// What a climb is told.
pub(super) struct Climb<'c> {
    pub site: Site<'c>,
    /// Until when it waits for its turn. `None`: whoever waits looks at it.
    pub queue: Option<Deadline>,
    /// Called when the request goes up, with the time and, where it is traced, the span that it is a child of.
    pub on_dispatch: &'c dyn Fn(Tick, Option<Context>),
    /// Set while it does what would have to be begun anew: it connects, or a send is under way.
    pub is_bound: &'c Cell<bool>,
}

/// An answer whose head has come, with all that its body needs.
pub(super) struct Landed {
    pub lease: Lease,
    pub admitted: Admitted,
    pub head: ResponseHead,
    pub buf: Buf,
    pub fields: Fields,
    /// The app took the whole request.
    pub is_sent: bool,
    pub attempt: Attempt,
}

impl Ascent {
    pub fn new(out: Buf, origin: Origin, method: Method, replay: Replay, fields: Fields) -> Ascent {
        Ascent {
            out,
            method,
            replay,
            keeps: false,
            line: Line::default(),
            admitted: None,
            lease: None,
            has_warm_ones: true,
            sent: Sent::Nothing,
            origin,
            attempt: None,
            buf: Buf::default(),
            fields,
        }
    }

    /// From here on it can be sent once more at any time. `again` makes what is sent, where that is not kept.
    pub fn keep(&mut self, again: impl FnOnce(&mut Buf, &mut Origin)) {
        self.keeps = true;
        if self.out.is_empty() {
            again(&mut self.out, &mut self.origin);
        }
    }

    /// Begins anew, with the permit that there is, on a new connection.
    pub fn start_over(&mut self) {
        self.attempt = None;
        self.lease = None;
        self.has_warm_ones = false;
        self.sent = Sent::Nothing;
        self.buf.clear();
    }

    /// Until the next head of the answer, interim or final. Errors: no answer has come.
    pub async fn climb(&mut self, climb: &Climb<'_>) -> Result<ResponseHead, Fault> {
        let climbed = self.go_up(climb).await;
        if let Some(attempt) = &mut self.attempt {
            match climbed {
                Ok(head) if head.is_interim() => {}
                Ok(head) => attempt.answered(head.status),
                Err(fault) => attempt.failed(fault),
            }
        }
        climbed
    }

    async fn go_up(&mut self, climb: &Climb<'_>) -> Result<ResponseHead, Fault> {
        let site = climb.site;
        if self.admitted.is_none() {
            self.admitted = Some(site.admit(&mut self.line, climb.queue).await?);
        }
        loop {
            if self.lease.is_none() {
                self.attempt = Some(self.origin.begin(&mut self.out));
                let warm = if self.has_warm_ones { site.listening.pool.warm(self.replay, site.ages()) } else { None };
                let lease = match warm {
                    Some(lease) => lease,
                    None => {
                        climb.is_bound.set(true);
                        let connected = site.connect().await;
                        climb.is_bound.set(false);
                        connected?
                    }
                };
                if let Some(attempt) = &mut self.attempt {
                    attempt.connected(lease.reused);
                }
                self.lease = Some(lease);
            }
            let now = Tick::now();
            if self.sent == Sent::Nothing {
                (climb.on_dispatch)(now, self.attempt.as_ref().and_then(Attempt::context));
                site.worker.counters.upstream_requests.add(1);
                self.send_now();
            }
            if let Some(head) = self.head(climb, now).await? {
                return Ok(head);
            }
            site.worker.counters.upstream_replays.add(1);
            self.start_over();
        }
    }

    fn send_now(&mut self) {
        let Some(lease) = &self.lease else { return };
        self.sent = match lease.stream().send_now(self.out.filled()) {
            SentNow::Whole => Sent::Whole,
            SentNow::Part(sent) => Sent::Part(sent),
        };
        if self.sent == Sent::Whole {
            self.let_go();
        }
    }

    /// Sends the rest, if there is one, and reads a head. `None`: the connection had gone stale.
    async fn head(&mut self, climb: &Climb<'_>, now: Tick) -> Result<Option<ResponseHead>, Fault> {
        let deadline = Cell::new(climb.site.head_deadline(now));
        let read = match self.sent {
            Sent::Part(from) => self.send_and_read(from, climb, &deadline).await?,
            _ => {
                let stream = self.lease.as_ref().expect("leased before").stream();
                read_head(stream, &mut self.buf, self.method, &mut self.fields, &deadline).await
            }
        };
        let none = match read {
            Ok(head) => return Ok(Some(head)),
            Err(none) => none,
        };
        let is_reused = self.lease.as_ref().is_some_and(|lease| lease.reused);
        let is_unsent = matches!(self.sent, Sent::Nothing | Sent::Part(0) | Sent::Refused(0));
        if is_reused && none.nothing_came && (self.replay == Replay::Possible || is_unsent) {
            self.fail(none.fault);
            return Ok(None);
        }
        Err(none.fault)
    }

    /// The app may answer before it has taken all.
    async fn send_and_read(
        &mut self,
        from: usize,
        climb: &Climb<'_>,
        deadline: &Cell<Deadline>,
    ) -> Result<Result<ResponseHead, crate::upstream::NoHead>, Fault> {
        let out = std::mem::take(&mut self.out);
        let all = out.len();
        let stream = self.lease.as_ref().expect("leased before").stream();
        climb.is_bound.set(true);
        let read = {
            let mut send = pin!(stream.send(out, from..all, climb.site.idle_deadline()));
            let mut read = pin!(read_head(stream, &mut self.buf, self.method, &mut self.fields, deadline));
            let mut early = None;
            std::future::poll_fn(|cx| {
                if climb.is_bound.get()
                    && let Poll::Ready((n, outcome, out)) = send.as_mut().poll(cx)
                {
                    climb.is_bound.set(false);
                    self.out = out;
                    self.sent = match outcome {
                        Ok(()) => Sent::Whole,
                        // Its answer, if there is one, is worth more than our error.
                        Err(IoError::Os(_)) => Sent::Refused(from + n),
                        Err(IoError::Expired(timer)) => {
                            let detail = "the app did not take the request in time";
                            return Poll::Ready(Err(Fault { kind: Kind::SendTimedOut(timer), detail }));
                        }
                    };
                }
                if early.is_none()
                    && let Poll::Ready(head) = read.as_mut().poll(cx)
                {
                    early = Some(head);
                }
                match early.take() {
                    // More follows: the rest of the request is sent before.
                    Some(Ok(head)) if head.is_interim() && climb.is_bound.get() => early = Some(Ok(head)),
                    Some(read) => return Poll::Ready(Ok(read)),
                    None => {}
                }
                Poll::Pending
            })
            .await
        };
        climb.is_bound.set(false);
        if self.sent == Sent::Whole {
            self.let_go();
        }
        read
    }

    /// It is sent, and the app may think for long: memory that is not needed goes back.
    fn let_go(&mut self) {
        let may_be_stale = self.lease.as_ref().is_some_and(|lease| lease.reused);
        if may_be_stale || self.keeps {
            self.out.fit();
        } else {
            self.out = Buf::default();
        }
    }

    /// The attempt under way has come to this.
    pub fn fail(&mut self, fault: Fault) {
        if let Some(attempt) = &mut self.attempt {
            attempt.failed(fault);
        }
    }

    /// So many have joined the flight that it is of.
    pub fn shared_by(&mut self, followers: u32) {
        if let Some(attempt) = &mut self.attempt {
            attempt.shared_by(followers);
        }
    }

    /// Time in the queue so far.
    pub fn queued(&self) -> Duration {
        self.line.waited()
    }

    /// How often it was sent again.
    pub fn resends(&self) -> u32 {
        self.origin.resends()
    }

    /// The interim head that was reached is dealt with.
    pub fn pass(&mut self, interim: &ResponseHead) {
        self.buf.consume(interim.len);
    }

    /// The final head has been reached.
    pub fn land(self, head: ResponseHead) -> Landed {
        let Ascent { admitted, lease, attempt, buf, fields, sent, .. } = self;
        let (lease, admitted) = (lease.expect("an answer came on it"), admitted.expect("it went up"));
        let attempt = attempt.expect("it began with the lease");
        Landed { lease, admitted, head, buf, fields, is_sent: sent == Sent::Whole, attempt }
    }

    pub fn into_fields(self) -> Fields {
        self.fields
    }
}
