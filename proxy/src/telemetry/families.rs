//! Metric families: one set of numbers for all readers, the page for Prometheus and the export by OTLP.
//!
//! In: names, help, units and values, from whoever knows them. Out: the same as plain data. Must not know: how any reader writes it.
//!
//! A family of ours has one name, that of Prometheus; OTLP leaves out `_total`, which a Collector's exporter for Prometheus adds again to what
//! only grows, so both ways lead to the same names. A family of OpenTelemetry's own conventions has the name that they give it
//! (`http.server.request.duration`), and for Prometheus what those make of it: dots are underscores, and the unit is the last word.

/// Families in the order in which they are shown.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

/// One metric.
#[derive(Debug)]
pub struct Family {
    pub name: Name,
    pub kind: Kind,
    /// In UCUM's words: `s`, `By`, or what is counted in braces; empty where a series only says that something is so. Never `1` for what is no
    /// counter: for a Collector's exporter that is a ratio, and part of the name.
    pub unit: &'static str,
    pub help: &'static str,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    prometheus: &'static str,
    /// Where conventions give it one.
    otlp: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows. Its name ends in `_total`.
    Counter,
    /// What is so now.
    Gauge,
    /// Rises and falls with what comes and goes, so that sums over labels mean something: a gauge for Prometheus.
    UpDown,
    Histogram,
}

/// A set of labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Keys of conventions have dots in them, as OpenTelemetry writes them.
    pub labels: Vec<(&'static str, Label)>,
    pub value: Value,
}

/// The value of a label, of the type that conventions give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Text(String),
    Number(u16),
    Flag(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Whole(u64),
    Real(f64),
    Buckets(Buckets),
}

/// How often which size.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Upper bounds.
    pub bounds: Vec<f64>,
    /// How many were within each bound and above the one before; then how many were above all.
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl Families {
    /// A counter of one series. `name` ends in `_total`.
    pub fn counter(&mut self, name: &'static str, unit: &'static str, help: &'static str, value: impl Into<Value>) {
        self.family(name, Kind::Counter, unit, help).plain(value);
    }

    /// A gauge of one series.
    pub fn gauge(&mut self, name: &'static str, unit: &'static str, help: &'static str, value: impl Into<Value>) {
        self.family(name, Kind::Gauge, unit, help).plain(value);
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, name: &'static str, unit: &'static str, help: &'static str, buckets: Buckets) {
        self.family(name, Kind::Histogram, unit, help).plain(buckets);
    }

    /// A metric of ours; its series follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> &mut Family {
        debug_assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        self.named(Name { prometheus: name, otlp: None }, kind, unit, help)
    }

    /// A metric of OpenTelemetry's conventions, with both its names; its series follow.
    pub fn convention(
        &mut self,
        (otlp, prometheus): (&'static str, &'static str),
        kind: Kind,
        unit: &'static str,
        help: &'static str,
    ) -> &mut Family {
        self.named(Name { prometheus, otlp: Some(otlp) }, kind, unit, help)
    }

    fn named(&mut self, name: Name, kind: Kind, unit: &'static str, help: &'static str) -> &mut Family {
        self.0.push(Family { name, kind, unit, help, series: Vec::new() });
        self.0.last_mut().expect("it was put there")
    }

    /// Those that have series.
    pub fn iter(&self) -> impl Iterator<Item = &Family> {
        self.0.iter().filter(|family| !family.series.is_empty())
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.0.iter().map(|family| family.series.len()).sum()
    }
}

impl Family {
    pub fn series<L: Into<Label>>(
        &mut self,
        labels: impl IntoIterator<Item = (&'static str, L)>,
        value: impl Into<Value>,
    ) {
        let labels = labels.into_iter().map(|(key, label)| (key, label.into())).collect();
        self.series.push(Series { labels, value: value.into() });
    }

    fn plain(&mut self, value: impl Into<Value>) {
        self.series.push(Series { labels: Vec::new(), value: value.into() });
    }
}

impl Name {
    pub fn prometheus(&self) -> &'static str {
        self.prometheus
    }

    pub fn otlp(&self) -> &'static str {
        self.otlp.unwrap_or_else(|| self.prometheus.strip_suffix("_total").unwrap_or(self.prometheus))
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Label {
        Label::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Whole(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Whole(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Real(number)
    }
}

impl From<Buckets> for Value {
    fn from(buckets: Buckets) -> Value {
        Value::Buckets(buckets)
    }
}
