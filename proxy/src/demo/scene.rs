//! The demo from curtain to curtain.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::app::App;
use super::board::Board;
use super::certificate::Certificate;
use super::sample::Sample;
use super::traffic::Traffic;
use super::welcome::{Places, welcome};
use super::{board, herd, ports};
use crate::config::{
    DrainSettings, IoDriver, ListenerSettings, Memory, Settings, Snapshot, TelemetrySettings, TlsSettings,
    UpstreamSettings,
};
use crate::{Running, StartError};

const SECOND: Duration = Duration::from_secs(1);

/// A person who has ended the demo does not wait as long as a pod would.
pub(super) const DRAIN: DrainSettings = DrainSettings { delay: SECOND, grace: Duration::from_secs(10) };

#[derive(Debug)]
pub struct Options {
    /// Ends by itself; `None`: on SIGINT or SIGTERM.
    pub seconds: Option<u64>,
    /// Instead: that many clients that ask for one thing at once.
    pub herd: Option<u32>,
    pub workers: usize,
    pub io_driver: IoDriver,
    pub snapshot: Arc<Snapshot>,
    pub memory: Memory,
    pub telemetry: TelemetrySettings,
}

/// Runs on stdout until the seconds are over or a signal comes; an error is one of the start. A herd ends by itself, and is an error too
/// where an answer was wrong or the app was asked more often than it should.
pub fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    if let Some(size) = options.herd {
        return herd::play(&options, size, &mut out);
    }
    let terminal = out.is_terminal();
    play(&options, &mut out, terminal, |running| running.control.stop_on_signals())
}

/// `started` is called once the proxy accepts.
fn play(
    options: &Options,
    out: &mut impl Write,
    terminal: bool,
    started: impl FnOnce(&Running) -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let app = App::start(ports::bind(ports::APP)?)?;
    let certificate = Certificate::make().map_err(|error| format!("cannot make a certificate: {error}"))?;
    let running = match crate::start(settings(options, &app, &certificate, ports::choose)) {
        // Somebody took a port between our look and now.
        Err(StartError::Bind { .. }) => crate::start(settings(options, &app, &certificate, |_taken| ports::any()))?,
        started => started?,
    };
    started(&running)?;
    let [https, http] = running.listeners[..] else { return Err("the proxy bound other listeners than asked".into()) };

    let places = Places { app: app.address, https, http, admin: running.admin, ca: certificate.ca.clone() };
    let traffic = Traffic::start(&certificate, https, http, running.control.stop())?;
    let begin = Instant::now();
    // Whoever reads the output may leave (`| head`): that is an end too.
    let shown = welcome(out, &places).and_then(|()| {
        let board = Board::new(terminal, running.counters.len());
        show(out, board, options, begin, &running, &traffic)
    });

    let seconds = begin.elapsed().as_secs_f64();
    running.control.stop().ask();
    let active = Sample::of(&running.counters).active;
    if shown.is_ok() && active > 0 {
        let _ = writeln!(out, "ending; in flight and still to be finished: {active} (a second Ctrl-C does not wait)");
    }
    let tally = traffic.finish();
    let counters = running.counters.clone();
    running.stop();
    if shown.is_ok() {
        let _ = out.write_all(board::summary(&Sample::of(&counters), &tally, seconds).as_bytes());
    }
    Ok(())
}

fn settings(options: &Options, app: &App, certificate: &Certificate, address: fn(u16) -> SocketAddr) -> Settings {
    let upstream = UpstreamSettings { authority: app.address.to_string(), addresses: vec![app.address] };
    let tls = TlsSettings::showing(vec![(certificate.chain.clone(), certificate.key.clone())]);
    let listener = |address: SocketAddr, tls| ListenerSettings { address, tls, upstream: upstream.clone() };
    Settings {
        listeners: vec![listener(address(ports::HTTPS), Some(tls)), listener(address(ports::HTTP), None)],
        workers: options.workers,
        pin: false,
        io_driver: options.io_driver,
        admin: Some(address(ports::ADMIN)),
        drain: DRAIN,
        name: "slipstream".to_owned(),
        snapshot: options.snapshot.clone(),
        memory: options.memory.clone(),
        telemetry: options.telemetry.clone(),
    }
}

/// Shows the numbers once a second until it is time to end.
fn show(
    out: &mut impl Write,
    mut board: Board,
    options: &Options,
    begin: Instant,
    running: &Running,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut ticks = 0;
    while options.seconds.is_none_or(|seconds| ticks < seconds) {
        ticks += 1;
        // Against the start, so that the seconds do not drift.
        let next = (SECOND * u32::try_from(ticks).unwrap_or(u32::MAX)).saturating_sub(begin.elapsed());
        if running.control.stop().wait_timeout(next) {
            break;
        }
        let text = board.show(&Sample::of(&running.counters), &traffic.tally(), begin.elapsed());
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
