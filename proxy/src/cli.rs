//! The command line: what the user typed to what is to be done.
//!
//! In: arguments. Out: a [`Command`], every value of it parsed and checked, or a message and an exit code: 2 where the arguments or the
//! configuration are wrong, 0 where help or the version was asked for. Must not know: how anything is served.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use slipstream_schema::{AdminAddress, Field, IoDriver, WorkerCount, is_without_effect};

use crate::config::{Environment, Flags, Loaded, Settings, built_in_snapshot, load};
use crate::demo;
use crate::otlp::Url;

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    Run(Box<Startup>),
    Check(Box<CheckArgs>),
    /// A proxy that runs is to drain: the one with this admin address.
    Drain(SocketAddr),
    Demo(demo::Options),
}

/// A proxy to start, and what is to be said of its configuration first.
#[derive(Debug)]
pub struct Startup {
    pub settings: Settings,
    /// One line for each setting that has no effect in this version.
    pub warnings: Vec<String>,
}

/// The exit code of wrong arguments and wrong configuration.
const WRONG: u8 = 2;

/// Reads the arguments of the process. On `Err` everything is said: end with that code.
pub fn parse() -> Result<Command, ExitCode> {
    parse_from(std::env::args_os(), &Environment::of_process())
}

fn parse_from(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Command, ExitCode> {
    let arguments = Arguments::try_parse_from(arguments).map_err(|error| {
        // Where nobody listens any more there is nobody to tell.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { WRONG } else { 0 })
    })?;
    match arguments.command {
        Verb::Run(flags) => {
            let loaded = load(&flags).map_err(|error| wrong(&error))?;
            let settings = loaded.settings(environment).map_err(|error| wrong(&error))?;
            Ok(Command::Run(Box::new(Startup { settings, warnings: loaded.warnings })))
        }
        Verb::Check(args) => Ok(Command::Check(Box::new(args))),
        Verb::Drain(args) => Ok(Command::Drain(args.admin)),
        Verb::Demo(args) => Ok(Command::Demo(demo::Options {
            seconds: args.seconds,
            herd: args.herd,
            workers: environment.workers(args.workers),
            io_driver: args.io_driver.into(),
            snapshot: Arc::new(built_in_snapshot()),
            memory: environment.memory(),
            telemetry: demo::telemetry(&environment.telemetry, args.otlp.as_ref()),
        })),
    }
}

fn wrong(error: &crate::config::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(WRONG)
}

/// Prints what `run` with the same flags would use, or why it would refuse them.
pub fn check(args: &CheckArgs) -> ExitCode {
    match load(&args.flags) {
        Ok(loaded) => {
            let _ = std::io::stdout().write_all(report(&loaded, args.output).as_bytes());
            let mut to_say = loaded.warnings.clone();
            to_say.extend(
                loaded.obstacles().into_iter().map(|obstacle| format!("`run` would not start here: {obstacle}")),
            );
            for line in to_say {
                let _ = writeln!(std::io::stderr(), "warning: {line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    }
}

fn report(loaded: &Loaded, output: Output) -> String {
    match output {
        Output::Json => format!("{:#}\n", loaded.dump()),
        Output::Text => table(&loaded.fields()),
    }
}

/// A line a field: its path, its value, who said it.
fn table(fields: &[Field]) -> String {
    let value = |field: &Field| field.value.as_str().map_or_else(|| field.value.to_string(), str::to_owned);
    let paths = fields.iter().map(|field| field.path.chars().count()).max().unwrap_or(0);
    let values = fields.iter().map(|field| value(field).chars().count()).max().unwrap_or(0);
    let line = |field: &Field| {
        let note = if is_without_effect(field) { " (not yet in force)" } else { "" };
        format!("{:paths$}  {:values$}  {}{note}\n", field.path, value(field), field.level)
    };
    fields.iter().map(line).collect()
}

/// A Kubernetes sidecar proxy: TLS in front of your app, warm connections to it, strict HTTP.
#[derive(Debug, Parser)]
#[command(name = "slipstream-proxy", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

const EXAMPLES: &str = "\
Examples:
  slipstream-proxy demo
      a small app, the proxy in front of it, and URLs to try
  slipstream-proxy demo --herd 1000
      1,000 identical GETs at once, straight to the app and through the proxy: what the app saw of them
  slipstream-proxy demo --otlp http://127.0.0.1:4318
      the same, seen in your own OpenTelemetry backend
  slipstream-proxy run --listen http://127.0.0.1:8080 --upstream http://127.0.0.1:3000
      plain HTTP in front of an app on port 3000
  slipstream-proxy run --listen https://0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key --upstream http://127.0.0.1:3000
      HTTPS in front of it
  slipstream-proxy check --config proxy.yaml
      what holds, and which of it the file says
  slipstream-proxy drain
      the proxy that runs here ends in order, and takes connections for a while yet: what a pod's preStop hook runs

Exit codes: 0 ended in order, 1 failed while starting, running or asking, 2 wrong arguments or configuration.";

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Serve until SIGTERM or SIGINT
    Run(Flags),
    /// Print what `run` with the same flags would use and who said it (builtin, file or flag), or what is wrong with it; opens no socket
    Check(CheckArgs),
    /// Ask the proxy that runs here to end in order, and return at once: it is not ready any more, takes connections for `drain.delay`, then finishes
    Drain(DrainArgs),
    /// Start a small app and the proxy in front of it, with a certificate made on the spot, and show live what happens
    Demo(DemoArgs),
}

/// The arguments of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    flags: Flags,

    /// How to print it; `effective` of the JSON is itself a configuration file
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, clap::Args)]
struct DrainArgs {
    /// Its admin server, as `run --admin` has it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7590", value_parser = admin_server)]
    admin: SocketAddr,
}

fn admin_server(text: &str) -> Result<SocketAddr, String> {
    match text.parse() {
        Ok(AdminAddress::At(address)) => Ok(address),
        Ok(AdminAddress::Off) => Err("a proxy without an admin server cannot be asked: send it SIGTERM".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug, Clone, clap::Args)]
struct DemoArgs {
    /// End after that many seconds, 1 to 86400 [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,

    /// Instead: that many clients, 1 to 10000, ask for the same thing at once, first the app, which takes 200 ms, then through the proxy;
    /// shows what reached the app and how long it took. Exit code 1: an answer was wrong, or more than one request reached the app (one for
    /// each 1025 clients, who are as many as share one answer)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "seconds")]
    herd: Option<u32>,

    /// Worker threads, 1 to 1024, or auto: as many as this process may use CPUs
    #[arg(long, value_name = "N", default_value_t = WorkerCount::Auto)]
    workers: WorkerCount,

    /// Which kernel interface moves the bytes: auto, epoll, io_uring or io_uring-sqpoll
    #[arg(long, value_name = "DRIVER", default_value_t = IoDriver::Auto)]
    io_driver: IoDriver,

    /// Export traces, metrics and the log to this OpenTelemetry collector or backend, by gRPC where its port is 4317, else by HTTP; OTEL_* say more
    #[arg(long, value_name = "URL", value_parser = collector)]
    otlp: Option<Url>,
}

fn collector(text: &str) -> Result<Url, String> {
    Url::parse(text, None, 4318).map_err(|why| {
        let found = Url::redacted(text);
        format!(
            "found `{found}`, allowed: http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:4318 ({why})"
        )
    })
}

#[cfg(test)]
mod tests;
