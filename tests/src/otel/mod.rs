//! Real observability backends: an OpenTelemetry Collector that writes down what reaches it, Jaeger that stores traces, Prometheus that
//! scrapes. `tests/otel/build` makes them; one that is missing, or does not start, fails the case.
//!
//! Each is a process of its own for one case, on ports that were free a moment ago, and ends with the case. Telemetry is read
//! back as plain structs ([`Span`], [`Metric`], [`LogRecord`], [`jaeger::Span`], [`Sample`]); attributes and tags are [`Attributes`].

mod collector;
pub mod jaeger;
mod part;
mod prometheus;
mod signals;

use std::path::PathBuf;
use std::process::{Command, Stdio};

pub use collector::{Collector, Setup};
pub use jaeger::Jaeger;
pub use prometheus::{Prometheus, Sample, Series, promtool};
pub use signals::{
    Attributes, Exemplar, Kind, Link, LogRecord, Measured, Metric, MetricKind, Point, Source, Span, SpanEvent, Status,
    Temporality,
};

use crate::binary::profile_directory;

/// The program `name` of those that `tests/otel/build` makes: in `SLIPSTREAM_OTEL_PARTS`, in the folder `otel` of cargo's target
/// directory, or in PATH, where a machine may have its own Prometheus.
fn program(name: &str) -> PathBuf {
    let built = std::env::var_os("SLIPSTREAM_OTEL_PARTS").map(PathBuf::from);
    let built = built.unwrap_or_else(|| profile_directory().parent().expect("a target directory").join("otel"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::iter::once(built).chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    places.find(|place| place.is_file()).unwrap_or_else(|| panic!("there is no {name}: tests/otel/build makes it"))
}

/// Runs `command` to its end with `stdin`, and gives what it said on both streams: `Err` where it says that something is wrong.
fn said(mut command: Command, stdin: &[u8]) -> Result<String, String> {
    let input = tempfile::tempfile().and_then(|mut file| {
        std::io::Write::write_all(&mut file, stdin)?;
        std::io::Seek::rewind(&mut file)?;
        Ok(file)
    });
    command.stdin(input.unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = format!("{:?}", command.get_program());
    let child = crate::spawn(command).unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic = "there is no such-part: tests/otel/build makes it"]
    fn program_that_is_missing_names_what_makes_it() {
        super::program("such-part");
    }
}
