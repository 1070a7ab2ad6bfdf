//! What the admin server answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::server::Ends;
use super::text;
use crate::report::{self, Proxy};
use crate::stop::Phase;

const PATHS: &str = "\
/live     200 while the process runs
/startup  200 once every worker accepts connections
/ready    the same, and 503 again once the proxy drains or ends
/metrics  Prometheus text format
/config   the policy in force and where each field comes from (from loopback only)
/drain    POST: end in order, and take connections for a while yet (from loopback only)
";

pub(super) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/startup", get(startup))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/drain", post(drain))
        .fallback(async || (StatusCode::NOT_FOUND, format!("no such page; there are\n{PATHS}")))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only, but for /drain: POST\n")
        })
        .with_state(proxy)
}

async fn startup(State(proxy): State<Arc<Proxy>>) -> (StatusCode, &'static str) {
    if proxy.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "started\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: not every worker accepts connections yet\n")
    }
}

async fn ready(State(proxy): State<Arc<Proxy>>) -> (StatusCode, &'static str) {
    let phase = proxy.stop.phase();
    if phase == Phase::Draining {
        (StatusCode::SERVICE_UNAVAILABLE, "draining: connections are still taken, but send no more\n")
    } else if phase > Phase::Draining {
        (StatusCode::SERVICE_UNAVAILABLE, "ending: no new connections are taken\n")
    } else if proxy.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: not every worker accepts connections yet\n")
    }
}

async fn metrics(State(proxy): State<Arc<Proxy>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text::render(&report::families(&proxy)))
        .into_response()
}

async fn config(State(proxy): State<Arc<Proxy>>, Extension(ends): Extension<Ends>) -> Response {
    if !ends.are_loopback() {
        let cure = "/config is answered on loopback only: use kubectl port-forward, or curl inside the pod\n";
        return (StatusCode::FORBIDDEN, cure).into_response();
    }
    let snapshot = proxy.snapshot.load();
    let shown = serde_json::json!({
        "generation": snapshot.generation,
        "workers": proxy.counters.len(),
        "ioDriver": {"name": proxy.driver.name, "reason": proxy.driver.reason},
        "policy": snapshot.dump,
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{shown:#}\n")).into_response()
}

/// Returns at once: the kubelet waits for who asks before it goes on. Asked again it changes nothing.
async fn drain(State(proxy): State<Arc<Proxy>>, Extension(ends): Extension<Ends>) -> (StatusCode, &'static str) {
    if !ends.are_loopback() {
        return (
            StatusCode::FORBIDDEN,
            "/drain is answered on loopback only: run slipstream-proxy drain inside the pod\n",
        );
    }
    proxy.stop.advance(Phase::Draining);
    (StatusCode::ACCEPTED, "draining\n")
}

#[cfg(test)]
mod tests;
