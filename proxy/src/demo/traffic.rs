//! A little traffic: two clients on kept connections, one over TLS and one plain, each on its own thread.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::certificate::Certificate;
use super::client::{Client, Request};
use crate::stop::Stop;

/// After so many requests a client comes back on a new connection, as people do.
const REQUESTS_PER_CONNECTION: usize = 40;

/// What one client does, over and over.
struct Script {
    name: &'static str,
    requests: &'static [Request<'static>],
    pause: Duration,
}

const OVER_TLS: Script = Script {
    name: "https",
    requests: &[
        Request { method: "GET", target: "/hello", body: b"" },
        Request { method: "GET", target: "/headers", body: b"" },
        Request { method: "POST", target: "/echo", body: &[b'e'; 2048] },
        Request { method: "GET", target: "/slow?ms=200", body: b"" },
        Request { method: "GET", target: "/big?bytes=262144", body: b"" },
        Request { method: "GET", target: "/hello", body: b"" },
    ],
    pause: Duration::from_millis(150),
};

const PLAIN: Script = Script {
    name: "http",
    requests: &[
        Request { method: "GET", target: "/hello", body: b"" },
        Request { method: "GET", target: "/slow?ms=500", body: b"" },
        Request { method: "GET", target: "/", body: b"" },
    ],
    pause: Duration::from_millis(300),
};

/// Clients that run until the proxy is asked to stop.
pub(super) struct Traffic {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    failed: AtomicU64,
    body_bytes: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// What the clients saw; the proxy's counters say what it saw.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) answered: u64,
    /// No whole answer, or a 5xx.
    pub(super) failed: u64,
    pub(super) body_bytes: u64,
    pub(super) last_failure: Option<String>,
}

impl Traffic {
    pub(super) fn start(
        certificate: &Certificate,
        https: SocketAddr,
        http: SocketAddr,
        stop: &Arc<Stop>,
    ) -> Result<Traffic, Box<dyn Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.ca_der.clone())?;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();

        let counts = Arc::new(Counts::default());
        let spawn = |script: Script, mut client: Client| {
            let (counts, stop) = (counts.clone(), stop.clone());
            let play = move || play(&script, &mut client, &counts, &stop);
            std::thread::Builder::new().name("demo-client".to_owned()).spawn(play)
        };
        let clients =
            vec![spawn(OVER_TLS, Client::new(https, Some(Arc::new(tls))))?, spawn(PLAIN, Client::new(http, None))?];
        Ok(Traffic { counts, clients })
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            answered: self.counts.answered.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            body_bytes: self.counts.body_bytes.load(Relaxed),
            last_failure: self.counts.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Waits for the clients, which end once the proxy is asked to stop.
    pub(super) fn finish(mut self) -> Tally {
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
        self.tally()
    }
}

fn play(script: &Script, client: &mut Client, counts: &Counts, stop: &Stop) {
    for (n, request) in script.requests.iter().cycle().enumerate() {
        if n % REQUESTS_PER_CONNECTION == 0 {
            client.hang_up();
        }
        let failure = match client.send(request) {
            Ok(answer) => {
                counts.body_bytes.fetch_add(answer.body_bytes, Relaxed);
                (answer.status >= 500).then(|| format!("status {}", answer.status))
            }
            Err(error) => Some(error.to_string()),
        };
        match failure {
            None => {
                counts.answered.fetch_add(1, Relaxed);
            }
            // A proxy that has been asked to stop may close any connection.
            Some(_) if stop.is_asked() => {}
            Some(why) => {
                counts.failed.fetch_add(1, Relaxed);
                let failure = format!("{} {} {}: {why}", script.name, request.method, request.target);
                *counts.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            }
        }
        if stop.wait_timeout(script.pause) {
            return;
        }
    }
}
