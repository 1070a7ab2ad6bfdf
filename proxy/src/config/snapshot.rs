//! What a request is judged by: one immutable value, swapped as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::Pattern;
/// The effective policy of this process, resolved. A worker picks up the newest for each request.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Rises with each change; 0 is what the process started with.
    pub generation: u64,
    /// In order; the first whose [`Match`] holds wins.
    pub routes: Vec<Route>,
    /// Used where no route matches.
    pub policy: RoutePolicy,
    /// The effective policy with the origin of each field, as `/config` and `check` show it.
    pub dump: serde_json::Value,
}

impl Snapshot {
    /// The policy with this [`RoutePolicy::number`].
    pub fn numbered(&self, number: u32) -> &RoutePolicy {
        match number.checked_sub(1).and_then(|n| self.routes.get(n as usize)) {
            Some(route) => &route.policy,
            None => &self.policy,
        }
    }
}

/// A match and the policy of the requests that it holds for (already merged over the defaults).
#[derive(Debug, Clone)]
pub struct Route {
    pub matcher: Match,
    pub policy: RoutePolicy,
}

/// All that is given must hold. Compared byte for byte with what was received; only host and field names ignore case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    pub method: Option<String>,
    /// Without port, lower case.
    pub host: Option<String>,
    /// The whole path, without query.
    pub path: Option<String>,
    /// `/reports` holds for `/reports` and `/reports/x`, not for `/reportsx`; a prefix that ends in `/` holds for all below it.
    pub path_prefix: Option<String>,
    /// Name (lower case) and the exact value; `None` for the value: the field is present.
    pub header: Option<(String, Option<String>)>,
}

/// What the data path needs to know of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePolicy {
    /// Names it within its snapshot: 0 is [`Snapshot::policy`], n + 1 that of `routes[n]`.
    pub number: u32,
    /// Names the route in metrics and traces (`http.route`).
    pub pattern: Option<Pattern>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub concurrency: Concurrency,
    pub coalescing: Coalescing,
    pub forwarded: Forwarded,
    pub half_close: HalfClose,
    pub telemetry: Telemetry,
}

/// What is told of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Telemetry {
    /// In the place of the sampler's own share of traces that begin here, 0 to 1.
    pub trace_share: Option<f64>,
    pub access_log: bool,
}

/// One name for each wait. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Start of a connect to connected.
    pub connect: Duration,
    /// Accept to handshake done.
    pub tls_handshake: Duration,
    /// First byte of a head (or accept) to the whole head.
    pub request_headers: Duration,
    /// No byte of a request body.
    pub request_body_idle: Duration,
    /// Asked for a permit to got one.
    pub queue: Duration,
    /// Request sent to the final head of the response.
    pub response_headers: Option<Duration>,
    /// Whole head to the last byte of the answer.
    pub request: Option<Duration>,
    /// No byte either way.
    pub stream_idle: Duration,
    /// Keep-alive idle, downstream.
    pub connection_idle: Duration,
    /// Keep-alive idle, upstream: the upper bound of what is learned.
    pub upstream_idle: Duration,
    /// Age at which a connection is not reused.
    pub max_connection_age: Option<Duration>,
}

/// Bounds on what one client may ask of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A head, request line included (431; 414 where the request line alone is larger).
    pub head_bytes: usize,
    /// Field lines of a head (431).
    pub head_fields: usize,
    /// A request body (413). `None`: no limit.
    pub request_body_bytes: Option<u64>,
    /// Open downstream connections of the process.
    pub connections: usize,
}

/// What a client that closes its sending side means by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClose {
    /// It has left: its upstream work is cancelled.
    Leave,
    /// It still reads: it gets its answer.
    Keep,
}

/// How many requests the app gets at a time, over the whole process. A request waits for its turn for `timeouts.queue` at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// `None`: no limit.
    pub limit: Option<u32>,
    /// Requests that wait at a time.
    pub queue_depth: u32,
    pub mode: ConcurrencyMode,
    pub long_lived: LongLived,
}

/// What becomes of requests over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConcurrencyMode {
    /// They wait, or are shed.
    Enforce,
    /// They go through. What would be shed is counted.
    Observe,
}

/// What an answer without an end in sight does with its permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongLived {
    /// Gives it back at its head.
    Release,
    /// Holds it to its last byte.
    Hold,
}

/// What identical concurrent GETs may share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalescing {
    pub mode: CoalescingMode,
    pub credentials: Credentials,
    /// Request fields that are not compared, beside those that never are; lower case.
    pub ignore: Arc<[Box<str>]>,
    /// How long a flight takes joiners, from its dispatch.
    pub join_window: Duration,
    /// How long a follower waits before it joins, or opens, the newest flight of its key. `None`: until it is answered.
    pub max_wait: Option<Duration>,
    pub read_after_write: ReadAfterWrite,
    pub on_error: OnError,
    pub status_header: StatusHeader,
    /// Only requests of one client address share a flight.
    pub compare_client_address: bool,
}

/// Which GETs share a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoalescingMode {
    Off,
    /// None. What `Identical` would share is counted.
    Observe,
    /// Those whose answer HTTP explicitly lets a shared cache reuse.
    Cacheable,
    /// All that two identical concurrent GETs may share, also where the answer says nothing of freshness.
    Identical,
}

/// Whether requests with Authorization, Cookie or Proxy-Authorization share a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// They go alone.
    Off,
    /// They do with those whose credentials are equal, byte for byte.
    Identical,
}

/// The writes that keep later reads out of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAfterWrite {
    /// Any to the same upstream.
    Upstream,
    /// One to the same URI.
    Path,
    /// None.
    Off,
}

/// What becomes of the followers when the app answers 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// They get it too.
    Share,
    /// Each asks for itself.
    Release,
}

/// Whose responses carry a `Cache-Status` that tells of coalescing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusHeader {
    Off,
    Followers,
    All,
}

/// What is told to the app of who asked: X-Forwarded-*, Forwarded, Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// Ours is appended to what came.
    Append,
    /// What came is removed, ours is set.
    Replace,
    /// Nothing is added, what came stays.
    Off,
}
