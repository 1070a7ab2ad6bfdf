//! Certificates of clients: who is let in, and what the app is told (RFC 8446 section 4.3.2; Envoy's documentation of the field).

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, SanType};
use slipstream_tests::real::curl;
use slipstream_tests::{App, Certs, Client, Origin, Proxy, Tls, TlsVersion, on_both_drivers};

use crate::{asking, refusal};

const FIELD: &str = "x-forwarded-client-cert";
const FORGED: &str = "GET /forged HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: Hash=forged\r\nx_forwarded_client_cert: Hash=forged\r\n\
     X-FORWARDED-CLIENT-CERT: Hash=forged\r\nConnection: keep-alive, x-forwarded-client-cert\r\n\r\n";

fn workload(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::OrganizationName, "Shop, Inc.");
    params.subject_alt_names.push(SanType::URI("spiffe://shop/ns/a/sa/b".try_into().expect("ASCII")));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

/// `Hash=` and what a hash looks like is taken off.
fn without_hash(element: &str) -> &str {
    let (hash, rest) = element.split_at(5 + 64);
    assert!(
        hash.starts_with("Hash=") && hash[5..].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{element}"
    );
    rest
}

on_both_drivers! {
    fn app_is_told_of_a_certificate_that_was_verified(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        let shown = clients.leaf_with(&["client.test", "www.client.test"], workload);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut client = Client::tls(proxy.https(), &Tls::only(version, "app.test", &certs).showing(&shown));
            for target in ["first", "second"] {
                let target = format!("/{target}-{version:?}");
                assert_eq!(client.get(&target).text(), "ok");
                let fields = app.request_for(&target).fields;
                assert_eq!(
                    without_hash(&fields.joined(FIELD)),
                    ";Subject=\"O=Shop\\, Inc.,CN=client.test\";URI=spiffe://shop/ns/a/sa/b;DNS=client.test;DNS=www.client.test"
                );
                assert_eq!(fields.get("x-forwarded-proto"), Some("https"));
            }
        }
    }

    fn client_without_a_certificate_is_refused_where_it_is_required(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let refused = refusal(&proxy, &Tls::only(version, "app.test", &certs));
            assert!(refused.contains("CertificateRequired"), "{version:?}: {refused}");
        }
        assert_eq!(app.connections(), 0);
        proxy.metrics_until("both are counted", |metrics| metrics.sum_where("slipstream_tls_handshakes_total", "result=\"failed\"") == 2);
    }

    /// `required` is what a `clientCa` alone means.
    fn authorities_alone_make_a_certificate_required(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let authority = clients.authority_file().display().to_string();
        let proxy = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&["app.test"])).flags(&["--tls-client-ca", &authority]).start();
        assert!(refusal(&proxy, &Tls::to("app.test", &certs)).contains("CertificateRequired"));
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs).showing(&clients.leaf(&["client.test"])));
        assert_eq!(client.get("/").text(), "ok");
    }

    fn client_may_have_none_where_it_is_optional(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "optional").start();
        let tls = Tls::to("app.test", &certs);
        assert_eq!(Client::tls(proxy.https(), &tls).get("/bare").text(), "ok");
        assert!(!app.request_for("/bare").fields.has(FIELD));
        let mut client = Client::tls(proxy.https(), &tls.clone().showing(&clients.leaf(&["client.test"])));
        assert_eq!(client.get("/one").text(), "ok");
        let told = app.request_for("/one").fields.joined(FIELD);
        assert!(told.ends_with(";Subject=\"CN=client.test\";DNS=client.test"), "{told}");
        let strangers = Certs::new();
        let refused = refusal(&proxy, &tls.showing(&strangers.leaf(&["client.test"])));
        assert!(refused.contains("UnknownCA"), "a bad one is worse than none: {refused}");
    }

    fn certificate_that_is_not_asked_for_is_not_told(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "off").start();
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs).showing(&clients.leaf(&["client.test"])));
        assert_eq!(client.get("/").text(), "ok");
        assert!(!app.request_for("/").fields.has(FIELD));
    }

    fn certificate_that_is_not_good_is_refused(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let strangers = Certs::new();
        for (shown, alert) in [
            (strangers.leaf(&["client.test"]), "UnknownCA"),
            (clients.leaf_with(&["past.test"], |params| params.not_after = (SystemTime::now() - hours(1)).into()), "CertificateExpired"),
            (clients.leaf_with(&["future.test"], |params| params.not_before = (SystemTime::now() + hours(1)).into()), "CertificateExpired"),
            (clients.leaf_with(&["server.test"], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]), "UnsupportedCertificate"),
        ] {
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let refused = refusal(&proxy, &Tls::only(version, "app.test", &certs).showing(&shown));
                assert!(refused.contains(alert), "{:?} {version:?}: {refused}", shown.0);
            }
        }
        assert_eq!(app.connections(), 0);
    }

    /// On every listener, whoever is asked for what.
    fn claim_of_a_client_never_reaches_the_app(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        for asked in ["off", "optional"] {
            let proxy = asking(driver, &app, &certs, &clients, asked).start();
            let tls = Client::tls(proxy.https(), &Tls::to("app.test", &certs));
            for mut client in [tls, proxy.client()] {
                client.send(FORGED);
                assert_eq!(client.response().text(), "ok");
            }
        }
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        let mut client = Client::tls(proxy.https(), &Tls::to("app.test", &certs).showing(&clients.leaf(&["client.test"])));
        client.send(FORGED);
        assert_eq!(client.response().text(), "ok");
        assert!(!app.saw("forged\r\n") && !app.saw("Hash=forged"));
        let told: Vec<String> = app.requests().iter().map(|request| request.fields.joined(FIELD)).collect();
        assert!(told[..4].iter().all(String::is_empty) && told[4].ends_with(";Subject=\"CN=client.test\";DNS=client.test"), "{told:?}");
    }
}

on_both_drivers! {
    needs "curl";

    fn curl_shows_a_certificate(driver: Driver) {
        let (app, certs, clients) = (App::ok(), Certs::new(), Certs::new());
        let proxy = asking(driver, &app, &certs, &clients, "required").start();
        let (chain, key) = clients.leaf(&["client.test"]);
        let (authority, port) = (certs.authority_file().display().to_string(), proxy.https().port());
        let resolve = format!("app.test:{port}:127.0.0.1");
        for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let reach = ["--cacert", &authority, "--resolve", &resolve, "--cert", &chain.display().to_string(), "--key", &key.display().to_string()];
            assert_eq!(curl(&[&reach[..], version, &[&format!("https://app.test:{port}/curl")]].concat()), b"ok");
        }
        assert!(app.requests().iter().all(|request| request.fields.joined(FIELD).contains("CN=client.test")));
    }
}

/// A file of authorities that cannot be used is a wrong configuration: the flag, or the file, and what is wrong.
#[test]
fn authorities_that_cannot_be_used_end_it_with_2_and_are_named() {
    let (certs, refusing) = (Certs::new(), slipstream_tests::Refusing::new());
    let file = certs.directory().join("clients.crt");
    let started_with = |ca: &std::path::Path, asked: &str| {
        let flags = ["--tls-client-ca", &ca.display().to_string(), "--tls-client-certificates", asked];
        let exit = Proxy::in_front_of(&refusing.address()).tls(certs.leaf(&["app.test"])).flags(&flags).run_to_exit();
        assert_eq!(exit.code(), 2, "{}", exit.stderr);
        exit.stderr
    };
    let missing = started_with(&certs.directory().join("absent"), "required");
    assert!(missing.contains("--tls-client-ca") && missing.contains("absent"), "{missing}");
    for (text, expected) in
        [("", "holds no -----BEGIN CERTIFICATE-----"), ("-----BEGIN CERTIFICATE-----\nAA", "is not valid PEM")]
    {
        std::fs::write(&file, text).expect("a file for the proxy");
        let said = started_with(&file, "optional");
        assert!(said.contains("clients.crt") && said.contains(expected), "{said}");
    }
    let exit = Proxy::in_front_of(&refusing.address())
        .tls(certs.leaf(&["app.test"]))
        .flags(&["--tls-client-certificates", "required"])
        .run_to_exit();
    assert_eq!(exit.code(), 2);
    assert!(
        exit.stderr.contains("flag `--tls-client-certificates`") && exit.stderr.contains("--tls-client-ca"),
        "{}",
        exit.stderr
    );
}
