//! Collectors that are gone, slow or wrong, what becomes of every span then, and the logs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use slipstream_tests::{App, Driver, Metrics, Proxy, Running, on_both_drivers};

use crate::scene::{Door, Scene, get, soon, traceparent};

/// A collector that treats each request by `answer`; `None`: it closes.
fn collector(answer: impl Fn(usize) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            'connection: loop {
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).unwrap_or(0) == 0 {
                        break 'connection;
                    }
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut body = vec![0; length];
                if stream.read_exact(&mut body).is_err() {
                    break;
                }
                let Some(answer) = answer(number) else { break };
                number += 1;
                if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    address
}

fn http(status: &str, fields: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()))
}

const REQUESTS: u64 = 20;

/// A proxy that exports traces to `collector` has answered some requests.
fn asked(driver: Driver, collector: &str, shape: impl FnOnce(Proxy) -> Proxy) -> (App, Running) {
    let app = App::ok();
    let proxy = soon(Proxy::in_front_of(&app).driver(driver).each_goes_up())
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector)
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "200");
    let proxy = shape(proxy).start();
    let mut client = proxy.client();
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").status, 200);
    }
    (app, proxy)
}

fn ended(metrics: &Metrics, outcome: &str) -> u64 {
    metrics.sum_where("slipstream_export_items_total", &format!("signal=\"traces\",outcome=\"{outcome}\""))
}

/// Every span has come to one of the four ends.
fn settled(proxy: &Running) -> [u64; 4] {
    let ends = |metrics: &Metrics| ["sent", "queue_full", "rejected", "failed"].map(|outcome| ended(metrics, outcome));
    ends(&proxy.metrics_until("every span has an end", |metrics| ends(metrics).iter().sum::<u64>() == 2 * REQUESTS))
}

on_both_drivers! {
    fn collector_that_is_gone_costs_its_spans_and_nothing_else(driver: Driver) {
        let (_app, proxy) = asked(driver, "http://127.0.0.1:1/v1/traces", |proxy| proxy);
        assert_eq!(settled(&proxy), [0, 0, 0, 2 * REQUESTS]);
        let log = proxy.stop().stderr;
        assert!(log.contains("export of traces to http://127.0.0.1:1/v1/traces: it cannot be connected to"), "{log}");
    }

    fn full_queue_drops_and_counts(driver: Driver) {
        let gone = "http://127.0.0.1:1/v1/traces";
        let (_app, proxy) = asked(driver, gone, |proxy| proxy.env("OTEL_BSP_MAX_QUEUE_SIZE", "4"));
        let [sent, full, rejected, failed] = settled(&proxy);
        assert!(sent == 0 && rejected == 0 && full > 0 && failed > 0, "{full} {failed}");
    }

    fn collector_that_closes_or_talks_nonsense_fails_what_it_gets(driver: Driver) {
        for answer in [None, Some("nonsense\r\n\r\n".to_owned())] {
            let address = collector(move |_| answer.clone());
            let (_app, proxy) = asked(driver, &format!("http://{address}/v1/traces"), |proxy| proxy);
            assert_eq!(settled(&proxy), [0, 0, 0, 2 * REQUESTS]);
        }
    }

    fn collector_that_never_answers_fails_what_it_gets(driver: Driver) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let (_app, proxy) = asked(driver, &url, |proxy| proxy);
        assert_eq!(settled(&proxy), [0, 0, 0, 2 * REQUESTS]);
    }

    fn redirect_is_not_followed_and_said(driver: Driver) {
        let address = collector(|_| http("307 Temporary Redirect", "Location: http://elsewhere/\r\n", ""));
        let (_app, proxy) = asked(driver, &format!("http://{address}/v1/traces"), |proxy| proxy);
        assert_eq!(settled(&proxy), [0, 0, 2 * REQUESTS, 0]);
        assert!(proxy.stop().stderr.contains("it redirects (307) to http://elsewhere/"));
    }

    fn partial_success_is_counted_to_the_span(driver: Driver) {
        // partial_success { rejected_spans: 1 }, of each message.
        let address = collector(|_| http("200 OK", "", "\u{a}\u{2}\u{8}\u{1}"));
        let (_app, proxy) = asked(driver, &format!("http://{address}/v1/traces"), |proxy| proxy);
        let [sent, full, rejected, failed] = settled(&proxy);
        assert!(sent > 0 && rejected > 0 && full + failed == 0, "{sent} {rejected}");
    }

    fn what_cannot_be_taken_now_is_sent_again(driver: Driver) {
        let address = collector(|number| match number {
            0 => http("503 Service Unavailable", "Retry-After: 0\r\n", ""),
            _ => http("200 OK", "", ""),
        });
        let (_app, proxy) = asked(driver, &format!("http://{address}/v1/traces"), |proxy| proxy);
        assert_eq!(settled(&proxy), [2 * REQUESTS, 0, 0, 0]);
        assert_eq!(proxy.metrics().sum_where("slipstream_export_retries_total", "signal=\"traces\""), 1);
    }
}

on_both_drivers! { needs "tests/otel/build";
    fn end_of_the_process_sends_what_is_left(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| proxy.env("OTEL_BSP_SCHEDULE_DELAY", "60000"));
        let mut client = scene.client();
        client.send(get("/", ""));
        client.response();
        drop(client);
        let Scene { collector, proxy, .. } = scene;
        assert!(proxy.stop().status.success());
        collector.spans_until("what was told before the end", |spans| spans.len() == 2);
    }

    fn access_log_has_the_span_of_its_request(driver: Driver) {
        let scene = Scene::set(driver, Door::Http, |proxy| proxy.policy("telemetry: {accessLog: on}"));
        let (server, _) = scene.ask(&get("/cart?sig=abc", &traceparent()));
        let records = scene.collector.logs_until("the request's record", |records| {
            records.iter().any(|record| record.event_name == "slipstream.access")
        });
        let record = records.iter().find(|record| record.event_name == "slipstream.access").unwrap();
        assert_eq!((&record.trace_id, &record.span_id), (&server.trace_id, &server.span_id));
        assert!(records.iter().any(|record| record.event_name == "slipstream.log"), "the control side's own");
        let line = scene.proxy.line_of_stdout("\"kind\":\"access\"");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["trace_id"], server.trace_id.as_str());
        assert_eq!(line["span_id"], server.span_id.as_str());
        assert_eq!((line["status"].as_u64(), line["path"].as_str()), (Some(200), Some("/cart")));
        assert_eq!(line["query"], "sig=REDACTED");
        assert!(line["duration_ms"].as_f64().unwrap() >= line["upstream_ms"].as_f64().unwrap());
    }
}
