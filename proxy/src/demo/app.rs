//! The app behind the proxy: what a team would have written, in one page.
//!
//! In: requests on loopback. Out: a page for a browser, answers that are quick, slow, large or echoed. Must not know: the proxy; it is
//! an ordinary server on a port and a thread of its own.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// Longer than this is a mistake in the query.
const SLOW_MAX: Duration = Duration::from_secs(600);

static CHUNK: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// An app that runs, until it is dropped.
#[derive(Debug)]
pub(super) struct App {
    pub(super) address: SocketAddr,
    slow_asked: Arc<AtomicU64>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    pub(super) fn start(listener: TcpListener) -> io::Result<App> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (end, ended) = oneshot::channel();
        let slow_asked = Arc::new(AtomicU64::new(0));
        let router = router(slow_asked.clone());
        let serve = move || {
            runtime.block_on(async {
                let service = router.into_make_service_with_connect_info::<SocketAddr>();
                tokio::select! {
                    _ = axum::serve(listener, service).into_future() => {}
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("demo-app".to_owned()).spawn(serve)?;
        Ok(App { address, slow_asked, end: Some(end), thread: Some(thread) })
    }

    /// How often somebody has asked for `/slow`.
    pub(super) fn slow_asked(&self) -> u64 {
        self.slow_asked.load(Relaxed)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(slow_asked: Arc<AtomicU64>) -> Router {
    let counted = move |uri| {
        slow_asked.fetch_add(1, Relaxed);
        slow(uri)
    };
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/hello", get(async || "hello from the app\n"))
        .route("/slow", get(counted))
        .route("/big", get(big))
        .route("/echo", post(echo))
        .route("/headers", any(headers))
        .fallback(async || {
            (StatusCode::NOT_FOUND, "the app has /, /hello, /slow?ms=, /big?bytes=, POST /echo and /headers\n")
        })
}

/// `/slow?ms=200`
async fn slow(uri: Uri) -> Response {
    match number(&uri, "ms", 200).map(Duration::from_millis) {
        Some(pause) if pause <= SLOW_MAX => {
            tokio::time::sleep(pause).await;
            format!("slept for {} ms\n", pause.as_millis()).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "ms is a number of milliseconds, at most 600000\n").into_response(),
    }
}

/// `/big?bytes=1048576`, made while it is sent: no size needs memory.
async fn big(uri: Uri) -> Response {
    match number(&uri, "bytes", 1024 * 1024) {
        Some(left) => ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(Big { left })).into_response(),
        None => (StatusCode::BAD_REQUEST, "bytes is a number\n").into_response(),
    }
}

/// The body goes back as it comes.
async fn echo(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(request.into_body());
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// The request as it reached the app, and on which connection: two requests with one port shared a connection.
async fn headers(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> String {
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = writeln!(text, "\nThe app received this from {peer}.");
    text
}

/// A number of the query; `None` where it is none.
fn number(uri: &Uri, key: &str, default: u64) -> Option<u64> {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(name, _)| *name == key) {
        Some((_, value)) => value.parse().ok(),
        None => Some(default),
    }
}

/// A body of so many bytes.
struct Big {
    left: u64,
}

impl hyper::body::Body for Big {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK.len());
        self.left -= bytes as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK[..bytes])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
