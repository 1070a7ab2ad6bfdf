//! The control thread: everything that is not a request.
//!
//! In: [`ControlSettings`], what the workers share with it. Out: a [`Control`], whose thread runs one tokio current-thread runtime with the
//! admin server, the steps of the end that time decides and, for the process that asks for it, the signals. A process may run several
//! proxies, so nothing here is global.
//! Must not know: requests. No worker waits for this thread: it reads their counters, and they watch [`Stop`].

mod certificates;
mod exporting;
mod lines;
mod telling;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::admin;
use crate::budget::Budget;
use crate::config::{DrainSettings, Snapshot, kernel_bytes};
use crate::limits::Permits;
use crate::report::{Proxy, Upstream};
use crate::stop::{Phase, Stop};
use crate::telemetry::exports::ExportCounters;
use crate::telemetry::{Listening, WorkerCounters};
use crate::tls::Certificates;
pub use certificates::Reloads;
pub use exporting::Exporting;
use exporting::Underway;

/// How often the kernel is asked for the memory of our sockets.
const KERNEL_MEMORY_EVERY: Duration = Duration::from_secs(1);

/// What is left to send once the app is gone. With what the workers need after it, the process ends within a second of its signal.
const LEAVE: Duration = Duration::from_millis(700);

/// What the control thread reads of a proxy.
#[derive(Debug)]
pub struct ControlSettings {
    /// Bound by the caller, so that an address in use is an error of the start.
    pub admin: Option<TcpListener>,
    /// One for each worker.
    pub counters: Vec<Arc<WorkerCounters>>,
    pub exports: Arc<ExportCounters>,
    pub upstreams: Vec<Upstream>,
    pub permits: &'static Permits,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub driver: Driver,
    /// Of each TLS listener.
    pub certificates: Vec<Arc<Certificates>>,
    pub budget: Arc<Budget>,
    pub memory_limit_bytes: Option<u64>,
    /// Where the kernel tells what our sockets hold; `None`: it is not counted to us.
    pub kernel_memory: Option<PathBuf>,
    /// Set by the workers' side once every worker accepts.
    pub ready: Arc<AtomicBool>,
    pub stop: Arc<Stop>,
    pub drain: DrainSettings,
    /// What the workers tell.
    pub listening: Listening,
    pub telemetry: Exporting,
}

/// The kernel interface in use, and why this one.
#[derive(Debug, Clone)]
pub struct Driver {
    pub name: &'static str,
    /// A word or a short sentence of a bounded set: it is a label.
    pub reason: String,
}

/// Starts the thread. Returns once the admin server accepts.
pub fn spawn(settings: ControlSettings) -> io::Result<Control> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (stop, counters) = (settings.stop.clone(), settings.counters.clone());
    handle.spawn(lead(stop.clone(), settings.drain));
    let served = settings.admin.as_ref().map(TcpListener::local_addr).transpose()?;
    for warning in settings.certificates.iter().flat_map(|certificates| certificates.warnings(SystemTime::now())) {
        tracing::warn!("{warning}");
    }

    if let Some(stat) = settings.kernel_memory {
        handle.spawn(watch_kernel_memory(stat, settings.budget.clone()));
    }
    let reloads = Arc::new(Reloads::default());
    handle.spawn(certificates::follow(settings.certificates.clone(), reloads.clone()));

    let exports = settings.exports.clone();
    let proxy = Arc::new(Proxy {
        counters: settings.counters,
        exports: settings.exports,
        upstreams: settings.upstreams,
        permits: settings.permits,
        snapshot: settings.snapshot,
        driver: settings.driver,
        certificates: settings.certificates,
        budget: settings.budget,
        memory_limit_bytes: settings.memory_limit_bytes,
        reloads,
        ready: settings.ready,
        stop: settings.stop,
    });
    let underway = exporting::spawn(&handle, settings.telemetry, settings.listening, &proxy, exports)?;
    if let Some(listener) = settings.admin {
        listener.set_nonblocking(true)?;
        let _context = handle.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        handle.spawn(admin::serve(listener, proxy, admin::Waits::default()));
    }

    let (end, ended) = oneshot::channel();
    let thread =
        std::thread::Builder::new().name("control".to_owned()).spawn(move || run(&runtime, ended, underway))?;
    Ok(Control { admin: served, counters, handle, stop, end: Some(end), thread: Some(thread) })
}

/// Tells the budget what the kernel holds for our sockets.
async fn watch_kernel_memory(stat: PathBuf, budget: Arc<Budget>) {
    let mut times = tokio::time::interval(KERNEL_MEMORY_EVERY);
    loop {
        times.tick().await;
        budget.set_kernel_bytes(kernel_bytes(&stat).unwrap_or(0));
    }
}

/// Until the handle says so, or is gone; then what has been told is sent. Tasks that are left end with the runtime.
fn run(runtime: &Runtime, ended: oneshot::Receiver<()>, exports: Underway) {
    runtime.block_on(async {
        let _ = ended.await;
        exports.finish().await;
    });
}

/// A control thread that runs. It ends by [`Control::finish`] or by drop, and both wait for it.
#[derive(Debug)]
pub struct Control {
    /// Where the admin server listens, with the port that the kernel gave.
    pub admin: Option<SocketAddr>,
    counters: Vec<Arc<WorkerCounters>>,
    handle: runtime::Handle,
    stop: Arc<Stop>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// From here on SIGTERM and SIGINT ask this proxy to end, and the second one ends the process at once.
    ///
    /// For `main` only: it takes the signals' default away from the whole process, for good.
    pub fn stop_on_signals(&self) -> io::Result<()> {
        let _context = self.handle.enter();
        let signals =
            Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        self.handle.spawn(stop_on(signals, self.stop.clone()));
        Ok(())
    }

    /// The proxy's way to its end, to ask for it or to wait for it.
    pub fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// The admin server answers until here: call it when the workers have ended.
    pub fn finish(self) {
        self.stop.advance(Phase::Ended);
        match self.counters.iter().map(|worker| worker.requests_broken_off.sum()).sum::<u64>() {
            0 => tracing::info!("ended: no request was broken off"),
            n => tracing::warn!("ended: requests that took too long and were broken off: {n}"),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The name of the next one, and the exit code that a shell expects of who dies of it.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 128 + libc::SIGTERM),
            _ = self.interrupt.recv() => ("SIGINT", 128 + libc::SIGINT),
        }
    }
}

/// The first signal ends the proxy in order, the second one the process.
async fn stop_on(mut signals: Signals, stop: Arc<Stop>) {
    let (name, _) = signals.next().await;
    // In a pod a drain began at the deletion, and the kubelet signals a sidecar once the app has ended. A signal alone is a person's or a
    // supervisor's: no list of endpoints lags behind it, so nothing is gained by a delay.
    if stop.phase() == Phase::Running {
        tracing::info!("{name}: ending; a second signal ends at once");
        stop.advance(Phase::Closing);
    } else {
        tracing::info!(
            "{name} after a drain: the app is gone, answers under way have {LEAVE:?}; a second signal ends at once"
        );
        stop.advance(Phase::Leaving);
    }
    let (name, code) = signals.next().await;
    tracing::warn!("{name} again: ending with requests in flight");
    std::process::exit(code);
}

/// Takes the steps of the end that time decides, and says them.
async fn lead(stop: Arc<Stop>, drain: DrainSettings) {
    let DrainSettings { delay, grace } = drain;
    stop.reached(Phase::Draining).await;
    if stop.phase() == Phase::Draining {
        tracing::info!(
            "draining: not ready any more, answers end their connections, new connections are taken for {delay:?}"
        );
        if timeout(delay, stop.reached(Phase::Closing)).await.is_err() {
            stop.advance(Phase::Closing);
        }
    }
    if stop.phase() == Phase::Closing {
        tracing::info!("closing: no new connections, requests in flight have {grace:?}");
    }
    let all_of_it = async {
        stop.reached(Phase::Leaving).await;
        let _ = timeout(LEAVE, stop.reached(Phase::Ended)).await;
    };
    let _ = timeout(grace, all_of_it).await;
    stop.advance(Phase::Ended);
}

#[cfg(test)]
mod tests;
