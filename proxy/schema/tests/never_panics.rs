//! Whatever a file holds, it is read or refused: nothing panics, and what is read survives every way it is written.

use proptest::prelude::*;
use slipstream_schema::{
    AdminAddress, ByteSize, Duration, Level, ListenAddress, Policy, StaticFile, UpstreamUrl, not_yet_in_force,
};

/// Reads `text`; what is read must be read again from each form it is written in, and be laid over the defaults.
fn read(text: &str) {
    let Ok(file) = StaticFile::parse(text, "f") else { return };
    let json = serde_json::to_string(&file).expect("what was read can be written");
    assert_eq!(StaticFile::parse(&json, "f").as_ref(), Ok(&file), "from {json}");
    let yaml = serde_yaml::to_string(&file).expect("what was read can be written");
    assert_eq!(StaticFile::parse(&yaml, "f").as_ref(), Ok(&file), "from {yaml}");
    let merged = StaticFile::merge([(Level::File, file)]);
    not_yet_in_force(&merged);
    let policy = merged.value.policy.unwrap_or_default();
    for route in policy.routes.iter().flat_map(|routes| routes.iter()) {
        policy.for_route(route);
    }
}

/// A value as a person, or a mistake, might write it.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,6}(h|m|s|ms|KiB|MiB|Ki|GiB)?",
        prop::sample::select(vec![
            "none",
            "off",
            "~",
            "true",
            "auto",
            "append",
            "identical",
            "http2",
            "keep",
            "/a",
            "GET",
            "x-a",
            "[]",
            "{}",
            "[a, b]",
            "-1",
            "1e9",
            "'1s'",
            "http://0.0.0.0:80",
            "https://[::]:1",
            "!tag x",
            "*a",
            "&a 1s",
            "'a\\0b'",
            ".nan",
            "0x1F",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

/// A mapping of fields that exist, with values that may fit.
fn likely_file() -> impl Strategy<Value = String> {
    let fields = [
        ("policy", "timeouts", "connect"),
        ("policy", "timeouts", "request"),
        ("policy", "concurrency", "limit"),
        ("policy", "concurrency", "queue"),
        ("policy", "coalescing", "ignoreHeaders"),
        ("policy", "coalescing", "mode"),
        ("policy", "limits", "headBytes"),
        ("policy", "limits", "requestBodyBytes"),
        ("policy", "upstream", "protocol"),
        ("policy", "nonsense", "x"),
        ("workers", "count", ""),
        ("telemetry", "serviceName", ""),
        ("drain", "grace", ""),
        ("admin", "", ""),
        ("listeners", "", ""),
    ];
    prop::collection::vec((prop::sample::select(fields.to_vec()), scalar()), 0..6).prop_map(|entries| {
        let mut text = String::new();
        for ((one, two, three), value) in entries {
            let inner = if three.is_empty() { value } else { format!("{{{three}: {value}}}") };
            let inner = if two.is_empty() { inner } else { format!("{{{two}: {inner}}}") };
            text.push_str(&format!("{one}: {inner}\n"));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_the_reader_panic(text in "[ \\n\\t:\\-\\[\\]{},&*!|>'\"%@`#?a-c0-9]{0,80}") {
        read(&text);
    }

    #[test]
    fn no_likely_file_makes_the_reader_panic(text in likely_file()) {
        read(&text);
    }

    #[test]
    fn no_route_makes_the_reader_panic(host in scalar(), path in scalar(), name in scalar(), value in scalar(), timeout in scalar()) {
        read(&format!(
            "policy:\n  routes:\n  - match: {{host: {host}, path: {path}, header: {{name: {name}, value: {value}}}}}\n    timeouts: {{request: {timeout}}}\n"
        ));
    }

    #[test]
    fn one_changed_character_makes_no_panic(at in 0usize..400, with in any::<char>()) {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        let at = at % text.len();
        text[at] = with;
        read(&text.into_iter().collect::<String>());
    }

    #[test]
    fn values_of_one_text_are_read_back_as_they_are_shown(text in "\\PC{0,40}", ms in 0u64..=359_996_400_000, bytes in 0u64..=1 << 50) {
        if let Ok(address) = text.parse::<ListenAddress>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
        if let Ok(url) = text.parse::<UpstreamUrl>() {
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }
        if let Ok(admin) = text.parse::<AdminAddress>() {
            prop_assert_eq!(admin.to_string().parse(), Ok(admin));
        }
        let duration: Duration = Duration::new(ms).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        let size: ByteSize = ByteSize::new(bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn merging_keeps_every_leaf_of_the_last_layer(one in likely_file(), other in likely_file()) {
        let read = |text: &str| StaticFile::parse(text, "f").ok().and_then(|file| file.policy).unwrap_or_default();
        let (one, other) = (read(&one), read(&other));
        let last = Policy::merge([(Level::Selected, other.clone())]);
        let both = Policy::merge([(Level::Chart, one), (Level::Selected, other)]);
        for field in last.fields().into_iter().filter(|field| field.level == Level::Selected) {
            prop_assert!(both.fields().contains(&field), "{field:?}");
        }
    }
}

const SAMPLE: &str = "\
listeners:
- address: https://0.0.0.0:8443
  upstream: http://127.0.0.1:3000
  tls: {mode: required, certificates: [{cert: C, key: K}]}
policy:
  timeouts: {connect: 1s, request: none}
  limits: {headBytes: 64KiB, headFields: 128}
  routes:
  - match: {pathPrefix: /reports}
    timeouts: {request: 60s}
";
