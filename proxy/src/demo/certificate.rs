//! A certificate authority for the length of the demo, and one certificate of it.

use std::error::Error;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;

const DAY: Duration = Duration::from_secs(86_400);
const VALID: Duration = Duration::from_secs(30 * 86_400);

/// Files in a directory that only this user may enter, gone when this value is.
#[derive(Debug)]
pub(super) struct Certificate {
    /// For `curl --cacert`.
    pub(super) ca: PathBuf,
    pub(super) ca_der: CertificateDer<'static>,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    _dir: Dir,
}

impl Certificate {
    /// For localhost, 127.0.0.1 and ::1. The authority's own key is never written, so nobody can sign with it later.
    pub(super) fn make() -> Result<Certificate, Box<dyn Error>> {
        let now = SystemTime::now();
        let mut ca = named("Slipstream demo CA", Vec::new(), now)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let mut leaf = named("Slipstream demo", names, now)?;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&key, &ca)?;

        let dir = Dir::make()?;
        Ok(Certificate {
            ca: dir.write("ca.pem", &ca.pem())?,
            ca_der: ca.der().clone(),
            chain: dir.write("cert.pem", &leaf.pem())?,
            key: dir.write("key.pem", &key.serialize_pem())?,
            _dir: dir,
        })
    }
}

fn named(name: &str, sans: Vec<String>, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(sans)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - DAY).into();
    params.not_after = (now + VALID).into();
    Ok(params)
}

/// A directory of our own among the temporary ones.
#[derive(Debug)]
struct Dir(PathBuf);

impl Dir {
    fn make() -> io::Result<Dir> {
        let base = std::env::temp_dir().join(format!("slipstream-demo-{}", std::process::id()));
        // What an earlier process of this id left behind is not ours to use: create, never open.
        let mut made = Err(io::ErrorKind::AlreadyExists.into());
        for attempt in 0..100 {
            let path = if attempt == 0 { base.clone() } else { base.with_extension(attempt.to_string()) };
            made = DirBuilder::new().mode(0o700).create(&path).map(|()| Dir(path));
            if made.as_ref().err().is_none_or(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        made
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = Path::join(&self.0, name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::TlsSettings;
    use crate::tls::Certificates;

    #[test]
    fn certificate_loads_and_its_files_are_private_and_go_with_it() {
        let made = Certificate::make().unwrap();
        let loaded = Certificates::load(&TlsSettings::showing(vec![(made.chain.clone(), made.key.clone())]));
        assert_eq!(loaded.unwrap().warnings(SystemTime::now()), Vec::<String>::new());
        assert_eq!(fs::metadata(&made.key).unwrap().permissions().mode() & 0o777, 0o600);
        let dir = made.ca.parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        drop(made);
        assert!(!dir.exists());
    }

    #[test]
    fn two_in_one_process_do_not_meet() {
        let (first, second) = (Certificate::make().unwrap(), Certificate::make().unwrap());
        assert_ne!(first.ca, second.ca);
    }
}
