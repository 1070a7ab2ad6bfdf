//! What became of spans, metrics and log records on their way to a collector, and of lines on their way to the access log.
//!
//! Unlike [`super::Counter`] any thread may add: a worker that finds a queue full, the control thread that sends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// Label values in the order of the signals.
    pub const LABELS: [&'static str; 3] = ["traces", "metrics", "logs"];
}

/// What became of a span, a metric or a log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The collector has taken it.
    Sent,
    /// Dropped: those before it had not been sent yet.
    QueueFull,
    /// The collector said that it will not have it.
    Rejected,
    /// It could not be sent, and was not tried again or not any more.
    Failed,
}

impl Outcome {
    /// Label values in the order of the outcomes.
    pub const LABELS: [&'static str; 4] = ["sent", "queue_full", "rejected", "failed"];
}

/// What became of a line of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Written,
    /// More lines came than may be written, or than whoever reads them takes.
    Dropped,
}

impl Line {
    /// Label values in their order.
    pub const LABELS: [&'static str; 2] = ["written", "dropped"];
}

/// Of the process.
#[derive(Debug, Default)]
pub struct ExportCounters {
    items: [[AtomicU64; Outcome::LABELS.len()]; Signal::LABELS.len()],
    retries: [AtomicU64; Signal::LABELS.len()],
    lines: [AtomicU64; Line::LABELS.len()],
    takes_records: AtomicBool,
}

impl ExportCounters {
    /// So many spans, metrics or records came to this end.
    pub fn add_items(&self, signal: Signal, outcome: Outcome, items: u64) {
        self.items[signal as usize][outcome as usize].fetch_add(items, Relaxed);
    }

    /// Log records are exported.
    pub fn takes_records(&self) {
        self.takes_records.store(true, Relaxed);
    }

    pub fn is_taking_records(&self) -> bool {
        self.takes_records.load(Relaxed)
    }

    /// A request to the collector is sent once more.
    pub fn add_retry(&self, signal: Signal) {
        self.retries[signal as usize].fetch_add(1, Relaxed);
    }

    pub fn add_lines(&self, line: Line, lines: u64) {
        self.lines[line as usize].fetch_add(lines, Relaxed);
    }

    /// By [`Signal`] and [`Outcome`].
    pub fn items(&self) -> [[u64; Outcome::LABELS.len()]; Signal::LABELS.len()] {
        self.items.each_ref().map(|outcomes| outcomes.each_ref().map(|number| number.load(Relaxed)))
    }

    /// By [`Signal`].
    pub fn retries(&self) -> [u64; Signal::LABELS.len()] {
        self.retries.each_ref().map(|number| number.load(Relaxed))
    }

    /// By [`Line`].
    pub fn lines(&self) -> [u64; Line::LABELS.len()] {
        self.lines.each_ref().map(|number| number.load(Relaxed))
    }
}
