//! Warm connections to one upstream, of one worker.
//!
//! In: a wish for a connection. Out: a [`Lease`], that gives the connection back by drop, or a [`Fault`]. Must not know: requests, retries.
//! Newest first, so that the rest can grow old and be closed. Bounds: `IDLE_MAX` connections, the idle time (configured, announced by the app, and
//! learned from when it closed an idle one), the age.

mod idle;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{Fault, Kind};
use crate::io::{Deadline, IoError, Reactor, Stream, Tick, connect};
use crate::telemetry::WorkerCounters;
use crate::timeouts::Timer;
use idle::{Idle, Learned};

/// Idle connections that one worker keeps to one upstream.
const IDLE_MAX: usize = 1024;

/// A request that could not be sent a second time takes only a connection that was used so recently: one that an app has closed meanwhile
/// is found out too late. Half the learned idle time where that is shorter.
const FRESH_MAX: Duration = Duration::from_secs(1);

/// Whether the request may be sent once more if the connection turns out to be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    Possible,
    Impossible,
}

/// How long connections live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    pub connect: Duration,
    pub idle: Duration,
    pub age: Option<Duration>,
}

pub(crate) struct Pool {
    addresses: Vec<SocketAddr>,
    reactor: Rc<Reactor>,
    counters: Arc<WorkerCounters>,
    idle: RefCell<Vec<Idle>>,
    learned: Learned,
    sweeper: idle::Sweeper,
}

impl Pool {
    /// `addresses` are tried in turn by each connect.
    pub fn new(reactor: Rc<Reactor>, counters: Arc<WorkerCounters>, addresses: Vec<SocketAddr>) -> Rc<Pool> {
        let pool = Rc::new(Pool {
            addresses,
            reactor,
            counters,
            idle: RefCell::default(),
            learned: Learned::default(),
            sweeper: idle::Sweeper::default(),
        });
        monoio::spawn(idle::sweep(pool.clone()));
        pool
    }

    /// A warm connection that has stayed quiet, if there is one that suits.
    pub fn warm(self: &Rc<Self>, replay: Replay, ages: Ages) -> Option<Lease> {
        let now = Tick::now();
        let limit = self.learned.limit(now, ages.idle);
        let mut idle = self.idle.borrow_mut();
        loop {
            let candidate = idle.last()?;
            if replay == Replay::Impossible && now.since(candidate.since) >= FRESH_MAX.min(limit / 2) {
                return None;
            }
            let candidate = idle.pop()?;
            self.counters.upstream_connections_idle.fall();
            let good = candidate.is_good(now, limit, ages.age) && self.sweeper.is_quiet(&candidate.stream);
            if good {
                candidate.stream.resume();
                self.counters.upstream_reused.add(1);
                let Idle { stream, born, .. } = candidate;
                return Some(Lease::new(self.clone(), stream, born, true));
            }
            self.counters.upstream_connections_open.fall();
        }
    }

    /// A new connection.
    pub async fn connect(self: &Rc<Self>, ages: Ages, request: Option<Deadline>) -> Result<Lease, Fault> {
        let deadline = Deadline::after(ages.connect, Timer::Connect).or(request);
        let mut last = None;
        for &address in &self.addresses {
            match connect(&self.reactor, address, deadline).await {
                Ok(stream) => {
                    self.counters.upstream_connects.add(1);
                    self.counters.upstream_connections_open.rise();
                    return Ok(Lease::new(self.clone(), stream, Tick::now(), false));
                }
                Err(error) => last = Some(error),
            }
        }
        self.counters.upstream_connect_failures.add(1);
        Err(match last {
            Some(IoError::Expired(timer)) => Fault {
                kind: Kind::TimedOut(timer),
                detail: "the app did not take the connection in time: is it overloaded?",
            },
            Some(IoError::Os(error)) => explain(&error),
            None => Fault { kind: Kind::ConnectFailed, detail: "the upstream has no address" },
        })
    }

    /// Closes all idle connections.
    pub fn close_idle(&self) {
        for _ in self.idle.take() {
            self.counters.upstream_connections_idle.fall();
            self.counters.upstream_connections_open.fall();
        }
    }

    fn put(&self, stream: Stream, born: Tick, announced: Option<Duration>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_MAX {
            self.counters.upstream_connections_open.fall();
            return;
        }
        let now = Tick::now();
        let connection = Idle { stream, born, since: now, announced };
        self.sweeper.watch(&connection, self.learned.current(now));
        idle.push(connection);
        self.counters.upstream_connections_idle.rise();
    }
}

/// Who closes other connections may try again.
pub(crate) const NO_DESCRIPTOR: Fault =
    Fault { kind: Kind::Resources, detail: "no file descriptor or memory for a connection to the app" };

fn explain(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => {
            Fault { kind: Kind::ConnectFailed, detail: "the app refused the connection: is it listening on its port?" }
        }
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => NO_DESCRIPTOR,
        Some(libc::EADDRNOTAVAIL) => Fault { kind: Kind::Resources, detail: "no port for a connection to the app" },
        _ => Fault { kind: Kind::ConnectFailed, detail: "the app could not be reached" },
    }
}

/// A connection to the app, for one exchange. Closed by drop, unless [`Lease::keep`] was said: then it goes back to the pool.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    stream: Option<Stream>,
    born: Tick,
    pub reused: bool,
    keep: Cell<Option<Option<Duration>>>,
}

impl Lease {
    fn new(pool: Rc<Pool>, stream: Stream, born: Tick, reused: bool) -> Lease {
        Lease { pool, stream: Some(stream), born, reused, keep: Cell::new(None) }
    }

    pub fn stream(&self) -> &Stream {
        self.stream.as_ref().expect("taken only by drop")
    }

    /// The exchange is over and the app can take another. `announced`: how long it says that it waits.
    pub fn keep(&self, announced: Option<Duration>) {
        self.keep.set(Some(announced));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        match self.keep.get() {
            Some(announced) => self.pool.put(stream, self.born, announced),
            None => self.pool.counters.upstream_connections_open.fall(),
        }
    }
}
