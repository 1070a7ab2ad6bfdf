//! The Prometheus text format, version 0.0.4.
//!
//! Ours and not `prometheus-client`'s: that one writes OpenMetrics, where `# TYPE` names a counter without its `_total`, which readers of
//! the text format (`promtool check metrics` among them) take for a metric without type. Sums made at the scrape need no registry.

use std::borrow::Cow;
use std::fmt::{Arguments, Display, Write};

use crate::telemetry::families::{Families, Family, Kind, Label, Series, Value};

pub(crate) fn render(families: &Families) -> String {
    let mut text = Text(String::new());
    families.iter().for_each(|family| text.family(family));
    text.0
}

struct Text(String);

impl Text {
    fn family(&mut self, family: &Family) {
        let name = family.name.prometheus();
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::UpDown => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        family.series.iter().for_each(|series| self.series(name, series));
    }

    fn series(&mut self, name: &str, series: &Series) {
        let labels = &series.labels;
        match &series.value {
            Value::Whole(number) => self.sample(name, "", labels, None, number),
            Value::Real(number) => self.sample(name, "", labels, None, Real(*number)),
            Value::Buckets(buckets) => {
                let bounds = buckets.bounds.iter().copied().chain([f64::INFINITY]);
                let mut within = 0;
                for (bound, count) in bounds.zip(&buckets.counts) {
                    within += count;
                    self.sample(name, "_bucket", labels, Some(Real(bound)), within);
                }
                self.sample(name, "_sum", labels, None, Real(buckets.sum));
                self.sample(name, "_count", labels, None, within);
            }
        }
    }

    fn sample(
        &mut self,
        name: &str,
        part: &str,
        labels: &[(&'static str, Label)],
        bound: Option<Real>,
        value: impl Display,
    ) {
        self.line(format_args!("{name}{part}"));
        let mut sign = '{';
        let mut label = |key: &str, value: &dyn Display| {
            self.line(format_args!("{sign}{key}=\"{value}\""));
            sign = ',';
        };
        for (key, value) in labels {
            // A dot is not allowed in a name; conventions have some.
            let key = if key.contains('.') { Cow::from(key.replace('.', "_")) } else { Cow::from(*key) };
            match value {
                Label::Text(text) => {
                    label(&key, &text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"));
                }
                Label::Number(number) => label(&key, number),
                Label::Flag(flag) => label(&key, flag),
            }
        }
        if let Some(bound) = bound {
            label("le", &bound);
        }
        let end = if sign == ',' { "}" } else { "" };
        self.line(format_args!("{end} {value}\n"));
    }

    fn line(&mut self, line: Arguments<'_>) {
        let _never_fails = self.0.write_fmt(line);
    }
}

/// Infinity has a sign.
struct Real(f64);

impl Display for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == f64::INFINITY { f.write_str("+Inf") } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::families::Buckets;

    #[test]
    fn families_are_written_as_a_scraper_expects_them() {
        let mut families = Families::default();
        families.counter("a_total", "{a}", "A's.\nOr \\.", 3_u64);
        families.gauge("b", "{b}", "B's.", f64::INFINITY);
        families.family("none", Kind::Gauge, "", "Has no series.");
        let both = families.convention(("c.d", "c_d_seconds"), Kind::UpDown, "s", "C's.");
        both.series([("e.f", "a\"b\\c\nd")], 0.5);
        both.series([("e.f", Label::Number(7)), ("g", Label::Flag(true))], 1_500_000_000.0);
        let buckets = || Buckets { bounds: vec![0.005, 1.0], counts: vec![1, 0, 2], sum: 0.25 };
        families.histogram("h", "s", "H's.", buckets());
        families.family("i", Kind::Histogram, "s", "I's.").series([("j", "k")], buckets());
        let text = render(&families);
        let expected = r##"# HELP a_total A's.\nOr \\.
# TYPE a_total counter
a_total 3
# HELP b B's.
# TYPE b gauge
b +Inf
# HELP c_d_seconds C's.
# TYPE c_d_seconds gauge
c_d_seconds{e_f="a\"b\\c\nd"} 0.5
c_d_seconds{e_f="7",g="true"} 1500000000
# HELP h H's.
# TYPE h histogram
h_bucket{le="0.005"} 1
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 3
h_sum 0.25
h_count 3
# HELP i I's.
# TYPE i histogram
i_bucket{j="k",le="0.005"} 1
i_bucket{j="k",le="1"} 1
i_bucket{j="k",le="+Inf"} 3
i_sum{j="k"} 0.25
i_count{j="k"} 3
"##;
        assert_eq!(text, expected);
    }
}
