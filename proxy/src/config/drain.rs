//! How long the end of a proxy may take: what was configured, within what the pod is given.

use std::time::Duration;

use slipstream_schema::Drain;

use super::{DrainSettings, Error};

/// Of terminationGracePeriodSeconds this is left to the kubelet, which counts from the deletion and kills without looking.
const LEFT_TO_THE_KUBELET: Duration = Duration::from_secs(2);

/// The period of a pod that names none, and what is assumed where nobody tells it (`SLIPSTREAM_GRACE_SECONDS`).
const POD_GRACE: Duration = Duration::from_secs(30);

/// The delay may be this part of the period: what is left belongs to requests in flight.
const DELAY_PART_MAX: u32 = 3;

/// Errors: `grace_seconds` is no whole number.
pub(super) fn settings(drain: &Drain, grace_seconds: Option<&str>) -> Result<DrainSettings, Error> {
    let (delay, grace) =
        (drain.delay.map_or(Duration::ZERO, |delay| delay.as_std()), drain.grace.map(|it| it.as_std()));
    let Some(text) = grace_seconds else {
        let left = POD_GRACE.saturating_sub(LEFT_TO_THE_KUBELET).saturating_sub(delay);
        return Ok(DrainSettings { delay, grace: grace.unwrap_or(left) });
    };
    let seconds: u32 = text.parse().map_err(|_| Error::Environment {
        name: "SLIPSTREAM_GRACE_SECONDS",
        what: format!("found `{text}`, allowed: the pod's terminationGracePeriodSeconds, a whole number"),
    })?;
    let period = Duration::from_secs(seconds.into());
    let budget = period.saturating_sub(LEFT_TO_THE_KUBELET);
    let delay = delay.min(period / DELAY_PART_MAX).min(budget);
    let left = budget - delay;
    Ok(DrainSettings { delay, grace: grace.map_or(left, |grace| grace.min(left)) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Milliseconds of delay and grace.
    fn of(delay: &str, grace: Option<&str>, period: Option<&str>) -> (u128, u128) {
        let drain = Drain { delay: Some(delay.parse().unwrap()), grace: grace.map(|text| text.parse().unwrap()) };
        let DrainSettings { delay, grace } = settings(&drain, period).unwrap();
        (delay.as_millis(), grace.as_millis())
    }

    #[test]
    fn outside_of_a_pod_what_is_configured_holds() {
        assert_eq!(of("5s", None, None), (5_000, 23_000), "together what a pod's 30 s leave");
        assert_eq!(of("0s", Some("0s"), None), (0, 0));
        assert_eq!(of("1m", Some("1h"), None), (60_000, 3_600_000));
        assert_eq!(of("10m", None, None), (600_000, 0));
    }

    #[test]
    fn in_a_pod_both_end_two_seconds_before_the_kubelet_kills() {
        for (period, delay, grace) in [
            ("0", 0, 0),
            ("1", 0, 0),
            ("2", 0, 0),
            ("3", 1_000, 0),
            ("4", 1_333, 666),
            ("14", 4_666, 7_333),
            ("15", 5_000, 8_000),
            ("16", 5_000, 9_000),
            ("30", 5_000, 23_000),
            ("600", 5_000, 593_000),
        ] {
            assert_eq!(of("5s", None, Some(period)), (delay, grace), "{period}");
        }
    }

    #[test]
    fn in_a_pod_a_configured_grace_counts_as_far_as_the_period_lets_it() {
        assert_eq!(of("5s", Some("10s"), Some("30")), (5_000, 10_000));
        assert_eq!(of("5s", Some("1m"), Some("30")), (5_000, 23_000));
        assert_eq!(of("1s", Some("1m"), Some("30")), (1_000, 27_000));
        assert_eq!(of("20s", None, Some("30")), (10_000, 18_000), "a third at most");
    }

    #[test]
    fn period_that_is_no_number_is_refused_by_name() {
        for text in ["", "30s", "-1", "1.5", "4294967296"] {
            let error = settings(&Drain::default(), Some(text)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("environment `SLIPSTREAM_GRACE_SECONDS`: found `{text}`, allowed: ")),
                "{error}"
            );
        }
    }
}
