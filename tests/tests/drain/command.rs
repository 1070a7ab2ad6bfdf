//! `slipstream-proxy drain`, and the page that it asks.

use slipstream_tests::{App, Client, Proxy, on_both_drivers};

use crate::{LONG, admin, proxy, wait_for};

on_both_drivers! {
    fn drain_returns_at_once_and_may_be_asked_again(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        for _ in 0..3 {
            let asked = proxy.drain();
            assert_eq!((asked.code(), asked.stderr.as_str()), (0, ""));
            wait_for(&proxy, "draining");
        }
    }

    fn drain_is_asked_by_post_alone(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, LONG);
        assert_eq!(admin(&proxy, "/drain").status, 405);
        assert_eq!(admin(&proxy, "/ready").status, 200);
        let mut client = Client::plain(proxy.admin());
        client.send("POST /drain HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().status, 202);
        wait_for(&proxy, "draining");
    }
}

#[test]
fn drain_of_what_is_no_admin_server_says_so() {
    let app = App::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let proxy = Proxy::in_front_of(&app).start();
    let output = std::process::Command::new(slipstream_tests::proxy_binary())
        .args(["drain", "--admin", &proxy.http().to_string()])
        .output()
        .expect("the binary is there");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with(&format!("error: {} does not drain: it answers `HTTP/1.1 404", proxy.http())), "{said}");
    assert!(said.contains("--admin ADDRESS:PORT"), "{said}");
}
