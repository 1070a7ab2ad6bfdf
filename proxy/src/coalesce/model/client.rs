//! A client's connection and the task that serves it: what `serve` and `serve::ride` do with a request that may share its answer.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::app::{Ascent, Climb, Landed, Part, Reached};
use super::carry::{self, Errand};
use super::checks;
use super::executor::{Role, Sleep};
use super::heads::Request;
use super::ledger::{Ticket, Who};
use super::plan::{Client, Reader};
use super::records::{Asked, Ending, Flying};
use super::ride::{Aside, Followed};
use super::world::World;
use crate::coalesce::{Join, Lead, Outcome};
use crate::config::Snapshot;
use crate::fault::{Fault, Kind};
use crate::io::Tick;
use crate::timeouts::Timer;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Next,
    Close,
}

/// A reader that has stopped is broken off after so long (`timeouts.streamIdle`).
const STREAM_IDLE_MS: u64 = 100_000;

const LEFT: Fault = Fault { kind: Kind::ClientGone, detail: "the client left" };

pub struct Connection {
    pub world: Rc<World>,
    pub plan: Client,
    leave: RefCell<Option<Sleep>>,
    next_twin: RefCell<Option<Sleep>>,
    /// Requests that are done with.
    served: Cell<usize>,
    sent_bytes: Cell<usize>,
}

/// One request on its way.
pub struct Asking<'c> {
    pub connection: &'c Connection,
    pub request: Request,
    pub snapshot: std::sync::Arc<Snapshot>,
    pub class: usize,
    pub queue: Option<u64>,
    pub deadline: Option<u64>,
}

pub async fn connection(world: Rc<World>, plan: Client) {
    world.executor.sleep_until(plan.arrives).await;
    let leave = plan.leaves.map(|at| world.executor.sleep_until(at));
    let connection = Connection {
        world,
        plan,
        leave: RefCell::new(leave),
        next_twin: RefCell::default(),
        served: Cell::new(0),
        sent_bytes: Cell::new(0),
    };
    while connection.next_head().await {
        let asking = connection.asking();
        let after = asking.exchange().await;
        asking.world().trace(|| format!("request {} is over: {after:?}", asking.request.number));
        if after == After::Close {
            return;
        }
    }
}

impl Connection {
    /// Requests that have come so far.
    fn arrived(&self) -> usize {
        1 + self.plan.twins.iter().take_while(|&&at| at <= self.world.now()).count()
    }

    /// Of those, the ones behind the one that is served.
    pub fn behind(&self) -> usize {
        self.arrived().saturating_sub(self.served.get() + 1)
    }

    /// Ready when more than `known` have come behind the one that is served.
    pub fn poll_more(&self, known: usize, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.behind() > known {
                return Poll::Ready(());
            }
            let Some(&next) = self.plan.twins.get(self.arrived() - 1) else { return Poll::Pending };
            let mut timer = self.next_twin.borrow_mut();
            let sleep = timer.get_or_insert_with(|| self.world.executor.sleep_until(next));
            std::task::ready!(Pin::new(sleep).poll(cx));
            *timer = None;
        }
    }

    /// Ready when the client has left.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.plan.leaves_after_bytes.is_some_and(|bytes| self.sent_bytes.get() > bytes) {
            return Poll::Ready(());
        }
        match &mut *self.leave.borrow_mut() {
            Some(leave) => Pin::new(leave).poll(cx),
            None => Poll::Pending,
        }
    }

    /// False: there is no further request.
    async fn next_head(&self) -> bool {
        if self.served.get() > self.plan.twins.len() {
            return false;
        }
        std::future::poll_fn(|cx| {
            if self.poll_left(cx).is_ready() {
                return Poll::Ready(false);
            }
            if self.arrived() > self.served.get() {
                return Poll::Ready(true);
            }
            // As if one were served that has not come.
            self.poll_more(0, cx).map(|()| true)
        })
        .await
    }

    pub fn has_served(&self, requests: usize) {
        self.served.set(self.served.get() + requests);
    }

    fn asking(&self) -> Asking<'_> {
        let (snapshot, now) = (self.world.snapshot(), self.world.now());
        let request = Request::new(self.plan.shape, self.world.new_request());
        Asking {
            connection: self,
            class: World::class_of(request.shape().class, snapshot.generation),
            request,
            snapshot,
            queue: self.plan.queue_ms.map(|ms| now + ms),
            deadline: self.plan.request_ms.map(|ms| now + ms),
        }
    }

    /// Sends `bytes`, as fast as the client reads.
    pub async fn send(&self, bytes: usize) -> Result<(), Fault> {
        match self.plan.reader {
            Reader::Fast => {}
            Reader::Slow(ms) => self.world.executor.sleep(ms).await,
            Reader::Stops(after) if self.sent_bytes.get() + bytes <= after => {}
            Reader::Stops(_) => {
                self.world.executor.sleep(STREAM_IDLE_MS).await;
                return Err(Fault { kind: Kind::TimedOut(Timer::StreamIdle), detail: "it reads no more" });
            }
        }
        self.sent_bytes.set(self.sent_bytes.get() + bytes);
        Ok(())
    }

    pub async fn unless_left<T>(&self, other: impl Future<Output = T>) -> Result<T, Fault> {
        let mut other = pin!(other);
        std::future::poll_fn(|cx| match other.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_left(cx).map(|()| Err(LEFT)),
        })
        .await
    }
}

/// A leader's own way ended.
enum Flown {
    Landed(super::heads::Answer),
    Joined,
}

impl<'c> Asking<'c> {
    pub fn world(&self) -> &'c Rc<World> {
        &self.connection.world
    }

    pub fn worker(&self) -> usize {
        self.connection.plan.worker
    }

    async fn exchange(&self) -> After {
        let mut asks = Some(false);
        let mut rounds = 0;
        while let Some(was_full) = asks.take() {
            if self.world().is_draining.get() {
                break;
            }
            rounds += 1;
            let asked = self.asked();
            let question = self.request.question(self.snapshot.generation, &self.snapshot.policy.coalescing);
            let join = self.world().boards[self.worker()].join(&question, &self.snapshot, was_full);
            let join = join.expect("all workers of the model are one thread");
            if !matches!(join, Join::Alone(_)) {
                checks::waits(self.world(), self.worker(), &asked);
            }
            match join {
                Join::Alone(why) => {
                    checks::goes_alone(self.world(), self.worker(), &asked, why);
                    break;
                }
                Join::Lead(lead) => return self.lead(asked, lead).await,
                Join::Follow(seat, feed) => match self.follow(asked, seat, feed).await {
                    Ok(Followed::Answered(after)) => return after,
                    Ok(Followed::Alone) => break,
                    Ok(Followed::Again { was_full }) => asks = Some(was_full),
                    Err(fault) => return self.told(fault),
                },
            }
            checks::asks_again(self.world(), &asked, rounds);
        }
        self.alone().await
    }

    fn asked(&self) -> Asked {
        let world = self.world();
        world.new_event();
        checks::asks(world, |opened| opened.class == self.class);
        Asked {
            request: self.request.number,
            class: self.class,
            at: world.now(),
            barrier: world.barrier(self.request.shape().uri),
        }
    }

    /// The client gets our own answer.
    fn told(&self, fault: Fault) -> After {
        self.connection.has_served(1);
        self.world().trace(|| format!("request {} gets {fault:?}", self.request.number));
        if fault.kind == Kind::ClientGone { After::Close } else { After::Next }
    }

    async fn lead(&self, asked: Asked, lead: Lead) -> After {
        let world = self.world();
        let opened = checks::opens(world, self.worker(), &asked, self.request.shape().uri, lead.flight());
        let opened = Flying(opened);
        let ticket = Ticket::new(world, self.worker(), Who::Own);
        let mut ascent = Ascent::new(world, asked.request, asked.class);
        let flown = self.fly(&lead, &opened, &mut ascent).await;
        let landed = match flown {
            Ok(Flown::Landed(answer)) if !lead.is_joined() => {
                // Where nobody waits it does not matter whether the answer might be shared.
                let judged = if lead.is_observed() { carry::judge(world, &answer, &lead) } else { None };
                let outcome = judged.map_or(Outcome::Shared, Outcome::from);
                opened.end(Ending::Answered);
                ticket.set(outcome);
                lead.end(outcome);
                return self.deliver(ascent.land(answer)).await;
            }
            Err(fault) if !lead.is_joined() => {
                opened.end(Ending::Failed);
                ticket.set(super::ride::outcome_of(fault));
                lead.end(super::ride::outcome_of(fault));
                return self.told(fault);
            }
            Ok(Flown::Landed(answer)) => Some(Ok(answer)),
            Ok(Flown::Joined) => None,
            // Its own time is over; the flight goes on.
            Err(Fault { kind: Kind::TimedOut(Timer::Queue), .. }) => None,
            // What failed has failed for everyone: N waiters do not become N retries (R8).
            Err(fault) => Some(Err(fault)),
        };
        let (carrier, seat) = lead.hand_over();
        opened.flies_alone.set(false);
        let aside = Rc::new(Aside::default());
        let errand = Errand { world: world.clone(), opened, aside: aside.clone(), leader: seat.number() };
        world.trace(|| format!("request {} hands its flight over", asked.request));
        world.spawn(Role::Carrier(asked.request), self.worker(), carry::carry(errand, carrier, ascent, landed));
        match self.ride(asked, seat, Some(&aside), ticket).await {
            Ok(Followed::Answered(after)) => after,
            Ok(Followed::Alone | Followed::Again { .. }) => {
                let died = |role| role == Role::Carrier(asked.request);
                assert!(world.has_lost(died), "request {} led an exchange and has got nothing of it", asked.request);
                After::Close
            }
            Err(fault) => self.told(fault),
        }
    }

    /// Until the final head, or until somebody joins.
    async fn fly(&self, lead: &Lead, opened: &Flying, ascent: &mut Ascent) -> Result<Flown, Fault> {
        let is_bound = Cell::new(false);
        let world = self.world();
        let on_dispatch = || {
            lead.dispatched(&self.snapshot.policy.coalescing, Tick::now());
            checks::dispatches(world, opened);
        };
        let climb = Climb { queue: self.queue, on_dispatch: &on_dispatch, is_bound: &is_bound };
        // Where the policy observes, not even a twin joins.
        let takes_twins = !lead.is_observed();
        loop {
            if takes_twins && self.connection.behind() > 0 {
                return Ok(Flown::Joined);
            }
            let reached = {
                let mut climbing = pin!(ascent.climb(&climb));
                std::future::poll_fn(|cx| {
                    let climbed = climbing.as_mut().poll(cx);
                    opened.flies_alone.set(!is_bound.get());
                    if let Poll::Ready(reached) = climbed {
                        return Poll::Ready(reached.map(Some));
                    }
                    if lead.poll_joined(cx).is_ready() {
                        return if is_bound.get() { Poll::Pending } else { Poll::Ready(Ok(None)) };
                    }
                    if takes_twins && !is_bound.get() && self.connection.poll_more(0, cx).is_ready() {
                        return Poll::Ready(Ok(None));
                    }
                    self.connection.poll_left(cx).map(|()| Err(LEFT))
                })
                .await?
            };
            match reached {
                None => return Ok(Flown::Joined),
                Some(Reached::Interim) => {}
                Some(Reached::Final(answer)) => return Ok(Flown::Landed(answer)),
            }
        }
    }

    /// Goes up itself, as any request.
    async fn alone(&self) -> After {
        let world = self.world();
        let mut ascent = Ascent::new(world, self.request.number, self.class);
        let is_bound = Cell::new(false);
        let climb = Climb { queue: self.queue, on_dispatch: &|| {}, is_bound: &is_bound };
        loop {
            match self.connection.unless_left(ascent.climb(&climb)).await {
                Err(fault) | Ok(Err(fault)) => return self.told(fault),
                Ok(Ok(Reached::Interim)) => {}
                Ok(Ok(Reached::Final(answer))) => return self.deliver(ascent.land(answer)).await,
            }
        }
    }

    /// An answer that is this request's own.
    pub async fn deliver(&self, landed: Landed) -> After {
        let (connection, exchange) = (self.connection, &landed.lease.exchange);
        assert_eq!(exchange.request, self.request.number, "the answer to another request");
        connection.has_served(1);
        let delivered = async {
            loop {
                match landed.lease.read(self.world()).await {
                    Part::Chunk(bytes) => connection.send(bytes).await?,
                    Part::End => return Ok(()),
                    Part::BrokenOff => {
                        return Err(Fault { kind: Kind::UpstreamBrokenOff, detail: "the app broke off" });
                    }
                }
            }
        };
        match connection.unless_left(delivered).await {
            Ok(Ok(())) => After::Next,
            Ok(Err(_)) | Err(_) => After::Close,
        }
    }
}
