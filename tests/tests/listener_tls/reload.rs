//! Files that change while the proxy runs. A look comes every five seconds, so each case waits for a few of them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use slipstream_tests::{App, Certs, Client, Driver, Proxy, Running, Tls, eventually, on_both_drivers};
use tempfile::TempDir;

use crate::refusal;

/// A Secret as the kubelet mounts it: `tls.crt` is a link to `..data/tls.crt`, and `..data` one to a directory that holds one version.
struct Secret {
    directory: TempDir,
    versions: usize,
}

const NAMES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

impl Secret {
    fn mounted(files: [&Path; 3]) -> Secret {
        let mut secret = Secret { directory: TempDir::new().expect("a directory"), versions: 0 };
        secret.exchange(files);
        for name in NAMES {
            symlink(Path::new("..data").join(name), secret.path(name)).expect("a link");
        }
        secret
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn exchange(&mut self, files: [&Path; 3]) {
        self.versions += 1;
        let version = self.path(&format!("..{}", self.versions));
        std::fs::create_dir(&version).expect("a directory");
        for (name, from) in NAMES.into_iter().zip(files) {
            std::fs::copy(from, version.join(name)).expect("a copy");
        }
        symlink(version.file_name().expect("a name"), self.path("..data_tmp")).expect("a link");
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).expect("the exchange");
        if self.versions > 1 {
            std::fs::remove_dir_all(self.path(&format!("..{}", self.versions - 1))).expect("the old version goes");
        }
    }

    fn start(&self, driver: Driver, app: &App, asked: &str) -> Running {
        let authority = self.path("ca.crt").display().to_string();
        let flags = ["--tls-client-ca", &authority, "--tls-client-certificates", asked];
        let builder = Proxy::in_front_of(app).driver(driver).workers(2).flags(&flags);
        builder.tls((self.path("tls.crt"), self.path("tls.key"))).start()
    }
}

/// Waits until so many changes have been taken, and so many not.
fn reloads(proxy: &Running, ok: u64, failed: u64) {
    let of = |metrics: &slipstream_tests::Metrics, result: &str| {
        metrics.sum_where("slipstream_tls_reloads_total", &format!("result=\"{result}\""))
    };
    let metrics =
        proxy.metrics_until("the change is seen", |metrics| of(metrics, "ok") + of(metrics, "failed") >= ok + failed);
    assert_eq!((of(&metrics, "ok"), of(&metrics, "failed")), (ok, failed), "{}", proxy.stderr());
}

fn leaf(client: &Client) -> Vec<u8> {
    client.session().peer_certificates().expect("a server shows a certificate")[0].to_vec()
}

on_both_drivers! {
    fn new_certificate_is_shown_and_a_broken_one_never(driver: Driver) {
        let (app, certs) = (App::ok(), Certs::new());
        let copies = TempDir::new().expect("a directory");
        // `Certs` names files by host, and the second leaf is for the same one.
        let make = |number: u8| {
            let (chain, key) = certs.leaf(&["app.test"]);
            let to = |name: &str| copies.path().join(format!("{number}.{name}"));
            std::fs::copy(chain, to("crt")).expect("a copy");
            std::fs::copy(key, to("key")).expect("a copy");
            (to("crt"), to("key"))
        };
        let (one, two, ca) = (make(1), make(2), certs.authority_file());
        let mut secret = Secret::mounted([&one.0, &one.1, &ca]);
        let proxy = secret.start(driver, &app, "optional");
        let tls = Tls::to("app.test", &certs);
        let fresh = || Client::tls(proxy.https(), &Tls::to("app.test", &certs));
        let mut kept = Client::tls(proxy.https(), &tls);
        assert_eq!(kept.get("/").text(), "ok");
        let before = leaf(&kept);

        // The key of another certificate, then nothing at all: told of once each, and the old one stays.
        secret.exchange([&two.0, &one.1, &ca]);
        reloads(&proxy, 0, 1);
        assert!(leaf(&fresh()) == before);
        let empty = copies.path().join("empty");
        std::fs::write(&empty, "").expect("a file");
        secret.exchange([&empty, &one.1, &ca]);
        reloads(&proxy, 0, 2);
        assert!(leaf(&fresh()) == before);

        secret.exchange([&two.0, &two.1, &ca]);
        reloads(&proxy, 1, 2);
        let after = leaf(&fresh());
        assert!(after != before, "the new one is shown");
        assert!(after == *CertificateDer::from_pem_file(&two.0).expect("a certificate"));
        assert_eq!(kept.get("/").text(), "ok", "who is connected stays so");
        let mut resumed = Client::tls(proxy.https(), &tls);
        assert_eq!(resumed.get("/").text(), "ok");
        assert_eq!(resumed.session().handshake_kind(), Some(HandshakeKind::Resumed), "tickets outlive the exchange");

        // A change is counted before it is told of.
        let log = eventually("the log of the last change", || Some(proxy.stderr()).filter(|log| log.matches("in force for new connections").count() >= 3));
        for (said, times) in [("is not the key of the certificate", 1), ("holds no -----BEGIN CERTIFICATE-----", 1), ("in force for new connections", 3)] {
            assert_eq!(log.matches(said).count(), times, "{said:?} in\n{log}");
        }
    }

    /// A session whose client came from an authority that is trusted no more is not resumed.
    fn new_authority_of_clients_ends_the_sessions_of_the_old(driver: Driver) {
        let (app, certs, old, new) = (App::ok(), Certs::new(), Certs::new(), Certs::new());
        let (chain, key) = certs.leaf(&["app.test"]);
        let mut secret = Secret::mounted([&chain, &key, &old.authority_file()]);
        let proxy = secret.start(driver, &app, "required");
        let of_old = Tls::to("app.test", &certs).showing(&old.leaf(&["old.test"]));
        let of_new = Tls::to("app.test", &certs).showing(&new.leaf(&["new.test"]));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Client::tls(proxy.https(), &of_old);
            assert_eq!(client.get("/").text(), "ok");
            assert_eq!(client.session().handshake_kind(), Some(expected));
        }
        assert!(refusal(&proxy, &of_new).contains("UnknownCA"));

        secret.exchange([&chain, &key, &new.authority_file()]);
        reloads(&proxy, 1, 0);
        let refused = refusal(&proxy, &of_old);
        assert!(refused.contains("UnknownCA"), "neither resumed nor let in: {refused}");
        assert_eq!(Client::tls(proxy.https(), &of_new).get("/").text(), "ok");
    }
}

/// At the start there is nothing to keep: what cannot be used is a wrong configuration.
#[test]
fn certificate_that_cannot_be_used_at_the_start_ends_it_with_2_and_is_named() {
    let (certs, refusing) = (Certs::new(), slipstream_tests::Refusing::new());
    let ((chain, key), (_, other_key)) = (certs.leaf(&["app.test"]), certs.leaf(&["other.test"]));
    let empty = certs.directory().join("empty");
    std::fs::write(&empty, "").expect("a file");
    for (pair, expected) in [
        ((empty.clone(), key.clone()), "empty: holds no -----BEGIN CERTIFICATE-----"),
        ((chain.clone(), empty), "empty: holds no private key"),
        ((chain.clone(), other_key), "other.test.key: is not the key of the certificate in"),
        ((key.clone(), chain.clone()), "app.test.key: holds a private key and no certificate"),
        ((certs.directory().to_path_buf(), key), "which is a directory"),
        ((chain, certs.directory().to_path_buf()), "which is a directory"),
    ] {
        let exit = Proxy::in_front_of(&refusing).tls(pair).run_to_exit();
        assert_eq!(exit.code(), 2, "{}", exit.stderr);
        assert!(exit.stderr.contains(expected), "{expected:?} is not in {}", exit.stderr);
    }
}

/// Whether it is any good is for clients to judge: some may not look.
#[test]
fn certificate_that_has_expired_is_shown_and_warned_of() {
    let (app, certs) = (App::ok(), Certs::new());
    let past = SystemTime::now() - Duration::from_secs(3 * 86_400 + 3600);
    let proxy =
        Proxy::in_front_of(&app).tls(certs.leaf_with(&["app.test"], |params| params.not_after = past.into())).start();
    let refused =
        Client::try_tls(proxy.https(), &Tls::to("app.test", &certs)).err().expect("the client looks").to_string();
    assert!(refused.contains("certificate expired"), "{refused}");
    assert!(proxy.stderr().contains("app.test.crt: the certificate expired 3 days ago"), "{}", proxy.stderr());
}
