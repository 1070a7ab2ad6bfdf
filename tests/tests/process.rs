//! The binary as an operator of a machine sees it: what it prints, its admin port, its ends.

use slipstream_tests::{App, Client, Driver, Proxy, Refusing, Running, on_both_drivers};

fn admin(proxy: &Running, target: &str) -> slipstream_tests::Response {
    Client::plain(proxy.admin()).get(target)
}

on_both_drivers! {
    fn probes_answer(driver: Driver) {
        let proxy = Proxy::in_front_of(&App::ok()).driver(driver).start();
        for target in ["/live", "/ready", "/startup"] {
            assert_eq!(admin(&proxy, target).status, 200, "{target}");
        }
        assert_eq!(admin(&proxy, "/nothing").status, 404);
    }

    fn metrics_count_what_happened(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).start();
        for _ in 0..10 {
            assert_eq!(proxy.client().get("/").status, 200);
        }
        let metrics = proxy.metrics_until("all are done", |metrics| metrics.sum("slipstream_requests_active") == 0);
        assert_eq!(metrics.sum("slipstream_requests_total"), 10);
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"2xx\""), 10);
        assert_eq!(metrics.sum("slipstream_upstream_requests_total"), 10);
        assert_eq!(metrics.sum("slipstream_downstream_connections_total"), 10);
        assert_eq!(metrics.sum("slipstream_response_body_bytes_total"), 20);
        assert_eq!(metrics.sum("slipstream_workers"), 2);
        assert_eq!(metrics.sum_where("slipstream_io_driver", &format!("driver=\"{}\"", driver.flag())), 1);
    }

    /// RFC 9209: every answer that the proxy makes itself counts as a response and as a fault.
    fn metrics_count_faults(driver: Driver) {
        let proxy = Proxy::in_front_of(&Refusing::new()).driver(driver).start();
        assert_eq!(proxy.client().get("/").status, 502);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.response().status, 400);
        let metrics = proxy.metrics();
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"connect_failed\""), 1);
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"malformed\""), 1);
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"5xx\""), 1);
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"4xx\""), 1);
    }

    fn config_in_force_is_shown(driver: Driver) {
        let builder = Proxy::in_front_of(&App::ok()).driver(driver);
        let proxy = builder.policy("timeouts: {responseHeaders: 7s}").start();
        let shown = admin(&proxy, "/config");
        assert_eq!(shown.status, 200);
        let value: serde_json::Value = serde_json::from_slice(&shown.body).expect("JSON");
        assert!(value.to_string().contains("7s") || value.to_string().contains("7000"), "{value}");
    }

    fn sigterm_ends_it_with_0(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).start();
        let mut kept = proxy.client();
        assert_eq!(kept.get("/").status, 200);
        let exit = proxy.stop();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
    }

    fn sigint_ends_it_with_0(driver: Driver) {
        let proxy = Proxy::in_front_of(&App::ok()).driver(driver).start();
        proxy.signal("INT");
        let exit = proxy.wait_for_exit();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
    }

    fn all_workers_serve(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(3).start();
        let mut clients: Vec<Client> = (0..60).map(|_| proxy.client()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "ok");
        }
        assert!(app.connections() <= 3, "a worker makes no second connection for requests that come one by one");
    }
}

/// `demo --herd` with these arguments, in a shell that has run `before`.
fn herd(before: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" demo --herd \"$@\"")])
        .arg(slipstream_tests::proxy_binary())
        .args(arguments)
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn herd_of_the_demo_shows_that_one_request_reached_the_app_and_ends_with_0() {
    let (code, out, err) = herd("", &["100", "--workers", "2", "--io-driver", "epoll"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("\n100 requests, 1 upstream. (The proxy: 2 workers, epoll.)\n"), "{out}");
    let reached = |way: &str| {
        let row = out.lines().find_map(|line| line.trim_start().strip_prefix(way)).unwrap_or_else(|| panic!("{out}"));
        row.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(reached("straight to the app"), ["100", "-"]);
    assert_eq!(reached("through the proxy"), ["1", "99"]);
}

#[test]
fn herd_of_the_demo_that_has_too_few_open_files_ends_with_1_and_says_how_many_would_do() {
    let (code, out, err) = herd("ulimit -n 300;", &["119", "--workers", "1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert_eq!(
        err,
        "error: a herd of 119 needs 302 open files, and this process may have 300: choose --herd 118 or less, or raise the \
         limit (`ulimit -Hn`)\n"
    );
}

#[test]
fn herd_of_the_demo_out_of_bounds_ends_with_2() {
    for size in ["0", "10001"] {
        let (code, _, err) = herd("", &[size]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("1..=10000"), "{err}");
    }
}

/// The shape of the static file (design, section 4), whatever the driver.
fn is_refused(config: &str, names: &[&str]) {
    let exit = Proxy::in_front_of(&Refusing::new()).driver(Driver::Epoll).config(config).run_to_exit();
    assert_eq!(exit.code(), 2, "{}", exit.stderr);
    for name in names {
        assert!(exit.stderr.contains(name), "{name:?} is not named: {}", exit.stderr);
    }
}

#[test]
fn unknown_field_ends_it_with_2_and_is_named() {
    is_refused("policy:\n  timeouts:\n    conect: 1s\n", &["slipstream.yaml", "3", "conect"]);
}

#[test]
fn value_out_of_range_ends_it_with_2_and_is_named() {
    is_refused("policy:\n  limits: {headFields: 0}\n", &["slipstream.yaml", "2", "headFields"]);
}

#[test]
fn value_of_the_wrong_kind_ends_it_with_2_and_is_named() {
    is_refused("policy:\n  timeouts: {connect: soon}\n", &["slipstream.yaml", "2", "connect", "soon"]);
}

#[test]
fn file_that_is_no_yaml_ends_it_with_2() {
    is_refused("policy: {timeouts: [\n", &["slipstream.yaml"]);
}

#[test]
fn certificate_that_is_missing_ends_it_with_2_and_is_named() {
    let missing = (std::path::PathBuf::from("/nowhere/tls.crt"), std::path::PathBuf::from("/nowhere/tls.key"));
    let exit = Proxy::in_front_of(&Refusing::new()).tls(missing).run_to_exit();
    assert_eq!(exit.code(), 2, "{}", exit.stderr);
    assert!(exit.stderr.contains("/nowhere/tls.crt"), "{}", exit.stderr);
}
