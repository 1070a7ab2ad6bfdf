//! The environment variables of OpenTelemetry.
//!
//! In: variables. Out: [`Settings`], and a line for each value that cannot be: it warns, and the default holds (OpenTelemetry, "Environment Variable
//! Specification"). An empty value is none. What this proxy adds: without an endpoint a signal is not exported.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::percent;
use super::settings::{Batch, Batches, Protocol, Settings, Target, TlsFiles, Url};
use crate::telemetry::exports::Signal;
use crate::telemetry::{Propagators, Ratio, Root, Sampler};

/// Reads all of it. `get` gives the value of a variable.
pub fn read(get: impl Fn(&str) -> Option<String>) -> (Settings, Vec<String>) {
    let mut reader = Reader { get: &get, warnings: Vec::new() };
    let settings = reader.settings();
    // What is said for all signals is found wrong for each.
    let mut warnings: Vec<String> = Vec::new();
    for warning in reader.warnings {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    (settings, warnings)
}

struct Reader<'g> {
    get: &'g dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Settings {
        let is_off = self.truth("OTEL_SDK_DISABLED");
        let propagators = self.propagators();
        let sampler = self.sampler();
        let spans = self.batch("BSP", 5000);
        let records = self.batch("BLRP", 1000);
        let metric_interval = Duration::from_millis(self.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 1));
        let mut target = |signal| if is_off { None } else { self.target(signal) };
        let [traces, metrics, logs] = [Signal::Traces, Signal::Metrics, Signal::Logs].map(&mut target);
        let batches = Batches { spans, records, metric_interval };
        Settings { propagators, sampler, traces, metrics, logs, batches }
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// One of a set of words: upper and lower case are the same.
    fn word(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.to_ascii_lowercase())
    }

    /// Of a signal's own variable, else of that of all signals; with the name of the one that spoke.
    fn of_signal(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.infix());
        let common = format!("OTEL_EXPORTER_OTLP_{what}");
        [own, common].into_iter().find_map(|name| self.text(&name).map(|value| (name, value)))
    }

    fn warn(&mut self, name: &str, value: &str, allowed: &str, instead: &str) {
        self.warnings.push(format!("{name}: found `{value}`, allowed: {allowed}; {instead}"));
    }

    fn truth(&mut self, name: &str) -> bool {
        match self.text(name) {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if !value.eq_ignore_ascii_case("false") => {
                self.warn(name, &value, "true or false", "taken for false");
                false
            }
            _ => false,
        }
    }

    fn number<N: FromStr + PartialOrd + std::fmt::Display>(&mut self, name: &str, default: N, min: N) -> N {
        let Some(value) = self.text(name) else { return default };
        match value.parse() {
            Ok(number) if number >= min => number,
            _ => {
                self.warn(name, &value, &format!("a whole number of {min} or more"), &format!("taken for {default}"));
                default
            }
        }
    }

    fn batch(&mut self, kind: &str, delay_ms: u64) -> Batch {
        let queue_max: usize = self.number(&format!("OTEL_{kind}_MAX_QUEUE_SIZE"), 2048, 1);
        let size: usize = self.number(&format!("OTEL_{kind}_MAX_EXPORT_BATCH_SIZE"), 512, 1);
        let delay = Duration::from_millis(self.number(&format!("OTEL_{kind}_SCHEDULE_DELAY"), delay_ms, 0));
        // The queue is held in memory that counts for nobody: as much as a million items is a mistake.
        const QUEUE_MAX: usize = 100_000;
        if queue_max > QUEUE_MAX {
            let name = format!("OTEL_{kind}_MAX_QUEUE_SIZE");
            self.warn(&name, &queue_max.to_string(), "1 to 100000", "taken for 100000");
        }
        let queue_max = queue_max.min(QUEUE_MAX);
        Batch { queue_max, size: size.min(queue_max), delay }
    }

    fn propagators(&mut self) -> Propagators {
        const NAME: &str = "OTEL_PROPAGATORS";
        let Some(value) = self.word(NAME) else { return Propagators::DEFAULT };
        let mut found = Propagators::NONE;
        let mut is_known = false;
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "tracecontext" => found.tracecontext = true,
                "b3" => found.b3 = true,
                "b3multi" => found.b3multi = true,
                // Baggage goes on as it came, whatever is said here.
                "baggage" | "none" => {}
                _ => {
                    self.warn(NAME, name, "tracecontext, baggage, b3, b3multi or none", "it is left out");
                    continue;
                }
            }
            is_known = true;
        }
        // A list of nothing but mistakes is ignored.
        if is_known { found } else { Propagators::DEFAULT }
    }

    fn sampler(&mut self) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let Some(value) = self.word(NAME) else { return Sampler::DEFAULT };
        let (parent_based, root) = match value.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, value.as_str()),
        };
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::Ratio(Ratio::new(self.share())),
            _ => {
                let allowed = "always_on, always_off, traceidratio, or one of them behind parentbased_";
                self.warn(NAME, &value, allowed, "taken for parentbased_always_on");
                return Sampler::DEFAULT;
            }
        };
        Sampler { parent_based, root }
    }

    fn share(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.text(NAME) else { return 1.0 };
        match value.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => {
                self.warn(NAME, &value, "a share of 0 to 1", "taken for 1");
                1.0
            }
        }
    }

    /// Where a signal goes; `None`: nowhere.
    fn target(&mut self, signal: Signal) -> Option<Target> {
        if !self.is_exported(signal) {
            return None;
        }
        let protocol = self.protocol(signal);
        let url = self.endpoint(signal, protocol)?;
        let timeout = self.timeout(signal);
        let gzip = match self.of_signal(signal, "COMPRESSION") {
            Some((_, word)) if word.eq_ignore_ascii_case("gzip") => true,
            Some((name, word)) if !word.eq_ignore_ascii_case("none") => {
                self.warn(&name, &word, "gzip or none", "nothing is compressed");
                false
            }
            _ => false,
        };
        let path = |found: Option<(String, String)>| found.map(|(_, path)| PathBuf::from(path));
        let ca = path(self.of_signal(signal, "CERTIFICATE"));
        let certificate = path(self.of_signal(signal, "CLIENT_CERTIFICATE"));
        let key = path(self.of_signal(signal, "CLIENT_KEY"));
        if certificate.is_some() != key.is_some() {
            let missing = if key.is_none() { "CLIENT_KEY" } else { "CLIENT_CERTIFICATE" };
            self.warnings.push(format!("OTEL_EXPORTER_OTLP_{missing}: missing; without it no certificate is shown"));
        }
        let tls = TlsFiles { ca, client: certificate.zip(key) };
        Some(Target { protocol, url, headers: self.headers(signal), gzip, timeout, tls })
    }

    /// `OTEL_TRACES_EXPORTER` and its like: a list, of which we know `otlp`.
    fn is_exported(&mut self, signal: Signal) -> bool {
        let name = format!("OTEL_{}_EXPORTER", signal.infix());
        let Some(value) = self.word(&name) else { return true };
        let (mut is_exported, mut is_known) = (false, false);
        for exporter in value.split(',').map(str::trim).filter(|exporter| !exporter.is_empty()) {
            match exporter {
                "otlp" => is_exported = true,
                "none" => {}
                // Served whatever is said here.
                "prometheus" if signal == Signal::Metrics => {}
                _ => {
                    self.warn(&name, exporter, "otlp or none", "it is left out");
                    continue;
                }
            }
            is_known = true;
        }
        // A list of nothing but mistakes is ignored.
        is_exported || !is_known
    }

    fn protocol(&mut self, signal: Signal) -> Protocol {
        match self.of_signal(signal, "PROTOCOL") {
            None => Protocol::HttpProtobuf,
            Some((_, word)) if word.eq_ignore_ascii_case("http/protobuf") => Protocol::HttpProtobuf,
            Some((_, word)) if word.eq_ignore_ascii_case("grpc") => Protocol::Grpc,
            Some((name, word)) => {
                self.warn(&name, &word, "http/protobuf or grpc", "taken for http/protobuf");
                Protocol::HttpProtobuf
            }
        }
    }

    fn endpoint(&mut self, signal: Signal, protocol: Protocol) -> Option<Url> {
        let (name, value) = self.of_signal(signal, "ENDPOINT")?;
        let (usual_port, without_scheme) = match protocol {
            Protocol::HttpProtobuf => (4318, None),
            Protocol::Grpc => {
                let is_insecure =
                    self.of_signal(signal, "INSECURE").is_some_and(|(_, word)| word.eq_ignore_ascii_case("true"));
                (4317, Some(!is_insecure))
            }
        };
        match Url::parse(&value, without_scheme, usual_port) {
            Ok(mut url) => {
                let is_common = !name.contains(signal.infix());
                match protocol {
                    Protocol::HttpProtobuf if is_common => {
                        url.path.truncate(url.path.trim_end_matches('/').len());
                        url.path.push_str(signal.http_path());
                    }
                    // A signal's own is taken as it is.
                    Protocol::HttpProtobuf => {}
                    Protocol::Grpc => url.path = signal.grpc_path().to_owned(),
                }
                Some(url)
            }
            Err(why) => {
                let instead = format!("{why}; {} are not exported", signal.label());
                self.warn(&name, &Url::redacted(&value), "http://HOST:PORT or https://HOST:PORT", &instead);
                None
            }
        }
    }

    /// For one message: the exporter's time, or that of whoever hands it the message, whichever is less. 0 is no limit.
    fn timeout(&mut self, signal: Signal) -> Duration {
        const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);
        let own = self.of_signal(signal, "TIMEOUT").map(|(name, _)| name);
        let handed = match signal {
            Signal::Traces => "OTEL_BSP_EXPORT_TIMEOUT",
            Signal::Metrics => "OTEL_METRIC_EXPORT_TIMEOUT",
            Signal::Logs => "OTEL_BLRP_EXPORT_TIMEOUT",
        };
        let own = own.map_or(10_000, |name| self.number(&name, 10_000, 0));
        let limits = [own, self.number(handed, 30_000, 0)].into_iter().filter(|millis| *millis > 0);
        limits.min().map_or(NO_LIMIT, Duration::from_millis).min(NO_LIMIT)
    }

    /// `name=value` pairs, as W3C Baggage writes them. Values may be credentials, so none is shown.
    fn headers(&mut self, signal: Signal) -> Vec<(String, String)> {
        let Some((variable, value)) = self.of_signal(signal, "HEADERS") else { return Vec::new() };
        let mut headers = Vec::new();
        for (n, member) in value.split(',').map(str::trim).enumerate().filter(|(_, member)| !member.is_empty()) {
            let pair = member.split_once('=').and_then(|(name, value)| {
                let value = percent::decoded(value.trim())?;
                let is_fit = hyper::header::HeaderName::from_str(name.trim()).is_ok()
                    && hyper::header::HeaderValue::from_str(&value).is_ok();
                is_fit.then(|| (name.trim().to_ascii_lowercase(), value))
            });
            match pair {
                Some(pair) => headers.push(pair),
                None => self.warnings.push(format!(
                    "{variable}: member {} is not NAME=VALUE of a header, allowed: such as api-key=0123,x-team=a%20b; it is left out",
                    n + 1
                )),
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests;
