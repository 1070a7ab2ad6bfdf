//! Apps that break off. Before the head: 502. In the body: the client's connection is broken off too, and in a way that the client
//! cannot take for the end of the body (RFC 9112 section 8).

use slipstream_tests::{App, Broken, Certs, Client, Conn, Driver, End, Event, Tls, contains, on_both_drivers, shown};

use crate::proxy;

/// An app that sends `answer` to the first request and closes.
fn sends_and_closes(answer: &'static [u8]) -> App {
    App::scripted(move |mut conn| {
        conn.request();
        conn.send(answer);
    })
}

/// An app that sends a head and a chunk, then `rest` once the client has them, and waits for the proxy to give up.
fn breaks_later(rest: &'static [u8]) -> (App, Event) {
    let seen = Event::new();
    let scripted = seen.clone();
    let app = App::scripted(move |mut conn| {
        conn.request();
        conn.send(CHUNKED);
        scripted.wait("the client has the head and a chunk");
        conn.send(rest);
        conn.closed();
    });
    (app, seen)
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// A client of HTTP/1.1 gets the head and then no whole body.
fn cut_off(driver: Driver, app: &App) -> Broken {
    let proxy = proxy(driver, app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let broken = client.try_response().expect_err("an answer that was cut short looks whole");
    assert!(broken.head.is_some(), "the head was fine and under way: {broken:?}");
    assert!(matches!(broken.end, End::Clean | End::Reset), "{broken:?}");
    broken
}

/// A client of HTTP/1.0, to whom only the end of the connection ends the body, sees a reset.
fn cut_off_for_http_10(driver: Driver, app: &App) {
    let proxy = proxy(driver, app);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let (_, end) = client.rest();
    assert_eq!(end, End::Reset, "a clean end makes a part look whole");
}

/// 502 to a request on a fresh connection.
fn bad_gateway(driver: Driver, app: &App, error: &str) {
    let proxy = proxy(driver, app);
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!(response.status, 502, "{response:?}");
    let proxy_status = response.fields.joined("proxy-status");
    assert!(proxy_status.contains(&format!("error={error}")), "{proxy_status:?}");
    assert!(!response.text().trim().is_empty());
}

/// Each line `name: bytes;` is three tests under each driver: after a head and a chunk the app sends the bytes and stays, so the proxy
/// must see by itself that they are broken. They come when a client of HTTP/1.1 has the head, when one of HTTP/1.0 has it, and with it.
macro_rules! broken_bodies {
    ($($name:ident: $section:literal, $bytes:expr;)+) => {$(
        mod $name {
            use super::*;

            on_both_drivers! {
                fn is_cut_off(driver: Driver) {
                    let (app, seen) = breaks_later($bytes);
                    let proxy = proxy(driver, &app);
                    let mut client = proxy.client();
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(client.response_head().status, 200);
                    assert_eq!(client.take(10), b"5\r\nhello\r\n");
                    seen.raise();
                    let (rest, end) = client.rest();
                    assert!(matches!(end, End::Clean | End::Reset), "{end:?}");
                    let looks_whole = contains(&rest, b"0\r\n\r\n") || contains(&rest, b"0\r\nX: y\r\n\r\n");
                    assert!(!looks_whole && !contains(&rest, b"GARBAGE"), "{}: {}", $section, shown(&rest));
                }

                fn is_cut_off_by_a_reset_for_http_10(driver: Driver) {
                    let (app, seen) = breaks_later($bytes);
                    let proxy = proxy(driver, &app);
                    let mut client = proxy.client();
                    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
                    assert_eq!(client.response_head().status, 200);
                    assert_eq!(client.take(5), b"hello");
                    seen.raise();
                    assert_eq!(client.rest().1, End::Reset, "{}: a clean end makes a part look whole", $section);
                }

                fn is_502_or_cut_off_when_it_comes_with_the_head(driver: Driver) {
                    let app = sends_and_stays([CHUNKED.as_bytes(), $bytes].concat());
                    let proxy = proxy(driver, &app);
                    let mut client = proxy.client();
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    match client.try_response() {
                        Ok(response) => assert_eq!(response.status, 502, "{}: {response:?}", $section),
                        Err(broken) => assert!(!contains(&broken.body, b"GARBAGE"), "{}: {broken:?}", $section),
                    }
                }
            }
        }
    )+};
}

broken_bodies! {
    chunk_size_that_is_no_number: "RFC 9112 7.1", b"xyz\r\nGARBAGE\r\n0\r\n\r\n";
    chunk_size_that_is_empty: "RFC 9112 7.1", b"\r\nGARBAGE\r\n0\r\n\r\n";
    chunk_size_that_overflows: "RFC 9112 7.1", b"10000000000000007\r\nGARBAGE\r\n0\r\n\r\n";
    chunk_size_below_zero: "RFC 9112 7.1", b"-7\r\nGARBAGE\r\n0\r\n\r\n";
    chunk_size_with_a_space_after_it: "RFC 9112 7.1", b"7 \r\nGARBAGE\r\n0\r\n\r\n";
    chunk_size_that_ends_in_a_bare_lf: "RFC 9112 2.2, 7.1", b"7\nGARBAGE\r\n0\r\n\r\n";
    chunk_data_without_crlf_after_it: "RFC 9112 7.1", b"5\r\nhello7\r\nGARBAGE\r\n0\r\n\r\n";
    chunk_data_longer_than_its_size: "RFC 9112 7.1", b"5\r\nhelloGARBAGE\r\n0\r\n\r\n";
    chunk_extension_with_a_bare_lf: "RFC 9112 7.1.1", b"7;a\nGARBAGE\r\n0\r\n\r\n";
    trailer_without_a_colon: "RFC 9112 7.1.2", b"0\r\nGARBAGE\r\n\r\n";
    trailer_that_is_folded: "RFC 9112 5.2", b"0\r\nX: y\r\n GARBAGE\r\n\r\n";
    trailer_content_length: "RFC 9110 6.5.1", b"0\r\nContent-Length: 7\r\n\r\nGARBAGE";
}

/// An app that sends `answer` to the first request and waits for the proxy to give up.
fn sends_and_stays(answer: Vec<u8>) -> App {
    App::scripted(move |mut conn| {
        conn.request();
        conn.send(&answer);
        conn.closed();
    })
}

on_both_drivers! {
    /// RFC 9112 section 8: chunked, no last chunk, FIN.
    fn chunked_answer_without_its_last_chunk_is_cut_off(driver: Driver) {
        let broken = cut_off(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        assert_eq!(broken.body, b"hello", "what came is passed on");
    }

    fn chunked_answer_without_its_last_chunk_is_reset_for_http_10(driver: Driver) {
        cut_off_for_http_10(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    }

    /// RFC 9112 section 8: fewer bytes than Content-Length, FIN.
    fn answer_shorter_than_its_length_is_cut_off(driver: Driver) {
        let broken = cut_off(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"));
        assert_eq!(broken.body, b"hello");
    }

    fn answer_without_a_byte_of_its_body_is_cut_off(driver: Driver) {
        let broken = cut_off(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"));
        assert!(broken.body.is_empty());
    }

    /// RFC 9112 section 8: a reset where the end of the connection would end the body is no end.
    fn answer_that_ends_with_the_connection_and_is_reset_is_cut_off(driver: Driver) {
        for version in ["1.1", "1.0"] {
            let seen = Event::new();
            let scripted = seen.clone();
            let app = App::scripted(move |mut conn: Conn| {
                conn.request();
                conn.send("HTTP/1.1 200 OK\r\n\r\nhello");
                scripted.wait("the client has the first part");
                conn.reset();
            });
            let proxy = proxy(driver, &app);
            let mut client = proxy.client();
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            client.response_head();
            client.take(5);
            seen.raise();
            let (rest, end) = client.rest();
            assert!(!contains(&rest, b"0\r\n\r\n"), "the last chunk makes a part look whole");
            assert!(version == "1.1" || end == End::Reset, "a clean end makes a part look whole");
        }
    }

    /// RFC 9112 section 8: a reset in a body with a length.
    fn answer_that_is_reset_in_its_body_is_cut_off(driver: Driver) {
        let app = App::scripted(|mut conn: Conn| {
            conn.request();
            conn.send([b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".as_slice(), &[b'y'; 100_000]].concat());
            conn.reset();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        // A reset may overtake what was sent before it, the head included: then it is a 502, and whole.
        match client.try_response() {
            Ok(response) => assert_eq!(response.status, 502),
            Err(broken) => assert!(broken.body.len() < 1_000_000),
        }
    }

    /// Under TLS a cut-off body must not end in close_notify where only the end of the connection ends it.
    fn answer_that_breaks_off_ends_without_close_notify_for_http_10_over_tls(driver: Driver) {
        let certs = Certs::new();
        let app = sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello");
        let proxy = slipstream_tests::Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"])).start();
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let (_, end) = client.rest();
        assert!(matches!(end, End::Reset | End::Truncated), "a clean end makes a part look whole: {end:?}");
    }

    fn app_that_closes_without_an_answer_is_502(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
        });
        bad_gateway(driver, &app, "connection_terminated");
        assert!(app.connections() <= 2, "replayed more than once");
    }

    fn app_that_closes_at_once_is_502(driver: Driver) {
        bad_gateway(driver, &App::scripted(drop), "connection_terminated");
    }

    fn app_that_resets_before_its_head_is_502(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.reset();
        });
        bad_gateway(driver, &app, "connection_terminated");
    }

    fn app_that_breaks_off_in_its_head_is_502(driver: Driver) {
        bad_gateway(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\nContent-Le"), "connection_terminated");
    }

    fn app_that_breaks_off_after_its_status_line_is_502(driver: Driver) {
        bad_gateway(driver, &sends_and_closes(b"HTTP/1.1 200 OK\r\n"), "connection_terminated");
    }

    /// What is left of a body that the app did not take is no request: the connection ends (RFC 9112 section 9.6).
    fn rest_of_a_body_that_the_app_left_is_never_a_request(driver: Driver) {
        for early in ["", "x", "xxxxxxxxxx"] {
            let app = App::scripted(|mut conn| {
                conn.request_head();
                conn.reset();
            });
            let proxy = proxy(driver, &app);
            let mut client = proxy.client();
            client.send("POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
            app.wait_to_see("/left");
            client.offer(early);
            client.offer("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
            let (answered, _) = client.rest();
            let answers = shown(&answered).matches("HTTP/1.1 ").count();
            assert!(answers <= 1 && !app.saw("/smuggled"), "{}", shown(&answered));
        }
    }

    /// After an answer was cut off, the proxy and the other connections go on.
    fn proxy_goes_on_after_an_app_broke_off(driver: Driver) {
        let app = App::scripted(|mut conn| match conn.number {
            0 => {
                conn.request();
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            }
            _ => while conn.request().is_some() && conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {},
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_response().is_err());
        assert_eq!(proxy.client().get("/").text(), "ok");
    }
}
