//! What runs: the settings and the snapshot that flags and file come to.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::config::{
    Coalescing, CoalescingMode, Concurrency, ConcurrencyMode, Credentials, DrainSettings, Flags, Forwarded, LongLived,
    Match, OnError, ReadAfterWrite, StatusHeader, load,
};

fn plain() -> Flags {
    Flags {
        listen: vec!["http://127.0.0.1:0".parse().unwrap()],
        upstream: Some("http://127.0.0.1:3000".parse().unwrap()),
        workers: Some("3".parse().unwrap()),
        ..Flags::default()
    }
}

fn settings(flags: &Flags) -> Result<Settings, Error> {
    load(flags).unwrap().settings(&Environment::default())
}

fn with_policy(text: &str) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.yaml");
    std::fs::write(&path, text).unwrap();
    load(&Flags { config: Some(path), ..Flags::default() }).unwrap().snapshot()
}

#[test]
fn flags_alone_are_enough() {
    let settings = settings(&plain()).unwrap();
    assert_eq!((settings.workers, settings.pin, settings.io_driver), (3, false, IoDriver::Auto));
    assert_eq!(settings.admin, Some("127.0.0.1:7590".parse().unwrap()));
    assert_eq!(settings.name, "slipstream");
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].address, "127.0.0.1:0".parse().unwrap());
    assert!(settings.listeners[0].tls.is_none());
    assert_eq!(settings.listeners[0].upstream.authority, "127.0.0.1:3000");
    assert_eq!(settings.listeners[0].upstream.addresses, ["127.0.0.1:3000".parse().unwrap()]);
}

#[test]
fn a_host_name_is_resolved_and_one_that_cannot_be_is_named() {
    let named = settings(&Flags { upstream: Some("http://LocalHost:3000".parse().unwrap()), ..plain() }).unwrap();
    assert_eq!(named.listeners[0].upstream.authority, "localhost:3000");
    assert!(
        named.listeners[0]
            .upstream
            .addresses
            .iter()
            .all(|address| address.ip().is_loopback() && address.port() == 3000)
    );
    let error = settings(&Flags { upstream: Some("http://no.such.host.invalid".parse().unwrap()), ..plain() })
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("flag `--upstream`: found `http://no.such.host.invalid`, whose host cannot be resolved"),
        "{error}"
    );
}

#[test]
fn a_certificate_that_is_not_there_is_named_by_flag_or_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.pem");
    std::fs::write(&there, "").unwrap();
    let path = |path: &Path| path.display().to_string().parse().unwrap();
    let https = |cert: &Path, key: &Path| Flags {
        listen: vec!["https://127.0.0.1:0".parse().unwrap()],
        tls_cert: vec![path(cert)],
        tls_key: vec![path(key)],
        ..plain()
    };
    let absent = folder.path().join("absent.pem");
    let tls = settings(&https(&there, &there)).unwrap().listeners.remove(0).tls.unwrap();
    assert_eq!(tls.certificates, [(there.clone(), there.clone())]);
    let error = settings(&https(&absent, &there)).unwrap_err().to_string();
    assert!(
        error.starts_with("flag `--tls-cert`: found `") && error.contains("absent.pem`, which cannot be read"),
        "{error}"
    );
    let error = settings(&https(&there, &absent)).unwrap_err().to_string();
    assert!(error.starts_with("flag `--tls-key`: found `"), "{error}");
    let error = settings(&https(folder.path(), &there)).unwrap_err().to_string();
    assert!(error.contains("which is a directory"), "{error}");

    let file = folder.path().join("proxy.yaml");
    let text = "listeners:\n- address: https://127.0.0.1:0\n  upstream: http://127.0.0.1:1\n  tls:\n    certificates:\n    - {cert: /absent, key: /absent}\n";
    std::fs::write(&file, text).unwrap();
    let loaded = load(&Flags { config: Some(file.clone()), ..Flags::default() }).unwrap();
    let error = loaded.settings(&Environment::default()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "{}:6:8: field `listeners[0].tls.certificates[0].cert`: found `/absent`",
            file.display()
        )),
        "{error}"
    );
    assert_eq!(loaded.obstacles().len(), 2);
}

#[test]
fn authorities_of_clients_are_named_where_they_are_not_there_and_needed() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.pem");
    std::fs::write(&there, "").unwrap();
    let path = |path: &Path| path.display().to_string().parse().unwrap();
    let https = |asked: Option<ClientCertificates>, ca: &Path| Flags {
        listen: vec!["https://127.0.0.1:0".parse().unwrap()],
        tls_cert: vec![path(&there)],
        tls_key: vec![path(&there)],
        tls_mode: Some(TlsMode::Permissive),
        tls_client_ca: Some(path(ca)),
        tls_client_certificates: asked,
        ..plain()
    };
    let tls = |flags: &Flags| settings(flags).unwrap().listeners.remove(0).tls.unwrap();
    assert_eq!(tls(&https(None, &there)).client_auth, ClientAuth::Required(there.clone()));
    assert_eq!(tls(&https(None, &there)).mode, TlsMode::Permissive);
    assert_eq!(
        tls(&https(Some(ClientCertificates::Optional), &there)).client_auth,
        ClientAuth::Optional(there.clone())
    );
    let absent = folder.path().join("absent.pem");
    assert_eq!(tls(&https(Some(ClientCertificates::Off), &absent)).client_auth, ClientAuth::Off);
    let error = settings(&https(None, &absent)).unwrap_err().to_string();
    assert!(error.starts_with("flag `--tls-client-ca`: found `") && error.contains("cannot be read"), "{error}");
}

#[test]
fn nothing_runs_without_a_listener() {
    let error = settings(&Flags::default()).unwrap_err().to_string();
    assert!(error.starts_with("flag `--listen`: missing"), "{error}");
}

#[test]
fn the_deployment_is_named_by_namespace_and_workload_where_both_are_known() {
    let set = |text: &str| Some(text.to_owned());
    let named = Environment { namespace: set("shop"), workload: set("catalog"), ..Environment::default() };
    assert_eq!(load(&plain()).unwrap().settings(&named).unwrap().name, "shop/catalog");
    let half = Environment { workload: set("catalog"), ..Environment::default() };
    assert_eq!(load(&plain()).unwrap().settings(&half).unwrap().name, "slipstream");
}

#[test]
fn the_end_takes_as_long_as_the_pod_lets_it() {
    let drain =
        |environment: &Environment| load(&plain()).unwrap().settings(environment).map(|settings| settings.drain);
    let seconds = |delay, grace| DrainSettings { delay: Duration::from_secs(delay), grace: Duration::from_secs(grace) };
    assert_eq!(drain(&Environment::default()), Ok(seconds(5, 23)));
    let of_pod = |text: &str| Environment { grace_seconds: Some(text.to_owned()), ..Environment::default() };
    assert_eq!(drain(&of_pod("12")), Ok(seconds(4, 6)));
    assert!(drain(&of_pod("soon")).unwrap_err().to_string().starts_with("environment `SLIPSTREAM_GRACE_SECONDS`: "));
}

#[test]
fn the_built_in_snapshot_is_the_table_of_the_conventions() {
    let policy = built_in_snapshot().policy;
    let timeouts = policy.timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(1));
    assert_eq!(timeouts.tls_handshake, Duration::from_secs(5));
    assert_eq!(timeouts.request_headers, Duration::from_secs(10));
    assert_eq!(timeouts.request_body_idle, Duration::from_secs(30));
    assert_eq!(timeouts.queue, Duration::from_millis(200));
    assert_eq!((timeouts.response_headers, timeouts.request, timeouts.max_connection_age), (None, None, None));
    assert_eq!(timeouts.stream_idle, Duration::from_secs(300));
    assert_eq!(timeouts.connection_idle, Duration::from_secs(3600));
    assert_eq!(timeouts.upstream_idle, Duration::from_secs(60));
    assert_eq!((policy.limits.head_bytes, policy.limits.head_fields), (64 * 1024, 128));
    assert_eq!((policy.limits.request_body_bytes, policy.limits.connections), (None, 10_000));
    assert_eq!(policy.forwarded, Forwarded::Append);
    let concurrency =
        Concurrency { limit: None, queue_depth: 256, mode: ConcurrencyMode::Enforce, long_lived: LongLived::Release };
    assert_eq!(policy.concurrency, concurrency);
    let coalescing = Coalescing {
        mode: CoalescingMode::Identical,
        credentials: Credentials::Off,
        ignore: Arc::new([]),
        join_window: Duration::from_millis(500),
        max_wait: None,
        read_after_write: ReadAfterWrite::Upstream,
        on_error: OnError::Share,
        status_header: StatusHeader::Followers,
        compare_client_address: false,
    };
    assert_eq!((policy.number, policy.coalescing), (0, coalescing));
    assert_eq!(built_in_snapshot().dump["origins"]["policy.timeouts.connect"], "builtin");
}

#[test]
fn concurrency_is_the_same_for_every_route() {
    let snapshot = with_policy(
        "policy:\n  concurrency: {limit: 5, queue: {depth: 0}, mode: observe, longLived: hold}\n  routes: [{match: {path: /a}}]\n",
    );
    let concurrency =
        Concurrency { limit: Some(5), queue_depth: 0, mode: ConcurrencyMode::Observe, long_lived: LongLived::Hold };
    assert_eq!((snapshot.policy.concurrency, snapshot.routes[0].policy.concurrency), (concurrency, concurrency));
}

#[test]
fn every_setting_of_coalescing_reaches_the_snapshot() {
    let snapshot = with_policy(
        "policy:\n  coalescing:\n    mode: observe\n    credentials: identical\n    ignoreHeaders: [X-Request-Start, x-forwarded-for]\n    \
         joinWindow: 750ms\n    maxWait: 3s\n    readAfterWrite: path\n    onError: release\n    statusHeader: all\n    compareClientAddress: true\n",
    );
    let coalescing = Coalescing {
        mode: CoalescingMode::Observe,
        credentials: Credentials::Identical,
        ignore: Arc::new(["x-request-start".into(), "x-forwarded-for".into()]),
        join_window: Duration::from_millis(750),
        max_wait: Some(Duration::from_secs(3)),
        read_after_write: ReadAfterWrite::Path,
        on_error: OnError::Release,
        status_header: StatusHeader::All,
        compare_client_address: true,
    };
    assert_eq!(snapshot.policy.coalescing, coalescing);
    let words = with_policy("policy: {coalescing: {readAfterWrite: off, statusHeader: off}}").policy.coalescing;
    assert_eq!((words.read_after_write, words.status_header), (ReadAfterWrite::Off, StatusHeader::Off));
}

#[test]
fn what_depends_on_the_mode_suits_the_mode() {
    let (short, long) = (Duration::from_millis(500), Duration::from_secs(2));
    for (mode, join_window, on_error) in [
        ("identical", short, OnError::Share),
        ("observe", short, OnError::Share),
        ("off", short, OnError::Share),
        ("cacheable", long, OnError::Release),
    ] {
        let of = |text: &str| {
            let Coalescing { join_window, on_error, .. } = with_policy(text).policy.coalescing;
            (join_window, on_error)
        };
        let second = Duration::from_secs(1);
        assert_eq!(of(&format!("policy: {{coalescing: {{mode: {mode}}}}}")), (join_window, on_error), "{mode}");
        let said = of(&format!("policy: {{coalescing: {{mode: {mode}, joinWindow: 1s, onError: share}}}}"));
        assert_eq!(said, (second, OnError::Share), "{mode}");
        let said = of(&format!("policy: {{coalescing: {{mode: {mode}, joinWindow: 1s, onError: release}}}}"));
        assert_eq!(said, (second, OnError::Release), "{mode}");
    }
}

#[test]
fn a_route_that_says_another_mode_gets_what_suits_it_unless_somebody_says_otherwise() {
    let routes = "  routes:\n  - match: {path: /a}\n    coalescing: {mode: cacheable}\n  \
         - match: {path: /b}\n    coalescing: {mode: cacheable, joinWindow: 3s}\n  \
         - match: {path: /c}\n    coalescing: {mode: identical}\n  \
         - match: {path: /d}\n    timeouts: {request: 1s}\n";
    let of = |policy: &str| {
        let snapshot = with_policy(&format!("policy:\n{policy}{routes}"));
        let policies = std::iter::once(&snapshot.policy).chain(snapshot.routes.iter().map(|route| &route.policy));
        policies
            .map(|policy| {
                (policy.coalescing.mode, policy.coalescing.join_window.as_millis(), policy.coalescing.on_error)
            })
            .collect::<Vec<_>>()
    };
    use CoalescingMode::{Cacheable, Identical};
    use OnError::{Release, Share};
    let identical = (Identical, 500, Share);
    let cacheable = (Cacheable, 2000, Release);
    assert_eq!(of(""), [identical, cacheable, (Cacheable, 3000, Release), identical, identical]);
    assert_eq!(
        of("  coalescing: {mode: cacheable}\n"),
        [cacheable, cacheable, (Cacheable, 3000, Release), identical, cacheable]
    );
    assert_eq!(
        of("  coalescing: {joinWindow: 1s, onError: share}\n"),
        [
            (Identical, 1000, Share),
            (Cacheable, 1000, Share),
            (Cacheable, 3000, Share),
            (Identical, 1000, Share),
            (Identical, 1000, Share)
        ],
        "what somebody said holds in every mode"
    );
}

#[test]
fn a_list_of_ignored_fields_and_a_wait_are_replaced_by_the_route_and_none_takes_them_away() {
    let snapshot = with_policy(
        "policy:\n  coalescing: {ignoreHeaders: [x-a, x-b], maxWait: 3s}\n  routes:\n  \
         - match: {path: /a}\n    coalescing: {ignoreHeaders: [X-C], maxWait: 4s}\n  \
         - match: {path: /b}\n    coalescing: {ignoreHeaders: [], maxWait: none}\n  \
         - match: {path: /c}\n    coalescing: {credentials: identical}\n",
    );
    let of = |policy: &crate::config::RoutePolicy| {
        let ignored = policy.coalescing.ignore.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
        (policy.number, ignored, policy.coalescing.max_wait.map(|wait| wait.as_secs()))
    };
    let all: Vec<_> = snapshot.routes.iter().map(|route| of(&route.policy)).collect();
    assert_eq!(of(&snapshot.policy), (0, "x-a x-b".to_owned(), Some(3)));
    assert_eq!(all, [(1, "x-c".to_owned(), Some(4)), (2, String::new(), None), (3, "x-a x-b".to_owned(), Some(3))]);
}

#[test]
fn a_flag_sets_the_mode_and_a_route_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.yaml");
    std::fs::write(&path, "policy: {coalescing: {mode: off}, routes: [{match: {path: /a}, coalescing: {mode: observe}}, {match: {path: /b}}]}")
        .unwrap();
    let flags = Flags { config: Some(path), coalesce: Some("cacheable".parse().unwrap()), ..Flags::default() };
    let snapshot = load(&flags).unwrap().snapshot();
    let of = |coalescing: &Coalescing| (coalescing.mode, coalescing.join_window.as_millis());
    assert_eq!(of(&snapshot.policy.coalescing), (CoalescingMode::Cacheable, 2000));
    assert_eq!(of(&snapshot.routes[0].policy.coalescing), (CoalescingMode::Observe, 500));
    assert_eq!(of(&snapshot.routes[1].policy.coalescing), (CoalescingMode::Cacheable, 2000));
    assert_eq!(snapshot.dump["origins"]["policy.coalescing.mode"], "flag");
    assert_eq!(snapshot.dump["origins"]["policy.routes[0].coalescing.mode"], "file");
}

#[test]
fn a_route_is_judged_by_its_own_fields_over_the_policys() {
    let snapshot = with_policy(
        "policy:\n  timeouts: {request: 15s, connect: 2s}\n  concurrency: {queue: {timeout: 1s}}\n  limits: {requestBodyBytes: 10MiB}\n  routes:\n  \
         - match: {method: GET, host: Shop.Example, pathPrefix: /reports, header: {name: X-A, value: b}}\n    timeouts: {request: none}\n  \
         - match: {path: /upload, header: {name: X-B}}\n    limits: {requestBodyBytes: none}\n    forwarded: replace\n",
    );
    assert_eq!(snapshot.policy.timeouts.request, Some(Duration::from_secs(15)));
    assert_eq!(snapshot.policy.timeouts.queue, Duration::from_secs(1));
    let [reports, upload] = &snapshot.routes[..] else { panic!("two routes") };
    let text = |text: &str| Some(text.to_owned());
    let expected = Match {
        method: text("GET"),
        host: text("shop.example"),
        path: None,
        path_prefix: text("/reports"),
        header: Some(("x-a".to_owned(), text("b"))),
    };
    assert_eq!(reports.matcher, expected);
    assert_eq!((reports.policy.timeouts.request, reports.policy.timeouts.connect), (None, Duration::from_secs(2)));
    assert_eq!(reports.policy.limits.request_body_bytes, Some(10 << 20));
    assert_eq!(upload.matcher.header, Some(("x-b".to_owned(), None)));
    assert_eq!((upload.policy.limits.request_body_bytes, upload.policy.forwarded), (None, Forwarded::Replace));
    assert_eq!(upload.policy.timeouts.request, Some(Duration::from_secs(15)));
}
