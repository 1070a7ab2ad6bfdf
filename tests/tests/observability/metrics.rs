//! The page of metrics: few series at rest, and each family in the docs.

use std::collections::BTreeSet;
use std::path::Path;

use slipstream_tests::{App, Certs, Client, Proxy, Running, eventually, on_both_drivers};

const IDLE_SERIES_MAX: usize = 150;

fn page(proxy: &Running) -> String {
    let answer = Client::plain(proxy.admin()).get("/metrics");
    assert_eq!(answer.status, 200);
    answer.text()
}

on_both_drivers! {
    fn idle_proxy_has_few_series(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(8).tls(certs.leaf(&["a.test"])).start();
        let page = page(&proxy);
        let series = page.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series <= IDLE_SERIES_MAX, "{series} series:\n{page}");
    }
}

/// A table in docs/telemetry.md has a row for each family: "| `name` | ...".
#[test]
fn docs_have_each_metric_and_no_other() {
    let (app, certs) = (App::ok(), Certs::new());
    let proxy = Proxy::in_front_of(&app).tls(certs.leaf(&["a.test"])).start();
    assert_eq!(proxy.client().get("/").status, 200);
    // A request is noted when it has ended, which is after its last byte.
    let is_noted = |page: &String| page.contains("http_server_request_duration_seconds_count{");
    let page = eventually("the request is noted", || Some(page(&proxy)).filter(is_noted));
    let of_page: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/telemetry.md")).unwrap();
    let section = docs.split("\n## ").find(|section| section.starts_with("Metrics")).expect("a section on metrics");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let of_docs: BTreeSet<&str> = rows.collect();
    assert_eq!(of_page.difference(&of_docs).collect::<Vec<_>>(), Vec::<&&str>::new(), "the docs miss these");
    assert_eq!(
        of_docs.difference(&of_page).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "the docs have these, the page not"
    );
}
