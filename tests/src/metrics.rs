//! What `/metrics` says, in the text format of Prometheus.

use std::fmt;

/// One scrape.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<Series>);

#[derive(Debug, Clone)]
struct Series {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line:?}"));
            Series { name: name.into(), labels: labels.trim_end_matches('}').into(), value }
        });
        Metrics(series.collect())
    }

    /// The sum of all series of `name`; panics where there is none, so that a misspelt name is no zero.
    pub fn sum(&self, name: &str) -> u64 {
        self.sum_where(name, "")
    }

    /// The sum of the series of `name` whose labels contain `label`, written `key="value"`.
    pub fn sum_where(&self, name: &str, label: &str) -> u64 {
        assert!(self.0.iter().any(|series| series.name == name), "no series {name} in {:?}", self.names());
        let matching = self.0.iter().filter(|series| series.name == name && series.labels.contains(label));
        matching.map(|series| series.value).sum::<f64>() as u64
    }

    /// How many tasks of the proxy have panicked.
    pub fn panics(&self) -> u64 {
        self.sum("slipstream_panics_total")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|series| series.name == name)
    }

    /// What has been counted at all, but histograms: what a person looks at where a case waited in vain.
    pub fn counted(&self) -> impl fmt::Display {
        let counted = self.0.iter().filter(|series| series.value != 0.0 && !series.name.ends_with("_bucket"));
        let lines = counted.map(|Series { name, labels, value }| format!("  {name}{{{labels}}} {value}\n"));
        lines.collect::<String>()
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|series| series.name.as_str()).collect();
        names.dedup();
        names
    }
}
