//! `slipstream-compare`: CPU, memory and latency side by side with nginx, HAProxy, Envoy, Varnish and a forwarder that parses nothing.
//!
//! In: programs to compare. Out: Markdown with a table for each case, its command, machine and spread. The path that is measured
//! is in README.md. Timings are reported, never judged; a wrong answer, or a request that the origin did not see, fails the run.

// Time is what this crate measures, and waiting for foreign processes is polling.
#![allow(clippy::disallowed_methods)]

mod cases;
mod compare;
mod contestants;
mod counters;
mod dead;
mod floor;
mod herd;
mod idle;
mod instructions;
mod load;
mod machine;
mod measure;
mod origin;
mod probe;
mod process;
mod report;
mod sink;
mod stats;
#[allow(unsafe_code)]
mod sys;
mod tls;
mod turns;
mod wire;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use compare::Options;
use load::Outcome;

#[derive(Parser)]
#[command(
    about = "CPU, memory and latency side by side with nginx, HAProxy, Envoy, Varnish and a forwarder that parses nothing"
)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

/// The parts that a comparison starts as processes of their own.
#[derive(Subcommand)]
enum Part {
    /// Count what coalescing costs where there is nothing to coalesce, and what tracing does: instructions for a GET that never repeats, by valgrind
    Instructions(instructions::Options),
    /// Trace two million requests for a collector that is dead: memory, and spans that are lost
    DeadCollector(dead::Options),
    /// Serve /b/<bytes>/... and count requests
    #[command(hide = true)]
    Origin {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Take spans by OTLP over HTTP and count them
    #[command(hide = true)]
    Sink {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Forward bytes, parsing nothing
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        tls_listen: SocketAddr,
        #[arg(long)]
        tls_cert: PathBuf,
        #[arg(long)]
        tls_key: PathBuf,
        #[arg(long)]
        upstream: SocketAddr,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.part {
        Some(Part::Instructions(options)) => instructions::run(&options),
        Some(Part::DeadCollector(options)) => dead::run(&options),
        Some(part) => serve(part).map(|()| ExitCode::SUCCESS),
        None => compare::run(&cli.options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("slipstream-compare: {error}");
        ExitCode::FAILURE
    })
}

fn serve(part: Part) -> Outcome<()> {
    match part {
        Part::Instructions(_) | Part::DeadCollector(_) => {}
        Part::Origin { listen } => origin::serve(&TcpListener::bind(listen)?)?,
        Part::Sink { listen } => sink::serve(&TcpListener::bind(listen)?)?,
        Part::Floor { listen, tls_listen, tls_cert, tls_key, upstream } => {
            let config = tls::server_config(&tls_cert, &tls_key)?;
            let (plain, tls) = (TcpListener::bind(listen)?, TcpListener::bind(tls_listen)?);
            floor::serve(&plain, Some((&tls, config)), upstream)?;
        }
    }
    Ok(())
}
