//! Real clients in front of the proxy, real apps behind it.

use slipstream_tests::real::{curl, nginx, node, run, source};
use slipstream_tests::{App, Certs, Driver, Proxy, Running, on_both_drivers};

use crate::{assert_no_failure, proxy, sha256};

/// The options by which curl reaches the TLS listener under the name of its certificate, and the URL.
fn https(proxy: &Running, certs: &Certs, path: &str) -> [String; 5] {
    let (address, authority) = (proxy.https(), certs.authority_file().display().to_string());
    let resolve = format!("app.test:{}:{}", address.port(), address.ip());
    ["--cacert".into(), authority, "--resolve".into(), resolve, format!("https://app.test:{}{path}", address.port())]
}

fn with_tls(driver: Driver, app: &slipstream_tests::real::Peer, certs: &Certs) -> Running {
    Proxy::in_front_of(app).driver(driver).tls(certs.leaf(&["app.test"])).start()
}

fn curl_https(proxy: &Running, certs: &Certs, path: &str, options: &[&str]) -> Vec<u8> {
    let reach = https(proxy, certs, path);
    let mut arguments: Vec<&str> = reach.iter().map(String::as_str).collect();
    arguments.extend(options);
    curl(&arguments)
}

on_both_drivers! {
    needs "curl, nginx";

    fn curl_fetches_a_file_of_nginx_over_tls(driver: Driver) {
        let file: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 241) as u8).collect();
        let (app, certs) = (nginx("", &[("file", &file)]), Certs::new());
        let proxy = with_tls(driver, &app, &certs);
        for version in ["--tls-max=1.2", "--tlsv1.3"] {
            let version: Vec<&str> = version.split('=').collect();
            assert!(curl_https(&proxy, &certs, "/file", &version) == file);
        }
        assert_no_failure(&proxy);
    }

    fn curl_keeps_its_connection(driver: Driver) {
        let app = nginx("", &[("index.html", b"hello\n")]);
        let proxy = proxy(driver, &app);
        let url = format!("http://{}/", proxy.http());
        let said = curl(&["--write-out", "%{num_connects}\n", &url, &url, &url]);
        assert_eq!(String::from_utf8_lossy(&said), "hello\n1\nhello\n0\nhello\n0\n");
    }

    fn curl_of_http_10_is_served(driver: Driver) {
        let app = nginx("", &[("index.html", b"hello\n")]);
        let proxy = proxy(driver, &app);
        assert_eq!(curl(&["--http1.0", &format!("http://{}/", proxy.http())]), b"hello\n");
    }

    /// `--proxy` makes curl send the absolute form.
    fn curl_that_takes_us_for_a_forward_proxy_is_served(driver: Driver) {
        let app = nginx("", &[("index.html", b"hello\n")]);
        let proxy = proxy(driver, &app);
        assert_eq!(curl(&["--proxy", &format!("http://{}", proxy.http()), "http://shop.test/"]), b"hello\n");
    }

    fn curl_head_and_range_are_served(driver: Driver) {
        let (app, certs) = (nginx("", &[("file", b"0123456789")]), Certs::new());
        let proxy = with_tls(driver, &app, &certs);
        assert_eq!(curl_https(&proxy, &certs, "/file", &["--range", "2-4"]), b"234");
        let head = curl_https(&proxy, &certs, "/file", &["--head"]);
        assert!(String::from_utf8_lossy(&head).to_ascii_lowercase().contains("content-length: 10"));
    }
}

on_both_drivers! {
    needs "curl, node";

    /// curl asks for 100-continue where a body is large, and waits for it.
    fn curl_uploads_with_a_length_and_chunked(driver: Driver) {
        let (app, certs) = (node(&[]), Certs::new());
        let proxy = with_tls(driver, &app, &certs);
        let file = certs.directory().join("upload");
        std::fs::write(&file, (0..2_500_000_u32).map(|number| (number % 239) as u8).collect::<Vec<u8>>()).expect("a file for curl");
        let (upload, expected) = (file.display().to_string(), format!("2500000 {}", sha256(&file)));
        let plain = format!("http://{}/digest", proxy.http());
        for framing in ["X: y", "Transfer-Encoding: chunked"] {
            let options = ["--upload-file", &upload, "--header", framing, "--expect100-timeout", "20"];
            assert_eq!(String::from_utf8_lossy(&curl_https(&proxy, &certs, "/digest", &options)), expected);
            let said = curl(&[&options[..], &["--header", "Expect: 100-continue", &plain]].concat());
            assert_eq!(String::from_utf8_lossy(&said), expected);
        }
        assert_no_failure(&proxy);
    }

    fn curl_sees_that_an_app_broke_off(driver: Driver) {
        let app = node(&[]);
        let proxy = proxy(driver, &app);
        let broken = std::process::Command::new("curl").args(["--silent", "--max-time", "20", &format!("http://{}/break", proxy.http())]).output();
        let broken = broken.expect("curl runs");
        assert!(matches!(broken.status.code(), Some(18 | 56)), "partial file, or reset: {broken:?}");
    }
}

on_both_drivers! {
    needs "node";

    fn agent_of_node_loses_no_request_while_the_app_closes(driver: Driver) {
        let app = node(&[("KEEP_ALIVE_MS", "25")]);
        let proxy = proxy(driver, &app);
        let client = source("client.js").display().to_string();
        let said = run("node", &[&client, &format!("http://{}/digest", proxy.http()), "800", "8"]);
        assert_eq!(String::from_utf8_lossy(&said), "ok 800\n");
        assert_no_failure(&proxy);
    }
}

on_both_drivers! {
    needs "ab, nginx";

    /// ab speaks HTTP/1.0 with keep-alive. Its requests are equal: once each goes up, and once they share answers.
    fn ab_loses_no_request_while_nginx_closes(driver: Driver) {
        let app = nginx("keepalive_requests 3;", &[("index.html", b"hello\n")]);
        let to_nginx = Proxy::in_front_of(&app).driver(driver);
        for proxy in [to_nginx.clone().each_goes_up().start(), to_nginx.start()] {
            let said = run("ab", &["-q", "-k", "-s", "20", "-n", "2000", "-c", "16", &format!("http://{}/", proxy.http())]);
            let said = String::from_utf8_lossy(&said);
            let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_string());
            assert_eq!(of("Complete requests:").as_deref(), Some("2000"), "{said}");
            assert_eq!(of("Failed requests:").as_deref(), Some("0"), "{said}");
            assert_eq!(of("Non-2xx responses:"), None, "{said}");
            assert_eq!(of("Keep-Alive requests:").as_deref(), Some("2000"), "{said}");
            assert_no_failure(&proxy);
        }
    }
}

on_both_drivers! {
    needs "curl";

    /// What a person sees who asks wrongly.
    fn curl_shows_the_reason_of_a_refusal(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        let said = curl(&["--header", "Host: a b", "--write-out", "\n%{http_code}", &format!("http://{}/", proxy.http())]);
        let said = String::from_utf8_lossy(&said);
        assert!(said.ends_with("\n400") && said.contains("Host"), "{said}");
    }
}
