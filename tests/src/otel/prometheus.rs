//! Prometheus: scrapes a page of metrics five times a second, and answers queries. And `promtool`, which checks such pages, and rules.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use super::part::{Part, ask};
use super::{program, said};
use crate::event::eventually;

/// One value of the answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With `__name__`, where the query keeps it.
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Values of one series over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// A Prometheus that runs; killed when dropped.
pub struct Prometheus {
    part: Part,
}

impl Prometheus {
    /// Starts it and waits until it has scraped `/metrics` of `target`, as the job `slipstream`. It takes 5 s to hand out targets at first.
    pub fn start(target: SocketAddr) -> Prometheus {
        let prometheus = Prometheus::with_targets(&[target]);
        prometheus.query_until("up{job=\"slipstream\"}", "it has looked at its target", |samples| !samples.is_empty());
        prometheus
    }

    /// Starts one that scrapes nothing: what it has was written to it.
    pub fn store() -> Prometheus {
        Prometheus::with_targets(&[])
    }

    fn with_targets(targets: &[SocketAddr]) -> Prometheus {
        let part = Part::start("prometheus", 1, "/-/ready", &[], |directory, addresses| {
            let file = directory.join("prometheus.json");
            // JSON is YAML.
            let config = json!({
                "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
                "scrape_configs": [{"job_name": "slipstream", "static_configs": [{"targets": targets}]}],
            });
            std::fs::write(&file, config.to_string()).unwrap();
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", directory.join("data").display()),
                format!("--web.listen-address={}", addresses[0]),
                "--web.enable-remote-write-receiver".into(),
            ]
        });
        Prometheus { part }
    }

    /// Its API and pages.
    pub fn address(&self) -> SocketAddr {
        self.part.address(0)
    }

    /// Where it takes remote writes.
    pub fn remote_write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address())
    }

    /// What a query gives now: one sample for each series of a vector, or the one of a scalar.
    pub fn query(&self, promql: &str) -> Vec<Sample> {
        let answer =
            ask(self.address(), &format!("/api/v1/query?query={}", escaped(promql))).expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{promql}: {}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).expect("Prometheus says JSON");
        let result = &answer["data"]["result"];
        match answer["data"]["resultType"].as_str() {
            Some("vector") => result.as_array().into_iter().flatten().map(sample).collect(),
            Some("scalar") => vec![Sample { labels: BTreeMap::new(), value: number(&result[1]) }],
            other => panic!("{promql} gives {other:?}, which is no vector"),
        }
    }

    /// What a query gave between two times, in seconds since 1970, twice a second.
    pub fn query_range(&self, promql: &str, from: f64, to: f64) -> Vec<Series> {
        let target = format!("/api/v1/query_range?query={}&start={from:.3}&end={to:.3}&step=0.5", escaped(promql));
        let answer = ask(self.address(), &target).expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{promql}: {}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).expect("Prometheus says JSON");
        let series = |series: &Value| {
            let values = series["values"].as_array().into_iter().flatten();
            let points = values.map(|pair| (pair[0].as_f64().expect("a time"), number(&pair[1]))).collect();
            Series { labels: labels(series), points }
        };
        answer["data"]["result"].as_array().into_iter().flatten().map(series).collect()
    }

    /// Queries until `holds`; panics at the deadline with `what` was waited for.
    pub fn query_until(&self, promql: &str, what: &str, mut holds: impl FnMut(&[Sample]) -> bool) -> Vec<Sample> {
        eventually(&format!("{what}: {promql}"), || Some(self.query(promql)).filter(|samples| holds(samples)))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.part.log()
    }
}

fn sample(of: &Value) -> Sample {
    Sample { labels: labels(of), value: number(&of["value"][1]) }
}

fn labels(of: &Value) -> BTreeMap<String, String> {
    let labels = of["metric"].as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.clone(), value.as_str().expect("a label is text").into())).collect()
}

/// Prometheus writes values as text: `NaN`, `+Inf`.
fn number(value: &Value) -> f64 {
    let read = value.as_str().and_then(|text| text.parse().ok());
    read.unwrap_or_else(|| panic!("no number: {value}"))
}

/// As a value in a query of a URL.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Runs `promtool` with `arguments` and `stdin`, and gives what it said: `Err` where it has found something.
pub fn promtool(arguments: &[&str], stdin: &[u8]) -> Result<String, String> {
    let mut command = Command::new(program("promtool"));
    command.args(arguments);
    said(command, stdin)
}
