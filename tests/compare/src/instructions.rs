//! Instructions for a request that has nothing to share, coalescing on and off, and tracing on and off: figures that a noisy machine does not
//! move.
//!
//! In: the proxy and valgrind. Out: a table on stdout. The proxy runs under callgrind and answers a fixed number of GETs on one connection,
//! each for another path; what it takes to start and to end falls out of the difference of two runs. User space only: callgrind does not
//! see the kernel. A wrong answer, or a request that the origin did not see, is an error.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::compare;
use crate::contestants::{self, Contestant, Programs, Setup};
use crate::load::{Length, Outcome, Pace, Plan, Shifts};
use crate::measure::Bench;
use crate::{machine, stats, sys};

/// What costs, with whom, without whom, and by how many workers.
const COSTS: [(&str, Contestant, Contestant, usize); 3] = [
    ("coalescing", Contestant::Epoll, Contestant::EpollOff, 1),
    ("coalescing", Contestant::Epoll, Contestant::EpollOff, 2),
    ("tracing 1 %", Contestant::EpollSome, Contestant::Epoll, 1),
];

/// Of the two runs whose difference counts.
const REQUESTS: [u64; 2] = [500, 4500];
/// An end in order writes the profile.
const END_MAX: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Options {
    /// The proxy's program [default: slipstream-proxy beside this program]
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// A further argument for `slipstream-proxy run`; repeatable
    #[arg(long, allow_hyphen_values = true)]
    proxy_argument: Vec<String>,
    /// valgrind's program [default: from PATH]
    #[arg(long)]
    valgrind: Option<PathBuf>,
    /// Only rows whose name has this in it: `coalescing`, `tracing`
    #[arg(long, default_value = "")]
    only: String,
    /// How often each count is repeated
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

pub fn run(options: &Options) -> Outcome<ExitCode> {
    let cores = std::thread::available_parallelism()?.get();
    sys::catch_interrupts();
    let given = options.valgrind.as_deref();
    let valgrind =
        contestants::find("valgrind", given, contestants::on_path(), "`apt-get install valgrind`, or --valgrind PATH")?;
    let programs = Programs {
        proxy: options.proxy.clone().map_or_else(compare::beside_us, Ok)?,
        proxy_arguments: options.proxy_argument.clone(),
        ..Programs::default()
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_path_buf();
    let bench = Bench::start(programs, (path.clone(), path), (0, cores - 1), (Duration::ZERO, Duration::ZERO))?;
    println!("### Instructions for a GET that never repeats, in user space\n");
    machine::facts(cores).iter().for_each(|line| println!("- {line}"));
    let [few, many] = REQUESTS;
    println!(
        "- callgrind, epoll, one connection; the difference of {many} and {few} requests; {} rounds",
        options.rounds
    );
    println!("\n| what | workers | with | without | more | ratio by round |\n| --- | --- | --- | --- | --- | --- |");
    for (what, with, without, workers) in COSTS.into_iter().filter(|(what, ..)| what.contains(&options.only)) {
        let setup = Setup { workers, shares: false, traces: false };
        let (mut on, mut off) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            on.push(instructions(&bench, &valgrind, with, setup)?);
            off.push(instructions(&bench, &valgrind, without, setup)?);
        }
        let ratios: Vec<f64> = on.iter().zip(&off).map(|(on, off)| on / off).collect();
        let cell = |values: &[f64], digits: usize| match stats::spread(values) {
            Some(spread) => {
                format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.min, spread.max)
            }
            None => "–".to_string(),
        };
        let more: Vec<f64> = on.iter().zip(&off).map(|(on, off)| on - off).collect();
        let cells = [cell(&on, 0), cell(&off, 0), cell(&more, 0), cell(&ratios, 3)].join(" | ");
        println!("| {what} | {workers} | {cells} |");
    }
    Ok(ExitCode::SUCCESS)
}

/// For one request.
fn instructions(bench: &Bench, valgrind: &Path, contestant: Contestant, setup: Setup) -> Outcome<f64> {
    let [few, many] = REQUESTS;
    let total = |requests| total(bench, valgrind, contestant, setup, requests);
    let counts = (total(few)?, total(many)?);
    Ok((counts.1 as f64 - counts.0 as f64) / (many - few) as f64)
}

/// Of a run from its start to its end.
fn total(bench: &Bench, valgrind: &Path, contestant: Contestant, setup: Setup, requests: u64) -> Outcome<u64> {
    let profile = tempfile::NamedTempFile::new()?;
    let mut runner = Command::new(valgrind);
    runner.args(["--quiet", "--tool=callgrind"]);
    runner.arg(format!("--callgrind-out-file={}", profile.path().display()));
    let started = bench.start_under(Some(runner), contestant, setup, false)?;
    let plan = Plan {
        target: started.target,
        tls: None,
        body_bytes: 1024,
        connections: 1,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: Duration::ZERO,
    };
    let upstream = bench.received()?;
    let counts = Shifts::open(&plan)?.work(Length::Requests(requests))?.counts;
    let upstream = bench.received()? - upstream;
    if (counts.answers, upstream, counts.not_ok + counts.wrong_bodies + counts.errors) != (requests, requests, 0) {
        return Err(format!("{requests} requests, {upstream} upstream requests, {counts:?}").into());
    }
    if !started.end(END_MAX) {
        return Err(format!("the proxy did not end within {END_MAX:?} under valgrind").into());
    }
    if sys::interrupted() {
        return Err("interrupted".into());
    }
    let profile = std::fs::read_to_string(profile.path())?;
    instructions_in(&profile).ok_or_else(|| "callgrind's profile has no total".into())
}

/// The sum of all parts of a profile: a line of `totals: <number>` for each.
fn instructions_in(profile: &str) -> Option<u64> {
    let totals = profile.lines().filter_map(|line| line.strip_prefix("totals:")?.trim().parse::<u64>().ok());
    totals.reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_the_totals_of_a_profile() {
        let profile = "events: Ir\nsummary: 12345\n\nfn=(1) main\n1 12000\ntotals: 12345\n";
        assert_eq!(instructions_in(profile), Some(12345));
        assert_eq!(instructions_in(&profile.repeat(2)), Some(24690));
        assert_eq!(instructions_in("events: Ir\nsummary: 12345\n"), None);
    }
}
