//! Well-formed traffic: what passes, what a proxy must change on the way, and in which order things reach whom.

mod connections;
mod early;
mod forwarding;
mod identity;
mod messages;

use slipstream_tests::{App, Driver, Origin, Proxy, Request, Response, Running};

/// A proxy with the default policy in front of `origin`.
fn proxy(driver: Driver, origin: &impl Origin) -> Running {
    Proxy::in_front_of(origin).driver(driver).start()
}

/// An app that answers every request with its target as the body.
fn echo() -> App {
    App::scripted(|mut conn| {
        while let Some(request) = conn.request() {
            let body = if request.method == "HEAD" { "" } else { request.target.as_str() };
            let length = request.target.len();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
        }
    })
}

/// What the app gets of `request` (one, without a body), under the default policy.
fn forwarded(driver: Driver, request: &str) -> Request {
    let app = echo();
    let proxy = proxy(driver, &app);
    let mut client = proxy.client();
    client.send(request);
    assert_eq!(client.response().status, 200);
    app.requests().remove(0)
}

/// What a client gets of `response` to a GET, under the default policy.
fn answered(driver: Driver, response: &str) -> Response {
    let app = App::answering(response.to_string());
    let proxy = proxy(driver, &app);
    proxy.client().get("/")
}
