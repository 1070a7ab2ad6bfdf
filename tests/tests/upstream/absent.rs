//! Apps that are not there, and apps that come back.

use slipstream_tests::{App, Refusing, on_both_drivers};

use crate::proxy;

on_both_drivers! {
    /// RFC 9110 section 15.6.3.
    fn app_that_refuses_connections_is_502(driver: Driver) {
        let app = Refusing::new();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..3 {
            let response = client.get("/");
            assert_eq!((response.status, response.keeps()), (502, true));
            assert!(response.fields.joined("proxy-status").contains("error=connection_refused"), "{response:?}");
            assert!(!response.text().trim().is_empty());
        }
        assert!(proxy.metrics().sum("slipstream_upstream_connect_failures_total") >= 3);
    }

    /// The body of a request that could not be sent is not taken for the next request.
    fn body_for_an_app_that_is_not_there_is_passed_over(driver: Driver) {
        let app = Refusing::new();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: y\r\n");
        let response = client.response();
        assert_eq!(response.status, 502);
        if response.keeps() {
            assert_eq!(client.get("/").status, 502);
        } else {
            client.expect_close();
        }
    }

    /// RFC 9110 section 9.3.2: an error to HEAD has no body either.
    fn error_to_head_has_no_body(driver: Driver) {
        let app = Refusing::new();
        let proxy = proxy(driver, &app);
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response_to("HEAD").status, 502);
        }
        assert_eq!(client.get("/").status, 502);
    }

    /// The time between start and ready asks nothing of the app.
    fn proxy_is_ready_without_its_app(driver: Driver) {
        let proxy = proxy(driver, &Refusing::new());
        let mut admin = slipstream_tests::Client::plain(proxy.admin());
        assert_eq!(admin.get("/ready").status, 200);
    }

    fn every_client_gets_its_answer_when_many_come_at_once(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app);
        std::thread::scope(|scope| {
            for number in 0..64 {
                let proxy = &proxy;
                scope.spawn(move || {
                    let mut client = proxy.client();
                    for round in 0..5 {
                        assert_eq!(client.get(&format!("/{number}-{round}")).text(), "ok");
                    }
                });
            }
        });
        let metrics = proxy.metrics_until("all are done", |metrics| metrics.sum("slipstream_requests_active") == 0);
        assert_eq!(metrics.sum("slipstream_upstream_requests_total"), 320);
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"2xx\""), 320);
    }
}
