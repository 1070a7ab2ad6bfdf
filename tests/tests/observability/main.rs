//! What users are given to look at the metrics with, deploy/observability: each query of the dashboard and of the alerts is asked of a real
//! Prometheus that scrapes a proxy under all kinds of load, and what it answers is drawn.
//!
//! `DASHBOARD_PICTURES=folder` keeps the drawings there, `DASHBOARD_SECONDS` makes them longer: `just dashboard-pictures`.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must panic, and the panic is its report")]

mod alerts;
mod dashboard;
mod draw;
mod metrics;
mod queries;
mod scene;
