//! Clients that stop in the handshake: each costs its deadline and what it has sent, and nobody else anything. And no second handshake.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use slipstream_tests::{App, Certs, Client, Driver, End, Proxy, Running, Tls, eventually, on_both_drivers, spawn};

/// The beginning of a hello that never ends.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";

fn proxy(driver: Driver, app: &App, certs: &Certs, wait: &str, more: &[&str]) -> Running {
    let builder = Proxy::in_front_of(app).driver(driver).tls(certs.leaf(&["app.test"])).flags(more);
    builder.policy(&format!("timeouts: {{tlsHandshake: {wait}, requestHeaders: {wait}}}")).start()
}

fn timed_out(metrics: &slipstream_tests::Metrics) -> u64 {
    metrics.sum_where("slipstream_timeouts_total", "timeout=\"tlsHandshake\"")
}

on_both_drivers! {
    /// The deadline is that of the whole handshake: bytes do not move it.
    fn handshake_that_drips_in_is_closed_at_its_deadline(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        for more in [&[][..], &["--tls-mode", "permissive"]] {
            let proxy = proxy(driver, &app, &certs, "300ms", more);
            let mut client = Client::plain(proxy.https());
            client.send(HALF_A_HELLO);
            eventually("it is closed while it sends", || {
                client.offer([0]);
                client.has_something().then_some(())
            });
            assert!(matches!(client.rest().1, End::Clean | End::Reset));
            proxy.metrics_until("it is counted", |metrics| timed_out(metrics) == 1 && metrics.sum("slipstream_downstream_connections_open") == 0);
        }
    }

    /// Nothing, the first byte, half a hello: 2,000 at once, of which none is served, beside one that is.
    fn many_half_open_handshakes_are_bounded_by_their_deadline(driver: Driver) {
        const MANY: usize = 2_000;
        let (app, certs) = (App::ok(), Certs::new());
        // Long enough that all are open at once.
        let proxy = proxy(driver, &app, &certs, "8s", &[]);
        let tls = Tls::to("app.test", &certs);
        assert_eq!(Client::tls(proxy.https(), &tls).get("/").text(), "ok");
        let open = |metrics: &slipstream_tests::Metrics| metrics.sum("slipstream_downstream_connections_open");
        let before = proxy.metrics_until("the first has left", |metrics| open(metrics) == 0);

        let mut stopped: Vec<Client> = (0..MANY).map(|_| Client::plain(proxy.https())).collect();
        for (number, client) in stopped.iter_mut().enumerate() {
            client.send(&HALF_A_HELLO[..[0, 1, HALF_A_HELLO.len()][number % 3]]);
        }
        proxy.metrics_until("all are open at once", |metrics| open(metrics) == MANY as u64);
        let mut good = Client::tls(proxy.https(), &tls);
        assert_eq!(good.get("/").text(), "ok");
        assert_eq!(timed_out(&proxy.metrics()), 0, "while all of them wait");

        for client in &mut stopped {
            let (nothing, end) = client.rest();
            assert!(nothing.is_empty() && matches!(end, End::Clean | End::Reset), "{end:?}");
        }
        assert_eq!(good.get("/").text(), "ok");
        drop(good);
        let after = proxy.metrics_until("all are gone", |metrics| open(metrics) == 0);
        assert_eq!(timed_out(&after), MANY as u64);
        assert_eq!(after.sum_where("slipstream_tls_handshakes_total", "result=\"failed\""), MANY as u64);
        assert_eq!(after.sum("process_open_fds"), before.sum("process_open_fds"));
    }
}

on_both_drivers! {
    needs "openssl";

    /// RFC 5746 allows to refuse it, and TLS 1.3 has none.
    fn renegotiation_is_refused(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = proxy(driver, &app, &certs, "5s", &[]);
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_2", "-servername", "app.test", "-connect", &proxy.https().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = spawn(command).expect("openssl runs");
        let (mut keyboard, mut screen) = (client.stdin.take().expect("piped"), client.stdout.take().expect("piped"));
        let mut shown = Vec::new();
        while !slipstream_tests::contains(&shown, b"Extended master secret") {
            let mut some = [0; 4096];
            let read = screen.read(&mut some).expect("openssl speaks");
            assert!(read > 0, "no session: {}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&some[..read]);
        }
        // The command of s_client to ask for a new handshake.
        keyboard.write_all(b"R\n").expect("openssl listens");
        let mut said = String::new();
        client.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        client.wait().expect("it ends");
        assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
        assert_eq!(Client::tls(proxy.https(), &Tls::to("app.test", &certs)).get("/").text(), "ok");
        assert_eq!(proxy.metrics().sum_where("slipstream_tls_handshakes_total", "result=\"ok\""), 2);
    }
}
