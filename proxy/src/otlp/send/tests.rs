//! Against collectors that do what no real one does.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::otlp::{TlsFiles, Url};

/// What a scripted collector does with one connection.
enum Act {
    /// For each request in turn, all on this connection.
    Answer(Vec<String>),
    Close,
    Silence,
    /// A byte now and then, for ever.
    Drip,
}

fn http(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Each connection is treated by the next act; after the last one nobody is there. What was asked.
struct Scripted {
    url: Url,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn new(acts: Vec<Act>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        tokio::spawn(async move {
            for act in acts {
                let (mut stream, _) = listener.accept().await.unwrap();
                match act {
                    Act::Close => {}
                    Act::Silence => std::mem::forget(stream),
                    Act::Drip => {
                        tokio::spawn(async move {
                            while stream.write_all(b"H").await.is_ok() {
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                        });
                    }
                    Act::Answer(answers) => {
                        for answer in answers {
                            let request = request(&mut stream).await;
                            seen.lock().unwrap().push(request);
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                }
            }
        });
        let url = Url {
            is_tls: false,
            host: "127.0.0.1".to_owned(),
            port,
            path: "/v1/traces".to_owned(),
            query: String::new(),
        };
        Scripted { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Head and body, a byte a character.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        text.extend(buffer[..n].iter().map(|byte| char::from(*byte)));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if n == 0 || body.len() >= length.parse().unwrap() {
            return text;
        }
    }
}

const TIMEOUT: Duration = Duration::from_millis(300);

fn exporter(url: &Url, more: impl FnOnce(&mut Target)) -> (Exporter, Arc<ExportCounters>) {
    let exports = Arc::new(ExportCounters::default());
    let mut target = Target {
        protocol: Protocol::HttpProtobuf,
        url: url.clone(),
        headers: vec![("x-key".to_owned(), "0123".to_owned())],
        gzip: false,
        timeout: TIMEOUT,
        tls: TlsFiles::default(),
    };
    more(&mut target);
    (Exporter::new(Signal::Traces, target, exports.clone()).unwrap(), exports)
}

/// Sent, found its queue full, rejected, failed.
fn traces(exports: &ExportCounters) -> [u64; 4] {
    let items = exports.items()[Signal::Traces as usize];
    [Outcome::Sent, Outcome::QueueFull, Outcome::Rejected, Outcome::Failed].map(|outcome| items[outcome as usize])
}

/// Exports ten items once; what became of them, and what was asked.
async fn once(acts: Vec<Act>) -> ([u64; 4], Vec<String>) {
    let collector = Scripted::new(acts).await;
    let (mut exporter, exports) = exporter(&collector.url, |_| {});
    exporter.export(b"message".to_vec(), 10).await;
    (traces(&exports), collector.asked())
}

fn answers(answers: &[String]) -> Act {
    Act::Answer(answers.to_vec())
}

#[tokio::test]
async fn what_is_taken_is_sent_on_one_connection_with_all_its_fields() {
    let ok = http("200 OK", "", "");
    let collector = Scripted::new(vec![answers(&[ok.clone(), ok])]).await;
    let (mut exporter, exports) = exporter(&collector.url, |_| {});
    exporter.export(b"message".to_vec(), 10).await;
    exporter.export(b"message".to_vec(), 5).await;
    assert_eq!(traces(&exports), [15, 0, 0, 0]);
    let asked = collector.asked();
    assert_eq!(asked.len(), 2);
    for line in
        ["POST /v1/traces HTTP/1.1", "content-type: application/x-protobuf", "x-key: 0123", "user-agent: OTel-OTLP"]
    {
        assert!(asked[0].contains(line), "{line}: {}", asked[0]);
    }
    assert!(asked[0].ends_with("\r\n\r\nmessage"));
}

#[tokio::test]
async fn what_is_compressed_can_be_read() {
    let collector = Scripted::new(vec![answers(&[http("200 OK", "", "")])]).await;
    let (mut exporter, _) = exporter(&collector.url, |target| target.gzip = true);
    exporter.export(b"message".to_vec(), 1).await;
    let asked = collector.asked().remove(0);
    assert!(asked.contains("content-encoding: gzip"));
    let body: Vec<u8> = asked.split_once("\r\n\r\n").unwrap().1.chars().map(|char| char as u8).collect();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(body.as_slice()), &mut text).unwrap();
    assert_eq!(text, "message");
}

#[tokio::test]
async fn what_it_rejects_of_a_batch_is_counted_apart() {
    // partial_success { rejected_spans: 3, error_message: "old" }
    let partial = http("200 OK", "", "\u{a}\u{7}\u{8}\u{3}\u{12}\u{3}old");
    assert_eq!(once(vec![answers(&[partial])]).await.0, [7, 0, 3, 0]);
}

#[tokio::test]
async fn what_it_refuses_is_not_sent_again() {
    for answer in [
        http("400 Bad Request", "", "no"),
        http("401 Unauthorized", "", ""),
        http("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        http("500 Internal Server Error", "", ""),
    ] {
        let (counted, asked) = once(vec![answers(&[answer.clone(), answer.clone()])]).await;
        assert_eq!((counted, asked.len()), ([0, 0, 10, 0], 1), "{answer}");
    }
}

#[tokio::test]
async fn what_it_cannot_take_now_is_sent_again_when_it_says() {
    for status in ["429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let later = http(status, "Retry-After: 0\r\n", "");
        let (counted, asked) = once(vec![answers(&[later.clone(), later, http("200 OK", "", "")])]).await;
        assert_eq!((counted, asked.len()), ([10, 0, 0, 0], 3), "{status}");
    }
    for after in ["9", "9223372036854775807", "18446744073709551615"] {
        let later = http("503 Service Unavailable", &format!("Retry-After: {after}\r\n"), "");
        let (counted, asked) = once(vec![answers(&[later])]).await;
        assert_eq!((counted, asked.len()), ([0, 0, 0, 10], 1), "{after}: later than there is time for");
    }
}

#[tokio::test]
async fn whoever_does_not_answer_in_time_fails_what_it_was_sent() {
    for act in [Act::Silence, Act::Drip, Act::Close] {
        assert_eq!(once(vec![act]).await.0, [0, 0, 0, 10]);
    }
    assert_eq!(once(vec![answers(&["garbage\r\n\r\n".to_owned()])]).await.0, [0, 0, 0, 10]);
}

#[tokio::test]
async fn whoever_is_not_there_fails_what_it_was_sent() {
    let gone = Url {
        is_tls: false,
        host: "127.0.0.1".to_owned(),
        port: 1,
        path: "/v1/traces".to_owned(),
        query: String::new(),
    };
    let (mut exporter, exports) = exporter(&gone, |_| {});
    exporter.export(b"message".to_vec(), 10).await;
    assert_eq!(traces(&exports), [0, 0, 0, 10]);
}

#[tokio::test]
async fn an_answer_without_end_says_no_more_than_its_status() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000));
    assert_eq!(once(vec![answers(&[long])]).await.0, [10, 0, 0, 0]);
}

#[tokio::test]
async fn a_connection_that_has_gone_is_replaced() {
    let ok = || answers(&[http("200 OK", "", "")]);
    let collector = Scripted::new(vec![ok(), ok()]).await;
    let (mut exporter, exports) = exporter(&collector.url, |target| target.timeout = Duration::from_secs(5));
    exporter.export(b"message".to_vec(), 10).await;
    exporter.export(b"message".to_vec(), 10).await;
    assert_eq!(traces(&exports), [20, 0, 0, 0]);
}

#[tokio::test]
async fn what_is_given_up_is_counted() {
    let collector = Scripted::new(vec![Act::Silence]).await;
    let (mut exporter, exports) = exporter(&collector.url, |target| target.timeout = Duration::from_secs(60));
    let given_up = tokio::time::timeout(Duration::from_millis(50), exporter.export(b"message".to_vec(), 10)).await;
    assert!(given_up.is_err());
    assert_eq!(traces(&exports), [0, 0, 0, 10]);
}

#[test]
fn a_file_of_tls_that_cannot_be_used_is_named() {
    let url = Url { is_tls: true, host: "c".to_owned(), port: 1, path: String::new(), query: String::new() };
    let tls = TlsFiles { ca: Some("/no/such/ca.pem".into()), client: None };
    let target = Target { protocol: Protocol::Grpc, url, headers: Vec::new(), gzip: false, timeout: TIMEOUT, tls };
    let error = Exporter::new(Signal::Logs, target, Arc::default()).err().unwrap();
    assert!(error.starts_with("/no/such/ca.pem cannot be used"), "{error}");
}
