//! Idle connections are parked: no task, no buffer; they serve, close and time out as if they were not.

use slipstream_tests::{App, Certs, Client, on_both_drivers};

use crate::{Way, nothing_is_left, proxy};

fn until_parked(proxy: &slipstream_tests::Running, count: u64) {
    proxy.metrics_until("they are parked", |metrics| metrics.sum("slipstream_downstream_connections_parked") == count);
}

on_both_drivers! {
    fn parked_connection_serves_the_next_request(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "");
        let mut clients: Vec<Client> = Way::BOTH.iter().cycle().take(6).map(|way| way.client(&proxy, &certs)).collect();
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.get("/").text(), "ok");
            }
            until_parked(&proxy, 6);
        }
        assert_eq!(proxy.metrics().sum("slipstream_downstream_connections_total"), 6);
        drop(clients);
        nothing_is_left(&proxy, 0);
    }

    fn parked_connection_whose_client_leaves_is_gone(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "");
        for way in Way::BOTH {
            let mut clients: Vec<Client> = (0..3).map(|_| way.client(&proxy, &certs)).collect();
            for client in &mut clients {
                client.get("/");
            }
            until_parked(&proxy, 3);
            clients.pop().expect("three").reset();
            clients.pop().expect("two").close_notify();
            drop(clients);
            nothing_is_left(&proxy, 0);
            until_parked(&proxy, 0);
        }
    }

    fn parked_connection_is_closed_when_its_time_is_over(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "timeouts: {connectionIdle: 1500ms}");
        for way in Way::BOTH {
            let mut client = way.client(&proxy, &certs);
            client.get("/");
            until_parked(&proxy, 1);
            client.expect_close();
        }
        nothing_is_left(&proxy, 0);
        until_parked(&proxy, 0);
        assert_eq!(proxy.metrics().sum_where("slipstream_timeouts_total", "timeout=\"connectionIdle\""), 2);
    }

    /// RFC 8446 section 5.1: a record may come in pieces. What has come of it is not lost, and not parked.
    fn part_of_a_record_keeps_a_connection_from_its_rest(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "timeouts: {requestHeaders: 2s}");
        let mut client = Way::Tls.client(&proxy, &certs);
        client.get("/");
        until_parked(&proxy, 1);
        client.send_ciphertext(b"\x17\x03\x03");
        until_parked(&proxy, 0);
        // It has the time of a head, once.
        client.expect_close();
        nothing_is_left(&proxy, 0);
        assert_eq!(app.requests().len(), 1);
    }

    fn longest_idle_connection_gives_way_at_the_limit_of_connections(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "limits: {connections: 3}");
        let mut clients: Vec<Client> = Vec::new();
        for number in 1..=3 {
            clients.push(proxy.client());
            clients[number - 1].get("/");
            until_parked(&proxy, number as u64);
        }
        let mut fourth = proxy.client();
        assert_eq!(fourth.get("/").text(), "ok");
        clients[0].expect_close();
        assert_eq!((clients[1].get("/").text(), clients[2].get("/").text()), ("ok".into(), "ok".into()));
        assert_eq!(proxy.metrics().sum("slipstream_downstream_connections_evicted_total"), 1);
    }

    fn parked_connections_end_with_the_proxy(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "");
        let mut clients: Vec<Client> = Way::BOTH.iter().map(|way| way.client(&proxy, &certs)).collect();
        for client in &mut clients {
            client.get("/");
        }
        until_parked(&proxy, 2);
        assert_eq!(proxy.stop().code(), 0);
        clients.iter_mut().for_each(Client::expect_close);
    }
}
