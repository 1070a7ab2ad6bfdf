//! One kind of TLS for everybody: 1.3, AES-128-GCM, X25519, an ECDSA P-256 certificate, no resumption, ALPN `http/1.1`.
//!
//! The generator offers nothing else, so no contestant can choose another; it verifies the chain against a CA made for the run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig};

const HOST: &str = "localhost";
const ALPN: &[u8] = b"http/1.1";

/// The files that contestants read. `chain_and_key` is both in one file, as HAProxy wants it.
#[derive(Clone)]
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub chain_and_key: PathBuf,
    ca: CertificateDer<'static>,
}

/// Makes a CA and a leaf for localhost and writes the leaf into `folder`.
pub fn make_files(folder: &Path) -> io::Result<Files> {
    let (chain, key, ca) = make_chain().map_err(io::Error::other)?;
    let files = Files {
        chain: folder.join("chain.pem"),
        key: folder.join("key.pem"),
        chain_and_key: folder.join("chain-and-key.pem"),
        ca,
    };
    std::fs::write(&files.chain, &chain)?;
    std::fs::write(&files.key, &key)?;
    std::fs::write(&files.chain_and_key, chain + &key)?;
    Ok(files)
}

fn make_chain() -> Result<(String, String, CertificateDer<'static>), rcgen::Error> {
    let ca_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key)?;
    let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let leaf = CertificateParams::new(vec![HOST.to_string()])?.signed_by(&leaf_key, &Issuer::new(ca_params, ca_key))?;
    Ok((leaf.pem(), leaf_key.serialize_pem(), ca.der().clone()))
}

/// The one suite and the one group that are measured.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

/// The generator's side.
pub fn client_config(files: &Files) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(files.ca.clone()).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The floor's side.
pub fn server_config(chain: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(|certificates| certificates.collect())
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

pub fn connect(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(HOST).expect("localhost is a DNS name");
    ClientConnection::new(config.clone(), name).map_err(io::Error::other)
}

/// Whether a finished handshake is the one that is measured.
pub fn is_as_measured(connection: &ClientConnection) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Full)
        && connection.negotiated_cipher_suite().map(|suite| suite.suite())
            == Some(CipherSuite::TLS13_AES_128_GCM_SHA256)
        && connection.negotiated_key_exchange_group().map(|group| group.name()) == Some(NamedGroup::X25519)
}
