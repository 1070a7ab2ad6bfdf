//! A request that leads a flight.
//!
//! Its own task carries the flight while nobody has joined: it goes its way as any other request. When somebody joins, a task of the flight's own takes
//! over (`carry`), and the leader waits as all others do (`ride`).

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::ascent::{Ascent, Climb};
use super::carry::{self, Errand};
use super::ride::{Aside, Followed, Told, outcome_of};
use super::{After, Exchange, INTERIM_MAX, TOO_MANY_INTERIMS, unused};
use crate::buf::Buf;
use crate::coalesce::{Kept, Lead, Outcome, Role};
use crate::downstream::Downstream;
use crate::fault::{Fault, Kind};
use crate::h1::ResponseHead;
use crate::http::Version;
use crate::io::{Deadline, Tick};
use crate::leave::{Leave, Unused};
use crate::pool::Replay;
use crate::telemetry::Origin;
use crate::timeouts::Timer;

const LOST: Fault = Fault { kind: Kind::UpstreamClosed, detail: "the exchange that this request led was broken off" };

/// How a leader's own way ended.
pub(super) enum Flown {
    Landed(ResponseHead),
    /// Somebody has joined.
    Joined,
    Failed(Fault),
}

/// A fault of the leader's own: its client left, or its own time ran out.
fn is_own(fault: Fault) -> bool {
    matches!(
        fault.kind,
        Kind::ClientGone
            | Kind::TimedOut(Timer::Request | Timer::Queue)
            | Kind::SendTimedOut(Timer::Request | Timer::Queue)
    )
}

/// What a leader's climb is interrupted by.
enum Reached {
    Head(ResponseHead),
    Joined,
    /// More of the client's bytes have come.
    More,
}

/// What the client has sent behind the request that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// The same request again.
    Twin,
    /// It may become that.
    Open,
    Other,
}

impl Behind {
    fn of(kept: &Kept, incoming: &Buf) -> Behind {
        let (head, behind) = (kept.bytes(), incoming.filled());
        match behind.len() < head.len() {
            true if head.starts_with(behind) => Behind::Open,
            false if behind.starts_with(head) => Behind::Twin,
            _ => Behind::Other,
        }
    }
}

impl Exchange<'_> {
    /// Goes up, and takes along whoever joins.
    pub(super) async fn lead(&self, downstream: &mut Downstream, lead: Lead) -> Result<After, Fault> {
        let asked = self.ask(downstream)?;
        self.at_head.set(true);
        downstream.incoming = asked.incoming;
        self.tell_of(Told::Leader);
        let fields = std::mem::take(&mut downstream.fields);
        let mut ascent = Ascent::new(asked.out, asked.origin, self.head.method, Replay::Possible, fields);
        let flown = match self.fly(downstream, &lead, &mut ascent).await {
            Ok(flown) => flown,
            Err(fault) => Flown::Failed(fault),
        };
        self.climbed(&ascent);
        match flown {
            flown if lead.is_joined() => self.hand_over(downstream, lead, ascent, flown).await,
            Flown::Landed(head) => {
                // Where nobody waits it does not matter whether the answer might be shared.
                let judged = match lead.is_observed() {
                    false => Ok(()),
                    true => lead.with_kept(|kept| {
                        carry::judge(&head, ascent.buf.filled(), &ascent.fields, self.site.policy, kept)
                    }),
                };
                let outcome = lead.end(judged.err().map_or(Outcome::Shared, Outcome::from));
                self.record.coalesced(Role::Alone, outcome);
                self.deliver_whole(downstream, ascent.land(head)).await
            }
            // The others are behind it, on its own connection.
            Flown::Joined => self.hand_over(downstream, lead, ascent, Flown::Joined).await,
            Flown::Failed(fault) => {
                downstream.fields = ascent.into_fields();
                let outcome = lead.end(outcome_of(fault));
                self.record.coalesced(Role::Alone, outcome);
                Err(fault)
            }
        }
    }

    /// Others have joined: a task of the flight's own goes on from what has been reached.
    async fn hand_over(
        &self,
        downstream: &mut Downstream,
        lead: Lead,
        mut ascent: Ascent,
        mut flown: Flown,
    ) -> Result<After, Fault> {
        ascent.keep(|out, origin| lead.with_kept(|kept| self.ask_again(out, origin, downstream, kept)));
        // What ended the leader's own wait is nobody else's concern.
        let own = match flown {
            Flown::Failed(fault) if is_own(fault) => {
                ascent.start_over();
                flown = Flown::Joined;
                Some(fault)
            }
            _ => None,
        };
        let (carrier, seat) = lead.hand_over();
        let aside = Rc::new(Aside::default());
        let errand = Errand {
            worker: self.site.worker.clone(),
            listening: self.site.listening.clone(),
            snapshot: self.snapshot.clone(),
            route: self.site.policy.number,
            aside: aside.clone(),
            leader: seat.number(),
            takes_interims: self.head.version == Version::Http11,
        };
        self.site.worker.spawn(move || carry::carry(errand, carrier, ascent, flown));
        if let Some(fault) = own {
            self.settle(&seat, outcome_of(fault));
            return Err(fault);
        }
        match pin!(self.ride(downstream, seat, Some(&aside))).await? {
            Followed::Answered(after) => Ok(after),
            Followed::Alone(_) | Followed::Again { .. } => Err(LOST),
        }
    }

    /// The request that went up, for another attempt.
    fn ask_again(&self, out: &mut Buf, origin: &mut Origin, downstream: &Downstream, kept: &Kept) {
        let asked = kept.question(&self.site.policy.coalescing);
        self.write_head(out, origin, &downstream.sender, asked.bytes, asked.head, asked.fields);
    }

    /// Until the final head, or until somebody joins: a request behind this one too (R12b).
    async fn fly(&self, downstream: &mut Downstream, lead: &Lead, ascent: &mut Ascent) -> Result<Flown, Fault> {
        let is_bound = Cell::new(false);
        let rules = &self.site.policy.coalescing;
        let climb = Climb {
            site: self.site,
            queue: self.queue.get(),
            on_dispatch: &|now, span| {
                span.into_iter().for_each(|span| lead.is_exchange(span));
                lead.dispatched(rules, now);
            },
            is_bound: &is_bound,
        };
        let (mut interims, mut ends) = (0, false);
        loop {
            let Downstream { transport, incoming, .. } = &mut *downstream;
            let behind = match () {
                () if !self.may_repeat() => Behind::Other,
                () if incoming.is_empty() => Behind::Open,
                () => lead.with_kept(|kept| Behind::of(kept, incoming)),
            };
            if behind == Behind::Twin {
                return Ok(Flown::Joined);
            }
            let leave = self.leave(transport);
            let unused = unused(incoming);
            let mut reads = behind == Behind::Open && !ends;
            let mut more = Buf::default();
            let reached = {
                let never = Deadline { at: Tick::NEVER, timer: Timer::Request };
                let mut read = pin!(transport.recv_aside(&mut more, never, !incoming.is_empty()));
                let mut climbing = pin!(ascent.climb(&climb));
                std::future::poll_fn(|cx| {
                    if let Poll::Ready(reached) = climbing.as_mut().poll(cx) {
                        return Poll::Ready(reached.map(Reached::Head));
                    }
                    if lead.poll_joined(cx).is_ready() {
                        // What is under way ends first, and the client's leave waits for that too.
                        return if is_bound.get() { Poll::Pending } else { Poll::Ready(Ok(Reached::Joined)) };
                    }
                    let mut unused = unused;
                    if reads && !is_bound.get() && transport.may_have_come() {
                        match read.as_mut().poll(cx) {
                            // The end is told by the leave, as its meaning is.
                            Poll::Ready(Ok(0) | Err(_)) => (reads, ends) = (false, true),
                            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Reached::More)),
                            // What a read under way has taken from the kernel is told by its outcome alone, and so is the end behind it.
                            Poll::Pending if transport.may_have_come() => unused = Unused::Whatever,
                            Poll::Pending => {}
                        }
                    }
                    leave.poll(cx, unused).map(|()| Err(Leave::FAULT))
                })
                .await
            };
            // Also where the read was given up in the middle.
            incoming.put(more.filled());
            match reached? {
                Reached::Joined => return Ok(Flown::Joined),
                Reached::More => {}
                Reached::Head(head) if head.is_interim() => {
                    interims += 1;
                    if interims > INTERIM_MAX {
                        ascent.fail(TOO_MANY_INTERIMS);
                        return Err(TOO_MANY_INTERIMS);
                    }
                    self.pass_on(downstream, self.interim(&head, ascent.buf.filled(), &ascent.fields)).await?;
                    ascent.pass(&head);
                }
                Reached::Head(head) => return Ok(Flown::Landed(head)),
            }
        }
    }
}
