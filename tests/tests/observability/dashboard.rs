//! The dashboard: as Grafana wants it, and with an answer to every query.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slipstream_tests::otel::{Prometheus, Series};

use crate::draw::{self, Curve, Picture};
use crate::queries::{assert_asks_for_what_there_is, filled};
use crate::scene::{Scene, seconds};

/// Nothing happens of what these show, or only on a machine that is busy with something else.
const MAY_REST: [&str; 2] = ["Worker stalls", "Closed early"];

/// Grafana's columns.
const WIDTH: u64 = 24;

struct Panel(Value);

impl Panel {
    fn title(&self) -> &str {
        self.0["title"].as_str().unwrap()
    }

    fn is_row(&self) -> bool {
        self.0["type"] == "row"
    }

    /// Query and legend.
    fn targets(&self) -> Vec<(&str, &str)> {
        let targets = self.0["targets"].as_array().unwrap();
        targets
            .iter()
            .map(|target| (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap()))
            .collect()
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability/dashboard.json")
}

fn dashboard() -> Value {
    serde_json::from_slice(&std::fs::read(file()).unwrap()).expect("JSON")
}

fn panels() -> Vec<Panel> {
    let Value::Array(panels) = dashboard()["panels"].take() else { panic!("panels are a list") };
    panels.into_iter().map(Panel).collect()
}

#[test]
fn panels_have_what_grafana_and_a_reader_need_and_lie_beside_each_other() {
    let dashboard = dashboard();
    assert!(dashboard["uid"] == "slipstream" && dashboard["schemaVersion"].as_u64() >= Some(36), "{dashboard}");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    let (mut ids, mut titles, mut cells) = (HashSet::new(), HashSet::new(), HashSet::new());
    for Panel(panel) in panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id is another's: {panel}");
        assert!(titles.insert(panel["title"].as_str().unwrap().to_owned()), "the title is another's: {panel}");
        let grid = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(grid("x") + grid("w") <= WIDTH, "over the edge: {panel}");
        for x in grid("x")..grid("x") + grid("w") {
            for y in grid("y")..grid("y") + grid("h") {
                assert!(cells.insert((x, y)), "over another: {panel}");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "no description: {panel}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "no unit: {panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        for (query, _) in Panel(panel.clone()).targets() {
            assert!(query.contains("job=~\"$job\", instance=~\"$instance\""), "not by the variables: {query}");
        }
    }
}

#[test]
#[ignore = "needs tests/otel/build"]
fn every_panel_shows_what_happens() {
    let scene = Scene::open();
    let prometheus = Prometheus::start(scene.admin());
    let (from, to) = scene.play(seconds());
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("DASHBOARD_PICTURES").map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(folder.path());
    let mut rows: Vec<(String, Vec<Picture>)> = Vec::new();
    for panel in panels() {
        if panel.is_row() {
            rows.push((panel.title().to_owned(), Vec::new()));
            continue;
        }
        let mut curves = Vec::new();
        for (query, legend) in panel.targets() {
            let query = filled(query);
            assert_asks_for_what_there_is(&prometheus, &query);
            let found = prometheus.query_range(&query, from, to);
            curves.extend(found.into_iter().map(|series| curve(&series, legend, from)));
        }
        curves.retain(|curve| !curve.points.is_empty());
        let shows = curves.iter().flat_map(|curve| &curve.points).any(|(_, value)| *value > 0.0);
        assert!(!curves.is_empty() && (shows || MAY_REST.contains(&panel.title())), "{} shows nothing", panel.title());
        let unit = panel.0["fieldConfig"]["defaults"]["unit"].as_str().unwrap().to_owned();
        let is_text = panel.0["type"] == "stat";
        let row = &mut rows.last_mut().expect("a row is first").1;
        row.push(Picture { title: panel.title().to_owned(), unit, is_text, curves });
    }
    for (title, pictures) in &rows {
        let file = folder.join(format!("{}.svg", title.to_lowercase().replace(' ', "-")));
        draw::row(&file, pictures);
        let drawn = std::fs::read_to_string(file).unwrap();
        assert!(drawn.matches("<polyline").count() >= pictures.len() / 2, "{title} is empty");
    }
}

/// Without the points that are no number: there was nothing to divide by.
fn curve(series: &Series, legend: &str, from: f64) -> Curve {
    let mut name = legend.to_owned();
    for (label, value) in &series.labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    // A label that a series does not have.
    let name = name.split("{{").next().unwrap().trim_end().to_owned();
    // Of a file in a folder of this run, the file.
    let name = match name.rsplit('/').next() {
        Some("") => "none".to_owned(),
        Some(file) if name.starts_with('/') => file.to_owned(),
        _ => name,
    };
    let points = series.points.iter().filter(|(_, value)| value.is_finite());
    Curve { name, points: points.map(|(at, value)| (at - from, *value)).collect() }
}
