//! What the app is told of who asked: X-Forwarded-*, Forwarded (RFC 7239), Via (RFC 9110 section 7.6.3), under each `forwarded`.

use slipstream_tests::{Driver, Proxy, Request, on_both_drivers};

use crate::{answered, echo, forwarded};

const WITH_ALL: &str = "GET /f HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: https\r\n\
     X-Forwarded-Host: www.test\r\nForwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-Client-Cert: Hash=forged\r\nVia: 1.0 before\r\n\r\n";
const WITH_NONE: &str = "GET /f HTTP/1.1\r\nHost: shop.test\r\n\r\n";

fn forwarded_by(driver: Driver, mode: &str, request: &str) -> Request {
    let app = echo();
    let proxy = Proxy::in_front_of(&app).driver(driver).policy(&format!("forwarded: {mode}")).start();
    let mut client = proxy.client();
    client.send(request);
    assert_eq!(client.response().status, 200);
    app.requests().remove(0)
}

on_both_drivers! {
    fn app_is_told_who_asked(driver: Driver) {
        let fields = forwarded(driver, WITH_NONE).fields;
        assert_eq!(fields.get("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(fields.get("x-forwarded-proto"), Some("http"));
        assert_eq!(fields.get("x-forwarded-host"), Some("shop.test"));
        assert_eq!(fields.get("via"), Some("1.1 slipstream"));
        assert!(!fields.has("forwarded"), "only where it is already used");
    }

    /// RFC 7239 section 4: the newest comes last.
    fn append_keeps_what_came_before(driver: Driver) {
        let fields = forwarded_by(driver, "append", WITH_ALL).fields;
        assert_eq!(fields.joined("x-forwarded-for"), "192.0.2.1, 192.0.2.2, 127.0.0.1");
        assert_eq!(fields.get("x-forwarded-proto"), Some("https"), "set by who terminated TLS before us");
        assert_eq!(fields.get("x-forwarded-host"), Some("www.test"));
        let forwarded = fields.joined("forwarded");
        assert!(forwarded.starts_with("for=192.0.2.1;proto=https,") && forwarded.contains("for=127.0.0.1"), "{forwarded}");
        assert_eq!(fields.joined("via"), "1.0 before, 1.1 slipstream");
    }

    fn replace_believes_nobody(driver: Driver) {
        let fields = forwarded_by(driver, "replace", WITH_ALL).fields;
        assert_eq!(fields.get("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(fields.get("x-forwarded-proto"), Some("http"));
        assert_eq!(fields.get("x-forwarded-host"), Some("shop.test"));
        assert!(!fields.joined("forwarded").contains("192.0.2.1"));
        assert!(fields.joined("via").ends_with("1.1 slipstream"));
    }

    fn off_adds_nothing(driver: Driver) {
        let fields = forwarded_by(driver, "off", WITH_NONE).fields;
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
            assert!(!fields.has(name), "{name}");
        }
    }

    fn off_leaves_what_came(driver: Driver) {
        let fields = forwarded_by(driver, "off", WITH_ALL).fields;
        assert_eq!(fields.joined("x-forwarded-for"), "192.0.2.1, 192.0.2.2");
        assert_eq!(fields.get("forwarded"), Some("for=192.0.2.1;proto=https"));
    }

    /// Nobody but the proxy that checked it may speak of a client's certificate.
    fn client_certificate_of_a_client_is_always_removed(driver: Driver) {
        for mode in ["append", "replace", "off"] {
            assert!(!forwarded_by(driver, mode, WITH_ALL).fields.has("x-forwarded-client-cert"), "{mode}");
        }
    }

    /// RFC 9110 section 7.6.3.
    fn answer_says_what_it_came_through(driver: Driver) {
        let response = answered(driver, "HTTP/1.1 200 OK\r\nVia: 1.1 before\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(response.fields.joined("via"), "1.1 before, 1.1 slipstream");
    }
}
