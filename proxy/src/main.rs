//! The binary: what was typed, done.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use slipstream_proxy::cli::{self, Command, Startup};
use slipstream_proxy::{demo, log};

/// The proxy did not start, or not end in order.
const FAILED: u8 = 1;

/// What was asked for cannot be: `cli` says so of arguments and files of its own, we of certificates.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let done = match cli::parse() {
        Err(code) => return code,
        Ok(Command::Check(args)) => return cli::check(&args),
        Ok(Command::Run(startup)) => run(*startup),
        Ok(Command::Demo(options)) => demo::run(options).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Serves until SIGTERM or SIGINT. Stdout says where, a line an address, then `ready`; the log is on stderr.
fn run(startup: Startup) -> Result<(), String> {
    log::init(None).map_err(|error| error.to_string())?;
    for warning in &startup.warnings {
        tracing::warn!("{warning}");
    }
    let schemes: Vec<&str> =
        startup.settings.listeners.iter().map(|l| if l.tls.is_some() { "https" } else { "http" }).collect();
    let running = slipstream_proxy::start(startup.settings).map_err(|error| error.to_string())?;
    running.control.stop_on_signals().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (driver, reason) = running.driver;
    tracing::info!("I/O driver {driver} ({reason}), {} workers", running.counters.len());
    let mut out = io::stdout().lock();
    let addresses =
        schemes.iter().zip(&running.listeners).map(|(scheme, address)| format!("listening {scheme}://{address}"));
    let admin = running.admin.map(|address| format!("admin http://{address}"));
    for line in addresses.chain(admin).chain(["ready".to_owned()]) {
        // Where nobody reads it, the proxy serves all the same.
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
    drop(out);
    running.wait();
    Ok(())
}

fn failed(error: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(FAILED)
}
