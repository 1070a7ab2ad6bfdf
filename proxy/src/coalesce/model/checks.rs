//! What must hold, whatever the order: said once here, from the rules, without the room's code.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::app::{Exchange, State};
use super::executor::Role;
use super::ledger::Who;
use super::plan::Fate;
use super::records::{Asked, Carried, Ending, Opened, Participant};
use super::world::World;
use crate::coalesce::flight::Flight;
use crate::coalesce::{Outcome, RETAINED_BYTES_MAX, RETAINED_BYTES_MAX_OF_WORKER, WINDOW_BYTES};
use crate::config::CoalescingMode;
use crate::fault::Fault;

/// For how long all others may wait for one that does not read: its budget, and some looks at the clock.
const STARVED_MS_MAX: u64 = 1000 + 4 * 50;

/// Somebody asks now, here or by a letter: flights that are too old for it are closed, though another attempt may make them young again.
pub fn asks(world: &World, is_asked: impl Fn(&Opened) -> bool) {
    for opened in world.flights.borrow().iter().filter(|opened| is_asked(opened)) {
        if !opened.takes(world, world.barrier(opened.uri)) {
            opened.is_superseded.set(true);
        }
    }
}

/// For how long a key passes whose answer could not be shared (R4).
const PASSES_MS: u64 = 10_000;

/// A request leads a flight: no other one of its class may be open that would take it (R11).
pub fn opens(world: &World, worker: usize, asked: &Asked, uri: &'static str, flight: &Rc<Flight>) -> Rc<Opened> {
    world.trace(|| format!("request {} leads, class {}", asked.request, asked.class));
    for other in world.flights.borrow().iter().filter(|other| other.class == asked.class) {
        assert!(
            !other.takes(world, asked.barrier),
            "request {} opens a flight while that of request {} would take it",
            asked.request,
            other.request
        );
        other.is_superseded.set(true);
    }
    let opened = Rc::new(Opened {
        request: asked.request,
        class: asked.class,
        uri,
        worker,
        tally: flight.tally(),
        hash: flight.hash.get(),
        ending: Default::default(),
        is_superseded: Default::default(),
        is_full: Default::default(),
        dispatched: Default::default(),
        attempts: Default::default(),
        flies_alone: Default::default(),
    });
    world.flights.borrow_mut().push(opened.clone());
    opened
}

/// The request of a flight goes to the app: once, and once more where that fails (R8); a stale connection counts as neither.
pub fn dispatches(world: &World, opened: &Opened) {
    let exchanges = world.exchanges.borrow();
    let of_this = exchanges.iter().filter(|exchange| exchange.request == opened.request);
    let stale = of_this.filter(|exchange| matches!(exchange.script.fate, Fate::Stale(_))).count() as u32;
    opened.attempts.set(opened.attempts.get() + 1);
    assert!(opened.attempts.get() <= 2 + stale, "request {} goes up once more", opened.request);
    opened.dispatched.set(Some((world.now(), world.new_event())));
}

/// A request is sent away.
pub fn goes_alone(world: &World, worker: usize, asked: &Asked, why: Outcome) {
    world.trace(|| format!("request {} goes alone: {why:?}", asked.request));
    let plan = &world.plan;
    if why == Outcome::Observed {
        assert_eq!(plan.rules.mode, CoalescingMode::Observe);
        return world.ledger.observes();
    }
    world.ledger.count(worker, Who::Own, why, 1);
    let is_fine = match why {
        // An answer that was not shared is remembered.
        Outcome::Pass => {
            world.exchanges.borrow().iter().any(|exchange| exchange.script.says.unshared(&plan.rules).is_some())
        }
        // Another request has its hash, or its place.
        Outcome::Full => plan.hash_mask != u64::MAX,
        Outcome::Memory => {
            let retained = world.counters[worker].coalesce.retained_bytes.load(Relaxed);
            let reserved = world.boards[worker].reserved.get();
            retained + reserved + RETAINED_BYTES_MAX > RETAINED_BYTES_MAX_OF_WORKER
        }
        _ => false,
    };
    assert!(is_fine, "request {} goes alone: {why:?}", asked.request);
}

/// R4: whoever waited in vain shows that nobody needs to wait, for a while.
pub fn waits(world: &World, worker: usize, asked: &Asked) {
    let hurried_ms = world.executor.hurried_ms();
    let is_told = |&(of, class, until): &(usize, usize, u64)| {
        of == worker && class == asked.class && asked.at + hurried_ms < until
    };
    assert!(!world.passes.borrow().iter().any(is_told), "request {} does not pass", asked.request);
}

/// Each time there is a reason, and there are only so many.
pub fn asks_again(world: &World, asked: &Asked, rounds: usize) {
    let flights = world.flights.borrow().iter().filter(|opened| opened.class == asked.class).count();
    let waits = world.plan.rules.max_wait.is_some();
    assert!(waits || rounds <= 3 + 3 * flights, "request {} asks for the {rounds}th time", asked.request);
}

/// A flight that failed has failed for all who waited: nobody asks in its place (R8).
pub fn is_told_to_ask_again(world: &World, participant: &Participant, was_full: bool) {
    world.trace(|| format!("request {} asks again", participant.asked.request));
    let Some(opened) = participant.opened(world) else { return };
    if participant.is_remote() && world.has_lost(|role| role == Role::Feed) {
        return;
    }
    if was_full {
        return assert!(participant.is_remote(), "a place on the same worker is taken with the seat");
    }
    assert_ne!(opened.ending.get(), Some(Ending::Failed), "a waiter of a flight that failed asks again");
    assert!(!world.deaths.borrow().is_empty(), "request {} is lost", participant.asked.request);
}

/// A participant goes alone: because of its answer, or because it has met another request.
pub fn is_released(world: &World, participant: &Participant, why: Outcome) {
    world.trace(|| format!("request {} is released: {why:?}", participant.asked.request));
    let rules = &world.plan.rules;
    let is_fine = match why {
        Outcome::Full => participant.is_remote() && world.plan.hash_mask != u64::MAX,
        _ => world.exchanges.borrow().iter().any(|exchange| {
            exchange.class == participant.asked.class
                && exchange.script.says.unshared(rules).map(Outcome::from) == Some(why)
        }),
    };
    assert!(is_fine, "request {} is released: {why:?}", participant.asked.request);
    if matches!(why, Outcome::Unshareable | Outcome::Vary) {
        let passes = (participant.worker, participant.asked.class, world.now() + PASSES_MS);
        world.passes.borrow_mut().push(passes);
    }
}

/// R1 to R4, R6, R7: whether a request may have the answer of an exchange.
pub fn may_have(world: &World, asked: &Asked, exchange: &Exchange, is_leader: bool) {
    let rules = &world.plan.rules;
    assert_eq!(exchange.class, asked.class, "the answer to another request");
    assert_eq!(exchange.script.says.unshared(rules), None, "an answer that must not be shared");
    let leads = is_leader && exchange.request == asked.request;
    assert!(leads || rules.mode != CoalescingMode::Observe, "the policy observes");
    let (at, event) = exchange.dispatched;
    assert!(event > asked.barrier, "request {} gets a read from before a write", asked.request);
    let age = u128::from(asked.at.saturating_sub(at).saturating_sub(world.executor.hurried_ms()));
    assert!(
        age == 0 || age < rules.join_window.as_millis(),
        "request {} joined {age} ms after the dispatch",
        asked.request
    );
}

/// A body breaks off only where the app did, or where a task died that brings it.
pub fn may_abort(world: &World, exchange: &Exchange, fault: Fault) {
    let died = world.has_lost(|role| role == Role::Feed || role == Role::Carrier(exchange.request));
    assert!(exchange.is(State::Died) || died, "exchange {} is broken off: {fault:?}", exchange.number);
}

/// R9: what is held for those who have not sent it yet.
pub fn pushes(world: &World, carried: &Carried, bytes: usize, is_retained: bool) {
    let held = carried.flight.retained_bytes();
    assert!(is_retained || held <= WINDOW_BYTES + bytes, "a window of {held} bytes");
    let worker = carried.opened.worker;
    let paced = world.flights.borrow().iter().filter(|opened| opened.worker == worker).count() as u64;
    let chunk_max = world.plan.app.chunk_bytes_max;
    let bound = RETAINED_BYTES_MAX_OF_WORKER + paced * (WINDOW_BYTES as u64 + chunk_max);
    let held = world.counters[worker].coalesce.retained_bytes.load(Relaxed);
    assert!(held <= bound, "worker {worker} holds {held} bytes");
    assert!(
        !is_retained
            || carried.exchange.borrow().as_ref().is_none_or(|exchange| exchange.bytes() as u64 <= RETAINED_BYTES_MAX)
    );
}

/// Notes which flights have no place left.
pub fn after_step(world: &World) {
    for (opened, flight) in open_flights(world) {
        if flight.with_tally(|tally| tally.is_full()) {
            opened.is_full.set(true);
        }
    }
}

/// Those that take joiners, as the room has them.
fn open_flights(world: &World) -> Vec<(Rc<Opened>, Rc<Flight>)> {
    let flights = world.flights.borrow();
    let live = flights.iter().filter(|opened| opened.ending.get().is_none());
    let with_flight = live.filter_map(|opened| {
        let flight = world.boards[opened.worker].newest(opened.hash)?;
        Arc::ptr_eq(&flight.tally(), &opened.tally).then(|| (opened.clone(), flight))
    });
    with_flight.collect()
}

/// Before time goes on. At rest everyone has been told what concerns him: a wake that was forgotten shows here, even where a timer would hide it.
pub fn before_later(world: &World, ms: u64, at_rest: bool) {
    let participants = world.participants.all();
    if at_rest {
        participants.iter().for_each(|participant| is_told(world, participant));
        participants.iter().for_each(|participant| is_fed(world, participant));
        world.carried.all().iter().for_each(|carried| is_carried_for_somebody(world, carried, &participants));
        is_handed_over(world);
    }
    for carried in world.carried.all().iter().filter(|carried| carried.wants_room.get()) {
        starves(world, carried, &participants, ms);
    }
}

/// A participant that waits does so for a flight that is not over.
fn is_told(world: &World, participant: &Participant) {
    let opened = participant.opened(world).filter(|_| participant.waits.get());
    let is_over = opened.is_some_and(|opened| opened.ending.get().is_some());
    assert!(!is_over, "request {} waits for a flight that is over", participant.asked.request);
}

/// A participant that waits for more of a body has had all that there is.
fn is_fed(world: &World, participant: &Participant) {
    let Some(exchange) = participant.exchange.borrow().clone() else { return };
    if participant.starves.get() && !(participant.is_remote() && is_feed_away(world, participant.worker)) {
        let (request, at, pushed) = (participant.asked.request, participant.at.get(), exchange.pushed.get());
        assert!(at == pushed, "request {request} waits for chunk {at} of {pushed}");
    }
}

/// It sleeps, or has died.
fn is_feed_away(world: &World, worker: usize) -> bool {
    world.feeds_asleep.borrow()[worker] > 0 || world.has_lost(|role| role == Role::Feed)
}

/// R5: the exchange ends with its last participant, at once. R9: it goes on when there is room.
fn is_carried_for_somebody(world: &World, carried: &Carried, participants: &[Rc<Participant>]) {
    let is_here = |participant: &Rc<Participant>| {
        participant.opened(world).is_some_and(|opened| Rc::ptr_eq(&opened, &carried.opened))
    };
    let is_wanted = participants.iter().any(is_here);
    let is_away = (0..world.plan.workers).any(|worker| is_feed_away(world, worker));
    assert!(is_wanted || is_away, "the exchange of request {} goes on for nobody", carried.opened.request);
    if !carried.wants_room.get() {
        return;
    }
    let Some(exchange) = carried.exchange.borrow().clone() else { return };
    let of_this = participants.iter().filter(|participant| participant.shares(&exchange));
    let slowest = of_this.map(|participant| participant.passed.get()).min().unwrap_or(0);
    let ahead = exchange.bytes_before(exchange.pushed.get()) - exchange.bytes_before(slowest);
    assert!(
        ahead >= WINDOW_BYTES || is_away,
        "exchange {} waits for room, and is {ahead} bytes ahead",
        exchange.number
    );
}

/// A flight that somebody has joined is carried by a task of its own.
fn is_handed_over(world: &World) {
    for (opened, flight) in open_flights(world) {
        let knows = !opened.flies_alone.get() || !flight.was_joined.get();
        assert!(knows, "request {} does not know that somebody has joined", opened.request);
    }
}

/// R9: nobody waits for longer than those may take whom all wait for.
fn starves(world: &World, carried: &Carried, participants: &[Rc<Participant>], ms: u64) {
    let Some(exchange) = carried.exchange.borrow().clone() else { return };
    let mut of_this: Vec<&Rc<Participant>> = participants.iter().collect();
    of_this.retain(|participant| participant.shares(&exchange));
    let most = STARVED_MS_MAX * of_this.len() as u64 + world.executor.hurried_ms();
    for participant in of_this {
        let at = participant.at.get();
        if !participant.starves.get() || at != exchange.pushed.get() {
            continue;
        }
        let (since_chunk, before) = participant.starved.get();
        let starved_ms = ms + if since_chunk == at { before } else { 0 };
        participant.starved.set((at, starved_ms));
        assert!(
            starved_ms <= most,
            "request {} has waited {starved_ms} ms for those who do not read",
            participant.asked.request
        );
    }
}

/// Everything has ended, and nothing is left.
pub fn at_the_end(world: &World) {
    let left: Vec<_> = world.executor.unfinished().into_iter().filter(|name| name.role != Role::Letters).collect();
    assert!(left.is_empty(), "these wait for ever: {left:?}");
    for exchange in world.exchanges.borrow().iter() {
        assert!(!exchange.is(State::Open), "exchange {} is open", exchange.number);
    }
    for (worker, board) in world.boards.iter().enumerate() {
        assert!(!board.has_open(), "worker {worker} has a key that is stuck");
        assert_eq!(board.reserved.get(), 0, "worker {worker} reserves memory");
        let counters = &world.counters[worker].coalesce;
        let held = (counters.flights.now(), counters.followers.now(), counters.retained_bytes.load(Relaxed));
        assert_eq!(held, (0, 0, 0), "worker {worker}: flights, followers, bytes");
    }
    for opened in world.flights.borrow().iter() {
        assert!(!world.flight_seed.finds(opened.hash), "the directory has a key that is stuck");
    }
    world.ledger.check(world);
}
