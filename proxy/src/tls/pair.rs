//! One certificate chain and its private key, from two PEM files.
//!
//! In: two paths. Out: a [`Pair`] that rustls can sign with, the names it is for and its validity, or a [`CertError`] that names the file,
//! what is wrong with it and the cure. Must not know: listeners, SNI, who asks. Limit: `FILE_BYTES_MAX`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A chain of ten large certificates is 30 KiB; what is larger is some other file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A chain and its key, checked to belong together.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The leaf's DNS names, lower case, in its order; `*.example.com` as it stands.
    pub(super) names: Vec<String>,
    /// Unix seconds.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// Why a pair cannot be used. `file` is the one to mend.
#[derive(Debug)]
pub struct CertError {
    pub file: PathBuf,
    pub problem: Problem,
}

/// What is wrong with the file.
#[derive(Debug)]
pub enum Problem {
    /// A listener with TLS names no pair at all.
    NoPair,
    /// Nothing that a file could mend: no random bytes are to be had.
    Tls(rustls::Error),
    Missing,
    Directory,
    PermissionDenied,
    Unreadable(io::Error),
    TooLarge,
    /// PEM that breaks off or holds what is no base64.
    BrokenPem(String),
    /// A DER or PKCS #12 file where PEM is expected.
    Binary,
    NoCertificate {
        holds_key: bool,
    },
    /// The certificate at this place (from 1) is not X.509.
    BrokenCertificate {
        place: usize,
    },
    NoKey {
        holds_certificate: bool,
    },
    EncryptedKey,
    /// `BEGIN OPENSSH PRIVATE KEY`.
    OpensshKey,
    UnsupportedKey(String),
    /// The key is that of another certificate than the chain's first.
    WrongKey {
        certificate: PathBuf,
    },
    /// The key is that of a later certificate of the chain (place from 1).
    LeafNotFirst {
        place: usize,
    },
}

impl Pair {
    pub(super) fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Pair, CertError> {
        let chain = read(cert).and_then(|text| parse_chain(&text)).map_err(|problem| problem.of(cert))?;
        let (names, not_before, not_after) =
            describe(&chain[0]).ok_or(Problem::BrokenCertificate { place: 1 }.of(cert))?;
        let key_der = read(key).and_then(|text| parse_key(&text)).map_err(|problem| problem.of(key))?;
        let signing = provider
            .key_provider
            .load_private_key(key_der)
            .map_err(|why| Problem::UnsupportedKey(why.to_string()).of(key))?;

        let certified = CertifiedKey::new(chain, signing);
        if !belongs(&certified) {
            let place = (1..certified.cert.len())
                .find(|&i| belongs(&CertifiedKey::new(vec![certified.cert[i].clone()], certified.key.clone())));
            return Err(match place {
                Some(index) => Problem::LeafNotFirst { place: index + 1 }.of(cert),
                None => Problem::WrongKey { certificate: cert.to_owned() }.of(key),
            });
        }
        Ok(Pair { key: Arc::new(certified), names, not_before, not_after })
    }
}

/// Whether the key is that of the chain's first certificate. A key that cannot tell its public half gets the benefit of the doubt.
fn belongs(certified: &CertifiedKey) -> bool {
    !matches!(certified.keys_match(), Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing,
        io::ErrorKind::PermissionDenied => Problem::PermissionDenied,
        io::ErrorKind::IsADirectory => Problem::Directory,
        _ => Problem::Unreadable(error),
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(problem)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(problem)?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(Problem::TooLarge) } else { Ok(text) }
}

/// Never empty on `Ok`.
pub(super) fn parse_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(broken_pem)?;
    if chain.is_empty() {
        return Err(if is_binary(text) {
            Problem::Binary
        } else {
            Problem::NoCertificate { holds_key: contains(text, "PRIVATE KEY-----") }
        });
    }
    match chain.iter().position(|certificate| X509Certificate::from_der(certificate).is_err()) {
        Some(index) => Err(Problem::BrokenCertificate { place: index + 1 }),
        None => Ok(chain),
    }
}

fn parse_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    // PKCS #8 names encryption in the label, the older forms in a header that a PEM reader takes for base64.
    if contains(text, "BEGIN ENCRYPTED PRIVATE KEY") || contains(text, "Proc-Type: 4,ENCRYPTED") {
        return Err(Problem::EncryptedKey);
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if contains(text, "BEGIN OPENSSH PRIVATE KEY") => Err(Problem::OpensshKey),
        Err(pem::Error::NoItemsFound) if is_binary(text) => Err(Problem::Binary),
        Err(pem::Error::NoItemsFound) => {
            Err(Problem::NoKey { holds_certificate: contains(text, "BEGIN CERTIFICATE-----") })
        }
        Err(error) => Err(broken_pem(error)),
    }
}

/// DNS names and validity of a leaf.
fn describe(leaf: &CertificateDer<'_>) -> Option<(Vec<String>, i64, i64)> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let names = match leaf.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    Some((names, leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp()))
}

fn contains(text: &[u8], what: &str) -> bool {
    memchr::memmem::find(text, what.as_bytes()).is_some()
}

/// DER begins with a SEQUENCE; text holds no NUL.
fn is_binary(text: &[u8]) -> bool {
    text.first() == Some(&0x30) || text.contains(&0)
}

fn broken_pem(error: pem::Error) -> Problem {
    Problem::BrokenPem(match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("it breaks off before -----END {}-----", String::from_utf8_lossy(&end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            let line: String = String::from_utf8_lossy(&line).chars().take(60).collect();
            format!("this line begins no PEM section: {line:?}")
        }
        pem::Error::Base64Decode(_) => "a section holds what is not base64".to_owned(),
        error => error.to_string(),
    })
}

impl Problem {
    pub(super) fn of(self, file: &Path) -> CertError {
        CertError { file: file.to_owned(), problem: self }
    }
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}: ", self.file.display())?;
        }
        match &self.problem {
            Problem::NoPair => f.write_str("a TLS listener needs a certificate and its key (--tls-cert FILE --tls-key FILE)"),
            Problem::Tls(error) => write!(f, "TLS cannot be configured: {error}"),
            Problem::Missing => f.write_str("no such file; check the path, and in a pod that the Secret is mounted there"),
            Problem::Directory => f.write_str("is a directory; name the PEM file in it (in a mounted Secret tls.crt or tls.key)"),
            Problem::PermissionDenied => f.write_str(
                "permission denied; let the user that runs the proxy read it (in a pod: defaultMode or fsGroup of the volume)",
            ),
            Problem::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Problem::TooLarge => write!(f, "is larger than {} KiB, so it is no PEM certificate or key", FILE_BYTES_MAX / 1024),
            Problem::BrokenPem(what) => write!(f, "is not valid PEM: {what}; copy the file again, whole"),
            Problem::Binary => f.write_str(
                "is binary (DER or PKCS #12), PEM is needed; convert it: openssl x509 -inform der (a certificate), openssl pkey -inform der (a key) or openssl pkcs12 -nodes (a .p12)",
            ),
            Problem::NoCertificate { holds_key: true } => {
                f.write_str("holds a private key and no certificate; are certificate and key swapped?")
            }
            Problem::NoCertificate { holds_key: false } => f.write_str("holds no -----BEGIN CERTIFICATE-----"),
            Problem::BrokenCertificate { place } => write!(f, "certificate {place} in it is not valid X.509; issue or copy it again"),
            Problem::NoKey { holds_certificate: true } => {
                f.write_str("holds a certificate and no private key; are certificate and key swapped?")
            }
            Problem::NoKey { holds_certificate: false } => {
                f.write_str("holds no private key (-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY)")
            }
            Problem::EncryptedKey => f.write_str(
                "the key is encrypted and a proxy has nobody to ask for the passphrase; decrypt it: openssl pkey -in FILE -out PLAIN",
            ),
            Problem::OpensshKey => f.write_str("is an OpenSSH key; convert a copy of it: ssh-keygen -p -m PEM -f COPY"),
            Problem::UnsupportedKey(why) => {
                write!(f, "the key cannot be used ({why}); RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519 work")
            }
            Problem::WrongKey { certificate } => write!(
                f,
                "is not the key of the certificate in {}; both must come from the same request",
                certificate.display()
            ),
            Problem::LeafNotFirst { place } => write!(
                f,
                "the key belongs to certificate {place} of the chain; put that one first, then the one that issued it, and so on"
            ),
        }
    }
}

impl std::error::Error for CertError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
