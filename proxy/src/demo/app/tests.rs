//! The app, asked directly by the demo's own client.

use super::*;
use crate::demo::client::{Answer, Client, Request};
use crate::demo::ports;

fn app() -> (App, Client) {
    let app = App::start(ports::bind(0).unwrap()).unwrap();
    let client = Client::new(app.address, None);
    (app, client)
}

fn get(client: &mut Client, target: &str) -> Answer {
    client.send(&Request { method: "GET", target, body: b"" }).unwrap()
}

#[test]
fn every_page_answers_on_one_connection() {
    let (_app, mut client) = app();
    for (target, status) in [
        ("/", 200),
        ("/hello", 200),
        ("/headers", 200),
        ("/slow?ms=0", 200),
        ("/slow?ms=x", 400),
        ("/slow?ms=600001", 400),
        ("/big?bytes=-1", 400),
        ("/echo", 405),
        ("/nowhere", 404),
    ] {
        assert_eq!(get(&mut client, target).status, status, "{target}");
    }
    for bytes in [0, 1, 65_535, 65_536, 65_537, 1_000_000] {
        assert_eq!(get(&mut client, &format!("/big?bytes={bytes}")).body_bytes, bytes);
    }
}

#[test]
fn slow_page_says_how_often_it_was_asked() {
    let (app, mut client) = app();
    for (target, asked) in [("/hello", 0), ("/slow?ms=0", 1), ("/slow?ms=1", 2), ("/headers", 2)] {
        get(&mut client, target);
        assert_eq!(app.slow_asked(), asked, "{target}");
    }
}

#[test]
fn echo_gives_the_body_back() {
    let (_app, mut client) = app();
    let answer = client.send(&Request { method: "POST", target: "/echo", body: &[7; 100_000] }).unwrap();
    assert_eq!((answer.status, answer.body_bytes), (200, 100_000));
}

#[test]
fn app_ends_when_dropped() {
    let (app, mut client) = app();
    get(&mut client, "/hello");
    drop(app);
    assert!(client.send(&Request { method: "GET", target: "/hello", body: b"" }).is_err());
}
