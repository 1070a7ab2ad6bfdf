//! Persistence and pipelining on the client's side (RFC 9112 section 9).

use slipstream_tests::{App, Event, on_both_drivers};

use crate::{echo, proxy};

on_both_drivers! {
    /// RFC 9112 section 9.3.
    fn connection_carries_one_request_after_another(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for number in 0..20 {
            let response = client.get(&format!("/{number}"));
            assert_eq!((response.status, response.text()), (200, format!("/{number}")));
            assert!(response.keeps());
        }
        assert_eq!(proxy.metrics().sum("slipstream_downstream_connections_total"), 1);
    }

    /// RFC 9112 section 9.3.2.
    fn pipelined_requests_are_answered_in_order(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        let requests: String = (0..50).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(requests);
        for number in 0..50 {
            assert_eq!(client.response().text(), format!("/{number}"));
        }
    }

    /// RFC 9112 section 9.3.2: a body ends where it ends, and the next head begins there.
    fn pipelined_requests_with_bodies_are_told_apart(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nGET\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\nPOST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        );
        for target in ["/a", "/b", "/c", "/d"] {
            assert_eq!(client.response().text(), target);
        }
        let bodies: Vec<Vec<u8>> = app.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies, [b"hello".to_vec(), b"GET".to_vec(), vec![], vec![]]);
    }

    /// RFC 9112 section 9.3.2: what was asked before the nonsense is answered before it is refused.
    fn request_before_a_malformed_one_is_answered(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\nGET /lost HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "/good");
        assert_eq!(client.response().status, 400);
        client.expect_close();
        assert!(!app.saw("/bad") && !app.saw("/lost"));
    }

    /// RFC 9112 section 2.2: an empty line before a request line is passed over.
    fn empty_line_before_a_request_is_passed_over(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "/a");
        client.send("\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "/b");
    }

    /// RFC 9112 section 2.2: that line is the same when its CR comes alone.
    fn empty_line_that_comes_in_two_pieces_is_passed_over(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for target in ["/a", "/b"] {
            client.send("\r");
            // A way through another thread of the proxy: its worker reads the CR meanwhile.
            proxy.metrics();
            client.offer(format!("\nGET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.response().text(), target);
        }
        client.send("\r\n\r");
        proxy.metrics();
        client.offer("\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 400, "one empty line and no more");
    }

    fn request_that_comes_byte_by_byte_is_whole(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        let request = b"POST /slowly HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n";
        for byte in request {
            client.send([*byte]);
        }
        assert_eq!(client.response().text(), "/slowly");
        let request = app.request_for("/slowly");
        assert_eq!((request.body.as_slice(), request.trailers.get("x")), (&b"hello"[..], Some("y")));
    }

    /// RFC 9112 section 9.6.
    fn connection_close_is_honoured(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        for option in ["close", "Close", "x, CLOSE"] {
            let mut client = proxy.client();
            client.send(format!("GET /last HTTP/1.1\r\nHost: a\r\nConnection: {option}\r\n\r\nGET /lost HTTP/1.1\r\nHost: a\r\n\r\n"));
            let response = client.response();
            assert_eq!((response.text().as_str(), response.keeps()), ("/last", false));
            client.expect_close();
        }
        assert!(!app.saw("/lost"));
    }

    /// RFC 9112 section 9.3.
    fn http_10_connection_ends_after_its_answer(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "/old");
        client.expect_close();
    }

    /// RFC 9112 section 9.3 and appendix C.2.2.
    fn http_10_connection_with_keep_alive_is_kept(driver: Driver) {
        let app = echo();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for target in ["/one", "/two"] {
            client.send(format!("GET {target} HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"));
            let response = client.response();
            assert_eq!(response.text(), target);
            assert!(response.fields.joined("connection").to_ascii_lowercase().contains("keep-alive"), "{response:?}");
        }
    }

    /// RFC 9112 section 9.3: the option is for one connection, and this is not the client's.
    fn close_of_the_app_is_not_a_close_for_the_client(driver: Driver) {
        let app = App::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!((response.status, response.keeps()), (200, true));
        }
    }

    fn slow_request_of_one_client_does_not_hold_another(driver: Driver) {
        let go = Event::new();
        let scripted = go.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target == "/slow" {
                    scripted.wait("the quick ones are served");
                }
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let proxy = proxy(driver, &app);
        let mut slow = proxy.client();
        slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        app.wait_to_see("/slow");
        for _ in 0..10 {
            assert_eq!(proxy.client().get("/quick").status, 200);
        }
        go.raise();
        assert_eq!(slow.response().status, 200);
    }
}
