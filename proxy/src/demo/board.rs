//! The numbers as a person reads them: a small table, redrawn, at a terminal; a line a second elsewhere.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use super::sample::Sample;
use super::traffic::Tally;

/// Seconds of the little chart.
const CHART_SECONDS: usize = 30;

/// Rows of the table, so that the next one is drawn over it.
const ROWS: usize = 9;

pub(super) struct Board {
    terminal: bool,
    workers: usize,
    drawn: bool,
    before: Sample,
    at: Duration,
    rates: VecDeque<f64>,
}

impl Board {
    pub(super) fn new(terminal: bool, workers: usize) -> Board {
        Board { terminal, workers, drawn: false, before: Sample::default(), at: Duration::ZERO, rates: VecDeque::new() }
    }

    /// What to write for this moment; rates are those since the last one.
    pub(super) fn show(&mut self, now: &Sample, tally: &Tally, at: Duration) -> String {
        let seconds = (at - self.at).as_secs_f64().max(0.001);
        let rate = now.requests.saturating_sub(self.before.requests) as f64 / seconds;
        let sent = now.bytes_sent.saturating_sub(self.before.bytes_sent) as f64 / seconds;
        (self.before, self.at) = (now.clone(), at);
        self.rates.push_back(rate);
        if self.rates.len() > CHART_SECONDS {
            self.rates.pop_front();
        }
        if self.terminal { self.table(now, tally, rate, sent) } else { line(now, tally, at, rate) }
    }

    fn table(&mut self, now: &Sample, tally: &Tally, rate: f64, sent: f64) -> String {
        let [_interim, r2, r3, r4, r5] = now.responses;
        let rows: [(&str, String, String); ROWS] = [
            ("requests", format!("{rate:.1}/s"), chart(&self.rates)),
            ("", now.requests.to_string(), format!("in {}, by {}", clock(self.at), plural(self.workers, "worker"))),
            ("in flight", now.active.to_string(), String::new()),
            ("answers", (r2 + r3 + r4 + r5).to_string(), format!("2xx {r2}   3xx {r3}   4xx {r4}   5xx {r5}")),
            (
                "clients",
                now.connections_open.to_string(),
                format!("open of {} accepted, {} TLS handshakes", now.connections, now.handshakes),
            ),
            (
                "to the app",
                now.upstream_open.to_string(),
                format!("open of {} connections made, {} idle", now.upstream_connects, now.upstream_idle),
            ),
            (
                "reuse",
                percent(now),
                format!("{} of {} requests found a warm connection", now.upstream_reused, now.upstream_requests),
            ),
            (
                "bodies",
                format!("{}/s", bytes(sent)),
                format!("{} received, {} sent", bytes(now.bytes_received as f64), bytes(now.bytes_sent as f64)),
            ),
            ("errors", errors_seen(now, tally).to_string(), errors(now, tally)),
        ];

        let mut text = String::new();
        if self.drawn {
            let _ = write!(text, "\x1b[{ROWS}A");
        }
        self.drawn = true;
        // Without wrapping while it is drawn: in a narrow window a row that wraps would shift the rest.
        text.push_str("\x1b[?7l");
        for (name, value, rest) in rows {
            let _ = writeln!(text, "\r  {name:<11}{value:>11}   {rest}\x1b[K");
        }
        text.push_str("\x1b[?7h");
        text
    }
}

fn line(now: &Sample, tally: &Tally, at: Duration, rate: f64) -> String {
    format!(
        "{}  requests {} ({rate:.1}/s)  in flight {}  reuse {}  app connections {} ({} idle)  sent {}  errors {}\n",
        clock(at),
        now.requests,
        now.active,
        percent(now),
        now.upstream_open,
        now.upstream_idle,
        bytes(now.bytes_sent as f64),
        errors(now, tally),
    )
}

/// The last words.
pub(super) fn summary(now: &Sample, tally: &Tally, seconds: f64) -> String {
    // Interim ones (1xx) answer nothing.
    let answers: u64 = now.responses.iter().skip(1).sum();
    let replayed = match now.upstream_replays {
        0 => String::new(),
        n => format!(", {n} replayed because their connection had gone stale"),
    };
    format!(
        "\nIn {seconds:.1} s the proxy took {} requests over {} connections and gave {answers} answers.\n\
         {} went to the app over {} connections: {} found a warm one{replayed}.\n\
         The demo's own clients got {} whole answers with {} of bodies. Errors: {}.\n",
        now.requests,
        now.connections,
        now.upstream_requests,
        now.upstream_connects,
        percent(now),
        tally.answered,
        bytes(tally.body_bytes as f64),
        errors(now, tally),
    )
}

/// The proxy's faults, and what the demo's own clients missed: each may have happened without the other.
fn errors_seen(now: &Sample, tally: &Tally) -> u64 {
    let faults: u64 = now.faults.iter().map(|(_, n)| n).sum();
    faults.max(tally.failed)
}

fn errors(now: &Sample, tally: &Tally) -> String {
    let mut parts: Vec<String> = now.faults.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    if tally.failed > 0 {
        let last = tally.last_failure.as_deref().unwrap_or("unknown");
        parts.push(format!("the demo's clients missed {} answers, the last: {last}", tally.failed));
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn percent(now: &Sample) -> String {
    now.reuse_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"))
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn clock(at: Duration) -> String {
    format!("{:02}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// 1536 is `1.5 KiB`.
fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// One block for each second, the highest is the tallest.
fn chart(rates: &VecDeque<f64>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = rates.iter().copied().fold(0.0, f64::max);
    rates
        .iter()
        .map(|&rate| BLOCKS[if highest > 0.0 { (rate / highest * 7.0).round() as usize } else { 0 }.min(7)])
        .collect()
}

#[cfg(test)]
mod tests;
