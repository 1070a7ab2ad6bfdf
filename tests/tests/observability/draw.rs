//! Pictures of panels, for the docs: curves over time, as Grafana would show them.

use std::path::Path;

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Of one panel, in pixels.
const WIDTH: u32 = 460;
const HEIGHT: u32 = 260;
const COLUMNS: usize = 3;

/// Curves with a name in the legend.
const NAMED_MAX: usize = 8;

pub struct Picture {
    pub title: String,
    /// Grafana's name for it.
    pub unit: String,
    /// Its last values, and no curve.
    pub is_text: bool,
    pub curves: Vec<Curve>,
}

pub struct Curve {
    pub name: String,
    /// Seconds from the begin, and the value.
    pub points: Vec<(f64, f64)>,
}

/// Draws the panels of a row of the dashboard into one file.
pub fn row(file: &Path, pictures: &[Picture]) {
    let lines = pictures.len().div_ceil(COLUMNS);
    let area = SVGBackend::new(file, (WIDTH * COLUMNS as u32, HEIGHT * lines as u32)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    for (picture, cell) in pictures.iter().zip(area.split_evenly((lines, COLUMNS))) {
        if picture.is_text { text(&cell, picture) } else { chart(&cell, picture) }
    }
    area.present().expect("the folder can be written to");
}

fn chart(cell: &DrawingArea<SVGBackend<'_>, Shift>, picture: &Picture) {
    let all = || picture.curves.iter().flat_map(|curve| &curve.points);
    let last = all().map(|(at, _)| *at).fold(1.0, f64::max);
    // A tenth of room above.
    let most = all().map(|(_, value)| *value).fold(1e-6, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(cell);
    let chart = chart.caption(&picture.title, ("sans-serif", 15)).margin(8).x_label_area_size(24).y_label_area_size(64);
    let mut chart = chart.build_cartesian_2d(0.0..last, 0.0..most).unwrap();
    let unit = picture.unit.clone();
    let mut mesh = chart.configure_mesh();
    let mesh = mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.1)).x_labels(6).y_labels(5);
    let (x, y) = (|at: &f64| format!("{at:.0} s"), |value: &f64| shown(*value, &unit));
    mesh.x_label_formatter(&x).y_label_formatter(&y).draw().unwrap();
    for (number, curve) in picture.curves.iter().enumerate() {
        let style = Palette99::pick(number).stroke_width(2);
        let drawn = chart.draw_series(LineSeries::new(curve.points.iter().copied(), style)).unwrap();
        if number < NAMED_MAX {
            drawn.label(&curve.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], style));
        }
    }
    let mut legend = chart.configure_series_labels();
    let legend = legend.position(SeriesLabelPosition::UpperLeft).label_font(("sans-serif", 11)).legend_area_size(16);
    legend.background_style(WHITE.mix(0.75)).margin(4).draw().unwrap();
}

fn text(cell: &DrawingArea<SVGBackend<'_>, Shift>, picture: &Picture) {
    let put = |text: &str, size: u32, line: i32| {
        cell.draw(&Text::new(text.to_owned(), (24, 12 + 26 * line), ("sans-serif", size))).unwrap();
    };
    put(&picture.title, 15, 0);
    for (curve, line) in picture.curves.iter().zip(2..) {
        let value = curve.points.last().map_or(0.0, |(_, value)| *value);
        put(&format!("{}: {}", curve.name, shown(value, &picture.unit)), 14, line);
    }
}

/// A value with its unit, by Grafana's names of units.
fn shown(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" if value > 0.0 && value < 0.02 => format!("{:.2} %", value * 100.0),
        "percentunit" => format!("{:.0} %", value * 100.0),
        "s" if value >= 2.0 * 86_400.0 => format!("{:.0} d", value / 86_400.0),
        "s" if value >= 1.0 => format!("{value:.1} s"),
        "s" if value >= 1e-3 => format!("{:.1} ms", value * 1e3),
        "s" => format!("{:.0} µs", value * 1e6),
        "bytes" | "Bps" if value >= 1048576.0 => format!("{:.0} MiB{}", value / 1048576.0, per_second(unit)),
        "bytes" | "Bps" => format!("{:.0} KiB{}", value / 1024.0, per_second(unit)),
        "reqps" | "cps" => format!("{} /s", short(value)),
        _ => short(value),
    }
}

fn per_second(unit: &str) -> &'static str {
    if unit == "Bps" { "/s" } else { "" }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0} k", value / 1e3),
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

#[test]
fn values_are_shown_by_their_unit() {
    let cases = [
        (0.25, "percentunit", "25 %"),
        (0.0012, "percentunit", "0.12 %"),
        (0.0125, "s", "12.5 ms"),
        (864_000.0, "s", "10 d"),
        (268_435_456.0, "bytes", "256 MiB"),
        (2048.0, "Bps", "2 KiB/s"),
        (1234.0, "reqps", "1234 /s"),
        (0.5, "short", "0.50"),
    ];
    for (value, unit, text) in cases {
        assert_eq!(shown(value, unit), text);
    }
}
