//! After a storm: all that it took of the process is given back.

use slipstream_tests::{Client, Metrics, Running, eventually};

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
        let descriptors = eventually("descriptors are as before", || {
            // The scrape's own connection comes and goes, and so do idle ones: both must hold still around the count.
            let (idle, open) = (upstream(&proxy.metrics(), "open"), descriptors(proxy));
            let holds_still = upstream(&proxy.metrics(), "open") == idle && descriptors(proxy) == open;
            let own = open.checked_sub(idle)?;
            (holds_still && before.is_none_or(|before| own == before.descriptors)).then_some(own)
        });
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

fn descriptors(proxy: &Running) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the process is there").count() as u64
}
