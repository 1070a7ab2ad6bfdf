//! What a process is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Memory, Snapshot};
pub use slipstream_schema::TlsMode;

/// Everything that is fixed while the process runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listeners: Vec<ListenerSettings>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Pin worker `n` to the `n`th CPU this process may run on.
    pub pin: bool,
    pub io_driver: IoDriver,
    /// Where `/live`, `/ready`, `/startup`, `/metrics` and `/config` are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    pub drain: DrainSettings,
    /// Names this deployment in `Proxy-Status` and `Cache-Status` (RFC 9209 section 2).
    pub name: String,
    /// What it may hold.
    pub memory: Memory,
    pub telemetry: TelemetrySettings,
    /// What requests are judged by until the first change.
    pub snapshot: Arc<Snapshot>,
}

/// What is said of telemetry, not read yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// `telemetry.serviceName` of the file.
    pub service_name: Option<String>,
    /// The variables of OpenTelemetry, and ours that say who this is.
    pub environment: BTreeMap<String, String>,
}

/// How long the end of the proxy may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSettings {
    /// How long connections are still accepted once a drain has begun.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub grace: Duration,
}

/// One address the proxy accepts on, and the app behind it.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Port 0 asks the kernel for a free one.
    pub address: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<TlsSettings>,
    pub upstream: UpstreamSettings,
}

/// TLS of one listener.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Pairs of PEM files: certificate chain (leaf first) and private key (PKCS #8, PKCS #1 or SEC1). The client's SNI chooses, the first
    /// serves who sends none or an unknown one.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    pub mode: TlsMode,
    pub client_auth: ClientAuth,
}

impl TlsSettings {
    /// TLS only, and no client is asked for a certificate.
    pub fn showing(certificates: Vec<(PathBuf, PathBuf)>) -> TlsSettings {
        TlsSettings { certificates, mode: TlsMode::Required, client_auth: ClientAuth::Off }
    }
}

/// Whether clients are asked for a certificate, and the PEM file of the authorities that it must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    Off,
    /// A client may have none.
    Optional(PathBuf),
    Required(PathBuf),
}

/// The app: an `http://` origin.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// `host:port` as written; the `Host` of a request that came without one (HTTP/1.0).
    pub authority: String,
    /// What the authority resolved to at the start, in the resolver's order; never empty. A connect tries them in turn.
    pub addresses: Vec<SocketAddr>,
}

/// Which kernel interface moves the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoDriver {
    /// Tries `io_uring`, falls back to `epoll`, and says which and why.
    Auto,
    Epoll,
    IoUring,
    IoUringSqpoll,
}
