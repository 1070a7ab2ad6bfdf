//! What coalescing did.

use std::sync::atomic::Ordering::Relaxed;

use super::{Families, Kind, Sums};
use crate::telemetry::families::Buckets;
use crate::telemetry::{FOLLOWERS_BOUNDS, Histogram, Outcome, Role, WAIT_BOUNDS_MS, WorkerCounters};

/// Those that a dashboard adds up are there from the start, all others once they have happened.
const ALWAYS: [(Role, Outcome); 3] =
    [(Role::Leader, Outcome::Shared), (Role::Follower, Outcome::Shared), (Role::Alone, Outcome::Shared)];

pub(super) fn coalesce(families: &mut Families, sums: &Sums<'_>) {
    let requests = families.family(
        "slipstream_coalesce_requests_total",
        Kind::Counter, "{request}",
        "Requests that could share an answer, by their role and what became of it; followers that shared are requests the app was saved.",
    );
    for (role, role_label) in Role::LABELS.into_iter().enumerate() {
        for (outcome, outcome_label) in Outcome::LABELS.into_iter().enumerate() {
            let count = sums.of(|worker| worker.coalesce.requests[role][outcome].sum());
            let is_always = ALWAYS.iter().any(|always| (always.0 as usize, always.1 as usize) == (role, outcome));
            if count > 0 || is_always {
                requests.series([("role", role_label), ("outcome", outcome_label)], count);
            }
        }
    }
    families.gauge(
        "slipstream_coalesce_flights",
        "{flight}",
        "Requests to the app whose answer may be shared, under way.",
        sums.of(|worker| worker.coalesce.flights.now()),
    );
    families.gauge(
        "slipstream_coalesce_followers",
        "{request}",
        "Requests that wait for, or are sent, the answer to another's.",
        sums.of(|worker| worker.coalesce.followers.now()),
    );
    families.gauge(
        "slipstream_coalesce_retained_bytes",
        "By",
        "Bytes of shared bodies held for participants that have not sent them, in bytes.",
        sums.of(|worker| worker.coalesce.retained_bytes.load(Relaxed)),
    );
    families.gauge(
        "slipstream_coalesce_pass_entries",
        "{key}",
        "Keys, by worker, whose requests do not wait because their answers must not be shared.",
        sums.of(|worker| worker.coalesce.pass_entries.now()),
    );
    families.histogram(
        "slipstream_coalesce_wait_seconds",
        "s",
        "How long followers wait for the head of the answer they share, in seconds.",
        read(sums, |worker| &worker.coalesce.wait_ms, WAIT_BOUNDS_MS, 1000.0),
    );
    families.histogram(
        "slipstream_coalesce_flight_followers",
        "{request}",
        "Followers of a request to the app, where it had some.",
        read(sums, |worker| &worker.coalesce.flight_followers, FOLLOWERS_BOUNDS, 1.0),
    );
}

/// `per_unit` of what is counted are one of what is shown.
fn read<const N: usize>(
    sums: &Sums<'_>,
    of: impl Fn(&WorkerCounters) -> &Histogram<N>,
    bounds: [u64; N],
    per_unit: f64,
) -> Buckets {
    let (mut counts, mut sum) = (vec![0; N + 1], 0);
    for worker in &sums.0.counters {
        let (within, above, of_worker) = of(worker).read();
        counts.iter_mut().zip(within.into_iter().chain([above])).for_each(|(all, one)| *all += one);
        sum += of_worker;
    }
    Buckets { bounds: bounds.map(|bound| bound as f64 / per_unit).to_vec(), counts, sum: sum as f64 / per_unit }
}
