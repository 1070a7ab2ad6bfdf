//! Lines of the access log, on their way to stdout: whoever reads them may be slow, so a thread of its own writes them.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::io::Tick;
use crate::telemetry::exports::{ExportCounters, Line};

/// Lines that wait to be written.
const WAITING_MAX: usize = 4096;

/// Lines of a second, and how many may come at once after a silence. More would cost the node's log collector more than the requests cost the app.
const LINES_PER_SECOND: u64 = 1000;
const BURST: u64 = 2000;

/// Takes lines, at a limited rate.
#[derive(Debug)]
pub(super) struct Lines {
    to: Sender<String>,
    exports: Arc<ExportCounters>,
    bucket: Bucket,
}

impl Lines {
    /// `out` is written to on a thread of its own, for as long as there is a `Lines`.
    pub fn new(exports: Arc<ExportCounters>, mut out: impl Write + Send + 'static) -> std::io::Result<Lines> {
        let (to, lines) = channel(WAITING_MAX);
        let counted = exports.clone();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(lines, &mut out, &counted))?;
        Ok(Lines { to, exports, bucket: Bucket::full(Tick::now()) })
    }

    pub fn put(&mut self, line: impl FnOnce() -> String) {
        if !self.bucket.take(Tick::now()) || self.to.try_send(line()).is_err() {
            self.exports.add_lines(Line::Dropped, 1);
        }
    }
}

/// Writes what comes, as many lines at once as there are.
fn write(mut lines: Receiver<String>, out: &mut impl Write, exports: &ExportCounters) {
    let mut text = String::new();
    let mut batch = Vec::new();
    while lines.blocking_recv_many(&mut batch, WAITING_MAX) > 0 {
        text.clear();
        for line in &batch {
            text.push_str(line);
            text.push('\n');
        }
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let end = if written.is_ok() { Line::Written } else { Line::Dropped };
        exports.add_lines(end, batch.len() as u64);
        batch.clear();
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// Thousandths of a line.
    tokens: u64,
    filled: Tick,
}

impl Bucket {
    fn full(now: Tick) -> Bucket {
        Bucket { tokens: BURST * 1000, filled: now }
    }

    fn take(&mut self, now: Tick) -> bool {
        let passed: Duration = now.since(self.filled);
        self.filled = now;
        self.tokens = (self.tokens + passed.as_millis() as u64 * LINES_PER_SECOND).min(BURST * 1000);
        let is_there = self.tokens >= 1000;
        if is_there {
            self.tokens -= 1000;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let start = Tick(5000);
        let mut bucket = Bucket::full(start);
        let taken = |bucket: &mut Bucket, at: Tick| (0..10 * BURST).filter(|_| bucket.take(at)).count() as u64;
        assert_eq!(taken(&mut bucket, start), BURST);
        assert_eq!(taken(&mut bucket, Tick(5001)), LINES_PER_SECOND / 1000);
        assert_eq!(taken(&mut bucket, Tick(5501)), LINES_PER_SECOND / 2);
        assert_eq!(taken(&mut bucket, Tick(500_000)), BURST);
    }
}
