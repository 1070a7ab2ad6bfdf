//! Queries as the files have them, and the series that they ask for.

use slipstream_tests::otel::Prometheus;

/// What Grafana puts in the place of its variables.
pub fn filled(query: &str) -> String {
    query.replace("$__rate_interval", "5s").replace("$job", ".*").replace("$instance", ".*")
}

/// Each name of a metric of ours in a query, with the labels that it is asked with.
pub fn selectors(query: &str) -> Vec<String> {
    const OURS: [&str; 4] = ["slipstream_", "http_server_", "http_client_", "process_"];
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let mut found = Vec::new();
    let mut at = 0;
    while at < query.len() {
        let len = query[at..].bytes().take_while(|byte| is_of_name(*byte)).count();
        let name = &query[at..at + len];
        at += len.max(1);
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            let labels = match query[at..].strip_prefix('{') {
                // No label of ours has a brace in it.
                Some(rest) => &query[at..at + 2 + rest.find('}').expect("labels end")],
                None => "",
            };
            at += labels.len();
            found.push(format!("{name}{labels}"));
        }
    }
    found
}

/// Panics where a query asks for a series that is not there: a name or a label that the proxy does not have.
pub fn assert_asks_for_what_there_is(prometheus: &Prometheus, query: &str) {
    let selectors = selectors(query);
    assert!(!selectors.is_empty(), "{query} asks for nothing of ours");
    for selector in selectors {
        assert!(!prometheus.query(&selector).is_empty(), "{selector}, in {query}, is not there");
    }
}

#[test]
fn selectors_are_names_of_ours_with_their_labels() {
    let query =
        "sum by (http_route) (rate(http_server_x_count{a=~\"$job\", b!=\"\"}[5m])) / on (job) slipstream_y > time()";
    assert_eq!(selectors(query), ["http_server_x_count{a=~\"$job\", b!=\"\"}", "slipstream_y"]);
    assert!(selectors("up{job=\"x\"}").is_empty());
}
