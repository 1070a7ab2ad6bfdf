//! A client that leaves takes its upstream work along, in each phase of its request; one that only stops sending may be let stay.

use std::time::{Duration, Instant};

use slipstream_tests::{App, Certs, Client, Driver, End, Unanswering, on_both_drivers};

use crate::{Way, nothing_is_left, proxy, silent};

/// How a client can leave.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// Closes: FIN, under TLS without close_notify.
    Close,
    Reset,
    /// close_notify, then FIN (TLS alone).
    CloseNotify,
}

impl Leave {
    const ALL: [Leave; 3] = [Leave::Close, Leave::Reset, Leave::CloseNotify];

    fn apply(self, mut client: Client) {
        match self {
            Leave::Close => {}
            Leave::Reset => return client.reset(),
            Leave::CloseNotify => client.close_notify(),
        }
        drop(client);
    }
}

/// Plays `leave` with each way to speak and to leave: gets a client, brings it to a phase, and leaves.
fn each(driver: Driver, app: &App, policy: &str, reach: impl Fn(&mut Client, &str)) {
    let certs = Certs::new();
    let proxy = proxy(driver, app, &certs, policy);
    for way in Way::BOTH {
        for leave in Leave::ALL {
            let target = format!("/{way:?}-{leave:?}");
            let mut client = way.client(&proxy, &certs);
            reach(&mut client, &target);
            let number = app.wait_to_see(&target);
            leave.apply(client);
            app.end_of(number);
            nothing_is_left(&proxy, 0);
        }
    }
    assert_eq!(proxy.metrics().sum_where("slipstream_faults_total", "kind=\"client_gone\""), 6);
}

on_both_drivers! {
    fn client_that_leaves_while_the_app_works_ends_its_request(driver: Driver) {
        each(driver, &silent(), "", |client, target| client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")));
    }

    fn client_that_leaves_inside_its_answer_ends_its_request(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            conn.closed();
        });
        each(driver, &app, "", |client, target| {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.response_head();
        });
    }

    fn client_that_leaves_inside_its_body_ends_its_request(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request_head();
            conn.closed();
        });
        each(driver, &app, "", |client, target| {
            client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello"));
        });
    }

    /// The body waits in the kernel's buffers and the proxy's for an app that does not read: nobody reads the client's end behind it. (A FIN
    /// behind bytes that the proxy's kernel has no room for never comes; a RST does.)
    fn client_that_leaves_behind_a_body_that_the_app_does_not_take_ends_its_request(driver: Driver) {
        for (body_bytes, leave) in [(200_000, Leave::Close), (1_000_000_000, Leave::Reset)] {
            let gone = slipstream_tests::Event::new();
            let stuck = gone.clone();
            let app = App::with_receive_buffer(8 << 10, move |mut conn| {
                conn.request_head();
                conn.note("stuck");
                stuck.wait("the client has left");
                conn.closed();
            });
            let certs = Certs::new();
            let proxy = proxy(driver, &app, &certs, "");
            let mut client = proxy.client();
            client.send(format!("POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: {body_bytes}\r\n\r\n"));
            app.wait_for_note("stuck");
            match leave {
                Leave::Reset => drop(client.fill()),
                _ => client.send(vec![0; body_bytes]),
            }
            leave.apply(client);
            // The app has read nothing: the proxy alone can have seen the client leave.
            proxy.metrics_until("the request is over", |metrics| metrics.sum("slipstream_requests_active") == 0);
            gone.raise();
            app.end_of(0);
            nothing_is_left(&proxy, 0);
        }
    }

    fn client_that_leaves_during_the_connect_ends_it(driver: Driver) {
        let (app, certs) = (Unanswering::new(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "timeouts: {connect: 10m}");
        for way in Way::BOTH {
            for leave in Leave::ALL {
                let mut client = way.client(&proxy, &certs);
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                proxy.metrics_until("the request is there", |metrics| metrics.sum("slipstream_requests_active") == 1);
                leave.apply(client);
                nothing_is_left(&proxy, 0);
            }
        }
    }

    /// Bytes of a next request behind the first: whoever sends them means to read the first answer. Behind the last there is nothing.
    fn client_that_has_pipelined_another_request_has_not_left(driver: Driver) {
        let certs = Certs::new();
        for way in Way::BOTH {
            let go = slipstream_tests::Event::new();
            let scripted = go.clone();
            let app = App::scripted(move |mut conn| {
                while let Some(request) = conn.request() {
                    if request.target == "/1" {
                        scripted.wait("the client has closed its side");
                        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    } else {
                        conn.closed();
                    }
                }
            });
            let proxy = proxy(driver, &app, &certs, "");
            let mut client = way.client(&proxy, &certs);
            client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
            app.wait_to_see("/1");
            client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
            client.half_close();
            go.raise();
            assert_eq!(client.response().text(), "ok");
            client.expect_close();
            nothing_is_left(&proxy, 0);
        }
    }

    fn client_that_only_stops_sending_gets_its_answer_where_that_is_asked_for(driver: Driver) {
        let go = slipstream_tests::Event::new();
        let scripted = go.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                scripted.wait("the client has closed its side");
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let certs = Certs::new();
        let proxy = proxy(driver, &app, &certs, "halfClose: keep");
        for way in Way::BOTH {
            let target = format!("/{way:?}");
            let mut client = way.client(&proxy, &certs);
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            app.wait_to_see(&target);
            client.half_close();
            go.raise();
            assert_eq!(client.response().text(), "ok");
            client.expect_close();
        }
        nothing_is_left(&proxy, 0);
    }

    fn client_that_resets_has_left_whatever_half_close_means(driver: Driver) {
        let (app, certs) = (silent(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "halfClose: keep");
        for way in Way::BOTH {
            let target = format!("/{way:?}");
            let mut client = way.client(&proxy, &certs);
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let number = app.wait_to_see(&target);
            client.reset();
            app.end_of(number);
            nothing_is_left(&proxy, 0);
        }
    }

    /// Ten milliseconds are what the app may notice. The machine may be busy with other cases, so half of the clients have to be that quick.
    fn app_learns_of_a_client_that_leaves_within_10_ms(driver: Driver) {
        let (ended, ends) = std::sync::mpsc::channel();
        let app = App::scripted(move |mut conn| {
            conn.request();
            assert_ne!(conn.closed(), End::Malformed(String::new()));
            let _ = ended.send(Instant::now());
        });
        let certs = Certs::new();
        let proxy = proxy(driver, &app, &certs, "");
        let quick = (0..20).filter(|number| {
            let mut client = proxy.client();
            client.send(format!("GET /{number}. HTTP/1.1\r\nHost: a\r\n\r\n"));
            app.wait_to_see(&format!("/{number}. "));
            let left = Instant::now();
            drop(client);
            let end = ends.recv_timeout(slipstream_tests::DEADLINE).expect("the app learns of it");
            end.duration_since(left) <= Duration::from_millis(10)
        });
        let quick = quick.count();
        assert!(quick >= 10, "{quick} of 20 within 10 ms");
    }
}
