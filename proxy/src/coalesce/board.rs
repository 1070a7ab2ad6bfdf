//! The flights of one worker: where a request finds the one it may join, here or on another worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

use super::directory::{Directory, Entry, Opened};
use super::epoch::{self, Epochs, Writing};
use super::feed::Feed;
use super::flight::Flight;
use super::key::{Kept, Keyer, Question, Sent};
use super::lead::Lead;
use super::pass::{PassTable, Trial};
use super::relay::{Refusal, Relay};
use super::seat::Seat;
use super::table::Table;
use super::tally::{Moment, Takes, Tally};
use super::{Outcome, RETAINED_BYTES_MAX, RETAINED_BYTES_MAX_OF_WORKER, Role, Unshared};
use crate::config::{Coalescing, CoalescingMode, ReadAfterWrite, Snapshot};
use crate::io::Tick;
use crate::telemetry::{FOLLOWERS_BOUNDS, WorkerCounters};

/// Letters on their way to one worker. Over it, requests go alone: that worker has more to do than it can.
const LETTERS_MAX: usize = 1024;

/// Flights without anybody, kept for their memory.
const SPARE_MAX: usize = 64;

/// What a request does.
pub(crate) enum Join {
    Lead(Lead),
    /// With the feed of the flight, where it was the first of this worker to join another worker's.
    Follow(Seat, Option<Feed>),
    Alone(Outcome),
}

/// Another worker stands in the middle of opening a flight, maybe of the same key: ask again in a while.
#[derive(Debug)]
pub(crate) struct Busy;

/// How flights of one worker are found by the others.
struct Crossing {
    directory: Directory,
    inboxes: Vec<mpsc::Sender<Letter>>,
}

/// What all workers' boards have in common.
#[derive(Clone)]
pub(crate) struct FlightSeed {
    keyer: Keyer,
    /// There is none where there is one worker.
    crossing: Option<Arc<Crossing>>,
    /// By the number of the upstream.
    epochs: Vec<Arc<Epochs>>,
}

/// Where the wishes of other workers come.
pub(crate) type Letters = mpsc::Receiver<Letter>;

impl FlightSeed {
    /// For `workers` workers and so many upstreams, with an inbox for each worker.
    pub fn new(workers: usize, upstreams: usize) -> (FlightSeed, Vec<Letters>) {
        let (inboxes, received) = (0..workers).map(|_| mpsc::channel(LETTERS_MAX)).unzip();
        let crossing = (workers > 1).then(|| Arc::new(Crossing { directory: Directory::new(workers), inboxes }));
        let epochs = (0..upstreams).map(|_| Arc::default()).collect();
        (FlightSeed { keyer: Keyer::random(), crossing, epochs }, received)
    }

    #[cfg(test)]
    pub(super) fn with_keyer(workers: usize, upstreams: usize, keyer: Keyer) -> (FlightSeed, Vec<Letters>) {
        let (seed, received) = FlightSeed::new(workers, upstreams);
        (FlightSeed { keyer, ..seed }, received)
    }

    /// Whether some worker has a flight open for this hash, as far as the others know.
    #[cfg(test)]
    pub(super) fn finds(&self, hash: u64) -> bool {
        self.crossing.as_ref().is_some_and(|crossing| crossing.directory.look(hash).is_some())
    }

    /// The board of worker `me`.
    pub fn grow(&self, me: usize, counters: Arc<WorkerCounters>) -> Rc<Board> {
        Rc::new(Board {
            me,
            seed: self.clone(),
            counters,
            open: Table::default(),
            spare: RefCell::default(),
            reserved: Cell::new(0),
            passes: RefCell::default(),
            passes_counted: Cell::new(Tick(0)),
            trials: RefCell::default(),
        })
    }
}

/// The wish of another worker to join.
pub(crate) struct Letter {
    hash: u64,
    question: Sent,
    /// `None`: it only observes.
    relay: Option<Relay>,
}

pub(crate) struct Board {
    me: usize,
    seed: FlightSeed,
    pub(super) counters: Arc<WorkerCounters>,
    /// The newest of each key.
    open: Table,
    spare: RefCell<Vec<Rc<Flight>>>,
    /// Bytes that bodies under way may come to, which are read at full speed.
    pub(super) reserved: Cell<u64>,
    passes: RefCell<PassTable>,
    /// When the gauge of them was right.
    passes_counted: Cell<Tick>,
    /// By [`crate::config::RoutePolicy::number`].
    trials: RefCell<Vec<Trial>>,
}

impl Board {
    /// Finds the flight that an eligible request may join, or opens one. `snapshot` is what it is judged by.
    ///
    /// `was_full`: it has asked before, and there was no place left.
    pub fn join(
        self: &Rc<Self>,
        question: &Question<'_>,
        snapshot: &Arc<Snapshot>,
        was_full: bool,
    ) -> Result<Join, Busy> {
        let hash = self.seed.keyer.hash(question);
        let now = Tick::now();
        self.count_passes(now);
        if self.passes.borrow_mut().passes(hash, now) || self.is_paused(question.scope.route, now) {
            return Ok(self.alone(Outcome::Pass));
        }
        let found = self.open.find(hash);
        let mut after_full = was_full;
        if let Some(flight) = found {
            if !flight.kept.equals(question) {
                // Another request has this hash: there is room for one of them.
                return Ok(self.alone(Outcome::Full));
            }
            if flight.with_tally(|tally| tally.takes(self.moment(question, now))) == Takes::Yes {
                if question.rules.mode == CoalescingMode::Observe {
                    flight.observers.set(flight.observers.get() + 1);
                    return Ok(Join::Alone(Outcome::Observed));
                }
                // Not even one more body could be kept for its slowest.
                if !self.may_retain(RETAINED_BYTES_MAX) {
                    return Ok(self.alone(Outcome::Memory));
                }
                if flight.with_tally(|tally| tally.take_places(1)).is_some() {
                    return Ok(Join::Follow(Seat::new(self.clone(), flight, Role::Follower), None));
                }
                after_full = true;
            }
            self.close(&flight);
        }
        Ok(match self.seed.crossing.as_ref().map(|crossing| crossing.directory.open(hash, self.me)) {
            None => self.lead(hash, question, None, now, after_full),
            Some(Opened::Mine(entry)) => self.lead(hash, question, Some(entry), now, after_full),
            Some(Opened::Elsewhere(owner)) if owner != self.me => self.ask(owner, hash, question, snapshot),
            Some(Opened::Busy) => return Err(Busy),
            // Another request of our own has an equal tag; or the line is full.
            Some(Opened::Elsewhere(_) | Opened::Full) => self.alone(Outcome::Full),
        })
    }

    /// An eligible request that shares with nobody.
    pub fn alone(&self, why: Outcome) -> Join {
        self.counters.coalesce.count(Role::Alone, why, 1);
        Join::Alone(why)
    }

    fn lead(
        self: &Rc<Self>,
        hash: u64,
        question: &Question<'_>,
        entry: Option<Entry>,
        now: Tick,
        after_full: bool,
    ) -> Join {
        let flight = self.flight(hash, question, now);
        flight.entry.set(entry);
        flight.after_full.set(after_full);
        flight.observes.set(question.rules.mode == CoalescingMode::Observe);
        self.open.insert(flight.clone());
        Join::Lead(Lead::new(self.clone(), flight))
    }

    /// Joins the flight of worker `owner`: whoever comes next on this worker joins here.
    fn ask(self: &Rc<Self>, owner: usize, hash: u64, question: &Question<'_>, snapshot: &Arc<Snapshot>) -> Join {
        let Some(crossing) = &self.seed.crossing else { return self.alone(Outcome::Full) };
        let inbox = &crossing.inboxes[owner];
        let sent = Sent::new(question, snapshot.clone());
        if question.rules.mode == CoalescingMode::Observe {
            if inbox.try_send(Letter { hash, question: sent, relay: None }).is_err() {
                return self.alone(Outcome::Full);
            }
            return Join::Alone(Outcome::Observed);
        }
        let (relay, heard, line) = Relay::new();
        if inbox.try_send(Letter { hash, question: sent, relay: Some(relay) }).is_err() {
            return self.alone(Outcome::Full);
        }
        let now = Tick::now();
        let flight = self.flight(hash, question, now);
        let _ = flight.with_tally(|tally| tally.take_places(1));
        flight.ask(line, self.moment(question, now));
        self.open.insert(flight.clone());
        let feed = Feed::new(self.clone(), flight.clone(), heard);
        Join::Follow(Seat::new(self.clone(), flight, Role::Follower), Some(feed))
    }

    /// Lets other workers join, for as long as the worker lives.
    pub async fn attend(self: Rc<Self>, mut letters: Letters) {
        while let Some(letter) = letters.recv().await {
            self.deliver(letter);
        }
    }

    /// Another worker wants to join a flight of ours.
    pub fn deliver(&self, letter: Letter) {
        let Letter { hash, question, relay } = letter;
        let question = question.question();
        let found = self.open.find(hash);
        let same = found.as_ref().filter(|flight| flight.kept.equals(&question));
        let is_full = same.is_some_and(|flight| flight.with_tally(Tally::is_full));
        let takes = same.filter(|flight| {
            !is_full
                && flight.line.borrow().is_none()
                && flight.with_tally(|tally| tally.takes(self.moment(&question, Tick::now()))) == Takes::Yes
        });
        match (takes, relay) {
            (Some(flight), None) => flight.observers.set(flight.observers.get() + 1),
            (Some(flight), Some(relay)) => {
                relay.join(flight.tally());
                flight.attach(relay);
            }
            (None, relay) => {
                // First: who is refused asks the directory again, and it must not lead here.
                if let Some(flight) = same {
                    self.close(flight);
                }
                match relay {
                    // It would have led one.
                    None => self.counters.coalesce.count(Role::Alone, Outcome::Observed, 1),
                    Some(relay) => relay.refuse(match &found {
                        Some(_) if is_full => Refusal::Full,
                        Some(_) if same.is_none() => Refusal::Differs,
                        // The entry that led here is of another key, whose hash is nearly the same.
                        None if self.has_entry(hash) => Refusal::Differs,
                        _ => Refusal::Over,
                    }),
                }
            }
        }
    }

    /// The newest flight of a hash, if it takes joiners.
    #[cfg(test)]
    pub(super) fn newest(&self, hash: u64) -> Option<Rc<Flight>> {
        self.open.find(hash)
    }

    #[cfg(test)]
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// A request that may change what others read goes to the app now (R7).
    pub fn write(&self, upstream: u32, uri_hash: u64) -> Writing {
        Writing::dispatch(self.seed.epochs[upstream as usize].clone(), uri_hash)
    }

    /// Of a request's path and query.
    pub fn hash_uri(&self, uri: &[u8]) -> u64 {
        self.seed.keyer.hash_uri(uri)
    }

    /// The write epoch that a read of `question` belongs to, if it begins now (R7).
    #[inline]
    pub fn epoch(&self, question: &Question<'_>) -> u64 {
        let scope = match question.rules.read_after_write {
            ReadAfterWrite::Off => epoch::Scope::Off,
            ReadAfterWrite::Upstream => epoch::Scope::Upstream,
            ReadAfterWrite::Path => epoch::Scope::Path(self.seed.keyer.hash_uri(question.uri())),
        };
        self.seed.epochs[question.scope.upstream as usize].now(scope)
    }

    /// The request of a flight goes to the app now.
    pub(super) fn dispatched(&self, flight: &Flight, rules: &Coalescing, now: Tick) {
        let epoch = self.epoch(&flight.kept.question(rules));
        flight.with_tally(|tally| tally.dispatched(now, epoch));
    }

    fn moment(&self, question: &Question<'_>, now: Tick) -> Moment {
        Moment { now, epoch: self.epoch(question), join_window: question.rules.join_window }
    }

    fn flight(&self, hash: u64, question: &Question<'_>, now: Tick) -> Rc<Flight> {
        if let Some(mut spare) = self.spare.borrow_mut().pop()
            && let Some(flight) = Rc::get_mut(&mut spare)
        {
            flight.reset(hash, question, now);
            return spare;
        }
        Rc::new(Flight::new(self.counters.clone(), hash, Kept::new(question, now)))
    }

    /// There is room for a body of so many bytes, until its last participant has it.
    pub(super) fn may_retain(&self, bytes: u64) -> bool {
        let retained = self.counters.coalesce.retained_bytes.load(Relaxed);
        retained + self.reserved.get() + bytes <= RETAINED_BYTES_MAX_OF_WORKER
    }

    /// The flight takes no more joiners here, and the next request opens a new one. Of another worker's flight only its owner knows when it is over
    /// for all.
    pub(super) fn close(&self, flight: &Rc<Flight>) {
        if flight.line.borrow().is_none() {
            flight.with_tally(|tally| tally.close());
        }
        if let (Some(entry), Some(crossing)) = (flight.entry.take(), &self.seed.crossing) {
            crossing.directory.close(entry);
        }
        self.open.remove(flight);
    }

    /// Keeps the memory of a flight that nobody has joined.
    pub(super) fn retire(&self, flight: Rc<Flight>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(flight);
        }
    }

    /// Keys fall out of the table by themselves: once a second that is looked at.
    fn count_passes(&self, now: Tick) {
        let entries = &self.counters.coalesce.pass_entries;
        if entries.now() > 0 && now.since(self.passes_counted.get()) >= Duration::from_secs(1) {
            self.passes_counted.set(now);
            entries.set(self.passes.borrow_mut().len_in_force(now) as u64);
        }
    }

    /// The directory leads others here for this hash.
    fn has_entry(&self, hash: u64) -> bool {
        self.seed.crossing.as_ref().is_some_and(|crossing| crossing.directory.look(hash) == Some(self.me))
    }

    fn is_paused(&self, route: u32, now: Tick) -> bool {
        self.trials.borrow().get(route as usize).is_some_and(|trial| trial.is_paused(now))
    }

    /// What has become of a flight, known at its head: what was worth waiting for is learned from those that were joined (R4).
    #[inline]
    pub(super) fn learn(&self, flight: &Flight, outcome: Outcome) {
        if flight.was_joined.get() || flight.observers.get() > 0 {
            self.learn_of_joined(flight, outcome);
        }
    }

    fn learn_of_joined(&self, flight: &Flight, outcome: Outcome) {
        let observers = flight.observers.take();
        if observers > 0 {
            let seen = if outcome == Outcome::Shared { Outcome::Observed } else { outcome };
            self.counters.coalesce.count(Role::Follower, seen, observers);
        }
        let now = Tick::now();
        let followers = u64::from(flight.with_tally(|tally| tally.followers()));
        if followers > 0 && flight.line.borrow().is_none() {
            self.counters.coalesce.flight_followers.note(&FOLLOWERS_BOUNDS, followers);
        }
        if observers == 0 && matches!(outcome, Outcome::Shared | Outcome::Unshareable | Outcome::Vary) {
            let route = flight.kept.route() as usize;
            let mut trials = self.trials.borrow_mut();
            if trials.len() <= route {
                trials.resize_with(route + 1, Trial::default);
            }
            trials[route].note(outcome == Outcome::Shared, now);
        }
        if observers == 0 && matches!(outcome, Outcome::Unshareable | Outcome::Vary) {
            let mut passes = self.passes.borrow_mut();
            passes.enter(flight.hash.get(), now);
            self.passes_counted.set(now);
            self.counters.coalesce.pass_entries.set(passes.len_in_force(now) as u64);
        }
    }
}

impl From<Unshared> for Outcome {
    fn from(why: Unshared) -> Outcome {
        match why {
            Unshared::Unshareable => Outcome::Unshareable,
            Unshared::Vary => Outcome::Vary,
            Unshared::Error => Outcome::Error,
        }
    }
}

#[cfg(test)]
mod tests;
