//! What the app is told of a certificate, and which files of authorities are refused.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, DnValue, IsCa, KeyPair, SanType};

use super::*;

/// The element of a certificate made from `params`, without its hash.
fn told(params: CertificateParams) -> String {
    let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let element = element(leaf.der()).into_string();
    let (hash, rest) = element.split_once(';').unwrap_or((&element, ""));
    assert_eq!(hash, format!("Hash={}", hex(&sha256(leaf.der()))));
    assert!(hash.len() == 5 + 64 && element.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{element}");
    rest.to_owned()
}

fn named(names: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params
}

fn ia5(text: &str) -> rcgen::string::Ia5String {
    text.try_into().unwrap()
}

#[test]
fn sha256_is_that_of_the_standard() {
    // FIPS 180-4, the example of one block.
    assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn names_are_told_in_the_order_that_envoy_documents() {
    let mut params =
        named(&[(DnType::CountryName, "US"), (DnType::OrganizationName, "Lyft"), (DnType::CommonName, "Test Client")]);
    params.subject_alt_names = vec![
        SanType::DnsName(ia5("lyft.com")),
        SanType::URI(ia5("http://testclient.lyft.com")),
        SanType::DnsName(ia5("www.lyft.com")),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::URI(ia5("spiffe://cluster.local/ns/a/sa/b")),
    ];
    assert_eq!(
        told(params),
        "Subject=\"CN=Test Client,O=Lyft,C=US\";URI=http://testclient.lyft.com;URI=spiffe://cluster.local/ns/a/sa/b;DNS=lyft.com;DNS=www.lyft.com"
    );
    assert_eq!(told(named(&[])), "Subject=\"\"");
}

#[test]
fn no_name_can_pass_for_more_than_one() {
    for (name, written) in [
        ("a\"b", "a\\22b"),
        ("a\\", "a\\5C"),
        ("a\";URI=spiffe://x", "a\\22\\;URI=spiffe://x"),
        ("a,CN=admin", "a\\,CN=admin"),
        ("a+b<c>d", "a\\+b\\<c\\>d"),
        ("a\r\nx-admin: yes", "a\\0D\\0Ax-admin: yes"),
        ("a\0b\x7f", "a\\00b\\7F"),
        (" a ", "\\ a\\ "),
        ("#a", "\\#a"),
        ("Zoë", "Zo\\C3\\AB"),
    ] {
        assert_eq!(told(named(&[(DnType::CommonName, name)])), format!("Subject=\"CN={written}\""), "{name:?}");
    }
    let mut params = named(&[]);
    params.subject_alt_names = vec![
        SanType::URI(ia5("spiffe://a/b,c;d=e")),
        SanType::URI(ia5("spiffe://a\";DNS=b")),
        SanType::URI(ia5("spiffe://a\r\nx: y")),
        SanType::URI(ia5("spiffe://a b")),
        SanType::DnsName(ia5("a.test,b.test")),
        SanType::DnsName(ia5("a.test\r\n")),
        SanType::DnsName(ia5("*.a.test")),
    ];
    assert_eq!(told(params), "Subject=\"\";URI=\"spiffe://a/b,c;d=e\";DNS=*.a.test");
}

#[test]
fn name_of_an_unknown_kind_is_told_by_number() {
    let odd = DnType::CustomDnType(vec![2, 5, 4, 97]);
    // 0c: a UTF8String.
    assert_eq!(told(named(&[(odd, "ab"), (DnType::CommonName, "c")])), "Subject=\"CN=c,2.5.4.97=#0c026162\"");
    let mut params = named(&[]);
    params.distinguished_name.push(DnType::CommonName, DnValue::BmpString("a".try_into().unwrap()));
    assert_eq!(told(params), "Subject=\"2.5.4.3=#1e020061\"");
}

#[test]
fn certificate_with_too_many_names_is_told_of_by_its_hash() {
    let with = |names: usize| {
        let mut params = named(&[]);
        params.subject_alt_names = (0..names).map(|n| SanType::DnsName(ia5(&format!("{n:095}")))).collect();
        told(params)
    };
    // `Hash=` and 64 digits, `;Subject=""`, then 100 bytes a name.
    assert!(with(60).ends_with("59"));
    assert_eq!(with(61), "");
}

fn authorities(file: &Path) -> Result<Option<Authorities>, CertError> {
    Authorities::load(&ClientAuth::Required(file.to_owned()), &Arc::new(aws_lc_rs::default_provider()))
}

fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn authorities_are_equal_where_the_file_names_the_same_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        authorities(&file).unwrap()
    };
    let (one, two) = (authority(), authority());
    assert!(read(&one) == read(&format!("# a comment\n{one}\n")));
    assert!(read(&one) != read(&two) && read(&one) != read(&format!("{one}{two}")));
    assert!(read(&one).is_some_and(|found| found.verifier.client_auth_mandatory()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let optional = Authorities::load(&ClientAuth::Optional(file), &provider).unwrap().unwrap();
    assert!(optional.verifier.offer_client_auth() && !optional.verifier.client_auth_mandatory());
    assert!(Authorities::load(&ClientAuth::Off, &provider).unwrap().is_none());
}

#[test]
fn file_of_authorities_that_cannot_be_used_is_named_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = KeyPair::generate().unwrap().serialize_pem();
    let cut = authority();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (file, expected) in [
        (dir.path().join("absent"), "no such file"),
        (dir.path().to_owned(), "is a directory"),
        (write("empty", b""), "holds no -----BEGIN CERTIFICATE-----"),
        (write("key", key.as_bytes()), "holds a private key and no certificate"),
        (write("cut", &cut.as_bytes()[..cut.len() / 2]), "is not valid PEM"),
        (write("der", &[0x30, 0]), "is binary"),
        (write("garbage", garbage.as_bytes()), "certificate 1 in it is not valid X.509"),
        (write("second", format!("{}{garbage}", authority()).as_bytes()), "certificate 2 in it is not valid X.509"),
    ] {
        let error = authorities(&file).unwrap_err().to_string();
        assert!(error.starts_with(&file.display().to_string()) && error.contains(expected), "{error}");
    }
}
