//! Certificates that change on disk while the proxy runs.
//!
//! In: the certificates of each TLS listener. Out: reloads, each counted and in the log. On the control thread: the files are small, and no
//! worker waits for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::Counter;
use crate::tls::{Certificates, Watch};

/// How often is looked. The kubelet itself takes up to a minute to bring a changed Secret into a volume.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How changes on disk ended: one for each listener and change. Written by the control thread alone.
#[derive(Debug, Default)]
pub struct Reloads {
    pub ok: Counter,
    pub failed: Counter,
}

/// Looks until the runtime ends.
pub(super) async fn follow(certificates: Vec<Arc<Certificates>>, reloads: Arc<Reloads>) {
    let mut watches: Vec<Watch> = certificates.into_iter().map(Watch::new).collect();
    if watches.is_empty() {
        return;
    }
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for watch in &mut watches {
            look(watch, &reloads);
        }
    }
}

fn look(watch: &mut Watch, reloads: &Reloads) {
    match watch.look() {
        None => {}
        Some(Ok(())) => {
            reloads.ok.add(1);
            for file in watch.certificates().files() {
                tracing::info!("{}: read again after a change on disk, in force for new connections", file.display());
            }
            for warning in watch.certificates().warnings(SystemTime::now()) {
                tracing::warn!("{warning}");
            }
        }
        Some(Err(error)) => {
            reloads.failed.add(1);
            tracing::error!("{error}; the change on disk is not taken, what was read before stays in force");
        }
    }
}
