//! `timeouts` of the policy: each wait ends with its own name, and what it ends with is never taken for a clean end.

use std::time::{Duration, Instant};

use slipstream_tests::{App, Case, Driver, End, Event, Origin, Proxy, Running, Shared, Unanswering, on_both_drivers};

/// What the policies below say.
const SET: Duration = Duration::from_millis(300);
/// Nothing may time out before. Two ticks of the proxy's timers (5 ms) less, for they may round either way.
const NOT_BEFORE: Duration = Duration::from_millis(290);
const POLICY: &str =
    "timeouts: {connect: 300ms, requestHeaders: 300ms, requestBodyIdle: 300ms, responseHeaders: 300ms}";

static SHARED: Shared = Shared::new(|driver| {
    let app = App::ok();
    (Proxy::in_front_of(&app).driver(driver).policy(POLICY).start(), app)
});

/// A proxy of its own with `timeouts`, for what would disturb others.
fn proxy(driver: Driver, origin: &impl Origin, timeouts: &str) -> Running {
    Proxy::in_front_of(origin).driver(driver).policy(&format!("timeouts: {{{timeouts}}}")).start()
}

fn assert_counted(proxy: &Running, timer: &str) {
    let label = format!("timeout=\"{timer}\"");
    proxy.metrics_until(&format!("{timer} is counted"), |metrics| {
        metrics.sum_where("slipstream_timeouts_total", &label) > 0
    });
}

/// Sends `request`, which is not whole, and gets 408 after the time that was set.
fn times_out(case: &Case, request: &[u8]) {
    let mut client = case.proxy.client();
    let started = Instant::now();
    client.send(case.marked(request));
    let response = client.response();
    assert!(started.elapsed() >= NOT_BEFORE, "{:?}", started.elapsed());
    case.assert_refusal(&mut client, &response, 408, "RFC 9110 15.5.9");
}

on_both_drivers! {
    /// RFC 9110 section 15.5.9.
    fn head_that_stalls_in_its_request_line_times_out(driver: Driver) {
        let case = SHARED.on(driver, "head_that_stalls_in_its_request_line_times_out");
        times_out(&case, b"GET /CASE");
        assert!(!case.app.saw(&case.marker));
        assert_counted(case.proxy, "requestHeaders");
    }

    /// RFC 9110 section 15.5.9.
    fn head_that_stalls_before_its_empty_line_times_out(driver: Driver) {
        let case = SHARED.on(driver, "head_that_stalls_before_its_empty_line_times_out");
        times_out(&case, b"GET /CASE HTTP/1.1\r\nHost: a\r\n");
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 9110 section 15.5.9: the time is for the whole head, so a byte now and then does not stretch it.
    fn head_that_dribbles_times_out(driver: Driver) {
        let case = SHARED.on(driver, "head_that_dribbles_times_out");
        let mut client = case.proxy.client();
        client.send(case.marked(b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: "));
        let started = Instant::now();
        while !client.has_something() {
            assert!(started.elapsed() < slipstream_tests::DEADLINE, "the head may dribble for ever");
            client.offer(b"y");
            std::thread::park_timeout(Duration::from_millis(30));
        }
        let response = client.response();
        case.assert_refusal(&mut client, &response, 408, "RFC 9110 15.5.9");
    }

    /// RFC 9112 section 9.5: a connection on which nothing was ever sent is closed, with or without a 408.
    fn connection_without_a_byte_is_closed(driver: Driver) {
        let case = SHARED.on(driver, "connection_without_a_byte_is_closed");
        let (said, end) = case.proxy.client().rest();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "));
        assert_eq!(end, End::Clean);
    }

    /// RFC 9110 section 15.5.9, on a connection that served a request before.
    fn second_head_that_stalls_times_out(driver: Driver) {
        let case = SHARED.on(driver, "second_head_that_stalls_times_out");
        let mut client = case.proxy.client();
        assert_eq!(client.get("/first").status, 200);
        client.send(case.marked(b"GET /CASE HTTP/1.1\r\nHo"));
        let response = client.response();
        case.assert_refusal(&mut client, &response, 408, "RFC 9110 15.5.9");
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 9110 section 15.5.9.
    fn body_that_stalls_times_out(driver: Driver) {
        let case = SHARED.on(driver, "body_that_stalls_times_out");
        times_out(&case, b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        case.app.assert_never_whole(&case.marker);
        assert_counted(case.proxy, "requestBodyIdle");
    }

    /// RFC 9110 section 15.5.9.
    fn chunked_body_that_stalls_times_out(driver: Driver) {
        let case = SHARED.on(driver, "chunked_body_that_stalls_times_out");
        times_out(&case, b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        case.app.assert_never_whole(&case.marker);
    }

    /// `requestBodyIdle` is between bytes: a body may take longer than that as a whole.
    fn body_that_moves_slowly_is_whole(driver: Driver) {
        let case = SHARED.on(driver, "body_that_moves_slowly_is_whole");
        let mut client = case.proxy.client();
        client.send(case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"));
        for _ in 0..10 {
            std::thread::park_timeout(SET / 5);
            client.send(b"y");
        }
        assert_eq!(client.response().status, 200);
        assert_eq!(case.app.request_for(&case.marker).body, b"yyyyyyyyyy");
    }

    /// RFC 9110 section 15.6.5.
    fn app_that_never_answers_is_504(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.closed();
        });
        let proxy = proxy(driver, &app, "responseHeaders: 300ms");
        let mut client = proxy.client();
        let started = Instant::now();
        let response = client.get("/");
        assert!(started.elapsed() >= NOT_BEFORE);
        assert_eq!(response.status, 504);
        assert!(response.fields.joined("proxy-status").contains("error=http_response_timeout"), "{response:?}");
        assert!(!response.text().is_empty());
        app.end_of(0);
        assert_counted(&proxy, "responseHeaders");
    }

    /// RFC 9110 section 15.6.5: an interim response is no answer.
    fn app_that_sends_interim_answers_only_is_504(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            conn.closed();
        });
        let proxy = proxy(driver, &app, "responseHeaders: 300ms");
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 103);
        assert_eq!(client.response().status, 504);
    }

    /// RFC 9110 section 15.6.5: a backlog that is full.
    fn app_that_does_not_accept_is_504(driver: Driver) {
        let app = Unanswering::new();
        let proxy = proxy(driver, &app, "connect: 300ms");
        let started = Instant::now();
        let response = proxy.client().get("/");
        assert!(started.elapsed() >= NOT_BEFORE);
        assert_eq!(response.status, 504);
        assert!(response.fields.joined("proxy-status").contains("error=connection_timeout"), "{response:?}");
        assert_counted(&proxy, "connect");
    }

    /// The time of a whole request, while the app has not answered.
    fn request_that_takes_too_long_is_504(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.closed();
        });
        let proxy = proxy(driver, &app, "request: 300ms");
        let response = proxy.client().get("/");
        assert_eq!(response.status, 504);
        assert!(response.fields.joined("proxy-status").contains("error=http_response_timeout"), "{response:?}");
        assert_counted(&proxy, "request");
    }

    /// RFC 9112 section 8: once the head is out, too late can only be said by breaking off.
    fn request_that_takes_too_long_in_the_body_is_broken_off(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            conn.closed();
        });
        let proxy = proxy(driver, &app, "request: 300ms");
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let broken = client.try_response().expect_err("a body that was cut short is no response");
        assert!(matches!(broken.end, End::Clean | End::Reset), "{broken:?}");
        assert_eq!(broken.body, b"hello");
    }

    /// RFC 9112 section 8: an app that falls silent in a body.
    fn answer_that_stalls_in_its_body_is_broken_off(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            conn.closed();
        });
        let proxy = proxy(driver, &app, "streamIdle: 300ms");
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let broken = client.try_response().expect_err("a body that was cut short is no response");
        assert!(matches!(broken.end, End::Clean | End::Reset), "{broken:?}");
        assert_counted(&proxy, "streamIdle");
    }

    /// A client that stops reading is cut off by a reset: after an ordinary close it would drain what is queued and see a clean end.
    fn client_that_stops_reading_is_reset(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\n\r\n");
            while conn.send([b'y'; 64 << 10]) {}
        });
        let proxy = proxy(driver, &app, "streamIdle: 300ms");
        let mut client = proxy.client();
        // HTTP/1.0: only the end of the connection ends this body, so the end must be a reset.
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_counted(&proxy, "streamIdle");
        proxy.metrics_until("the connection is given up", |metrics| metrics.sum("slipstream_downstream_connections_open") == 0);
        assert_eq!(client.rest().1, End::Reset);
    }

    /// RFC 9209 section 2.3.8.
    fn app_that_does_not_take_its_request_is_a_504(driver: Driver) {
        let over = Event::new();
        let scripted = over.clone();
        let app = App::with_receive_buffer(8 << 10, move |mut conn| {
            conn.request_head();
            scripted.wait("the time is over");
        });
        let proxy = proxy(driver, &app, "streamIdle: 300ms");
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
        client.offer(vec![0; 8_000_000]);
        let response = client.response();
        over.raise();
        assert_eq!(response.status, 504);
        let proxy_status = response.fields.joined("proxy-status");
        assert_eq!(proxy_status, "slipstream; error=connection_write_timeout; details=\"streamIdle\"");
        assert_counted(&proxy, "streamIdle");
    }

    /// RFC 9112 section 9.5.
    fn idle_connection_is_closed(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, "connectionIdle: 300ms");
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 200);
        let started = Instant::now();
        client.expect_close();
        assert!(started.elapsed() >= NOT_BEFORE, "{:?}", started.elapsed());
    }

    /// The idle time is between requests: an app that takes longer is waited for.
    fn connection_that_waits_for_the_app_is_not_idle(driver: Driver) {
        let over = Event::new();
        let scripted = over.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                scripted.wait("the idle time is over");
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let proxy = proxy(driver, &app, "connectionIdle: 100ms");
        let mut client = proxy.client();
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        app.wait_to_see("/slow");
        let mut idler = proxy.client();
        idler.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
        std::thread::park_timeout(SET);
        assert!(!client.has_something());
        over.raise();
        assert_eq!(client.response().status, 200);
    }

    /// The age at which a connection takes no further request.
    fn aged_connection_is_closed_after_its_answer(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, "maxConnectionAge: 100ms");
        let mut client = proxy.client();
        let started = Instant::now();
        while started.elapsed() < slipstream_tests::DEADLINE {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.response();
            assert_eq!(response.status, 200);
            if !response.keeps() {
                assert!(started.elapsed() >= Duration::from_millis(90));
                return client.expect_close();
            }
        }
        panic!("the connection never aged");
    }
}
