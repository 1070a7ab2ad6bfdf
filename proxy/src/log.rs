//! The log: for people at a terminal, or JSON lines for a collector, on stderr.
//!
//! What is logged can be tapped ([`tap`]), to be exported too.
//!
//! In: a level from the command line, `SLIPSTREAM_LOG`, `SLIPSTREAM_LOG_FORMAT`. Out: tracing's subscriber of this process, set once by
//! `main`. A worker logs no request: what requests do is counted (`/metrics`), and a line is written for what an operator may act on.

use std::fmt::{self, Write};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

const LEVEL_DEFAULT: &str = "info";

/// Sets the log up. `level` (`--log-level`) wins over `SLIPSTREAM_LOG`; a bad environment warns and is ignored, as OpenTelemetry asks of its own.
///
/// Shape of a level: `error|warn|info|debug|trace|off`, or directives by module (`info,slipstream_proxy::pool=debug`).
pub fn init(level: Option<&str>) -> Result<(), BadLevel> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut complaints = Vec::new();

    let filter = match (level, variable("SLIPSTREAM_LOG")) {
        (Some(level), _) => parse(level)?,
        (None, Some(level)) => parse(&level).or_else(|bad| {
            complaints.push(format!("SLIPSTREAM_LOG: {bad}; using {LEVEL_DEFAULT}"));
            parse(LEVEL_DEFAULT)
        })?,
        (None, None) => parse(LEVEL_DEFAULT)?,
    };
    let json = match variable("SLIPSTREAM_LOG_FORMAT").as_deref() {
        Some("json") => true,
        Some("text") | None => false,
        Some(other) => {
            complaints.push(format!("SLIPSTREAM_LOG_FORMAT: {other:?} is neither text nor json; using text"));
            false
        }
    };

    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.with_ansi(false).boxed() };
    // A second call in one process keeps the first log.
    let _ = tracing_subscriber::registry().with(filter).with(lines).with(Tap).try_init();
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    Ok(())
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub level: Level,
    pub message: String,
    pub unix_ns: u64,
}

/// Lines that wait for whoever tapped them.
const TAPPED_MAX: usize = 1024;

static TAPPED: OnceLock<Sender<Entry>> = OnceLock::new();

/// From here on every line of this process' log comes here too; what finds no room is left out and counted. `None`: somebody has tapped it before.
pub fn tap() -> Option<Receiver<Entry>> {
    let (to, entries) = channel(TAPPED_MAX);
    TAPPED.set(to).ok().map(|()| entries)
}

/// How many lines have found no room since this was asked last.
pub fn take_untapped() -> u64 {
    UNTAPPED.swap(0, Relaxed)
}

static UNTAPPED: AtomicU64 = AtomicU64::new(0);

struct Tap;

impl<S: tracing::Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let Some(to) = TAPPED.get() else { return };
        let mut message = Message(String::new());
        event.record(&mut message);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        if to.try_send(Entry { level: *event.metadata().level(), message: message.0, unix_ns }).is_err() {
            UNTAPPED.fetch_add(1, Relaxed);
        }
    }
}

/// The text of an event; its other fields behind it.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _never_fails = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

fn parse(level: &str) -> Result<EnvFilter, BadLevel> {
    let bad = || BadLevel { given: level.to_owned() };
    // A lone misspelt level would be taken for the name of a module.
    let lone = !level.contains(['=', ',', '[']);
    if level.is_empty() || (lone && level.parse::<LevelFilter>().is_err()) {
        return Err(bad());
    }
    EnvFilter::try_new(level).map_err(|_| bad())
}

/// A level that is none.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLevel {
    given: String,
}

impl fmt::Display for BadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no log level; allowed: error, warn, info, debug, trace, off, or by module as in info,slipstream_proxy::pool=debug",
            self.given
        )
    }
}

impl std::error::Error for BadLevel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_parse() {
        for level in ["error", "INFO", "off", "info,slipstream_proxy::pool=debug", "slipstream_proxy=trace"] {
            assert!(parse(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn misspelt_level_is_refused_with_what_is_allowed() {
        for level in ["inof", "", "slipstream_proxy=loud"] {
            let error = parse(level).map(drop).unwrap_err();
            assert!(error.to_string().contains("allowed: error, warn"), "{error}");
        }
    }
}
