//! Files that change under a watch, as a kubelet, an editor and a mistaken hand change them.

use std::os::unix::fs::symlink;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;

use super::*;
use crate::config::{ClientAuth, TlsSettings};

/// A mounted Secret: files are links into `..data`, which is a link to a directory of one version.
struct Volume {
    dir: tempfile::TempDir,
    versions: usize,
}

struct Made {
    cert: String,
    key: String,
    leaf: CertificateDer<'static>,
}

fn made() -> Made {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["one.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    Made { cert: leaf.pem(), key: key.serialize_pem(), leaf: leaf.der().clone() }
}

impl Volume {
    fn new(files: &[(&str, &str)]) -> Volume {
        let mut volume = Volume { dir: tempfile::tempdir().unwrap(), versions: 0 };
        volume.exchange(files);
        for (name, _) in files {
            symlink(Path::new(DATA_LINK).join(name), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the kubelet does: a new directory, a new link to it, and that link in the place of the old one.
    fn exchange(&mut self, files: &[(&str, &str)]) {
        let old = fs::read_link(self.path(DATA_LINK)).ok();
        self.versions += 1;
        let version = self.path(&format!("..version_{}", self.versions));
        fs::create_dir(&version).unwrap();
        for (name, text) in files {
            fs::write(version.join(name), text).unwrap();
        }
        symlink(&version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path(DATA_LINK)).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(old).unwrap();
        }
    }

    fn watch(&self) -> Watch {
        let settings = TlsSettings::showing(vec![(self.path("tls.crt"), self.path("tls.key"))]);
        Watch::new(Certificates::load(&settings).unwrap())
    }
}

fn files<'m>(cert: &'m Made, key: &'m Made) -> [(&'m str, &'m str); 2] {
    [("tls.crt", &cert.cert), ("tls.key", &key.key)]
}

fn shows(watch: &Watch, made: &Made) -> bool {
    watch.certificates.leaf(0) == made.leaf
}

#[track_caller]
fn fails(watch: &mut Watch, expected: &str) {
    let error = watch.look().expect("a change is told of").expect_err("it is broken").to_string();
    assert!(error.contains(expected), "{error}");
    for _ in 0..3 {
        assert!(watch.look().is_none(), "told of once");
    }
}

#[test]
fn exchange_of_a_mounted_secret_is_seen_at_the_next_look() {
    let (first, second, third) = (made(), made(), made());
    let mut volume = Volume::new(&files(&first, &first));
    let mut watch = volume.watch();
    assert!(watch.look().is_none() && shows(&watch, &first));
    for next in [&second, &third] {
        volume.exchange(&files(next, next));
        watch.look().unwrap().unwrap();
        assert!(watch.look().is_none() && shows(&watch, next));
    }
}

#[test]
fn change_between_the_start_and_the_first_look_is_seen() {
    let (first, second) = (made(), made());
    let mut volume = Volume::new(&files(&first, &first));
    let settings = TlsSettings::showing(vec![(volume.path("tls.crt"), volume.path("tls.key"))]);
    let certificates = Certificates::load(&settings).unwrap();
    volume.exchange(&files(&second, &second));
    let mut watch = Watch::new(certificates);
    watch.look().unwrap().unwrap();
    assert!(shows(&watch, &second));
}

#[test]
fn each_broken_state_is_told_of_once_and_what_was_read_before_stays() {
    let (good, other) = (made(), made());
    let mut volume = Volume::new(&files(&good, &good));
    let mut watch = volume.watch();
    for (cert, key, expected) in [
        ("", &*good.key, "holds no -----BEGIN CERTIFICATE-----"),
        ("half a cert", &good.key, "holds no -----BEGIN CERTIFICATE-----"),
        (&other.cert, &good.key, "is not the key of the certificate"),
        (&good.cert, "", "holds no private key"),
        (&good.key, &good.cert, "are certificate and key swapped?"),
    ] {
        volume.exchange(&[("tls.crt", cert), ("tls.key", key)]);
        fails(&mut watch, expected);
        assert!(shows(&watch, &good));
    }
    volume.exchange(&[("tls.crt", &good.cert)]);
    fails(&mut watch, "tls.key: no such file");
    fs::remove_file(volume.path(DATA_LINK)).unwrap();
    fails(&mut watch, "tls.crt: no such file");
    assert!(shows(&watch, &good));
    symlink("..version_1", volume.path(DATA_LINK)).unwrap();
    fails(&mut watch, "no such file");
    fs::remove_file(volume.path(DATA_LINK)).unwrap();
    volume.exchange(&files(&other, &other));
    watch.look().unwrap().unwrap();
    assert!(watch.look().is_none() && shows(&watch, &other));
}

#[test]
fn directory_in_the_place_of_a_file_is_told_of_and_does_no_harm() {
    let good = made();
    let volume = Volume::new(&files(&good, &good));
    let mut watch = volume.watch();
    fs::remove_file(volume.path("tls.key")).unwrap();
    fs::create_dir(volume.path("tls.key")).unwrap();
    fails(&mut watch, "is a directory");
    assert!(shows(&watch, &good));
}

#[test]
fn file_written_over_in_place_is_seen() {
    let (good, other) = (made(), made());
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    fs::write(&cert, &good.cert).unwrap();
    fs::write(&key, &good.key).unwrap();
    let mut watch = Watch::new(Certificates::load(&TlsSettings::showing(vec![(cert.clone(), key.clone())])).unwrap());
    // One after the other, as people do: between the two there is no pair.
    fs::write(&cert, format!("{}\n", other.cert)).unwrap();
    fails(&mut watch, "is not the key of the certificate");
    fs::write(&key, format!("{}\n", other.key)).unwrap();
    watch.look().unwrap().unwrap();
    assert!(shows(&watch, &other));
}

#[test]
fn what_was_broken_by_more_than_the_files_is_tried_again() {
    let good = made();
    let volume = Volume::new(&files(&good, &good));
    let mut watch = volume.watch();
    // As after an error that no file shows: no descriptor was free.
    watch.broken = true;
    watch.look().unwrap().unwrap();
    assert!(watch.look().is_none());
}

#[test]
fn authorities_of_clients_are_followed_too() {
    let (good, authority, other) = (made(), made(), made());
    let [cert, key] = files(&good, &good);
    let first = [cert, key, ("ca.crt", &authority.cert)];
    let mut volume = Volume::new(&first);
    let mut settings = TlsSettings::showing(vec![(volume.path("tls.crt"), volume.path("tls.key"))]);
    settings.client_auth = ClientAuth::Required(volume.path("ca.crt"));
    let mut watch = Watch::new(Certificates::load(&settings).unwrap());
    let config = watch.certificates.server_config();

    volume.exchange(&first);
    watch.look().unwrap().unwrap();
    assert!(
        Arc::ptr_eq(&config, &watch.certificates.server_config()),
        "tickets go on where the authorities are the same"
    );
    volume.exchange(&[cert, key, ("ca.crt", &other.cert)]);
    watch.look().unwrap().unwrap();
    assert!(!Arc::ptr_eq(&config, &watch.certificates.server_config()), "tickets of another authority's clients end");
    let kept = watch.certificates.server_config();
    volume.exchange(&[cert, key, ("ca.crt", "nothing")]);
    fails(&mut watch, "ca.crt: holds no -----BEGIN CERTIFICATE-----");
    assert!(Arc::ptr_eq(&kept, &watch.certificates.server_config()));
}
