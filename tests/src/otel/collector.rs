//! An OpenTelemetry Collector: OTLP in over gRPC and HTTP, all of it into files that the case reads, and on to others where asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::part::{Part, ask};
use super::signals::{LogRecord, Metric, Span, logs, metrics, spans};
use super::{program, said};
use crate::event::eventually;

/// The addresses of a part, by their place; the last is asked for health.
const GRPC: usize = 0;
const HTTP: usize = 1;
const PAGE: usize = 2;
const ADDRESSES: usize = 4;

/// A Collector that is not started yet.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    certificate: Option<(PathBuf, PathBuf)>,
    client_authority: Option<PathBuf>,
    token: Option<String>,
    traces_to: Option<SocketAddr>,
    metrics_page: bool,
    deployed: Vec<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Both of its doors speak TLS alone, with `certificate` (chain file, key file).
    pub fn tls(mut self, certificate: (PathBuf, PathBuf)) -> Setup {
        self.certificate = Some(certificate);
        self
    }

    /// Under TLS: it takes clients alone whose certificate this authority has signed.
    pub fn client_authority(mut self, file: PathBuf) -> Setup {
        self.client_authority = Some(file);
        self
    }

    /// It takes requests alone that bring `Authorization: Bearer TOKEN`.
    pub fn bearer(mut self, token: &str) -> Setup {
        self.token = Some(token.into());
        self
    }

    /// Spans go on to this address too, by OTLP over gRPC: to [`super::Jaeger::grpc`].
    pub fn traces_to(mut self, grpc: SocketAddr) -> Setup {
        self.traces_to = Some(grpc);
        self
    }

    /// Metrics can be scraped from it too: [`Collector::metrics_page`].
    pub fn metrics_page(mut self) -> Setup {
        self.metrics_page = true;
        self
    }

    /// As this configuration file of a user says, but for its addresses: nothing is written that the case can read back here. Given more than
    /// once, each later file says what it has otherwise.
    pub fn deployed(mut self, file: &Path) -> Setup {
        self.deployed.push(file.to_owned());
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it takes telemetry.
    pub fn start(self) -> Collector {
        let part = Part::start("collector", ADDRESSES, "/", &self.environment, |directory, addresses| {
            let file = directory.join("collector.json");
            let config =
                if self.deployed.is_empty() { self.whole(directory, addresses) } else { self.moved(addresses) };
            std::fs::write(&file, config.to_string()).unwrap();
            configs(self.deployed.iter().chain([&file]))
        });
        Collector { part, setup: self }
    }

    /// The configuration; JSON is YAML.
    fn whole(&self, directory: &Path, addresses: &[SocketAddr]) -> Value {
        let mut door = json!({});
        if let Some((chain, key)) = &self.certificate {
            door["tls"] = json!({"cert_file": chain, "key_file": key});
            if let Some(authority) = &self.client_authority {
                door["tls"]["client_ca_file"] = json!(authority);
            }
        }
        let mut config = self.moved(addresses);
        let mut extensions = vec!["health_check"];
        if let Some(token) = &self.token {
            door["auth"] = json!({"authenticator": "bearertokenauth"});
            config["extensions"]["bearertokenauth"] = json!({"token": token});
            extensions.push("bearertokenauth");
        }
        for protocol in ["grpc", "http"] {
            let settings = config["receivers"]["otlp"]["protocols"][protocol].as_object_mut().expect("it is there");
            settings.extend(door.as_object().expect("made above").clone());
        }
        let mut pipelines = json!({});
        for signal in SIGNALS {
            // A file is written to in the turn of a request; it is kept over a new start.
            let file = json!({"path": directory.join(signal), "append": true, "flush_interval": "5ms"});
            config["exporters"][format!("file/{signal}")] = file;
            pipelines[signal] = json!({"receivers": ["otlp"], "exporters": [format!("file/{signal}")]});
        }
        let mut also = |signal: &str, name: &str, exporter: Option<Value>| {
            if let Some(exporter) = exporter {
                config["exporters"][name] = exporter;
            }
            pipelines[signal]["exporters"].as_array_mut().expect("made above").push(name.into());
        };
        if let Some(address) = self.traces_to {
            also("traces", "otlp_grpc", Some(json!({"endpoint": address, "tls": {"insecure": true}})));
        }
        if self.metrics_page {
            also("metrics", "prometheus", None);
        } else {
            config["exporters"].as_object_mut().expect("it is there").remove("prometheus");
        }
        config["service"]["extensions"] = json!(extensions);
        config["service"]["pipelines"] = pipelines;
        config
    }

    /// What says where it listens, and nowhere else.
    fn moved(&self, addresses: &[SocketAddr]) -> Value {
        let protocols = json!({"grpc": {"endpoint": addresses[GRPC]}, "http": {"endpoint": addresses[HTTP]}});
        json!({
            "extensions": {"health_check": {"endpoint": addresses[ADDRESSES - 1]}},
            "receivers": {"otlp": {"protocols": protocols}},
            "exporters": {"prometheus": {"endpoint": addresses[PAGE]}},
            // Its own metrics have a port too, which another Collector may hold.
            "service": {"telemetry": {"metrics": {"level": "none"}}},
        })
    }
}

const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

/// A Collector that runs; killed when dropped.
pub struct Collector {
    part: Part,
    setup: Setup,
}

impl Collector {
    /// A Collector with open doors, which writes to its files alone.
    pub fn start() -> Collector {
        Setup::default().start()
    }

    /// A Collector that is not started yet.
    pub fn set_up() -> Setup {
        Setup::default()
    }

    /// Whether these configuration files, one over the other, are ones that it can run: what it says against them where not.
    pub fn validate(files: &[&Path], environment: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new(program("collector"));
        command.arg("validate").args(configs(files)).envs(environment.iter().copied());
        said(command, b"")
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.part.address(GRPC)
    }

    /// Where it takes OTLP over HTTP: `POST /v1/traces`, `/v1/metrics`, `/v1/logs`.
    pub fn http(&self) -> SocketAddr {
        self.part.address(HTTP)
    }

    /// Where its metrics can be scraped, as [`Setup::metrics_page`] asked.
    pub fn metrics_page(&self) -> SocketAddr {
        self.part.address(PAGE)
    }

    /// What can be scraped there now.
    pub fn metrics_text(&self) -> String {
        ask(self.metrics_page(), "/metrics").expect("the page of metrics").text()
    }

    /// All spans that have come, in that order.
    pub fn spans(&self) -> Vec<Span> {
        self.written("traces").iter().flat_map(spans).collect()
    }

    /// All metrics that have come, in that order: one that was exported twice is there twice.
    pub fn metrics(&self) -> Vec<Metric> {
        self.written("metrics").iter().flat_map(metrics).collect()
    }

    /// All log records that have come, in that order.
    pub fn logs(&self) -> Vec<LogRecord> {
        self.written("logs").iter().flat_map(logs).collect()
    }

    /// Waits until `holds` for all spans that have come; panics at the deadline with `what` was waited for.
    pub fn spans_until(&self, what: &str, mut holds: impl FnMut(&[Span]) -> bool) -> Vec<Span> {
        eventually(what, || Some(self.spans()).filter(|spans| holds(spans)))
    }

    /// As [`Collector::spans_until`], of metrics.
    pub fn metrics_until(&self, what: &str, mut holds: impl FnMut(&[Metric]) -> bool) -> Vec<Metric> {
        eventually(what, || Some(self.metrics()).filter(|metrics| holds(metrics)))
    }

    /// As [`Collector::spans_until`], of log records.
    pub fn logs_until(&self, what: &str, mut holds: impl FnMut(&[LogRecord]) -> bool) -> Vec<LogRecord> {
        eventually(what, || Some(self.logs()).filter(|logs| holds(logs)))
    }

    /// Kills it: connections are reset, and new ones refused. What has come can still be read.
    pub fn end(&mut self) {
        self.part.end();
    }

    /// Starts it again after [`Collector::end`], on the same addresses, with what had come before.
    pub fn start_again(&mut self) {
        self.part.start_again();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.part.log()
    }

    /// The exports of a signal: one a line. A line that is still being written is left for the next look.
    fn written(&self, signal: &str) -> Vec<Value> {
        assert!(self.setup.deployed.is_empty(), "a deployed configuration writes no files");
        let bytes = std::fs::read(self.part.directory().join(signal)).unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("the Collector writes JSON")).collect()
    }
}

fn configs(files: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<String> {
    files.into_iter().map(|file| format!("--config={}", file.as_ref().display())).collect()
}
