//! `demo --herd N`: many clients ask for the same thing at the same moment, first the app itself, then through the proxy.
//!
//! In: how many. Out: how many of them the app was asked for each time, and how long they took; an error where an answer was wrong or more
//! reached the app than should. It ends by itself.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::app::App;
use super::crowd::{self, Crowd, Seen};
use super::ports;
use super::scene::{DRAIN, Options};
use crate::config::{ListenerSettings, Settings, UpstreamSettings};
use crate::telemetry::{Outcome, Role, WorkerCounters};

/// What everybody asks for. It takes the app `APP_TAKES`.
const TARGET: &str = "/slow?ms=200";
const BODY: &str = "slept for 200 ms\n";
const APP_TAKES: Duration = Duration::from_millis(200);

/// Who shares one answer at most: the first and 1,024 that join (rule R9). The next one asks the app again.
const SHARING_MAX: u32 = 1 + 1024;

/// Open files beside the two of each client: listeners, epoll sets, the proxy's connections to the app.
const FILES_BESIDE: u64 = 64;

/// One herd and what came of it.
struct Run {
    way: &'static str,
    seen: Seen,
    /// Requests that reached the app.
    upstream: u64,
    /// Requests that the proxy answered with another one's answer; `None`: there was no proxy.
    saved: Option<u64>,
}

pub(super) fn play(options: &Options, size: u32, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let app = App::start(crowd::listener(ports::any())?)?;
    let upstream = UpstreamSettings { authority: app.address.to_string(), addresses: vec![app.address] };
    // The start raises the limit of open files to what this user may have.
    let running = crate::start(Settings {
        listeners: vec![ListenerSettings { address: ports::any(), tls: None, upstream }],
        workers: options.workers,
        pin: false,
        io_driver: options.io_driver,
        admin: None,
        drain: DRAIN,
        name: "slipstream".to_owned(),
        snapshot: options.snapshot.clone(),
        memory: options.memory.clone(),
        telemetry: options.telemetry.clone(),
    })?;
    let [proxy] = running.listeners[..] else { return Err("the proxy bound other listeners than asked".into()) };
    let (counters, driver) = (running.counters.clone(), running.driver.0);
    let played = files_suffice(size, &std::fs::read_to_string("/proc/self/limits")?).and_then(|()| {
        writeln!(
            out,
            "\nSlipstream demo: {} clients ask for the same thing at the same moment; the app takes {} ms for an answer.",
            grouped(size.into()),
            APP_TAKES.as_millis()
        )?;
        let ask = |way, address, app: &App| -> io::Result<Run> {
            let seen = Crowd { address, size, target: TARGET, body: BODY }.ask()?;
            Ok(Run { way, seen, upstream: app.slow_asked(), saved: None })
        };
        // An app of its own, whose connections have all gone when it has: there are not files for two herds.
        let alone = App::start(crowd::listener(ports::any())?)?;
        let straight = ask("straight to the app", alone.address, &alone)?;
        drop(alone);
        Ok([straight, ask("through the proxy", proxy, &app)?])
    });
    running.stop();
    let [straight, through] = played?;
    // Once it has ended: a request is counted after its last byte has left.
    let through = Run { saved: Some(saved(&counters)), ..through };
    let plural = if counters.len() == 1 { "" } else { "s" };
    write!(out, "{}", table(&[&straight, &through]))?;
    writeln!(
        out,
        "\n{} requests, {} upstream. (The proxy: {} worker{plural}, {driver}.)",
        grouped(size.into()),
        grouped(through.upstream),
        counters.len()
    )?;
    out.flush()?;
    match problem(size, &straight, &through) {
        None => Ok(()),
        Some(problem) => Err(problem.into()),
    }
}

/// Requests whose answer was another one's, by the proxy's own count.
fn saved(counters: &[Arc<WorkerCounters>]) -> u64 {
    counters
        .iter()
        .map(|worker| worker.coalesce.requests[Role::Follower as usize][Outcome::Shared as usize].sum())
        .sum()
}

/// An error where this process may not open a connection and its other end for each client. `limits`: /proc/self/limits.
fn files_suffice(size: u32, limits: &str) -> Result<(), Box<dyn Error>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    // "unlimited" is no number, and enough.
    let Some(limit) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) else { return Ok(()) };
    let needed = 2 * u64::from(size) + FILES_BESIDE;
    if needed <= limit {
        return Ok(());
    }
    let most = limit.saturating_sub(FILES_BESIDE) / 2;
    Err(format!(
        "a herd of {size} needs {needed} open files, and this process may have {limit}: choose --herd {most} or less, or raise the \
         limit (`ulimit -Hn`)"
    )
    .into())
}

fn table(runs: &[&Run]) -> String {
    let mut text =
        format!("\n  {:<22}{:>16}{:>12}{:>12}{:>12}{:>12}\n", "", "reached the app", "saved", "p50", "p99", "slowest");
    for run in runs {
        let latency = |per_mille| percentile(&run.seen.latencies, per_mille).map_or("-".to_owned(), milliseconds);
        let _ = writeln!(
            text,
            "  {:<22}{:>16}{:>12}{:>12}{:>12}{:>12}",
            run.way,
            grouped(run.upstream),
            run.saved.map_or("-".to_owned(), grouped),
            latency(500),
            latency(990),
            latency(1000),
        );
    }
    text
}

/// The first thing that was not as it should be.
fn problem(size: u32, straight: &Run, through: &Run) -> Option<String> {
    for run in [straight, through] {
        if let Some(first) = &run.seen.first_wrong {
            return Some(format!("{}: {} of {size} answers were wrong, the first: {first}", run.way, run.seen.wrong));
        }
    }
    if straight.upstream != u64::from(size) {
        return Some(format!("{}: the app was asked {} times, not {size}", straight.way, straight.upstream));
    }
    let most = u64::from(size.div_ceil(SHARING_MAX));
    if through.upstream == 0 || through.upstream > most {
        let sending = through.seen.sending;
        let cause = if sending < APP_TAKES / 2 {
            String::new()
        } else {
            format!(
                "; this machine took {} to send them all, so some came when the app had answered already",
                milliseconds(sending)
            )
        };
        return Some(format!("{}: the app was asked {} times, not {most}{cause}", through.way, through.upstream));
    }
    None
}

/// What `per_mille` of the sorted `latencies` do not exceed.
fn percentile(latencies: &[Duration], per_mille: usize) -> Option<Duration> {
    let rank = (latencies.len() * per_mille).div_ceil(1000).max(1);
    latencies.get(rank - 1).copied()
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// 1000000 is `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
