//! The app, and a request's way up to it: what `serve` has in `ascent`, on a script instead of a connection.

use std::cell::Cell;
use std::rc::Rc;

use super::heads::Answer;
use super::plan::{Fate, Script};
use super::world::World;
use crate::fault::{Fault, Kind};
use crate::timeouts::Timer;

/// How long an answer's head may take.
const HEAD_MS: u64 = 4000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// The whole answer has been read.
    Whole,
    /// The app broke off.
    Died,
    /// We broke off.
    Cancelled,
}

/// One request on one connection to the app.
pub struct Exchange {
    pub number: usize,
    /// The request that went up.
    pub request: usize,
    pub class: usize,
    /// When: milliseconds, event.
    pub dispatched: (u64, u64),
    pub script: Script,
    pub state: Cell<State>,
    /// Chunks that all participants were given.
    pub pushed: Cell<u64>,
}

impl Exchange {
    pub fn bytes_before(&self, chunk: u64) -> usize {
        self.script.chunks[..chunk as usize].iter().map(|(bytes, _)| bytes).sum()
    }

    pub fn bytes(&self) -> usize {
        self.bytes_before(self.script.chunks.len() as u64)
    }

    pub fn is(&self, state: State) -> bool {
        self.state.get() == state
    }

    fn head_at(&self) -> u64 {
        match self.script.fate {
            Fate::Answers(ms) | Fate::Stale(ms) | Fate::Dies(ms) => self.dispatched.0 + ms,
            Fate::Silent => self.dispatched.0 + HEAD_MS,
        }
    }

    /// When chunk `number` is there, or the end.
    fn chunk_at(&self, number: usize) -> u64 {
        let before = &self.script.chunks[..(number + 1).min(self.script.chunks.len())];
        self.head_at() + before.iter().map(|(_, ms)| ms).sum::<u64>()
    }
}

/// What comes of a body next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Chunk(usize),
    End,
    BrokenOff,
}

/// Has the exchange; without it, nobody reads its answer.
pub struct Lease {
    pub exchange: Rc<Exchange>,
    read: Cell<usize>,
}

impl Lease {
    /// May be dropped.
    pub async fn read(&self, world: &World) -> Part {
        let (exchange, number) = (&self.exchange, self.read.get());
        world.executor.sleep_until(exchange.chunk_at(number)).await;
        if exchange.script.dies_before_chunk == Some(number) {
            exchange.state.set(State::Died);
            return Part::BrokenOff;
        }
        match exchange.script.chunks.get(number) {
            Some(&(bytes, _)) => {
                self.read.set(number + 1);
                Part::Chunk(bytes)
            }
            None => {
                exchange.state.set(State::Whole);
                Part::End
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.exchange.is(State::Open) {
            self.exchange.state.set(State::Cancelled);
        }
    }
}

/// A request on its way up.
pub struct Ascent {
    world: Rc<World>,
    request: usize,
    class: usize,
    /// When it has its permit. `None`: it has it.
    permit_at: Option<u64>,
    lease: Option<Lease>,
    has_warm_ones: bool,
    interims: usize,
}

pub struct Climb<'c> {
    /// Until when it waits for its permit.
    pub queue: Option<u64>,
    /// Called when the request goes up.
    pub on_dispatch: &'c dyn Fn(),
    /// Set while it does what would have to be begun anew.
    pub is_bound: &'c Cell<bool>,
}

/// A head has come.
pub enum Reached {
    Interim,
    Final(Answer),
}

/// An answer whose head has come.
pub struct Landed {
    pub lease: Lease,
    pub answer: Answer,
}

impl Ascent {
    pub fn new(world: &Rc<World>, request: usize, class: usize) -> Ascent {
        let app = &world.plan.app;
        let waits = world.rng.borrow_mut().percent(app.waits_for_permit);
        Ascent {
            world: world.clone(),
            request,
            class,
            permit_at: waits.then(|| world.now() + app.permit_ms),
            lease: None,
            has_warm_ones: true,
            interims: 0,
        }
    }

    pub fn start_over(&mut self) {
        self.lease = None;
        self.has_warm_ones = false;
        self.interims = 0;
    }

    pub fn exchange(&self) -> Option<Rc<Exchange>> {
        self.lease.as_ref().map(|lease| lease.exchange.clone())
    }

    pub fn land(self, answer: Answer) -> Landed {
        Landed { lease: self.lease.expect("its head has come"), answer }
    }

    /// Until the next head. May be dropped, but for while it is bound.
    pub async fn climb(&mut self, climb: &Climb<'_>) -> Result<Reached, Fault> {
        self.wait_for_permit(climb.queue).await?;
        loop {
            if self.lease.is_none() {
                climb.is_bound.set(true);
                let connected = self.connect().await;
                climb.is_bound.set(false);
                connected?;
                (climb.on_dispatch)();
                self.dispatch();
            }
            match self.head().await? {
                Some(reached) => return Ok(reached),
                None => self.start_over(),
            }
        }
    }

    async fn wait_for_permit(&mut self, queue: Option<u64>) -> Result<(), Fault> {
        let Some(at) = self.permit_at else { return Ok(()) };
        if let Some(due) = queue.filter(|&due| due < at) {
            self.world.executor.sleep_until(due).await;
            return Err(Fault { kind: Kind::TimedOut(Timer::Queue), detail: "it waited for too long" });
        }
        self.world.executor.sleep_until(at).await;
        self.permit_at = None;
        Ok(())
    }

    async fn connect(&self) -> Result<(), Fault> {
        let app = &self.world.plan.app;
        if app.connect_ms > 0 {
            self.world.executor.sleep(app.connect_ms).await;
        }
        if self.world.rng.borrow_mut().percent(app.refuses) {
            return Err(Fault { kind: Kind::ConnectFailed, detail: "refused" });
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        let world = &self.world;
        let mut script = world.plan.app.script(&mut world.rng.borrow_mut());
        if let (Fate::Stale(ms), false) = (script.fate, self.has_warm_ones) {
            // A new connection has not been idle.
            script.fate = Fate::Answers(ms);
        }
        let exchange = Rc::new(Exchange {
            number: world.exchanges.borrow().len(),
            request: self.request,
            class: self.class,
            dispatched: (world.now(), world.new_event()),
            script,
            state: Cell::new(State::Open),
            pushed: Cell::new(0),
        });
        world.trace(|| {
            let Script { fate, says, framing, .. } = &exchange.script;
            format!("request {} goes up as exchange {}: {fate:?}, {says:?}, {framing:?}", self.request, exchange.number)
        });
        world.exchanges.borrow_mut().push(exchange.clone());
        self.lease = Some(Lease { exchange, read: Cell::new(0) });
    }

    /// `None`: the connection had gone stale.
    async fn head(&mut self) -> Result<Option<Reached>, Fault> {
        let exchange = self.exchange().expect("leased before");
        if let Some(ms) = exchange.script.interims.get(self.interims) {
            self.world.executor.sleep_until(exchange.dispatched.0 + ms).await;
            self.interims += 1;
            return Ok(Some(Reached::Interim));
        }
        self.world.executor.sleep_until(exchange.head_at()).await;
        let Script { says, framing, .. } = exchange.script;
        match exchange.script.fate {
            Fate::Answers(_) => {
                Ok(Some(Reached::Final(Answer::new(says, framing, exchange.number, &self.world.plan.rules))))
            }
            Fate::Stale(_) if exchange.script.interims.is_empty() => {
                exchange.state.set(State::Died);
                Ok(None)
            }
            Fate::Stale(_) | Fate::Dies(_) => {
                exchange.state.set(State::Died);
                Err(Fault { kind: Kind::UpstreamClosed, detail: "the app closed before its answer" })
            }
            Fate::Silent => {
                Err(Fault { kind: Kind::TimedOut(Timer::ResponseHeaders), detail: "the app did not answer in time" })
            }
        }
    }
}
