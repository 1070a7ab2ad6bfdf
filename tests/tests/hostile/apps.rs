//! Apps that hang, break off or are not there, while a request comes in pieces or whole: who asked learns which it was, never takes a part for the
//! whole, and the next request has the permit.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use slipstream_tests::{
    App, Broken, Certs, Client, Conn, DEADLINE, Driver, End, Origin, Refusing, Response, Running, Way, contains,
    nothing_is_left, on_both_drivers, shown,
};

use crate::proxy;

/// A permit that is lost sheds the next request.
const ONE: &str = "concurrency: {limit: 1, queue: {depth: 0}}";

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Without a body.
    Bare,
    /// With a body, all of it.
    Whole,
    /// A part of its body; the rest never comes.
    PartByLength,
    PartInChunks,
}

impl Sent {
    const ALL: [Sent; 4] = [Sent::Bare, Sent::Whole, Sent::PartByLength, Sent::PartInChunks];

    fn is_whole(self) -> bool {
        matches!(self, Sent::Bare | Sent::Whole)
    }

    fn bytes(self, target: &str) -> String {
        match self {
            Sent::Bare => format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Sent::Whole => format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
            Sent::PartByLength => format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhello"),
            Sent::PartInChunks => {
                format!(
                    "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n400\r\nhe"
                )
            }
        }
    }
}

/// Gives a client that has sent a request in each way, by each way to speak, and asserts that nothing of it is left.
fn each(
    driver: Driver,
    app: &impl Origin,
    policy: &str,
    sent: &[Sent],
    check: impl Fn(Sent, &str, &mut Client, &Running),
) {
    let certs = Certs::new();
    let proxy = proxy(driver, app, &certs, &format!("{ONE}\n{policy}"));
    for way in Way::BOTH {
        for &sent in sent {
            let target = format!("/{way:?}-{sent:?}");
            let mut client = way.client(&proxy, &certs);
            client.send(sent.bytes(&target));
            check(sent, &target, &mut client, &proxy);
            drop(client);
            nothing_is_left(&proxy, 0);
        }
    }
    assert_eq!(proxy.metrics().sum("slipstream_shed_total"), 0);
}

/// The answer is the proxy's own, says why in a registered word and in ours, and keeps the connection only where the next byte is a head.
fn assert_own_answer(response: &Response, status: u16, error: &str, word: &str, sent: Sent) {
    assert_eq!(response.status, status, "{sent:?}: {response:?}");
    let expected = format!("slipstream; error={error}; details=\"{word}\"");
    assert_eq!(response.fields.joined("proxy-status"), expected, "{sent:?}");
    assert!(!response.text().trim().is_empty(), "no reason that a person understands");
    assert_eq!(response.keeps(), sent.is_whole(), "{sent:?}: what is left of a body is no head");
}

/// Reads an answer to its end, which must not come.
fn broken_off(client: &mut Client) -> Broken {
    let broken = client.try_response().expect_err("an answer that does not end looks whole");
    assert!(matches!(broken.end, End::Clean | End::Reset | End::Truncated), "{broken:?}");
    broken
}

/// Runs `then` on each connection once the head of a request has come, and waits for the proxy to end the connection.
fn after_the_head(then: impl Fn(&mut Conn) + Send + Sync + 'static) -> App {
    App::scripted(move |mut conn| {
        if conn.request_head().is_some() {
            then(&mut conn);
            conn.closed();
        }
    })
}

/// Sends `begin` and nothing more.
fn sends(begin: &'static str) -> App {
    after_the_head(move |conn| {
        conn.send(begin);
    })
}

/// Runs `then` once the head of a request has come; it ends the connection.
fn ends_after_the_head(then: impl Fn(Conn) + Send + Sync + 'static) -> App {
    App::scripted(move |mut conn| {
        if conn.request_head().is_some() {
            then(conn);
        }
    })
}

/// What a case sends for a script to go on, once each time.
fn turns() -> (Sender<()>, impl Fn() + Send + Sync) {
    let (say, waiting) = channel();
    let waiting = Mutex::new(waiting);
    (say, move || waiting.lock().expect("nobody panics with it").recv_timeout(DEADLINE).expect("the case says so"))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

on_both_drivers! {
    fn app_that_accepts_and_never_answers_is_504(driver: Driver) {
        let app = after_the_head(|_| {});
        each(driver, &app, "timeouts: {responseHeaders: 300ms}", &[Sent::Bare, Sent::Whole], |sent, target, client, _| {
            assert_own_answer(&client.response(), 504, "http_response_timeout", "responseHeaders", sent);
            app.end_of(app.wait_to_see(target));
        });
    }

    fn app_that_accepts_and_never_answers_is_504_when_the_whole_time_is_over(driver: Driver) {
        let app = after_the_head(|_| {});
        each(driver, &app, "timeouts: {request: 300ms}", &Sent::ALL, |sent, target, client, _| {
            assert_own_answer(&client.response(), 504, "http_response_timeout", "request", sent);
            app.end_of(app.wait_to_see(target));
        });
    }

    /// The kernel's buffers are full of a body, and the client would go on.
    fn app_that_takes_no_more_of_a_body_is_504(driver: Driver) {
        let (say, wait) = turns();
        let app = App::with_receive_buffer(8 << 10, move |mut conn| {
            conn.request_head();
            wait();
            conn.closed();
        });
        for (number, (timer, error)) in [("streamIdle", "connection_write_timeout"), ("request", "http_response_timeout")].into_iter().enumerate() {
            let certs = Certs::new();
            let proxy = proxy(driver, &app, &certs, &format!("{ONE}\ntimeouts: {{{timer}: 1s}}"));
            let mut client = proxy.client();
            client.send("POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
            client.fill();
            assert_own_answer(&client.response(), 504, error, timer, Sent::PartByLength);
            drop(client);
            // The app has read nothing: it has no part in this.
            nothing_is_left(&proxy, 0);
            say.send(()).expect("the app waits");
            app.end_of(number);
        }
        assert_eq!(app.requests().len(), 0);
    }

    fn answer_without_an_end_is_broken_off_when_it_stops(driver: Driver) {
        for (begin, came) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello", "hello"),
            (CHUNKED, "hello"),
            // A chunk within its data, and its size.
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nhello", "hello"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4", "hello"),
            // All of its data has come, and its end has not.
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n", "hello"),
            // Only the connection ends it.
            ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
        ] {
            let app = sends(begin);
            each(driver, &app, "timeouts: {streamIdle: 300ms}", &[Sent::Bare, Sent::Whole], |_, target, client, proxy| {
                let broken = broken_off(client);
                assert!(broken.head.is_some(), "{broken:?}");
                assert_eq!(broken.body, came.as_bytes(), "{broken:?}");
                app.end_of(app.wait_to_see(target));
                proxy.metrics_until("its name is counted", |metrics| metrics.sum_where("slipstream_timeouts_total", "timeout=\"streamIdle\"") > 0);
            });
        }
    }

    /// To a client of HTTP/1.0 the end of the connection is the end of the body: it is a reset, under TLS without close_notify.
    fn answer_without_an_end_is_no_whole_one_for_http_10(driver: Driver) {
        for begin in [CHUNKED, "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello"] {
            let (app, certs) = (sends(begin), Certs::new());
            let proxy = proxy(driver, &app, &certs, &format!("{ONE}\ntimeouts: {{streamIdle: 300ms}}"));
            for way in Way::BOTH {
                let mut client = way.client(&proxy, &certs);
                client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
                let (came, end) = client.rest();
                assert!(matches!(end, End::Reset | End::Truncated), "a clean end makes a part look whole: {end:?}");
                assert!(contains(&came, b"hello"), "what came is passed on: {}", shown(&came));
                drop(client);
                nothing_is_left(&proxy, 0);
            }
        }
    }

    /// Streams that move are not idle; the whole time of a request ends them all the same.
    fn answer_that_never_ends_is_broken_off_when_the_whole_time_is_over(driver: Driver) {
        for begin in ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            let app = after_the_head(move |conn| {
                conn.send(begin);
                while conn.send("5\r\nhello\r\n") {}
            });
            each(driver, &app, "timeouts: {request: 300ms}", &[Sent::Bare, Sent::Whole], |_, target, client, _| {
                let broken = broken_off(client);
                assert!(broken.head.is_some() && !broken.body.is_empty(), "{broken:?}");
                app.wait_to_see(target);
            });
        }
    }

    /// Before its first byte, in its status line, in its fields; by a FIN and by a reset.
    fn app_that_ends_before_the_end_of_its_head_is_502(driver: Driver) {
        for begin in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Le"] {
            for resets in [false, true] {
                let app = ends_after_the_head(move |mut conn| {
                    conn.send(begin);
                    match resets {
                        true => conn.reset(),
                        false => drop(conn),
                    }
                });
                each(driver, &app, "", &Sent::ALL, |sent, _, client, _| {
                    let response = client.response();
                    assert_own_answer(&response, 502, "connection_terminated", "upstream_closed", sent);
                    if sent.is_whole() {
                        assert_eq!(client.get("/again").status, 502, "the connection stays in step");
                    } else {
                        client.expect_close();
                    }
                });
            }
        }
    }

    fn app_that_resets_inside_its_answer_cuts_it_off(driver: Driver) {
        for begin in ["HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello", CHUNKED, "HTTP/1.1 200 OK\r\n\r\nhello"] {
            let (say, wait) = turns();
            let app = ends_after_the_head(move |mut conn| {
                conn.send(begin);
                wait();
                conn.reset();
            });
            each(driver, &app, "", &Sent::ALL, |_, _, client, _| {
                assert_eq!(client.response_head().status, 200);
                // The reset would overtake what is not read.
                say.send(()).expect("the app waits");
                let (rest, end) = client.rest();
                assert!(!contains(&rest, b"0\r\n\r\n"), "the last chunk makes a part look whole: {}", shown(&rest));
                assert!(matches!(end, End::Clean | End::Reset | End::Truncated), "{end:?}");
            });
        }
    }

    /// The answer was whole: it counts, whatever becomes of the connection. Nobody's next request goes there.
    fn app_that_resets_after_its_answer_has_answered(driver: Driver) {
        let (say, wait) = turns();
        let app = App::scripted(move |mut conn| {
            if conn.request().is_some() {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                // The reset would overtake what is not read.
                wait();
                conn.reset();
            }
        });
        each(driver, &app, "", &[Sent::Bare, Sent::Whole], |_, _, client, proxy| {
            assert_eq!(client.response().text(), "ok");
            say.send(()).expect("the app waits");
            proxy.metrics_until("the reset is seen", |metrics| metrics.sum("slipstream_upstream_connections_open") == 0);
            assert_eq!(client.get("/next").text(), "ok");
            say.send(()).expect("the app waits");
            proxy.metrics_until("the reset is seen", |metrics| metrics.sum("slipstream_upstream_connections_open") == 0);
        });
    }

    fn app_that_refuses_is_502_whatever_comes(driver: Driver) {
        each(driver, &Refusing::new(), "", &Sent::ALL, |sent, _, client, _| {
            assert_own_answer(&client.response(), 502, "connection_refused", "connect_failed", sent);
            match sent.is_whole() {
                true => assert_eq!(client.get("/again").status, 502),
                false => client.expect_close(),
            }
        });
    }
}
