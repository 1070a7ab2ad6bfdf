//! `/metrics`: the workers' counters summed, the process, the build.
//!
//! Names are a promise to dashboards and alerts. Labels are bounded by enums or by the configuration, never by what a client sends.

use super::process::Process;
use super::routes::Proxy;
use super::text::{Kind, Text};
use crate::fault::{self, Shed};
use crate::io::Tick;
use crate::stop::Phase;
use crate::telemetry::{CLOSED_BY_DRAIN, WorkerCounters};
use crate::timeouts::Timer;

/// Series of the certificate metric; beyond it those that end soonest stay.
const CERTIFICATES_MAX: usize = 32;

/// Series of the stall metric, one a worker.
const WORKERS_SHOWN_MAX: usize = 16;

pub(super) fn render(proxy: &Proxy) -> String {
    let mut text = Text::default();
    let sums = Sums(proxy);
    build(&mut text, proxy, &sums);
    downstream(&mut text, &sums);
    concurrency(&mut text, proxy, &sums);
    upstream(&mut text, &sums);
    faults(&mut text, &sums);
    end(&mut text, &sums);
    certificates(&mut text, proxy);
    process(&mut text, &Process::now());
    text.into_string()
}

/// Sums over the workers, each number read when it is written.
struct Sums<'a>(&'a Proxy);

impl Sums<'_> {
    fn of(&self, number: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.0.counters.iter().map(|worker| number(worker)).fold(0, u64::wrapping_add)
    }
}

fn build(text: &mut Text, proxy: &Proxy, sums: &Sums<'_>) {
    text.family("slipstream_build_info", Kind::Gauge, "The version that runs; always 1.")
        .series(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("slipstream_io_driver", Kind::Gauge, "The kernel interface in use and why; always 1.")
        .series(&[("driver", proxy.driver.name), ("reason", &proxy.driver.reason)], 1);
    text.gauge("slipstream_workers", "Worker threads.", proxy.counters.len());
    text.gauge(
        "slipstream_memory_used_bytes",
        "Bytes that count for the memory budget: buffers, connections, and the kernel's socket buffers where they are ours.",
        proxy.budget.used_bytes(),
    );
    text.gauge(
        "slipstream_memory_budget_bytes",
        "The memory budget: over it new work is shed and the longest idle connections are closed.",
        proxy.budget.limit_bytes(),
    );
    let now = Tick::now().0;
    let mut stall = text.family(
        "slipstream_worker_stall_seconds",
        Kind::Gauge,
        "Longest time that a task kept its worker from all others, in the last minute or two; 0: none over 8 ms.",
    );
    for (n, counters) in proxy.counters.iter().enumerate().take(WORKERS_SHOWN_MAX) {
        stall.series(&[("worker", &n.to_string())], counters.stall.longest(now).as_secs_f64());
    }
    text.counter(
        "slipstream_worker_stalls_total",
        "Times that a task kept its worker from all others for 8 ms or longer.",
        sums.of(|worker| worker.stalls.sum()),
    );
    text.gauge(
        "slipstream_config_generation",
        "Generation of the configuration in force; 0 is what the process started with.",
        proxy.snapshot.load().generation,
    );
}

fn downstream(text: &mut Text, sums: &Sums<'_>) {
    text.counter(
        "slipstream_downstream_connections_total",
        "Connections accepted from clients.",
        sums.of(|worker| worker.connections.sum()),
    );
    text.counter(
        "slipstream_downstream_connections_handed_over_total",
        "Connections that one worker accepted and another, with less to do, serves.",
        sums.of(|worker| worker.connections_handed_over.sum()),
    );
    text.gauge(
        "slipstream_downstream_connections_open",
        "Connections of clients open now.",
        sums.of(|worker| worker.connections_open.now()),
    );
    text.gauge(
        "slipstream_downstream_connections_parked",
        "Connections of clients that are idle and parked: without a task, without a buffer.",
        sums.of(|worker| worker.connections_parked.now()),
    );
    text.counter(
        "slipstream_downstream_connections_evicted_total",
        "Idle connections closed because descriptors, limits.connections or memory ran short.",
        sums.of(|worker| worker.connections_evicted.sum()),
    );
    let mut handshakes =
        text.family("slipstream_tls_handshakes_total", Kind::Counter, "TLS handshakes by how they ended.");
    handshakes.series(&[("result", "ok")], sums.of(|worker| worker.tls_handshakes.sum()));
    handshakes.series(&[("result", "failed")], sums.of(|worker| worker.tls_handshake_failures.sum()));
    text.counter(
        "slipstream_tls_resumptions_total",
        "TLS handshakes that ended well and resumed a session.",
        sums.of(|worker| worker.tls_resumptions.sum()),
    );
    text.counter(
        "slipstream_tls_plain_connections_total",
        "Plain connections on listeners with TLS that let them in (tls.mode: permissive).",
        sums.of(|worker| worker.tls_plain_connections.sum()),
    );

    text.counter(
        "slipstream_requests_total",
        "Requests whose head was read whole and was well-formed.",
        sums.of(|worker| worker.requests.sum()),
    );
    text.gauge(
        "slipstream_requests_active",
        "Requests between their whole head and the last byte of their answer.",
        sums.of(|worker| worker.requests_active.now()),
    );
    let mut responses = text.family(
        "slipstream_responses_total",
        Kind::Counter,
        "Responses by class of status, those made by the proxy included.",
    );
    for (index, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
        responses.series(&[("class", class)], sums.of(|worker| worker.responses[index].sum()));
    }
    text.counter(
        "slipstream_request_body_bytes_total",
        "Bytes of request bodies received from clients.",
        sums.of(|worker| worker.bytes_received.sum()),
    );
    text.counter(
        "slipstream_response_body_bytes_total",
        "Bytes of response bodies sent to clients.",
        sums.of(|worker| worker.bytes_sent.sum()),
    );
}

fn concurrency(text: &mut Text, proxy: &Proxy, sums: &Sums<'_>) {
    let usage = proxy.permits.usage();
    let limit = usage.limit.map_or_else(|| "+Inf".to_owned(), |limit| limit.to_string());
    text.gauge("slipstream_permits_limit", "Requests that the app gets at a time; +Inf without a limit.", limit);
    text.gauge("slipstream_permits_in_use", "Requests in flight under the limit; 0 without one.", usage.in_use);
    text.gauge("slipstream_permits_waiting", "Requests that wait for one of those to end.", usage.waiting);
    text.counter(
        "slipstream_permits_released_early_total",
        "Answers without an end in sight that gave their permit back at their head.",
        sums.of(|worker| worker.permits_released_early.sum()),
    );
    text.counter(
        "slipstream_queue_waits_total",
        "Requests that waited in the queue, however the wait ended.",
        sums.of(|worker| worker.queue_waits.sum()),
    );
    text.counter(
        "slipstream_queue_wait_seconds_total",
        "Time that requests have spent in the queue, in seconds.",
        sums.of(|worker| worker.queue_wait_ms.sum()) as f64 / 1000.0,
    );
    let mut shed =
        text.family("slipstream_shed_total", Kind::Counter, "Requests refused because there was too much, by reason.");
    for (index, reason) in Shed::LABELS.into_iter().enumerate() {
        shed.series(&[("reason", reason)], sums.of(|worker| worker.shed[index].sum()));
    }
    let help = "Requests that went through and would have been shed, were the limit enforced, by reason.";
    let mut would_shed = text.family("slipstream_would_shed_total", Kind::Counter, help);
    for (index, reason) in Shed::LABELS.into_iter().enumerate() {
        would_shed.series(&[("reason", reason)], sums.of(|worker| worker.would_shed[index].sum()));
    }
}

fn upstream(text: &mut Text, sums: &Sums<'_>) {
    text.counter(
        "slipstream_upstream_requests_total",
        "Requests sent to the app, replays included.",
        sums.of(|worker| worker.upstream_requests.sum()),
    );
    text.counter(
        "slipstream_upstream_reuses_total",
        "Requests to the app that found a warm connection.",
        sums.of(|worker| worker.upstream_reused.sum()),
    );
    text.counter(
        "slipstream_upstream_replays_total",
        "Requests sent once more because a reused connection had gone stale.",
        sums.of(|worker| worker.upstream_replays.sum()),
    );
    text.counter(
        "slipstream_upstream_connections_total",
        "Connections opened to the app.",
        sums.of(|worker| worker.upstream_connects.sum()),
    );
    text.counter(
        "slipstream_upstream_connect_failures_total",
        "Attempts to connect to the app that failed.",
        sums.of(|worker| worker.upstream_connect_failures.sum()),
    );
    text.gauge(
        "slipstream_upstream_connections_open",
        "Connections to the app open now.",
        sums.of(|worker| worker.upstream_connections_open.now()),
    );
    text.gauge(
        "slipstream_upstream_connections_idle",
        "Connections to the app that wait for a request.",
        sums.of(|worker| worker.upstream_connections_idle.now()),
    );
}

fn faults(text: &mut Text, sums: &Sums<'_>) {
    let mut faults = text.family("slipstream_faults_total", Kind::Counter, "Requests that failed, by kind of fault.");
    for (index, kind) in fault::Kind::LABELS.into_iter().enumerate() {
        faults.series(&[("kind", kind)], sums.of(|worker| worker.faults[index].sum()));
    }
    let mut timeouts =
        text.family("slipstream_timeouts_total", Kind::Counter, "Waits that ran out, by the name of the timeout.");
    for (index, timer) in Timer::ALL.into_iter().enumerate() {
        timeouts.series(&[("timeout", timer.name())], sums.of(|worker| worker.timeouts[index].sum()));
    }
    text.counter(
        "slipstream_panics_total",
        "Tasks that panicked; each cost its own connection only.",
        sums.of(|worker| worker.panics.sum()),
    );
}

fn end(text: &mut Text, sums: &Sums<'_>) {
    let phase = sums.0.stop.phase();
    let mut phases =
        text.family("slipstream_phase", Kind::Gauge, "How far the proxy is on its way to its end; 1 where it is.");
    for known in Phase::ALL {
        phases.series(&[("phase", known.name())], u8::from(known == phase));
    }
    let mut closed = text.family(
        "slipstream_connections_closed_by_drain_total",
        Kind::Counter,
        "Connections of clients that could have gone on, by how they ended: with an answer that said so, or idle.",
    );
    for (index, how) in CLOSED_BY_DRAIN.into_iter().enumerate() {
        closed.series(&[("how", how)], sums.of(|worker| worker.closed_by_drain[index].sum()));
    }
    text.counter(
        "slipstream_requests_broken_off_total",
        "Requests still in flight when the grace of the end was over.",
        sums.of(|worker| worker.requests_broken_off.sum()),
    );
}

fn certificates(text: &mut Text, proxy: &Proxy) {
    let mut reloads = text.family(
        "slipstream_tls_reloads_total",
        Kind::Counter,
        "Files of TLS that changed on disk, by listener and change: in force, or kept out by an error.",
    );
    reloads.series(&[("result", "ok")], proxy.reloads.ok.sum());
    reloads.series(&[("result", "failed")], proxy.reloads.failed.sum());
    let mut expiries: Vec<_> = proxy.certificates.iter().flat_map(|certificates| certificates.expiries()).collect();
    expiries.sort_by(|a, b| (a.not_after, &a.file).cmp(&(b.not_after, &b.file)));
    // Two listeners may show the same file, and one series must not be written twice.
    expiries.dedup();
    if expiries.is_empty() {
        return;
    }
    let name = "slipstream_tls_certificate_expiry_timestamp_seconds";
    let mut family = text.family(name, Kind::Gauge, "When the certificate in a file ends, in seconds since 1970.");
    for expiry in expiries.iter().take(CERTIFICATES_MAX) {
        family.series(&[("file", &expiry.file.to_string_lossy())], expiry.not_after);
    }
}

/// Names that Prometheus' own clients use, so that common dashboards work. What /proc does not tell is left out.
fn process(text: &mut Text, process: &Process) {
    if let Some(seconds) = process.cpu_seconds {
        text.counter("process_cpu_seconds_total", "User and system CPU time spent, in seconds.", seconds);
    }
    if let Some(bytes) = process.resident_bytes {
        text.gauge("process_resident_memory_bytes", "Resident memory, in bytes.", bytes);
    }
    if let Some(bytes) = process.virtual_bytes {
        text.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.", bytes);
    }
    if let Some(fds) = process.open_fds {
        text.gauge("process_open_fds", "Open file descriptors.", fds);
    }
    if let Some(fds) = process.max_fds {
        text.gauge("process_max_fds", "The limit on open file descriptors.", fds);
    }
    if let Some(seconds) = process.start_time {
        text.gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.", seconds);
    }
}

#[cfg(test)]
mod tests;
