//! One upstream exchange and its participants on this worker.
//!
//! ```text
//! Aloft --land--> Landed (the answer is shared; its body passes through the window)
//!   |---release--> Released (it must not be shared: each goes alone, at once)
//!   |---fail-----> Failed (each gets its own fault)
//!   `---lost-----> Again (whoever carried it is gone: ask once more)
//! ```
//!
//! A flight belongs to no client. Who carries it (the task that waits for the app, or the feed of another worker's flight) is its pilot; it is woken
//! when a first participant joins and when the last one leaves.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use super::directory::Entry;
use super::key::{Kept, Question};
use super::line::Line;
use super::relay::Relay;
use super::table::Link;
use super::tally::{Moment, Tally};
use super::window::{End, Window};
use super::{Outcome, WINDOW_BYTES};
use crate::fault::Fault;
use crate::h1::ResponseHead;
use crate::http::Fields;
use crate::io::Tick;
use crate::pieces::Chunk;
use crate::telemetry::WorkerCounters;

/// How long a participant may lie a full window behind while another waits for it, over the whole flight (R9).
const LAG_MAX: Duration = Duration::from_secs(1);

/// The head of a shared answer, the same on all workers.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub head: ResponseHead,
    pub bytes: Vec<u8>,
    pub fields: Fields,
    /// `X-Request-Id` of the request that went up.
    pub request_id: Option<Vec<u8>>,
    /// The body fits what may be retained, so it is read at full speed and nobody is waited for.
    pub is_retained: bool,
}

#[derive(Debug, Clone)]
enum Stage {
    Aloft,
    Landed(Arc<AnswerHead>),
    Released(Outcome),
    Failed(Fault),
    Again { was_full: bool },
}

/// What a flight has come to for one participant.
#[derive(Debug, Clone)]
pub(crate) enum Landing {
    Shared(Arc<AnswerHead>),
    /// It goes alone, for this reason.
    Alone(Outcome),
    Failed(Fault),
    /// It asks once more: there was no place left, or nothing has come of this flight.
    Again {
        was_full: bool,
    },
}

pub(super) struct Flight {
    counters: Arc<WorkerCounters>,
    pub hash: Cell<u64>,
    /// In the table of open flights.
    pub next: Link,
    pub kept: Kept,
    tally: RefCell<Arc<Tally>>,
    /// In the directory, where this worker owns the flight.
    pub entry: Cell<Option<Entry>>,
    stage: RefCell<Stage>,
    seats: RefCell<Slab<Place>>,
    pub relays: RefCell<Vec<Relay>>,
    /// The flight takes those who sit here; of another worker's flight that is known once its owner has said so.
    is_confirmed: Cell<bool>,
    /// To the worker that owns the flight, where that is another.
    pub line: RefCell<Option<Arc<Line>>>,
    pilot: Cell<Option<Waker>>,
    window: RefCell<Window>,
    /// It was opened because another with its key had no place left.
    pub after_full: Cell<bool>,
    /// The policy observes.
    pub observes: Cell<bool>,
    /// Requests that would have joined, where the policy observes.
    pub observers: Cell<u64>,
    /// Somebody has joined.
    pub was_joined: Cell<bool>,
}

/// Where one participant is.
#[derive(Debug, Default)]
struct Place {
    waker: Option<Waker>,
    /// Requests of this connection that follow: none of a leader's, one of a follower's, and those behind it (R12b).
    followers: u64,
    has_no_place: bool,
    /// The first chunk that it has not passed.
    at: u64,
    /// Nothing is left for it to do but to wait for the next chunk.
    is_starved: bool,
    /// For how long others have waited for it, in sum.
    lag: Duration,
}

impl Flight {
    pub fn new(counters: Arc<WorkerCounters>, hash: u64, kept: Kept) -> Flight {
        Flight {
            counters,
            hash: Cell::new(hash),
            next: Link::default(),
            kept,
            tally: RefCell::default(),
            entry: Cell::new(None),
            stage: RefCell::new(Stage::Aloft),
            seats: RefCell::default(),
            relays: RefCell::default(),
            is_confirmed: Cell::new(true),
            line: RefCell::default(),
            pilot: Cell::new(None),
            window: RefCell::default(),
            after_full: Cell::new(false),
            observes: Cell::new(false),
            observers: Cell::new(0),
            was_joined: Cell::new(false),
        }
    }

    /// As new, for the next leader. Nobody has joined it before.
    pub fn reset(&mut self, hash: u64, question: &Question<'_>, now: Tick) {
        debug_assert!(!self.was_joined.get() && self.seats.borrow().is_empty() && self.entry.get().is_none());
        self.hash.set(hash);
        self.kept.keep(question, now);
        self.tally.get_mut().reset();
    }

    pub fn tally(&self) -> Arc<Tally> {
        self.tally.borrow().clone()
    }

    /// The request has gone to the app, as far as is known here.
    pub fn is_dispatched(&self) -> bool {
        self.is_confirmed.get() && self.with_tally(Tally::is_dispatched)
    }

    pub fn with_tally<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.tally.borrow())
    }

    /// Another worker owns it, and is asked at this moment. Until it has answered, whoever else comes must be as good as the one who asked: its
    /// read may have begun long ago (R6, R7).
    pub fn ask(&self, line: Arc<Line>, moment: Moment) {
        self.tally.borrow().dispatched(moment.now, moment.epoch);
        self.is_confirmed.set(false);
        *self.line.borrow_mut() = Some(line);
    }

    /// Another worker owns it, and takes those who sit here: from here on its tally counts, those who have joined here among them.
    ///
    /// There may not be places for all of them. The others ask once more, and the flight is full.
    pub fn adopt(&self, tally: Arc<Tally>) {
        let mut seats = self.seats.borrow_mut();
        let followers = seats.iter().map(|(_, place)| place.followers).sum();
        let taken = tally.take_some(seats.len() as u32) as usize;
        *self.tally.borrow_mut() = tally;
        self.is_confirmed.set(true);
        self.counters.coalesce.followers.rise_by(followers);
        for (_, place) in seats.iter_mut().skip(taken) {
            place.has_no_place = true;
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// Participants on this worker, and other workers' relays.
    fn attached(&self) -> usize {
        self.seats.borrow().len() + self.relays.borrow().iter().filter(|relay| !relay.is_gone()).count()
    }

    pub fn sit_down(&self) -> usize {
        let at = self.window.borrow().next();
        self.joined();
        self.seats.borrow_mut().insert(Place { at, ..Place::default() })
    }

    /// So many more, or fewer, requests follow from this seat.
    pub fn follow(&self, seat: usize, more: i64) {
        let followers = &mut self.seats.borrow_mut()[seat].followers;
        *followers = followers.wrapping_add_signed(more);
        if self.is_confirmed.get() {
            self.counters.coalesce.followers.rise_by(more as u64);
        }
    }

    pub fn attach(&self, relay: Relay) {
        self.relays.borrow_mut().push(relay);
        self.joined();
    }

    fn joined(&self) {
        self.was_joined.set(true);
        self.wake_pilot();
    }

    /// The participant leaves, wherever it is.
    pub fn stand_up(&self, seat: usize) {
        let place = self.seats.borrow_mut().remove(seat);
        if self.is_confirmed.get() {
            self.counters.coalesce.followers.fall_by(place.followers);
        }
        let next = self.window.borrow().next();
        self.passed(place.at, next);
        if place.is_starved {
            self.tell_of_starved(self.seats.borrow().iter().any(|(_, place)| place.is_starved));
        }
        self.wake_pilot();
    }

    /// Ready when a first participant has joined. Before that there is no relay either.
    pub fn poll_joined(&self, cx: &Context<'_>) -> Poll<()> {
        if self.was_joined.get() {
            return Poll::Ready(());
        }
        self.pilot.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Whoever carries the flight waits for the last participant to leave; for room in the window too.
    pub fn poll_pilot(&self, cx: &Context<'_>, is_ready: impl Fn(&Flight) -> bool) -> Poll<()> {
        if is_ready(self) {
            return Poll::Ready(());
        }
        self.pilot.set(Some(cx.waker().clone()));
        for relay in self.relays.borrow().iter() {
            relay.register(cx.waker());
        }
        // A relay may have moved before it knew whom to wake.
        if !self.relays.borrow().is_empty() && is_ready(self) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub fn is_deserted(&self) -> bool {
        self.attached() == 0
    }

    fn wake_pilot(&self) {
        if let Some(pilot) = self.pilot.take() {
            pilot.wake();
        }
    }

    fn wake_all(&self) {
        // A wake only queues its task: nobody sits down or stands up meanwhile.
        for (_, place) in self.seats.borrow_mut().iter_mut() {
            place.is_starved = false;
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    // What it comes to.

    pub fn is_aloft(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Aloft)
    }

    fn comes_to(&self, stage: Stage) {
        if self.is_aloft() {
            *self.stage.borrow_mut() = stage;
            self.wake_all();
        }
    }

    pub fn land(&self, head: Arc<AnswerHead>) {
        for relay in self.relays.borrow().iter() {
            relay.land(head.clone());
        }
        self.comes_to(Stage::Landed(head));
    }

    pub fn release(&self, why: Outcome) {
        for relay in self.relays.borrow().iter() {
            relay.release(why);
        }
        self.comes_to(Stage::Released(why));
    }

    pub fn fail(&self, fault: Fault) {
        for relay in self.relays.borrow().iter() {
            relay.fail(fault);
        }
        self.comes_to(Stage::Failed(fault));
    }

    /// Whoever carried it is gone; or its owner takes nobody of this worker, because it is full.
    pub fn lose(&self, was_full: bool) {
        for relay in self.relays.borrow().iter() {
            relay.lose();
        }
        self.comes_to(Stage::Again { was_full });
    }

    pub fn poll_landing(&self, seat: usize, cx: &Context<'_>) -> Poll<Landing> {
        if self.seats.borrow()[seat].has_no_place {
            return Poll::Ready(Landing::Again { was_full: true });
        }
        match &*self.stage.borrow() {
            Stage::Aloft => {
                self.wait(seat, cx);
                Poll::Pending
            }
            Stage::Landed(head) => Poll::Ready(Landing::Shared(head.clone())),
            Stage::Released(why) => Poll::Ready(Landing::Alone(*why)),
            Stage::Failed(fault) => Poll::Ready(Landing::Failed(*fault)),
            Stage::Again { was_full } => Poll::Ready(Landing::Again { was_full: *was_full }),
        }
    }

    fn wait(&self, seat: usize, cx: &Context<'_>) {
        let waker = &mut self.seats.borrow_mut()[seat].waker;
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub fn wake(&self, seat: usize) {
        if let Some(waker) = self.seats.borrow_mut().get_mut(seat).and_then(|place| place.waker.take()) {
            waker.wake();
        }
    }

    // The body.

    /// The pilot has read a chunk, for whoever is left.
    pub fn push(&self, chunk: Chunk) {
        let mut relays = self.relays.borrow_mut();
        relays.iter_mut().for_each(|relay| relay.push(chunk.clone()));
        // Those that are gone pass it when they are looked at next.
        let wanted = self.seats.borrow().len() + relays.len();
        if wanted > 0 {
            self.window.borrow_mut().push(chunk, wanted);
            self.wake_all();
        }
    }

    pub fn finish(&self, end: End) {
        self.window.borrow_mut().finish(end);
        for relay in self.relays.borrow().iter() {
            relay.finish(end);
        }
        self.wake_all();
    }

    pub fn end(&self) -> Option<End> {
        self.window.borrow().end()
    }

    pub fn retained_bytes(&self) -> usize {
        self.window.borrow().bytes()
    }

    pub fn chunk(&self, number: u64) -> Option<Chunk> {
        self.window.borrow().get(number).cloned()
    }

    /// Ready when chunk `number` or the end is there.
    pub fn poll_more(&self, seat: usize, number: u64, cx: &Context<'_>) -> Poll<()> {
        let window = self.window.borrow();
        if number < window.next() || window.end().is_some() {
            return Poll::Ready(());
        }
        drop(window);
        self.wait(seat, cx);
        self.seats.borrow_mut()[seat].is_starved = true;
        self.tell_of_starved(true);
        Poll::Pending
    }

    /// Of another worker's flight: its owner learns whether somebody here waits for the next chunk, and so does the feed where others here keep it.
    fn tell_of_starved(&self, is_starved: bool) {
        if let Some(line) = &*self.line.borrow() {
            line.starve(is_starved.then(|| self.window.borrow().next()));
            if is_starved && self.is_full() {
                self.wake_pilot();
            }
        }
    }

    /// The participant has sent all before chunk `number`.
    pub fn pass(&self, seat: usize, number: u64) {
        let from = std::mem::replace(&mut self.seats.borrow_mut()[seat].at, number);
        self.passed(from, number);
        if self.end().is_some() {
            // Whoever carried it looks at the relays no more.
            self.look_at_relays();
        }
    }

    fn passed(&self, from: u64, to: u64) {
        let freed = self.window.borrow_mut().pass(from, to);
        if freed > 0 {
            if let Some(line) = &*self.line.borrow() {
                line.pass(self.window.borrow().first());
            }
            self.wake_pilot();
        }
    }

    /// Takes in what the relays have passed meanwhile.
    pub fn look_at_relays(&self) {
        let next = self.window.borrow().next();
        let mut relays = std::mem::take(&mut *self.relays.borrow_mut());
        relays.retain_mut(|relay| {
            let is_gone = relay.is_gone();
            let from = relay.at();
            self.passed(from, if is_gone { next } else { relay.look() });
            !is_gone
        });
        *self.relays.borrow_mut() = relays;
    }

    /// The window holds as much as it may, so the slowest participant is a full window behind.
    pub fn is_full(&self) -> bool {
        self.retained_bytes() >= WINDOW_BYTES
    }

    /// Whether somebody waits for a chunk that is not read because of the slowest.
    pub fn has_starved(&self) -> bool {
        let next = self.window.borrow().next();
        self.seats.borrow().iter().any(|(_, place)| place.is_starved)
            || self.relays.borrow().iter().any(|relay| relay.is_starved(next))
    }

    /// For the last `waited`, others have waited for the slowest participants of this worker. For whom they have waited for too long in sum, that one
    /// is behind for good ([`Flight::poll_lagged`]).
    pub fn charge(&self, waited: Duration) {
        let first = self.window.borrow().first();
        for (_, place) in self.seats.borrow_mut().iter_mut().filter(|(_, place)| place.at == first) {
            place.lag += waited;
            if place.lag >= LAG_MAX
                && let Some(waker) = place.waker.take()
            {
                waker.wake();
            }
        }
    }

    /// Tells the relays at the window's far end that others wait for them.
    pub fn urge_relays(&self) {
        let first = self.window.borrow().first();
        self.relays.borrow_mut().iter_mut().filter(|relay| relay.at() == first).for_each(Relay::urge);
    }

    /// Ready when the participant has kept others waiting for too long.
    pub fn poll_lagged(&self, seat: usize, cx: &Context<'_>) -> Poll<()> {
        if self.seats.borrow()[seat].lag >= LAG_MAX {
            return Poll::Ready(());
        }
        self.wait(seat, cx);
        Poll::Pending
    }
}
