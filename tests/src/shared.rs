//! One proxy for many cases: connections are independent, so cases that only differ in their bytes need no process each.

use std::sync::OnceLock;

use crate::proxy::Running;
use crate::{App, Client, Driver, Response};

/// A proxy and its app for each driver, started by the first case that asks; ended with the test process.
pub struct Shared {
    make: fn(Driver) -> (Running, App),
    cells: [OnceLock<(Running, App)>; 2],
}

impl Shared {
    pub const fn new(make: fn(Driver) -> (Running, App)) -> Shared {
        Shared { make, cells: [const { OnceLock::new() }; 2] }
    }

    /// The proxy under `driver`, for one case with `name`.
    pub fn on(&'static self, driver: Driver, name: &str) -> Case {
        let (proxy, app) = self.cells[driver as usize].get_or_init(|| (self.make)(driver));
        Case { proxy, app, marker: format!("c-{name}-{}-end", driver.flag()) }
    }
}

/// One case on a shared proxy. Dropped: no task of the proxy may have panicked.
pub struct Case {
    pub proxy: &'static Running,
    pub app: &'static App,
    /// What no other case has in its bytes: finds this case in what the app received.
    pub marker: String,
}

impl Case {
    /// `bytes` with the marker wherever it says `CASE`.
    pub fn marked(&self, bytes: &[u8]) -> Vec<u8> {
        const PLACE: &[u8] = b"CASE";
        let mut marked = Vec::with_capacity(bytes.len() + 64);
        let mut rest = bytes;
        while let Some(at) = rest.windows(PLACE.len()).position(|window| window == PLACE) {
            marked.extend_from_slice(&rest[..at]);
            marked.extend_from_slice(self.marker.as_bytes());
            rest = &rest[at + PLACE.len()..];
        }
        marked.extend_from_slice(rest);
        marked
    }

    /// Asserts that `response` is the refusal `status` as every refusal must be, and that the connection ends after it.
    pub fn assert_refusal(&self, client: &mut Client, response: &Response, status: u16, section: &str) {
        assert_eq!(response.status, status, "{section}: {response:?}");
        assert_eq!(response.version, "HTTP/1.1");
        let proxy_status = response.fields.joined("proxy-status");
        assert!(proxy_status.contains("error=http_request_error"), "Proxy-Status: {proxy_status:?}");
        assert!(!response.text().trim().is_empty(), "no reason that a person understands");
        assert_eq!(response.fields.get("connection"), Some("close"), "RFC 9112 9.6");
        client.expect_close();
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the shared proxy ---\n{}--------------------------------", self.proxy.stderr());
        } else {
            assert_eq!(self.proxy.metrics().panics(), 0, "tasks of the proxy panicked:\n{}", self.proxy.stderr());
        }
    }
}

/// Sends `request`, in which `CASE` stands for the case's marker: the answer is `status`, the connection ends, the app saw nothing.
pub fn refused(case: &Case, section: &str, status: u16, request: &[u8]) {
    let request = case.marked(request);
    assert!(crate::contains(&request, case.marker.as_bytes()), "the request has no CASE in it");
    let mut client = case.proxy.client();
    client.offer(&request);
    let response = client.response();
    case.assert_refusal(&mut client, &response, status, section);
    assert!(!case.app.saw(&case.marker), "{section}: the app saw a refused request");
}

/// Sends a chunked request with `body` at once: the answer is `status`, the connection ends, the app never sees a whole request.
pub fn refused_in_body(case: &Case, section: &str, status: u16, body: &[u8]) {
    let mut client = case.proxy.client();
    client.offer([case.marked(CHUNKED_HEAD), case.marked(body)].concat());
    let response = client.response();
    case.assert_refusal(&mut client, &response, status, section);
    case.app.assert_never_whole(&case.marker);
}

/// As [`refused_in_body`]; `body` is sent only once the app has seen the head, so the exchange is under way when it fails.
pub fn refused_in_body_late(case: &Case, section: &str, status: u16, body: &[u8]) {
    let mut client = case.proxy.client();
    client.send(case.marked(CHUNKED_HEAD));
    case.app.wait_to_see(&case.marker);
    client.offer(case.marked(body));
    let response = client.response();
    case.assert_refusal(&mut client, &response, status, section);
    case.app.assert_never_whole(&case.marker);
}

const CHUNKED_HEAD: &[u8] = b"POST /CASE HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
