//! The policy as the data path reads it: units of memory, no layers, nothing optional that has a default.

use slipstream_schema as schema;

use super::{
    Coalescing, CoalescingMode, Concurrency, ConcurrencyMode, Credentials, Forwarded, HalfClose, Limits, LongLived,
    Match, OnError, Pattern, ReadAfterWrite, Route, RoutePolicy, Snapshot, StatusHeader, Telemetry, Timeouts,
};

/// `policy` has the built-in layer under it, so every field with a default is set.
pub(super) fn snapshot(policy: &schema::Policy, dump: serde_json::Value) -> Snapshot {
    let routes = policy.routes.iter().flat_map(|routes| routes.iter());
    let routes = routes.zip(1..).map(|(route, number)| {
        let matcher = matcher(&route.matcher);
        let policy = judged_by(&policy.for_route(route), number, Pattern::of(&matcher));
        Route { matcher, policy }
    });
    Snapshot { generation: 0, routes: routes.collect(), policy: judged_by(policy, 0, None), dump }
}

fn judged_by(policy: &schema::Policy, number: u32, pattern: Option<Pattern>) -> RoutePolicy {
    let timeouts = policy.timeouts.as_ref().expect(SET);
    let concurrency = policy.concurrency.as_ref().expect(SET);
    let queue = concurrency.queue.as_ref().expect(SET);
    let limits = policy.limits.as_ref().expect(SET);
    RoutePolicy {
        number,
        pattern,
        timeouts: Timeouts {
            connect: timeouts.connect.expect(SET).as_std(),
            tls_handshake: timeouts.tls_handshake.expect(SET).as_std(),
            request_headers: timeouts.request_headers.expect(SET).as_std(),
            request_body_idle: timeouts.request_body_idle.expect(SET).as_std(),
            queue: queue.timeout.expect(SET).as_std(),
            response_headers: timeouts.response_headers.expect(SET).value().map(schema::Duration::as_std),
            request: timeouts.request.expect(SET).value().map(schema::Duration::as_std),
            stream_idle: timeouts.stream_idle.expect(SET).as_std(),
            connection_idle: timeouts.connection_idle.expect(SET).as_std(),
            upstream_idle: timeouts.upstream_idle.expect(SET).as_std(),
            max_connection_age: timeouts.max_connection_age.expect(SET).value().map(schema::Duration::as_std),
        },
        limits: Limits {
            head_bytes: size(limits.head_bytes.expect(SET).get()),
            head_fields: size(limits.head_fields.expect(SET).get()),
            request_body_bytes: limits.request_body_bytes.expect(SET).value().map(schema::Bounded::get),
            connections: size(limits.connections.expect(SET).get()),
        },
        concurrency: Concurrency {
            limit: concurrency.limit.expect(SET).value().map(|limit| count(limit.get())),
            queue_depth: count(queue.depth.expect(SET).get()),
            mode: match concurrency.mode.expect(SET) {
                schema::ConcurrencyMode::Enforce => ConcurrencyMode::Enforce,
                schema::ConcurrencyMode::Observe => ConcurrencyMode::Observe,
            },
            long_lived: match concurrency.long_lived.expect(SET) {
                schema::LongLived::Release => LongLived::Release,
                schema::LongLived::Hold => LongLived::Hold,
            },
        },
        coalescing: coalescing(policy.coalescing.as_ref().expect(SET)),
        forwarded: match policy.forwarded.expect(SET) {
            schema::Forwarded::Append => Forwarded::Append,
            schema::Forwarded::Replace => Forwarded::Replace,
            schema::Forwarded::Off => Forwarded::Off,
        },
        telemetry: telemetry(policy.telemetry.as_ref().expect(SET)),
        half_close: match policy.half_close.expect(SET) {
            schema::HalfClose::Leave => HalfClose::Leave,
            schema::HalfClose::Keep => HalfClose::Keep,
        },
    }
}

fn telemetry(given: &schema::RequestTelemetry) -> Telemetry {
    Telemetry {
        trace_share: given.trace_sample_ratio.map(schema::Ratio::get),
        access_log: given.access_log.expect(SET) == schema::AccessLog::On,
    }
}

/// What depends on the mode is settled here, after the layers and the route are merged: a route that says only another mode gets what suits it.
fn coalescing(given: &schema::Coalescing) -> Coalescing {
    let mode = given.mode.expect(SET);
    let ignored = given.ignore_headers.iter().flat_map(|list| list.iter());
    Coalescing {
        mode: match mode {
            schema::CoalescingMode::Off => CoalescingMode::Off,
            schema::CoalescingMode::Observe => CoalescingMode::Observe,
            schema::CoalescingMode::Cacheable => CoalescingMode::Cacheable,
            schema::CoalescingMode::Identical => CoalescingMode::Identical,
        },
        credentials: match given.credentials.expect(SET) {
            schema::Credentials::Off => Credentials::Off,
            schema::Credentials::Identical => Credentials::Identical,
        },
        ignore: ignored.map(|field| Box::from(field.as_str())).collect(),
        join_window: given.join_window.unwrap_or_else(|| mode.join_window_default()).as_std(),
        max_wait: given.max_wait.expect(SET).value().map(schema::Duration::as_std),
        read_after_write: match given.read_after_write.expect(SET) {
            schema::ReadAfterWrite::Upstream => ReadAfterWrite::Upstream,
            schema::ReadAfterWrite::Path => ReadAfterWrite::Path,
            schema::ReadAfterWrite::Off => ReadAfterWrite::Off,
        },
        on_error: match given.on_error.unwrap_or_else(|| mode.on_error_default()) {
            schema::OnError::Share => OnError::Share,
            schema::OnError::Release => OnError::Release,
        },
        status_header: match given.status_header.expect(SET) {
            schema::StatusHeader::Off => StatusHeader::Off,
            schema::StatusHeader::Followers => StatusHeader::Followers,
            schema::StatusHeader::All => StatusHeader::All,
        },
        compare_client_address: given.compare_client_address.expect(SET),
    }
}

const SET: &str = "the built-in layer sets it, and no layer can unset a field";

/// A size on a machine whose addresses are shorter than 64 bits is held at what it can address.
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A number of requests; the schema allows no more than a million.
fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn matcher(given: &schema::Match) -> Match {
    let text = |text: &str| text.to_owned();
    Match {
        method: given.method.as_ref().map(|method| text(method.as_str())),
        host: given.host.as_ref().map(|host| text(host.as_str())),
        path: given.path.as_ref().map(|path| text(path.as_str())),
        path_prefix: given.path_prefix.as_ref().map(|prefix| text(prefix.as_str())),
        header: given
            .header
            .as_ref()
            .map(|header| (text(header.name.as_str()), header.value.as_ref().map(|value| text(value.as_str())))),
    }
}
