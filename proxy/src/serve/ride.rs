//! A request that may share its answer: whether it does, and its wait as a participant of a flight.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::admit::LATE;
use super::ascent::Landed;
use super::carry;
use super::site::Site;
use super::{After, Exchange};
use crate::buf::Buf;
use crate::coalesce::{self, Busy, Feed, Join, Landing, Outcome, Question, Scope, Seat, TWINS_MAX};
use crate::config::StatusHeader;
use crate::downstream::Downstream;
use crate::fault::{Fault, Kind};
use crate::h1::Persist;
use crate::io::{Deadline, Tick, exact_ns};
use crate::leave::{Leave, Unused};
use crate::timeouts::Timer;
use crate::transport::Transport;

/// Another worker's thread that is off its core in the middle of a change is back after a few milliseconds, where the node is not overloaded.
const BUSY_LOOK: Duration = Duration::from_millis(1);
const BUSY_LOOKS_MAX: usize = 20;

/// What a follower's flight has come to.
pub(super) enum Followed {
    Answered(After),
    /// It has to go up itself.
    Alone(Outcome),
    /// There is another flight, or none: ask once more. This one had no place left, or it is over.
    Again {
        was_full: bool,
    },
}

/// What a client may be told of coalescing (`Cache-Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Leader,
    Follower,
    Alone(Outcome),
    /// It has waited for nothing.
    InVain(Outcome),
}

/// What the task that carries a flight has for its leader alone.
#[derive(Default)]
pub(super) struct Aside {
    /// The answer, where it must not be shared.
    pub own: Cell<Option<Box<Landed>>>,
    pub interims: RefCell<VecDeque<Buf>>,
}

impl Exchange<'_> {
    /// `None`: it may not share at all, and is counted nowhere.
    pub(super) async fn join(&self, downstream: &Downstream, was_full: bool) -> Option<Join> {
        let rules = &self.site.policy.coalescing;
        let bytes = downstream.incoming.filled();
        // R16: open flights finish, and take no joiners.
        let is_stopping = self.site.worker.is_stopping();
        if is_stopping || !coalesce::is_eligible(bytes, self.head, &downstream.fields, rules) {
            self.tell_of_bypass();
            return None;
        }
        let scope = Scope {
            upstream: self.site.listening.upstream,
            generation: self.snapshot.generation,
            route: self.site.policy.number,
            is_tls: downstream.is_tls(),
            client: rules.compare_client_address.then(|| downstream.peer().ip()),
        };
        let (head, fields) = (self.head, &downstream.fields);
        let question = Question { scope, identity: downstream.sender.identity(), bytes, head, fields, rules };
        let Site { worker, .. } = self.site;
        for _ in 0..BUSY_LOOKS_MAX {
            match worker.board.join(&question, self.snapshot, was_full) {
                Ok(join) => return Some(join),
                Err(Busy) => worker.reactor.sleep_until(Tick::now().after(BUSY_LOOK)).await,
            }
        }
        Some(worker.board.alone(Outcome::Full))
    }

    /// Waits for what somebody else's request brings.
    pub(super) async fn follow(
        &self,
        downstream: &mut Downstream,
        seat: Seat,
        feed: Option<Feed>,
    ) -> Result<Followed, Fault> {
        if let Some(feed) = feed {
            let worker = self.site.worker.clone();
            self.site.worker.spawn(move || carry::feed(worker, feed));
        }
        self.at_head.set(false);
        self.tell_of(Told::Follower);
        // Thousands may wait: each holds its head and no more.
        downstream.incoming.shrink();
        let followed = self.ride(downstream, seat, None).await;
        if let Err(fault) = followed {
            self.tell_of(Told::InVain(outcome_of(fault)));
        }
        if matches!(followed, Err(fault) if fault.kind != Kind::ClientGone) {
            // It is answered, and was whole.
            downstream.incoming.consume(self.head.len);
            self.at_head.set(true);
        }
        followed
    }

    /// A participant's way. Of a follower the head is still what `incoming` begins with; it is used up with the answer.
    pub(super) async fn ride(
        &self,
        downstream: &mut Downstream,
        seat: Seat,
        aside: Option<&Rc<Aside>>,
    ) -> Result<Followed, Fault> {
        let own = if seat.is_leader() { 0 } else { self.head.len };
        let rules = &self.site.policy.coalescing;
        let mut times = Times {
            queue: self.queue.get(),
            impatient: rules.max_wait.filter(|_| !seat.is_leader()).map(|wait| Tick::now().after(wait)),
            request: self.site.deadline,
        };
        let mut twins = Twins { count: 0, reads: self.may_repeat() };
        // A leader waits for nobody.
        let since = (self.record.is_told() && !seat.is_leader()).then(exact_ns);
        let waited = |seat: &Seat, outcome| {
            since.into_iter().for_each(|since| self.record.waited(since, outcome, seat.exchange()));
        };
        loop {
            // Twins repeat this request: a follower's is still there, a leader's is kept.
            let (head, behind) = downstream.incoming.filled().split_at(own);
            match seat.is_leader() {
                true => seat.with_kept(|kept| twins.look(&seat, kept.bytes(), behind)),
                false => twins.look(&seat, head, behind),
            }
            let mut more = Buf::default();
            let unused = if downstream.incoming.len() > own { Unused::NextRequest } else { Unused::Nothing };
            let due = times.next(seat.is_dispatched());
            let event = self.event(&downstream.transport, &seat, aside, &mut more, twins.reads, unused, due).await;
            downstream.incoming.put(more.filled());
            let event = match event {
                Ok(event) => event,
                Err(fault) => {
                    seat.twins_end(twins.count, Outcome::Left);
                    waited(&seat, Some(Outcome::Left));
                    self.settle(&seat, Outcome::Left);
                    return Err(fault);
                }
            };
            match event {
                Event::Landing(Landing::Shared(head)) => {
                    seat.twins_waited(twins.count);
                    waited(&seat, Some(Outcome::Shared));
                    let after = pin!(self.share(downstream, seat, &head, twins.count)).await;
                    return Ok(Followed::Answered(after));
                }
                Event::Landing(Landing::Failed(fault)) => {
                    seat.twins_end(twins.count, outcome_of(fault));
                    self.failed_twins.set(twins.count);
                    waited(&seat, Some(outcome_of(fault)));
                    return self.land(downstream, seat, aside, Landing::Failed(fault)).await;
                }
                Event::Landing(landing) => {
                    seat.twins_leave(twins.count);
                    waited(&seat, if let Landing::Alone(why) = landing { Some(why) } else { None });
                    return self.land(downstream, seat, aside, landing).await;
                }
                Event::Interim(out) => self.pass_on(downstream, Some(out)).await?,
                Event::Read(0) => twins.reads = false,
                Event::Read(_) => {}
                Event::Due(Due::Queue) if seat.is_dispatched() => times.queue = None,
                Event::Due(due) => {
                    seat.twins_leave(twins.count);
                    waited(&seat, Some(Outcome::Timeout));
                    self.settle(&seat, Outcome::Timeout);
                    return match due {
                        Due::Impatient => {
                            seat.asks_again();
                            Ok(Followed::Again { was_full: false })
                        }
                        Due::Queue => Err(Fault { kind: Kind::TimedOut(Timer::Queue), detail: LATE }),
                        Due::Request => {
                            let detail = "the answer that this request shares did not come in time";
                            Err(Fault { kind: Kind::TimedOut(Timer::Request), detail })
                        }
                    };
                }
            }
        }
    }

    /// The flight has come to something else than an answer for all.
    async fn land(
        &self,
        downstream: &mut Downstream,
        seat: Seat,
        aside: Option<&Rc<Aside>>,
        landing: Landing,
    ) -> Result<Followed, Fault> {
        match landing {
            Landing::Shared(_) => unreachable!("told apart by the caller"),
            Landing::Failed(fault) => {
                self.settle(&seat, outcome_of(fault));
                Err(fault)
            }
            Landing::Again { was_full } => {
                seat.asks_again();
                Ok(Followed::Again { was_full })
            }
            Landing::Alone(why) => {
                self.settle(&seat, why);
                drop(seat);
                match aside.and_then(|aside| aside.own.take()) {
                    Some(landed) => {
                        let after = self.deliver_whole(downstream, *landed).await?;
                        Ok(Followed::Answered(after))
                    }
                    None => Ok(Followed::Alone(why)),
                }
            }
        }
    }

    /// What happens next to a participant that waits.
    #[expect(clippy::too_many_arguments, reason = "all that it waits for")]
    async fn event(
        &self,
        transport: &Transport,
        seat: &Seat,
        aside: Option<&Rc<Aside>>,
        more: &mut Buf,
        reads: bool,
        unused: Unused,
        due: Option<(Tick, Due)>,
    ) -> Result<Event, Fault> {
        let never = Deadline { at: Tick::NEVER, timer: Timer::Request };
        let has_more = unused == Unused::NextRequest;
        let mut read = pin!(reads.then(|| transport.recv_aside(more, never, has_more)));
        let reactor = &self.site.worker.reactor;
        let mut late = pin!(due.map(|(at, _)| reactor.sleep_until(at)));
        let leave = self.leave(transport);
        // Of a client that is read from, the read tells the end.
        let unused = if reads { Unused::Whatever } else { unused };
        std::future::poll_fn(|cx| {
            if let Some(interim) = aside.and_then(|aside| aside.interims.borrow_mut().pop_front()) {
                return Poll::Ready(Ok(Event::Interim(interim)));
            }
            if let Poll::Ready(landing) = seat.poll_landing(cx) {
                return Poll::Ready(Ok(Event::Landing(landing)));
            }
            if let Some(read) = read.as_mut().as_pin_mut()
                && let Poll::Ready(came) = read.poll(cx)
            {
                return Poll::Ready(Ok(Event::Read(came.unwrap_or(0))));
            }
            if leave.poll(cx, unused).is_ready() {
                return Poll::Ready(Err(Leave::FAULT));
            }
            if let (Some(late), Some((_, due))) = (late.as_mut().as_pin_mut(), due) {
                return late.poll(cx).map(|()| Ok(Event::Due(due)));
            }
            Poll::Pending
        })
        .await
    }

    /// What a participant has come to.
    pub(super) fn settle(&self, seat: &Seat, outcome: Outcome) {
        self.record.coalesced(seat.role(), seat.set_outcome(outcome));
    }

    /// The connection can carry further answers, as far as is known now.
    pub(super) fn may_repeat(&self) -> bool {
        self.persist() != Persist::Close
    }

    /// Writes the member of `Cache-Status` that the client is to see (R15).
    pub(super) fn tell_of(&self, told: Told) {
        let header = self.site.policy.coalescing.status_header;
        let member = match (header, told) {
            (StatusHeader::Off, _) => None,
            (_, Told::Follower) => Some("slipstream; fwd=uri-miss; collapsed"),
            (_, Told::InVain(why)) => Some(in_vain(why)),
            (StatusHeader::All, Told::Leader | Told::Alone(_)) => Some("slipstream; fwd=uri-miss"),
            (StatusHeader::Followers, _) => None,
        };
        self.cache_status.set(member);
    }

    fn tell_of_bypass(&self) {
        let says_all = self.site.policy.coalescing.status_header == StatusHeader::All;
        let is_get = self.head.method == crate::http::Method::Get;
        let member = if is_get { "slipstream; fwd=bypass" } else { "slipstream; fwd=method" };
        self.cache_status.set(says_all.then_some(member));
    }

    /// What another request of the same connection would be told.
    pub(super) fn told_followers(&self) -> Option<&'static str> {
        let header = self.site.policy.coalescing.status_header;
        (header != StatusHeader::Off).then_some("slipstream; fwd=uri-miss; collapsed")
    }
}

fn in_vain(why: Outcome) -> &'static str {
    match why {
        Outcome::Unshareable => "slipstream; fwd=uri-miss; collapsed=?0; detail=unshareable",
        Outcome::Vary => "slipstream; fwd=uri-miss; collapsed=?0; detail=vary",
        Outcome::Error => "slipstream; fwd=uri-miss; collapsed=?0; detail=error",
        Outcome::Timeout => "slipstream; fwd=uri-miss; collapsed=?0; detail=timeout",
        Outcome::Memory => "slipstream; fwd=uri-miss; collapsed=?0; detail=memory",
        Outcome::Pass => "slipstream; fwd=uri-miss; collapsed=?0; detail=pass",
        Outcome::Lagged => "slipstream; fwd=uri-miss; collapsed=?0; detail=lagged",
        Outcome::Aborted => "slipstream; fwd=uri-miss; collapsed=?0; detail=aborted",
        _ => "slipstream; fwd=uri-miss; collapsed=?0; detail=full",
    }
}

pub(super) fn outcome_of(fault: Fault) -> Outcome {
    match fault.kind {
        Kind::TimedOut(_) | Kind::SendTimedOut(_) => Outcome::Timeout,
        Kind::ClientGone => Outcome::Left,
        Kind::UpstreamBrokenOff => Outcome::Aborted,
        _ => Outcome::Error,
    }
}

/// Requests that the same connection sends behind the one that waits.
struct Twins {
    count: usize,
    /// More of them may come.
    reads: bool,
}

impl Twins {
    /// R12b: requests of this connection that repeat the one that waits, byte for byte, join at once.
    fn look(&mut self, seat: &Seat, head: &[u8], behind: &[u8]) {
        if !self.reads || !seat.is_aloft() {
            return;
        }
        let len = head.len();
        let more = coalesce::twins(head, &behind[self.count * len..], TWINS_MAX - 1 - self.count);
        seat.twins_join(more);
        self.count += more;
        let rest = &behind[self.count * len..];
        self.reads = self.count < TWINS_MAX - 1 && rest.len() < len && head.starts_with(rest);
    }
}

enum Event {
    Landing(Landing),
    Interim(Buf),
    /// So many bytes have come; 0: the client sends no more.
    Read(usize),
    Due(Due),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Queue,
    Request,
    /// It looks for a newer flight.
    Impatient,
}

/// Until when a participant waits.
struct Times {
    queue: Option<Deadline>,
    request: Option<Deadline>,
    impatient: Option<Tick>,
}

impl Times {
    fn next(&self, is_dispatched: bool) -> Option<(Tick, Due)> {
        let queue = self.queue.filter(|_| !is_dispatched).map(|deadline| (deadline.at, Due::Queue));
        let request = self.request.map(|deadline| (deadline.at, Due::Request));
        let impatient = self.impatient.map(|at| (at, Due::Impatient));
        [request, queue, impatient].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}
