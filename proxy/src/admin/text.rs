//! The Prometheus text format, version 0.0.4.
//!
//! Ours and not `prometheus-client`'s: that one writes OpenMetrics, where `# TYPE` names a counter without its `_total`, which readers of
//! the text format (`promtool check metrics` among them) take for a metric without type. Sums made at the scrape need no registry.

use std::fmt::{Display, Write};

/// Metrics in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Text(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Text {
    /// A counter of one series. `name` ends in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).series(&[], value);
    }

    /// A gauge of one series.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).series(&[], value);
    }

    /// Heads a metric; its series follow.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        debug_assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: self, name }
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _never_fails = self.0.write_fmt(line);
    }
}

/// One metric whose series are being written.
pub(super) struct Family<'a> {
    text: &'a mut Text,
    name: &'a str,
}

impl Family<'_> {
    pub(super) fn series(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.line(format_args!("{}", self.name));
        for (i, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            self.text.line(format_args!("{}{label}=\"{value}\"", if i == 0 { '{' } else { ',' }));
        }
        self.text.line(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }
}
