//! A participant that waits for what a flight comes to: `serve::ride`.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::app::Landed;
use super::carry;
use super::checks;
use super::client::{After, Asking};
use super::executor::{Role, Sleep};
use super::ledger::{Ticket, Who};
use super::records::{Asked, Living, Participant};
use crate::coalesce::{Feed, Landing, Outcome, Seat, TWINS_MAX};
use crate::fault::{Fault, Kind};
use crate::timeouts::Timer;

/// What a follower's flight has come to.
pub enum Followed {
    Answered(After),
    Alone,
    Again { was_full: bool },
}

/// What the task that carries a flight has for its leader alone.
#[derive(Default)]
pub struct Aside {
    pub own: Cell<Option<Landed>>,
    pub interims: Cell<usize>,
    /// The requests whose tasks have taken an interim answer.
    pub takers: RefCell<Vec<usize>>,
}

enum Event {
    Landing(Landing),
    Interim,
    More,
    Due(Due),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Queue,
    Request,
    Impatient,
}

pub fn outcome_of(fault: Fault) -> Outcome {
    match fault.kind {
        Kind::TimedOut(_) | Kind::SendTimedOut(_) => Outcome::Timeout,
        Kind::ClientGone => Outcome::Left,
        Kind::UpstreamBrokenOff => Outcome::Aborted,
        _ => Outcome::Error,
    }
}

/// A participant, from its seat to its end. The fields are dropped in this order.
pub struct Rider {
    pub seat: Seat,
    pub ticket: Ticket,
    pub record: Living<Participant>,
    /// Requests behind it that wait too.
    pub twins: usize,
}

impl Asking<'_> {
    /// Waits for what somebody else's request brings.
    pub async fn follow(&self, asked: Asked, seat: Seat, feed: Option<Feed>) -> Result<Followed, Fault> {
        let (world, asks) = (self.world(), feed.is_some());
        // The next request may come in the same step.
        checks::after_step(world);
        if let Some(feed) = feed {
            world.spawn(Role::Feed, self.worker(), carry::feed(world.clone(), self.worker(), feed));
        }
        world.trace(|| {
            let where_to = if asks { "asks another worker for" } else { "joins" };
            format!("request {} {where_to} a flight, class {}", asked.request, asked.class)
        });
        let ticket = Ticket::new(world, self.worker(), Who::Follower);
        self.ride(asked, seat, None, ticket).await
    }

    pub async fn ride(
        &self,
        asked: Asked,
        seat: Seat,
        aside: Option<&Rc<Aside>>,
        ticket: Ticket,
    ) -> Result<Followed, Fault> {
        let record = Participant::new(asked, self.worker(), seat.flight(), seat.is_leader());
        let mut rider = Rider { seat, ticket, record: self.world().participants.add(record), twins: 0 };
        let max_wait = self.snapshot.policy.coalescing.max_wait.filter(|_| !rider.seat.is_leader());
        let impatient = max_wait.map(|wait| self.world().now() + wait.as_millis() as u64);
        let mut queue = self.queue;
        loop {
            self.count_twins(&mut rider);
            let queue_due = queue.filter(|_| !rider.seat.is_dispatched());
            let dues = [(self.deadline, Due::Request), (queue_due, Due::Queue), (impatient, Due::Impatient)];
            let due = dues.into_iter().filter_map(|(at, due)| Some((at?, due))).min_by_key(|(at, _)| *at);
            let event = match self.event(&rider, aside, due).await {
                Ok(event) => event,
                Err(fault) => {
                    self.end_twins(&rider, rider.twins, Outcome::Left);
                    return Err(fault);
                }
            };
            match event {
                Event::Landing(Landing::Shared(head)) => {
                    rider.seat.twins_waited(rider.twins);
                    return Ok(Followed::Answered(self.share(rider, &head).await));
                }
                Event::Landing(Landing::Failed(fault)) => {
                    // Each has its own fault, and none becomes an attempt (R8).
                    self.end_twins(&rider, rider.twins, outcome_of(fault));
                    self.connection.has_served(rider.twins);
                    return self.land(rider, aside, Landing::Failed(fault)).await;
                }
                Event::Landing(landing) => {
                    rider.seat.twins_leave(rider.twins);
                    return self.land(rider, aside, landing).await;
                }
                Event::Interim => {}
                Event::More => {}
                Event::Due(Due::Queue) if rider.seat.is_dispatched() => queue = None,
                Event::Due(due) => return self.is_late(&rider, due),
            }
        }
    }

    fn is_late(&self, rider: &Rider, due: Due) -> Result<Followed, Fault> {
        let Rider { seat, ticket, twins, .. } = rider;
        seat.twins_leave(*twins);
        seat.set_outcome(Outcome::Timeout);
        ticket.set(Outcome::Timeout);
        let timer = match due {
            Due::Impatient => {
                seat.asks_again();
                ticket.asks_again();
                return Ok(Followed::Again { was_full: false });
            }
            Due::Queue => Timer::Queue,
            Due::Request => Timer::Request,
        };
        Err(Fault { kind: Kind::TimedOut(timer), detail: "it waited for too long" })
    }

    /// What happens next to a participant that waits.
    async fn event(&self, rider: &Rider, aside: Option<&Rc<Aside>>, due: Option<(u64, Due)>) -> Result<Event, Fault> {
        let Rider { seat, record, twins, .. } = rider;
        let mut late: Option<Sleep> = due.map(|(at, _)| self.world().executor.sleep_until(at));
        let event = std::future::poll_fn(|cx| {
            if let Some(aside) = aside.filter(|aside| aside.interims.get() > 0) {
                aside.interims.set(aside.interims.get() - 1);
                aside.takers.borrow_mut().push(self.request.number);
                return Poll::Ready(Ok(Event::Interim));
            }
            if let Poll::Ready(landing) = seat.poll_landing(cx) {
                return Poll::Ready(Ok(Event::Landing(landing)));
            }
            record.waits.set(true);
            if self.connection.poll_more(*twins, cx).is_ready() {
                return Poll::Ready(Ok(Event::More));
            }
            if self.connection.poll_left(cx).is_ready() {
                let detail = "the client left";
                return Poll::Ready(Err(Fault { kind: Kind::ClientGone, detail }));
            }
            if let (Some(late), Some((_, due))) = (&mut late, due) {
                return Pin::new(late).poll(cx).map(|()| Ok(Event::Due(due)));
            }
            Poll::Pending
        })
        .await;
        record.waits.set(false);
        event
    }

    fn count_twins(&self, rider: &mut Rider) {
        if !rider.seat.is_aloft() {
            return;
        }
        let more = self.connection.behind().min(TWINS_MAX - 1) - rider.twins;
        rider.seat.twins_join(more);
        rider.twins += more;
    }

    /// So many of them are over.
    pub fn end_twins(&self, rider: &Rider, n: usize, outcome: Outcome) {
        rider.seat.twins_end(n, outcome);
        self.world().ledger.count(self.worker(), Who::Follower, outcome, n as u64);
    }

    /// The flight has come to something else than an answer for all.
    async fn land(&self, rider: Rider, aside: Option<&Rc<Aside>>, landing: Landing) -> Result<Followed, Fault> {
        let Rider { seat, ticket, record, .. } = rider;
        match landing {
            Landing::Shared(_) => unreachable!("told apart by the caller"),
            Landing::Failed(fault) => {
                seat.set_outcome(outcome_of(fault));
                ticket.set(outcome_of(fault));
                Err(fault)
            }
            Landing::Again { was_full } => {
                checks::is_told_to_ask_again(self.world(), &record, was_full);
                seat.asks_again();
                ticket.asks_again();
                Ok(Followed::Again { was_full })
            }
            Landing::Alone(why) => {
                checks::is_released(self.world(), &record, why);
                seat.set_outcome(why);
                ticket.set(why);
                drop((seat, ticket, record));
                match aside.and_then(|aside| aside.own.take()) {
                    Some(landed) => Ok(Followed::Answered(self.deliver(landed).await)),
                    None => Ok(Followed::Alone),
                }
            }
        }
    }
}
