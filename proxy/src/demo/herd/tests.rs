//! Small herds in this process, and what is said of those that went wrong.

use super::*;
use crate::config::{CoalescingMode, IoDriver, Memory, built_in_snapshot};

fn played(size: u32, workers: usize, mode: CoalescingMode) -> (String, Option<String>) {
    let mut snapshot = built_in_snapshot();
    snapshot.policy.coalescing.mode = mode;
    let memory = Memory { budget_bytes: 256 << 20, limit_bytes: None, stat: None };
    let (snapshot, io_driver) = (Arc::new(snapshot), IoDriver::Epoll);
    let options = Options {
        seconds: None,
        herd: Some(size),
        workers,
        io_driver,
        snapshot,
        memory,
        telemetry: Default::default(),
    };
    let mut out = Vec::new();
    let result = play(&options, size, &mut out);
    (String::from_utf8(out).unwrap(), result.err().map(|error| error.to_string()))
}

/// The words of the line that begins so.
fn row<'t>(text: &'t str, way: &str) -> Vec<&'t str> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(way));
    line.unwrap_or_else(|| panic!("no {way} in\n{text}")).split_whitespace().collect()
}

#[test]
fn app_sees_one_of_a_herd_through_the_proxy_and_all_of_it_without() {
    // In tests of this crate a flight takes five followers.
    for (size, workers) in [(1, 1), (6, 1), (6, 2)] {
        let (text, error) = played(size, workers, CoalescingMode::Identical);
        assert_eq!(error, None, "{text}");
        let (size, saved) = (size.to_string(), (size - 1).to_string());
        assert_eq!(row(&text, "straight to the app")[..2], [&size, "-"], "{text}");
        assert_eq!(row(&text, "through the proxy")[..2], ["1", &saved], "{text}");
        assert!(text.contains(&format!("\n{size} requests, 1 upstream. (The proxy: {workers} worker")), "{text}");
    }
}

#[test]
fn more_than_one_at_the_app_is_shown_and_an_error() {
    let (text, error) = played(20, 1, CoalescingMode::Off);
    assert_eq!(row(&text, "through the proxy")[..2], ["20", "0"], "{text}");
    let error = error.expect("an error");
    assert!(error.starts_with("through the proxy: the app was asked 20 times, not 1"), "{error}");
}

fn run(way: &'static str, upstream: u64, sending_ms: u64) -> Run {
    let sending = Duration::from_millis(sending_ms);
    let seen = Seen { sending, latencies: vec![APP_TAKES; 10], wrong: 0, first_wrong: None };
    Run { way, seen, upstream, saved: None }
}

#[test]
fn as_many_may_reach_the_app_as_answers_are_needed() {
    let is_right =
        |size, upstream| problem(size, &run("straight", size.into(), 1), &run("through", upstream, 1)).is_none();
    for (size, most) in [(1, 1), (1_024, 1), (1_025, 1), (1_026, 2), (2_050, 2), (2_051, 3), (10_000, 10)] {
        assert!(is_right(size, 1) && is_right(size, most), "{size}");
        assert!(!is_right(size, most + 1) && !is_right(size, 0), "{size}");
    }
}

#[test]
fn problems_name_their_way_and_the_likely_cause() {
    let said = |straight: &Run, through: &Run| problem(100, straight, through).expect("a problem");
    let lost = said(&run("straight", 99, 1), &run("through", 1, 1));
    assert_eq!(lost, "straight: the app was asked 99 times, not 100");
    let slow = said(&run("straight", 100, 1), &run("through", 2, 150));
    assert!(
        slow.starts_with("through: the app was asked 2 times, not 1; this machine took 150.0 ms to send"),
        "{slow}"
    );
    let mut wrong = run("through", 1, 1);
    (wrong.seen.wrong, wrong.seen.first_wrong) = (3, Some("the body is \"x\"".to_owned()));
    let wrong = said(&run("straight", 100, 1), &wrong);
    assert_eq!(wrong, "through: 3 of 100 answers were wrong, the first: the body is \"x\"");
}

#[test]
fn too_few_open_files_are_an_error_that_says_how_many_would_do() {
    let limits = |soft: &str| {
        format!("Limit  Soft  Hard  Units\nMax processes 5 5 processes\nMax open files  {soft}  20000  files\n")
    };
    for (size, soft, enough) in
        [(468, "1000", true), (469, "1000", false), (10_000, "20064", true), (10_000, "unlimited", true)]
    {
        assert_eq!(files_suffice(size, &limits(soft)).is_ok(), enough, "{size} of {soft}");
    }
    let error = files_suffice(10_000, &limits("1000")).unwrap_err().to_string();
    for part in ["10000", "20064", "1000:", "--herd 468", "ulimit -Hn"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(files_suffice(1, &std::fs::read_to_string("/proc/self/limits").unwrap()).is_ok());
}

#[test]
fn numbers_are_as_people_write_them() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
    let latencies: Vec<_> = (1..=100).map(Duration::from_millis).collect();
    let shown = [500, 990, 1000].map(|per_mille| percentile(&latencies, per_mille).map(milliseconds).unwrap());
    assert_eq!(shown, ["50.0 ms", "99.0 ms", "100.0 ms"]);
    assert_eq!(percentile(&[], 500), None);
}
