//! The binary as a user meets it: exit codes, and what stands on which stream.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn slipstream(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipstream-proxy")).args(arguments).output().unwrap()
}

fn check(text: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let output = slipstream(&[&["check", "--config", &path], more].concat());
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&path, "proxy.yaml");
    (output.status.code(), said(output.stdout), said(output.stderr))
}

const FILE: &str = "\
listeners: [{address: \"http://127.0.0.1:8080\", upstream: \"http://127.0.0.1:3000\"}]
policy:
  timeouts: {request: 15s}
  concurrency: {limit: 128}
  upstream: {protocol: http2}
";

#[test]
fn check_prints_what_holds_and_who_said_it() {
    let (code, out, err) = check(FILE, &["--workers", "2"]);
    assert_eq!(code, Some(0), "{err}");
    let says = |path: &str, value: &str, level: &str| {
        let found = out.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == [path, value, level]);
        assert!(found, "{path} {value} {level} in\n{out}");
    };
    says("policy.timeouts.request", "15s", "file");
    says("policy.timeouts.connect", "1s", "builtin");
    says("workers.count", "2", "flag");
    assert_eq!(err, "warning: policy.upstream.protocol: accepted, not yet in force in this version\n");
}

#[test]
fn check_prints_json_that_is_itself_a_configuration() {
    let (code, out, _) = check(FILE, &["-o", "json"]);
    assert_eq!(code, Some(0));
    let dump: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(dump["origins"]["policy.timeouts.request"], "file");
    let (code, again, err) = check(&dump["effective"].to_string(), &["-o", "json"]);
    assert_eq!(code, Some(0), "{err}");
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["effective"], dump["effective"]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_on_stderr_with_code_2() {
    for (text, expected) in [
        (
            "policy:\n  timeouts:\n    connect: 5 parsecs\n",
            "error: proxy.yaml:3:14: field `policy.timeouts.connect`: found `5 parsecs`, allowed: a duration of 1ms to 10m, such as 500ms or 1m30s\n",
        ),
        (
            "workers: {threads: 1}\n",
            "error: proxy.yaml:1:11: field `workers.threads`: unknown (allowed here: count, pin)\n",
        ),
        ("", "error: proxy.yaml: the file holds no settings, expected at least `listeners` or `policy`\n"),
    ] {
        assert_eq!(check(text, &[]), (Some(2), String::new(), expected.to_owned()));
    }
    let run = slipstream(&["run", "--config", "/no/such/file.yaml"]);
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(String::from_utf8(run.stderr).unwrap(), "error: /no/such/file.yaml: no such file\n");
}

#[test]
fn a_file_that_only_lacks_this_machines_files_is_right_and_says_so() {
    let text = "listeners: [{address: \"https://127.0.0.1:8443\", upstream: \"http://127.0.0.1:3000\", tls: {certificates: [{cert: /absent, key: /absent}]}}]\n";
    let (code, _, err) = check(text, &[]);
    assert_eq!(code, Some(0));
    assert!(
        err.contains("warning: `run` would not start here: proxy.yaml:1:") && err.contains("found `/absent`"),
        "{err}"
    );
}

#[test]
fn drain_where_nothing_listens_ends_with_1_and_names_the_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = slipstream(&["drain", "--admin", &free]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(&format!("error: no proxy can be asked at {free}: ")) && said.contains("--admin ADDRESS:PORT"),
        "{said}"
    );
}

#[test]
fn version_and_help_are_on_stdout() {
    let version = slipstream(&["--version"]);
    assert_eq!((version.status.code(), version.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("slipstream-proxy {}\n", env!("CARGO_PKG_VERSION")));
    let help = String::from_utf8(slipstream(&["--help"]).stdout).unwrap();
    for word in ["run", "check", "drain", "demo", "Examples:", "Exit codes:"] {
        assert!(help.contains(word), "{word} in\n{help}");
    }
}
