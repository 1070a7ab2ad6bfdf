//! A proxy to look at, for tests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{Proxy, Upstream};
use crate::budget::Budget;
use crate::config::{
    Concurrency, ConcurrencyMode, Forwarded, HalfClose, Limits, LongLived, RoutePolicy, Snapshot, Timeouts,
};
use crate::control::Driver;
use crate::limits::Permits;

pub(crate) fn snapshot() -> Snapshot {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts {
        connect: second,
        tls_handshake: second,
        request_headers: second,
        request_body_idle: second,
        queue: second,
        response_headers: None,
        request: None,
        stream_idle: second,
        connection_idle: second,
        upstream_idle: second,
        max_connection_age: None,
    };
    let limits = Limits { head_bytes: 65_536, head_fields: 128, request_body_bytes: None, connections: 100 };
    let concurrency =
        Concurrency { limit: None, queue_depth: 256, mode: ConcurrencyMode::Enforce, long_lived: LongLived::Release };
    Snapshot {
        generation: 7,
        routes: Vec::new(),
        policy: RoutePolicy {
            number: 0,
            pattern: None,
            timeouts,
            limits,
            concurrency,
            coalescing: crate::config::built_in_snapshot().policy.coalescing,
            forwarded: Forwarded::Append,
            half_close: HalfClose::Leave,
            telemetry: crate::config::Telemetry { trace_share: None, access_log: false },
        },
        dump: serde_json::json!({"timeouts": {"connect": {"value": "1s", "from": "default"}}}),
    }
}

pub(crate) fn proxy(workers: usize) -> Proxy {
    Proxy {
        counters: (0..workers).map(|_| Arc::default()).collect(),
        exports: Arc::default(),
        upstreams: vec![Upstream { address: "app.test".to_owned(), port: 3000 }],
        permits: Permits::forever(None),
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot())),
        driver: Driver { name: "epoll", reason: "asked \"for\"".to_owned() },
        certificates: Vec::new(),
        budget: Budget::new(1 << 20, 1),
        memory_limit_bytes: None,
        reloads: Arc::default(),
        ready: Arc::default(),
        stop: Arc::default(),
    }
}
