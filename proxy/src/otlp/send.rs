//! Sends one message after another, and tries again where that may help.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connect::{self, Connection};
use super::random;
use super::reply::{self, Reply};
use super::settings::{Protocol, Target};
use crate::telemetry::exports::{ExportCounters, Outcome, Signal};

const AGENT: &str = concat!("OTel-OTLP-Exporter-Rust slipstream/", env!("CARGO_PKG_VERSION"));

/// An answer is a few bytes; a longer one is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The first wait before a message is sent again, and the longest. They grow by a half, and vary by as much, so that proxies do not come back all at once.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The same trouble is told again after so long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Sends the messages of one signal to its collector.
pub struct Exporter {
    signal: Signal,
    target: Target,
    exports: Arc<ExportCounters>,
    connection: Option<Connection>,
    trouble: Option<Trouble>,
}

/// What is wrong, as it was told last.
struct Trouble {
    what: String,
    told: Instant,
}

impl Exporter {
    /// Errors: why it cannot be, for people: a file of TLS that cannot be used.
    pub fn new(signal: Signal, target: Target, exports: Arc<ExportCounters>) -> Result<Exporter, String> {
        if target.url.is_tls {
            connect::tls(&target.tls, target.protocol)?;
        }
        Ok(Exporter { signal, target, exports, connection: None, trouble: None })
    }

    /// Sends `message`, an encoded request of so many `items`, and counts what becomes of them. All that is tried for it has the target's timeout.
    pub async fn export(&mut self, message: Vec<u8>, items: u64) {
        let mut counted = Counted {
            exports: self.exports.clone(),
            signal: self.signal,
            items,
            rejected: 0,
            outcome: Outcome::Failed,
        };
        let body = Bytes::from(self.body(&message));
        let until = Instant::now() + self.target.timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let reply = match timeout_at(until, self.send(body.clone(), items)).await {
                Ok(reply) => reply,
                Err(_) => {
                    self.connection = None;
                    self.tell(format!("it did not answer in {:?}", self.target.timeout));
                    return;
                }
            };
            match reply {
                Reply::Taken { rejected, says } => {
                    (counted.outcome, counted.rejected) = (Outcome::Sent, rejected);
                    return match says {
                        Some(says) => self.tell(format!("it took {} of {items}: {says}", items - rejected)),
                        None => self.recovered(),
                    };
                }
                Reply::Refused(why) => {
                    counted.outcome = Outcome::Rejected;
                    return self.tell(why);
                }
                Reply::Later(why, after) => {
                    // What it asks for may be beyond all time.
                    let next = Instant::now().checked_add(after.unwrap_or_else(|| random::about(wait)));
                    self.tell(why);
                    let Some(next) = next.filter(|next| *next < until) else { return };
                    sleep_until(next).await;
                    wait = (wait * 3 / 2).min(LONGEST_WAIT);
                    self.exports.add_retry(self.signal);
                }
            }
        }
    }

    /// As it goes on the wire: compressed, and for gRPC with its prefix (gRPC over HTTP/2, "Length-Prefixed-Message").
    fn body(&self, message: &[u8]) -> Vec<u8> {
        let compressed = self.target.gzip.then(|| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(message).and_then(|()| gzip.finish()).expect("memory can be written to")
        });
        let payload = compressed.as_deref().unwrap_or(message);
        match self.target.protocol {
            Protocol::HttpProtobuf => payload.to_vec(),
            Protocol::Grpc => {
                let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                [&[u8::from(self.target.gzip)][..], &len.to_be_bytes(), payload].concat()
            }
        }
    }

    /// One try.
    async fn send(&mut self, body: Bytes, items: u64) -> Reply {
        let request = match self.request(body) {
            Ok(request) => request,
            Err(error) => return Reply::Refused(format!("its request cannot be written: {error}")),
        };
        let mut connection = match self.connection.take() {
            Some(mut kept) => kept.is_ready().await.then_some(kept),
            None => None,
        };
        if connection.is_none() {
            connection = match Connection::open(&self.target).await {
                Ok(connection) => Some(connection),
                Err(why) => return Reply::Later(why, None),
            };
        }
        let Some(mut connection) = connection else { return Reply::Later("there is no connection".to_owned(), None) };
        let broke = |error: hyper::Error| Reply::Later(format!("it broke off: {error}"), None);
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(error) => return broke(error),
        };
        let (head, body) = response.into_parts();
        // What is too long, or breaks off, says nothing that the status does not.
        let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let (bytes, trailers) = match collected {
            Ok(collected) => {
                let trailers = collected.trailers().cloned();
                self.connection = Some(connection);
                (collected.to_bytes(), trailers)
            }
            Err(_) => (Bytes::new(), None),
        };
        let status = head.status.as_u16();
        match self.target.protocol {
            Protocol::HttpProtobuf => reply::of_http(status, &head.headers, &bytes, items),
            Protocol::Grpc => reply::of_grpc(status, trailers.as_ref().unwrap_or(&head.headers), &bytes, items),
        }
    }

    fn request(&self, body: Bytes) -> hyper::http::Result<Request<Full<Bytes>>> {
        let Target { url, headers, gzip, timeout, protocol, .. } = &self.target;
        let mut request = Request::post(url.target()).header("user-agent", AGENT);
        match protocol {
            Protocol::HttpProtobuf => {
                request = request.header("host", url.authority()).header("content-type", "application/x-protobuf");
                if *gzip {
                    request = request.header("content-encoding", "gzip");
                }
            }
            Protocol::Grpc => {
                let scheme = if url.is_tls { "https" } else { "http" };
                let whole = format!("{scheme}://{}{}", url.authority(), url.target());
                request = request.uri(whole).header("content-type", "application/grpc").header("te", "trailers");
                request = request.header("grpc-timeout", format!("{}m", timeout.as_millis().min(99_999_999)));
                if *gzip {
                    request = request.header("grpc-encoding", "gzip");
                }
            }
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }

    fn tell(&mut self, what: String) {
        let is_known = self
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.what == what && trouble.told.elapsed() < TOLD_AGAIN_AFTER);
        if !is_known {
            tracing::warn!("export of {} to {}: {what}", self.signal.label(), self.target.url);
            self.trouble = Some(Trouble { what, told: Instant::now() });
        }
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("export of {} to {}: it works again", self.signal.label(), self.target.url);
        }
    }
}

/// What becomes of the items of a message; where its export is given up, they have failed.
struct Counted {
    exports: Arc<ExportCounters>,
    signal: Signal,
    items: u64,
    rejected: u64,
    outcome: Outcome,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.exports.add_items(self.signal, self.outcome, self.items - self.rejected);
        self.exports.add_items(self.signal, Outcome::Rejected, self.rejected);
    }
}

#[cfg(test)]
mod tests;
