//! Certificates of clients: which are good, and what the app is told of one.
//!
//! In: the file of authorities, the certificate that a client has shown. Out: the verifier that rustls asks, and an element of
//! `X-Forwarded-Client-Cert` in the format that Envoy documents. Must not know: sockets, HTTP. There are no revocation lists.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, RootCertStore, SupportedCipherSuite};
use x509_parser::asn1_rs::ToDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

use super::pair::{CertError, Problem, parse_chain, read};
use crate::config::ClientAuth;

/// A certificate with more names than fit is told of by its hash alone: apps bound a field line, many at 8 KiB.
const ELEMENT_BYTES_MAX: usize = 6 * 1024;

/// Who may show a certificate: equal where the same authorities are asked in the same way.
#[derive(Debug)]
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Authorities) -> bool {
        self.certificates == other.certificates
    }
}

impl Authorities {
    /// `None`: clients are not asked.
    pub(super) fn load(asked: &ClientAuth, provider: &Arc<CryptoProvider>) -> Result<Option<Authorities>, CertError> {
        let (file, may_have_none) = match asked {
            ClientAuth::Off => return Ok(None),
            ClientAuth::Optional(file) => (file, true),
            ClientAuth::Required(file) => (file, false),
        };
        Authorities::of(file, may_have_none, provider).map(Some).map_err(|problem| problem.of(file))
    }

    fn of(file: &Path, may_have_none: bool, provider: &Arc<CryptoProvider>) -> Result<Authorities, Problem> {
        let certificates = parse_chain(&read(file)?)?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|_| Problem::BrokenCertificate { place: index + 1 })?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = if may_have_none { verifier.allow_unauthenticated() } else { verifier };
        let verifier = verifier.build().map_err(|error| Problem::Tls(rustls::Error::General(error.to_string())))?;
        Ok(Authorities { certificates, verifier })
    }
}

/// What a handshake came to.
#[derive(Debug)]
pub(crate) struct Established {
    /// By the ticket of an earlier one.
    pub resumed: bool,
    /// Of a client that has shown a good certificate, now or in the handshake that is resumed.
    pub client: Option<Box<str>>,
}

impl Established {
    pub(super) fn of(connection: &rustls::CommonState) -> Established {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        Established { resumed: is_resumed(connection), client: leaf.map(element) }
    }
}

/// Known once the hello of the client was read.
pub(super) fn is_resumed(connection: &rustls::CommonState) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Whether the client's certificate has ended.
///
/// A ticket holds the certificate of its client, which was judged when it was shown, and rustls does not judge it again. New tickets come
/// with each resumption, so without this look a session could outlive its certificate for ever.
pub(super) fn has_ended(connection: &rustls::CommonState) -> bool {
    let now = UnixTime::now().as_secs().cast_signed();
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    leaf.is_some_and(|leaf| {
        X509Certificate::from_der(leaf).map_or(true, |(_, leaf)| now > leaf.validity().not_after.timestamp())
    })
}

/// `Hash=<SHA-256>;Subject="<RFC 4514>";URI=<each>;DNS=<each>`, all in printable ASCII.
///
/// A name that is no URI or no host name is left out, so that no name can end the line or pass for more than one.
fn element(leaf: &CertificateDer<'_>) -> Box<str> {
    let hash = format!("Hash={}", hex(&sha256(leaf)));
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return hash.into() };
    let mut element = format!("{hash};Subject=\"{}\"", subject(parsed.subject()));
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let put = |element: &mut String, key: &str, value: &str| {
        let quote = if value.contains([',', ';', '=']) { "\"" } else { "" };
        element.extend([";", key, "=", quote, value, quote]);
    };
    for name in names.clone() {
        match name {
            GeneralName::URI(uri) if !uri.is_empty() && uri.bytes().all(is_of_uri) => put(&mut element, "URI", uri),
            _ => {}
        }
    }
    for name in names {
        match name {
            GeneralName::DNSName(dns) if !dns.is_empty() && dns.bytes().all(is_of_host) => {
                put(&mut element, "DNS", dns);
            }
            _ => {}
        }
    }
    if element.len() > ELEMENT_BYTES_MAX { hash.into() } else { element.into() }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    match aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider.hash(bytes).as_ref().to_vec(),
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider.hash(bytes).as_ref().to_vec(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _never_fails = write!(hex, "{byte:02x}");
        hex
    })
}

/// RFC 3986 section 2, and the percent sign.
fn is_of_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte)
}

/// As RFC 4514 section 2 writes it: the last name first.
fn subject(name: &X509Name<'_>) -> String {
    let mut names: Vec<String> = name.iter_rdn().map(relative_name).collect();
    names.reverse();
    names.join(",")
}

fn relative_name(name: &RelativeDistinguishedName<'_>) -> String {
    name.iter().map(attribute).collect::<Vec<_>>().join("+")
}

/// Its value as text where both its type and its text are known, else by number and DER (RFC 4514 sections 2.3 and 2.4).
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    match (short_name(&number), attribute.as_str()) {
        (Some(name), Ok(value)) => format!("{name}={}", escaped(value)),
        _ => format!("{number}=#{}", hex(&attribute.attr_value().to_der_vec().unwrap_or_default())),
    }
}

/// Those of RFC 4514 section 3 and what OpenSSL calls the others that are in use.
fn short_name(number: &str) -> Option<&'static str> {
    Some(match number {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 4514 section 2.4. Quotes and backslashes go as hexadecimal, which it allows, so that a reader who looks for the closing quote alone
/// finds it; so does what is not printable ASCII.
fn escaped(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    value.bytes().enumerate().fold(String::new(), |mut text, (at, byte)| {
        let _never_fails = match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => write!(text, "\\{byte:02X}"),
            b',' | b'+' | b';' | b'<' | b'>' => write!(text, "\\{}", char::from(byte)),
            b' ' if at == 0 || at == last => write!(text, "\\ "),
            b'#' if at == 0 => write!(text, "\\#"),
            _ => write!(text, "{}", char::from(byte)),
        };
        text
    })
}

#[cfg(test)]
mod tests;
