//! Routes: requests that are judged differently.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::section::section;
use crate::units::{HOUR, MINUTE, PIB};
use crate::{
    ByteSize, Coalescing, Duration, FieldName, Forwarded, HeaderValue, HostName, Method, Misfit, OrNone, Path,
    RequestTelemetry,
};

const DAY: u64 = 24 * HOUR;

/// Requests that match are judged by what stands here, over the policy's own fields.
///
/// Only what is decided once the route is known can be set: the head is already read, the connection already open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", expecting = "a mapping of fields")]
pub struct Route {
    /// Which requests: all that is given must hold.
    #[serde(rename = "match")]
    pub matcher: Match,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coalescing: Option<Coalescing>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<RequestTelemetry>,
}

section! {
    /// Which requests a route is for: all that is given must hold, compared byte for byte; only host and field names ignore case.
    pub struct Match {
        /// The method, such as GET.
        pub method: Option<Method>,
        /// The host, without port.
        pub host: Option<HostName>,
        /// The whole path, without query.
        pub path: Option<Path>,
        /// `/reports` holds for `/reports` and `/reports/x`, not for `/reportsx`; one that ends in `/` holds for all below it.
        pub path_prefix: Option<Path>,
        /// A field of the request.
        pub header: Option<HeaderMatch>,
    }
}

/// A field that a request must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", expecting = "a mapping with name and, where it matters, value")]
pub struct HeaderMatch {
    /// Its name.
    pub name: FieldName,
    /// Its exact value; left out: the field is present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<HeaderValue>,
}

section! {
    /// How long each wait may last on this route.
    pub struct RouteTimeouts {
        /// Start of a connect to connected; 1ms to 10m.
        pub connect: Option<Duration<1, { 10 * MINUTE }>>,
        /// No byte of a request body; 1ms to 24h.
        pub request_body_idle: Option<Duration<1, DAY>>,
        /// Request sent to the final head of the answer; none, or 1ms to 24h.
        pub response_headers: Option<OrNone<Duration<1, DAY>>>,
        /// Whole head to the last byte of the answer; none, or 1ms to 24h.
        pub request: Option<OrNone<Duration<1, DAY>>>,
        /// No byte either way in an exchange; 1ms to 168h.
        pub stream_idle: Option<Duration<1, { 7 * DAY }>>,
    }
}

section! {
    /// What one client may ask of this route.
    pub struct RouteLimits {
        /// A request body (else 413); none, or 0 to 1024TiB.
        pub request_body_bytes: Option<OrNone<ByteSize<0, PIB>>>,
    }
}

impl Match {
    pub(crate) fn check(&self) -> Result<(), Misfit> {
        if *self == Match::default() {
            let what = "matches nothing in particular, allowed: at least one of method, host, path, pathPrefix, header (what holds for every \
                        request belongs into the policy itself)";
            return Err(Misfit::new("", what));
        }
        if self.path.is_some() && self.path_prefix.is_some() {
            return Err(Misfit::new("pathPrefix", "stands beside `path`, allowed: one of the two"));
        }
        Ok(())
    }
}
