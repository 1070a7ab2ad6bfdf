//! What holds, made ready to run: names to addresses, `auto` to a number of workers, files seen to be there.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipstream_schema::{
    AdminAddress, Certificate, ClientCertificates, FilePath, Host, Listener, ListenerTls, Misfit, StaticFile,
    UpstreamUrl, WorkerCount,
};

use super::cpus::{Cpus, WORKERS_MAX};
use super::{
    ClientAuth, Error, IoDriver, ListenerSettings, Loaded, Memory, Settings, Snapshot, TelemetrySettings, TlsMode,
    TlsSettings, UpstreamSettings, drain, policy,
};

/// What the environment tells the proxy, read once. Wiring of an injected pod; none of it is needed outside a cluster.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `SLIPSTREAM_CPU_REQUEST_MILLI`
    pub cpu_request_milli: Option<String>,
    /// `SLIPSTREAM_GRACE_SECONDS`
    pub grace_seconds: Option<String>,
    /// `SLIPSTREAM_POD_NAMESPACE`
    pub namespace: Option<String>,
    /// `SLIPSTREAM_WORKLOAD`
    pub workload: Option<String>,
    /// `SLIPSTREAM_MEMORY_LIMIT`, in bytes
    pub memory_limit: Option<String>,
    /// `OTEL_*` and `SLIPSTREAM_*`, as telemetry reads them.
    pub telemetry: BTreeMap<String, String>,
}

impl Environment {
    pub fn of_process() -> Environment {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Environment {
            cpu_request_milli: set("SLIPSTREAM_CPU_REQUEST_MILLI"),
            grace_seconds: set("SLIPSTREAM_GRACE_SECONDS"),
            namespace: set("SLIPSTREAM_POD_NAMESPACE"),
            workload: set("SLIPSTREAM_WORKLOAD"),
            memory_limit: set("SLIPSTREAM_MEMORY_LIMIT"),
            telemetry: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("SLIPSTREAM_"))
                .collect(),
        }
    }

    /// Names this deployment in `Proxy-Status`.
    fn name(&self) -> String {
        match (&self.namespace, &self.workload) {
            (Some(namespace), Some(workload)) => format!("{namespace}/{workload}"),
            _ => "slipstream".to_owned(),
        }
    }

    /// What this machine and the environment allow us to hold.
    pub fn memory(&self) -> Memory {
        Memory::of_machine(Path::new("/"), self.memory_limit.as_deref())
    }

    /// As many workers as `count` says; `auto` asks this machine.
    pub fn workers(&self, count: WorkerCount) -> usize {
        match count {
            WorkerCount::Fixed(count) => usize::try_from(count.get()).unwrap_or(WORKERS_MAX),
            WorkerCount::Auto => Cpus::of_machine(Path::new("/")).workers(self.cpu_request_milli.as_deref()),
        }
    }
}

/// What holds where neither flag nor file says anything, as `demo` needs it.
pub fn built_in_snapshot() -> Snapshot {
    let effective = StaticFile::merge([]);
    let dump = serde_json::json!({"effective": effective.value, "origins": effective.origins, "notYetInForce": []});
    policy::snapshot(&effective.value.policy.unwrap_or_else(slipstream_schema::Policy::built_in), dump)
}

impl Loaded {
    /// Errors: no listener, a certificate or key that is not there, an app whose name cannot be resolved, an environment that says nonsense.
    pub fn settings(&self, environment: &Environment) -> Result<Settings, Error> {
        let file = &self.effective.value;
        let listeners = file.listeners.as_deref().unwrap_or_default();
        if listeners.is_empty() {
            return Err(Error::flag("--listen", NO_LISTENER));
        }
        if let Some(absent) = self.absent_files().into_iter().next() {
            return Err(absent);
        }
        let listeners = listeners.iter().enumerate().map(|(index, listener)| self.listener(index, listener));
        let workers = file.workers.clone().unwrap_or_default();
        Ok(Settings {
            listeners: listeners.collect::<Result<_, _>>()?,
            workers: environment.workers(workers.count.unwrap_or(WorkerCount::Auto)),
            pin: workers.pin.unwrap_or(false),
            io_driver: file.io_driver.map_or(IoDriver::Auto, IoDriver::from),
            admin: match file.admin {
                Some(AdminAddress::At(address)) => Some(address),
                Some(AdminAddress::Off) | None => None,
            },
            drain: drain::settings(&file.drain.clone().unwrap_or_default(), environment.grace_seconds.as_deref())?,
            name: environment.name(),
            memory: environment.memory(),
            telemetry: TelemetrySettings {
                service_name: file
                    .telemetry
                    .as_ref()
                    .and_then(|telemetry| telemetry.service_name.as_ref())
                    .map(|name| name.as_str().to_owned()),
                environment: environment.telemetry.clone(),
            },
            snapshot: Arc::new(self.snapshot()),
        })
    }

    /// What requests are judged by.
    pub fn snapshot(&self) -> Snapshot {
        let policy = self.effective.value.policy.clone().unwrap_or_else(slipstream_schema::Policy::built_in);
        policy::snapshot(&policy, self.dump())
    }

    /// What `run` would not start for on this machine, although the configuration itself is right.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles: Vec<String> = self.absent_files().iter().map(Error::to_string).collect();
        if self.effective.value.listeners.as_deref().unwrap_or_default().is_empty() {
            obstacles.push(Error::flag("--listen", NO_LISTENER).to_string());
        }
        obstacles
    }

    fn listener(&self, index: usize, listener: &Listener) -> Result<ListenerSettings, Error> {
        let upstream = listener.upstream.as_ref().map(|url| (url, resolve(url)));
        let upstream = match upstream {
            Some((url, Ok(addresses))) => UpstreamSettings { authority: url.authority().to_owned(), addresses },
            Some((_, Err(what))) => return Err(self.of_listener(index, "upstream", "--upstream", what)),
            None => return Err(self.of_listener(index, "upstream", "--upstream", "missing".to_owned())),
        };
        let certificates = certificates_of(listener);
        let pairs =
            certificates.iter().map(|pair| (PathBuf::from(pair.cert.as_str()), PathBuf::from(pair.key.as_str())));
        let tls = listener.tls.as_ref().map(|tls| TlsSettings {
            certificates: pairs.collect(),
            mode: tls.mode.unwrap_or(TlsMode::Required),
            client_auth: client_auth(tls),
        });
        Ok(ListenerSettings { address: listener.address.socket, tls, upstream })
    }

    /// The files of TLS that are not there. What is in them is read by the room of TLS.
    fn absent_files(&self) -> Vec<Error> {
        let mut absent = Vec::new();
        for (index, listener) in self.effective.value.listeners.iter().flat_map(|list| list.iter()).enumerate() {
            for (number, Certificate { cert, key }) in certificates_of(listener).iter().enumerate() {
                for (field, flag, file) in [("cert", "--tls-cert", cert), ("key", "--tls-key", key)] {
                    if let Some(what) = absence(file.as_str()) {
                        let field = format!("tls.certificates[{number}].{field}");
                        absent.push(self.of_listener(index, &field, flag, what));
                    }
                }
            }
            if let Some(what) = authorities_of(listener).and_then(|file| absence(file.as_str())) {
                absent.push(self.of_listener(index, "tls.clientCa", "--tls-client-ca", what));
            }
        }
        absent
    }

    fn of_listener(&self, index: usize, field: &str, flag: &'static str, what: String) -> Error {
        self.refuse(flag, Misfit { field: format!("listeners[{index}].{field}"), what })
    }
}

const NO_LISTENER: &str =
    "missing: say where to accept, such as `--listen http://127.0.0.1:8080`, or `listeners` in the file";

fn certificates_of(listener: &Listener) -> &[Certificate] {
    listener.tls.as_ref().and_then(|tls| tls.certificates.as_deref()).unwrap_or_default()
}

/// The file that is read: none where clients are not asked.
fn authorities_of(listener: &Listener) -> Option<&FilePath> {
    let tls = listener.tls.as_ref()?;
    tls.client_ca.as_ref().filter(|_| tls.client_certificates != Some(ClientCertificates::Off))
}

fn client_auth(tls: &ListenerTls) -> ClientAuth {
    let authorities = tls.client_ca.as_ref().map(|file| PathBuf::from(file.as_str()));
    match (tls.client_certificates, authorities) {
        (Some(ClientCertificates::Off), _) | (_, None) => ClientAuth::Off,
        (Some(ClientCertificates::Optional), Some(file)) => ClientAuth::Optional(file),
        (Some(ClientCertificates::Required) | None, Some(file)) => ClientAuth::Required(file),
    }
}

fn absence(file: &str) -> Option<String> {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => Some(format!("found `{file}`, which is a directory; allowed: a PEM file")),
        Ok(_) => None,
        Err(error) => Some(format!("found `{file}`, which cannot be read: {error}; allowed: a PEM file")),
    }
}

/// In the resolver's order, each once.
fn resolve(url: &UpstreamUrl) -> Result<Vec<SocketAddr>, String> {
    let name = match url.host() {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, url.port())]),
        Host::Name(name) => name,
    };
    let found = (name.as_str(), url.port())
        .to_socket_addrs()
        .map_err(|error| format!("found `{url}`, whose host cannot be resolved: {error}"))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(format!("found `{url}`, whose host has no address")) } else { Ok(addresses) }
}

impl From<slipstream_schema::IoDriver> for IoDriver {
    fn from(word: slipstream_schema::IoDriver) -> IoDriver {
        match word {
            slipstream_schema::IoDriver::Auto => IoDriver::Auto,
            slipstream_schema::IoDriver::Epoll => IoDriver::Epoll,
            slipstream_schema::IoDriver::IoUring => IoDriver::IoUring,
            slipstream_schema::IoDriver::IoUringSqpoll => IoDriver::IoUringSqpoll,
        }
    }
}

#[cfg(test)]
mod tests;
