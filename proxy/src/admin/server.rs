//! Connections of the admin server, with a bound on their number and on every wait.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::routes;
use crate::report::Proxy;

/// A kubelet, a few scrapers and people. Beyond it the oldest gives way: who holds connections open cannot lock a probe out.
const CONNECTIONS_MAX: usize = 64;

/// A head of a probe or a scrape is a few hundred bytes (hyper's least is 8 KiB).
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Between two attempts to accept when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// To send a whole head, the idle time before it included.
    pub head: Duration,
    /// From accept to close: it bounds a reader that never takes its answer.
    pub connection: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits { head: Duration::from_secs(10), connection: Duration::from_secs(3600) }
    }
}

/// The two ends of a connection, as the kernel tells them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Ends {
    /// Both on loopback, also where a dual-stack socket writes it `::ffff:127.0.0.1`.
    pub(super) fn are_loopback(&self) -> bool {
        self.local.ip().to_canonical().is_loopback() && self.remote.ip().to_canonical().is_loopback()
    }
}

/// Accepts for ever; dropping the future closes the listener and every connection.
pub async fn serve(listener: TcpListener, proxy: Arc<Proxy>, waits: Waits) {
    let router = routes::router(proxy);
    let mut open = JoinSet::new();
    let mut by_age = VecDeque::<AbortHandle>::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let ends = accepted.and_then(|(stream, remote)| Ok((Ends { local: stream.local_addr()?, remote }, stream)));
        let Ok((ends, stream)) = ends else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        by_age.retain(|connection| !connection.is_finished());
        if by_age.len() >= CONNECTIONS_MAX
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        by_age.push_back(open.spawn(connection(stream, router.clone().layer(Extension(ends)), waits)));
    }
}

fn connection(stream: TcpStream, router: Router, waits: Waits) -> impl Future<Output = ()> {
    let requests = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(waits.head)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async move {
        // A broken connection is its own end: there is nobody to tell.
        let _ = tokio::time::timeout(waits.connection, requests).await;
    }
}
