//! Responses that RFC 9112 does not allow, or that two parsers could read differently: 502, and no byte of them reaches the client.
//!
//! All cases of a driver share one proxy, whose app sends what the case that asks has put down for it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use slipstream_tests::{App, Client, Conn, Driver, Proxy, Response, Shared, on_both_drivers};

static SHARED: Shared = Shared::new(|driver| {
    let app = App::scripted(serve);
    (Proxy::in_front_of(&app).driver(driver).policy("limits: {headBytes: 64KiB}").start(), app)
});

/// What the app sends, by the target that asks for it.
static ANSWERS: LazyLock<Mutex<HashMap<String, Vec<u8>>>> = LazyLock::new(Mutex::default);

/// Sends what is put down for the request, then waits until the proxy closes: it may not use this connection again.
fn serve(mut conn: Conn) {
    while let Some(request) = conn.request() {
        let answer = ANSWERS.lock().ok().and_then(|answers| answers.get(&request.target).cloned()).unwrap_or_default();
        conn.send(answer);
    }
}

/// Every garbage has this word in it.
const MARK: &str = "GARBAGE";

fn never_reaches_the_client(driver: Driver, name: &str, section: &str, answer: &[u8]) {
    let case = SHARED.on(driver, name);
    let target = format!("/{}", case.marker);
    ANSWERS.lock().expect("no case panics while it holds this").insert(target.clone(), answer.to_vec());
    let mut client = case.proxy.client();
    let response = client.get(&target);
    assert_bad_gateway(&response, section);
    // The fault is the app's, so the client may go on; nothing of the garbage waits in front of its next answer.
    if response.keeps() {
        ANSWERS
            .lock()
            .expect("as above")
            .insert(format!("{target}-2"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec());
        assert_eq!(client.get(&format!("{target}-2")).text(), "ok", "{section}");
    } else {
        client.expect_close();
    }
    // With the space: the second request may have gone on a connection that lives on.
    let number = case.app.wait_to_see(&format!("{target} "));
    case.app.end_of(number);
}

fn assert_bad_gateway(response: &Response, section: &str) {
    assert_eq!(response.status, 502, "{section}: {response:?}");
    let proxy_status = response.fields.joined("proxy-status");
    assert!(proxy_status.contains("error=http_protocol_error"), "{section}: {proxy_status:?}");
    assert!(!response.text().trim().is_empty(), "no reason that a person understands");
    assert!(!format!("{response:?}").contains(MARK), "{section}: garbage reached the client: {response:?}");
}

/// Each line `name: section, bytes;` is a test under each driver.
macro_rules! garbage {
    ($($(#[doc = $doc:literal])* $name:ident: $section:literal, $bytes:expr;)+) => {
        on_both_drivers! {$(
            $(#[doc = $doc])*
            fn $name(driver: Driver) {
                never_reaches_the_client(driver, stringify!($name), $section, $bytes);
            }
        )+}
    };
}

garbage! {
    no_http_at_all: "RFC 9112 4", b"GARBAGE GARBAGE\r\n\r\n";
    no_http_and_no_line_end: "RFC 9112 4", &[b"GARBAGE".as_slice(), &[0xff; 100 << 10]].concat();
    greeting_of_ssh: "RFC 9112 4", b"SSH-2.0-GARBAGE\r\n";
    alert_of_tls: "RFC 9112 4", b"\x15\x03\x03\x00\x02\x02\x28GARBAGE\r\n\r\n";
    frame_of_http_2: "RFC 9112 4", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00GARBAGE\r\n\r\n";
    html_without_a_head: "RFC 9112 4, HTTP/0.9", b"<html>GARBAGE</html>\r\n\r\n";
    request_instead_of_a_response: "RFC 9112 2.1", b"GET /GARBAGE HTTP/1.1\r\nHost: a\r\n\r\n";
    bytes_before_the_status_line: "RFC 9112 4", b"xHTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";

    version_2_0: "RFC 9112 2.3", b"HTTP/2.0 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    version_0_9: "RFC 9112 2.3", b"HTTP/0.9 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    version_in_lower_case: "RFC 9112 2.3", b"http/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    version_without_a_minor: "RFC 9112 2.3", b"HTTP/1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    version_with_two_digits: "RFC 9112 2.3", b"HTTP/1.10 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    version_of_icecast: "RFC 9112 2.3", b"ICY 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";

    status_of_two_digits: "RFC 9112 4", b"HTTP/1.1 20 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_of_four_digits: "RFC 9112 4", b"HTTP/1.1 2000 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_with_letters: "RFC 9112 4", b"HTTP/1.1 2OO OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_below_zero: "RFC 9112 4", b"HTTP/1.1 -20 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_below_100: "RFC 9110 15", b"HTTP/1.1 099 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_that_is_missing: "RFC 9112 4", b"HTTP/1.1 \r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_after_two_spaces: "RFC 9112 4", b"HTTP/1.1  200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    status_after_a_tab: "RFC 9112 4", b"HTTP/1.1\t200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    reason_with_a_nul: "RFC 9112 4", b"HTTP/1.1 200 O\0K\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    reason_with_a_control_byte: "RFC 9112 4", b"HTTP/1.1 200 O\x01K\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    reason_with_a_bare_cr: "RFC 9112 2.2", b"HTTP/1.1 200 O\rK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    switch_that_nobody_asked_for: "RFC 9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: GARBAGE\r\nConnection: upgrade\r\n\r\nGARBAGE";

    all_line_ends_bare_lf: "RFC 9112 2.2", b"HTTP/1.1 200 OK\nX: GARBAGE\nContent-Length: 7\n\nGARBAGE";
    status_line_that_ends_in_a_bare_lf: "RFC 9112 2.2", b"HTTP/1.1 200 OK\nX: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_line_that_ends_in_a_bare_lf: "RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: GARBAGE\nContent-Length: 7\r\n\r\nGARBAGE";
    empty_line_of_a_bare_lf: "RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\n\nGARBAGE";
    folded_line: "RFC 9112 5.2", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\n folded\r\nContent-Length: 7\r\n\r\nGARBAGE";
    space_before_the_colon: "RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX : GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    space_before_the_first_field: "RFC 9112 2.2", b"HTTP/1.1 200 OK\r\n X: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_line_without_a_colon: "RFC 9112 5", b"HTTP/1.1 200 OK\r\nGARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    empty_field_name: "RFC 9110 5.1", b"HTTP/1.1 200 OK\r\n: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_name_with_a_space: "RFC 9110 5.1", b"HTTP/1.1 200 OK\r\nX GARBAGE: y\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_name_with_a_slash: "RFC 9110 5.1", b"HTTP/1.1 200 OK\r\nX/GARBAGE: y\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_name_with_a_nul: "RFC 9110 5.1", b"HTTP/1.1 200 OK\r\nX\0: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_name_beyond_ascii: "RFC 9110 5.1", b"HTTP/1.1 200 OK\r\nX\xe9: GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_value_with_a_nul: "RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: GARB\0GARBAGE\r\nContent-Length: 7\r\n\r\nGARBAGE";
    field_value_with_a_bare_cr: "RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: GARBAGE\rSet-Cookie: a=b\r\nContent-Length: 7\r\n\r\nGARBAGE";
    head_without_bound: "RFC 9112 2.2", &[b"HTTP/1.1 200 OK\r\nX: GARBAGE".as_slice(), &[b'y'; 2 << 20], b"\r\n\r\n"].concat();
    fields_without_bound: "RFC 9112 2.2", &[b"HTTP/1.1 200 OK\r\n".as_slice(), &b"X: GARBAGE\r\n".repeat(100_000), b"\r\n"].concat();

    content_length_with_transfer_encoding: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    transfer_encoding_with_content_length: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    two_different_content_lengths: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\nGARBAGE!";
    two_equal_content_lengths: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\nGARBAGE";
    content_length_with_a_list: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 7, 8\r\n\r\nGARBAGE!";
    content_length_with_letters: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: seven\r\n\r\nGARBAGE";
    content_length_below_zero: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: -7\r\n\r\nGARBAGE";
    content_length_with_a_plus: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: +7\r\n\r\nGARBAGE";
    content_length_in_hex: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 0x7\r\n\r\nGARBAGE";
    content_length_that_is_empty: "RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length:\r\n\r\nGARBAGE";
    content_length_over_64_bits: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nContent-Length: 18446744073709551623\r\n\r\nGARBAGE";
    transfer_encoding_in_http_10: "RFC 9112 6.1",
        b"HTTP/1.0 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    chunked_twice: "RFC 9112 6.1",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: chunked, chunked\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    chunked_then_identity: "RFC 9112 6.3",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    unknown_coding: "RFC 9112 6.1",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: xchunked\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
    chunked_after_a_vertical_tab: "RFC 9112 6.1",
        b"HTTP/1.1 200 OK\r\nX: GARBAGE\r\nTransfer-Encoding: \x0bchunked\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n";
}

on_both_drivers! {
    /// RFC 9112 section 4: an interim response that was fine has been forwarded; what follows it is refused all the same.
    fn garbage_after_an_interim_response(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nGARBAGE GARBAGE\r\n\r\n");
            conn.closed();
        });
        let proxy = crate::proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 103);
        assert_bad_gateway(&client.response(), "RFC 9112 4");
    }

    /// RFC 9112 section 6.3: what comes after the body's end is no response to anything.
    fn bytes_after_the_body_never_reach_the_client(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while conn.request().is_some() {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGARBAGE");
            }
        });
        let proxy = crate::proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..5 {
            assert_eq!(client.get("/").text(), "ok");
        }
        assert_eq!(app.connections(), 5, "a connection with bytes that nobody asked for was used again");
    }

    /// RFC 9112 section 6.3, with the surplus after the last chunk.
    fn bytes_after_the_last_chunk_never_reach_the_client(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while conn.request().is_some() {
                conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n7\r\nGARBAGE\r\n0\r\n\r\n");
            }
        });
        let proxy = crate::proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..5 {
            assert_eq!(client.get("/").text(), "ok");
        }
        assert_eq!(app.connections(), 5, "a connection with bytes that nobody asked for was used again");
    }

    /// RFC 9110 sections 9.3.2 and 15.3.5: a body where none may be is no part of the next answer.
    fn body_where_none_may_be_never_reaches_the_client(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while let Some(request) = conn.request() {
                match request.method.as_str() {
                    "HEAD" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGARBAGE"),
                    _ => conn.send("HTTP/1.1 204 No Content\r\n\r\nGARBAGE"),
                };
            }
        });
        let proxy = crate::proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..3 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response_to("HEAD").status, 200);
            assert_eq!(client.get("/").status, 204);
        }
        let mut after: Client = client;
        after.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(after.response().status, 204);
        after.expect_close();
    }
}
