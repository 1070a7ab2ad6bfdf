//! Which certificate a TLS listener shows, and whose it accepts.
//!
//! In: [`TlsSettings`]. Out: an `Arc<rustls::ServerConfig>` for each handshake, and for `/metrics` when each certificate ends.
//! All of it can be swapped while connections are served ([`Certificates::reload`]); a handshake sees the old or the new.
//! Must not know: sockets, listeners, HTTP. Files are read at the start and at a reload, by the control side; a handshake reads memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::client_auth::Authorities;
use super::pair::{CertError, Pair, Problem};
use super::watch::Marks;
use crate::config::{ClientAuth, TlsMode, TlsSettings};

/// What we speak behind TLS. A client that offers ALPN and none of these is refused (RFC 7301 section 3.2).
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The certificates of one TLS listener.
#[derive(Debug)]
pub struct Certificates {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    in_force: ArcSwap<InForce>,
    /// Taken before the files were read.
    pub(super) marks_at_start: Marks,
}

/// What rustls asks for a certificate. Swapped alone where nothing else has changed, so that tickets go on.
#[derive(Debug)]
struct Shown(ArcSwap<Set>);

/// What a handshake is made by.
#[derive(Debug)]
struct InForce {
    config: Arc<ServerConfig>,
    authorities: Option<Authorities>,
}

/// When the certificate in a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    pub file: PathBuf,
    /// Unix seconds.
    pub not_after: i64,
}

/// What is swapped as a whole.
#[derive(Debug)]
struct Set {
    /// In the order of the settings, never empty; the first is the default.
    pairs: Vec<Pair>,
    /// Indices into `pairs`, in their order, by exact name.
    exact: HashMap<String, Vec<usize>>,
    /// The same for `*.parent`, by parent.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Certificates {
    /// Reads all files. A certificate that has expired or is not yet valid is served all the same: [`Certificates::warnings`] tells.
    pub fn load(settings: &TlsSettings) -> Result<Arc<Certificates>, CertError> {
        let marks_at_start = Marks::of(files(settings));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Shown(ArcSwap::from_pointee(Set::load(settings, &provider)?)));
        let authorities = Authorities::load(&settings.client_auth, &provider)?;
        let in_force = ArcSwap::from_pointee(InForce::new(&provider, &shown, authorities)?);
        Ok(Arc::new(Certificates { settings: settings.clone(), provider, shown, in_force, marks_at_start }))
    }

    /// Reads the files again: all of them are in force, or on an error none.
    ///
    /// Tickets outlive the exchange of a certificate, but not that of the clients' authorities: a session whose client came from one that is
    /// trusted no more must not be resumed. Connections that are open stay open.
    pub fn reload(&self) -> Result<(), CertError> {
        let set = Set::load(&self.settings, &self.provider)?;
        let authorities = Authorities::load(&self.settings.client_auth, &self.provider)?;
        if authorities != self.in_force.load().authorities {
            self.in_force.store(Arc::new(InForce::new(&self.provider, &self.shown, authorities)?));
        }
        self.shown.0.store(Arc::new(set));
        Ok(())
    }

    /// What the next handshake is made by.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.in_force.load().config.clone()
    }

    /// Whether plain clients are let in too.
    pub fn mode(&self) -> TlsMode {
        self.settings.mode
    }

    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        files(&self.settings)
    }

    /// One for each pair, in the order of the settings.
    pub fn expiries(&self) -> Vec<Expiry> {
        let set = self.shown.0.load();
        let files = self.settings.certificates.iter();
        files
            .zip(&set.pairs)
            .map(|((file, _), pair)| Expiry { file: file.clone(), not_after: pair.not_after })
            .collect()
    }

    /// What clients will object to, in sentences for the log.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        let set = self.shown.0.load();
        let files = self.settings.certificates.iter();
        files
            .zip(&set.pairs)
            .filter_map(|((file, _), pair)| pair.objection(now).map(|why| format!("{}: {why}", file.display())))
            .collect()
    }
}

fn files(settings: &TlsSettings) -> impl Iterator<Item = &Path> {
    let authorities = match &settings.client_auth {
        ClientAuth::Off => None,
        ClientAuth::Optional(file) | ClientAuth::Required(file) => Some(file),
    };
    let pairs = settings.certificates.iter().flat_map(|(cert, key)| [cert, key]);
    pairs.chain(authorities).map(PathBuf::as_path)
}

impl InForce {
    /// TLS 1.2 and 1.3. Resumption is by tickets alone: workers share no session cache. rustls makes a new ticket key every 6 hours and
    /// accepts the last one for 6 more, so a ticket is good for 6 to 12 hours, on every worker, and for none after a restart.
    fn new(
        provider: &Arc<CryptoProvider>,
        shown: &Arc<Shown>,
        authorities: Option<Authorities>,
    ) -> Result<InForce, CertError> {
        let failed = |error| Problem::Tls(error).of(Path::new(""));
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?;
        let builder = match &authorities {
            Some(authorities) => builder.with_client_cert_verifier(authorities.verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(shown.clone());
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(InForce { config: Arc::new(config), authorities })
    }
}

impl Pair {
    fn objection(&self, now: i64) -> Option<String> {
        if now > self.not_after {
            let days = (now - self.not_after) / 86_400;
            Some(format!("the certificate expired {days} days ago, clients will refuse it; renew it"))
        } else if now < self.not_before {
            Some("the certificate is not yet valid, clients will refuse it; check this machine's clock".to_owned())
        } else {
            None
        }
    }
}

impl Set {
    fn load(settings: &TlsSettings, provider: &CryptoProvider) -> Result<Set, CertError> {
        let files = settings.certificates.iter();
        let pairs: Vec<Pair> = files.map(|(cert, key)| Pair::load(cert, key, provider)).collect::<Result<_, _>>()?;
        if pairs.is_empty() {
            return Err(CertError { file: PathBuf::new(), problem: Problem::NoPair });
        }
        let (mut exact, mut wildcard) = (HashMap::<String, Vec<usize>>::new(), HashMap::<String, Vec<usize>>::new());
        for (index, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default().push(index),
                    None => exact.entry(name.clone()).or_default().push(index),
                }
            }
        }
        Ok(Set { pairs, exact, wildcard })
    }

    /// Pairs for this name, best first: those with the very name, else those with a wildcard for its first label (RFC 9525 section 6.3).
    fn named(&self, name: &str) -> Option<&[usize]> {
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard).map(Vec::as_slice)
    }

    /// Of the pairs for this name (all, where there is none) the first that `can_sign`; where none can, the first, and rustls says why not.
    fn choose(&self, name: Option<&str>, can_sign: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let chosen = match name.and_then(|name| self.named(name)) {
            Some(named) => {
                let mut pairs = named.iter().filter_map(|&index| self.pairs.get(index));
                pairs.clone().find(|pair| can_sign(&pair.key)).or(pairs.next())
            }
            None => self.pairs.iter().find(|pair| can_sign(&pair.key)).or(self.pairs.first()),
        };
        chosen.map(|pair| pair.key.clone())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.0.load().choose(name.as_deref(), |key| key.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

#[cfg(test)]
impl Certificates {
    /// What the nth pair shows.
    pub(super) fn leaf(&self, n: usize) -> rustls::pki_types::CertificateDer<'static> {
        self.shown.0.load().pairs[n].key.cert[0].clone()
    }
}

#[cfg(test)]
mod tests;
