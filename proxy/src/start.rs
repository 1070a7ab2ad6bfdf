//! From [`Settings`] to a proxy that runs: addresses bound, certificates loaded, workers and control thread started.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;

use crate::budget::Budget;
use crate::buf::HEAD_BYTES;
use crate::coalesce::{FlightSeed, Letters};
use crate::config::{ListenerSettings, Settings, Snapshot, UpstreamSettings};
use crate::control::{self, Control, ControlSettings, Exporting};
use crate::io::{
    Driver, DriverError, Listener, Runtime, bind, let_go_of_code, map_memory_from, pin_to_nth_cpu,
    raise_descriptor_limit,
};
use crate::limits::Permits;
use crate::listen::{Crew, Hall, Inbox, Listening, Lot, Places};
use crate::pool::Pool;
use crate::report::Upstream;
use crate::stop::{Phase, Stop};
use crate::telemetry::exports::ExportCounters;
use crate::telemetry::{self, Telling, UpstreamName, WorkerCounters};
use crate::tls::{CertError, Certificates};
use crate::worker::Worker;

/// A proxy that runs: its workers, its control thread, the addresses it bound.
#[derive(Debug)]
pub struct Running {
    /// In the order of `Settings::listeners`, with the ports that the kernel gave.
    pub listeners: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    /// One for each worker.
    pub counters: Vec<Arc<WorkerCounters>>,
    pub control: Control,
    /// The driver in use, and why.
    pub driver: (&'static str, &'static str),
    snapshot: Arc<ArcSwap<Snapshot>>,
    permits: &'static Permits,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Puts `snapshot` in force: the next request is judged by it, and a larger `concurrency.limit` lets in who waits.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let limit = snapshot.policy.concurrency.limit;
        self.snapshot.store(snapshot);
        self.permits.set_limit(limit);
    }

    /// Asks the proxy to end and waits until it has: requests in flight are finished.
    pub fn stop(self) {
        self.control.stop().ask();
        self.wait();
    }

    /// Waits until somebody has asked the proxy to end, and it has.
    pub fn wait(self) {
        for worker in self.workers {
            // A worker that panicked outside of a task has aborted the process already.
            let _ = worker.join();
        }
        self.control.finish();
    }
}

/// Why a proxy does not start.
#[derive(Debug)]
pub enum StartError {
    Driver(DriverError),
    Certificates(CertError),
    /// An address cannot be listened on.
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    /// A thread or its event loop cannot be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Driver(error) => error.fmt(f),
            StartError::Certificates(error) => error.fmt(f),
            StartError::Bind { address, source } => {
                let cure = match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another process listens there: choose another port, or end that process"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one"
                    }
                    io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
                    _ => "the address cannot be used",
                };
                write!(f, "cannot listen on {address}: {source}; {cure}")
            }
            StartError::Thread(error) => write!(f, "a worker cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What every worker does with one listener.
#[derive(Clone)]
struct Plan {
    settings: ListenerSettings,
    tls: Option<Arc<Certificates>>,
}

/// Starts everything; returns when every worker accepts.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    // Buffers that a burst of connections needed go back to the system, and leave no holes between what stays.
    map_memory_from(HEAD_BYTES);
    raise_descriptor_limit();
    let driver = Driver::choose(settings.io_driver).map_err(StartError::Driver)?;
    let mut plans = Vec::new();
    let mut certificates = Vec::new();
    for listener in &settings.listeners {
        let tls = match &listener.tls {
            None => None,
            Some(tls) => {
                let loaded = Certificates::load(tls).map_err(StartError::Certificates)?;
                certificates.push(loaded.clone());
                Some(loaded)
            }
        };
        plans.push(Plan { settings: listener.clone(), tls });
    }
    let mut sockets: Vec<Vec<TcpListener>> = (0..settings.workers).map(|_| Vec::new()).collect();
    let mut listeners = Vec::new();
    for listener in &settings.listeners {
        let bound = bind_for_all(listener.address, settings.workers)
            .map_err(|source| StartError::Bind { address: listener.address, source })?;
        listeners.push(bound[0].local_addr().map_err(StartError::Thread)?);
        for (worker, socket) in sockets.iter_mut().zip(bound) {
            worker.push(socket);
        }
    }
    let admin = match settings.admin {
        Some(address) => Some(bind(address, false).map_err(|source| StartError::Bind { address, source })?),
        None => None,
    };

    let snapshot = Arc::new(ArcSwap::new(settings.snapshot.clone()));
    let permits = Permits::forever(settings.snapshot.policy.concurrency.limit);
    let counters: Vec<Arc<WorkerCounters>> = (0..settings.workers).map(|_| Arc::default()).collect();
    let budget = Budget::new(settings.memory.budget_bytes, settings.workers);
    let (ready, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(Stop::default()));
    let upstreams = Upstreams::of(&settings.listeners);
    let exports = Arc::new(ExportCounters::default());
    let (telemetry, tracing) = Exporting::prepare(&settings.telemetry, &exports);
    let seed = RandomState::new().hash_one(settings.workers);
    let (tellings, listening) = telemetry::rings(&counters, tracing, seed);
    let mut tellings = tellings.into_iter();
    let control = control::spawn(ControlSettings {
        admin,
        counters: counters.clone(),
        exports: exports.clone(),
        upstreams: upstreams.named.clone(),
        permits,
        snapshot: snapshot.clone(),
        driver: control::Driver { name: driver.name(), reason: driver.reason.to_owned() },
        certificates,
        budget: budget.clone(),
        memory_limit_bytes: settings.memory.limit_bytes,
        kernel_memory: settings.memory.stat.clone(),
        ready: ready.clone(),
        stop: stop.clone(),
        drain: settings.drain,
        listening,
        telemetry,
    })
    .map_err(StartError::Thread)?;

    let (report, reports) = mpsc::channel();
    let mut workers = Vec::new();
    let places = Arc::new(Places::default());
    let (crew, inboxes) = Crew::new(&counters);
    let (seed_of_flights, mut letters) = FlightSeed::new(settings.workers, upstreams.named.len());
    for (n, (sockets, inbox)) in sockets.into_iter().zip(inboxes).enumerate() {
        let seed = Seed {
            n,
            pin: settings.pin,
            driver,
            name: settings.name.clone(),
            plans: plans.clone(),
            sockets,
            telling: tellings.next().expect("one for each worker"),
            snapshot: snapshot.clone(),
            places: places.clone(),
            crew: crew.clone(),
            inbox,
            budget: budget.clone(),
            permits,
            upstreams: upstreams.numbers.clone(),
            flights: seed_of_flights.clone(),
            letters: letters.remove(0),
            stop: stop.clone(),
            report: report.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("worker-{n}"));
        match thread.spawn(move || seed.grow()) {
            Ok(worker) => workers.push(worker),
            Err(error) => {
                stop.ask();
                return Err(StartError::Thread(error));
            }
        }
    }
    drop(report);
    for _ in 0..workers.len() {
        match reports.recv() {
            Ok(Ok(())) => {}
            ended => {
                // Those that run must not go on without the others.
                stop.ask();
                let lost = || io::Error::other("a worker ended before it was ready");
                return Err(StartError::Thread(ended.map_or_else(|_| lost(), |said| said.err().unwrap_or_else(lost))));
            }
        }
    }
    // What has been built is built.
    let_go_of_code();
    ready.store(true, Ordering::Release);
    let driver = (driver.name(), driver.reason);
    Ok(Running { listeners, admin: control.admin, counters, control, driver, snapshot, permits, workers })
}

/// The upstreams of the listeners, each once.
struct Upstreams {
    /// Of each listener.
    numbers: Vec<u32>,
    /// By number.
    named: Vec<Upstream>,
}

impl Upstreams {
    fn of(listeners: &[ListenerSettings]) -> Upstreams {
        let mut known: Vec<&UpstreamSettings> = Vec::new();
        let mut numbers = Vec::new();
        for listener in listeners {
            let at = known.iter().position(|upstream| upstream.addresses == listener.upstream.addresses);
            numbers.push(at.unwrap_or(known.len()) as u32);
            if at.is_none() {
                known.push(&listener.upstream);
            }
        }
        Upstreams { numbers, named: known.into_iter().map(Upstream::of).collect() }
    }
}

/// One socket for each worker: their own by SO_REUSEPORT, or where that cannot be had the same one shared.
fn bind_for_all(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // Bound alone first: SO_REUSEPORT would share the port with another process of ours that is there already.
    drop(bind(address, false)?);
    let first = bind(address, workers > 1)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..workers {
        let next = bind(address, true).or_else(|_| all[0].try_clone())?;
        all.push(next);
    }
    Ok(all)
}

/// What a worker's thread is made from.
struct Seed {
    n: usize,
    pin: bool,
    driver: Driver,
    name: String,
    plans: Vec<Plan>,
    sockets: Vec<TcpListener>,
    telling: Telling,
    snapshot: Arc<ArcSwap<Snapshot>>,
    places: Arc<Places>,
    crew: Arc<Crew>,
    inbox: Inbox,
    budget: Arc<Budget>,
    permits: &'static Permits,
    /// The number of each listener's upstream.
    upstreams: Vec<u32>,
    flights: FlightSeed,
    letters: Letters,
    stop: Arc<Stop>,
    report: mpsc::Sender<io::Result<()>>,
}

impl Seed {
    /// The worker's thread, from its first step to its last.
    fn grow(self) {
        if self.pin {
            pin_to_nth_cpu(self.n);
        }
        self.budget.join();
        let (driver, report) = (self.driver, self.report.clone());
        let run = std::panic::AssertUnwindSafe(|| {
            Runtime::block_on(driver, |reactor| async move {
                let board = self.flights.grow(self.n, self.telling.counters.clone());
                monoio::spawn(board.clone().attend(self.letters));
                let worker = Worker::new(reactor.clone(), self.telling, &self.name, self.snapshot, self.stop, board);
                let lot = Rc::new(Lot::default());
                monoio::spawn(lot.clone().attend(worker.clone()));
                monoio::spawn(worker.clone().attend_memory());
                let listening = |(plan, number): (Plan, u32)| {
                    let upstream = plan.settings.upstream;
                    let only = (upstream.addresses.len() == 1).then(|| upstream.addresses[0]);
                    Rc::new(Listening {
                        tls: plan.tls,
                        pool: Pool::new(reactor.clone(), worker.counters.clone(), upstream.addresses),
                        lot: lot.clone(),
                        permits: self.permits,
                        upstream: number,
                        told: Rc::new(UpstreamName {
                            number: u16::try_from(number).unwrap_or(u16::MAX),
                            authority: upstream.authority.as_str().into(),
                            peer: only,
                        }),
                        upstream_authority: upstream.authority,
                    })
                };
                let listenings = self.plans.into_iter().zip(self.upstreams).map(listening).collect();
                let (me, crew) = (self.n, self.crew);
                let hall = Hall { worker: worker.clone(), me, crew, places: self.places, lot: lot.clone(), listenings };
                let hall = Rc::new(hall);
                monoio::spawn(hall.clone().receive(self.inbox));
                let mut doors = Vec::new();
                for (number, socket) in self.sockets.into_iter().enumerate() {
                    doors.push(monoio::spawn(hall.clone().accept(number, Listener::new(&reactor, socket)?)));
                }
                let _ = self.report.send(Ok(()));
                worker.reached(Phase::Closing).await;
                worker.close_idle();
                lot.close_all(&worker).await;
                for door in doors {
                    door.await;
                }
                hall.all_received().await;
                worker.finish().await;
                hall.listenings.iter().for_each(|listening| listening.pool.close_idle());
                reactor.settle().await;
                io::Result::Ok(())
            })
        });
        match std::panic::catch_unwind(run) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error)) | Err(error)) => {
                let _ = report.send(Err(error));
            }
            // The process must not go on without this worker, and the kernel may still write into its buffers.
            Err(_) => std::process::abort(),
        }
    }
}
