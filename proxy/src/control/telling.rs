//! What is done with what the workers tell: spans and log records to the collector, lines to stdout.
//!
//! ```text
//! rings > Teller > queue of spans > batches > collector
//!                > queue of records > batches > collector
//!                > lines > stdout
//! ```
//! No queue makes anyone wait: what finds one full is dropped and counted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::lines::Lines;
use crate::io::exact_ns;
use crate::otlp::{Batch, Exporter, LogRecord, Span};
use crate::telemetry::exports::{ExportCounters, Outcome, Signal};
use crate::telemetry::{Listening, Story};
use crate::tell::{self, Clock};

/// So long after the first story the rings are emptied, where none of them is half full before.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Takes what is told and hands it on.
pub(super) struct Teller {
    pub listening: Listening,
    /// `None`: spans, or records, are not exported.
    pub spans: Option<Sender<Span>>,
    pub records: Option<Sender<LogRecord>>,
    pub lines: Lines,
    pub exports: Arc<ExportCounters>,
}

impl Teller {
    /// Hands on what is told, until it `is_over`, and what has been told by then.
    pub async fn run(mut self, mut is_over: oneshot::Receiver<()>) {
        let bell = self.listening.bell();
        loop {
            let next = async {
                bell.told().await;
                let _ = timeout(LOOK_AFTER, bell.half_full()).await;
            };
            let ends = tokio::select! {
                () = next => false,
                _ = &mut is_over => true,
            };
            self.take();
            if ends {
                return;
            }
            // A ring that is filled faster than it is emptied must not keep the thread from everything else.
            tokio::task::yield_now().await;
        }
    }

    /// Hands on what has been told so far.
    fn take(&mut self) {
        let Teller { listening, spans, records, lines, exports } = self;
        let clock = now();
        listening.take(|story| match story {
            Story::Attempt(attempt) => {
                put(spans.as_ref(), Signal::Traces, exports, || tell::of_attempt(&attempt, clock));
            }
            Story::Request(request) => {
                if spans.is_some() {
                    for span in tell::of_request(&request, clock) {
                        put(spans.as_ref(), Signal::Traces, exports, || span);
                    }
                }
                if request.is_logged {
                    lines.put(|| tell::line(&request, clock));
                    put(records.as_ref(), Signal::Logs, exports, || tell::record(&request, clock));
                }
            }
        });
    }
}

/// Where there is no room, nothing is made.
pub(super) fn put<T>(queue: Option<&Sender<T>>, signal: Signal, exports: &ExportCounters, item: impl FnOnce() -> T) {
    let Some(queue) = queue else { return };
    match queue.try_reserve() {
        Ok(place) => place.send(item()),
        Err(_) => exports.add_items(signal, Outcome::QueueFull, 1),
    }
}

/// How the two clocks stand to each other now.
fn now() -> Clock {
    Clock { monotonic_ns: exact_ns(), unix_ns: unix_ns() }
}

/// Nanoseconds since 1970.
pub(super) fn unix_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// Sends what comes in batches: as soon as one is full, or `batch.delay` after its first item. Until the queue is closed and empty.
pub(super) async fn send_batches<T>(
    mut queue: Receiver<T>,
    batch: Batch,
    mut exporter: Exporter,
    encode: impl Fn(Vec<T>) -> Vec<u8>,
) {
    loop {
        let mut items = Vec::new();
        if queue.recv_many(&mut items, batch.size).await == 0 {
            return;
        }
        let until = Instant::now() + batch.delay;
        while items.len() < batch.size {
            let room = batch.size - items.len();
            match timeout_at(until, queue.recv_many(&mut items, room)).await {
                Ok(1..) => {}
                // Nothing comes any more, or not in time.
                Ok(0) | Err(_) => break,
            }
        }
        let count = items.len() as u64;
        exporter.export(encode(items), count).await;
    }
}
