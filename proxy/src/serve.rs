//! The spine: all control flow of a request, top to bottom. Rooms below it decide or transform; none calls another sideways.
//!
//! `listen > downstream > serve { route > deadline > coalesce > ask > admit > attempt (pool, upload, head) > answer } > downstream`

mod admit;
mod ascent;
mod carry;
mod deliver;
mod lead;
mod long;
mod ride;
mod share;
mod site;

use std::cell::{Cell, OnceCell};
use std::future::Ready;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::buf::Buf;
use crate::coalesce::{Join, Role, Writing};
use crate::config::{Snapshot, Timeouts};
use crate::downstream::{Downstream, Next};
use crate::fault::{Fault, Kind};
use crate::h1::{self, Ask, Body, Keep, Persist, RequestHead, Sender};
use crate::http::{Fields, Version};
use crate::io::Deadline;
use crate::leave::{Leave, Unused};
use crate::listen::Listening;
use crate::pool::Replay;
use crate::reply::{self, Failed};
use crate::stop::Phase;
use crate::telemetry::{Arrival, Lines, Origin, Record};
use crate::timeouts::Timer;
use crate::transport::Transport;
use crate::upstream::{Alongside, UploadEnd, Uploaded, refused};
use crate::worker::Worker;
use ascent::{Ascent, Climb, Landed};
use deliver::Coming;
use ride::{Followed, Told};
use site::Site;

/// A request is kept for a replay up to this size, head and body.
const REPLAY_BYTES_MAX: usize = 64 * 1024;

/// Interim responses to one request. Real apps send one or two.
const INTERIM_MAX: u32 = 32;

const TOO_MANY_INTERIMS: Fault = Fault { kind: Kind::UpstreamGarbage, detail: "more than 32 interim responses" };

/// Requests of one connection that are answered before the other tasks of the worker have their turn, where none of them had to wait.
const REQUESTS_IN_A_ROW: u32 = 64;

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Next,
    /// The answer says that it is the last.
    Close,
    /// The answer is not whole, and must not look whole.
    BreakOff,
}

/// Serves the requests of one connection until it ends; gives it back when it has come to rest.
pub(crate) async fn connection(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    mut downstream: Downstream,
) -> Option<Downstream> {
    let mut served = 0u32;
    loop {
        let snapshot = worker.snapshot();
        let afford = || admit::afford(worker, listening);
        let after = match downstream.next_head(&snapshot.policy, worker.phase(), worker.rest_after(), &afford).await {
            Ok(Next::Idle) => return Some(downstream),
            Ok(Next::Head(head)) => serve(worker, listening, &snapshot, &mut downstream, &head).await,
            Ok(Next::Over) => After::Close,
            Ok(Next::Expired(timer)) => {
                worker.idle_expired(timer);
                After::Close
            }
            Err(fault) => {
                worker.counters.failed(fault);
                let told = Failed { fault, method: None, cache_status: None };
                let counted = |status| worker.counters.answered(status);
                answer_fault(worker, &mut downstream, counted, told, Persist::Close, &snapshot.policy.timeouts).await
            }
        };
        match after {
            After::Next => {}
            After::Close => {
                downstream.linger().await;
                return None;
            }
            After::BreakOff => {
                downstream.transport.socket().reset_on_close();
                return None;
            }
        }
        served += 1;
        if served.is_multiple_of(REQUESTS_IN_A_ROW) {
            worker.reactor.yield_now().await;
        }
    }
}

/// One request, from its whole head to the last byte of its answer.
async fn serve(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    snapshot: &Arc<Snapshot>,
    downstream: &mut Downstream,
    head: &RequestHead,
) -> After {
    let bytes = downstream.incoming.filled();
    let policy = crate::route::policy(snapshot, bytes, head, &downstream.fields);
    let (peer, is_tls) = (downstream.peer(), downstream.is_tls());
    let record =
        Record::start(&worker.telling, &Arrival { bytes, head, fields: &downstream.fields, peer, is_tls, policy });
    let persist = match head.version {
        _ if !head.persistent => Persist::Close,
        _ if downstream.is_aged(policy.timeouts.max_connection_age) => Persist::Close,
        Version::Http11 => Persist::Keep,
        Version::Http10 => Persist::KeepHttp10,
    };
    let deadline = policy.timeouts.request.map(|wait| Deadline::after(wait, Timer::Request));
    let site = Site { worker, listening, policy, deadline };
    let request = Exchange {
        site,
        snapshot,
        head,
        persist,
        record: &record,
        at_head: Cell::new(false),
        queue: Cell::new(site.queue_deadline()),
        cache_status: Cell::new(None),
        failed_twins: Cell::new(0),
        uri_hash: Cell::new(0),
        writing: OnceCell::new(),
    };
    let after = if head.max_forwards == Some(0) {
        request.answer_as_last_hop(downstream).await
    } else {
        match request.exchange(downstream).await {
            Ok(after) => after,
            Err(fault) => {
                record.failed(fault);
                if fault.kind == Kind::ClientGone {
                    return After::Close;
                }
                let ends = fault.ends_downstream() || !request.at_head.get();
                let persist = if ends { Persist::Close } else { request.persist() };
                let told = Failed { fault, method: Some(head.method), cache_status: request.cache_status.get() };
                let mut after =
                    answer_fault(worker, downstream, |status| record.answered(status), told, persist, &policy.timeouts)
                        .await;
                for _ in 0..request.failed_twins.get() {
                    if after != After::Next {
                        break;
                    }
                    downstream.incoming.consume(head.len);
                    let twin = record.twin(ride::outcome_of(fault), None);
                    twin.failed(fault);
                    after = answer_fault(
                        worker,
                        downstream,
                        |status| twin.answered(status),
                        told,
                        persist,
                        &policy.timeouts,
                    )
                    .await;
                }
                after
            }
        }
    };
    if after == After::Close && persist != Persist::Close && worker.is_stopping() {
        worker.counters.closed_by_drain[0].add(1);
    }
    after
}

/// One request on its way.
struct Exchange<'r> {
    site: Site<'r>,
    /// What it is judged by, whole.
    snapshot: &'r Arc<Snapshot>,
    head: &'r RequestHead,
    persist: Persist,
    record: &'r Record<'r>,
    /// What is read next of the client's connection is a head: the body was read whole, and what came behind it is back in its place.
    at_head: Cell<bool>,
    /// `timeouts.queue`, where there is a queue: from the whole head on, or from when it goes up itself after all.
    queue: Cell<Option<Deadline>>,
    /// What the client is told of coalescing.
    cache_status: Cell<Option<&'static str>>,
    /// Requests behind this one that have failed with it.
    failed_twins: Cell<usize>,
    /// Of a request that may change what others read: its path and query, and that it is under way, to the end of its answer.
    uri_hash: Cell<u64>,
    writing: OnceCell<Writing>,
}

/// A request as it goes up: what is in memory, and what is still to come.
struct Asked {
    out: Buf,
    incoming: Buf,
    body: Body,
    content: u64,
    /// What its attempts are told of with.
    origin: Origin,
}

impl Exchange<'_> {
    /// Sends the request to the app and the answer to the client. Errors: nothing of an answer has been sent.
    async fn exchange(&self, downstream: &mut Downstream) -> Result<After, Fault> {
        admit::afford(self.site.worker, self.site.listening)?;
        let mut ask = Some(false);
        while let Some(was_full) = ask.take() {
            match self.join(downstream, was_full).await {
                None => {}
                Some(Join::Alone(why)) => {
                    self.tell_of(Told::Alone(why));
                    self.record.coalesced(Role::Alone, why);
                }
                Some(Join::Lead(lead)) => return pin!(self.lead(downstream, lead)).await,
                Some(Join::Follow(seat, feed)) => match pin!(self.follow(downstream, seat, feed)).await? {
                    Followed::Answered(after) => return Ok(after),
                    Followed::Alone(why) => {
                        self.queue.set(self.site.queue_deadline());
                        self.tell_of(Told::InVain(why));
                    }
                    Followed::Again { was_full } => {
                        self.queue.set(self.site.queue_deadline());
                        ask = Some(was_full);
                    }
                },
            }
        }
        let asked = self.ask(downstream)?;
        if !asked.body.is_over() {
            return pin!(self.long(downstream, asked)).await;
        }
        self.at_head.set(true);
        downstream.incoming = asked.incoming;
        pin!(self.whole(downstream, asked.out, asked.origin)).await
    }

    /// A request that is whole in memory goes up, and its answer comes down.
    async fn whole(&self, downstream: &mut Downstream, out: Buf, origin: Origin) -> Result<After, Fault> {
        let may_repeat = self.head.method.is_idempotent() && out.len() <= REPLAY_BYTES_MAX;
        let replay = if may_repeat { Replay::Possible } else { Replay::Impossible };
        let mut ascent = Ascent::new(out, origin, self.head.method, replay, std::mem::take(&mut downstream.fields));
        let is_bound = Cell::new(false);
        let climb = Climb {
            site: self.site,
            queue: self.queue.get(),
            on_dispatch: &|_, _| self.begin_write(),
            is_bound: &is_bound,
        };
        for _ in 0..=INTERIM_MAX {
            let unused = unused(&downstream.incoming);
            let climbed = self.leave(&downstream.transport).unless(unused, ascent.climb(&climb)).await;
            if !matches!(climbed, Ok(Ok(head)) if head.is_interim()) {
                self.climbed(&ascent);
            }
            match climbed? {
                Err(fault) => {
                    downstream.fields = ascent.into_fields();
                    return Err(fault);
                }
                Ok(head) if head.is_interim() => {
                    self.pass_on(downstream, self.interim(&head, ascent.buf.filled(), &ascent.fields)).await?;
                    ascent.pass(&head);
                }
                Ok(head) => return self.deliver_whole(downstream, ascent.land(head)).await,
            }
        }
        ascent.fail(TOO_MANY_INTERIMS);
        Err(TOO_MANY_INTERIMS)
    }

    /// The answer to a request of which nothing is left to send.
    async fn deliver_whole(&self, downstream: &mut Downstream, mut landed: Landed) -> Result<After, Fault> {
        let Landed { lease, admitted, head, buf, fields, is_sent, attempt } = &mut landed;
        let end = if *is_sent { UploadEnd::Whole } else { UploadEnd::AppStopped };
        let incoming = std::mem::take(&mut downstream.incoming);
        let sent = Uploaded { out: Buf::default(), incoming, sent: 0, end };
        let nothing = pin!(None::<Ready<Uploaded>>);
        let mut upload = Alongside::new(Some(sent), nothing, || {}, self.leave(&downstream.transport));
        let coming = Coming { lease, admitted, attempt, head, buf: std::mem::take(buf), fields };
        let delivered = self.deliver(&downstream.transport, coming, &mut upload).await;
        downstream.incoming = upload.into_done().map(|sent| sent.incoming).unwrap_or_default();
        downstream.fields = landed.fields;
        delivered
    }

    /// Sends an interim answer.
    async fn pass_on(&self, downstream: &Downstream, interim: Option<Buf>) -> Result<(), Fault> {
        let Some(out) = interim else { return Ok(()) };
        let all = 0..out.len();
        let transport = &downstream.transport;
        let sent = transport.send(out, all, self.site.idle_deadline());
        let (_, outcome, _) = self.leave(transport).unless(unused(&downstream.incoming), sent).await?;
        outcome.map_err(|_| Leave::FAULT)
    }

    fn leave<'t>(&self, transport: &'t Transport) -> Leave<'t> {
        Leave { transport, half_close: self.site.policy.half_close }
    }

    /// What is told of a request that is up, or has failed to.
    fn climbed(&self, ascent: &Ascent) {
        self.record.queued(ascent.queued());
        self.record.replayed(ascent.resends());
    }

    /// Writes the head that the app gets.
    fn write_head(
        &self,
        out: &mut Buf,
        origin: &mut Origin,
        sender: &Sender,
        bytes: &[u8],
        head: &RequestHead,
        fields: &Fields,
    ) {
        let onward = self.record.onward();
        let lines = onward.map(|onward| onward.lines());
        let ask = Ask {
            bytes,
            head,
            fields,
            sender,
            forwarded: self.site.policy.forwarded,
            upstream_authority: &self.site.listening.upstream_authority,
            replaced: onward.map(|onward| onward.replaced()).unwrap_or_default(),
            added: lines.as_ref().map(Lines::filled).unwrap_or_default(),
        };
        let added_at = h1::ask_head(out, ask);
        if let Some(lines) = &lines {
            origin.placed(lines, added_at);
        }
    }

    /// Turns the head and what has come of the body into what the app is sent.
    fn ask(&self, downstream: &mut Downstream) -> Result<Asked, Fault> {
        let site = &self.site;
        let content_max = site.policy.limits.request_body_bytes;
        let mut out = Buf::head();
        let bytes = downstream.incoming.filled();
        let mut origin = Origin::new(&site.worker.telling, self.head.method, &site.listening.told, self.record);
        self.write_head(&mut out, &mut origin, &downstream.sender, bytes, self.head, &downstream.fields);
        if !self.head.method.is_safe() {
            self.uri_hash.set(site.worker.board.hash_uri(self.head.path_and_query_in(bytes)));
        }
        downstream.incoming.consume(self.head.len);
        let mut body = self.head.body;
        let piece = body.take(downstream.incoming.filled_mut(), Keep::Frames).map_err(refused)?;
        if content_max.is_some_and(|max| piece.content.saturating_add(body.announced()) > max) {
            return Err(UploadEnd::TOO_LARGE);
        }
        site.worker.counters.bytes_received.add(piece.content);
        out.put(&downstream.incoming.filled()[..piece.kept]);
        downstream.incoming.consume(piece.consumed);
        let mut incoming = std::mem::take(&mut downstream.incoming);
        if incoming.is_empty() {
            // Back to the pool while the app thinks.
            incoming = Buf::default();
        }
        Ok(Asked { out, incoming, body, content: piece.content, origin })
    }

    /// The request goes up: if it may change what others read, none of them joins a read that has begun before (R7).
    fn begin_write(&self) {
        if !self.head.method.is_safe() && self.writing.get().is_none() {
            let writing = self.site.worker.board.write(self.site.listening.upstream, self.uri_hash.get());
            let _ = self.writing.set(writing);
        }
    }

    /// Whether the connection outlives an answer whose head is written now.
    fn persist(&self) -> Persist {
        if self.site.worker.is_stopping() { Persist::Close } else { self.persist }
    }

    async fn answer_as_last_hop(&self, downstream: &mut Downstream) -> After {
        let persist = if self.head.body.is_over() { self.persist() } else { Persist::Close };
        let mut out = Buf::head();
        let bytes = downstream.incoming.filled();
        reply::last_hop(&mut out, bytes, self.head, &downstream.fields, persist, &self.site.worker.date());
        downstream.incoming.consume(self.head.len);
        self.record.answered(200);
        send_answer(downstream, out, persist, self.site.policy.timeouts.stream_idle).await
    }
}

/// What of the client's bytes is not used up by a request that is whole.
fn unused(incoming: &Buf) -> Unused {
    if incoming.is_empty() { Unused::Nothing } else { Unused::NextRequest }
}

async fn answer_fault(
    worker: &Worker,
    downstream: &mut Downstream,
    counted: impl FnOnce(u16),
    failed: Failed,
    persist: Persist,
    timeouts: &Timeouts,
) -> After {
    let fault = failed.fault;
    if fault.kind == Kind::ClientGone {
        return After::Close;
    }
    if worker.phase() == Phase::Ended {
        // It failed because we ended its wait: an answer would put the blame on somebody.
        return After::BreakOff;
    }
    counted(fault.status());
    let mut out = Buf::head();
    let retry_after_s = fault.shed().map(|_| admit::retry_after_s(timeouts));
    reply::fault(&mut out, &failed, persist, retry_after_s, &worker.name, &worker.date());
    send_answer(downstream, out, persist, timeouts.stream_idle).await
}

async fn send_answer(downstream: &mut Downstream, out: Buf, persist: Persist, write_wait: Duration) -> After {
    let upto = out.len();
    let deadline = Deadline::after(write_wait, Timer::StreamIdle);
    match downstream.transport.send(out, 0..upto, deadline).await {
        (_, Ok(()), _) if persist != Persist::Close => After::Next,
        (_, Ok(()), _) => After::Close,
        (_, Err(_), _) => After::BreakOff,
    }
}
