//! The task that carries a flight, and the one that brings another worker's answer: `serve::carry`.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::app::{Ascent, Climb, Landed, Part, Reached};
use super::checks;
use super::executor::Sleep;
use super::heads::{self, Answer, Framing};
use super::records::{Carried, Ending, Flying, Living};
use super::ride::Aside;
use super::world::World;
use crate::buf::Buf;
use crate::coalesce::{self, AnswerHead, Carrier, End, Fed, Feed, Kept, Lead, Pump, SeatNumber, Terms, Unshared};
use crate::config::CoalescingMode;
use crate::fault::{Fault, Kind};
use crate::io::Tick;

/// How often a wait for the slowest participant is counted against it.
const LAG_LOOK_MS: u64 = 50;

pub struct Errand {
    pub world: Rc<World>,
    pub opened: Flying,
    pub aside: Rc<Aside>,
    pub leader: SeatNumber,
}

impl Errand {
    fn leads(&self) -> bool {
        Rc::strong_count(&self.aside) > 1
    }
}

/// The room's judgement, which must be that of the rules.
fn judged(world: &World, answer: &Answer, kept: &Kept) -> Option<Unshared> {
    let rules = &world.plan.rules;
    let terms = Terms {
        cacheable: rules.mode == CoalescingMode::Cacheable,
        share_errors: rules.on_error == crate::config::OnError::Share,
        has_authorization: kept.has_authorization(),
        compared: &|name| coalesce::covers(name, rules),
        now_unix_s: 1_700_000_000,
        waited_s: kept.age().as_secs(),
    };
    let judged = coalesce::judge(answer.head.status, &answer.bytes, &answer.fields, &terms).err();
    let exchange = world.exchanges.borrow()[heads::exchange_of(&answer.bytes)].clone();
    assert_eq!(judged, exchange.script.says.unshared(rules), "{:?}", exchange.script.says);
    judged
}

pub fn judge(world: &World, answer: &Answer, lead: &Lead) -> Option<Unshared> {
    lead.with_kept(|kept| judged(world, answer, kept))
}

/// Carries a flight to its end. `landed`: what its leader's task has come to.
pub async fn carry(errand: Errand, carrier: Carrier, mut ascent: Ascent, landed: Option<Result<Answer, Fault>>) {
    let world = errand.world.clone();
    let record = Carried {
        opened: errand.opened.clone(),
        flight: carrier.flight().clone(),
        exchange: std::cell::RefCell::new(ascent.exchange()),
        wants_room: Cell::new(false),
    };
    let record = world.carried.add(record);
    let Some(reached) = reach(&errand, &carrier, &record, &mut ascent, landed).await else { return };
    let answer = match reached {
        Ok(answer) => answer,
        Err(fault) => {
            world.trace(|| format!("the flight of request {} fails", errand.opened.request));
            errand.opened.end(Ending::Failed);
            return carrier.fail(fault);
        }
    };
    errand.opened.end(Ending::Answered);
    let unshared = carrier.with_kept(|kept| judged(&world, &answer, kept));
    if let Some(why) = unshared {
        if errand.leads() {
            errand.aside.own.set(Some(ascent.land(answer)));
        }
        return carrier.release(why.into());
    }
    let landed = ascent.land(answer);
    let length = match landed.lease.exchange.script.framing {
        Framing::Length(bytes) => Some(bytes as u64),
        Framing::Chunked => None,
    };
    let is_retained = length.is_some_and(|bytes| carrier.may_retain(bytes));
    let head = AnswerHead {
        head: landed.answer.head,
        bytes: landed.answer.bytes.clone(),
        fields: landed.answer.fields.copied(),
        request_id: carrier.with_kept(|kept| kept.request_id().map(<[u8]>::to_vec)),
        is_retained,
    };
    let pump = carrier.land(head, length.filter(|_| is_retained).unwrap_or(0));
    fill(&world, &record, pump, landed, is_retained).await;
}

/// Until the final head. `None`: nobody is left.
async fn reach(
    errand: &Errand,
    carrier: &Carrier,
    record: &Living<Carried>,
    ascent: &mut Ascent,
    mut landed: Option<Result<Answer, Fault>>,
) -> Option<Result<Answer, Fault>> {
    let world = &errand.world;
    let is_bound = Cell::new(false);
    let on_dispatch = || {
        carrier.dispatched(&world.plan.rules, Tick::now());
        checks::dispatches(world, &errand.opened);
    };
    let climb = Climb { queue: None, on_dispatch: &on_dispatch, is_bound: &is_bound };
    let mut may_retry = true;
    loop {
        let climbed = match landed.take() {
            Some(landed) => landed.map(Reached::Final),
            None => {
                let mut climbing = std::pin::pin!(ascent.climb(&climb));
                std::future::poll_fn(|cx| {
                    if let Poll::Ready(climbed) = climbing.as_mut().poll(cx) {
                        return Poll::Ready(Some(climbed));
                    }
                    carrier.poll_deserted(cx).map(|()| None)
                })
                .await?
            }
        };
        *record.exchange.borrow_mut() = ascent.exchange();
        match climbed {
            Ok(Reached::Interim) => {
                if errand.leads() {
                    errand.aside.interims.set(errand.aside.interims.get() + 1);
                    carrier.wake(errand.leader);
                }
            }
            Ok(Reached::Final(answer)) => return Some(Ok(answer)),
            Err(Fault { kind: Kind::ConnectFailed | Kind::UpstreamClosed, .. }) if may_retry => {
                may_retry = false;
                ascent.start_over();
            }
            Err(fault) => return Some(Err(fault)),
        }
    }
}

/// Reads the body for everyone, to its end or until nobody is left.
async fn fill(world: &Rc<World>, record: &Living<Carried>, pump: Pump, landed: Landed, is_retained: bool) {
    let exchange = landed.lease.exchange.clone();
    *record.exchange.borrow_mut() = Some(exchange.clone());
    loop {
        let part = {
            let mut read = std::pin::pin!(landed.lease.read(world));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(part) = read.as_mut().poll(cx) {
                    return Poll::Ready(Some(part));
                }
                pump.poll_deserted(cx).map(|()| None)
            })
            .await
        };
        match part {
            // Nobody is left.
            None => return,
            Some(Part::Chunk(bytes)) => {
                let from = exchange.bytes_before(exchange.pushed.get());
                let mut buf = Buf::default();
                buf.put(&heads::body(exchange.number, from, bytes));
                buf.shrink();
                pump.push(buf);
                exchange.pushed.set(exchange.pushed.get() + 1);
                checks::pushes(world, record, bytes, is_retained);
            }
            Some(Part::End) => return pump.finish(End::Whole),
            Some(Part::BrokenOff) => {
                let detail = "the app broke off inside its answer";
                return pump.finish(End::Aborted(Fault { kind: Kind::UpstreamBrokenOff, detail }));
            }
        }
        if !is_retained && !has_room(world, record, &pump).await {
            return;
        }
    }
}

/// Waits until the window has room. False: nobody is left.
async fn has_room(world: &Rc<World>, record: &Living<Carried>, pump: &Pump) -> bool {
    loop {
        let since = world.now();
        let mut look = world.executor.sleep(LAG_LOOK_MS);
        let is_there = std::future::poll_fn(|cx| {
            let has_room = pump.poll_room(cx).is_ready();
            record.wants_room.set(!has_room);
            if has_room { Poll::Ready(true) } else { std::pin::Pin::new(&mut look).poll(cx).map(|()| false) }
        })
        .await;
        if is_there {
            return !pump.is_deserted();
        }
        pump.charge(Duration::from_millis(world.now() - since));
    }
}

/// It hears nothing while it lives.
struct Asleep<'w>(&'w World, usize);

impl<'w> Asleep<'w> {
    fn new(world: &'w World, worker: usize) -> Asleep<'w> {
        world.feeds_asleep.borrow_mut()[worker] += 1;
        Asleep(world, worker)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.feeds_asleep.borrow_mut()[self.1] -= 1;
    }
}

/// Brings the participants of this worker what the flight of another worker comes to.
pub async fn feed(world: Rc<World>, worker: usize, mut feed: Feed) {
    loop {
        if std::future::poll_fn(|cx| feed.poll(cx)).await == Fed::Over {
            return;
        }
        let since = world.now();
        let asleep = Asleep::new(&world, worker);
        let look: Sleep = world.executor.sleep(LAG_LOOK_MS);
        look.await;
        drop(asleep);
        feed.charge(Duration::from_millis(world.now() - since));
    }
}
