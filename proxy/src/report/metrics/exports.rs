//! What became of what is exported, and of the access log.

use super::{Families, Kind};
use crate::telemetry::exports::{ExportCounters, Line, Outcome, Signal};

/// What found the ring of its worker full, over all workers.
pub(super) struct Rings {
    pub spans_dropped: u64,
    pub lines_dropped: u64,
}

pub(super) fn exports(families: &mut Families, counters: &ExportCounters, rings: &Rings) {
    let help = "Spans, metrics and log records for a collector, by what became of them.";
    let items = families.family("slipstream_export_items_total", Kind::Counter, "{item}", help);
    // The first queue is the ring of each worker.
    let mut counts = counters.items();
    counts[Signal::Traces as usize][Outcome::QueueFull as usize] += rings.spans_dropped;
    if counters.is_taking_records() {
        counts[Signal::Logs as usize][Outcome::QueueFull as usize] += rings.lines_dropped;
    }
    for (signal, outcomes) in Signal::LABELS.into_iter().zip(counts) {
        for (outcome, count) in Outcome::LABELS.into_iter().zip(outcomes) {
            items.series([("signal", signal), ("outcome", outcome)], count);
        }
    }
    let help = "Requests to a collector that were sent once more.";
    let retries = families.family("slipstream_export_retries_total", Kind::Counter, "{request}", help);
    for (signal, count) in Signal::LABELS.into_iter().zip(counters.retries()) {
        retries.series([("signal", signal)], count);
    }
    let help = "Lines of the access log, by what became of them.";
    let lines = families.family("slipstream_access_log_lines_total", Kind::Counter, "{line}", help);
    let mut counts = counters.lines();
    counts[Line::Dropped as usize] += rings.lines_dropped;
    for (outcome, count) in Line::LABELS.into_iter().zip(counts) {
        lines.series([("outcome", outcome)], count);
    }
}
