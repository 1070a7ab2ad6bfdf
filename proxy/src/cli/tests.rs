//! What is typed, and what comes of it.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::CoalescingMode;

fn typed(words: &str) -> Result<Command, ExitCode> {
    parse_from(words.split_whitespace().map(OsString::from), &Environment::default())
}

/// `ExitCode` can only be compared by what it shows.
fn code(result: Result<Command, ExitCode>) -> String {
    match result {
        Ok(command) => panic!("must not be accepted: {command:?}"),
        Err(code) => format!("{code:?}"),
    }
}

fn is_wrong(words: &str) -> bool {
    code(typed(words)) == format!("{:?}", ExitCode::from(WRONG))
}

#[test]
fn run_takes_listeners_of_both_families() {
    let words = "slipstream-proxy run --listen http://127.0.0.1:0 --listen http://[::1]:0 --upstream http://127.0.0.1:1 --admin off --workers 2 --io-driver epoll";
    let Ok(Command::Run(startup)) = typed(words) else { panic!("{words}") };
    assert_eq!(startup.settings.listeners.len(), 2);
    assert!(startup.settings.listeners[1].address.is_ipv6());
    assert_eq!((startup.settings.workers, startup.settings.admin), (2, None));
    assert!(startup.warnings.is_empty());
}

#[test]
fn coalesce_sets_the_mode_that_requests_are_judged_by() {
    let mode = |more: &str| {
        let words = format!("slipstream-proxy run --listen http://127.0.0.1:0 --upstream http://127.0.0.1:1 {more}");
        let Ok(Command::Run(startup)) = typed(&words) else { panic!("{words}") };
        assert_eq!(startup.warnings, Vec::<String>::new(), "{words}");
        startup.settings.snapshot.policy.coalescing.mode
    };
    for (more, expected) in [
        ("", CoalescingMode::Identical),
        ("--coalesce identical", CoalescingMode::Identical),
        ("--coalesce cacheable", CoalescingMode::Cacheable),
        ("--coalesce observe", CoalescingMode::Observe),
        ("--coalesce=off", CoalescingMode::Off),
    ] {
        assert_eq!(mode(more), expected, "{more}");
    }
    let Ok(Command::Check(args)) = typed("slipstream-proxy check --coalesce observe") else { panic!("check") };
    let table = report(&load(&args.flags).unwrap(), Output::Text);
    let line = table.lines().find(|line| line.starts_with("policy.coalescing.mode ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["policy.coalescing.mode", "observe", "flag"]);
}

#[test]
fn a_wrong_word_is_refused_by_its_flag_with_the_words_that_are_allowed() {
    let error = Arguments::try_parse_from("slipstream-proxy run --coalesce sometimes".split(' ')).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("'--coalesce <MODE>': found `sometimes`, allowed: identical, cacheable, observe or off"),
        "{said}"
    );
}

#[test]
fn demo_ends_by_itself_where_it_is_told_to() {
    let Ok(Command::Demo(options)) = typed("slipstream-proxy demo --seconds 3 --workers 2") else { panic!("demo") };
    assert_eq!((options.seconds, options.workers), (Some(3), 2));
    let Ok(Command::Demo(options)) = typed("slipstream-proxy demo") else { panic!("demo") };
    assert_eq!(options.seconds, None);
    assert!(options.workers >= 1);
    for (seconds, wrong) in [(0, true), (1, false), (2, false), (86_399, false), (86_400, false), (86_401, true)] {
        let result = typed(&format!("slipstream-proxy demo --seconds {seconds}"));
        assert_eq!(result.is_err(), wrong, "{seconds}");
    }
}

#[test]
fn demo_takes_a_herd_within_its_bounds_and_not_for_a_time() {
    let Ok(Command::Demo(options)) = typed("slipstream-proxy demo --herd 1000 --workers 2") else { panic!("demo") };
    assert_eq!((options.herd, options.seconds, options.workers), (Some(1000), None, 2));
    let Ok(Command::Demo(options)) = typed("slipstream-proxy demo") else { panic!("demo") };
    assert_eq!(options.herd, None);
    for (size, wrong) in [(0, true), (1, false), (2, false), (9_999, false), (10_000, false), (10_001, true)] {
        assert_eq!(typed(&format!("slipstream-proxy demo --herd {size}")).is_err(), wrong, "{size}");
    }
    assert!(is_wrong("slipstream-proxy demo --herd 10 --seconds 1"));
}

#[test]
fn drain_asks_where_run_is_served_unless_told_otherwise() {
    let asked = |words: &str| match typed(words) {
        Ok(Command::Drain(admin)) => admin,
        other => panic!("{words}: {other:?}"),
    };
    let built_in = slipstream_schema::StaticFile::built_in().admin.unwrap();
    assert_eq!(AdminAddress::At(asked("slipstream-proxy drain")), built_in);
    assert_eq!(asked("slipstream-proxy drain --admin [::]:1"), "[::]:1".parse().unwrap());
}

#[test]
fn wrong_arguments_end_with_code_2() {
    for words in [
        "slipstream-proxy",
        "slipstream-proxy fly",
        "slipstream-proxy run",
        "slipstream-proxy run --listen",
        "slipstream-proxy run --listen 127.0.0.1:80 --upstream http://127.0.0.1:1",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream https://127.0.0.1:1",
        "slipstream-proxy run --listen http://127.0.0.1:1",
        "slipstream-proxy run --listen https://127.0.0.1:1 --upstream http://127.0.0.1:1",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --workers 0",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --workers 1025",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --io-driver kqueue",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --admin 7590",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --config /no/such/file",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --coalesce",
        "slipstream-proxy run --listen http://127.0.0.1:1 --upstream http://127.0.0.1:1 --coalesce true",
        "slipstream-proxy check --coalesce Identical",
        "slipstream-proxy check -o xml",
        "slipstream-proxy demo --workers none",
        "slipstream-proxy drain --admin off",
        "slipstream-proxy drain --admin 7590",
        "slipstream-proxy drain 127.0.0.1:7590",
    ] {
        assert!(is_wrong(words), "{words}");
    }
}

#[test]
fn help_and_version_end_with_code_0() {
    for words in [
        "slipstream-proxy --help",
        "slipstream-proxy --version",
        "slipstream-proxy run --help",
        "slipstream-proxy help check",
    ] {
        assert_eq!(code(typed(words)), format!("{:?}", ExitCode::SUCCESS), "{words}");
    }
}

#[test]
fn the_arguments_hold_together() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn the_table_says_value_and_origin_and_what_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.yaml");
    std::fs::write(&path, "policy: {timeouts: {connect: 2s}, concurrency: {limit: 5}, upstream: {protocol: http2}}")
        .unwrap();
    let flags = Flags { config: Some(path), workers: Some(WorkerCount::Auto), ..Flags::default() };
    let table = report(&load(&flags).unwrap(), Output::Text);
    let line = |path: &str| {
        let line = table.lines().find(|line| line.starts_with(path)).unwrap_or_else(|| panic!("no {path} in\n{table}"));
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("policy.timeouts.connect "), "2s file");
    assert_eq!(line("policy.timeouts.tlsHandshake "), "5s builtin");
    assert_eq!(line("policy.concurrency.limit "), "5 file");
    assert_eq!(line("policy.upstream.protocol "), "http2 file (not yet in force)");
    assert_eq!(line("policy.coalescing.mode "), "identical builtin");
    assert_eq!(line("workers.count "), "auto flag");
}
