//! What all actors of a schedule share: the workers' boards, the time, and a record of what has happened, kept without the room's help.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::app::Exchange;
use super::executor::{Executor, Name, Role, Stepped};
use super::heads::CLASSES;
use super::ledger::Ledger;
use super::plan::Plan;
use super::records::{Carried, Opened, Participant, Records};
use super::rng::Rng;
use super::{checks, client, letters};
use crate::coalesce::board::{Board, FlightSeed, Letters};
use crate::coalesce::epoch::Writing;
use crate::coalesce::key::Keyer;
use crate::config::{Coalescing, ReadAfterWrite, Snapshot, built_in_snapshot};
use crate::telemetry::WorkerCounters;

/// More than any schedule takes: one that takes so many never ends.
const STEPS_MAX: u64 = 400_000;

pub struct World {
    pub plan: Plan,
    pub executor: Rc<Executor>,
    pub rng: RefCell<Rng>,
    pub boards: Vec<Rc<Board>>,
    pub counters: Vec<Arc<WorkerCounters>>,
    pub flight_seed: FlightSeed,
    snapshot: RefCell<Arc<Snapshot>>,
    pub is_draining: Cell<bool>,
    requests: Cell<usize>,
    /// Everything that happens has a number, which tells what came before within one millisecond.
    events: Cell<u64>,
    /// Of writes: at which event an epoch has ended, and whose.
    bumps: RefCell<Vec<(u64, &'static str)>>,
    pub exchanges: RefCell<Vec<Rc<Exchange>>>,
    pub flights: RefCell<Vec<Rc<Opened>>>,
    pub participants: Records<Participant>,
    pub carried: Records<Carried>,
    /// Feeds that wait for their next look, by worker: they hear nothing meanwhile.
    pub feeds_asleep: RefCell<Vec<usize>>,
    /// Whose requests need not wait: on this worker, of this class, until then.
    pub passes: RefCell<Vec<(usize, usize, u64)>>,
    pub ledger: Ledger,
    /// Tasks that died.
    pub deaths: RefCell<Vec<Name>>,
    traces: bool,
}

/// Words for paths that the room's epochs have.
const PATH_WORDS: u64 = 4096;

/// The rules that hold where nobody says anything.
pub fn built_in() -> Coalescing {
    built_in_policy().policy.coalescing
}

fn built_in_policy() -> Snapshot {
    thread_local! {
        static BUILT_IN: Snapshot = Snapshot { dump: serde_json::Value::Null, ..built_in_snapshot() };
    }
    BUILT_IN.with(Snapshot::clone)
}

impl World {
    pub fn new(plan: Plan, seed: u64, traces: bool) -> Rc<World> {
        // The clock of the boards is this one's.
        let executor = Executor::new(Rng::of_seed(!seed), plan.temper);
        let keyer = Keyer::seeded(seed, plan.hash_mask);
        let (flight_seed, inboxes) = FlightSeed::with_keyer(plan.workers, 1, keyer);
        let counters: Vec<Arc<WorkerCounters>> = (0..plan.workers).map(|_| Arc::default()).collect();
        let boards = counters.iter().enumerate().map(|(me, counters)| flight_seed.grow(me, counters.clone())).collect();
        let mut snapshot = built_in_policy();
        snapshot.policy.coalescing = plan.rules.clone();
        let world = Rc::new(World {
            executor,
            rng: RefCell::new(Rng::of_seed(seed ^ 1 << 63)),
            boards,
            ledger: Ledger::new(plan.workers),
            counters,
            flight_seed,
            snapshot: RefCell::new(Arc::new(snapshot)),
            is_draining: Cell::new(false),
            requests: Cell::new(0),
            events: Cell::new(0),
            bumps: RefCell::default(),
            exchanges: RefCell::default(),
            flights: RefCell::default(),
            participants: Records::default(),
            carried: Records::default(),
            feeds_asleep: RefCell::new(vec![0; plan.workers]),
            passes: RefCell::default(),
            deaths: RefCell::default(),
            traces,
            plan,
        });
        world.populate(inboxes);
        world
    }

    fn populate(self: &Rc<Self>, inboxes: Vec<Letters>) {
        for (worker, inbox) in inboxes.into_iter().enumerate() {
            self.spawn(Role::Letters, worker, letters::deliver(self.clone(), worker, inbox));
        }
        for (number, plan) in self.plan.clients.iter().enumerate() {
            self.spawn(Role::Connection(number), plan.worker, client::connection(self.clone(), plan.clone()));
        }
        for (number, plan) in self.plan.writes.iter().enumerate() {
            self.spawn(Role::Writer(number), plan.worker, letters::write(self.clone(), *plan));
        }
        self.spawn(Role::Settings, 0, letters::settings(self.clone()));
    }

    pub fn spawn(&self, role: Role, worker: usize, future: impl Future<Output = ()> + 'static) {
        self.executor.spawn(Name { role, worker }, future);
    }

    /// Until nothing happens any more.
    pub fn run(self: &Rc<Self>) {
        for _ in 0..STEPS_MAX {
            match self.executor.step() {
                Stepped::Polled => checks::after_step(self),
                Stepped::Later { ms, at_rest } => {
                    checks::before_later(self, ms, at_rest);
                    self.trace(|| format!("{ms} ms later"));
                }
                Stepped::Dry => return checks::at_the_end(self),
            }
            self.maybe_kill();
        }
        panic!("it never ends: {:?}", self.executor.unfinished());
    }

    fn maybe_kill(self: &Rc<Self>) {
        let may = |role| matches!(role, Role::Connection(_) | Role::Carrier(_) | Role::Feed);
        if let Some(name) = self.executor.maybe_kill(self.plan.deaths, may) {
            self.trace(|| format!("{name} dies"));
            self.deaths.borrow_mut().push(name);
            checks::after_step(self);
        }
    }

    /// A task died that others depend on: what it broke is nobody's fault.
    pub fn has_lost(&self, lost: impl Fn(Role) -> bool) -> bool {
        self.deaths.borrow().iter().any(|name| lost(name.role))
    }

    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.traces {
            println!("{:>6} ms  {}", self.executor.now(), what());
        }
    }

    pub fn now(&self) -> u64 {
        self.executor.now()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// The same rules as another policy.
    pub fn reload(&self) {
        let mut next = Snapshot::clone(&self.snapshot.borrow());
        next.generation += 1;
        self.snapshot.replace(Arc::new(next));
    }

    /// Requests that may share an answer are of one class; a policy's generation is part of it.
    pub fn class_of(shape_class: usize, generation: u64) -> usize {
        shape_class + CLASSES * generation as usize
    }

    pub fn new_request(&self) -> usize {
        self.requests.set(self.requests.get() + 1);
        self.requests.get()
    }

    pub fn new_event(&self) -> u64 {
        self.events.set(self.events.get() + 1);
        self.events.get()
    }

    /// A write to `uri` goes up, is answered, or ends.
    pub fn bump(&self, uri: &'static str) {
        let event = self.new_event();
        self.bumps.borrow_mut().push((event, uri));
    }

    /// The last end of an epoch that a read of `uri` must not be older than (R7); 0: there is none.
    pub fn barrier(&self, uri: &str) -> u64 {
        let word = |uri: &str| self.boards[0].hash_uri(uri.as_bytes()) % PATH_WORDS;
        let counts = |of: &str| match self.plan.rules.read_after_write {
            ReadAfterWrite::Upstream => true,
            // Two that share a word only keep a join from happening.
            ReadAfterWrite::Path => word(of) == word(uri),
            ReadAfterWrite::Off => false,
        };
        self.bumps.borrow().iter().rev().find(|(_, of)| counts(of)).map_or(0, |(event, _)| *event)
    }

    pub fn begin_write(&self, worker: usize, uri: &'static str) -> Writing {
        self.bump(uri);
        let board = &self.boards[worker];
        board.write(0, board.hash_uri(uri.as_bytes()))
    }
}
