//! A comparison from end to end: who takes part, rounds in turn, the document, the exit code.
//!
//! In: the command line. Out: Markdown on stdout (and in `--out`), progress on stderr. Exit code 1 when an answer was wrong, when
//! the origin did not see each request once, or when a contestant is missing and that was not allowed. Never for a timing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use crate::cases::Case;
use crate::contestants::{Contestant, Programs};
use crate::load::Outcome;
use crate::measure::{self, Bench};
use crate::report::{self, CaseResult, Row, RowOutcome};
use crate::{machine, sys, turns};

#[derive(clap::Args)]
pub struct Options {
    /// What to measure
    #[arg(value_enum, default_values = ["h1", "tls"])]
    cases: Vec<Case>,
    /// The proxy's program [default: slipstream-proxy beside this program]
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// A further argument for `slipstream-proxy run`; repeatable
    #[arg(long, allow_hyphen_values = true)]
    proxy_argument: Vec<String>,
    /// nginx's program [default: from PATH]
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// HAProxy's program [default: from PATH]
    #[arg(long)]
    haproxy: Option<PathBuf>,
    /// Envoy's program, for `handshake` [default: SLIPSTREAM_ENVOY, else from PATH, else where `just envoy` puts it]
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Varnish's daemon, for `herd` [default: varnishd from PATH]
    #[arg(long)]
    varnish: Option<PathBuf>,
    /// Only these contestants
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// Rounds, in each of which every contestant has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds that are measured
    #[arg(long, default_value = "3", value_parser = seconds)]
    window: Duration,
    /// Seconds of load before them
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Do not fail when a contestant's program is not there
    #[arg(long)]
    allow_missing: bool,
    /// Write the Markdown to this file too
    #[arg(long)]
    out: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err("must be within 0 and 3600".to_string());
    }
    Ok(Duration::from_secs_f64(seconds))
}

pub fn run(options: &Options) -> Outcome<ExitCode> {
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        return Err("two cores are needed: one for the contestant alone, one for load and origin".into());
    }
    sys::catch_interrupts();
    check_descriptors(&options.cases, sys::raise_descriptor_limit()?)?;
    let facts = machine::facts(cores);
    let programs = Programs {
        proxy: options.proxy.clone().map_or_else(beside_us, Ok)?,
        proxy_arguments: options.proxy_argument.clone(),
        nginx: options.nginx.clone(),
        haproxy: options.haproxy.clone(),
        envoy: options.envoy.clone().or_else(envoy_of_environment),
        varnish: options.varnish.clone(),
        collector: None,
        admin: None,
    };
    let entrants = entrants(options, &programs);
    let folder = tempfile::tempdir()?;
    // A file system in memory, where there is one: what a peer stores must not wait for a disk.
    let memory_folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let folders = (folder.path().to_path_buf(), memory_folder.path().to_path_buf());
    let cpus = (0, cores - 1);
    sys::pin_this_thread(cpus.0)?;
    let bench = Bench::start(programs, folders, cpus, (options.warm_up, options.window))?;
    let mut results = Vec::new();
    for case in &options.cases {
        results.push(run_case(&bench, *case, &entrants, options.rounds)?);
    }
    let mut problems: Vec<String> = results.iter().flat_map(CaseResult::problems).collect();
    if !options.allow_missing {
        let missing = entrants.iter().filter(|entrant| entrant.program.is_err());
        problems.extend(missing.map(|entrant| {
            let cure = entrant.program.as_ref().err().map_or("", String::as_str);
            format!("{} is missing: {cure}", entrant.contestant.name())
        }));
    }
    let text = document(options, &facts, &entrants, &results, &problems);
    println!("{text}");
    if let Some(out) = &options.out {
        std::fs::write(out, &text)?;
    }
    problems.iter().for_each(|problem| eprintln!("NOT RIGHT: {problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error for the first of `cases` that needs more open files than the hard limit permits.
fn check_descriptors(cases: &[Case], limit: u64) -> Outcome<()> {
    match cases.iter().find(|case| case.descriptors() > limit) {
        None => Ok(()),
        Some(case) => Err(format!(
            "the case {} needs {} open files in one process, and the hard limit is {limit} (`ulimit -Hn`): raise it in \
             /etc/security/limits.conf, or leave the case out",
            case.name(),
            case.descriptors()
        )
        .into()),
    }
}

fn envoy_of_environment() -> Option<PathBuf> {
    std::env::var_os("SLIPSTREAM_ENVOY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The proxy that the same `cargo build` puts beside us.
pub fn beside_us() -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("slipstream-proxy"))
}

/// A contestant of this run and its program, or what to do to have it.
struct Entrant {
    contestant: Contestant,
    program: Result<PathBuf, String>,
}

fn entrants(options: &Options, programs: &Programs) -> Vec<Entrant> {
    let wanted = |contestant: &Contestant| {
        options.cases.iter().any(|case| case.contestants().contains(contestant))
            && (options.only.is_empty() || options.only.contains(contestant))
    };
    let mut entrants = Vec::new();
    for contestant in Contestant::value_variants().iter().copied().filter(wanted) {
        let program = contestant.program(programs);
        if let Err(error) = &program {
            eprintln!("MISSING: {}: {error}", contestant.name());
        }
        entrants.push(Entrant { contestant, program });
    }
    entrants
}

/// All rounds of a case, A B C A B C; then one pass for each that counts system calls.
fn run_case(bench: &Bench, case: Case, entrants: &[Entrant], rounds: u32) -> Outcome<CaseResult> {
    let takes_part = |entrant: &&Entrant| case.contestants().contains(&entrant.contestant);
    let mut rows: Vec<Row> = Vec::new();
    for entrant in entrants.iter().filter(takes_part) {
        let outcome = match &entrant.program {
            Err(error) => RowOutcome::Missing(error.clone()),
            Ok(_) => RowOutcome::Ran { rounds: Vec::new(), syscalls: Err("not measured".to_string()) },
        };
        rows.push(Row { contestant: entrant.contestant, outcome });
    }
    for round in 1..=rounds {
        let place = format!("{} round {round}/{rounds}", case.name());
        if case.takes_turns() {
            run_turns(bench, case, &mut rows, &place)?;
            continue;
        }
        for row in &mut rows {
            let RowOutcome::Ran { rounds: samples, .. } = &mut row.outcome else { continue };
            let sample = measure::sample(bench, case, row.contestant).map_err(|error| error.to_string());
            if sys::interrupted() {
                return Err("interrupted".into());
            }
            let seen = match &sample {
                Ok(sample) => {
                    sample.figures.first().map_or(String::new(), |(name, value)| format!("{value:.2} {name}"))
                }
                Err(error) => format!("FAILED: {error}"),
            };
            eprintln!("{place} {}: {seen}", row.contestant.name());
            samples.push(sample);
        }
    }
    for row in &mut rows {
        let RowOutcome::Ran { syscalls, rounds: samples } = &mut row.outcome else { continue };
        if case.counts_syscalls() && samples.iter().any(Result::is_ok) {
            *syscalls = measure::syscalls(bench, case, row.contestant).map_err(|error| error.to_string());
            if let Err(error) = syscalls {
                eprintln!("{} {}: system calls are not counted: {error}", case.name(), row.contestant.name());
            }
        }
    }
    Ok(CaseResult::new(case, rows))
}

/// One round of a case in which the contestants run beside each other and take turns: of each as many samples as turns.
fn run_turns(bench: &Bench, case: Case, rows: &mut [Row], place: &str) -> Outcome<()> {
    let mut running: Vec<_> = rows.iter_mut().filter(|row| matches!(row.outcome, RowOutcome::Ran { .. })).collect();
    let contestants: Vec<_> = running.iter().map(|row| row.contestant).collect();
    let turns = turns::samples(bench, case, &contestants).map_err(|error| error.to_string());
    if sys::interrupted() {
        return Err("interrupted".into());
    }
    match &turns {
        Ok(turns) => eprintln!("{place}: {} turns each", turns.first().map_or(0, Vec::len)),
        Err(error) => eprintln!("{place}: FAILED: {error}"),
    }
    let mut of_each: Vec<Vec<Result<_, String>>> = match turns {
        Ok(turns) => turns.into_iter().map(|samples| samples.into_iter().map(Ok).collect()).collect(),
        Err(error) => running.iter().map(|_| vec![Err(error.clone())]).collect(),
    };
    for (row, samples) in running.iter_mut().zip(&mut of_each) {
        if let RowOutcome::Ran { rounds, .. } = &mut row.outcome {
            rounds.append(samples);
        }
    }
    Ok(())
}

fn document(
    options: &Options,
    facts: &[String],
    entrants: &[Entrant],
    results: &[CaseResult],
    problems: &[String],
) -> String {
    let mut lines: Vec<String> = facts.to_vec();
    lines.push(format!(
        "{} rounds, contestants interleaved; {:?} measured after {:?}; median (min–max)",
        options.rounds, options.window, options.warm_up
    ));
    for Entrant { contestant, program } in entrants {
        let version = program.as_ref().map(|program| contestant.version(program as &Path));
        lines.push(format!("{}: {}", contestant.name(), version.unwrap_or_else(|_| "**missing**".to_string())));
    }
    let mut text = format!("Command: `{}`\n\n", command_line(options));
    lines.iter().for_each(|line| text += &format!("- {line}\n"));
    for result in results {
        text += &format!("\n{}", result.markdown());
    }
    format!("{text}\n{}", report::problems_markdown(problems))
}

/// The command that gives such a table, without the places of this machine.
fn command_line(options: &Options) -> String {
    let mut line = "cargo run --release -p slipstream-compare --".to_string();
    options.cases.iter().for_each(|case| line += &format!(" {}", case.name()));
    line += &format!(" --rounds {}", options.rounds);
    line += &format!(" --window {} --warm-up {}", options.window.as_secs_f64(), options.warm_up.as_secs_f64());
    if !options.only.is_empty() {
        let names: Vec<String> = options.only.iter().map(|contestant| contestant.argument()).collect();
        line += &format!(" --only {}", names.join(","));
    }
    options.proxy_argument.iter().for_each(|argument| line += &format!(" --proxy-argument {argument}"));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_an_error_that_names_case_need_limit_and_cure() {
        assert!(check_descriptors(&[Case::H1, Case::Idle], 12_100).is_ok());
        assert!(check_descriptors(&[Case::H1, Case::Handshake], 1024).is_ok());
        let error = check_descriptors(&[Case::H1, Case::Idle], 12_099).expect_err("one too few").to_string();
        for part in ["idle", "12100", "12099", "limits.conf"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
