//! Prometheus in front of a real proxy, and promtool on its page.

use slipstream_tests::otel::{Prometheus, promtool};
use slipstream_tests::{App, Client, Proxy, on_both_drivers};

fn page(admin: std::net::SocketAddr) -> String {
    let answer = Client::plain(admin).get("/metrics");
    assert_eq!(answer.status, 200);
    answer.text()
}

on_both_drivers! {
    needs "tests/otel/build";

    fn prometheus_scrapes_a_proxy(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        let mut client = proxy.client();
        for number in 0..3 {
            assert_eq!(client.get(&format!("/{number}")).status, 200);
        }
        let prometheus = Prometheus::start(proxy.admin());
        let answered = "sum by (class) (slipstream_responses_total{job=\"slipstream\"}) > 0";
        let samples = prometheus.query_until(answered, "it has scraped the answers", |samples| {
            samples.iter().any(|sample| sample.labels["class"] == "2xx" && sample.value == 3.0)
        });
        assert_eq!(samples.len(), 1, "no other class: {samples:?}");
        prometheus.query_until("up{job=\"slipstream\"}", "the proxy is up", |samples| samples[0].value == 1.0);
        assert_eq!(prometheus.query("scalar(vector(7))")[0].value, 7.0);
    }

    fn promtool_finds_nothing_wrong_with_the_page(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        assert_eq!(proxy.client().get("/").status, 200);
        let found = promtool(&["check", "metrics"], page(proxy.admin()).as_bytes());
        assert_eq!(found.as_deref(), Ok(""));
    }
}

#[test]
#[ignore = "needs tests/otel/build"]
fn promtool_finds_what_is_wrong_with_a_page() {
    let found = promtool(&["check", "metrics"], b"# HELP a_count Of a.\n# TYPE a_count counter\na_count 1\n");
    assert!(found.as_ref().is_err_and(|said| said.contains("\"_total\" suffix")), "{found:?}");
    assert!(promtool(&["check", "metrics"], b"a b c\n").is_err());
}
