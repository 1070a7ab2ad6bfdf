//! The static file (`--config`): what flags can say, and more.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::section::section;
use crate::text::ByText;
use crate::units::{HOUR, MINUTE, SECOND};
use crate::{
    AdminAddress, ClientCertificates, Count, Duration, FilePath, Invalid, IoDriver, List, ListenAddress, Misfit,
    Policy, Scheme, ServiceName, TlsMode, UpstreamUrl,
};

section! {
    /// A proxy without an operator: its listeners and its policy.
    pub struct StaticFile {
        /// Where the proxy accepts. At most 64. Flag `--listen`. Default none; at least one, here or by flag.
        pub listeners: Option<List<Listener, 64>>,
        /// The threads that carry requests.
        pub workers: Option<Workers>,
        /// Which kernel interface moves the bytes. Flag `--io-driver`. Default auto.
        pub io_driver: Option<IoDriver>,
        /// Where /live, /ready, /startup, /metrics and /config are served, or off. Flag `--admin`. Default 127.0.0.1:7590.
        pub admin: Option<AdminAddress>,
        /// How the proxy ends.
        pub drain: Option<Drain>,
        /// How requests are judged.
        pub policy: Option<Policy>,
        /// How this deployment is called in telemetry.
        pub telemetry: Option<Telemetry>,
    }
}

/// One address the proxy accepts on, and the app behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", expecting = "a mapping of fields")]
pub struct Listener {
    /// `https://ADDRESS:PORT` or `http://ADDRESS:PORT`; port 0 takes a free one.
    pub address: ListenAddress,
    /// The app, `http://HOST:PORT`. Flag `--upstream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamUrl>,
    /// For an https address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

section! {
    /// TLS of one listener.
    pub struct ListenerTls {
        /// Whether plain clients are let in too. Flag `--tls-mode`. Default required.
        pub mode: Option<TlsMode>,
        /// The client's SNI chooses; the first serves who sends none or an unknown one. At most 64. Flags `--tls-cert`, `--tls-key`. Default none.
        pub certificates: Option<List<Certificate, 64>>,
        /// A PEM file: the authorities that clients' certificates come from. Flag `--tls-client-ca`. Default none.
        pub client_ca: Option<FilePath>,
        /// Whether clients show a certificate. Flag `--tls-client-certificates`. Default required where there is a clientCa, else off.
        pub client_certificates: Option<ClientCertificates>,
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", expecting = "a mapping with cert and key")]
pub struct Certificate {
    /// A PEM file: the chain, leaf first.
    pub cert: FilePath,
    /// A PEM file: the private key, PKCS #8, PKCS #1 or SEC1.
    pub key: FilePath,
}

section! {
    /// The threads that carry requests.
    pub struct Workers {
        /// How many. Auto: the CPU limit rounded up, else the CPU request, else the cores. Flag `--workers`. Default auto; 1 to 1024.
        pub count: Option<WorkerCount>,
        /// Whether worker n stays on the nth CPU this process may run on. Default false.
        pub pin: Option<bool>,
    }
}

section! {
    /// How this deployment is called in telemetry.
    pub struct Telemetry {
        /// The service.name of OpenTelemetry; 1 to 255 characters.
        pub service_name: Option<ServiceName>,
    }
}

section! {
    /// How the proxy ends. In a pod (`SLIPSTREAM_GRACE_SECONDS` is its terminationGracePeriodSeconds) both together end 2s before the kubelet
    /// kills, and the delay is at most a third of that period.
    pub struct Drain {
        /// From `slipstream-proxy drain` on: how long connections are still accepted, for whoever sends them learns late. A signal without a
        /// drain before it does not wait. Default 5s; 0s to 10m.
        pub delay: Option<Duration<0, { 10 * MINUTE }>>,
        /// How long requests in flight may take once no connection is accepted any more; what is left is then broken off. Default none: what
        /// the pod's period leaves after the delay, outside of a pod 23s; 0s to 24h.
        pub grace: Option<Duration<0, { 24 * HOUR }>>,
    }
}

/// A number of workers, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    Auto,
    Fixed(Count<1, 1024>),
}

const WORKERS: &str = "auto, or a whole number of 1 to 1024";

impl FromStr for WorkerCount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(WorkerCount::Auto),
            _ => text.parse().map(WorkerCount::Fixed).map_err(|_| Invalid::new(text, WORKERS)),
        }
    }
}

impl fmt::Display for WorkerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerCount::Auto => f.write_str("auto"),
            WorkerCount::Fixed(count) => count.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for WorkerCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByText::new(WORKERS))
    }
}

impl Serialize for WorkerCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            WorkerCount::Auto => serializer.serialize_str("auto"),
            WorkerCount::Fixed(count) => count.serialize(serializer),
        }
    }
}

impl JsonSchema for WorkerCount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WorkerCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": 1024}, {"type": "string", "pattern": "^auto$"}],
        })
    }
}

impl StaticFile {
    /// The lowest layer: what holds where nobody says anything.
    pub fn built_in() -> StaticFile {
        StaticFile {
            listeners: None,
            workers: Some(Workers { count: Some(WorkerCount::Auto), pin: Some(false) }),
            io_driver: Some(IoDriver::Auto),
            admin: Some(AdminAddress::At(std::net::SocketAddr::from(([127, 0, 0, 1], 7590)))),
            drain: Some(Drain { delay: Some(Duration::constant::<{ 5 * SECOND }>()), grace: None }),
            policy: Some(Policy::built_in()),
            telemetry: None,
        }
    }

    /// What no single field can know: the first settings that do not go together.
    pub fn check(&self) -> Result<(), Misfit> {
        let listeners = self.listeners.as_deref().unwrap_or_default();
        for (index, listener) in listeners.iter().enumerate() {
            let misfit =
                |field: &str, what: String| Err(Misfit::new(field, what).under(&format!("listeners[{index}]")));
            let socket = listener.address.socket;
            if listener.address.scheme == Scheme::Http && listener.tls.is_some() {
                let what = format!("stands beside `{}`, allowed: only with an https:// address", listener.address);
                return misfit("tls", what);
            }
            if socket.port() == 0 {
                continue;
            }
            if let Some(first) = listeners[..index].iter().position(|other| other.address.socket == socket) {
                return misfit(
                    "address",
                    format!("found `{socket}` a second time (first in `listeners[{first}]`), allowed: once"),
                );
            }
            if self.admin == Some(AdminAddress::At(socket)) {
                return misfit(
                    "address",
                    format!("found `{socket}`, which is the admin port; allowed: another, or `admin: off`"),
                );
            }
        }
        self.policy.as_ref().map_or(Ok(()), |policy| policy.check().map_err(|misfit| misfit.under("policy")))
    }
}
