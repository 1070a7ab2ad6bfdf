//! One sample: start a contestant alone on its core, wait until it answers, load it, read the counters at the window's edges.
//!
//! In: a `Bench` (origin, certificates, programs, cores), a case, a contestant. Out: figures, and the counts that must agree:
//! what the generator asked and what the origin answered. A contestant is started anew for each sample, so that rounds are
//! independent of each other's memory layout and pools.

use std::net::SocketAddr;
use std::ops::{AddAssign, ControlFlow, RangeInclusive};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::cases::{self, Case};
use crate::contestants::{Contestant, Ground, Programs, Setup};
use crate::counters::{self, ProcessorTime, Reading, Syscalls};
use crate::load::{self, Counts, Edge, Load, OnEdge, Outcome, Pace, Plan, Transfers};
use crate::process::{self, Running};
use crate::{herd, idle, probe, tls};

const READY_MAX: Duration = Duration::from_secs(10);
/// Under valgrind all takes some fifty times as long.
const READY_UNDER_MAX: Duration = Duration::from_secs(120);
/// Ticks of /proc/stat in a second (USER_HZ is 100 on every architecture that Linux runs on today).
const TICK: Duration = Duration::from_millis(10);

/// What all samples of a run share.
pub struct Bench {
    pub programs: Programs,
    load_cpu: usize,
    pub proxy_cpu: usize,
    pub warm_up: Duration,
    pub window: Duration,
    folder: PathBuf,
    /// Where files stay in memory, if this machine has such a place.
    memory_folder: PathBuf,
    files: tls::Files,
    client: Arc<ClientConfig>,
    origin: SocketAddr,
    _origin_process: Running,
}

impl Bench {
    /// Makes certificates and starts the origin. `folders`: for files, and for those that best stay in memory. `cpus`: of load and
    /// origin, and the last one of the contestant.
    pub fn start(
        programs: Programs,
        folders: (PathBuf, PathBuf),
        cpus: (usize, usize),
        times: (Duration, Duration),
    ) -> Outcome<Self> {
        let (folder, memory_folder) = folders;
        let files = tls::make_files(&folder)?;
        let origin = process::free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["origin", "--listen", &origin.to_string()]);
        let mut origin_process = process::start(command, cpus.0..=cpus.0, &folder.join("origin.log"))?;
        origin_process.wait_ready(READY_MAX, || probe::get_once(origin, None))?;
        Ok(Self {
            programs,
            load_cpu: cpus.0,
            proxy_cpu: cpus.1,
            warm_up: times.0,
            window: times.1,
            client: tls::client_config(&files)?,
            folder,
            memory_folder,
            files,
            origin,
            _origin_process: origin_process,
        })
    }

    /// Starts a contestant and waits until it answers on its plain or its TLS listener.
    pub fn start_contestant(&self, contestant: Contestant, setup: Setup, over_tls: bool) -> Outcome<Started> {
        self.start_under(None, contestant, setup, over_tls)
    }

    /// The same under another program that runs it: its command, without what it is to run.
    pub fn start_under(
        &self,
        runner: Option<Command>,
        contestant: Contestant,
        setup: Setup,
        over_tls: bool,
    ) -> Outcome<Started> {
        let ready_max = if runner.is_some() { READY_UNDER_MAX } else { READY_MAX };
        let cache = tempfile::tempdir_in(&self.memory_folder)?;
        let ground = Ground {
            setup,
            folder: self.folder.clone(),
            cache: cache.path().to_path_buf(),
            origin: self.origin,
            plain: process::free_port()?,
            tls: process::free_port()?,
            sink: process::free_port()?,
            files: self.files.clone(),
        };
        let program = contestant.program(&self.programs)?;
        let Some(mut command) = contestant.command(&program, &self.programs, &ground)? else {
            return Ok(Started { pids: Vec::new(), target: self.origin, running: None, sink: None, _cache: cache });
        };
        let has_sink = contestant.traced().is_some() && self.programs.collector.is_none();
        let sink = has_sink.then(|| self.start_sink(contestant, ground.sink)).transpose()?;
        if let Some(mut runner) = runner {
            runner.arg(command.get_program()).args(command.get_args());
            runner.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = runner;
        }
        let log = self.folder.join(format!("{contestant:?}.log"));
        let mut running = process::start(command, self.cpus_of(setup), &log)?;
        let (target, client) = if over_tls { (ground.tls, Some(&self.client)) } else { (ground.plain, None) };
        running.wait_ready(ready_max, || probe::get_once(target, client))?;
        Ok(Started { pids: running.pids()?, target, running: Some(running), sink, _cache: cache })
    }

    /// Starts the collector of a contestant beside load and origin.
    fn start_sink(&self, contestant: Contestant, address: SocketAddr) -> Outcome<Sink> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["sink", "--listen", &address.to_string()]);
        let log = self.folder.join(format!("{contestant:?}-sink.log"));
        let mut running = process::start(command, self.load_cpu..=self.load_cpu, &log)?;
        running.wait_ready(READY_MAX, || probe::received(address).map(drop))?;
        Ok(Sink { address, _running: running })
    }

    /// The last cores, as many as there are workers. On a machine of two, two workers share one with load and origin.
    fn cpus_of(&self, setup: Setup) -> RangeInclusive<usize> {
        (self.proxy_cpu + 1).saturating_sub(setup.workers)..=self.proxy_cpu
    }

    pub fn plan(&self, case: Case, target: SocketAddr) -> Plan {
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
        let upstream_before = self.received()?;
        let load = load::run(plan, edge)?;
        let upstream = self.received()? - upstream_before;
        let each = load.counts.requests;
        let checks = Checks { counts: load.counts.clone(), upstream, upstream_min: each, upstream_max: each };
        Ok((load, checks))
    }

    /// How many requests have come to the origin so far.
    pub fn received(&self) -> Outcome<u64> {
        Ok(probe::received(self.origin)?)
    }
}

/// A contestant that answers; it ends when this drops. `pids` is empty for the direct way, which costs nobody.
pub struct Started {
    pub pids: Vec<u32>,
    pub target: SocketAddr,
    running: Option<Running>,
    sink: Option<Sink>,
    /// Dropped after whoever uses it.
    _cache: TempDir,
}

/// Where a contestant sends its spans.
struct Sink {
    address: SocketAddr,
    _running: Running,
}

impl Started {
    /// How many have come to its collector; `None`: it has none.
    pub fn spans(&self) -> Outcome<Option<u64>> {
        Ok(self.sink.as_ref().map(|sink| probe::received(sink.address)).transpose()?)
    }

    /// Ends it in order, and says whether it did within that time.
    pub fn end(self, within: Duration) -> bool {
        self.running.is_none_or(|running| running.end(within))
    }
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
    /// Requests that came to the origin.
    pub upstream: u64,
    /// As many must have come at least, and at most. Where nothing is shared both are the requests.
    pub upstream_min: u64,
    pub upstream_max: u64,
}

impl AddAssign for Checks {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.upstream += other.upstream;
        self.upstream_min += other.upstream_min;
        self.upstream_max += other.upstream_max;
    }
}

impl Checks {
    pub fn problem(&self) -> Option<String> {
        let Counts { requests, answers, abandoned, not_ok, wrong_bodies, errors, first_error } = &self.counts;
        let right = *requests > 0
            && answers + abandoned == *requests
            && (self.upstream_min..=self.upstream_max).contains(&self.upstream)
            && not_ok + wrong_bodies + errors == 0;
        (!right).then(|| {
            let allowed = match (self.upstream_min, self.upstream_max) {
                (min, max) if min == max => format!("{min}"),
                (min, max) => format!("{min} to {max}"),
            };
            format!(
                "{requests} requests, {answers} answers, {} upstream requests (right: {allowed}), {not_ok} not 200, {wrong_bodies} wrong \
                 bodies, {errors} errors{}",
                self.upstream,
                first_error.as_ref().map_or(String::new(), |text| format!(" (first: {text})"))
            )
        })
    }
}

/// Starts, loads and reads one contestant.
pub fn sample(bench: &Bench, case: Case, contestant: Contestant) -> Outcome<Sample> {
    match case.shape().pace {
        Pace::Idle => return idle::sample(bench, case, contestant),
        Pace::Herd { delay, .. } => return herd::sample(bench, case, contestant, delay),
        _ => {}
    }
    let started = bench.start_contestant(contestant, case.setup(), case.shape().over_tls)?;
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
        Pace::Pipelined { depth } => {
            let mut pass = bench.pass(&plan, pids)?;
            if contestant.coalesces() {
                // What is sent in one write may be read in two pieces, and so be two flights; stored it must not be.
                pass.checks.upstream_min = pass.checks.counts.requests / depth as u64;
            }
            Ok(Sample { figures: pipelined_figures(&pass), checks: pass.checks })
        }
        _ => {
            let pass = bench.pass(&plan, pids)?;
            Ok(Sample { figures: busy_figures(case, &plan, &pass), checks: pass.checks })
        }
    }
}

/// System calls for a request, in a pass of their own: the tracepoint costs CPU.
pub fn syscalls(bench: &Bench, case: Case, contestant: Contestant) -> Outcome<f64> {
    let started = bench.start_contestant(contestant, case.setup(), case.shape().over_tls)?;
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

/// What the contestant's core did in the window.
struct Core {
    cpu_ns: f64,
    busy_percent: f64,
    other_percent: f64,
    rss_mib: f64,
}

fn core(pass: &Pass) -> Core {
    let ((begin, begin_time), (end, end_time)) = (pass.edge(Edge::Begin), pass.edge(Edge::End));
    let cpu_ns = (end.cpu_ns - begin.cpu_ns) as f64;
    let seconds = pass.load.window.as_secs_f64();
    let busy_percent = cpu_ns / 1e7 / seconds;
    let core_busy = (end_time.busy - begin_time.busy) as f64 * TICK.as_secs_f64() * 100.0 / seconds;
    let other_percent = (core_busy - busy_percent).max(0.0);
    Core { cpu_ns, busy_percent, other_percent, rss_mib: end.rss_bytes as f64 / MIB }
}

fn busy_figures(case: Case, plan: &Plan, pass: &Pass) -> Vec<(&'static str, f64)> {
    let Core { cpu_ns, busy_percent, other_percent, rss_mib } = core(pass);
    let (load, answers) = (&pass.load, pass.load.window_answers as f64);
    let seconds = load.window.as_secs_f64();
    let mut figures = vec![
        (cases::CPU_PER_REQUEST, cpu_ns / 1e3 / answers),
        ("requests/s", answers / seconds),
        (cases::P50, load.latencies.micros_at(500)),
        (cases::P90, load.latencies.micros_at(900)),
        (cases::P99, load.latencies.micros_at(990)),
        ("own core busy %", busy_percent),
        ("other work on it %", other_percent),
        ("RSS MiB", rss_mib),
    ];
    if case.lead() == cases::CPU_PER_KIB {
        figures.push((cases::CPU_PER_KIB, cpu_ns / answers / (plan.body_bytes as f64 / 1024.0)));
        figures.push(("GB/s", answers * plan.body_bytes as f64 / seconds / 1e9));
    }
    // The leading figure stands first; the sort is stable.
    figures.sort_by_key(|(name, _)| *name != case.lead());
    figures
}

/// A latency is that of a whole write: from its send to the last byte of its last answer.
fn pipelined_figures(pass: &Pass) -> Vec<(&'static str, f64)> {
    let Core { cpu_ns, busy_percent, other_percent, rss_mib } = core(pass);
    let (load, answers) = (&pass.load, pass.load.window_answers as f64);
    let cpu_micros = cpu_ns / 1e3 / answers;
    vec![
        (cases::CPU_PER_ANSWER, cpu_micros),
        (cases::ANSWERS_A_CORE, 1e6 / cpu_micros),
        ("answers/s", answers / load.window.as_secs_f64()),
        ("upstream/1,000 answers", pass.checks.upstream as f64 * 1e3 / pass.checks.counts.answers as f64),
        ("p50 µs of 64", load.latencies.micros_at(500)),
        ("p99 µs of 64", load.latencies.micros_at(990)),
        ("own core busy %", busy_percent),
        ("other work on it %", other_percent),
        ("RSS MiB", rss_mib),
    ]
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
