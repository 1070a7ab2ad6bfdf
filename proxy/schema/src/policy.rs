//! The policy: how requests are judged. `TrafficPolicy.spec`, and `policy:` of the static file.

use crate::section::section;
use crate::units::{HOUR, KIB, MIB, MINUTE, PIB, SECOND};
use crate::{
    AccessLog, ByteSize, CoalescingMode, ConcurrencyMode, Count, Credentials, Duration, Forwarded, HalfClose,
    IgnoredField, List, LongLived, Misfit, OnError, OrNone, Ratio, ReadAfterWrite, Route, StatusHeader,
    UpstreamProtocol, UpstreamTls,
};

const DAY: u64 = 24 * HOUR;

section! {
    /// How requests are judged. What a layer leaves out, the layers below it say.
    pub struct Policy {
        /// How long each wait may last.
        pub timeouts: Option<Timeouts>,
        /// How many requests the app gets at a time.
        pub concurrency: Option<Concurrency>,
        /// What identical concurrent GETs may share.
        pub coalescing: Option<Coalescing>,
        /// What one client may ask of the proxy.
        pub limits: Option<Limits>,
        /// What is told to the app of who asked: X-Forwarded-*, Forwarded, Via. Default append.
        pub forwarded: Option<Forwarded>,
        /// How the app is spoken to.
        pub upstream: Option<Upstream>,
        /// What a client that closes its sending side means by it. Default leave.
        pub half_close: Option<HalfClose>,
        /// What is told of requests.
        pub telemetry: Option<RequestTelemetry>,
        /// Requests judged differently; the first match wins. At most 256; a later layer replaces the list as a whole. Default none.
        pub routes: Option<List<Route, 256>>,
    }
}

section! {
    /// How long each wait may last. The names are those of metric labels, logs and Proxy-Status.
    pub struct Timeouts {
        /// Start of a connect to connected. Default 1s; 1ms to 10m.
        pub connect: Option<Duration<1, { 10 * MINUTE }>>,
        /// Accept to handshake done. Default 5s; 1ms to 10m.
        pub tls_handshake: Option<Duration<1, { 10 * MINUTE }>>,
        /// First byte of a head (or accept) to the whole head. Default 10s; 1ms to 1h.
        pub request_headers: Option<Duration<1, HOUR>>,
        /// No byte of a request body. Default 30s; 1ms to 24h.
        pub request_body_idle: Option<Duration<1, DAY>>,
        /// Request sent to the final head of the answer. Default none; 1ms to 24h.
        pub response_headers: Option<OrNone<Duration<1, DAY>>>,
        /// Whole head to the last byte of the answer. Default none; 1ms to 24h.
        pub request: Option<OrNone<Duration<1, DAY>>>,
        /// No byte either way in an exchange. Default 5m; 1ms to 168h.
        pub stream_idle: Option<Duration<1, { 7 * DAY }>>,
        /// A downstream connection kept alive without a request. Default 1h; 1ms to 168h.
        pub connection_idle: Option<Duration<1, { 7 * DAY }>>,
        /// An upstream connection kept alive without a request: the upper bound of what is learned from the app. Default 1m; 1ms to 1h.
        pub upstream_idle: Option<Duration<1, HOUR>>,
        /// The age at which a connection takes no further request. Default none; 1ms to 168h.
        pub max_connection_age: Option<OrNone<Duration<1, { 7 * DAY }>>>,
    }
}

section! {
    /// How many requests the app gets at a time.
    pub struct Concurrency {
        /// Requests in the app at a time. Default none; 1 to 1000000.
        pub limit: Option<OrNone<Count<1, 1_000_000>>>,
        /// Where the others wait.
        pub queue: Option<Queue>,
        /// Whether the limit sheds. Default enforce.
        pub mode: Option<ConcurrencyMode>,
        /// Whether an upgrade, an event stream or a long gRPC stream goes on holding its permit. Default release.
        pub long_lived: Option<LongLived>,
    }
}

section! {
    /// The queue in front of the concurrency limit.
    pub struct Queue {
        /// Requests that wait at a time; 0: none waits. Default 256; 0 to 100000.
        pub depth: Option<Count<0, 100_000>>,
        /// Asked for a permit to got one. Default 200ms; 1ms to 10m.
        pub timeout: Option<Duration<1, { 10 * MINUTE }>>,
    }
}

section! {
    /// What identical concurrent GETs may share.
    pub struct Coalescing {
        /// Which GETs are shared. Default identical.
        pub mode: Option<CoalescingMode>,
        /// Whether requests with credentials are shared, among equal ones only. Default off.
        pub credentials: Option<Credentials>,
        /// Request fields that are not compared. At most 64; a later layer replaces the list as a whole. Default none.
        pub ignore_headers: Option<List<IgnoredField, 64>>,
        /// How long after its dispatch a request takes joiners. Default 500ms, 2s where the mode is cacheable; 1ms to 1m.
        pub join_window: Option<Duration<1, MINUTE>>,
        /// How long a follower waits before it joins a newer request. Default none; 1ms to 1h.
        pub max_wait: Option<OrNone<Duration<1, HOUR>>>,
        /// Which writes a joined read must be younger than. Default upstream.
        pub read_after_write: Option<ReadAfterWrite>,
        /// What becomes of the followers when the app answers 5xx. Default share, release where the mode is cacheable.
        pub on_error: Option<OnError>,
        /// Who gets a Cache-Status field that tells of coalescing. Default followers.
        pub status_header: Option<StatusHeader>,
        /// Whether only requests of the same client address are shared. Default false.
        pub compare_client_address: Option<bool>,
    }
}

section! {
    /// What one client may ask of the proxy.
    pub struct Limits {
        /// A head, request line included (else 431, or 414 where the request line alone is larger). Default 64KiB; 1KiB to 1MiB.
        pub head_bytes: Option<ByteSize<KIB, MIB>>,
        /// Field lines of a head (else 431). Default 128; 1 to 256.
        pub head_fields: Option<Count<1, 256>>,
        /// A request body (else 413). Default none; 0 to 1024TiB.
        pub request_body_bytes: Option<OrNone<ByteSize<0, PIB>>>,
        /// Open downstream connections of the process. Default 10000; 1 to 1000000.
        pub connections: Option<Count<1, 1_000_000>>,
    }
}

section! {
    /// How the app is spoken to.
    pub struct Upstream {
        /// The protocol spoken to the app. Default auto.
        pub protocol: Option<UpstreamProtocol>,
        /// Whether TLS is spoken to the app. Default off.
        pub tls: Option<UpstreamTls>,
    }
}

section! {
    /// What is told of requests.
    pub struct RequestTelemetry {
        /// The share of traces that begin here and are recorded, in the place of the one in OTEL_TRACES_SAMPLER_ARG. Default: what
        /// OTEL_TRACES_SAMPLER says; 0 to 1.
        pub trace_sample_ratio: Option<Ratio>,
        /// Whether each request is a line of the access log. Default off.
        pub access_log: Option<AccessLog>,
    }
}

impl CoalescingMode {
    /// The `joinWindow` where no layer says one. Source: coalescing.md R6.
    pub fn join_window_default(self) -> Duration<1, MINUTE> {
        match self {
            CoalescingMode::Cacheable => Duration::constant::<{ 2 * SECOND }>(),
            CoalescingMode::Identical | CoalescingMode::Observe | CoalescingMode::Off => Duration::constant::<500>(),
        }
    }

    /// The `onError` where no layer says one. Source: coalescing.md R8.
    pub fn on_error_default(self) -> OnError {
        match self {
            CoalescingMode::Cacheable => OnError::Release,
            CoalescingMode::Identical | CoalescingMode::Observe | CoalescingMode::Off => OnError::Share,
        }
    }
}

impl Policy {
    /// The lowest layer: what holds where nobody says anything. What has no default of its own (it depends on another field) is unset.
    pub fn built_in() -> Policy {
        Policy {
            timeouts: Some(Timeouts {
                connect: Some(Duration::constant::<SECOND>()),
                tls_handshake: Some(Duration::constant::<{ 5 * SECOND }>()),
                request_headers: Some(Duration::constant::<{ 10 * SECOND }>()),
                request_body_idle: Some(Duration::constant::<{ 30 * SECOND }>()),
                response_headers: Some(OrNone::None),
                request: Some(OrNone::None),
                stream_idle: Some(Duration::constant::<{ 5 * MINUTE }>()),
                connection_idle: Some(Duration::constant::<HOUR>()),
                upstream_idle: Some(Duration::constant::<MINUTE>()),
                max_connection_age: Some(OrNone::None),
            }),
            concurrency: Some(Concurrency {
                limit: Some(OrNone::None),
                queue: Some(Queue {
                    depth: Some(Count::constant::<256>()),
                    timeout: Some(Duration::constant::<200>()),
                }),
                mode: Some(ConcurrencyMode::Enforce),
                long_lived: Some(LongLived::Release),
            }),
            coalescing: Some(Coalescing {
                mode: Some(CoalescingMode::Identical),
                credentials: Some(Credentials::Off),
                ignore_headers: Some(List::default()),
                join_window: None,
                max_wait: Some(OrNone::None),
                read_after_write: Some(ReadAfterWrite::Upstream),
                on_error: None,
                status_header: Some(StatusHeader::Followers),
                compare_client_address: Some(false),
            }),
            limits: Some(Limits {
                head_bytes: Some(ByteSize::constant::<{ 64 * KIB }>()),
                head_fields: Some(Count::constant::<128>()),
                request_body_bytes: Some(OrNone::None),
                connections: Some(Count::constant::<10_000>()),
            }),
            forwarded: Some(Forwarded::Append),
            upstream: Some(Upstream { protocol: Some(UpstreamProtocol::Auto), tls: Some(UpstreamTls::Off) }),
            half_close: Some(HalfClose::Leave),
            telemetry: Some(RequestTelemetry { trace_sample_ratio: None, access_log: Some(AccessLog::Off) }),
            routes: Some(List::default()),
        }
    }

    /// What no single field can know: the first pair of settings that do not go together.
    pub fn check(&self) -> Result<(), Misfit> {
        for (index, route) in self.routes.iter().flat_map(|routes| routes.iter()).enumerate() {
            route.matcher.check().map_err(|misfit| misfit.under(&format!("routes[{index}].match")))?;
        }
        Ok(())
    }
}
