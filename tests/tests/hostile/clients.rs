//! Clients that reset, in each phase of a connection: the app sees as much of the request as had come, its permit is free for the next, and
//! nothing stays open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use slipstream_tests::{
    App, Certs, Client, Driver, End, NAME, Running, Tls, Way, eventually, nothing_is_left, on_both_drivers,
};

use crate::{descriptors_are_back, proxy};

/// The app's one permit; who waits for it is not sent away while a case lasts.
const ONE_AT_A_TIME: &str = "concurrency: {limit: 1, queue: {depth: 10, timeout: 10m}}";

/// Each phase is left so often, by both ways: what one costs for good shows as a multiple.
const ROUNDS: usize = 5;

/// What the app gets of a request whose client resets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// Its beginning; then the connection to the app ends.
    Part,
    /// All of it; then the connection to the app ends.
    Whole,
    /// All of it, and it is answered.
    Answered,
}

/// By its target: `/hold` is never answered, `/begin` never to its end, `/flood` for as long as somebody reads, all else by `ok`.
///
/// Also gives how many pieces of floods were sent.
fn app() -> (App, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let app = App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            match request.target.split('-').next() {
                Some("/hold") => return drop(conn.closed()),
                Some("/begin") => {
                    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                    return drop(conn.closed());
                }
                Some("/flood") => {
                    conn.send("HTTP/1.1 200 OK\r\n\r\n");
                    while conn.send([b'y'; 64 << 10]) {
                        count.fetch_add(1, SeqCst);
                    }
                    return drop(conn.closed());
                }
                _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            };
        }
    });
    (app, sent)
}

/// Plays a phase: `reach` brings a connection to it, and it is reset there.
fn reset_in(driver: Driver, ways: &[Way], seen: Seen, reach: impl Fn(&Scene<'_>, &mut Client, &str)) {
    let ((app, sent), certs) = (app(), Certs::new());
    let proxy = proxy(driver, &app, &certs, ONE_AT_A_TIME);
    let mut good = proxy.client();
    assert_eq!(good.get("/good").text(), "ok");
    let scene = Scene { app: &app, proxy: &proxy, sent: &sent };
    let mut before = None;
    for round in 0..ROUNDS {
        for way in ways {
            let name = format!("{way:?}-{round}-end");
            let mut client = way.client(&proxy, &certs);
            reach(&scene, &mut client, &name);
            client.reset();
            nothing_is_left(&proxy, 1);
            scene.assert_seen(seen, &name);
            assert_eq!(good.get("/good").text(), "ok", "its permit is free for others");
        }
        // The first round leaves what is kept: idle connections to the app.
        descriptors_are_back(
            &proxy,
            *before.get_or_insert_with(|| nothing_is_left(&proxy, 1).sum("process_open_fds") as usize),
        );
    }
    assert_eq!(nothing_is_left(&proxy, 1).sum("slipstream_shed_total"), 0);
}

struct Scene<'a> {
    app: &'a App,
    proxy: &'a Running,
    sent: &'a AtomicUsize,
}

impl Scene<'_> {
    fn until(&self, name: &str, wanted: u64) {
        self.proxy.metrics_until(&format!("{name} is {wanted}"), |metrics| metrics.sum(name) == wanted);
    }

    fn assert_seen(&self, seen: Seen, name: &str) {
        let whole = self.app.requests().iter().filter(|request| request.target.contains(name)).count();
        assert_eq!(
            whole,
            usize::from(matches!(seen, Seen::Whole | Seen::Answered)),
            "whole requests of {name} in the app"
        );
        match seen {
            Seen::Nothing => assert!(!self.app.saw(name), "the app saw what was never asked of it"),
            Seen::Part | Seen::Whole => {
                let end = self.app.end_of(self.app.wait_to_see(name));
                assert!(matches!(end, End::Clean | End::Reset), "{end:?}");
            }
            Seen::Answered => {}
        }
    }
}

fn get(target: &str, name: &str) -> String {
    format!("GET /{target}-{name} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(name: &str, framing: &str) -> String {
    format!("POST /post-{name} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
}

on_both_drivers! {
    fn before_its_first_byte(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Nothing, |scene, _, _| scene.until("slipstream_downstream_connections_open", 2));
    }

    /// Half a hello, and the hello whole with nothing behind it.
    fn in_its_handshake(driver: Driver) {
        let ((app, _), certs) = (app(), Certs::new());
        let proxy = proxy(driver, &app, &certs, ONE_AT_A_TIME);
        let bytes = Tls::to(NAME, &certs).hello();
        let before = nothing_is_left(&proxy, 0).sum("process_open_fds") as usize;
        for length in [1, bytes.len() / 2, bytes.len()] {
            let mut client = Client::plain(proxy.https());
            client.send(&bytes[..length]);
            proxy.metrics_until("it is there", |metrics| metrics.sum("slipstream_downstream_connections_open") == 1);
            client.reset();
            nothing_is_left(&proxy, 0);
        }
        descriptors_are_back(&proxy, before);
        assert_eq!(proxy.metrics().sum_where("slipstream_tls_handshakes_total", "result=\"failed\""), 3);
        assert_eq!(Way::Tls.client(&proxy, &certs).get("/").text(), "ok");
    }

    fn in_a_head(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Nothing, |scene, client, name| {
            client.send(format!("GET /half-{name} HTTP/1.1\r\nHost: a\r\nX: "));
            scene.until("slipstream_downstream_connections_open", 2);
        });
    }

    /// Parked before, so woken by its beginning.
    fn in_a_later_head(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Nothing, |scene, client, name| {
            assert_eq!(client.get("/first").text(), "ok");
            scene.until("slipstream_downstream_connections_parked", 2);
            client.send(format!("GET /half-{name} HTTP/1.1\r\nHo"));
            scene.until("slipstream_downstream_connections_parked", 1);
        });
    }

    fn while_parked(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Answered, |scene, client, name| {
            assert_eq!(client.get(&format!("/{name}")).text(), "ok");
            scene.until("slipstream_downstream_connections_parked", 2);
        });
    }

    fn in_a_body_with_a_length(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Part, |scene, client, name| {
            client.send(post(name, "Content-Length: 100000") + "hello");
            scene.app.wait_to_see(name);
        });
    }

    fn in_a_chunk(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Part, |scene, client, name| {
            client.send(post(name, "Transfer-Encoding: chunked") + "5\r\nhello\r\n400\r\nhel");
            scene.app.wait_to_see(name);
        });
    }

    /// The data was whole, and the message was not.
    fn before_the_last_chunk(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Part, |scene, client, name| {
            client.send(post(name, "Transfer-Encoding: chunked") + "5\r\nhello\r\n");
            scene.app.wait_to_see(name);
        });
    }

    /// Behind a request that holds the permit; that one's client resets after it.
    fn while_it_waits_for_a_permit(driver: Driver) {
        let ((app, sent), certs) = (app(), Certs::new());
        let proxy = proxy(driver, &app, &certs, ONE_AT_A_TIME);
        let scene = Scene { app: &app, proxy: &proxy, sent: &sent };
        for (number, (way, bytes)) in Way::BOTH.into_iter().flat_map(|way| [(way, get("queued", "CASE")), (way, post("CASE", "Content-Length: 10") + "hello")]).enumerate() {
            let name = format!("{number}-end");
            let mut holder = way.client(&proxy, &certs);
            holder.send(get("hold", &format!("{number}-holder")));
            app.wait_to_see(&format!("{number}-holder"));
            let mut client = way.client(&proxy, &certs);
            client.send(bytes.replace("CASE", &name));
            scene.until("slipstream_permits_waiting", 1);
            client.reset();
            scene.until("slipstream_permits_waiting", 0);
            holder.reset();
            nothing_is_left(&proxy, 0);
            scene.assert_seen(Seen::Nothing, &name);
            assert_eq!(proxy.client().get("/good").text(), "ok");
        }
    }

    fn while_the_app_thinks(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Whole, |scene, client, name| {
            client.send(get("hold", name));
            scene.app.request_for(name);
        });
    }

    fn inside_its_answer(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Whole, |_, client, name| {
            client.send(get("begin", name));
            assert_eq!(client.response_head().status, 200);
        });
    }

    /// It has not read for so long that the app can send no more.
    fn inside_an_answer_that_it_does_not_read(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Whole, |scene, client, name| {
            client.send(get("flood", name));
            scene.app.request_for(name);
            let mut before = 0;
            eventually("the app can send no more", || {
                scene.proxy.metrics();
                let sent = scene.sent.load(SeqCst);
                (std::mem::replace(&mut before, sent) == sent && sent > 0).then_some(())
            });
        });
    }

    /// Whole requests behind the one in the app.
    fn with_others_behind_its_request(driver: Driver) {
        reset_in(driver, &Way::BOTH, Seen::Whole, |scene, client, name| {
            client.send(get("hold", name) + &get("behind", "them").repeat(50));
            scene.app.request_for(name);
        });
    }
}
