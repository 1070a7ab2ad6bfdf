//! The binary: what was typed, done.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use slipstream_proxy::cli::{self, Command, Startup};
use slipstream_proxy::{StartError, demo, drain, log};

/// The proxy did not start, or not end in order.
const FAILED: u8 = 1;

/// What was asked for cannot be: `cli` says so of arguments and files of its own, we of certificates.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let done = match cli::parse() {
        Err(code) => return code,
        Ok(Command::Check(args)) => return cli::check(&args),
        Ok(Command::Run(startup)) => run(*startup),
        Ok(Command::Drain(admin)) => drain::ask(admin).map_err(|error| failed(&error)),
        Ok(Command::Demo(options)) => demo::run(options).map_err(|error| failed(&*error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, why }) => {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(code)
        }
    }
}

struct Failure {
    code: u8,
    why: String,
}

fn failed(error: &(impl Display + ?Sized)) -> Failure {
    Failure { code: FAILED, why: error.to_string() }
}

fn not_started(error: &StartError) -> Failure {
    let code = match error {
        StartError::Certificates(_) => WRONG,
        StartError::Driver(_) | StartError::Bind { .. } | StartError::Thread(_) => FAILED,
    };
    Failure { code, why: error.to_string() }
}

/// Serves until SIGTERM or SIGINT. Stdout says where, a line an address, then `ready`; the log is on stderr.
fn run(startup: Startup) -> Result<(), Failure> {
    log::init(None).map_err(|error| failed(&error))?;
    for warning in &startup.warnings {
        tracing::warn!("{warning}");
    }
    let schemes: Vec<&str> =
        startup.settings.listeners.iter().map(|l| if l.tls.is_some() { "https" } else { "http" }).collect();
    let running = slipstream_proxy::start(startup.settings).map_err(|error| not_started(&error))?;
    running.control.stop_on_signals().map_err(|error| failed(&format!("signals cannot be caught: {error}")))?;
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
