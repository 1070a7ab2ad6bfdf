//! Certificates made for one test: an authority and leaves signed by it, EC P-256.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A test authority and the PEM files of its leaves, in a directory that goes away with this value.
pub struct Certs {
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Certs {
    /// Each authority has a name of its own, so that a certificate of one is unknown to the other, not badly signed.
    pub fn new() -> Certs {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("Slipstream test authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("ca.crt"), authority.pem()).unwrap();
        Certs { authority, directory }
    }

    /// The authority's certificate, for `curl --cacert`.
    pub fn authority_file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub fn authority_der(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.authority.der().clone()
    }

    /// Makes a leaf for `names`; gives the files of its chain and its key.
    pub fn leaf(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        self.leaf_with(names, |_params| {})
    }

    /// As [`Certs::leaf`], with what `shape` makes of its parameters.
    pub fn leaf_with(&self, names: &[&str], shape: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        shape(&mut params);
        let leaf = params.signed_by(&key, &self.authority).unwrap();
        let (chain_file, key_file) = (self.path(&names[0], "crt"), self.path(&names[0], "key"));
        std::fs::write(&chain_file, format!("{}{}", leaf.pem(), self.authority.pem())).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain_file, key_file)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.{extension}"))
    }
}

impl Default for Certs {
    fn default() -> Certs {
        Certs::new()
    }
}
