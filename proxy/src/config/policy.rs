//! The policy as the data path reads it: units of memory, no layers, nothing optional that has a default.

use slipstream_schema as schema;

use super::{
    Concurrency, ConcurrencyMode, Forwarded, HalfClose, Limits, LongLived, Match, Route, RoutePolicy, Snapshot,
    Timeouts,
};

/// `policy` has the built-in layer under it, so every field with a default is set.
pub(super) fn snapshot(policy: &schema::Policy, dump: serde_json::Value) -> Snapshot {
    let routes = policy.routes.iter().flat_map(|routes| routes.iter());
    let routes =
        routes.map(|route| Route { matcher: matcher(&route.matcher), policy: judged_by(&policy.for_route(route)) });
    Snapshot { generation: 0, routes: routes.collect(), policy: judged_by(policy), dump }
}

fn judged_by(policy: &schema::Policy) -> RoutePolicy {
    let timeouts = policy.timeouts.as_ref().expect(SET);
    let concurrency = policy.concurrency.as_ref().expect(SET);
    let queue = concurrency.queue.as_ref().expect(SET);
    let limits = policy.limits.as_ref().expect(SET);
    RoutePolicy {
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
        forwarded: match policy.forwarded.expect(SET) {
            schema::Forwarded::Append => Forwarded::Append,
            schema::Forwarded::Replace => Forwarded::Replace,
            schema::Forwarded::Off => Forwarded::Off,
        },
        half_close: match policy.half_close.expect(SET) {
            schema::HalfClose::Leave => HalfClose::Leave,
            schema::HalfClose::Keep => HalfClose::Keep,
        },
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
