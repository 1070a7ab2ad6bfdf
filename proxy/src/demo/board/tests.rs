//! The words and the numbers of the board.

use super::*;

fn sample() -> Sample {
    Sample {
        connections: 3,
        connections_open: 2,
        handshakes: 2,
        requests: 80,
        active: 1,
        responses: [0, 78, 0, 1, 0],
        upstream_requests: 80,
        upstream_reused: 78,
        upstream_connects: 2,
        upstream_open: 2,
        upstream_idle: 1,
        bytes_received: 1536,
        bytes_sent: 3 << 20,
        ..Sample::default()
    }
}

#[test]
fn line_tells_totals_and_the_rate_since_the_last_one() {
    let mut board = Board::new(false, 2);
    board.show(&Sample { requests: 73, ..sample() }, &Tally::default(), Duration::from_secs(61));
    assert_eq!(
        board.show(&sample(), &Tally::default(), Duration::from_secs(62)),
        "01:02  requests 80 (7.0/s)  in flight 1  reuse 97.5 %  app connections 2 (1 idle)  sent 3.0 MiB  errors none\n"
    );
}

#[test]
fn table_is_drawn_over_itself() {
    let mut board = Board::new(true, 2);
    let first = board.show(&sample(), &Tally::default(), Duration::from_secs(1));
    let second = board.show(&sample(), &Tally::default(), Duration::from_secs(2));
    assert_eq!(first.matches('\n').count(), ROWS);
    assert!(!first.contains("\x1b[9A") && second.starts_with("\x1b[9A"), "{second:?}");
    assert!(first.contains("78 of 80 requests found a warm connection"), "{first}");
}

#[test]
fn errors_name_the_faults_and_what_the_clients_missed() {
    let now = Sample { faults: vec![("connect_failed", 2), ("timed_out", 1)], ..sample() };
    let tally = Tally { failed: 1, last_failure: Some("https GET /hello: status 502".into()), ..Tally::default() };
    let text = errors(&now, &tally);
    assert_eq!(
        text,
        "connect_failed 2, timed_out 1, the demo's clients missed 1 answers, the last: https GET /hello: status 502"
    );
    assert_eq!(errors_seen(&now, &tally), 3);
    assert!(summary(&now, &tally, 12.34).contains("In 12.3 s the proxy took 80 requests over 3 connections"));
}

#[test]
fn bytes_are_rounded_to_a_unit() {
    for (n, text) in [(0.0, "0 B"), (1023.0, "1023 B"), (1024.0, "1.0 KiB"), (1536.0, "1.5 KiB"), (5e12, "4.5 TiB")] {
        assert_eq!(bytes(n), text);
    }
}

#[test]
fn chart_scales_to_its_highest_second_and_stays_flat_without_any() {
    assert_eq!(chart(&VecDeque::from([0.0, 5.0, 10.0])), "▁▅█");
    assert_eq!(chart(&VecDeque::from([0.0, 0.0])), "▁▁");
}
