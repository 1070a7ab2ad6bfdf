//! Descriptors that run out: idle connections give way, who comes waits, and nobody who was let in loses an answer.

use std::process::Command;

use slipstream_tests::{App, Client, Driver, Event, Proxy, Running, eventually, nothing_is_left, on_both_drivers};

use crate::descriptors_are_back;

const DESCRIPTORS: usize = 110;

fn proxy(driver: Driver, app: &App, policy: &str) -> Running {
    Proxy::in_front_of(app).driver(driver).descriptors(DESCRIPTORS).policy(policy).start()
}

/// What of `clients` still stands.
fn open(clients: Vec<Client>) -> Vec<Client> {
    clients.into_iter().filter(|client| !client.has_something()).collect()
}

fn all_in_use(proxy: &Running) {
    eventually("all descriptors are in use", || (proxy.descriptors_below(DESCRIPTORS) == DESCRIPTORS).then_some(()));
}

fn until_parked(proxy: &Running, count: usize) {
    proxy.metrics_until(&format!("{count} are parked"), |metrics| {
        metrics.sum("slipstream_downstream_connections_parked") == count as u64
    });
}

/// CPU time that the process has used so far, in hundredths of a second.
fn cpu_ticks(proxy: &Running) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("proc(5)");
    // utime and stime, fields 14 and 15.
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Files that the control thread has open for a moment.
const STRAY: usize = 2;

/// So many idle connections are closed at once.
const GIVE_WAY_AT_ONCE: usize = 16;

on_both_drivers! {
    fn no_more_connections_give_way_than_need_be(driver: Driver) {
        let app = App::ok();
        let proxy = proxy(driver, &app, "");
        let room = DESCRIPTORS - proxy.descriptors_below(DESCRIPTORS) - 1;
        let mut clients: Vec<Client> = Vec::new();
        let add = |clients: &mut Vec<Client>, count: usize| {
            for _ in 0..count {
                clients.push(proxy.client());
                assert_eq!(clients.last_mut().expect("one").get("/").text(), "ok");
            }
        };
        add(&mut clients, room - 5);
        until_parked(&proxy, clients.len());
        add(&mut clients, 10);
        assert_eq!(clients.len() - open(clients).len(), GIVE_WAY_AT_ONCE);
        let metrics = nothing_is_left(&proxy, 0);
        assert_eq!(metrics.sum("slipstream_downstream_connections_evicted_total"), GIVE_WAY_AT_ONCE as u64);
    }

    fn idle_connections_give_way_to_new_ones(driver: Driver) {
        const CLIENTS: usize = 3 * DESCRIPTORS;
        let app = App::ok();
        let proxy = proxy(driver, &app, "");
        // One is for the connection to the app.
        let room = DESCRIPTORS - proxy.descriptors_below(DESCRIPTORS) - 1;
        let mut clients: Vec<Client> = Vec::new();
        for number in 0..CLIENTS {
            clients.push(proxy.client());
            assert_eq!(clients[number].get(&format!("/{number}.")).text(), "ok");
        }
        assert_eq!(app.requests().len(), CLIENTS, "each was served, and once");
        let mut clients = open(clients);
        let evicted = (CLIENTS - clients.len()) as u64;
        let kept = clients.len();
        let expected = room - GIVE_WAY_AT_ONCE - STRAY..=room + STRAY;
        assert!(expected.contains(&kept), "{kept} were kept, and there is room for {room}");
        // Half of them leave, for the scrapes need descriptors too. The others have kept what they have.
        clients.truncate(clients.len() / 2);
        for client in &mut clients {
            assert_eq!(client.get("/again").text(), "ok");
        }
        let metrics = nothing_is_left(&proxy, clients.len() as u64);
        assert_eq!(metrics.sum("slipstream_downstream_connections_evicted_total"), evicted);
        assert_eq!(metrics.sum_where("slipstream_responses_total", "class=\"2xx\""), metrics.sum("slipstream_requests_total"));
    }

    /// The app takes one request a connection, so each needs a descriptor, and there are more requests than free ones.
    fn idle_connections_give_way_to_those_to_the_app(driver: Driver) {
        const FREE: usize = 10;
        let go = Event::new();
        let answers = go.clone();
        let app = App::scripted(move |mut conn| {
            if let Some(request) = conn.request() {
                if request.target.starts_with("/held") {
                    answers.wait("the case lets the app answer");
                }
                conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                conn.closed();
            }
        });
        let proxy = proxy(driver, &app, "");
        let mut clients: Vec<Client> = Vec::new();
        for _ in proxy.descriptors_below(DESCRIPTORS)..DESCRIPTORS - FREE {
            clients.push(proxy.client());
            assert_eq!(clients.last_mut().expect("one").get("/").text(), "ok");
        }
        until_parked(&proxy, clients.len());
        // Idle for the shortest time, so not those that give way; and none of them needs to be accepted.
        let mut asking = clients.split_off(clients.len() - 2 * FREE);
        for client in &mut asking {
            assert_eq!(client.get("/").text(), "ok");
        }
        until_parked(&proxy, clients.len() + asking.len());
        for (number, client) in asking.iter_mut().enumerate() {
            client.send(format!("GET /held-{number}. HTTP/1.1\r\nHost: a\r\n\r\n"));
            app.wait_to_see(&format!("/held-{number}. "));
        }
        go.raise();
        for client in &mut asking {
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{response:?}");
        }
        let before = clients.len();
        let clients = open(clients);
        let evicted = before - clients.len();
        assert!(evicted == GIVE_WAY_AT_ONCE, "{evicted} gave way");
        let metrics = nothing_is_left(&proxy, (clients.len() + asking.len()) as u64);
        assert_eq!(metrics.sum("slipstream_downstream_connections_evicted_total"), evicted as u64);
    }

    fn clients_wait_while_all_descriptors_are_busy_and_the_worker_sleeps(driver: Driver) {
        const CLIENTS: usize = DESCRIPTORS;
        const IDLE: usize = 10;
        /// Of CPU time in hundredths of a second, while 3 seconds pass. A worker that tries again and again without a pause uses all of them.
        const TICKS_MAX: u64 = 60;
        let go = Event::new();
        let answers = go.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target.starts_with("/held") {
                    answers.wait("the case lets the app answer");
                }
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let proxy = proxy(driver, &app, "timeouts: {requestBodyIdle: 3s}");
        let base = proxy.descriptors();
        let mut idle: Vec<Client> = (0..IDLE).map(|_| proxy.client()).collect();
        for client in &mut idle {
            assert_eq!(client.get("/idle").text(), "ok");
        }
        until_parked(&proxy, IDLE);
        let mut clock = proxy.client();
        clock.send("POST /clock HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        app.wait_to_see("/clock");

        let mut busy: Vec<Client> = (0..CLIENTS)
            .map(|number| {
                let mut client = proxy.client();
                client.send(format!("GET /held-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
                client
            })
            .collect();
        idle.iter_mut().for_each(Client::expect_close);
        all_in_use(&proxy);

        // Three seconds from this byte the clock strikes.
        clock.send("x");
        let before = cpu_ticks(&proxy);
        assert_eq!(clock.response().status, 408);
        let ticks = cpu_ticks(&proxy) - before;
        assert!(ticks < TICKS_MAX, "the process used {ticks} hundredths of a second of CPU, and had nothing to do");

        go.raise();
        let mut refused = 0;
        for client in &mut busy {
            let response = client.response();
            if response.status == 503 {
                // Let in, and there was no descriptor for a connection to the app.
                assert!(response.fields.joined("proxy-status").contains("connection_limit_reached"), "{response:?}");
                refused += 1;
            } else {
                assert_eq!((response.status, response.text().as_str()), (200, "ok"));
            }
        }
        let held = app.requests().iter().filter(|request| request.target.starts_with("/held")).count();
        assert_eq!(held, CLIENTS - refused, "each was answered once, by the app or by the proxy");
        assert!(refused < CLIENTS / 2, "{refused} of {CLIENTS} were refused");
        drop((busy, clock, idle));
        let metrics = nothing_is_left(&proxy, 0);
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"resources\""), refused as u64);
        assert_eq!(metrics.sum_where("slipstream_faults_total", "kind=\"client_gone\""), 0);
        assert_eq!(proxy.client().get("/after").text(), "ok");
        let idle_upstream = metrics.sum("slipstream_upstream_connections_idle") as usize;
        descriptors_are_back(&proxy, base + idle_upstream + STRAY);
    }
}

/// The shell of the harness lowers what the proxy could otherwise raise again.
#[test]
fn limit_of_descriptors_holds() {
    let proxy = proxy(Driver::Epoll, &App::ok(), "");
    let limits = Command::new("cat").arg(format!("/proc/{}/limits", proxy.pid())).output().expect("it runs");
    let line = String::from_utf8_lossy(&limits.stdout)
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .map(str::to_owned);
    assert_eq!(line.expect("proc(5)").split_whitespace().filter(|word| *word == DESCRIPTORS.to_string()).count(), 2);
    assert_eq!(proxy.metrics().sum("process_max_fds"), DESCRIPTORS as u64);
}
