//! The tasks that export: what the workers tell, the control side's own log, and the numbers, each with its collector.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::lines::Lines;
use super::telling::{Teller, put, send_batches, unix_ns};
use crate::config::TelemetrySettings;
use crate::otlp::metrics::{self, Period};
use crate::otlp::{self, Batch, Batches, Exporter, LogRecord, Resource, Target};
use crate::report::{self, Proxy};
use crate::telemetry::exports::{ExportCounters, Outcome, Signal};
use crate::telemetry::{Listening, Tracing};
use crate::{log, tell};

/// What is told but not sent yet when the proxy has ended is sent in this time, or lost and counted as failed.
const FLUSH: Duration = Duration::from_millis(500);

/// What is exported. `None`: that signal is not.
pub struct Exporting {
    pub traces: Option<Exporter>,
    pub metrics: Option<Exporter>,
    pub logs: Option<Exporter>,
    pub spans: Batch,
    pub records: Batch,
    pub metric_interval: Duration,
    /// Who this is.
    pub resource: Resource,
}

impl Exporting {
    /// What the environment asks for; and what workers do about traces, where those are exported. What cannot be is logged, and left out.
    pub fn prepare(settings: &TelemetrySettings, exports: &Arc<ExportCounters>) -> (Exporting, Option<Tracing>) {
        let get = |name: &str| settings.environment.get(name).cloned();
        let (otlp, mut warnings) = otlp::read(get);
        let (resource, more) = otlp::resource(get, settings.service_name.as_deref());
        warnings.extend(more);
        let mut exporter = |signal: Signal, target: Option<Target>| {
            let made = Exporter::new(signal, target?, exports.clone());
            made.map_err(|why| warnings.push(format!("{} are not exported: {why}", signal.label()))).ok()
        };
        let traces = exporter(Signal::Traces, otlp.traces);
        let metrics = exporter(Signal::Metrics, otlp.metrics);
        let logs = exporter(Signal::Logs, otlp.logs);
        if logs.is_some() {
            exports.takes_records();
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let tracing = Tracing { sampler: otlp.sampler, propagators: otlp.propagators };
        let tracing = traces.is_some().then_some(tracing);
        let Batches { spans, records, metric_interval } = otlp.batches;
        (Exporting { traces, metrics, logs, spans, records, metric_interval, resource }, tracing)
    }
}

impl std::fmt::Debug for Exporting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is = [self.traces.is_some(), self.metrics.is_some(), self.logs.is_some()];
        write!(f, "Exporting {{ traces, metrics, logs: {is:?} }}")
    }
}

/// Exports under way.
pub(super) struct Underway {
    /// Dropped: the last is told.
    over: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Underway {
    /// Sends what is left, for as long as that may take.
    pub async fn finish(self) {
        drop(self.over);
        let all = async {
            for task in self.tasks {
                let _ = task.await;
            }
        };
        let _ = timeout(FLUSH, all).await;
    }
}

/// Starts what `exporting` asks for.
pub(super) fn spawn(
    handle: &Handle,
    exporting: Exporting,
    listening: Listening,
    proxy: &Arc<Proxy>,
    exports: Arc<ExportCounters>,
) -> io::Result<Underway> {
    let Exporting { traces, metrics, logs, spans, records, metric_interval, resource } = exporting;
    let mut underway = Underway { over: Vec::new(), tasks: Vec::new() };
    let mut until_over = || {
        let (over, is_over) = oneshot::channel();
        underway.over.push(over);
        is_over
    };

    let spans = traces.map(|exporter| {
        let (to, queue) = channel(spans.queue_max);
        let resource = resource.clone();
        let task = send_batches(queue, spans, exporter, move |spans| otlp::spans_request(spans, resource.clone()));
        underway.tasks.push(handle.spawn(task));
        to
    });
    let records = logs.map(|exporter| {
        let (to, queue) = channel(records.queue_max);
        let resource = resource.clone();
        let task =
            send_batches(queue, records, exporter, move |records| otlp::records_request(records, resource.clone()));
        underway.tasks.push(handle.spawn(task));
        to
    });
    if let Some(exporter) = metrics {
        let task = send_metrics(exporter, metric_interval, resource, proxy.clone(), until_over());
        underway.tasks.push(handle.spawn(task));
    }
    if let Some((entries, to)) = records.clone().and_then(|to| log::tap().map(|entries| (entries, to))) {
        let task = pass_on(entries, to, exports.clone(), until_over());
        underway.tasks.push(handle.spawn(task));
    }
    let lines = Lines::new(exports.clone(), io::stdout())?;
    let teller = Teller { listening, spans, records, lines, exports };
    let is_over = until_over();
    underway.tasks.push(handle.spawn(teller.run(is_over)));
    Ok(underway)
}

/// Sends the numbers now and then, and at the end. A message is dropped whole where the collector does not take it: the next one says it all again.
async fn send_metrics(
    mut exporter: Exporter,
    every: Duration,
    resource: Resource,
    proxy: Arc<Proxy>,
    mut is_over: oneshot::Receiver<()>,
) {
    let start_ns = unix_ns();
    let mut times = interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, when there is nothing to tell yet.
    times.tick().await;
    loop {
        let ends = tokio::select! {
            _ = times.tick() => false,
            _ = &mut is_over => true,
        };
        let families = report::families(&proxy);
        let request = metrics::encoded(&families, Period { start_ns, now_ns: unix_ns() }, resource.clone());
        exporter.export(request, families.series_count() as u64).await;
        if ends {
            return;
        }
    }
}

/// The log of the control side, exported too.
async fn pass_on(
    mut entries: tokio::sync::mpsc::Receiver<log::Entry>,
    to: Sender<LogRecord>,
    exports: Arc<ExportCounters>,
    mut is_over: oneshot::Receiver<()>,
) {
    let hand_on = |entry: log::Entry| {
        put(Some(&to), Signal::Logs, &exports, || tell::of_entry(&entry));
        exports.add_items(Signal::Logs, Outcome::QueueFull, log::take_untapped());
    };
    loop {
        tokio::select! {
            Some(entry) = entries.recv() => hand_on(entry),
            _ = &mut is_over => break,
        }
    }
    while let Ok(entry) = entries.try_recv() {
        hand_on(entry);
    }
}
