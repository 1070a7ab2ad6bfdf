//! The workers' counters summed, the process, the build.
//!
//! Names are a promise to dashboards and alerts. Labels are bounded by enums or by the configuration, never by what a client sends.

mod coalesce;
mod conventions;
mod exports;

use std::cmp::Reverse;

use super::Proxy;
use super::process::Process;
use crate::fault::{self, Shed};
use crate::io::Tick;
use crate::stop::Phase;
use crate::telemetry::families::{Families, Kind, Label, Value};
use crate::telemetry::{CLOSED_BY_DRAIN, WorkerCounters};
use crate::timeouts::Timer;

/// Series of the certificate metric; beyond it those that end soonest stay.
const CERTIFICATES_MAX: usize = 32;

/// Series of the stall metric, one a worker; of more workers those that stalled longest are shown.
const WORKERS_SHOWN_MAX: usize = 8;

/// All that is counted and known, as it is now.
pub fn families(proxy: &Proxy) -> Families {
    let mut all = Families::default();
    let families = &mut all;
    let sums = Sums(proxy);
    build(families, proxy, &sums);
    conventions::http(families, proxy, &sums);
    downstream(families, &sums);
    concurrency(families, proxy, &sums);
    coalesce::coalesce(families, &sums);
    upstream(families, &sums);
    faults(families, &sums);
    end(families, &sums);
    certificates(families, proxy);
    let rings = exports::Rings {
        spans_dropped: sums.of(|worker| worker.spans_dropped.sum()),
        lines_dropped: sums.of(|worker| worker.lines_dropped.sum()),
    };
    exports::exports(families, &proxy.exports, &rings);
    process(families, &Process::now());
    all
}

/// Sums over the workers, each number read when it is written.
struct Sums<'a>(&'a Proxy);

impl Sums<'_> {
    fn of(&self, number: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.0.counters.iter().map(|worker| number(worker)).fold(0, u64::wrapping_add)
    }
}

fn build(families: &mut Families, proxy: &Proxy, sums: &Sums<'_>) {
    families
        .family("slipstream_build_info", Kind::Gauge, "", "The version that runs; always 1.")
        .series([("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    families
        .family("slipstream_io_driver", Kind::Gauge, "", "The kernel interface in use and why; always 1.")
        .series([("driver", proxy.driver.name), ("reason", proxy.driver.reason.as_str())], 1_u64);
    families.gauge("slipstream_workers", "{worker}", "Worker threads.", proxy.counters.len());
    families.gauge(
        "slipstream_memory_used_bytes", "By",
        "Bytes that count for the memory budget: buffers, connections, and the kernel's socket buffers where they are ours.",
        proxy.budget.used_bytes(),
    );
    families.gauge(
        "slipstream_memory_budget_bytes",
        "By",
        "The memory budget: over it new work is shed and the longest idle connections are closed.",
        proxy.budget.limit_bytes(),
    );
    families.gauge(
        "slipstream_memory_limit_bytes",
        "By",
        "What the cgroup or the environment allows the process to hold; +Inf without a limit.",
        proxy.memory_limit_bytes.map_or(Value::Real(f64::INFINITY), Value::Whole),
    );
    let now = Tick::now().0;
    let mut stalls: Vec<_> = proxy.counters.iter().map(|counters| counters.stall.longest(now)).enumerate().collect();
    stalls.sort_by_key(|(_, longest)| Reverse(*longest));
    stalls.truncate(WORKERS_SHOWN_MAX);
    stalls.sort_by_key(|(n, _)| *n);
    let stall = families.family(
        "slipstream_worker_stall_seconds",
        Kind::Gauge,
        "s",
        "Longest time that a task kept its worker from all others, in the last minute or two; 0: none over 8 ms.",
    );
    for (n, longest) in stalls {
        stall.series([("worker", Label::Text(n.to_string()))], longest.as_secs_f64());
    }
    families.counter(
        "slipstream_worker_stalls_total",
        "{stall}",
        "Times that a task kept its worker from all others for 8 ms or longer.",
        sums.of(|worker| worker.stalls.sum()),
    );
    families.gauge(
        "slipstream_config_generation",
        "{generation}",
        "Generation of the configuration in force; 0 is what the process started with.",
        proxy.snapshot.load().generation,
    );
}

fn downstream(families: &mut Families, sums: &Sums<'_>) {
    families.counter(
        "slipstream_downstream_connections_total",
        "{connection}",
        "Connections accepted from clients.",
        sums.of(|worker| worker.connections.sum()),
    );
    families.counter(
        "slipstream_downstream_connections_handed_over_total",
        "{connection}",
        "Connections that one worker accepted and another, with less to do, serves.",
        sums.of(|worker| worker.connections_handed_over.sum()),
    );
    families.gauge(
        "slipstream_downstream_connections_open",
        "{connection}",
        "Connections of clients open now.",
        sums.of(|worker| worker.connections_open.now()),
    );
    families.gauge(
        "slipstream_downstream_connections_parked",
        "{connection}",
        "Connections of clients that are idle and parked: without a task, without a buffer.",
        sums.of(|worker| worker.connections_parked.now()),
    );
    families.counter(
        "slipstream_downstream_connections_evicted_total",
        "{connection}",
        "Idle connections closed because descriptors, limits.connections or memory ran short.",
        sums.of(|worker| worker.connections_evicted.sum()),
    );
    let handshakes = families.family(
        "slipstream_tls_handshakes_total",
        Kind::Counter,
        "{handshake}",
        "TLS handshakes by how they ended.",
    );
    handshakes.series([("result", "ok")], sums.of(|worker| worker.tls_handshakes.sum()));
    handshakes.series([("result", "failed")], sums.of(|worker| worker.tls_handshake_failures.sum()));
    families.counter(
        "slipstream_tls_resumptions_total",
        "{handshake}",
        "TLS handshakes that ended well and resumed a session.",
        sums.of(|worker| worker.tls_resumptions.sum()),
    );
    families.counter(
        "slipstream_tls_plain_connections_total",
        "{connection}",
        "Plain connections on listeners with TLS that let them in (tls.mode: permissive).",
        sums.of(|worker| worker.tls_plain_connections.sum()),
    );

    families.counter(
        "slipstream_requests_total",
        "{request}",
        "Requests whose head was read whole and was well-formed.",
        sums.of(|worker| worker.requests.sum()),
    );
    families.gauge(
        "slipstream_requests_active",
        "{request}",
        "Requests between their whole head and the last byte of their answer.",
        sums.of(|worker| worker.requests_active.now()),
    );
    let responses = families.family(
        "slipstream_responses_total",
        Kind::Counter,
        "{response}",
        "Responses by class of status, those made by the proxy included.",
    );
    for (index, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
        responses.series([("class", class)], sums.of(|worker| worker.responses[index].sum()));
    }
    families.counter(
        "slipstream_request_body_bytes_total",
        "By",
        "Bytes of request bodies received from clients.",
        sums.of(|worker| worker.bytes_received.sum()),
    );
    families.counter(
        "slipstream_response_body_bytes_total",
        "By",
        "Bytes of response bodies sent to clients.",
        sums.of(|worker| worker.bytes_sent.sum()),
    );
}

fn concurrency(families: &mut Families, proxy: &Proxy, sums: &Sums<'_>) {
    let usage = proxy.permits.usage();
    let limit = usage.limit.map_or(Value::Real(f64::INFINITY), |limit| Value::Whole(limit.into()));
    families.gauge(
        "slipstream_permits_limit",
        "{request}",
        "Requests that the app gets at a time; +Inf without a limit.",
        limit,
    );
    families.gauge(
        "slipstream_permits_in_use",
        "{request}",
        "Requests in flight under the limit; 0 without one.",
        u64::from(usage.in_use),
    );
    families.gauge(
        "slipstream_permits_waiting",
        "{request}",
        "Requests that wait for one of those to end.",
        u64::from(usage.waiting),
    );
    families.counter(
        "slipstream_permits_released_early_total",
        "{response}",
        "Answers without an end in sight that gave their permit back at their head.",
        sums.of(|worker| worker.permits_released_early.sum()),
    );
    families.counter(
        "slipstream_queue_waits_total",
        "{request}",
        "Requests that waited in the queue, however the wait ended.",
        sums.of(|worker| worker.queue_waits.sum()),
    );
    families.counter(
        "slipstream_queue_wait_seconds_total",
        "s",
        "Time that requests have spent in the queue, in seconds.",
        sums.of(|worker| worker.queue_wait_ms.sum()) as f64 / 1000.0,
    );
    let shed = families.family(
        "slipstream_shed_total",
        Kind::Counter,
        "{request}",
        "Requests refused because there was too much, by reason.",
    );
    for (index, reason) in Shed::LABELS.into_iter().enumerate() {
        shed.series([("reason", reason)], sums.of(|worker| worker.shed[index].sum()));
    }
    let help = "Requests that went through and would have been shed, were the limit enforced, by reason.";
    let would_shed = families.family("slipstream_would_shed_total", Kind::Counter, "{request}", help);
    for (index, reason) in Shed::LABELS.into_iter().enumerate() {
        would_shed.series([("reason", reason)], sums.of(|worker| worker.would_shed[index].sum()));
    }
}

fn upstream(families: &mut Families, sums: &Sums<'_>) {
    families.counter(
        "slipstream_upstream_requests_total",
        "{request}",
        "Requests sent to the app, replays included.",
        sums.of(|worker| worker.upstream_requests.sum()),
    );
    families.counter(
        "slipstream_upstream_reuses_total",
        "{request}",
        "Requests to the app that found a warm connection.",
        sums.of(|worker| worker.upstream_reused.sum()),
    );
    families.counter(
        "slipstream_upstream_replays_total",
        "{request}",
        "Requests sent once more because a reused connection had gone stale.",
        sums.of(|worker| worker.upstream_replays.sum()),
    );
    families.counter(
        "slipstream_upstream_connections_total",
        "{connection}",
        "Connections opened to the app.",
        sums.of(|worker| worker.upstream_connects.sum()),
    );
    families.counter(
        "slipstream_upstream_connect_failures_total",
        "{attempt}",
        "Attempts to connect to the app that failed.",
        sums.of(|worker| worker.upstream_connect_failures.sum()),
    );
    families.gauge(
        "slipstream_upstream_connections_open",
        "{connection}",
        "Connections to the app open now.",
        sums.of(|worker| worker.upstream_connections_open.now()),
    );
    families.gauge(
        "slipstream_upstream_connections_idle",
        "{connection}",
        "Connections to the app that wait for a request.",
        sums.of(|worker| worker.upstream_connections_idle.now()),
    );
}

fn faults(families: &mut Families, sums: &Sums<'_>) {
    let faults = families.family(
        "slipstream_faults_total",
        Kind::Counter,
        "{request}",
        "Requests that failed, by kind of fault.",
    );
    for (index, kind) in fault::Kind::LABELS.into_iter().enumerate() {
        faults.series([("kind", kind)], sums.of(|worker| worker.faults[index].sum()));
    }
    let timeouts = families.family(
        "slipstream_timeouts_total",
        Kind::Counter,
        "{timeout}",
        "Waits that ran out, by the name of the timeout.",
    );
    for (index, timer) in Timer::ALL.into_iter().enumerate() {
        timeouts.series([("timeout", timer.name())], sums.of(|worker| worker.timeouts[index].sum()));
    }
    families.counter(
        "slipstream_panics_total",
        "{panic}",
        "Tasks that panicked; each cost its own connection only.",
        sums.of(|worker| worker.panics.sum()),
    );
}

fn end(families: &mut Families, sums: &Sums<'_>) {
    let phase = sums.0.stop.phase();
    let phases = families.family(
        "slipstream_phase",
        Kind::Gauge,
        "",
        "How far the proxy is on its way to its end; 1 where it is.",
    );
    for known in Phase::ALL {
        phases.series([("phase", known.name())], u64::from(known == phase));
    }
    let closed = families.family(
        "slipstream_connections_closed_by_drain_total",
        Kind::Counter,
        "{connection}",
        "Connections of clients that could have gone on, by how they ended: with an answer that said so, or idle.",
    );
    for (index, how) in CLOSED_BY_DRAIN.into_iter().enumerate() {
        closed.series([("how", how)], sums.of(|worker| worker.closed_by_drain[index].sum()));
    }
    families.counter(
        "slipstream_requests_broken_off_total",
        "{request}",
        "Requests still in flight when the grace of the end was over.",
        sums.of(|worker| worker.requests_broken_off.sum()),
    );
}

fn certificates(families: &mut Families, proxy: &Proxy) {
    let reloads = families.family(
        "slipstream_tls_reloads_total",
        Kind::Counter,
        "{reload}",
        "Files of TLS that changed on disk, by listener and change: in force, or kept out by an error.",
    );
    reloads.series([("result", "ok")], proxy.reloads.ok.sum());
    reloads.series([("result", "failed")], proxy.reloads.failed.sum());
    let mut expiries: Vec<_> = proxy.certificates.iter().flat_map(|certificates| certificates.expiries()).collect();
    expiries.sort_by(|a, b| (a.not_after, &a.file).cmp(&(b.not_after, &b.file)));
    // Two listeners may show the same file, and one series must not be written twice.
    expiries.dedup();
    if expiries.is_empty() {
        return;
    }
    let name = "slipstream_tls_certificate_expiry_timestamp_seconds";
    let family = families.family(name, Kind::Gauge, "s", "When the certificate in a file ends, in seconds since 1970.");
    for expiry in expiries.iter().take(CERTIFICATES_MAX) {
        family.series([("file", &*expiry.file.to_string_lossy())], expiry.not_after as f64);
    }
}

/// Names that Prometheus' own clients use, so that common dashboards work. What /proc does not tell is left out.
fn process(families: &mut Families, process: &Process) {
    if let Some(seconds) = process.cpu_seconds {
        families.counter("process_cpu_seconds_total", "s", "User and system CPU time spent, in seconds.", seconds);
    }
    if let Some(bytes) = process.resident_bytes {
        families.gauge("process_resident_memory_bytes", "By", "Resident memory, in bytes.", bytes);
    }
    if let Some(bytes) = process.virtual_bytes {
        families.gauge("process_virtual_memory_bytes", "By", "Virtual memory, in bytes.", bytes);
    }
    if let Some(fds) = process.open_fds {
        families.gauge("process_open_fds", "{descriptor}", "Open file descriptors.", fds);
    }
    if let Some(fds) = process.max_fds {
        families.gauge("process_max_fds", "{descriptor}", "The limit on open file descriptors.", fds);
    }
    if let Some(seconds) = process.start_time {
        families.gauge("process_start_time_seconds", "s", "Start of the process, in seconds since 1970.", seconds);
    }
}

#[cfg(test)]
mod tests;
