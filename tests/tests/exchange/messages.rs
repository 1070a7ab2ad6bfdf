//! Framing of well-formed messages, both ways (RFC 9112 sections 6 and 7, RFC 9110 sections 6, 8 and 15).

use slipstream_tests::{App, Framing, on_both_drivers};

use crate::{answered, echo, forwarded, proxy};

/// Bytes that look like anything but text, and like framing.
fn binary(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

on_both_drivers! {
    /// RFC 9110 section 9.3.2.
    fn head_has_a_length_and_no_body(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("HEAD /four HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!((response.status, response.fields.get("content-length")), (200, Some("5")));
        assert_eq!(client.response().text(), "/next");
    }

    /// RFC 9112 section 6.1: Transfer-Encoding in an answer to HEAD says what GET would have got.
    fn head_that_would_be_chunked_has_no_body(driver: Driver) {
        let app = App::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response_to("HEAD").status, 200);
        }
    }

    /// RFC 9110 section 15.3.5.
    fn no_content_has_no_body(driver: Driver) {
        let app = App::answering("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!((response.status, response.fields.get("x")), (204, Some("y")));
            assert!(!response.fields.has("content-length") && !response.fields.has("transfer-encoding"), "RFC 9110 8.6");
        }
    }

    /// RFC 9110 section 15.4.5 and RFC 9112 section 6.3: the length of a 304 is that of the 200 it stands for.
    fn not_modified_with_a_length_has_no_body(driver: Driver) {
        let app = App::answering("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!((response.status, response.fields.get("etag")), (304, Some("\"a\"")));
        }
        assert_eq!(app.connections(), 1);
    }

    fn body_with_a_length_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        let body = binary(300_000);
        client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        assert_eq!(client.response().status, 200);
        let request = app.request_for("/up");
        assert_eq!(request.framing, Framing::Length(body.len()));
        assert!(request.body == body);
    }

    /// RFC 9112 section 7.1, with sizes as other programs write them.
    fn chunked_body_with_trailers_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n");
        client.send("A\r\n0123456789\r\n005\r\nhello\r\n1;name=value;other=\"a;\\\"b\"\r\n!\r\n0\r\nX-Sum: 42\r\nX-Other: y\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let request = app.request_for("/up");
        assert_eq!((request.framing, request.body.as_slice()), (Framing::Chunked, &b"0123456789hello!"[..]));
        assert_eq!((request.trailers.get("x-sum"), request.trailers.get("x-other")), (Some("42"), Some("y")));
    }

    fn empty_chunked_body_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let request = app.request_for("/up");
        assert_eq!((request.framing, request.body.len()), (Framing::Chunked, 0));
    }

    fn large_chunked_body_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let body = binary(1 << 20);
        for chunk in body.chunks(70_001) {
            client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.response().status, 200);
        assert!(app.request_for("/up").body == body);
    }

    /// RFC 9110 section 8.6: a body on GET has no meaning, and is framed like any other.
    fn body_of_a_get_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "/up");
        assert_eq!(client.response().text(), "/next");
        assert_eq!(app.request_for("/up").body, b"hello");
    }

    /// RFC 9110 section 8.6: POST without a body says so, or says nothing; the app may read no body from it.
    fn post_without_a_body_has_none(driver: Driver) {
        let request = forwarded(driver, "POST /up HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(request.framing, Framing::None | Framing::Length(0)));
    }

    fn http_10_body_passes(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /up HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().status, 200);
        assert_eq!(app.request_for("/up").body, b"hello");
    }

    fn answer_with_a_length_passes(driver: Driver) {
        let body = binary(1 << 20);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let app = App::answering([head.as_bytes(), &body].concat());
        let proxy = proxy(driver, &app);
        let response = proxy.client().get("/");
        assert_eq!(response.framing, Framing::Length(body.len()));
        assert!(response.body == body);
    }

    /// RFC 9112 section 7.1.
    fn chunked_answer_with_trailers_passes(driver: Driver) {
        let response = answered(
            driver,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n",
        );
        assert_eq!((response.framing, response.text().as_str()), (Framing::Chunked, "hello world"));
        assert_eq!(response.trailers.get("x-sum"), Some("42"));
    }

    fn answer_that_comes_byte_by_byte_is_whole(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while conn.request().is_some() {
                for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n" {
                    conn.send([*byte]);
                }
            }
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!((response.text().as_str(), response.trailers.get("x")), ("hello", Some("y")));
        }
        assert_eq!(app.connections(), 1);
    }

    /// RFC 9112 section 7.1: what HTTP/1.0 cannot read is taken apart; the end of the connection ends the body.
    fn chunked_answer_to_http_10_ends_with_the_connection(driver: Driver) {
        let app = App::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.framing, response.text().as_str()), (Framing::UntilClose, "hello"));
        assert!(!response.keeps());
    }

    /// RFC 9112 section 6.3: the client need not lose its connection with the app's.
    fn answer_that_ends_with_the_connection_is_chunked_for_the_client(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\n\r\nhello");
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!((response.framing, response.text().as_str()), (Framing::Chunked, "hello"));
        }
        assert_eq!(app.connections(), 3);
    }

    fn answer_that_ends_with_the_connection_does_so_for_http_10(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.0 200 OK\r\n\r\nhello");
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!((response.framing, response.text().as_str()), (Framing::UntilClose, "hello"));
    }

    /// RFC 9110 section 2.5: a proxy speaks its own version.
    fn answer_of_an_http_10_app_is_http_11(driver: Driver) {
        let response = answered(driver, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!((response.version.as_str(), response.text().as_str(), response.keeps()), ("HTTP/1.1", "ok", true));
    }

    /// RFC 9110 section 2.5.
    fn request_of_an_http_10_client_is_http_11(driver: Driver) {
        assert_eq!(forwarded(driver, "GET /old HTTP/1.0\r\nHost: a\r\n\r\n").version, "HTTP/1.1");
    }

    /// RFC 9110 section 16.1: methods are an open set, and case counts.
    fn unknown_methods_pass(driver: Driver) {
        for method in ["PATCH", "PURGE", "PROPFIND", "get", "M-SEARCH", "X!#$%&'*+.^_`|~9"] {
            let request = forwarded(driver, &format!("{method} /m HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(request.method, method);
        }
    }

    /// RFC 9110 section 15: status codes are an open set too.
    fn unknown_statuses_pass(driver: Driver) {
        for status in [207, 299, 418, 451, 499, 599] {
            let response = answered(driver, &format!("HTTP/1.1 {status} Own Words\r\nContent-Length: 2\r\n\r\nok"));
            assert_eq!((response.status, response.text().as_str()), (status, "ok"));
        }
    }

    /// RFC 9112 section 4: the reason may be empty.
    fn empty_reason_passes(driver: Driver) {
        assert_eq!(answered(driver, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok").text(), "ok");
    }

    /// RFC 9110 section 5.3: lines of one name stay in order, and Set-Cookie stays apart.
    fn repeated_fields_keep_their_order(driver: Driver) {
        let response = answered(driver, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2; Path=/"]);
        let request = forwarded(driver, "GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nX: 3\r\n\r\n");
        assert_eq!(request.fields.joined("x"), "1, 3");
    }

    /// RFC 9110 section 5.5: values may hold bytes beyond ASCII, tabs inside, and white space around that is not part of them.
    fn odd_field_values_pass(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send(b"GET /odd HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\ty \t \r\nEmpty:\r\nY:z\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let fields = app.request_for("/odd").fields;
        assert_eq!((fields.get("x"), fields.get("empty"), fields.get("y")), (Some("caf\u{c3}\u{a9}\ty"), Some(""), Some("z")));
    }

    /// RFC 9110 section 4.2: a target is the app's to read, so no byte of it changes.
    fn targets_pass_as_they_are(driver: Driver) {
        for target in ["/", "//", "/a/../b", "/%2e%2E/%00", "/a;b=c?d=e&f=%20g??", "/?", "/a:b@c!$&'()*+,;=~", "/a?http://b/"] {
            assert_eq!(forwarded(driver, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).target, target);
        }
    }

    /// RFC 9110 section 7.2: names, addresses, ports.
    fn hosts_pass_as_they_are(driver: Driver) {
        for host in ["a", "A.Test", "a.test:8080", "a_b.test", "127.0.0.1:80", "[::1]", "[::1]:8443", "a:"] {
            assert_eq!(forwarded(driver, &format!("GET /h HTTP/1.1\r\nHost: {host}\r\n\r\n")).fields.get("host"), Some(host));
        }
    }
}
