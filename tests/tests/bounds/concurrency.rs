//! `concurrency` of the policy: what the app holds at once, who is let in next, and that every permit comes back.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slipstream_proxy::config::{
    DrainSettings, IoDriver, ListenerSettings, Memory, Settings, UpstreamSettings, built_in_snapshot,
};
use slipstream_tests::{
    App, Client, Conn, Driver, Event, Inside, Metrics, Origin, Proxy, Response, Running, eventually, on_both_drivers,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A queue in which nobody's time runs out while a case lasts.
const PATIENT: &str = "queue: {depth: 100, timeout: 10m}";

/// Connections are spread over workers by the kernel, so a few of them reach both of two.
fn proxy(driver: Driver, app: &App, concurrency: &str) -> Running {
    Proxy::in_front_of(app).driver(driver).workers(2).policy(&format!("concurrency: {{{concurrency}}}")).start()
}

/// An app that answers a request for `/held...` only once `go` is raised, all others at once.
fn holding(go: &Event) -> App {
    let go = go.clone();
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            if request.target.starts_with("/held") {
                go.wait("the case lets the app answer");
            }
            if !conn.send(OK) {
                return;
            }
        }
    })
}

fn ask(proxy: &Running, target: &str) -> Client {
    let mut client = proxy.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

/// Sends a request that the app holds, and returns once it does.
fn hold(proxy: &Running, app: &App) -> Client {
    let client = ask(proxy, "/held");
    app.wait_to_see("/held");
    client
}

fn wait_for_queue(proxy: &Running, length: u64) {
    proxy.metrics_until(&format!("{length} wait"), |metrics| metrics.sum("slipstream_permits_waiting") == length);
}

/// Every permit came back, and nobody is left in the queue. A client may have the last byte of its answer a moment before.
fn assert_at_rest(proxy: &Running) -> Metrics {
    proxy.metrics_until("no permit is in use, nobody waits", |metrics| {
        metrics.sum("slipstream_permits_in_use") == 0 && metrics.sum("slipstream_permits_waiting") == 0
    })
}

fn shed(metrics: &Metrics, reason: &str) -> u64 {
    metrics.sum_where("slipstream_shed_total", &format!("reason=\"{reason}\""))
}

fn would_shed(metrics: &Metrics, reason: &str) -> u64 {
    metrics.sum_where("slipstream_would_shed_total", &format!("reason=\"{reason}\""))
}

fn assert_shed(response: &Response, word: &str, retry_after_s: &str) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.fields.get("retry-after"), Some(retry_after_s), "{response:?}");
    let expected = format!("slipstream; error=connection_limit_reached; details=\"{word}\"");
    assert_eq!(response.fields.joined("proxy-status"), expected);
    assert!(response.text().contains("concurrency.limit"), "no reason that a person understands: {}", response.text());
}

/// An app that answers `/stream` with an event, and ends the stream once `go` is raised; all else at once.
fn streaming(go: &Event) -> App {
    let go = go.clone();
    App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            if request.target != "/stream" {
                conn.send(OK);
                continue;
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
            conn.send("9\r\ndata: 1\n\n\r\n");
            go.wait("the case ends the stream");
            conn.send("0\r\n\r\n");
        }
    })
}

/// `limit: 1` and no queue: a permit that were lost would shed the next request. `fails` is a request that ends badly.
fn loses_no_permit(proxy: &Running, fails: impl Fn(&Running)) {
    for _ in 0..3 {
        fails(proxy);
        assert_at_rest(proxy);
    }
    assert_eq!(proxy.metrics().sum("slipstream_shed_total"), 0);
}

fn start_here(driver: Driver, app: &App, limit: Option<u32>) -> slipstream_proxy::Running {
    let mut snapshot = built_in_snapshot();
    snapshot.policy.concurrency.limit = limit;
    snapshot.policy.timeouts.queue = Duration::from_secs(600);
    let settings = Settings {
        listeners: vec![ListenerSettings {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            upstream: UpstreamSettings { authority: app.address().to_string(), addresses: vec![app.address()] },
        }],
        workers: 2,
        pin: false,
        io_driver: match driver {
            Driver::Epoll => IoDriver::Epoll,
            Driver::IoUring => IoDriver::IoUring,
        },
        admin: Some((Ipv4Addr::LOCALHOST, 0).into()),
        name: "slipstream".to_owned(),
        drain: DrainSettings { delay: Duration::ZERO, grace: Duration::from_secs(10) },
        memory: Memory { budget_bytes: 256 << 20, limit_bytes: None, stat: None },
        telemetry: Default::default(),
        snapshot: Arc::new(snapshot),
    };
    slipstream_proxy::start(settings).expect("the proxy starts")
}

on_both_drivers! {
    fn app_never_holds_more_than_the_limit(driver: Driver) {
        const LIMIT: usize = 4;
        const CLIENTS: usize = 24;
        const REQUESTS: usize = 20;
        let inside = Inside::new();
        let counting = inside.clone();
        let app = App::scripted(move |mut conn| {
            while conn.request().is_some() {
                let stay = counting.enter();
                // Nobody leaves before as many have come as may: what is over the limit had its chance.
                counting.wait_for_peak(LIMIT);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
                drop(stay);
                conn.send("k");
            }
        });
        let policy = format!("concurrency: {{limit: {LIMIT}, {PATIENT}}}");
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(3).policy(&policy).start();
        let address = proxy.http();
        let clients = (0..CLIENTS).map(|number| {
            std::thread::spawn(move || {
                let mut client = Client::plain(address);
                for round in 0..REQUESTS {
                    assert_eq!(client.get(&format!("/{number}-{round}")).text(), "ok");
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            client.join().expect("every request is answered");
        }
        assert_eq!(inside.peak(), LIMIT);
        let metrics = assert_at_rest(&proxy);
        assert_eq!(metrics.sum("slipstream_shed_total"), 0);
        assert_eq!(metrics.sum("slipstream_permits_limit"), LIMIT as u64);
        assert!(metrics.sum("slipstream_queue_waits_total") > 0);
    }

    fn who_came_first_is_served_first(driver: Driver) {
        const WAITING: u64 = 8;
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, &format!("limit: 1, {PATIENT}"));
        let mut clients = vec![hold(&proxy, &app)];
        for n in 0..WAITING {
            clients.push(ask(&proxy, &format!("/{n}")));
            wait_for_queue(&proxy, n + 1);
        }
        go.raise();
        for client in &mut clients {
            assert_eq!(client.response().text(), "ok");
        }
        let order: Vec<String> = app.requests().into_iter().map(|request| request.target).collect();
        let expected: Vec<String> = ["/held".to_owned()].into_iter().chain((0..WAITING).map(|n| format!("/{n}"))).collect();
        assert_eq!(order, expected);
        let metrics = assert_at_rest(&proxy);
        assert_eq!(metrics.sum("slipstream_queue_waits_total"), WAITING);
    }

    /// At once: the time of the queue would be ten minutes.
    fn request_is_shed_where_the_queue_is_full(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 1, timeout: 10m}");
        let mut held = hold(&proxy, &app);
        let mut waiting = ask(&proxy, "/waiting");
        wait_for_queue(&proxy, 1);
        let mut third = proxy.client();
        assert_shed(&third.get("/shed"), "limit", "600");
        go.raise();
        assert_eq!((held.response().status, waiting.response().status), (200, 200));
        // Nothing is wrong with the connection.
        assert_eq!(third.get("/again").text(), "ok");
        assert!(!app.saw("/shed"));
        let metrics = assert_at_rest(&proxy);
        assert_eq!((shed(&metrics, "limit"), shed(&metrics, "queue")), (1, 0));
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"limit\""), 1);
    }

    fn nobody_waits_in_a_queue_without_depth(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        let mut held = hold(&proxy, &app);
        assert_shed(&proxy.client().get("/shed"), "limit", "1");
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_queue_waits_total"), 0);
    }

    fn request_whose_time_in_the_queue_is_over_is_shed(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 9, timeout: 300ms}");
        let mut held = hold(&proxy, &app);
        let mut waiting = proxy.client();
        let started = Instant::now();
        assert_shed(&waiting.get("/shed"), "queue", "1");
        // Two ticks of the proxy's timers (5 ms) less, for they may round either way.
        assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_at_rest(&proxy);
        assert_eq!(waiting.get("/again").text(), "ok");
        assert!(!app.saw("/shed"));
        let metrics = assert_at_rest(&proxy);
        assert_eq!((shed(&metrics, "limit"), shed(&metrics, "queue")), (0, 1));
        assert_eq!(metrics.sum_where("slipstream_timeouts_total", "timeout=\"queue\""), 1);
        assert_eq!(metrics.sum("slipstream_queue_waits_total"), 1);
    }

    /// The time of the whole request counts in the queue: it is over first, so it gives its name.
    fn request_whose_whole_time_is_over_in_the_queue_is_504(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let policy = format!("concurrency: {{limit: 1, {PATIENT}}}\nroutes: [{{match: {{path: /brief}}, timeouts: {{request: 300ms}}}}]");
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).policy(&policy).start();
        let mut held = hold(&proxy, &app);
        let mut brief = proxy.client();
        let response = brief.get("/brief");
        assert_eq!(response.status, 504);
        assert!(!response.fields.has("retry-after"));
        assert!(response.fields.joined("proxy-status").contains("details=\"request\""), "{response:?}");
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_eq!(brief.get("/again").text(), "ok");
        assert!(!app.saw("/brief"));
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_shed_total"), 0);
    }

    fn request_that_is_shed_with_its_whole_body_keeps_its_connection(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        let mut held = hold(&proxy, &app);
        let mut client = proxy.client();
        client.send("POST /shed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_shed(&client.response(), "limit", "1");
        assert_shed(&client.response(), "limit", "1");
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_at_rest(&proxy);
        assert_eq!(client.get("/again").text(), "ok");
        assert_at_rest(&proxy);
    }

    /// Behind a body that nobody reads there is no next head.
    fn request_that_is_shed_before_its_body_ends_its_connection(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        let mut held = hold(&proxy, &app);
        let mut client = proxy.client();
        client.send("POST /shed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
        let response = client.response();
        assert_shed(&response, "limit", "1");
        assert!(!response.keeps());
        client.half_close();
        client.expect_close();
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_at_rest(&proxy);
    }

    fn body_is_not_read_before_its_turn(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let policy = "concurrency: {limit: 1, queue: {depth: 1, timeout: 10m}}";
        let proxy = Proxy::in_front_of(&app).driver(driver).policy(policy).start();
        let mut held = hold(&proxy, &app);
        let mut waiting = proxy.client();
        waiting.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        wait_for_queue(&proxy, 1);
        waiting.send("hello");
        // The one worker has had its turn once this is answered.
        assert_eq!(proxy.client().get("/shed").status, 503);
        assert_eq!(proxy.metrics().sum("slipstream_request_body_bytes_total"), 0);
        go.raise();
        waiting.send("world");
        assert_eq!((held.response().status, waiting.response().status), (200, 200));
        assert_eq!(app.request_for("/body").body, b"helloworld");
        assert_at_rest(&proxy);
    }

    fn permit_is_held_until_the_last_byte_of_the_body(driver: Driver) {
        let go = Event::new();
        let scripted = go.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target == "/slow" {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
                    scripted.wait("the case lets the body end");
                    conn.send("world");
                } else {
                    conn.send(OK);
                }
            }
        });
        let proxy = proxy(driver, &app, &format!("limit: 1, {PATIENT}"));
        let mut slow = ask(&proxy, "/slow");
        slow.response_head();
        assert_eq!(slow.take(5), b"hello");
        let mut next = ask(&proxy, "/next");
        wait_for_queue(&proxy, 1);
        assert!(!app.saw("/next") && !next.has_something());
        go.raise();
        assert_eq!(slow.take(5), b"world");
        assert_eq!(next.response().text(), "ok");
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_permits_released_early_total"), 0);
    }

    fn event_stream_gives_its_permit_back_at_its_head(driver: Driver) {
        let go = Event::new();
        let app = streaming(&go);
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        let mut stream = ask(&proxy, "/stream");
        stream.response_head();
        assert_at_rest(&proxy);
        assert_eq!(proxy.client().get("/next").text(), "ok");
        go.raise();
        assert_eq!(stream.take(19), b"9\r\ndata: 1\n\n\r\n0\r\n\r\n");
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_permits_released_early_total"), 1);
    }

    fn event_stream_holds_its_permit_where_it_is_told_to(driver: Driver) {
        let go = Event::new();
        let app = streaming(&go);
        let proxy = proxy(driver, &app, &format!("limit: 1, longLived: hold, {PATIENT}"));
        let mut stream = ask(&proxy, "/stream");
        stream.response_head();
        let mut next = ask(&proxy, "/next");
        wait_for_queue(&proxy, 1);
        assert!(!app.saw("/next"));
        go.raise();
        assert_eq!(next.response().text(), "ok");
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_permits_released_early_total"), 0);
    }

    fn limit_that_observes_sheds_nothing_and_counts_what_would_be_shed(driver: Driver) {
        for (queue, reason) in [("depth: 0", "limit"), ("depth: 9, timeout: 50ms", "queue")] {
            let (inside, go) = (Inside::new(), Event::new());
            let scripted = (inside.clone(), go.clone());
            let app = App::scripted(move |mut conn| {
                while conn.request().is_some() {
                    let _stay = scripted.0.enter();
                    scripted.1.wait("the case lets the app answer");
                    conn.send(OK);
                }
            });
            let proxy = proxy(driver, &app, &format!("limit: 1, mode: observe, queue: {{{queue}}}"));
            let mut clients: Vec<Client> = (0..3).map(|n| ask(&proxy, &format!("/{n}"))).collect();
            inside.wait_for_peak(3);
            proxy.metrics_until("two would be shed", |metrics| would_shed(metrics, reason) == 2);
            go.raise();
            for client in &mut clients {
                assert_eq!(client.response().text(), "ok");
            }
            let metrics = assert_at_rest(&proxy);
            assert_eq!(metrics.sum("slipstream_would_shed_total"), 2);
            assert_eq!(metrics.sum("slipstream_shed_total"), 0);
            assert_eq!(metrics.sum_where("slipstream_timeouts_total", "timeout=\"queue\""), 0);
        }
    }

    /// It would only have waited, for the one before it.
    fn limit_that_observes_does_not_count_who_would_wait(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, &format!("limit: 1, mode: observe, {PATIENT}"));
        let mut held = hold(&proxy, &app);
        assert_eq!(proxy.client().get("/through").text(), "ok");
        wait_for_queue(&proxy, 1);
        go.raise();
        assert_eq!(held.response().status, 200);
        assert_eq!(assert_at_rest(&proxy).sum("slipstream_would_shed_total"), 0);
    }

    fn client_that_resets_in_the_queue_takes_no_permit_with_it(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, &format!("limit: 1, {PATIENT}"));
        let mut held = hold(&proxy, &app);
        let leaving: Vec<Client> = (0..3).map(|n| ask(&proxy, &format!("/{n}"))).collect();
        wait_for_queue(&proxy, 3);
        leaving.into_iter().for_each(Client::reset);
        let mut patient = ask(&proxy, "/patient");
        proxy.metrics_until("the last waits", |metrics| metrics.sum("slipstream_permits_waiting") >= 1);
        go.raise();
        assert_eq!((held.response().status, patient.response().status), (200, 200));
        assert_at_rest(&proxy);
        assert_eq!(proxy.client().get("/after").text(), "ok");
    }

    fn client_that_resets_in_the_body_gives_its_permit_back(driver: Driver) {
        let app = App::scripted(|mut conn| {
            conn.request();
            conn.send("HTTP/1.1 200 OK\r\n\r\n");
            while conn.send([b'y'; 64 << 10]) {}
        });
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        loses_no_permit(&proxy, |proxy| {
            let mut client = ask(proxy, "/endless");
            client.response_head();
            client.reset();
        });
    }

    fn client_that_resets_in_its_request_gives_its_permit_back(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        loses_no_permit(&proxy, |proxy| {
            let mut client = proxy.client();
            client.send("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
            proxy.metrics_until("it is in flight", |metrics| metrics.sum("slipstream_permits_in_use") == 1);
            client.reset();
        });
    }

    fn app_that_dies_gives_the_permit_back(driver: Driver) {
        let app = App::scripted(|mut conn| {
            let Some(request) = conn.request() else { return };
            match &*request.target {
                "/inside" => drop(conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")),
                "/reset" => Conn::reset(conn),
                _ => {}
            }
        });
        let proxy = proxy(driver, &app, "limit: 1, queue: {depth: 0}");
        loses_no_permit(&proxy, |proxy| assert_eq!(proxy.client().get("/closes").status, 502));
        loses_no_permit(&proxy, |proxy| assert_eq!(proxy.client().get("/reset").status, 502));
        loses_no_permit(&proxy, |proxy| {
            ask(proxy, "/inside").try_response().expect_err("half a body is no answer");
        });
        drop(app);
        loses_no_permit(&proxy, |proxy| assert_eq!(proxy.client().get("/gone").status, 502));
    }

    fn who_waits_is_served_before_the_proxy_ends(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = proxy(driver, &app, &format!("limit: 1, {PATIENT}"));
        let mut held = hold(&proxy, &app);
        let mut waiting = ask(&proxy, "/waiting");
        wait_for_queue(&proxy, 1);
        proxy.signal("TERM");
        go.raise();
        assert_eq!((held.response().status, waiting.response().status), (200, 200));
        assert_eq!(proxy.wait_for_exit().code(), 0);
    }

    /// Within this process, because nothing of a running one changes its policy.
    fn limit_changes_while_requests_wait(driver: Driver) {
        let go = Event::new();
        let app = holding(&go);
        let proxy = start_here(driver, &app, Some(1));
        let metrics = || {
            let mut admin = Client::plain(proxy.admin.expect("it has an admin server"));
            Metrics::parse(&admin.get("/metrics").text())
        };
        let ask = |target: &str| {
            let mut client = Client::plain(proxy.listeners[0]);
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client
        };
        let waiting = |count: u64| {
            eventually("so many wait", || (metrics().sum("slipstream_permits_waiting") == count).then_some(()));
        };
        let publish = |limit: Option<u32>| {
            let mut snapshot = built_in_snapshot();
            snapshot.generation = 1;
            snapshot.policy.concurrency.limit = limit;
            snapshot.policy.timeouts.queue = Duration::from_secs(600);
            proxy.publish(Arc::new(snapshot));
        };
        let mut clients = vec![ask("/held/0")];
        app.wait_to_see("/held/0");
        for n in 1..=3 {
            clients.push(ask(&format!("/held/{n}")));
            waiting(n);
        }
        publish(Some(3));
        app.wait_to_see("/held/1");
        app.wait_to_see("/held/2");
        assert_eq!((metrics().sum("slipstream_permits_in_use"), metrics().sum("slipstream_permits_waiting")), (3, 1));
        assert_eq!((metrics().sum("slipstream_permits_limit"), app.saw("/held/3")), (3, false));
        // Below what is in use: nobody comes in.
        publish(Some(1));
        clients.push(ask("/after"));
        waiting(2);
        publish(None);
        app.wait_to_see("/held/3");
        app.wait_to_see("/after");
        go.raise();
        for client in &mut clients {
            assert_eq!(client.response().text(), "ok");
        }
        eventually("no permit is in use", || (metrics().sum("slipstream_permits_in_use") == 0).then_some(()));
        drop(clients);
        proxy.stop();
    }
}
