//! The task that carries a flight: the exchange with the app, for as long as a participant is there; and the one that brings the answer of
//! another worker's flight to the participants of this one.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::ascent::{Ascent, Climb, Landed};
use super::lead::Flown;
use super::ride::Aside;
use super::site::Site;
use super::{INTERIM_MAX, TOO_MANY_INTERIMS};
use crate::buf::{Buf, HEAD_BYTES};
use crate::coalesce::{self, AnswerHead, Carrier, End, Fed, Feed, Kept, Outcome, Pump, SeatNumber, Terms, Unshared};
use crate::config::{CoalescingMode, OnError, RoutePolicy, Snapshot};
use crate::fault::{Fault, Kind};
use crate::h1::{self, Body, Keep, Persist, ResponseHead};
use crate::http::{Fields, Name, NameSet};
use crate::io::{Deadline, IoError, Tick, unix_s};
use crate::listen::Listening;
use crate::telemetry::Context;
use crate::timeouts::Timer;
use crate::upstream::BYTES_IN_A_ROW;
use crate::worker::Worker;

/// How often a wait for the slowest participant is counted against it.
const LAG_LOOK: Duration = Duration::from_millis(50);

/// Chunks that are smaller are copied into memory of their size: the window counts bytes, and a body may drip.
const CHUNK_BYTES_MIN: usize = 4096;

/// What a flight's task has of the request that led it.
pub(super) struct Errand {
    pub worker: Rc<Worker>,
    pub listening: Rc<Listening>,
    pub snapshot: Arc<Snapshot>,
    /// [`RoutePolicy::number`].
    pub route: u32,
    pub aside: Rc<Aside>,
    pub leader: SeatNumber,
    /// Who led knows of interim answers.
    pub takes_interims: bool,
}

impl Errand {
    /// Whoever led is still there.
    fn leads(&self) -> bool {
        Rc::strong_count(&self.aside) > 1
    }

    fn site(&self) -> Site<'_> {
        let policy = self.snapshot.numbered(self.route);
        Site { worker: &self.worker, listening: &self.listening, policy, deadline: None }
    }
}

/// Whether other requests may have the answer to `kept` (R3).
pub(super) fn judge(
    head: &ResponseHead,
    bytes: &[u8],
    fields: &Fields,
    policy: &RoutePolicy,
    kept: &Kept,
) -> Result<(), Unshared> {
    let rules = &policy.coalescing;
    let cacheable = rules.mode == CoalescingMode::Cacheable;
    // Only these ask for the time.
    let is_dated = cacheable || fields.known().has_any(NameSet::of(&[Name::Expires]));
    let terms = Terms {
        cacheable,
        share_errors: rules.on_error == OnError::Share,
        has_authorization: kept.has_authorization(),
        compared: &|name| coalesce::covers(name, rules),
        now_unix_s: if is_dated { unix_s() } else { 0 },
        waited_s: if is_dated { kept.age().as_secs() } else { 0 },
    };
    coalesce::judge(head.status, bytes, fields, &terms)
}

/// Carries a flight to its end, from where its leader has brought it.
pub(super) async fn carry(errand: Errand, carrier: Carrier, mut ascent: Ascent, flown: Flown) {
    let reached = match flown {
        Flown::Landed(head) => Some(Ok(head)),
        Flown::Joined => pin!(reach(&errand, &carrier, &mut ascent, None)).await,
        Flown::Failed(fault) => pin!(reach(&errand, &carrier, &mut ascent, Some(fault))).await,
    };
    let head = match reached {
        // The last participant has left: what is dropped here breaks the exchange off (R5).
        None => return,
        Some(Err(fault)) => {
            ascent.shared_by(carrier.followers());
            return carrier.fail(fault);
        }
        Some(Ok(head)) => head,
    };
    let policy = errand.snapshot.numbered(errand.route);
    let bytes = ascent.buf.filled();
    let judged = carrier.with_kept(|kept| judge(&head, bytes, &ascent.fields, policy, kept));
    match judged {
        Err(why) => {
            ascent.shared_by(carrier.followers());
            if errand.leads() {
                errand.aside.own.set(Some(Box::new(ascent.land(head))));
            }
            carrier.release(Outcome::from(why));
        }
        Ok(()) => {
            let mut landed = ascent.land(head);
            let length = match head.body {
                Body::None => Some(0),
                Body::Length(bytes) => Some(bytes),
                Body::Chunked(_) | Body::UntilClose => None,
            };
            let answer = AnswerHead {
                head,
                bytes: landed.buf.filled()[..head.len].to_vec(),
                fields: landed.fields.copied(),
                request_id: carrier.with_kept(|kept| kept.request_id().map(<[u8]>::to_vec)),
                is_retained: length.is_some_and(|bytes| carrier.may_retain(bytes)),
            };
            let is_retained = answer.is_retained;
            let pump = carrier.land(answer, length.filter(|_| is_retained).unwrap_or(0));
            landed.attempt.shared_by(pump.followers());
            pin!(fill(&errand, pump, landed, is_retained)).await;
        }
    }
}

/// Until the final head; the attempt that the leader made may have `failed`. `None`: nobody is left.
async fn reach(
    errand: &Errand,
    carrier: &Carrier,
    ascent: &mut Ascent,
    mut failed: Option<Fault>,
) -> Option<Result<ResponseHead, Fault>> {
    let site = errand.site();
    let is_bound = Cell::new(false);
    let rules = &site.policy.coalescing;
    let on_dispatch = |now, span: Option<Context>| {
        span.into_iter().for_each(|span| carrier.is_exchange(span));
        carrier.dispatched(rules, now);
    };
    let climb = Climb { site, queue: None, on_dispatch: &on_dispatch, is_bound: &is_bound };
    let mut may_retry = true;
    let mut interims = 0;
    loop {
        let climbed = if let Some(fault) = failed.take() {
            Err(fault)
        } else {
            let mut climbing = pin!(ascent.climb(&climb));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(climbed) = climbing.as_mut().poll(cx) {
                    return Poll::Ready(Some(climbed));
                }
                carrier.poll_deserted(cx).map(|()| None)
            })
            .await?
        };
        match climbed {
            Ok(head) if head.is_interim() && interims == INTERIM_MAX => {
                ascent.fail(TOO_MANY_INTERIMS);
                return Some(Err(TOO_MANY_INTERIMS));
            }
            Ok(head) if head.is_interim() => {
                interims += 1;
                // For the leader alone (R10).
                if errand.takes_interims && errand.leads() {
                    let mut out = Buf::head();
                    let (bytes, date) = (ascent.buf.filled(), errand.worker.date());
                    let interim = h1::AnswerHead::new(bytes, &head, &ascent.fields, Persist::Keep, &date);
                    h1::answer_head(&mut out, &interim);
                    errand.aside.interims.borrow_mut().push_back(out);
                    carrier.wake(errand.leader);
                }
                ascent.pass(&head);
            }
            Ok(head) => return Some(Ok(head)),
            // R8: one more attempt for the whole flight, where the app did not get to answer.
            Err(fault) if may_retry && is_worth_a_retry(fault) => {
                may_retry = false;
                ascent.start_over();
            }
            Err(fault) => return Some(Err(fault)),
        }
    }
}

/// A connection failed. Where a timer ran out, a second attempt would make everyone wait as long again; garbage would be garbage again.
fn is_worth_a_retry(fault: Fault) -> bool {
    matches!(fault.kind, Kind::ConnectFailed | Kind::UpstreamClosed)
}

/// Brings everyone the body, until nobody is left.
async fn fill(errand: &Errand, pump: Pump, mut landed: Landed, is_retained: bool) {
    let Some(end) = pin!(read_all(errand, &pump, &mut landed, is_retained)).await else { return };
    match end {
        End::Whole => landed.attempt.whole(),
        End::Aborted(fault) => landed.attempt.failed(fault),
    }
    pump.finish(end);
}

/// Reads the body to its end. `None`: nobody is left.
async fn read_all(errand: &Errand, pump: &Pump, landed: &mut Landed, is_retained: bool) -> Option<End> {
    let Landed { lease, head, is_sent, .. } = landed;
    let mut buf = std::mem::take(&mut landed.buf);
    buf.consume(head.len);
    let mut body = head.body;
    let mut in_a_row = 0;
    loop {
        let piece = match body.take(buf.filled_mut(), Keep::Frames) {
            Ok(piece) => piece,
            Err(h1::BadBody::Malformed(detail) | h1::BadBody::TrailersTooLarge(detail)) => {
                return Some(End::Aborted(Fault { kind: Kind::UpstreamBrokenOff, detail }));
            }
        };
        in_a_row += piece.consumed;
        let rest = split(&mut buf, piece.kept, piece.consumed);
        if piece.kept > 0 {
            pump.push(std::mem::replace(&mut buf, rest));
        } else {
            buf = rest;
        }
        if body.is_over() {
            if buf.is_empty() && *is_sent && head.persistent {
                lease.keep(head.keep_alive_s.map(Duration::from_secs));
            }
            return Some(End::Whole);
        }
        if !is_retained && !has_room(errand, pump).await {
            return None;
        }
        if in_a_row >= BYTES_IN_A_ROW {
            in_a_row = 0;
            errand.worker.reactor.yield_now().await;
        }
        if buf.is_empty() {
            // Where it is paced, the window is a dozen chunks and not two.
            let is_bulky = is_retained && body.announced() > HEAD_BYTES as u64;
            buf = if is_bulky { Buf::bulk() } else { Buf::default() };
        } else if buf.spare_bytes() == 0 {
            buf.reserve(1);
        }
        let deadline = Deadline::after(errand.site().policy.timeouts.stream_idle, Timer::StreamIdle);
        let got = {
            let mut read = pin!(lease.stream().recv(&mut buf, deadline));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(got) = read.as_mut().poll(cx) {
                    return Poll::Ready(Some(got));
                }
                pump.poll_deserted(cx).map(|()| None)
            })
            .await
        };
        match got {
            // Nobody is left.
            None => return None,
            Some(Ok(1..)) => {}
            Some(Ok(0)) if body == Body::UntilClose => return Some(End::Whole),
            Some(Ok(0) | Err(IoError::Os(_))) => {
                let detail = "the app broke off inside its answer";
                return Some(End::Aborted(Fault { kind: Kind::UpstreamBrokenOff, detail }));
            }
            Some(Err(IoError::Expired(timer))) => {
                let detail = "the app stopped inside its answer";
                return Some(End::Aborted(Fault { kind: Kind::TimedOut(timer), detail }));
            }
        }
    }
}

/// Leaves in `buf` the first `kept` bytes, in memory of their size where they are few, and gives back those behind the first `consumed`.
fn split(buf: &mut Buf, kept: usize, consumed: usize) -> Buf {
    let behind = &buf.filled()[consumed..];
    let mut rest = Buf::default();
    if !behind.is_empty() {
        rest.put(behind);
    }
    buf.truncate(kept);
    if kept < CHUNK_BYTES_MIN {
        buf.shrink();
    }
    rest
}

/// Waits until the window has room, and counts the wait against whoever makes others wait. False: nobody is left.
async fn has_room(errand: &Errand, pump: &Pump) -> bool {
    loop {
        let since = Tick::now();
        let mut look = pin!(errand.worker.reactor.sleep_until(since.after(LAG_LOOK)));
        let is_there = std::future::poll_fn(|cx| {
            if pump.poll_room(cx).is_ready() {
                return Poll::Ready(true);
            }
            look.as_mut().poll(cx).map(|()| false)
        })
        .await;
        if is_there {
            return !pump.is_deserted();
        }
        pump.charge(Tick::now().since(since));
    }
}

/// Brings the participants of this worker what the flight of another worker comes to.
pub(super) async fn feed(worker: Rc<Worker>, mut feed: Feed) {
    loop {
        if std::future::poll_fn(|cx| feed.poll(cx)).await == Fed::Over {
            return;
        }
        let since = Tick::now();
        worker.reactor.sleep_until(since.after(LAG_LOOK)).await;
        feed.charge(Tick::now().since(since));
    }
}
