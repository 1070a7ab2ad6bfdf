//! Each way a pair of files can be wrong, and the ones that look wrong and are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use rustls::crypto::aws_lc_rs;

use super::*;

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { dir: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes both, loads both.
    fn load(&self, cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Pair, CertError> {
        load(&self.write("cert.pem", cert), &self.write("key.pem", key))
    }
}

fn load(cert: &Path, key: &Path) -> Result<Pair, CertError> {
    Pair::load(cert, key, &aws_lc_rs::default_provider())
}

/// PEM of a self-signed certificate and of its key.
fn made() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names = ["one.test".to_owned(), "*.Two.test".to_owned(), "127.0.0.1".to_owned()];
    (CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn text(error: &CertError) -> String {
    error.to_string()
}

#[test]
fn pair_gives_dns_names_in_lower_case_and_validity() {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(["one.test".to_owned(), "*.Two.test".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 2, 3);
    params.not_after = rcgen::date_time_ymd(2002, 3, 4);
    let pair = Files::new().load(params.self_signed(&key).unwrap().pem(), key.serialize_pem()).unwrap();
    assert_eq!(pair.names, ["one.test", "*.two.test"]);
    assert_eq!((pair.not_before, pair.not_after), (981_158_400, 1_015_200_000));
}

#[test]
fn keys_of_every_supported_algorithm_load() {
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    for key in [rsa, p384, KeyPair::generate_for(&PKCS_ED25519).unwrap()] {
        let cert = CertificateParams::new(["one.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        Files::new().load(cert.pem(), key.serialize_pem()).unwrap();
    }
}

#[test]
fn windows_line_ends_comments_and_one_file_for_both_load() {
    let (cert, key) = made();
    Files::new().load(cert.replace('\n', "\r\n"), key.replace('\n', "\r\n")).unwrap();
    let both = format!("subject=CN = one.test\n{key}\n# the chain\n{cert}");
    Files::new().load(&both, &both).unwrap();
}

#[test]
fn missing_file_is_named() {
    let (cert, _) = made();
    let files = Files::new();
    let error = load(&files.write("cert.pem", cert), &files.dir.path().join("nowhere.pem")).unwrap_err();
    assert!(matches!(error.problem, Problem::Missing), "{error}");
    assert!(text(&error).contains("nowhere.pem: no such file"), "{error}");
}

#[test]
fn directory_is_refused_with_the_names_to_expect_in_it() {
    let (_, key) = made();
    let files = Files::new();
    let error = load(files.dir.path(), &files.write("key.pem", key)).unwrap_err();
    assert!(matches!(error.problem, Problem::Directory), "{error}");
    assert!(text(&error).contains("tls.crt"), "{error}");
}

#[test]
fn forbidden_file_is_refused_with_the_cure() {
    let (cert, key) = made();
    let files = Files::new();
    let (cert, key) = (files.write("cert.pem", cert), files.write("key.pem", key));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&key).is_ok() {
        // Root reads everything; what a user would see is this.
        let error = Problem::PermissionDenied.of(&key);
        assert!(text(&error).contains("permission denied; let the user"), "{error}");
        return;
    }
    let error = load(&cert, &key).unwrap_err();
    assert!(matches!(error.problem, Problem::PermissionDenied), "{error}");
}

#[test]
fn file_over_the_limit_is_refused_and_one_at_it_is_read() {
    let (cert, key) = made();
    let pad = |bytes: u64| format!("{}\n{cert}", "#".repeat(usize::try_from(bytes).unwrap() - cert.len() - 1));
    Files::new().load(pad(FILE_BYTES_MAX), &key).unwrap();
    let error = Files::new().load(pad(FILE_BYTES_MAX + 1), &key).unwrap_err();
    assert!(matches!(error.problem, Problem::TooLarge), "{error}");
}

#[test]
fn file_without_certificate_is_refused() {
    let (_, key) = made();
    for garbage in ["", "not a certificate\n", "\u{feff}"] {
        let error = Files::new().load(garbage, &key).unwrap_err();
        assert!(matches!(error.problem, Problem::NoCertificate { holds_key: false }), "{error}");
    }
}

#[test]
fn swapped_files_are_recognised() {
    let (cert, key) = made();
    let error = Files::new().load(&key, &cert).unwrap_err();
    assert!(text(&error).ends_with("are certificate and key swapped?"), "{error}");
    let error = Files::new().load(&cert, &cert).unwrap_err();
    assert!(matches!(error.problem, Problem::NoKey { holds_certificate: true }), "{error}");
    assert!(error.file.ends_with("key.pem"));
}

#[test]
fn broken_pem_is_refused_with_what_is_broken() {
    let (cert, key) = made();
    let cut = &cert[..cert.len() / 2];
    let error = Files::new().load(cut, &key).unwrap_err();
    assert!(text(&error).contains("breaks off before -----END CERTIFICATE-----"), "{error}");

    let error = Files::new().load(cert.replacen('M', "!", 1), &key).unwrap_err();
    assert!(text(&error).contains("not base64"), "{error}");

    let error = Files::new().load("-----BEGIN CERTIFICATE\nAAAA\n", &key).unwrap_err();
    assert!(text(&error).contains("begins no PEM section"), "{error}");
}

#[test]
fn pem_of_what_is_no_x509_is_refused_with_its_place() {
    let (cert, key) = made();
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Files::new().load(junk, &key).unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenCertificate { place: 1 }), "{error}");
    let error = Files::new().load(format!("{cert}{junk}"), &key).unwrap_err();
    assert!(matches!(error.problem, Problem::BrokenCertificate { place: 2 }), "{error}");
}

#[test]
fn der_files_are_refused_with_the_command_that_converts_them() {
    let (cert, key) = made();
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
    let error = Files::new().load(&*der, &key).unwrap_err();
    assert!(matches!(error.problem, Problem::Binary), "{error}");
    assert!(text(&error).contains("openssl x509 -inform der"), "{error}");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let error = Files::new().load(&cert, key.secret_der()).unwrap_err();
    assert!(matches!(error.problem, Problem::Binary), "{error}");
}

#[test]
fn encrypted_keys_are_refused_in_both_forms() {
    let (cert, _) = made();
    let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for key in [pkcs8, older] {
        let error = Files::new().load(&cert, key).unwrap_err();
        assert!(matches!(error.problem, Problem::EncryptedKey), "{error}");
    }
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    let (cert, _) = made();
    let openssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let error = Files::new().load(&cert, openssh).unwrap_err();
    assert!(matches!(error.problem, Problem::OpensshKey), "{error}");
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = Files::new().load(&cert, junk).unwrap_err();
    assert!(matches!(error.problem, Problem::UnsupportedKey(_)), "{error}");
}

#[test]
fn key_of_another_certificate_is_refused_and_both_files_are_named() {
    let ((cert, _), (_, key)) = (made(), made());
    let error = Files::new().load(&cert, &key).unwrap_err();
    assert!(matches!(error.problem, Problem::WrongKey { .. }), "{error}");
    assert!(
        text(&error).contains("key.pem: is not the key of the certificate in") && text(&error).contains("cert.pem"),
        "{error}"
    );
}

#[test]
fn chain_in_the_wrong_order_is_refused_with_the_place_of_the_leaf() {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["one.test".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();

    let pair = Files::new().load(format!("{}{}", leaf.pem(), ca.pem()), key.serialize_pem()).unwrap();
    assert_eq!(pair.key.cert.len(), 2);
    let error = Files::new().load(format!("{}{}", ca.pem(), leaf.pem()), key.serialize_pem()).unwrap_err();
    assert!(matches!(error.problem, Problem::LeafNotFirst { place: 2 }), "{error}");
}
