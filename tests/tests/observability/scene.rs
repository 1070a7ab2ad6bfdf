//! A proxy and load of every kind that the dashboard has a panel for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slipstream_tests::otel::Collector;
use slipstream_tests::{App, Certs, Client, Proxy, Running, Tls};

const POLICY: &str = "\
timeouts: {responseHeaders: 300ms}
concurrency: {limit: 12, queue: {depth: 12, timeout: 60ms}}
routes:
  - match: {path: /report}
  - match: {pathPrefix: /items}
";

/// How long the dashboard's case plays.
pub fn seconds() -> u64 {
    std::env::var("DASHBOARD_SECONDS").map_or(12, |text| text.parse().expect("DASHBOARD_SECONDS is a number"))
}

pub struct Scene {
    proxy: Running,
    trust: Tls,
    _app: App,
    _certs: Certs,
    _collector: Collector,
}

impl Scene {
    pub fn open() -> Scene {
        let (app, certs, collector) = (app(), Certs::new(), Collector::start());
        let proxy = Proxy::in_front_of(&app).tls(certs.leaf(&["shop.example"])).policy(POLICY);
        let proxy = proxy.env("SLIPSTREAM_MEMORY_LIMIT", "268435456").env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
        let proxy = proxy.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http())).start();
        let trust = Tls::to("shop.example", &certs);
        Scene { proxy, trust, _app: app, _certs: certs, _collector: collector }
    }

    pub fn admin(&self) -> SocketAddr {
        self.proxy.admin()
    }

    /// Plays for so long; from when to when, in seconds since 1970, there is something to see.
    pub fn play(&self, seconds: u64) -> (f64, f64) {
        let (until, numbers) = (Instant::now() + Duration::from_secs(seconds), AtomicUsize::new(0));
        // No two requests are for the same thing, where they should not share an answer.
        let next = &|| numbers.fetch_add(1, SeqCst);
        let begin = now();
        thread::scope(|scope| {
            for visitor in 0..4 {
                scope.spawn(move || self.browse(until, visitor, next));
            }
            scope.spawn(|| {
                every(until, 500, || {
                    // More at once than the limit and the queue take, and requests for one thing, which are one.
                    self.crowd(32, &|| format!("/slow/{}", next()));
                    self.crowd(30, &|| "/report".to_owned());
                });
            });
            scope.spawn(|| {
                every(until, 300, || {
                    for target in ["/status/500", "/status/404", "/never"] {
                        self.proxy.client().get(&format!("{target}?{}", next()));
                    }
                });
            });
            scope.spawn(|| {
                every(until, 50, || {
                    Client::tls(self.proxy.https(), &self.trust).get(&format!("/items/{}", next()));
                });
            });
            scope.spawn(|| every(until, 400, || self.misbehave()));
        });
        (begin, now())
    }

    /// Reads and writes on one connection, some faster than others. After a refusal it is a new one.
    fn browse(&self, until: Instant, visitor: u64, next: &dyn Fn() -> usize) {
        let mut client = self.proxy.client();
        every(until, 4 + 6 * visitor, || {
            for request in [
                format!("GET /items/{} HTTP/1.1\r\nHost: a\r\n\r\n", next()),
                format!("POST /items HTTP/1.1\r\nHost: a\r\nContent-Length: 512\r\n\r\n{:512}", ""),
                format!("GET /close/{} HTTP/1.1\r\nHost: a\r\n\r\n", next()),
            ] {
                client.offer(request);
                if client.try_response().is_err() {
                    client = self.proxy.client();
                }
            }
        });
    }

    /// So many at once, each on a connection of its own.
    fn crowd(&self, count: usize, target: &(dyn Fn() -> String + Sync)) {
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| self.proxy.client().get(&target()));
            }
        });
    }

    /// No TLS where there should be; and a caller that leaves.
    fn misbehave(&self) {
        let mut stranger = TcpStream::connect(self.proxy.https()).unwrap();
        stranger.write_all(b"SSH-2.0-stranger\r\n").unwrap();
        let _ = stranger.read(&mut [0; 64]);
        let mut impatient = self.proxy.client();
        impatient.send("GET /never?impatient HTTP/1.1\r\nHost: a\r\n\r\n");
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// Acts, and again after so many milliseconds, until then.
fn every(until: Instant, pause_ms: u64, mut act: impl FnMut()) {
    while Instant::now() < until {
        act();
        thread::park_timeout(Duration::from_millis(pause_ms));
    }
}

/// Answers by the first part of the path: `/slow` and `/report` after a while, `/never` not, `/status/404` with that; `/close` closes
/// when its connection has been used before.
fn app() -> App {
    App::scripted(|mut conn| {
        let mut served = 0;
        while let Some(request) = conn.request() {
            served += 1;
            let target = request.target.clone();
            let mut parts = target.split(['/', '?']).skip(1);
            let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            match first {
                "slow" => thread::park_timeout(Duration::from_millis(120)),
                "report" => thread::park_timeout(Duration::from_millis(60)),
                "never" => {
                    conn.closed();
                    return;
                }
                "close" if served > 1 => return,
                _ => {}
            }
            let status = if first == "status" { second } else { "200" };
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 1024\r\n\r\n");
            if !conn.send([head.as_bytes(), &[b'x'; 1024]].concat()) {
                return;
            }
        }
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
