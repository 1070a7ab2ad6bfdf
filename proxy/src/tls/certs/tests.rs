//! Real handshakes in memory: which certificate who asks for what gets.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ServerConnection, SignatureScheme};

use super::*;

/// Writes a pair, gives its paths and the DER of its leaf.
fn pair(
    dir: &Path,
    file: &str,
    params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
) -> ((PathBuf, PathBuf), Vec<u8>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let leaf = params.self_signed(&key).unwrap();
    let paths = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
    std::fs::write(&paths.0, leaf.pem()).unwrap();
    std::fs::write(&paths.1, key.serialize_pem()).unwrap();
    (paths, leaf.der().to_vec())
}

fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// A listener with these certificates, in this order, and their leaves.
fn listener(
    dir: &Path,
    certificates: Vec<(CertificateParams, &'static SignatureAlgorithm)>,
) -> (Arc<Certificates>, Vec<Vec<u8>>) {
    let made = certificates
        .into_iter()
        .enumerate()
        .map(|(i, (params, algorithm))| pair(dir, &i.to_string(), params, algorithm));
    let (certificates, leaves) = made.unzip();
    (Certificates::load(&TlsSettings::showing(certificates)).unwrap(), leaves)
}

fn p256(sans: &[&str]) -> (CertificateParams, &'static SignatureAlgorithm) {
    (names(sans), &PKCS_ECDSA_P256_SHA256)
}

/// Trusts anything: what is shown is the test's matter.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ANY_SCHEME: [SignatureScheme; 2] = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];

fn asks(
    schemes: &[SignatureScheme],
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes.to_vec())))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn tls13() -> Arc<ClientConfig> {
    asks(&ANY_SCHEME, &rustls::version::TLS13, &[])
}

/// One whole handshake, both sides in memory.
fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut wire = Vec::new();
    // After the handshake the tickets are still to be read.
    while server.is_handshaking() || client.is_handshaking() || server.wants_write() {
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        let done = server.process_new_packets();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        done?;
        client.process_new_packets()?;
    }
    Ok((server, client))
}

fn shown(certificates: &Arc<Certificates>, client: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let (_, client) = shake(&certificates.server_config(), client, name).unwrap();
    client.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn sni_chooses_by_exact_name_then_by_wildcard_then_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let all = vec![p256(&["first.test"]), p256(&["*.wild.test"]), p256(&["exact.wild.test"]), p256(&["first.test"])];
    let (certificates, leaves) = listener(dir.path(), all);
    for (name, index) in [
        ("first.test", 0),
        ("unknown.test", 0),
        ("any.wild.test", 1),
        ("ANY.Wild.test", 1),
        ("exact.wild.test", 2),
        ("wild.test", 0),
        ("two.labels.wild.test", 0),
        ("127.0.0.1", 0), // no SNI for an address (RFC 6066 section 3)
    ] {
        assert!(shown(&certificates, &tls13(), name) == leaves[index], "{name} does not get certificate {index}");
    }
}

#[test]
fn client_that_knows_one_algorithm_gets_the_pair_of_that_algorithm() {
    let dir = tempfile::tempdir().unwrap();
    let (certificates, leaves) =
        listener(dir.path(), vec![(names(&["both.test"]), &PKCS_RSA_SHA256), p256(&["both.test"])]);
    for (scheme, index) in [(SignatureScheme::RSA_PSS_SHA256, 0), (SignatureScheme::ECDSA_NISTP256_SHA256, 1)] {
        for name in ["both.test", "unknown.test"] {
            let client = asks(&[scheme], &rustls::version::TLS13, &[]);
            assert!(shown(&certificates, &client, name) == leaves[index], "{scheme:?} {name}");
        }
    }
}

#[test]
fn both_versions_resume_by_ticket() {
    let dir = tempfile::tempdir().unwrap();
    let (certificates, _) = listener(dir.path(), vec![p256(&["one.test"])]);
    let server = certificates.server_config();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = asks(&ANY_SCHEME, version, &[]);
        let (first, _) = shake(&server, &client, "one.test").unwrap();
        let (second, _) = shake(&server, &client, "one.test").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn alpn_agrees_on_http_1_1_and_refuses_who_offers_only_http_2() {
    let dir = tempfile::tempdir().unwrap();
    let (certificates, _) = listener(dir.path(), vec![p256(&["one.test"])]);
    let server = certificates.server_config();
    let alpn = |offered: &[&str]| shake(&server, &asks(&ANY_SCHEME, &rustls::version::TLS13, offered), "one.test");
    assert_eq!(alpn(&["h2", "http/1.1"]).unwrap().0.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(alpn(&["http/1.0"]).unwrap().0.alpn_protocol(), Some(&b"http/1.0"[..]));
    assert_eq!(alpn(&[]).unwrap().0.alpn_protocol(), None);
    assert_eq!(alpn(&["h2"]).unwrap_err(), rustls::Error::NoApplicationProtocol);
}

#[test]
fn reload_shows_the_new_certificate_and_keeps_the_old_one_when_the_files_are_bad() {
    let dir = tempfile::tempdir().unwrap();
    let (certificates, before) = listener(dir.path(), vec![p256(&["one.test"])]);
    let (_, after) = pair(dir.path(), "0", names(&["one.test"]), &PKCS_ECDSA_P256_SHA256);
    assert!(shown(&certificates, &tls13(), "one.test") == before[0]);
    certificates.reload().unwrap();
    assert!(shown(&certificates, &tls13(), "one.test") == after);
    std::fs::write(dir.path().join("0.crt"), "half a cert").unwrap();
    certificates.reload().unwrap_err();
    assert!(shown(&certificates, &tls13(), "one.test") == after);
}

#[test]
fn certificate_out_of_its_time_is_served_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = names(&["one.test"]);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 11);
    let (certificates, _) = listener(dir.path(), vec![(params, &PKCS_ECDSA_P256_SHA256)]);
    let expiry = 1_578_700_800; // 2020-01-11
    assert_eq!(certificates.expiries(), [Expiry { file: dir.path().join("0.crt"), not_after: expiry }]);

    let at = |seconds: u64| certificates.warnings(UNIX_EPOCH + Duration::from_secs(seconds));
    let expiry = expiry.cast_unsigned();
    assert_eq!(at(expiry), Vec::<String>::new());
    assert!(
        at(expiry + 3 * 86_400)[0].contains("0.crt: the certificate expired 3 days ago"),
        "{:?}",
        at(expiry + 3 * 86_400)
    );
    assert!(at(expiry - 11 * 86_400)[0].contains("not yet valid"));
    shown(&certificates, &tls13(), "one.test");
}

#[test]
fn listener_without_a_pair_is_refused() {
    let error = Certificates::load(&TlsSettings::showing(Vec::new())).unwrap_err();
    assert!(error.to_string().contains("--tls-cert"), "{error}");
}
