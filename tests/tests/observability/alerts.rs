//! The alerts: promtool plays when they fire, and each asks for series that a proxy has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipstream_tests::otel::{Prometheus, promtool};

use crate::queries::assert_asks_for_what_there_is;
use crate::scene::Scene;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
}

#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_yaml::Value>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability").join(name)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_yaml::from_slice(&std::fs::read(file(name)).unwrap()).unwrap()
}

fn rules() -> Vec<Rule> {
    read::<Rules>("alerts.yaml").groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The rows of the table in docs/telemetry.md.
fn in_docs() -> BTreeSet<String> {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/telemetry.md")).unwrap();
    let section = docs.split("\n## ").find(|section| section.starts_with("Alerts")).expect("a section on alerts");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| Slipstream")?.split(' ').next());
    rows.map(|name| format!("Slipstream{name}")).collect()
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do_and_is_played_both_ways() {
    let tests: Vec<_> =
        read::<Tests>("alerts_test.yaml").tests.into_iter().flat_map(|test| test.alert_rule_test).collect();
    let played = |fires: bool| -> BTreeSet<String> {
        let such = tests.iter().filter(|test| test.exp_alerts.is_empty() != fires);
        such.map(|test| test.alertname.clone()).collect()
    };
    let names: BTreeSet<String> = rules().iter().map(|rule| rule.alert.clone()).collect();
    assert_eq!((played(true), played(false), in_docs()), (names.clone(), names.clone(), names));
    for Rule { alert, labels, annotations, .. } in rules() {
        assert!(["warning", "critical"].contains(&labels.severity.as_str()), "{alert}: {}", labels.severity);
        assert!(annotations.summary.contains("{{ $labels."), "{alert} says of nobody: {}", annotations.summary);
        assert!(annotations.description.ends_with('.'), "{alert}: {}", annotations.description);
    }
}

#[test]
#[ignore = "needs tests/otel/build"]
fn promtool_finds_nothing_wrong_and_every_case_is_as_expected() {
    let path = |name: &str| file(name).display().to_string();
    let checked = promtool(&["check", "rules", &path("alerts.yaml")], b"");
    assert!(checked.as_ref().is_ok_and(|said| said.contains(&format!("{} rules", rules().len()))), "{checked:?}");
    let played = promtool(&["test", "rules", &path("alerts_test.yaml")], b"");
    assert!(played.is_ok(), "{played:?}");
}

#[test]
#[ignore = "needs tests/otel/build"]
fn every_alert_asks_for_series_that_a_proxy_has() {
    let scene = Scene::open();
    let prometheus = Prometheus::start(scene.admin());
    scene.play(6);
    let mut over = Vec::new();
    for Rule { alert, expr, .. } in rules() {
        assert_asks_for_what_there_is(&prometheus, &expr);
        if !prometheus.query(&expr).is_empty() {
            over.push(alert);
        }
    }
    // What the scene does on purpose; on a machine that is busy there may be others.
    for wanted in ["SlipstreamRequestsFail", "SlipstreamSheds"] {
        assert!(over.iter().any(|alert| alert == wanted), "{wanted} is not over its threshold: {over:?}");
    }
    for unwanted in ["SlipstreamPanics", "SlipstreamRequestsBrokenOff", "SlipstreamCertificateNotRead"] {
        assert!(!over.iter().any(|alert| alert == unwanted), "{unwanted} is over its threshold");
    }
}
