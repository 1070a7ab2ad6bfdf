//! What the command line says of the configuration. Each flag is a field of the file, and wins over it.

use std::path::PathBuf;

use slipstream_schema::{
    AdminAddress, Certificate, ClientCertificates, Coalescing, CoalescingMode, FilePath, IoDriver, ListenAddress,
    Policy, StaticFile, TlsMode, UpstreamUrl, WorkerCount, Workers,
};

use super::Error;

/// The flags of `run`, and of `check`, which shows what `run` would do with them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Where to accept: https://ADDRESS:PORT or http://ADDRESS:PORT, IPv4 or [IPv6]; port 0 takes a free one. May be given more than
    /// once; takes the place of the file's listeners
    #[arg(long, value_name = "URL")]
    pub listen: Vec<ListenAddress>,

    /// The app behind the listeners: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub upstream: Option<UpstreamUrl>,

    /// A certificate chain for the https listeners (PEM, leaf first). May be given more than once: the client's SNI chooses, the first
    /// is the default
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Vec<FilePath>,

    /// The private key of the certificate at the same place in the order (PEM: PKCS #8, PKCS #1 or SEC1)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Vec<FilePath>,

    /// Whether the https listeners let plain clients in too: required (TLS only) or permissive (the first byte decides) [default:
    /// required]
    #[arg(long, value_name = "MODE")]
    pub tls_mode: Option<TlsMode>,

    /// The authorities that clients' certificates come from, for the https listeners (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<FilePath>,

    /// Whether clients of the https listeners show a certificate: off, optional or required [default: required where there is a
    /// --tls-client-ca, else off]
    #[arg(long, value_name = "WORD")]
    pub tls_client_certificates: Option<ClientCertificates>,

    /// What identical concurrent GETs may share: off, observe, cacheable or identical. A route of the file that says otherwise keeps its
    /// own [default: identical]
    #[arg(long, value_name = "MODE")]
    pub coalesce: Option<CoalescingMode>,

    /// Worker threads, 1 to 1024, or auto: the CPU limit rounded up, else the CPU request, else the cores [default: auto]
    #[arg(long, value_name = "N")]
    pub workers: Option<WorkerCount>,

    /// Which kernel interface moves the bytes: auto, epoll, io_uring or io_uring-sqpoll [default: auto]
    #[arg(long, value_name = "DRIVER")]
    pub io_driver: Option<IoDriver>,

    /// Where /live, /ready, /startup, /metrics and /config are served: ADDRESS:PORT, or off [default: 127.0.0.1:7590]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<AdminAddress>,

    /// A YAML file that says what flags can say, and more: routes, timeouts, limits
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Flags {
    /// The flags as a layer; the listeners are not among them, for one flag is a field of many listeners.
    pub(super) fn layer(&self) -> StaticFile {
        StaticFile {
            workers: self.workers.map(|count| Workers { count: Some(count), pin: None }),
            io_driver: self.io_driver,
            admin: self.admin,
            policy: self.coalesce.map(|mode| Policy {
                coalescing: Some(Coalescing { mode: Some(mode), ..Coalescing::default() }),
                ..Policy::default()
            }),
            ..StaticFile::default()
        }
    }

    /// The first flag that is for listeners with TLS alone.
    pub(super) fn for_tls(&self) -> Option<&'static str> {
        [
            ("--tls-cert", !self.tls_cert.is_empty()),
            ("--tls-mode", self.tls_mode.is_some()),
            ("--tls-client-ca", self.tls_client_ca.is_some()),
            ("--tls-client-certificates", self.tls_client_certificates.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }

    /// The nth `--tls-key` belongs to the nth `--tls-cert`.
    pub(super) fn certificates(&self) -> Result<Vec<Certificate>, Error> {
        let (certs, keys) = (self.tls_cert.len(), self.tls_key.len());
        if certs != keys {
            let flag = if certs > keys { "--tls-key" } else { "--tls-cert" };
            let what = format!(
                "found {certs} --tls-cert and {keys} --tls-key, allowed: one key for each certificate, in the same order"
            );
            return Err(Error::flag(flag, what));
        }
        let pairs = self.tls_cert.iter().zip(&self.tls_key);
        Ok(pairs.map(|(cert, key)| Certificate { cert: cert.clone(), key: key.clone() }).collect())
    }
}
