//! Flags over file: who wins, and whose name an error carries.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use slipstream_schema::{CoalescingMode, Level, StaticFile};

use super::*;

/// A file of `text`; it is there while the handle lives.
fn file(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn flags(file: Option<&tempfile::NamedTempFile>) -> Flags {
    Flags { config: file.map(|file| file.path().to_owned()), ..Flags::default() }
}

fn said(loaded: &Loaded, path: &str) -> (String, Level) {
    let fields = loaded.fields();
    let field = fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("no {path} in {fields:#?}"));
    (field.value.as_str().map_or_else(|| field.value.to_string(), str::to_owned), field.level)
}

const TWO: &str = "\
listeners:
- address: https://127.0.0.1:8443
  upstream: http://127.0.0.1:3000
  tls: {certificates: [{cert: C, key: K}]}
- address: http://[::1]:8080
  upstream: http://127.0.0.1:3001
workers: {count: 2, pin: true}
ioDriver: epoll
admin: 127.0.0.1:7000
";

#[test]
fn a_flag_wins_over_the_file_field_by_field() {
    let two = file(TWO);
    let given = Flags {
        workers: Some("4".parse().unwrap()),
        admin: Some("off".parse().unwrap()),
        upstream: Some("http://127.0.0.1:9".parse().unwrap()),
        ..flags(Some(&two))
    };
    let loaded = load(&given).unwrap();
    assert_eq!(said(&loaded, "workers.count"), ("4".into(), Level::Flag));
    assert_eq!(said(&loaded, "workers.pin"), ("true".into(), Level::File));
    assert_eq!(said(&loaded, "ioDriver"), ("epoll".into(), Level::File));
    assert_eq!(said(&loaded, "admin"), ("off".into(), Level::Flag));
    for index in [0, 1] {
        assert_eq!(said(&loaded, &format!("listeners[{index}].upstream")), ("http://127.0.0.1:9".into(), Level::Flag));
        assert_eq!(said(&loaded, &format!("listeners[{index}].address")).1, Level::File);
    }
    assert_eq!(said(&loaded, "listeners[0].tls.mode"), ("required".into(), Level::BuiltIn));
    assert_eq!(said(&loaded, "listeners[0].tls.certificates[0].cert"), ("C".into(), Level::File));
}

#[test]
fn the_mode_of_coalescing_is_taken_from_the_flag_and_the_rest_from_the_file() {
    let given = file(
        "policy:\n  coalescing: {mode: cacheable, ignoreHeaders: [X-A], joinWindow: 1s}\n  routes:\n  \
         - match: {path: /a}\n    coalescing: {mode: identical}\n",
    );
    let of_file = load(&flags(Some(&given))).unwrap();
    assert_eq!(said(&of_file, "policy.coalescing.mode"), ("cacheable".into(), Level::File));
    let loaded = load(&Flags { coalesce: Some(CoalescingMode::Off), ..flags(Some(&given)) }).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let dump = loaded.dump();
    for (field, value, origin) in [
        ("mode", "off", "flag"),
        ("credentials", "off", "builtin"),
        ("ignoreHeaders[0]", "x-a", "file"),
        ("joinWindow", "1s", "file"),
        ("maxWait", "none", "builtin"),
        ("readAfterWrite", "upstream", "builtin"),
        ("statusHeader", "followers", "builtin"),
        ("compareClientAddress", "false", "builtin"),
    ] {
        let path = format!("policy.coalescing.{field}");
        assert_eq!((said(&loaded, &path).0.as_str(), dump["origins"][&path].as_str()), (value, Some(origin)), "{path}");
    }
    assert_eq!(said(&loaded, "policy.routes[0].coalescing.mode"), ("identical".into(), Level::File));
    assert!(
        dump["effective"]["policy"]["coalescing"].get("onError").is_none(),
        "it depends on the mode, nobody said it"
    );
}

#[test]
fn a_listen_flag_takes_the_place_of_the_files_list_and_the_rest_from_it() {
    let two = file(TWO);
    let listen = vec!["https://127.0.0.1:9443".parse().unwrap(), "http://[::1]:8080".parse().unwrap()];
    let loaded = load(&Flags { listen, ..flags(Some(&two)) }).unwrap();
    assert_eq!(said(&loaded, "listeners[0].address"), ("https://127.0.0.1:9443".into(), Level::Flag));
    assert_eq!(said(&loaded, "listeners[0].upstream"), ("http://127.0.0.1:3000".into(), Level::File));
    assert_eq!(said(&loaded, "listeners[0].tls.certificates[0].key"), ("K".into(), Level::File));
    assert_eq!(said(&loaded, "listeners[1].address"), ("http://[::1]:8080".into(), Level::Flag));
    assert_eq!(said(&loaded, "listeners[1].upstream"), ("http://127.0.0.1:3001".into(), Level::File));

    let given = Flags {
        listen: vec!["https://127.0.0.1:9443".parse().unwrap()],
        tls_cert: vec!["A".parse().unwrap(), "B".parse().unwrap()],
        tls_key: vec!["a".parse().unwrap(), "b".parse().unwrap()],
        ..flags(Some(&two))
    };
    let loaded = load(&given).unwrap();
    assert_eq!(said(&loaded, "listeners[0].tls.certificates[1].cert"), ("B".into(), Level::Flag));
    assert_eq!(said(&loaded, "listeners[0].tls.certificates[1].key"), ("b".into(), Level::Flag));
}

#[test]
fn clients_are_asked_for_a_certificate_where_there_are_authorities_to_judge_it_by() {
    let with = |tls: &str| {
        file(format!(
            "listeners:\n- address: https://127.0.0.1:1\n  upstream: http://127.0.0.1:2\n  tls: {{certificates: [{{cert: C, key: K}}]{tls}}}\n"
        ))
    };
    let asked = |tls: &str, more: Flags| {
        let given = with(tls);
        said(
            &load(&Flags { config: flags(Some(&given)).config, ..more }).unwrap(),
            "listeners[0].tls.clientCertificates",
        )
    };
    let flag = || Flags { tls_client_ca: Some("A".parse().unwrap()), ..Flags::default() };
    assert_eq!(asked("", Flags::default()), ("off".into(), Level::BuiltIn));
    assert_eq!(asked(", clientCa: A", Flags::default()), ("required".into(), Level::BuiltIn));
    assert_eq!(asked(", clientCa: A, clientCertificates: false", Flags::default()), ("off".into(), Level::File));
    assert_eq!(asked("", flag()), ("required".into(), Level::BuiltIn));
    assert_eq!(asked(", clientCertificates: optional", flag()), ("optional".into(), Level::File));
    let both = Flags { tls_client_certificates: Some(ClientCertificates::Required), ..flag() };
    assert_eq!(asked(", clientCertificates: optional", both), ("required".into(), Level::Flag));

    let given = with(", mode: permissive, clientCa: B");
    let loaded = load(&Flags { config: flags(Some(&given)).config, ..flag() }).unwrap();
    assert_eq!(said(&loaded, "listeners[0].tls.clientCa"), ("A".into(), Level::Flag));
    assert_eq!(said(&loaded, "listeners[0].tls.mode"), ("permissive".into(), Level::File));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "all of it is in force");
}

#[test]
fn what_is_dumped_is_a_configuration_file_that_says_the_same() {
    let two = file(TWO);
    let loaded = load(&Flags { workers: Some("3".parse().unwrap()), ..flags(Some(&two)) }).unwrap();
    let again = file(loaded.dump()["effective"].to_string());
    let again = load(&flags(Some(&again))).unwrap();
    assert_eq!(again.dump()["effective"], loaded.dump()["effective"]);
    let origins = loaded.dump()["origins"].clone();
    assert_eq!(origins["workers.count"], "flag");
    let leaves: Vec<_> = loaded.fields().into_iter().map(|field| field.path).collect();
    assert_eq!(
        leaves,
        origins.as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
        "each leaf has an origin, and nothing else"
    );
}

#[test]
fn what_has_no_effect_yet_is_told_with_its_path() {
    let given = file("policy: {upstream: {protocol: http2}, timeouts: {connect: 2s}}");
    let loaded = load(&flags(Some(&given))).unwrap();
    assert_eq!(loaded.warnings, ["policy.upstream.protocol: accepted, not yet in force in this version"]);
    assert_eq!(loaded.dump()["notYetInForce"][0], loaded.warnings[0]);
}

#[test]
fn flags_that_do_not_go_together_are_refused_by_name() {
    let https = |extra: Flags| Flags {
        listen: vec!["https://127.0.0.1:1".parse().unwrap()],
        upstream: Some("http://127.0.0.1:2".parse().unwrap()),
        ..extra
    };
    let http = |extra: Flags| Flags { listen: vec!["http://127.0.0.1:1".parse().unwrap()], ..https(extra) };
    let cert = || vec!["C".parse().unwrap()];
    for (given, expected) in [
        (
            https(Flags::default()),
            "flag `--tls-cert`: missing for `https://127.0.0.1:1`: give a certificate with `--tls-cert FILE --tls-key FILE`",
        ),
        (
            https(Flags { tls_cert: cert(), ..Flags::default() }),
            "flag `--tls-key`: found 1 --tls-cert and 0 --tls-key, allowed: one key for each",
        ),
        (
            https(Flags { tls_key: cert(), ..Flags::default() }),
            "flag `--tls-cert`: found 0 --tls-cert and 1 --tls-key, allowed: one key for each",
        ),
        (
            http(Flags { tls_cert: cert(), tls_key: cert(), ..Flags::default() }),
            "flag `--tls-cert`: no listener speaks TLS",
        ),
        (
            http(Flags { tls_mode: Some(slipstream_schema::TlsMode::Permissive), ..Flags::default() }),
            "flag `--tls-mode`: no listener speaks TLS",
        ),
        (
            http(Flags { tls_client_ca: Some("A".parse().unwrap()), ..Flags::default() }),
            "flag `--tls-client-ca`: no listener speaks TLS",
        ),
        (
            https(Flags {
                tls_cert: cert(),
                tls_key: cert(),
                tls_client_certificates: Some(ClientCertificates::Optional),
                ..Flags::default()
            }),
            "flag `--tls-client-certificates`: found `optional` for `https://127.0.0.1:1` without authorities to judge certificates by: \
             give them with `--tls-client-ca FILE`",
        ),
        (Flags { upstream: None, ..http(Flags::default()) }, "flag `--upstream`: missing for `http://127.0.0.1:1`"),
        (
            Flags { listen: vec!["http://127.0.0.1:1".parse().unwrap(); 2], ..http(Flags::default()) },
            "flag `--listen`: found `127.0.0.1:1` a second time",
        ),
        (
            Flags { admin: Some("127.0.0.1:1".parse().unwrap()), ..http(Flags::default()) },
            "flag `--listen`: found `127.0.0.1:1`, which is the admin port",
        ),
    ] {
        let error = load(&given).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\nshould start with\n{expected}");
    }
}

#[test]
fn listeners_and_certificates_are_taken_up_to_their_limit() {
    let with = |listeners: usize, certificates: usize| Flags {
        listen: vec!["https://127.0.0.1:0".parse().unwrap(); listeners],
        upstream: Some("http://127.0.0.1:2".parse().unwrap()),
        tls_cert: vec!["C".parse().unwrap(); certificates],
        tls_key: vec!["K".parse().unwrap(); certificates],
        ..Flags::default()
    };
    for (count, ok) in [(63, true), (64, true), (65, false)] {
        let (listeners, certificates) = (load(&with(count, 1)), load(&with(1, count)));
        assert_eq!((listeners.is_ok(), certificates.is_ok()), (ok, ok), "{count}");
        if !ok {
            assert_eq!(listeners.unwrap_err().to_string(), "flag `--listen`: found 65 listeners, allowed: at most 64");
            assert_eq!(
                certificates.unwrap_err().to_string(),
                "flag `--tls-cert`: found 65 certificates, allowed: at most 64"
            );
        }
    }
}

#[test]
fn an_error_of_the_file_names_its_line() {
    for (text, expected) in [
        (
            "listeners:\n- address: http://127.0.0.1:1\n",
            ":2:3: field `listeners[0].upstream`: missing for `http://127.0.0.1:1`",
        ),
        (
            "listeners:\n- address: https://127.0.0.1:1\n  upstream: http://127.0.0.1:2\n",
            ":2:3: field `listeners[0].tls.certificates`: missing for `https://127.0.0.1:1`",
        ),
        (
            "listeners:\n- address: https://127.0.0.1:1\n  upstream: http://127.0.0.1:2\n  tls: {mode: required}\n",
            ":4:3: field `listeners[0].tls.certificates`: missing for `https://127.0.0.1:1`",
        ),
        (
            "listeners:\n- address: https://127.0.0.1:1\n  upstream: http://127.0.0.1:2\n  tls:\n    certificates: [{cert: C, key: K}]\n    \
             clientCertificates: required\n",
            ":6:5: field `listeners[0].tls.clientCertificates`: found `required` for `https://127.0.0.1:1` without authorities",
        ),
        (
            "policy:\n  timeouts:\n    connect: never\n",
            ":3:14: field `policy.timeouts.connect`: found `never`, allowed: a duration of ",
        ),
        (
            "listeners:\n- address: http://127.0.0.1:7590\n",
            ":2:3: field `listeners[0].address`: found `127.0.0.1:7590`, which is the admin port",
        ),
    ] {
        let given = file(text);
        let error = load(&flags(Some(&given))).unwrap_err().to_string();
        let expected = format!("{}{expected}", given.path().display());
        assert!(error.starts_with(&expected), "{error}\nshould start with\n{expected}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.yaml");
    for (path, expected) in
        [(missing.as_path(), "no such file"), (folder.path(), "is a directory, expected a YAML file")]
    {
        let error = load(&Flags { config: Some(path.to_owned()), ..Flags::default() }).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {expected}", path.display()));
    }
    let long = "#".repeat(StaticFile::BYTES_MAX + 1);
    for (bytes, expected) in [
        (b"admin: off\n# caf\xe9\n".as_slice(), ":2:6: found byte 0xe9, which is no UTF-8; allowed: text in UTF-8"),
        (b"", ": the file holds no settings, expected at least `listeners` or `policy`"),
        (long.as_bytes(), ": found more than 1048576 bytes, allowed: at most 1048576"),
    ] {
        let given = file(bytes);
        let error = load(&flags(Some(&given))).unwrap_err().to_string();
        assert_eq!(error, format!("{}{expected}", given.path().display()));
    }
    let endless = load(&Flags { config: Some("/dev/zero".into()), ..Flags::default() }).unwrap_err().to_string();
    assert_eq!(endless, "/dev/zero: found more than 1048576 bytes, allowed: at most 1048576");
}
