//! The spine: all control flow of a request, top to bottom. Rooms below it decide or transform; none calls another sideways.
//!
//! `listen > downstream > serve { route > deadline > ask > admit > attempt (pool, upload, head) > answer } > downstream`

mod admit;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::buf::Buf;
use crate::config::{RoutePolicy, Snapshot, Timeouts};
use crate::downstream::{Downstream, Next};
use crate::fault::{Fault, Kind};
use crate::h1::{self, Ask, Body, Keep, Persist, RequestHead, ResponseHead};
use crate::http::{Method, Version};
use crate::io::{Deadline, Tick};
use crate::leave::{Leave, Unused};
use crate::listen::{EVICTED_AT_ONCE, Listening};
use crate::pool::{Ages, Lease, NO_DESCRIPTOR, Replay};
use crate::reply;
use crate::stop::Phase;
use crate::telemetry::Record;
use crate::timeouts::Timer;
use crate::transport::Transport;
use crate::upstream::{Alongside, Download, Encode, Ended, Progress, Started, Upload, UploadEnd, read_head, refused};
use crate::worker::Worker;
use admit::Admitted;

/// A request is kept for a replay up to this size, head and body.
const REPLAY_BYTES_MAX: usize = 64 * 1024;

/// Interim responses to one request. Real apps send one or two.
const INTERIM_MAX: u32 = 32;

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
    listening: &Listening,
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
                answer_fault(worker, &mut downstream, fault, None, Persist::Close, &snapshot.policy.timeouts).await
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
    listening: &Listening,
    snapshot: &Snapshot,
    downstream: &mut Downstream,
    head: &RequestHead,
) -> After {
    let record = Record::start(&worker.counters);
    let policy = crate::route::policy(snapshot, downstream.incoming.filled(), head, &downstream.fields);
    let persist = match head.version {
        _ if !head.persistent => Persist::Close,
        _ if downstream.is_aged(policy.timeouts.max_connection_age) => Persist::Close,
        Version::Http11 => Persist::Keep,
        Version::Http10 => Persist::KeepHttp10,
    };
    let request = Exchange {
        worker,
        listening,
        policy,
        head,
        persist,
        deadline: policy.timeouts.request.map(|wait| Deadline::after(wait, Timer::Request)),
        record: &record,
        at_head: Cell::new(false),
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
                answer_fault(worker, downstream, fault, Some(head.method), persist, &policy.timeouts).await
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
    worker: &'r Rc<Worker>,
    listening: &'r Listening,
    policy: &'r RoutePolicy,
    head: &'r RequestHead,
    persist: Persist,
    /// `timeouts.request`, from the whole head on.
    deadline: Option<Deadline>,
    record: &'r Record<'r>,
    /// What is read next of the client's connection is a head: the body was read whole, and what came behind it is back in its place.
    at_head: Cell<bool>,
}

/// A request as it goes up: what is in memory, and what is still to come.
struct Asked {
    out: Buf,
    incoming: Buf,
    body: Body,
    content: u64,
}

impl Exchange<'_> {
    /// Sends the request to the app and the answer to the client. Errors: nothing of an answer has been sent.
    async fn exchange(&self, downstream: &mut Downstream) -> Result<After, Fault> {
        admit::afford(self.worker, self.listening)?;
        let mut asked = self.ask(downstream)?;
        let whole = asked.body.is_over() && asked.out.len() <= REPLAY_BYTES_MAX;
        let replay = if whole && self.head.method.is_idempotent() { Replay::Possible } else { Replay::Impossible };
        // Before anything waits for the app, and before more of the body is read. It ends after the lease, so that who comes next finds that warm.
        let mut admitted = match self.unless_left(downstream, &asked, self.admit()).await? {
            Ok(admitted) => admitted,
            Err(fault) => return Err(self.not_sent(downstream, asked, fault)),
        };
        let pool = &self.listening.pool;
        let mut warm = pool.warm(replay, self.ages());
        loop {
            let lease = match warm.take() {
                Some(lease) => lease,
                None => match self.unless_left(downstream, &asked, self.connect()).await? {
                    Ok(lease) => lease,
                    Err(fault) => return Err(self.not_sent(downstream, asked, fault)),
                },
            };
            // Pinned where it is made: `await` alone would move it twice, all of its 2 KiB.
            match pin!(self.attempt(downstream, &lease, asked, replay, &mut admitted)).await? {
                Attempt::Answered(after) => return Ok(after),
                Attempt::Stale(again) => {
                    self.worker.counters.upstream_replays.add(1);
                    asked = again;
                }
            }
        }
    }

    /// Nothing of `asked` went up: what was read of the client's connection is back in its place.
    fn not_sent(&self, downstream: &mut Downstream, asked: Asked, fault: Fault) -> Fault {
        downstream.incoming = asked.incoming;
        self.at_head.set(asked.body.is_over());
        fault
    }

    /// A new connection to the app, for which idle connections give way where there is no descriptor left.
    async fn connect(&self) -> Result<Lease, Fault> {
        loop {
            let connected = self.listening.pool.connect(self.ages(), self.deadline).await;
            let is_short = matches!(connected, Err(fault) if fault == NO_DESCRIPTOR);
            if !is_short || self.listening.lot.evict(self.worker, EVICTED_AT_ONCE) == 0 {
                return connected;
            }
            self.worker.reactor.until_closed().await;
        }
    }

    /// Waits on behalf of a client that is still there.
    async fn unless_left<T>(
        &self,
        downstream: &Downstream,
        asked: &Asked,
        wait: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let unused = match asked {
            Asked { body, .. } if !body.is_over() => Unused::Body,
            Asked { incoming, .. } if incoming.is_empty() => Unused::Nothing,
            _ => Unused::NextRequest,
        };
        self.leave(&downstream.transport).unless(unused, wait).await
    }

    fn leave<'t>(&self, transport: &'t Transport) -> Leave<'t> {
        Leave { transport, half_close: self.policy.half_close }
    }

    /// Turns the head and what has come of the body into what the app is sent.
    fn ask(&self, downstream: &mut Downstream) -> Result<Asked, Fault> {
        let content_max = self.policy.limits.request_body_bytes;
        let mut out = Buf::head();
        h1::ask_head(
            &mut out,
            Ask {
                bytes: downstream.incoming.filled(),
                head: self.head,
                fields: &downstream.fields,
                sender: &downstream.sender,
                forwarded: self.policy.forwarded,
                upstream_authority: &self.listening.upstream_authority,
            },
        );
        downstream.incoming.consume(self.head.len);
        let mut body = self.head.body;
        let piece = body.take(downstream.incoming.filled_mut(), Keep::Frames).map_err(refused)?;
        if content_max.is_some_and(|max| piece.content.saturating_add(body.announced()) > max) {
            return Err(UploadEnd::TOO_LARGE);
        }
        self.worker.counters.bytes_received.add(piece.content);
        out.put(&downstream.incoming.filled()[..piece.kept]);
        downstream.incoming.consume(piece.consumed);
        let mut incoming = std::mem::take(&mut downstream.incoming);
        if incoming.is_empty() {
            // Back to the pool while the app thinks.
            incoming = Buf::default();
        }
        Ok(Asked { out, incoming, body, content: piece.content })
    }

    /// One try on one connection.
    async fn attempt(
        &self,
        downstream: &mut Downstream,
        lease: &Lease,
        asked: Asked,
        replay: Replay,
        admitted: &mut Admitted<'_>,
    ) -> Result<Attempt, Fault> {
        let Self { worker, policy, head, .. } = self;
        let Downstream { transport, fields, incoming, .. } = downstream;
        let (body, content) = (asked.body, asked.content);
        worker.counters.upstream_requests.add(1);
        let started = Upload {
            from: transport,
            to: lease.stream(),
            out: asked.out,
            incoming: asked.incoming,
            body,
            content,
            sent: 0,
            policy,
            request: self.deadline,
            counters: &worker.counters,
        }
        .start();
        let mut rest = pin!(None);
        let done = match started {
            Started::Done(mut uploaded) => {
                // The app may think for long.
                if lease.reused {
                    uploaded.out.fit();
                } else {
                    uploaded.out = Buf::default();
                }
                Some(uploaded)
            }
            Started::Underway(upload) => {
                rest.set(Some(upload.run()));
                None
            }
        };
        // The app has its time for the answer from when it has the request: until then the upload's own timers count.
        let is_long = !body.is_over();
        let never = Deadline { at: Tick::NEVER, timer: Timer::Request }.or(self.deadline);
        let head_deadline = Cell::new(if is_long { never } else { self.head_deadline() });
        let waits_for_head = Cell::new(true);
        let on_sent = || {
            if is_long && waits_for_head.get() {
                head_deadline.set(self.head_deadline());
                lease.stream().set_read_deadline(head_deadline.get());
            }
        };
        let mut upload = Alongside::new(done, rest, on_sent, self.leave(transport));
        let mut buf = Buf::default();
        let mut interims = 0;
        let answer = loop {
            let read = read_head(lease.stream(), &mut buf, head.method, fields, &head_deadline);
            let answer = match upload.with(pin!(read)).await? {
                Ok(answer) => answer,
                Err(none) => {
                    let Some(uploaded) = upload.into_done() else { return Err(none.fault) };
                    let replayable = replay == Replay::Possible || uploaded.sent == 0;
                    if lease.reused && none.nothing_came && replayable {
                        let (out, incoming) = (uploaded.out, uploaded.incoming);
                        return Ok(Attempt::Stale(Asked { out, incoming, body, content }));
                    }
                    *incoming = uploaded.incoming;
                    self.at_head.set(uploaded.end == UploadEnd::Whole);
                    return Err(none.fault);
                }
            };
            if !answer.is_interim() {
                break answer;
            }
            interims += 1;
            if interims > INTERIM_MAX {
                return Err(Fault { kind: Kind::UpstreamGarbage, detail: "more than 32 interim responses" });
            }
            if head.version == Version::Http11 {
                self.record.answered(answer.status);
                let mut out = Buf::head();
                h1::answer_head(&mut out, buf.filled(), &answer, fields, Persist::Keep, false, &worker.date());
                let upto = out.len();
                let (_, outcome, _) = upload.with(pin!(transport.send(out, 0..upto, self.idle_deadline()))).await?;
                if outcome.is_err() {
                    return Err(Fault { kind: Kind::ClientGone, detail: "the client left before its answer" });
                }
            }
            buf.consume(answer.len);
        };

        waits_for_head.set(false);
        upload.forget_sent();
        self.release_early(admitted, buf.filled(), fields);
        let encode = self.encode(&answer);
        let until_close = encode == Encode::Unchunked || (encode == Encode::AsIs && answer.body == Body::UntilClose);
        // A body that is still on its way when the answer begins may never be wanted whole: the connection ends with the answer.
        let persist = if until_close || !upload.is_whole() { Persist::Close } else { self.persist() };
        let mut out = Buf::head();
        let chunked = encode == Encode::Chunked || (encode == Encode::AsIs && answer.body.is_chunked());
        h1::answer_head(&mut out, buf.filled(), &answer, fields, persist, chunked, &worker.date());
        buf.consume(answer.len);
        let download = Download {
            from: lease.stream(),
            to: transport,
            out,
            buf,
            body: answer.body,
            encode,
            policy,
            request: self.deadline,
            counters: &worker.counters,
            progress: Progress::default(),
        };
        let ended = match download.start() {
            Started::Done(ended) => ended,
            Started::Underway(download) => match upload.with(pin!(download.run())).await {
                Ok(ended) => ended,
                Err(fault) => Ended::FailedInside(fault),
            },
        };
        let uploaded = upload.into_done();
        let whole = uploaded.as_ref().is_some_and(|uploaded| uploaded.end == UploadEnd::Whole);
        self.at_head.set(whole);
        if let Some(uploaded) = uploaded {
            *incoming = uploaded.incoming;
        }
        match ended {
            Ended::FailedUnseen(fault) => return Err(fault),
            Ended::FailedInside(fault) => {
                self.record.answered(answer.status);
                self.record.failed(fault);
                return Ok(Attempt::Answered(After::BreakOff));
            }
            Ended::Whole if whole && answer.persistent => lease.keep(answer.keep_alive_s.map(Duration::from_secs)),
            Ended::Whole | Ended::WholeThenSpoilt => {}
        }
        self.record.answered(answer.status);
        Ok(Attempt::Answered(if persist == Persist::Close || !whole { After::Close } else { After::Next }))
    }

    /// Whether the connection outlives an answer whose head is written now.
    fn persist(&self) -> Persist {
        if self.worker.is_stopping() { Persist::Close } else { self.persist }
    }

    /// How the body reaches this client (RFC 9112 section 6.3 and 7).
    fn encode(&self, answer: &ResponseHead) -> Encode {
        match (answer.body, self.head.version) {
            (Body::Chunked(_), Version::Http10) => Encode::Unchunked,
            (Body::UntilClose, Version::Http11) => Encode::Chunked,
            _ => Encode::AsIs,
        }
    }

    fn ages(&self) -> Ages {
        let timeouts = &self.policy.timeouts;
        Ages { connect: timeouts.connect, idle: timeouts.upstream_idle, age: timeouts.max_connection_age }
    }

    fn idle_deadline(&self) -> Deadline {
        Deadline::after(self.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.deadline)
    }

    fn head_deadline(&self) -> Deadline {
        let wait = self.policy.timeouts.response_headers;
        self.idle_deadline().or(wait.map(|wait| Deadline::after(wait, Timer::ResponseHeaders)))
    }

    async fn answer_as_last_hop(&self, downstream: &mut Downstream) -> After {
        let persist = if self.head.body.is_over() { self.persist() } else { Persist::Close };
        let mut out = Buf::head();
        let bytes = downstream.incoming.filled();
        reply::last_hop(&mut out, bytes, self.head, &downstream.fields, persist, &self.worker.date());
        downstream.incoming.consume(self.head.len);
        self.record.answered(200);
        send_answer(downstream, out, persist, self.policy.timeouts.stream_idle).await
    }
}

/// How one try ended.
enum Attempt {
    Answered(After),
    /// The connection had gone stale; the request, to be sent once more.
    Stale(Asked),
}

async fn answer_fault(
    worker: &Worker,
    downstream: &mut Downstream,
    fault: Fault,
    method: Option<Method>,
    persist: Persist,
    timeouts: &Timeouts,
) -> After {
    if fault.kind == Kind::ClientGone {
        return After::Close;
    }
    if worker.phase() == Phase::Ended {
        // It failed because we ended its wait: an answer would put the blame on somebody.
        return After::BreakOff;
    }
    worker.counters.answered(fault.status());
    let mut out = Buf::head();
    let retry_after_s = fault.shed().map(|_| admit::retry_after_s(timeouts));
    reply::fault(&mut out, fault, method, persist, retry_after_s, &worker.name, &worker.date());
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
