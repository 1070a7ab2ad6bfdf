//! One sample: start a contestant alone on its core, wait until it answers, load it, read the counters at the window's edges.
//!
//! In: a `Bench` (origin, certificates, programs, cores), a case, a contestant. Out: figures, and the counts that must agree:
//! what the generator asked and what the origin answered. A contestant is started anew for each sample, so that rounds are
//! independent of each other's memory layout and pools.

use std::net::SocketAddr;
use std::ops::{AddAssign, ControlFlow};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::cases::{self, Case};
use crate::contestants::{Contestant, Ground, Programs};
use crate::counters::{self, ProcessorTime, Reading, Syscalls};
use crate::load::{self, Counts, Edge, Load, OnEdge, Outcome, Pace, Plan, Transfers};
use crate::process::{self, Running};
use crate::{idle, probe, tls};

const READY_MAX: Duration = Duration::from_secs(10);
/// Ticks of /proc/stat in a second (USER_HZ is 100 on every architecture that Linux runs on today).
const TICK: Duration = Duration::from_millis(10);

/// What all samples of a run share.
pub struct Bench {
    pub programs: Programs,
    pub proxy_cpu: usize,
    pub warm_up: Duration,
    pub window: Duration,
    folder: PathBuf,
    files: tls::Files,
    client: Arc<ClientConfig>,
    origin: SocketAddr,
    _origin_process: Running,
}

impl Bench {
    /// Makes certificates and starts the origin. `cpus`: of load and origin, and of the contestant.
    pub fn start(
        programs: Programs,
        folder: PathBuf,
        cpus: (usize, usize),
        times: (Duration, Duration),
    ) -> Outcome<Self> {
        let files = tls::make_files(&folder)?;
        let origin = process::free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["origin", "--listen", &origin.to_string()]);
        let mut origin_process = process::start(command, cpus.0, &folder.join("origin.log"))?;
        origin_process.wait_ready(READY_MAX, || probe::get_once(origin, None))?;
        Ok(Self {
            programs,
            proxy_cpu: cpus.1,
            warm_up: times.0,
            window: times.1,
            client: tls::client_config(&files)?,
            folder,
            files,
            origin,
            _origin_process: origin_process,
        })
    }

    /// Starts a contestant and waits until it answers on its plain or its TLS listener.
    pub fn start_contestant(&self, contestant: Contestant, over_tls: bool) -> Outcome<Started> {
        let ground = Ground {
            folder: self.folder.clone(),
            origin: self.origin,
            plain: process::free_port()?,
            tls: process::free_port()?,
            files: self.files.clone(),
        };
        let program = contestant.program(&self.programs)?;
        let Some(command) = contestant.command(&program, &self.programs, &ground)? else {
            return Ok(Started { pids: Vec::new(), target: self.origin, _running: None });
        };
        let log = self.folder.join(format!("{contestant:?}.log"));
        let mut running = process::start(command, self.proxy_cpu, &log)?;
        let (target, client) = if over_tls { (ground.tls, Some(&self.client)) } else { (ground.plain, None) };
        running.wait_ready(READY_MAX, || probe::get_once(target, client))?;
        Ok(Started { pids: running.pids()?, target, _running: Some(running) })
    }

    fn plan(&self, case: Case, target: SocketAddr) -> Plan {
        let shape = case.shape();
        Plan {
            target,
            tls: self.client_config(shape.over_tls),
            body_bytes: shape.body_bytes,
            connections: shape.connections,
            pace: shape.pace,
            warm_up: self.warm_up,
            window: self.window,
        }
    }

    pub fn client_config(&self, over_tls: bool) -> Option<Arc<ClientConfig>> {
        over_tls.then(|| self.client.clone())
    }

    /// One pass with the counters of both edges.
    fn pass(&self, plan: &Plan, pids: &[u32]) -> Outcome<Pass> {
        let mut edges = Vec::new();
        let (load, checks) = self.checked(plan, &mut |edge| {
            edges.push((edge, counters::read(pids)?, counters::processor_time(self.proxy_cpu)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Pass { load, edges, checks })
    }

    /// One pass with what the origin counted meanwhile.
    pub fn checked(&self, plan: &Plan, edge: OnEdge<'_>) -> Outcome<(Load, Checks)> {
        let upstream_before = probe::answered(self.origin)?;
        let load = load::run(plan, edge)?;
        let upstream = probe::answered(self.origin)? - upstream_before;
        let checks = Checks { counts: load.counts.clone(), upstream };
        Ok((load, checks))
    }
}

/// A contestant that answers; it ends when this drops. `pids` is empty for the direct way, which costs nobody.
pub struct Started {
    pub pids: Vec<u32>,
    pub target: SocketAddr,
    _running: Option<Running>,
}

struct Pass {
    load: Load,
    edges: Vec<(Edge, Reading, ProcessorTime)>,
    checks: Checks,
}

/// The figures of one contestant in one round.
pub struct Sample {
    pub figures: Vec<(&'static str, f64)>,
    pub checks: Checks,
}

/// What must agree, or the run fails.
#[derive(Default)]
pub struct Checks {
    pub counts: Counts,
    /// Requests that the origin answered.
    pub upstream: u64,
}

impl AddAssign for Checks {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.upstream += other.upstream;
    }
}

impl Checks {
    pub fn problem(&self) -> Option<String> {
        let Counts { requests, answers, abandoned, not_ok, wrong_bodies, errors, first_error } = &self.counts;
        let right = *requests > 0
            && answers + abandoned == *requests
            && self.upstream == *requests
            && not_ok + wrong_bodies + errors == 0;
        (!right).then(|| {
            format!(
                "{requests} requests, {answers} answers, {} upstream requests, {not_ok} not 200, {wrong_bodies} wrong \
                 bodies, {errors} errors{}",
                self.upstream,
                first_error.as_ref().map_or(String::new(), |text| format!(" (first: {text})"))
            )
        })
    }
}

/// Starts, loads and reads one contestant.
pub fn sample(bench: &Bench, case: Case, contestant: Contestant) -> Outcome<Sample> {
    if case.shape().pace == Pace::Idle {
        return idle::sample(bench, case, contestant);
    }
    let started = bench.start_contestant(contestant, case.shape().over_tls)?;
    let pids = &started.pids;
    let plan = bench.plan(case, started.target);
    match plan.pace {
        Pace::Open { requests_a_second, transfers } if transfers != Transfers::NONE => {
            let pace = Pace::Open { requests_a_second, transfers: Transfers::NONE };
            let mut alone = bench.pass(&Plan { pace, ..bench.plan(case, started.target) }, pids)?;
            let beside = bench.pass(&plan, pids)?;
            let figures = beside_figures(&alone.load, &beside.load);
            alone.checks += beside.checks;
            Ok(Sample { figures, checks: alone.checks })
        }
        _ => {
            let pass = bench.pass(&plan, pids)?;
            Ok(Sample { figures: busy_figures(case, &plan, &pass), checks: pass.checks })
        }
    }
}

/// System calls for a request, in a pass of their own: the tracepoint costs CPU.
pub fn syscalls(bench: &Bench, case: Case, contestant: Contestant) -> Outcome<f64> {
    let started = bench.start_contestant(contestant, case.shape().over_tls)?;
    let mut counter = Syscalls::of(&started.pids)?;
    let mut counts = Vec::new();
    let plan = Plan { window: Duration::from_secs(1), ..bench.plan(case, started.target) };
    let load = load::run(&plan, &mut |_| {
        counts.push(counter.count()?);
        Ok(ControlFlow::Continue(()))
    })?;
    match counts[..] {
        [begin, .., end] if load.window_answers > 0 => Ok((end - begin) as f64 / load.window_answers as f64),
        _ => Err("no answers".into()),
    }
}

impl Pass {
    fn edge(&self, wanted: Edge) -> (Reading, ProcessorTime) {
        let found = self.edges.iter().find(|(edge, ..)| *edge == wanted);
        found.map(|(_, reading, time)| (*reading, *time)).expect("every pace calls its edges")
    }
}

pub const MIB: f64 = 1024.0 * 1024.0;

fn busy_figures(case: Case, plan: &Plan, pass: &Pass) -> Vec<(&'static str, f64)> {
    let ((begin, begin_time), (end, end_time)) = (pass.edge(Edge::Begin), pass.edge(Edge::End));
    let (load, answers) = (&pass.load, pass.load.window_answers as f64);
    let cpu_ns = (end.cpu_ns - begin.cpu_ns) as f64;
    let seconds = load.window.as_secs_f64();
    let busy = cpu_ns / 1e7 / seconds;
    let core_busy = (end_time.busy - begin_time.busy) as f64 * TICK.as_secs_f64() * 100.0 / seconds;
    let mut figures = vec![
        (cases::CPU_PER_REQUEST, cpu_ns / 1e3 / answers),
        ("requests/s", answers / seconds),
        (cases::P50, load.latencies.micros_at(500)),
        (cases::P90, load.latencies.micros_at(900)),
        (cases::P99, load.latencies.micros_at(990)),
        ("own core busy %", busy),
        ("other work on it %", (core_busy - busy).max(0.0)),
        ("RSS MiB", end.rss_bytes as f64 / MIB),
    ];
    if case.lead() == cases::CPU_PER_KIB {
        figures.push((cases::CPU_PER_KIB, cpu_ns / answers / (plan.body_bytes as f64 / 1024.0)));
        figures.push(("GB/s", answers * plan.body_bytes as f64 / seconds / 1e9));
    }
    // The leading figure stands first; the sort is stable.
    figures.sort_by_key(|(name, _)| *name != case.lead());
    figures
}

/// Of the small requests; the transfers' own figure shows that they ran.
fn beside_figures(alone: &Load, beside: &Load) -> Vec<(&'static str, f64)> {
    let p99 = [alone, beside].map(|load| load.latencies.micros_at(990));
    let seconds = beside.window.as_secs_f64();
    vec![
        (cases::P99_ADDED, p99[1] - p99[0]),
        ("p99 without µs", p99[0]),
        ("p99 beside µs", p99[1]),
        ("p50 without µs", alone.latencies.micros_at(500)),
        ("p50 beside µs", beside.latencies.micros_at(500)),
        ("requests/s beside", beside.window_answers as f64 / seconds),
        ("transfers GB/s", beside.transfer_bytes as f64 / seconds / 1e9),
    ]
}
