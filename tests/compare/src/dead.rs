//! Two million requests, each traced, and nobody who takes the spans: does memory stay where it is, and is every lost span counted?
//!
//! In: the proxy. Out: a table on stdout, a row for each way of being dead: a port that refuses, and one that accepts and never answers. A count
//! that is wrong fails the run; memory is shown, by tenths of the load, and people judge it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::contestants::{Contestant, Programs, Setup};
use crate::load::{Length, Outcome, Pace, Plan, Shifts};
use crate::measure::{Bench, MIB};
use crate::{compare, counters, machine, process, sys};

/// Memory is read so often.
const PARTS: u64 = 10;
const CONNECTIONS: usize = 64;
/// What waits in the proxy is given up for lost after the time that a message may take, 10 s, once for what is being sent and once for what
/// waits behind it.
const LOST_MAX: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Options {
    /// The proxy's program [default: slipstream-proxy beside this program]
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// Requests to each
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(PARTS..))]
    requests: u64,
}

pub fn run(options: &Options) -> Outcome<ExitCode> {
    let cores = std::thread::available_parallelism()?.get();
    sys::catch_interrupts();
    sys::pin_this_thread(0)?;
    let folder = tempfile::tempdir()?;
    println!("### {} requests, each traced, and the collector is dead\n", options.requests);
    machine::facts(cores).iter().for_each(|line| println!("- {line}"));
    println!("- Slipstream, epoll, one worker; HTTP/1.1 keep-alive, 1 KiB, {CONNECTIONS} connections; RSS in MiB\n");
    println!(
        "| the collector | RSS after a tenth | after half | after all | spans | lost and counted | CPU µs/request |"
    );
    println!("|{}", " --- |".repeat(7));
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let mut all_right = true;
    for (how, collector) in [("refuses", process::free_port()?), ("never answers", silent.local_addr()?)] {
        let admin = process::free_port()?;
        let programs = Programs {
            proxy: options.proxy.clone().map_or_else(compare::beside_us, Ok)?,
            collector: Some(collector),
            admin: Some(admin),
            ..Programs::default()
        };
        let path = folder.path().to_path_buf();
        let bench = Bench::start(programs, (path.clone(), path), (0, cores - 1), (Duration::ZERO, Duration::ZERO))?;
        all_right &= row(&bench, how, admin, options.requests)?;
    }
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether each span is accounted for.
fn row(bench: &Bench, how: &str, admin: SocketAddr, requests: u64) -> Outcome<bool> {
    let setup = Setup { workers: 1, shares: false, traces: true };
    let started = bench.start_contestant(Contestant::EpollAll, setup, false)?;
    let plan = Plan {
        target: started.target,
        tls: None,
        body_bytes: 1024,
        connections: CONNECTIONS,
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        window: Duration::ZERO,
    };
    let mut shifts = Shifts::open(&plan)?;
    let (mut rss, mut answers) = (Vec::new(), 0);
    let cpu_before = counters::read(&started.pids)?.cpu_ns;
    for part in 1..=PARTS {
        let upto = requests * part / PARTS;
        let counts = shifts.work(Length::Requests(upto - requests * (part - 1) / PARTS))?.counts;
        if counts.not_ok + counts.wrong_bodies + counts.errors > 0 {
            return Err(format!("the dead collector is felt: {counts:?}").into());
        }
        answers += counts.answers;
        rss.push(counters::read(&started.pids)?.rss_bytes as f64 / MIB);
    }
    let cpu_ns = counters::read(&started.pids)?.cpu_ns - cpu_before;
    if answers != requests {
        return Err(format!("{requests} requests and {answers} answers").into());
    }
    let (spans, lost) = settled(admin)?;
    println!(
        "| {how} | {:.1} | {:.1} | {:.1} | {spans} | {lost} | {:.2} |",
        rss[0],
        rss[rss.len() / 2 - 1],
        rss[rss.len() - 1],
        cpu_ns as f64 / 1e3 / answers as f64
    );
    if spans != lost {
        eprintln!("NOT RIGHT: {how}: of {spans} spans {lost} are counted as lost");
    }
    Ok(spans == lost)
}

/// How many spans there were (one for each request, one for each that the app was sent), and how many are counted as lost, once they agree or
/// have had time to.
fn settled(admin: SocketAddr) -> Outcome<(u64, u64)> {
    let end = Instant::now() + LOST_MAX;
    loop {
        let page = metrics(admin)?;
        let spans = sum(&page, "slipstream_requests_total", "") + sum(&page, "slipstream_upstream_requests_total", "");
        let items = |outcome: &str| sum(&page, "slipstream_export_items_total{signal=\"traces\"", outcome);
        let lost = items("\"queue_full\"") + items("\"failed\"");
        if spans == lost || Instant::now() > end || sys::interrupted() {
            return Ok((spans, lost));
        }
        std::thread::sleep(Duration::from_millis(100)); // a foreign process gives no event
    }
}

fn metrics(admin: SocketAddr) -> Outcome<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Of the series whose line begins so and has `part` in its labels.
fn sum(page: &str, begin: &str, part: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with(begin) && line.contains(part));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_their_begin_and_a_part_of_their_labels() {
        let page = "# HELP a b\na_total{signal=\"x\",outcome=\"sent\"} 5\na_total{signal=\"x\",outcome=\"failed\"} 7\na_total_more 9\n";
        assert_eq!(sum(page, "a_total{signal=\"x\"", "\"failed\""), 7);
        assert_eq!(sum(page, "a_total{", ""), 12);
        assert_eq!(sum(page, "b_total", ""), 0);
    }
}
