//! Sessions that are resumed by ticket (RFC 5077, RFC 8446 section 2.2): on any worker, with what the first handshake has found out.

use std::time::{Duration, SystemTime};

use rustls::HandshakeKind;
use slipstream_tests::{App, Certs, Client, Proxy, Tls, TlsVersion, eventually, on_both_drivers};

use crate::asking;

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

fn kind(client: &Client) -> HandshakeKind {
    client.session().handshake_kind().expect("the handshake is done")
}

on_both_drivers! {
    fn ticket_is_good_on_every_worker(driver: Driver) {
        const AGAIN: u64 = 30;
        let (app, certs) = (App::ok(), Certs::new());
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(3).tls(certs.leaf(&["app.test"])).start();
        for version in VERSIONS {
            let tls = Tls::only(version, "app.test", &certs);
            let mut first = Client::tls(proxy.https(), &tls);
            assert_eq!(first.get("/").text(), "ok");
            assert_eq!(kind(&first), HandshakeKind::Full);
            for _ in 0..AGAIN {
                let mut again = Client::tls(proxy.https(), &tls);
                assert_eq!(again.get("/").text(), "ok");
                assert_eq!(kind(&again), HandshakeKind::Resumed, "{version:?}");
            }
        }
        // Each worker keeps one connection to the app.
        assert!(app.connections() > 1, "only one worker was asked");
        let metrics = proxy.metrics();
        assert_eq!(metrics.sum("slipstream_tls_resumptions_total"), 2 * AGAIN);
        assert_eq!(metrics.sum_where("slipstream_tls_handshakes_total", "result=\"ok\""), 2 * (AGAIN + 1));
    }

    /// The keys of tickets are those of one process.
    fn ticket_of_another_process_is_no_failure(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let builder = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"]));
        let (one, other) = (builder.clone().start(), builder.start());
        for version in VERSIONS {
            let tls = Tls::only(version, "app.test", &certs);
            for (proxy, expected) in [(&one, HandshakeKind::Full), (&other, HandshakeKind::Full), (&other, HandshakeKind::Resumed)] {
                let mut client = Client::tls(proxy.https(), &tls);
                assert_eq!(client.get("/").text(), "ok");
                assert_eq!(kind(&client), expected, "{version:?}");
            }
        }
    }

    /// The ticket holds it: the client does not show it again.
    fn app_is_told_of_the_certificate_of_a_resumed_session(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        for version in VERSIONS {
            let tls = Tls::only(version, "app.test", &certs).showing(&clients.leaf(&["client.test"]));
            for (target, expected) in [("/full", HandshakeKind::Full), ("/resumed", HandshakeKind::Resumed), ("/again", HandshakeKind::Resumed)] {
                let mut client = Client::tls(proxy.https(), &tls);
                assert_eq!(client.get(target).text(), "ok");
                assert_eq!(kind(&client), expected, "{version:?}");
            }
        }
        let told: Vec<String> = app.requests().iter().map(|request| request.fields.joined("x-forwarded-client-cert")).collect();
        assert!(told.iter().all(|element| element.contains("CN=client.test")), "{told:?}");
        assert_eq!(told[..3], vec![told[0].clone(); 3]);
    }

    /// Each resumption brings new tickets, so a session could go on for ever.
    fn session_ends_with_the_certificate_of_its_client(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        for version in VERSIONS {
            let soon = SystemTime::now() + Duration::from_secs(4);
            let shown = clients.leaf_with(&["client.test"], |params| params.not_after = soon.into());
            let tls = Tls::only(version, "app.test", &certs).showing(&shown);
            assert_eq!(Client::tls(proxy.https(), &tls).get("/").text(), "ok");
            let resumed = proxy.metrics().sum("slipstream_tls_resumptions_total");
            let refused = eventually("the certificate ends", || match Client::try_tls(proxy.https(), &tls) {
                Err(error) => Some(error.to_string()),
                Ok(mut client) => {
                    assert_eq!(client.get("/").text(), "ok");
                    assert_eq!(kind(&client), HandshakeKind::Resumed);
                    None
                }
            });
            assert!(SystemTime::now() >= soon && refused.contains("CertificateExpired"), "{refused}");
            assert!(proxy.metrics().sum("slipstream_tls_resumptions_total") > resumed, "none was resumed before");
        }
    }
}
