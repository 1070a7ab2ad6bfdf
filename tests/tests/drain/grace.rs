//! What has not ended when the grace is over: it is broken off, and nobody takes it for whole.

use slipstream_tests::{App, Certs, Client, Driver, End, Event, Proxy, Refusing, Tls, on_both_drivers};

use crate::proxy;

/// Sends the begin of an answer and no more; of `/silent` nothing.
fn stuck() -> (App, Event) {
    let go = Event::new();
    let raised = go.clone();
    let app = App::scripted(move |mut conn| {
        let Some(request) = conn.request() else { return };
        match request.target.as_str() {
            "/chunked" => conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            "/length" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"),
            "/until-close" => conn.send("HTTP/1.0 200 OK\r\n\r\nhalf"),
            _ => true,
        };
        raised.wait("the case is over");
    });
    (app, go)
}

/// Everything up to the end, which is no clean one.
fn is_broken_off(client: &mut Client) -> Vec<u8> {
    let (answer, end) = client.rest();
    assert_eq!(end, End::Reset, "{}", slipstream_tests::shown(&answer));
    answer
}

on_both_drivers! {
    fn requests_left_when_the_grace_is_over_are_reset_and_counted(driver: Driver) {
        let (app, go) = stuck();
        let proxy = proxy(driver, &app, "grace: 300ms");
        let mut clients: Vec<Client> = ["/chunked", "/length", "/until-close"]
            .into_iter()
            .map(|target| {
                let mut client = proxy.client();
                // To an HTTP/1.0 client an end is the end of its answer.
                client.send(format!("GET {target} HTTP/1.0\r\nHost: test\r\n\r\n"));
                client.response_head();
                assert_eq!(client.take(4), b"half", "{target}");
                client
            })
            .collect();
        let mut silent = proxy.client();
        silent.send("GET /silent HTTP/1.1\r\nHost: test\r\n\r\n");
        app.wait_to_see("/silent");
        let mut uploading = proxy.client();
        uploading.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
        app.wait_to_see("/upload");
        proxy.signal("TERM");
        for client in clients.iter_mut().chain([&mut silent, &mut uploading]) {
            assert_eq!(is_broken_off(client), b"");
        }
        let exit = proxy.wait_for_exit();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
        assert!(exit.stderr.contains("took too long and were broken off: 5"), "{}", exit.stderr);
        go.raise();
    }

    fn grace_that_is_over_ends_a_request_under_tls(driver: Driver) {
        let ((app, go), certs) = (stuck(), Certs::new());
        let proxy = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"]));
        let proxy = proxy.config("drain: {grace: 300ms}").start();
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        client.send("GET /chunked HTTP/1.1\r\nHost: app.test\r\n\r\n");
        client.response_head();
        proxy.signal("TERM");
        let (_, end) = client.rest();
        assert!(matches!(end, End::Reset | End::Truncated), "no close_notify: {end:?}");
        let exit = proxy.wait_for_exit();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
        assert!(exit.stderr.contains("took too long and were broken off: 1"), "{}", exit.stderr);
        go.raise();
    }

    /// Of 3 s the delay may have one; 2 are the kubelet's.
    fn delay_and_grace_keep_to_the_period_of_the_pod(driver: Driver) {
        let (app, go) = stuck();
        let proxy = Proxy::in_front_of(&app).driver(driver).config("drain: {delay: 10m, grace: 24h}");
        let proxy = proxy.env("SLIPSTREAM_GRACE_SECONDS", "3").start();
        let mut client = proxy.client();
        client.send("GET /silent HTTP/1.1\r\nHost: test\r\n\r\n");
        app.wait_to_see("/silent");
        proxy.drain();
        assert_eq!(is_broken_off(&mut client), b"");
        let exit = proxy.wait_for_exit();
        assert_eq!(exit.code(), 0, "{}", exit.stderr);
        assert!(exit.stderr.contains("taken for 1s"), "{}", exit.stderr);
        go.raise();
    }
}

#[test]
fn period_of_the_pod_that_is_no_number_ends_it_with_2_and_is_named() {
    let proxy = Proxy::in_front_of(&Refusing::new()).driver(Driver::Epoll);
    let exit = proxy.env("SLIPSTREAM_GRACE_SECONDS", "30s").run_to_exit();
    assert_eq!(exit.code(), 2, "{}", exit.stderr);
    assert!(exit.stderr.contains("environment `SLIPSTREAM_GRACE_SECONDS`: found `30s`"), "{}", exit.stderr);
}
