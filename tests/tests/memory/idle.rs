//! Idle connections: what they cost, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use slipstream_tests::{App, Client, Proxy, Running, eventually, on_both_drivers};

fn until_parked(proxy: &Running, count: u64) {
    proxy.metrics_until("all are parked", |metrics| metrics.sum("slipstream_downstream_connections_parked") == count);
}

/// Connections that have had one request each, made by `threads` at once.
fn connections(proxy: &Running, count: usize, threads: usize) -> Vec<Client> {
    std::thread::scope(|scope| {
        let make = || {
            (0..count / threads).map(|_| {
                let mut client = proxy.client();
                assert_eq!(client.get("/").text(), "ok");
                client
            })
        };
        let made: Vec<_> = (0..threads).map(|_| scope.spawn(move || make().collect::<Vec<Client>>())).collect();
        made.into_iter().flat_map(|made| made.join().unwrap()).collect()
    })
}

/// How often each worker has gone to sleep.
fn sleeps(proxy: &Running) -> BTreeMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
    let statuses = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    };
    let of_workers = statuses.filter(|status| field(status, "Name:").starts_with("worker-"));
    of_workers
        .map(|status| (field(&status, "Pid:"), field(&status, "voluntary_ctxt_switches:").parse().unwrap()))
        .collect()
}

on_both_drivers! {
    fn two_thousand_idle_connections_cost_little_memory(driver: Driver) {
        const CONNECTIONS: usize = 2000;
        /// Measured without optimisation: 730 under epoll, 1,070 under io_uring.
        const EACH_BYTES_MAX: u64 = 1600;
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).start();
        // What the first connections cost is not theirs: code, kept buffers.
        drop(connections(&proxy, 64, 16));
        until_parked(&proxy, 0);
        let before = proxy.resident_bytes();
        let clients = connections(&proxy, CONNECTIONS, 16);
        until_parked(&proxy, CONNECTIONS as u64);
        // What a crowd needed is kept for a second.
        eventually("each costs little", || {
            let each = proxy.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
            (each < EACH_BYTES_MAX).then_some(())
        });
        drop(clients);
        until_parked(&proxy, 0);
    }

    fn worker_sleeps_on_while_connections_are_parked(driver: Driver) {
        let app = App::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).start();
        let clients = connections(&proxy, 100, 4);
        until_parked(&proxy, 100);
        // This wait is what is measured.
        const QUIET: Duration = Duration::from_secs(3);
        let before = sleeps(&proxy);
        std::thread::park_timeout(QUIET);
        let after = sleeps(&proxy);
        assert_eq!(before.len(), 2, "{before:?}");
        assert_eq!(before, after, "a worker woke");
        drop(clients);
    }
}
