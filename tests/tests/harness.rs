//! The harness itself, client against app with no proxy between: a case may only trust what was seen to work here.

use slipstream_tests::{
    App, Client, End, Event, Framing, Inlet, Metrics, Origin, Refusing, Request, Response, Unanswering,
};

fn read(bytes: &'static [u8]) -> Result<Response, slipstream_tests::Broken> {
    Response::read(&mut Inlet::new(bytes), "GET")
}

#[test]
fn app_and_client_understand_each_other() {
    let app = App::ok();
    let mut client = Client::plain(app.address());
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str(), response.framing), (200, "ok", Framing::Length(2)));
    let request = app.request_for("/a");
    assert_eq!((request.body.as_slice(), request.trailers.get("x")), (&b"hello"[..], Some("y")));
    assert_eq!(client.get("/b").text(), "ok");
    assert_eq!((app.connections(), app.requests().len()), (1, 2));
    assert!(app.saw("GET /b HTTP/1.1\r\n") && !app.saw("/c"));
}

#[test]
fn clean_end_and_reset_are_told_apart() {
    let app = App::scripted(|mut conn| match conn.request().expect("a request comes").target.as_str() {
        "/reset" => conn.reset(),
        _ => drop(conn),
    });
    for (target, end) in [("/reset", End::Reset), ("/close", End::Clean)] {
        let mut client = Client::plain(app.address());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.rest(), (vec![], end));
    }
}

#[test]
fn end_of_a_client_is_seen_by_the_app() {
    let app = App::scripted(|mut conn| {
        conn.closed();
    });
    let mut closing = Client::plain(app.address());
    closing.send("x");
    app.wait_to_see("x");
    drop(closing);
    assert_eq!(app.end_of(0), End::Clean);
    let mut resetting = Client::plain(app.address());
    resetting.send("y");
    app.wait_to_see("y");
    resetting.reset();
    assert_eq!(app.end_of(1), End::Reset);
}

#[test]
fn broken_request_is_never_whole() {
    let app = App::ok();
    let mut client = Client::plain(app.address());
    client.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    app.wait_to_see("/cut");
    drop(client);
    app.assert_never_whole("/cut");
}

#[test]
#[should_panic(expected = "whole request out of a broken one")]
fn whole_request_is_found_out() {
    let app = App::ok();
    let mut client = Client::plain(app.address());
    client.get("/whole");
    drop(client);
    app.assert_never_whole("/whole");
}

#[test]
#[should_panic(expected = "a script of the app failed")]
fn malformed_request_to_the_app_fails_the_case() {
    let app = App::ok();
    let mut client = Client::plain(app.address());
    client.send("GET /bad HTTP/1.1\r\nHost : a\r\n\r\n");
    client.rest();
    app.wait_to_close(0);
}

#[test]
fn interim_and_bodiless_responses_are_read() {
    let app = App::answering("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
    let mut client = Client::plain(app.address());
    assert_eq!(client.get("/").status, 103);
    assert_eq!(client.response().status, 304);
    assert_eq!(client.get("/").status, 103);
}

#[test]
fn short_body_is_broken_with_what_came() {
    let broken = read(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").expect_err("five bytes are missing");
    assert_eq!((broken.end, broken.body.as_slice()), (End::Clean, &b"hello"[..]));
    let broken =
        read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").expect_err("no last chunk");
    assert_eq!((broken.end, broken.body.as_slice()), (End::Clean, &b"hello"[..]));
}

#[test]
fn responses_in_doubt_are_malformed() {
    for bytes in [
        &b"HTTP/1.1 200\r\n\r\n"[..],
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    ] {
        assert!(
            matches!(read(bytes), Err(broken) if matches!(broken.end, End::Malformed(_))),
            "{}",
            slipstream_tests::shown(bytes)
        );
    }
}

#[test]
fn requests_in_doubt_are_malformed() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    ] {
        let request = Request::read(&mut Inlet::new(bytes));
        assert!(
            matches!(request, Err(broken) if matches!(broken.end, End::Malformed(_))),
            "{}",
            slipstream_tests::shown(bytes)
        );
    }
}

#[test]
fn absent_apps_refuse_or_do_not_answer() {
    let refusing = std::net::TcpStream::connect(Refusing::new().address());
    assert_eq!(refusing.expect_err("nobody listens").kind(), std::io::ErrorKind::ConnectionRefused);
    let app = Unanswering::new();
    let patience = std::time::Duration::from_millis(300);
    let unanswering = std::net::TcpStream::connect_timeout(&app.address(), patience);
    assert_eq!(unanswering.expect_err("the backlog is full").kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn app_that_does_not_read_is_felt_soon() {
    let go = Event::new();
    let scripted = go.clone();
    let app = App::with_receive_buffer(8 << 10, move |mut conn| {
        conn.request_head();
        scripted.wait("the client is stuck");
    });
    let mut client = Client::plain(app.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    assert!(client.fill() < 20_000_000);
    go.raise();
}

#[test]
fn metrics_are_summed_by_label() {
    let metrics = Metrics::parse("# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\nb 5\nc_seconds 0.25\n");
    assert_eq!((metrics.sum("a"), metrics.sum_where("a", "x=\"2\""), metrics.sum("b")), (7, 4, 5));
}
