//! After a storm: all that it took of the process is given back.

use std::time::{Duration, Instant};

use slipstream_tests::{Client, DEADLINE, Metrics, Running};

use crate::WORKERS;

const MIB: u64 = 1 << 20;

/// What a process holds while nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// Without the idle connections to the app.
    descriptors: u64,
    memory_used: u64,
    resident: u64,
}

impl Rest {
    /// Waits until nothing is under way, and for the descriptors to be as `before`.
    pub fn of(proxy: &Running, before: Option<Rest>) -> Rest {
        nothing_is_under_way(proxy);
        // A worker gives buffers back when a connection comes to rest while nothing is in flight.
        let calm: Vec<Client> = (0..4 * WORKERS)
            .map(|_| {
                let mut client = proxy.client();
                assert_eq!(client.get("/calm").status, 404);
                client
            })
            .collect();
        let parked = |metrics: &Metrics| metrics.sum("slipstream_downstream_connections_parked");
        proxy.metrics_until("all are at rest", |metrics| parked(metrics) == calm.len() as u64);
        drop(calm);
        let metrics = nothing_is_under_way(proxy);
        assert_eq!((metrics.panics(), parked(&metrics)), (0, 0), "{}", proxy.stderr());
        let descriptors = own_descriptors(proxy, before);
        Rest { descriptors, memory_used: metrics.sum("slipstream_memory_used_bytes"), resident: proxy.resident_bytes() }
    }

    /// Panics where the process has kept more than what it began with, or has gone on growing after it was `warm`, by more than what the
    /// rounding of a budget and the allocator may keep.
    pub fn assert_no_more_than(&self, before: Rest, warm: Rest) {
        let used = before.memory_used + 4 * MIB;
        assert!(self.memory_used <= used, "memory in use has grown: {before:?}, {warm:?}, {self:?}");
        let resident = warm.resident + warm.resident / 10 + 8 * MIB;
        assert!(self.resident <= resident, "resident memory has grown: {before:?}, {warm:?}, {self:?}");
    }
}

fn nothing_is_under_way(proxy: &Running) -> Metrics {
    proxy.metrics_until("nothing is under way", |metrics| {
        let work = ["requests_active", "permits_in_use", "permits_waiting", "downstream_connections_open"];
        let shared = ["coalesce_flights", "coalesce_followers", "coalesce_retained_bytes"];
        work.iter().chain(&shared).all(|name| metrics.sum(&format!("slipstream_{name}")) == 0)
            && upstream(metrics, "open") == upstream(metrics, "idle")
    })
}

fn upstream(metrics: &Metrics, which: &str) -> u64 {
    metrics.sum(&format!("slipstream_upstream_connections_{which}"))
}

/// How many descriptors there are beside those of idle connections to the app: the least of several looks, since the scrape's own connection
/// may not be gone yet when it is counted. Waits until they are no more than `before`.
fn own_descriptors(proxy: &Running, before: Option<Rest>) -> u64 {
    const LOOKS: usize = 16;
    let until = Instant::now() + DEADLINE;
    let mut least = u64::MAX;
    for look in 1.. {
        let idle = upstream(&proxy.metrics(), "open");
        let open = descriptors(proxy);
        // Idle connections come to their end by and by.
        if upstream(&proxy.metrics(), "open") == idle
            && let Some(own) = (open.len() as u64).checked_sub(idle)
        {
            least = least.min(own);
        }
        if look >= LOOKS && before.is_none_or(|before| least <= before.descriptors) {
            break;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {before:?}: {least} beside {idle} idle, of {open:#?}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    least
}

/// What each open descriptor stands for.
fn descriptors(proxy: &Running) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the process is there");
    let what = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("it can be read").path();
        let target = std::fs::read_link(&path).map_or_else(|_| "closed".into(), |target| target.display().to_string());
        format!("{}: {target}", path.file_name().unwrap_or_default().display())
    };
    open.map(what).collect()
}
