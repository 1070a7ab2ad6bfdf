//! Under a small `SLIPSTREAM_MEMORY_LIMIT` alone.

use slipstream_tests::{App, Client, Driver, Event, Proxy, Running, on_both_drivers};

use crate::{KIB, MIB, active, assert_shed, shed, used};

/// An app that answers `/hold...` once it may.
fn holds(go: &Event) -> App {
    let go = go.clone();
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            if request.target.starts_with("/hold") {
                go.wait_for_the_case();
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

fn proxy(driver: Driver, app: &App, limit_bytes: usize) -> Running {
    Proxy::in_front_of(app).driver(driver).env("SLIPSTREAM_MEMORY_LIMIT", &limit_bytes.to_string()).start()
}

/// A request that the app keeps, equal to none before, with a part of the next one behind it, so that the proxy holds a buffer all the while.
fn hold(proxy: &Running) -> Client {
    let mut client = proxy.client();
    let target = format!("/hold/{}", client.local_address());
    let begun = "x".repeat(8 * KIB);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: {begun}"));
    client
}

/// Sends requests that are held until one is refused; it is the last.
fn hold_until_shed(proxy: &Running) -> Vec<Client> {
    const HELD_MAX: usize = 1000;
    let mut held = Vec::new();
    while shed(&proxy.metrics()) == 0 {
        assert!(held.len() < HELD_MAX, "nothing limits them");
        held.push(hold(proxy));
        let sent = held.len() as u64;
        proxy.metrics_until("it is held or refused", |metrics| active(metrics) + shed(metrics) == sent);
    }
    held
}

on_both_drivers! {
    fn over_the_budget_idle_connections_give_way_before_a_request_is_refused(driver: Driver) {
        const IDLE: u64 = 40;
        let go = Event::new();
        let app = holds(&go);
        let proxy = proxy(driver, &app, 4 * MIB);
        let mut idle: Vec<Client> = (0..IDLE).map(|_| proxy.client()).collect();
        for client in &mut idle {
            client.get("/");
        }
        proxy.metrics_until("all are parked", |metrics| metrics.sum("slipstream_downstream_connections_parked") == IDLE);
        let mut held = hold_until_shed(&proxy);
        let metrics = proxy.metrics();
        assert_eq!(metrics.sum("slipstream_downstream_connections_evicted_total"), IDLE);
        idle.iter_mut().for_each(Client::expect_close);
        let budget = metrics.sum("slipstream_memory_budget_bytes");
        assert!(used(&metrics) < budget + budget / 16, "{} of {budget} are used", used(&metrics));
        assert_shed(&held.pop().expect("the last is refused").response());
        assert!(held.len() > 50, "only {} requests had room in {budget} bytes", held.len());
        // Those that are held are answered all the same.
        go.raise();
        for client in &mut held {
            assert_eq!(client.response().text(), "ok");
        }
    }

    fn request_is_served_once_there_is_room(driver: Driver) {
        let go = Event::new();
        let app = holds(&go);
        let proxy = proxy(driver, &app, 4 * MIB);
        let idle = used(&proxy.metrics());
        for _ in 0..3 {
            let before = shed(&proxy.metrics());
            let mut held: Vec<Client> = Vec::new();
            while shed(&proxy.metrics()) == before {
                held.push(hold(&proxy));
                let sent = held.len() as u64;
                let all = |metrics: &_| active(metrics) + shed(metrics) - before == sent;
                proxy.metrics_until("it is held or refused", all);
            }
            let mut refused = proxy.client();
            assert_shed(&refused.get("/"));
            refused.expect_close();
            // The last was refused. Some that leave make room for one.
            held.drain(..3).for_each(Client::reset);
            held.pop();
            proxy.metrics_until("some have left", |metrics| active(metrics) == held.len() as u64);
            assert_eq!(proxy.client().get("/").text(), "ok");
            held.into_iter().for_each(Client::reset);
            proxy.metrics_until("all have left", |metrics| active(metrics) == 0);
        }
        // Not a buffer was lost on the way: a rest gives back what was kept for the next.
        proxy.client().get("/");
        proxy.metrics_until("all is given back", |metrics| used(metrics) <= idle + MIB as u64 / 2);
    }

    /// A head that comes in pieces is new work too, from its first piece on.
    fn head_in_pieces_is_refused_while_there_is_no_room_for_it(driver: Driver) {
        let go = Event::new();
        let app = holds(&go);
        let proxy = proxy(driver, &app, 4 * MIB);
        let held = hold_until_shed(&proxy);
        let mut client = proxy.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(2 * KIB)));
        assert_shed(&client.response());
        client.expect_close();
        assert!(!app.saw("xx"), "held back bytes are not the app's");
        drop(held);
    }
}
