//! The whole demo in this process, written into memory.

use super::*;
use crate::config::built_in_snapshot;

fn played(seconds: Option<u64>, started: impl FnOnce(&Running) -> io::Result<()>) -> String {
    let snapshot = Arc::new(built_in_snapshot());
    let memory = crate::config::Memory { budget_bytes: 256 << 20, limit_bytes: None, stat: None };
    let options = Options {
        seconds,
        herd: None,
        workers: 1,
        io_driver: IoDriver::Epoll,
        snapshot,
        memory,
        telemetry: Default::default(),
    };
    let mut out = Vec::new();
    play(&options, &mut out, false, started).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn demo_shows_a_line_a_second_and_ends_with_a_summary_and_without_errors() {
    let text = played(Some(2), |_| Ok(()));
    assert_eq!(text.lines().filter(|line| line.starts_with("00:0")).count(), 2, "{text}");
    assert!(text.contains("\nIn 2.0 s the proxy took ") && text.ends_with("Errors: none.\n"), "{text}");
    assert!(!text.contains("got 0 whole answers"), "{text}");

    let ca = text.split_whitespace().find(|word| word.ends_with("ca.pem")).expect("a curl line");
    assert!(!std::path::Path::new(ca).exists(), "{ca} is left behind");
}

#[test]
fn demo_ends_when_asked_to_stop() {
    let text = played(None, |running| {
        running.control.stop().ask();
        Ok(())
    });
    assert!(text.contains("the proxy took"), "{text}");
}
