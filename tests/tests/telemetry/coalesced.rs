//! R13: requests that share an answer, in the traces.

use serde_json::json;
use slipstream_tests::otel::{Collector, Kind, Span, Status};
use slipstream_tests::{App, Client, Driver, Event, Proxy, Running, on_both_drivers};

use crate::scene::{Door, PARENT, TRACE, exporting, get, text, traceparent};

/// A flight that is held until the case lets it go.
struct Flight {
    app: App,
    collector: Collector,
    proxy: Running,
    opens: Event,
}

impl Flight {
    fn set(driver: Driver, workers: usize, answer: &'static str) -> Flight {
        let opens = Event::new();
        let gate = opens.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                gate.wait_for_the_case();
                conn.send(answer);
            }
        });
        let collector = Collector::start();
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(workers).policy("coalescing: {joinWindow: 1m}");
        let proxy = exporting(proxy, &collector, Door::Http).start();
        Flight { app, collector, proxy, opens }
    }

    /// A leader of the known trace, and followers of traces of their own.
    fn asked(&self, followers: usize) -> Vec<Client> {
        let mut clients = vec![self.proxy.client()];
        clients[0].send(get("/held", &traceparent()));
        self.app.wait_to_see("/held");
        for _ in 0..followers {
            let mut client = self.proxy.client();
            client.send(get("/held", ""));
            clients.push(client);
        }
        self.follow(followers);
        clients
    }

    fn follow(&self, followers: usize) {
        self.proxy.metrics_until(&format!("{followers} follow"), |metrics| {
            metrics.sum("slipstream_coalesce_followers") == followers as u64
        });
    }

    fn spans(&self, count: usize) -> Spans {
        let spans = self.collector.spans_until(&format!("{count} spans"), |spans| spans.len() >= count);
        assert_eq!(spans.len(), count, "{spans:#?}");
        Spans(spans)
    }
}

struct Spans(Vec<Span>);

impl Spans {
    fn of(&self, kind: Kind) -> Vec<&Span> {
        self.0.iter().filter(|span| span.kind == kind).collect()
    }

    fn only_client(&self) -> &Span {
        let clients = self.of(Kind::Client);
        assert_eq!(clients.len(), 1, "{clients:#?}");
        clients[0]
    }

    fn of_role(&self, role: &str) -> Vec<&Span> {
        let servers = self.of(Kind::Server).into_iter();
        servers.filter(|span| text(&span.attributes, "slipstream.coalesce.role") == role).collect()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FOR_ONE: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok";

/// Of a follower: its wait, linked to `exchange`.
#[track_caller]
fn wait_of<'s>(spans: &'s Spans, follower: &Span, exchange: &Span) -> &'s Span {
    let waits: Vec<_> =
        spans.of(Kind::Internal).into_iter().filter(|span| span.parent.as_ref() == Some(&follower.span_id)).collect();
    let [wait] = waits[..] else { panic!("one wait: {waits:#?}") };
    assert_eq!((wait.name.as_str(), &wait.trace_id), ("coalesce wait", &follower.trace_id));
    let [link] = &wait.links[..] else { panic!("one link: {wait:#?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&exchange.trace_id, &exchange.span_id));
    wait
}

on_both_drivers! { needs "tests/otel/build";
    fn r13_followers_link_to_the_one_exchange(driver: Driver) {
        shared_by_three(driver, 1);
    }

    fn r13_followers_of_another_worker_link_too(driver: Driver) {
        shared_by_three(driver, 2);
    }

    fn r13_released_followers_have_a_wait_and_an_exchange_of_their_own(driver: Driver) {
        let flight = Flight::set(driver, 1, FOR_ONE);
        let mut clients = flight.asked(1);
        flight.opens.raise();
        clients.iter_mut().for_each(|client| drop(client.response()));
        // SERVER and CLIENT of each, and the wait.
        let spans = flight.spans(5);
        let [follower] = spans.of_role("follower")[..] else { panic!("{:#?}", spans.0) };
        assert_eq!(text(&follower.attributes, "slipstream.coalesce.outcome"), "unshareable");
        let exchange = spans.of(Kind::Client).into_iter().find(|span| span.trace_id == TRACE).unwrap();
        let wait = wait_of(&spans, follower, exchange);
        assert_eq!(text(&wait.attributes, "slipstream.coalesce.outcome"), "unshareable");
        let own = spans.of(Kind::Client).into_iter().find(|span| span.trace_id == follower.trace_id).unwrap();
        assert_eq!(own.parent.as_ref(), Some(&follower.span_id));
    }

    fn r13_leader_that_leaves_is_told_so_and_the_exchange_goes_on(driver: Driver) {
        let flight = Flight::set(driver, 1, OK);
        let mut clients = flight.asked(1);
        clients.remove(0).reset();
        flight.proxy.metrics_until("the leader has left", |metrics| metrics.sum("slipstream_requests_active") == 1);
        flight.opens.raise();
        clients[0].response();
        let spans = flight.spans(4);
        let [leader] = spans.of_role("leader")[..] else { panic!("{:#?}", spans.0) };
        assert_eq!((&leader.status, text(&leader.attributes, "slipstream.coalesce.outcome")), (&Status::Unset, "left"));
        let [follower] = spans.of_role("follower")[..] else { panic!("{:#?}", spans.0) };
        let exchange = spans.only_client();
        assert_eq!((exchange.parent.as_ref(), &exchange.status), (Some(&leader.span_id), &Status::Unset));
        wait_of(&spans, follower, exchange);
    }

    fn r13_twins_are_told_each(driver: Driver) {
        let flight = Flight::set(driver, 1, OK);
        let mut client = flight.proxy.client();
        client.send(get("/held", "").repeat(3));
        flight.app.wait_to_see("/held");
        flight.follow(2);
        flight.opens.raise();
        (0..3).for_each(|_| drop(client.response()));
        // Three SERVER, one CLIENT, a wait of each twin.
        let spans = flight.spans(6);
        let exchange = spans.only_client();
        let twins = spans.of_role("follower");
        assert_eq!(twins.len(), 2);
        for twin in twins {
            wait_of(&spans, twin, exchange);
        }
    }
}

fn shared_by_three(driver: Driver, workers: usize) {
    let flight = Flight::set(driver, workers, OK);
    let mut clients = flight.asked(2);
    flight.opens.raise();
    clients.iter_mut().for_each(|client| drop(client.response()));
    let spans = flight.spans(6);
    let exchange = spans.only_client();
    let [leader] = spans.of_role("leader")[..] else { panic!("{:#?}", spans.0) };
    assert_eq!((leader.trace_id.as_str(), leader.parent.as_deref()), (TRACE, Some(PARENT)));
    assert_eq!((exchange.parent.as_ref(), exchange.trace_id.as_str()), (Some(&leader.span_id), TRACE));
    assert_eq!(exchange.attributes["slipstream.coalesce.followers"], json!(2));
    flight.app.wait_to_see(&format!("traceparent: 00-{TRACE}-{}-01", exchange.span_id));
    let followers = spans.of_role("follower");
    assert_eq!(followers.len(), 2);
    for follower in followers {
        assert_ne!(follower.trace_id, TRACE);
        assert_eq!(text(&follower.attributes, "slipstream.coalesce.outcome"), "shared");
        let wait = wait_of(&spans, follower, exchange);
        assert_eq!(text(&wait.attributes, "slipstream.coalesce.outcome"), "shared");
    }
}
