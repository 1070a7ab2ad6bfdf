//! What a proxy changes: hop-by-hop fields, the form of the target, Host, Max-Forwards, Upgrade, Date
//! (RFC 9110 sections 6.6.1, 7.2, 7.6, 7.8, 10.1.4; RFC 9112 section 3.2.2).

use slipstream_tests::{Framing, Origin, on_both_drivers};

use crate::{answered, echo, forwarded, proxy};

on_both_drivers! {
    /// RFC 9110 section 7.6.1.
    fn connection_fields_of_a_request_stop_here(driver: Driver) {
        let request = forwarded(
            driver,
            "GET /h HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-One ,x-two\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
             X-One: 1\r\nX-TWO: 2\r\nx-one: 3\r\nX-Three: 3\r\n\r\n",
        );
        for name in ["keep-alive", "proxy-connection", "x-one", "x-two"] {
            assert!(!request.fields.has(name), "{name} in {request:?}");
        }
        assert_eq!(request.fields.get("x-three"), Some("3"));
        assert!(!request.fields.joined("connection").contains("x-"), "{request:?}");
    }

    /// RFC 9110 section 7.6.1.
    fn connection_fields_of_an_answer_stop_here(driver: Driver) {
        let response = answered(
            driver,
            "HTTP/1.1 200 OK\r\nConnection: X-One\r\nConnection: keep-alive, x-two\r\nKeep-Alive: timeout=5, max=9\r\nProxy-Connection: keep-alive\r\n\
             Upgrade: h2c\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nContent-Length: 2\r\n\r\nok",
        );
        for name in ["keep-alive", "proxy-connection", "upgrade", "x-one", "x-two"] {
            assert!(!response.fields.has(name), "{name} in {response:?}");
        }
        assert_eq!(response.fields.get("x-three"), Some("3"));
    }

    /// RFC 9110 section 7.6.1: a field that is for all recipients is none of the connection's, whoever says so.
    fn connection_does_not_remove_what_is_for_the_app(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send(
            "POST /h HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, authorization, cookie, content-type, cache-control\r\n\
             Authorization: Basic eDp5\r\nCookie: a=b\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert_eq!(client.response().status, 200);
        let request = app.request_for("/h");
        assert_eq!((request.fields.get("host"), request.body.as_slice()), (Some("a"), &b"hello"[..]));
        assert_eq!((request.fields.get("authorization"), request.fields.get("cookie")), (Some("Basic eDp5"), Some("a=b")));
    }

    fn connection_does_not_remove_the_framing_of_chunks(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /h HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let request = app.request_for("/h");
        assert_eq!((request.framing, request.body.as_slice()), (Framing::Chunked, &b"hello"[..]));
    }

    /// A client must not be able to take off what we put on.
    fn connection_does_not_remove_what_the_proxy_adds(driver: Driver) {
        let request = forwarded(driver, "GET /h HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for, x-forwarded-proto, via\r\n\r\n");
        assert_eq!((request.fields.get("x-forwarded-for"), request.fields.get("x-forwarded-proto")), (Some("127.0.0.1"), Some("http")));
        assert!(request.fields.has("via"));
    }

    fn connection_does_not_remove_the_framing_of_an_answer(driver: Driver) {
        let response = answered(driver, "HTTP/1.1 200 OK\r\nConnection: content-length, set-cookie\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!((response.framing, response.text().as_str()), (Framing::Length(2), "ok"));
    }

    /// RFC 9110 section 10.1.4: TE is for one hop, so it is announced anew.
    fn te_trailers_is_announced_anew(driver: Driver) {
        let request = forwarded(driver, "GET /h HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, trailers\r\nConnection: TE\r\n\r\n");
        assert_eq!(request.fields.get("te"), Some("trailers"));
        assert!(request.fields.joined("connection").to_ascii_lowercase().contains("te"), "{request:?}");
    }

    /// RFC 9110 section 10.1.4.
    fn te_with_codings_only_stops_here(driver: Driver) {
        let request = forwarded(driver, "GET /h HTTP/1.1\r\nHost: a\r\nTE: gzip, deflate;q=0.5\r\nConnection: TE\r\n\r\n");
        assert!(!request.fields.has("te"), "{request:?}");
    }

    /// RFC 9110 section 7.8: a proxy that does not know the protocol passes the request without Upgrade.
    fn upgrade_stops_here(driver: Driver) {
        let request = forwarded(
            driver,
            "GET /h HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n",
        );
        assert!(!request.fields.has("upgrade"));
        assert!(!request.fields.joined("connection").to_ascii_lowercase().contains("upgrade"), "{request:?}");
    }

    /// RFC 9112 section 3.2.2: the target's authority counts, not Host.
    fn absolute_form_becomes_origin_form(driver: Driver) {
        for (target, origin_form, host) in [
            ("http://b.test/p/q?r=s", "/p/q?r=s", "b.test"),
            ("http://b.test:8080/", "/", "b.test:8080"),
            ("http://b.test", "/", "b.test"),
            ("http://b.test?r=s", "/?r=s", "b.test"),
            ("HTTP://B.test/p", "/p", "B.test"),
            ("http://[::1]:80/p", "/p", "[::1]:80"),
        ] {
            let request = forwarded(driver, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(request.target, origin_form, "{target}");
            let seen = request.fields.get("host").map(str::to_ascii_lowercase);
            assert_eq!(seen, Some(host.to_ascii_lowercase()), "{target}");
        }
    }

    /// RFC 9112 section 3.2.4: OPTIONS for a whole server, in absolute form, is the asterisk for the last hop.
    fn options_in_absolute_form_becomes_the_asterisk(driver: Driver) {
        let request = forwarded(driver, "OPTIONS http://b.test HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((request.target.as_str(), request.fields.get("host")), ("*", Some("b.test")));
    }

    /// RFC 9112 section 3.2.4.
    fn options_with_the_asterisk_passes(driver: Driver) {
        let request = forwarded(driver, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((request.method.as_str(), request.target.as_str()), ("OPTIONS", "*"));
    }

    /// RFC 9110 section 7.6.2.
    fn max_forwards_is_counted_down(driver: Driver) {
        for method in ["OPTIONS", "TRACE"] {
            let request = forwarded(driver, &format!("{method} /h HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n"));
            assert_eq!(request.fields.get("max-forwards"), Some("4"), "{method}");
        }
    }

    /// RFC 9110 section 7.6.2: for other methods it may be ignored; then it passes as it is.
    fn max_forwards_of_other_methods_passes(driver: Driver) {
        let request = forwarded(driver, "GET /h HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
        assert_eq!(request.fields.get("max-forwards"), Some("0"));
    }

    /// RFC 9110 sections 7.6.2 and 9.3.7: the last recipient is the proxy.
    fn options_with_no_forwards_left_is_answered_here(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("OPTIONS /h HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        assert_eq!(client.response().text(), "/next");
        assert!(!app.saw("OPTIONS"));
    }

    /// RFC 9110 sections 7.6.2 and 9.3.8: the request comes back without what could be stolen by it.
    fn trace_with_no_forwards_left_is_answered_here(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send(
            "TRACE /h HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-Seen: yes\r\nCookie: secret\r\nAuthorization: Basic secret\r\n\
             Proxy-Authorization: Basic secret\r\n\r\n",
        );
        let response = client.response();
        assert_eq!((response.status, response.fields.get("content-type")), (200, Some("message/http")));
        let text = response.text();
        assert!(text.starts_with("TRACE /h HTTP/1.1\r\n") && text.contains("X-Seen: yes"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(!app.saw("TRACE"));
    }

    /// RFC 9110 section 7.2: HTTP/1.0 knows requests without Host; HTTP/1.1 does not.
    fn http_10_request_without_host_gets_that_of_the_upstream(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET /old HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status, 200);
        assert_eq!(app.request_for("/old").fields.get("host"), Some(app.address().to_string().as_str()));
    }

    /// RFC 9110 section 6.6.1.
    fn answer_without_a_date_gets_one(driver: Driver) {
        let response = answered(driver, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let date = response.fields.get("date").expect("a date");
        assert!(date.len() == 29 && date.ends_with(" GMT") && date.as_bytes()[3] == b',', "not an IMF-fixdate: {date}");
    }

    /// RFC 9110 section 6.6.1.
    fn date_of_the_app_passes(driver: Driver) {
        let response = answered(driver, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(response.fields.get("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
