//! What reaches whom before the end: interim responses, 100-continue, answers that come before the body is sent
//! (RFC 9110 sections 10.1.1 and 15.2, RFC 9112 sections 9.5 and 9.6).

use slipstream_tests::{App, Event, on_both_drivers};

use crate::proxy;

on_both_drivers! {
    /// RFC 9110 section 15.2: a proxy forwards interim responses.
    fn interim_responses_reach_the_client_in_order(driver: Driver) {
        let app = App::answering(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        );
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            let first = client.get("/");
            assert_eq!((first.status, first.fields.get("link")), (103, Some("</a.css>")));
            assert_eq!(client.response().status, 102);
            assert_eq!(client.response().fields.get("link"), Some("</b.css>"));
            assert_eq!(client.response().text(), "ok");
        }
    }

    /// An interim response is of use only while the app is still at work on the final one.
    fn interim_response_does_not_wait_for_the_final_one(driver: Driver) {
        let seen = Event::new();
        let scripted = seen.clone();
        let app = App::scripted(move |mut conn| {
            conn.request();
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            scripted.wait("the client has the hints");
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 103);
        seen.raise();
        assert_eq!(client.response().status, 200);
    }

    /// RFC 9110 section 15.2: HTTP/1.0 knows no interim responses.
    fn interim_responses_do_not_reach_http_10(driver: Driver) {
        let app = App::answering("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client.expect_close();
    }

    /// RFC 9110 section 10.1.1.
    fn continue_of_the_app_reaches_the_client_before_the_body_is_sent(driver: Driver) {
        let app = App::scripted(|mut conn| {
            let head = conn.request_head().expect("a head comes");
            assert_eq!(head.fields.get("expect"), Some("100-continue"));
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            let request = conn.request_body(head).expect("a body comes");
            assert_eq!(request.body, b"hello");
            conn.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response().status, 100);
        client.send("hello");
        let response = client.response();
        assert_eq!((response.status, response.keeps()), (201, true));
    }

    /// RFC 9110 section 10.1.1: the final answer instead of 100, and the body is never sent.
    fn refusal_of_the_app_reaches_the_client_instead_of_continue(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request_head();
            conn.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (403, "no"));
        assert!(!response.keeps(), "whether the body comes is not known, so nothing can follow it");
        client.expect_close();
    }

    /// RFC 9110 section 10.1.1: a client may send its body without waiting.
    fn body_sent_without_waiting_for_continue_passes(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while let Some(head) = conn.request_head() {
                conn.send("HTTP/1.1 100 Continue\r\n\r\n");
                conn.request_body(head);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().status, 100);
        assert_eq!(client.response().status, 200);
        assert_eq!(app.request_for("/now").body, b"hello");
    }

    /// RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored.
    fn expectation_of_http_10_is_ignored(driver: Driver) {
        let app = App::scripted(|mut conn| {
            while let Some(head) = conn.request_head() {
                if head.fields.has("expect") {
                    conn.send("HTTP/1.1 100 Continue\r\n\r\n");
                }
                conn.request_body(head);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().status, 200);
        client.expect_close();
    }

    /// RFC 9112 section 9.5: an answer that does not need the body need not wait for it.
    fn early_answer_reaches_a_client_that_is_still_sending(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request_head();
            conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
        let response = client.response();
        assert_eq!((response.status, response.text().as_str(), response.keeps()), (413, "big", false));
        client.expect_close();
        app.end_of(0);
    }

    /// RFC 9112 section 9.5, with an app that closes at once, so that writing to it fails.
    fn early_answer_of_an_app_that_closes_reaches_the_client(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request_head();
            conn.send("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
            conn.half_close();
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (401, "no"));
    }

    /// An early answer whose body is streamed while the request's body still comes: both move.
    fn answer_and_body_may_be_under_way_together(driver: Driver) {
        let app = App::scripted(|mut conn| {
            let head = conn.request_head().expect("a head comes");
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            conn.request_body(head);
            conn.send("4\r\nlast\r\n0\r\n\r\n");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST /duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        assert_eq!(client.response_head().status, 200);
        assert_eq!(client.take(10), b"5\r\nfirst\r\n");
        client.send("3\r\ntwo\r\n0\r\n\r\n");
        assert_eq!(client.take(14), b"4\r\nlast\r\n0\r\n\r\n");
        assert_eq!(app.request_for("/duplex").body, b"onetwo");
    }

    /// A full connection to the app is no failure of the app: it answers when it likes.
    fn app_that_stops_reading_and_answers_later_is_waited_for(driver: Driver) {
        let stuck = Event::new();
        let scripted = stuck.clone();
        let app = App::with_receive_buffer(8 << 10, move |mut conn| {
            conn.request_head();
            scripted.wait("the client can send no more");
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
        let taken = client.fill();
        assert!(taken < 100_000_000, "{taken} bytes were taken for an app that reads none: no backpressure");
        stuck.raise();
        assert_eq!(client.response().text(), "late");
    }

    /// The first bytes of an answer are worth something to who waits for them.
    fn parts_of_an_answer_are_not_held_back(driver: Driver) {
        let seen = Event::new();
        let scripted = seen.clone();
        let app = App::scripted(move |mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            scripted.wait("the client has the first half");
            conn.send("world");
            conn.closed();
        });
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response_head();
        assert_eq!(client.take(5), b"hello");
        seen.raise();
        assert_eq!(client.take(5), b"world");
    }

    /// The same for a body on its way to the app.
    fn parts_of_a_body_are_not_held_back(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        app.wait_to_see("hello");
        client.send("world");
        assert_eq!(client.response().status, 200);
    }
}
