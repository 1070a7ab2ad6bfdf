//! The static file as users write it: what is read, what is refused, and in which words.

use slipstream_schema::{
    AdminAddress, CoalescingMode, ConfigError, Duration, Forwarded, IoDriver, OnError, OrNone, Policy, StaticFile,
};

const WHOLE: &str = r#"
listeners:
- address: "https://0.0.0.0:8443"
  upstream: "http://127.0.0.1:3000"
  tls: {mode: required, certificates: [{cert: C, key: K}], clientCa: A, clientCertificates: optional}
- address: "http://[::]:8080"
  upstream: "http://app:3000"
workers: {count: 4, pin: false}
ioDriver: io_uring-sqpoll
admin: off
drain: {delay: 5s, grace: 20s}
policy:
  timeouts:
    connect: 1s
    tlsHandshake: 5s
    requestHeaders: 10s
    requestBodyIdle: 30s
    responseHeaders: 10s
    request: none
    streamIdle: 5m
    connectionIdle: 1h
    upstreamIdle: 1m
    maxConnectionAge: off
  concurrency: {limit: 128, queue: {depth: 256, timeout: 200ms}, mode: enforce, longLived: release}
  coalescing:
    mode: identical
    credentials: identical
    ignoreHeaders: [x-request-start, X-Forwarded-For]
    joinWindow: 500ms
    maxWait: none
    readAfterWrite: path
    onError: share
    statusHeader: all
    compareClientAddress: true
  limits: {headBytes: 64KiB, headFields: 128, requestBodyBytes: 10MiB, connections: 10000}
  forwarded: append
  upstream: {protocol: auto, tls: off}
  halfClose: keep
  telemetry: {traceSampleRatio: 0.25, accessLog: on}
  routes:
  - match: {method: GET, host: Shop.example, pathPrefix: /reports, header: {name: X-Tenant, value: a}}
    timeouts: {request: 60s, responseHeaders: none, connect: 2s, requestBodyIdle: 1m, streamIdle: 1h}
    coalescing: {mode: off}
    limits: {requestBodyBytes: none}
    forwarded: off
    telemetry: {traceSampleRatio: 1, accessLog: off}
  - match: {path: /upload}
telemetry: {serviceName: shop}
"#;

fn parse(text: &str) -> StaticFile {
    StaticFile::parse(text, "proxy.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refusal(text: &str) -> ConfigError {
    match StaticFile::parse(text, "proxy.yaml") {
        Ok(_) => panic!("must be refused:\n{text}"),
        Err(error) => error,
    }
}

#[test]
fn every_field_is_read_and_survives_a_round_trip() {
    let file = parse(WHOLE);
    assert_eq!(file.admin, Some(AdminAddress::Off));
    assert_eq!(file.io_driver, Some(IoDriver::IoUringSqpoll));
    let policy = file.policy.clone().unwrap_or_default();
    let timeouts = policy.timeouts.clone().unwrap_or_default();
    assert_eq!(timeouts.connect.map(Duration::as_ms), Some(1_000));
    assert_eq!(timeouts.request, Some(OrNone::None));
    assert_eq!(timeouts.max_connection_age, Some(OrNone::None));
    let routes = policy.routes.clone().unwrap_or_default();
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[0].coalescing.as_ref().and_then(|coalescing| coalescing.mode), Some(CoalescingMode::Off));
    assert_eq!(routes[0].matcher.host.as_ref().map(|host| host.as_str()), Some("shop.example"));

    let json = serde_json::to_string(&file).expect("it can be written");
    assert_eq!(parse(&json), file, "JSON is YAML: what is dumped can be read back");
    assert_eq!(serde_json::from_str::<StaticFile>(&json).expect("it can be read"), file);
    let yaml = serde_yaml::to_string(&file).expect("it can be written");
    assert_eq!(parse(&yaml), file);
}

#[test]
fn every_field_of_the_vocabulary_is_in_the_test_above() {
    let text = serde_json::to_string(&parse(WHOLE)).expect("it can be written");
    for name in field_names() {
        assert!(text.contains(&format!("\"{name}\"")), "`{name}` is missing in WHOLE");
    }
}

/// Every property of the schema, wherever it stands.
fn field_names() -> std::collections::BTreeSet<String> {
    fn walk(node: &serde_json::Value, names: &mut std::collections::BTreeSet<String>) {
        if let Some(properties) = node.get("properties").and_then(|p| p.as_object()) {
            names.extend(properties.keys().cloned());
        }
        match node {
            serde_json::Value::Object(fields) => fields.values().for_each(|value| walk(value, names)),
            serde_json::Value::Array(entries) => entries.iter().for_each(|value| walk(value, names)),
            _ => {}
        }
    }
    let mut names = std::collections::BTreeSet::new();
    walk(schemars::schema_for!(StaticFile).as_value(), &mut names);
    names
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    parse("policy: {}\nlisteners: []\n");
    parse("policy:\ntelemetry:\nworkers:\n");
    let json = r#"{"policy": {"timeouts": {"connect": "1s"}}}"#;
    assert_eq!(parse(json), parse("policy: {timeouts: {connect: 1s}}"));
    // What kubectl and Helm make of an unquoted `off`.
    let off =
        parse("{admin: false, policy: {forwarded: false, timeouts: {request: false}, coalescing: {mode: false}}}");
    assert_eq!(off.policy.unwrap_or_default().forwarded, Some(Forwarded::Off));
}

#[test]
fn a_bad_value_is_refused_with_file_line_column_field_and_what_is_allowed() {
    for (text, expected) in [
        (
            "policy:\n  timeouts:\n    connect: 5 parsecs\n",
            "proxy.yaml:3:14: field `policy.timeouts.connect`: found `5 parsecs`, allowed: a duration of 1ms to 10m, such as 500ms or 1m30s",
        ),
        (
            "policy: {timeouts: {request: 5}}",
            "proxy.yaml:1:30: field `policy.timeouts.request`: found `5`, allowed: a duration of 1ms to 24h, such as 500ms or 1m30s, or none",
        ),
        (
            "policy:\n  timeouts:\n    connect: [1s]\n",
            "proxy.yaml:3:14: field `policy.timeouts.connect`: found a list, allowed: a duration of 1ms to 10m, such as 500ms or 1m30s",
        ),
        (
            "policy:\n  limits:\n    headBytes: 2MiB\n",
            "proxy.yaml:3:16: field `policy.limits.headBytes`: found `2MiB`, allowed: a size of 1KiB to 1MiB, in bytes or with KiB, MiB, GiB or TiB, such as 64KiB",
        ),
        (
            "policy:\n  limits:\n    headFields: -1\n",
            "proxy.yaml:3:17: field `policy.limits.headFields`: found `-1`, allowed: a whole number of 1 to 256",
        ),
        (
            "policy:\n  limits:\n    headFields: 1.5\n",
            "proxy.yaml:3:17: field `policy.limits.headFields`: found `1.5`, allowed: a whole number of 1 to 256",
        ),
        (
            "policy:\n  forwarded: always\n",
            "proxy.yaml:2:14: field `policy.forwarded`: found `always`, allowed: append, replace or off",
        ),
        (
            "policy:\n  timeouts: 5s\n",
            "proxy.yaml:2:13: field `policy.timeouts`: found string \"5s\", allowed: a mapping of fields",
        ),
        (
            "workers:\n  count: 0\n",
            "proxy.yaml:2:10: field `workers.count`: found `0`, allowed: auto, or a whole number of 1 to 1024",
        ),
        (
            "workers:\n  pin: sometimes\n",
            "proxy.yaml:2:8: field `workers.pin`: found string \"sometimes\", allowed: true or false",
        ),
        (
            "ioDriver: kqueue\n",
            "proxy.yaml:1:11: field `ioDriver`: found `kqueue`, allowed: auto, epoll, io_uring or io_uring-sqpoll",
        ),
        (
            "admin: 7590\n",
            "proxy.yaml:1:8: field `admin`: found `7590`, allowed: ADDRESS:PORT, such as 127.0.0.1:7590 or [::]:7590, or off",
        ),
        (
            "listeners:\n- address: tcp://0.0.0.0:80\n",
            "proxy.yaml:2:12: field `listeners[0].address`: found `tcp://0.0.0.0:80`, allowed: http://ADDRESS:PORT or https://ADDRESS:PORT, \
             where ADDRESS is an IP address of this machine, such as 0.0.0.0, [::] or 127.0.0.1",
        ),
        (
            "listeners:\n- address: http://0.0.0.0:80\n  upstream: https://app:1\n",
            "proxy.yaml:3:13: field `listeners[0].upstream`: found `https://app:1`, allowed: http://HOST:PORT, such as http://127.0.0.1:3000 \
             (no path; the app is reached in the clear)",
        ),
        ("policy: [a]\n", "proxy.yaml:1:9: field `policy`: found a list, allowed: a mapping of fields"),
        ("- a\n", "proxy.yaml:1:1: found a list, allowed: a mapping of fields"),
    ] {
        assert_eq!(refusal(text).to_string(), expected, "{text}");
    }
}

#[test]
fn a_bad_word_of_coalescing_is_refused_with_the_words_that_are_allowed() {
    for (field, value, found, allowed) in [
        ("mode", "shared", "`shared`", "identical, cacheable, observe or off"),
        ("mode", "Identical", "`Identical`", "identical, cacheable, observe or off"),
        ("mode", "true", "`true`", "identical, cacheable, observe or off"),
        ("credentials", "cookie", "`cookie`", "identical or off"),
        ("readAfterWrite", "uri", "`uri`", "upstream, path or off"),
        ("onError", "off", "`off`", "share or release"),
        ("statusHeader", "leader", "`leader`", "off, followers or all"),
        ("compareClientAddress", "sometimes", "string \"sometimes\"", "true or false"),
        ("joinWindow", "none", "`none`", "a duration of 1ms to 1m, such as 500ms or 1m30s"),
        ("maxWait", "0s", "`0s`", "a duration of 1ms to 1h, such as 500ms or 1m30s, or none"),
        ("ignoreHeaders", "x-a", "string \"x-a\"", "a list of at most 64 entries"),
    ] {
        let column = 7 + field.len();
        let error = refusal(&format!("policy:\n  coalescing:\n    {field}: {value}\n")).to_string();
        let expected = format!("found {found}, allowed: {allowed}");
        assert_eq!(error, format!("proxy.yaml:3:{column}: field `policy.coalescing.{field}`: {expected}"));
        let route = format!("policy:\n  routes:\n  - match: {{path: /}}\n    coalescing:\n      {field}: {value}\n");
        let error = refusal(&route).to_string();
        let column = column + 2;
        assert_eq!(error, format!("proxy.yaml:5:{column}: field `policy.routes[0].coalescing.{field}`: {expected}"));
    }
}

#[test]
fn a_value_of_a_route_is_named_by_its_place() {
    let text = "policy:\n  routes:\n  - match: {path: /}\n  - match: {method: get}\n";
    let error = refusal(text);
    assert_eq!((error.at, error.field.as_deref()), (Some((4, 21)), Some("policy.routes[1].match.method")));
    let error = refusal("policy:\n  coalescing:\n    ignoreHeaders:\n    - Authorization\n");
    assert_eq!((error.at, error.field.as_deref()), (Some((4, 7)), Some("policy.coalescing.ignoreHeaders[0]")));
}

#[test]
fn an_unknown_field_is_refused_with_its_line_and_the_nearest_name() {
    for (text, expected) in [
        (
            "admin: off\npolicy:\n  timeouts:\n    conect: 1s\n",
            "proxy.yaml:4:5: field `policy.timeouts.conect`: unknown; did you mean `connect`? (allowed here: connect, connectionIdle, ",
        ),
        (
            "listeners:\n- adress: http://0.0.0.0:80\n",
            "proxy.yaml:2:3: field `listeners[0].adress`: unknown; did you mean `address`? (allowed here: address, tls, upstream)",
        ),
        (
            "polizy: {}\n",
            "proxy.yaml:1:1: field `polizy`: unknown; did you mean `policy`? (allowed here: admin, drain, ioDriver, listeners, policy, telemetry, workers)",
        ),
        ("workers:\n  threads: 5\n", "proxy.yaml:2:3: field `workers.threads`: unknown (allowed here: count, pin)"),
        (
            "policy:\n  routes:\n  - match: {path: /}\n    timeouts:\n      tlsHandshake: 1s\n",
            "proxy.yaml:5:7: field `policy.routes[0].timeouts.tlsHandshake`: unknown; it cannot differ by route, set it in `policy.timeouts`",
        ),
        ("a.b: 1\n", "proxy.yaml:1:1: field `a.b`: unknown (allowed here: "),
        ("<<: {admin: off}\n", "proxy.yaml:1:1: field `<<`: unknown"),
        (
            "policy: {timeouts: {connect: nonsense}, foo: 1}\n",
            "proxy.yaml:1:30: field `policy.timeouts.connect`: found `nonsense`",
        ),
        ("policy: {foo: 1, timeouts: {connect: nonsense}}\n", "proxy.yaml:1:10: field `policy.foo`: unknown"),
    ] {
        let error = refusal(text).to_string();
        assert!(error.starts_with(expected), "{error}\nshould start with\n{expected}");
    }
}

#[test]
fn a_missing_or_repeated_field_is_named() {
    for (text, expected) in [
        ("listeners:\n- upstream: http://app:1\n", "proxy.yaml:2:3: field `listeners[0].address`: missing"),
        (
            "listeners:\n- address: https://0.0.0.0:1\n  tls: {certificates: [{cert: c}]}\n",
            "proxy.yaml:3:24: field `listeners[0].tls.certificates[0].key`: missing",
        ),
        ("policy:\n  routes:\n  - forwarded: off\n", "proxy.yaml:3:5: field `policy.routes[0].match`: missing"),
        ("admin: off\nworkers: {}\nadmin: off\n", "proxy.yaml:3:1: field `admin`: found a second time, allowed: once"),
        (
            "policy:\n  timeouts:\n    connect: 1s\n    connect: 2s\n",
            "proxy.yaml:4:5: field `policy.timeouts.connect`: found a second time, allowed: once",
        ),
    ] {
        assert_eq!(refusal(text).to_string(), expected, "{text}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused_at_the_line_of_the_second() {
    for (text, expected) in [
        (
            "listeners:\n- address: http://0.0.0.0:80\n- address: https://0.0.0.0:80\n",
            "proxy.yaml:3:3: field `listeners[1].address`: found `0.0.0.0:80` a second time (first in `listeners[0]`), allowed: once",
        ),
        (
            "listeners:\n- address: http://0.0.0.0:80\n  tls: {mode: required}\n",
            "proxy.yaml:3:3: field `listeners[0].tls`: stands beside `http://0.0.0.0:80`, allowed: only with an https:// address",
        ),
        (
            "admin: 127.0.0.1:80\nlisteners:\n- address: http://127.0.0.1:80\n",
            "proxy.yaml:3:3: field `listeners[0].address`: found `127.0.0.1:80`, which is the admin port; allowed: another, or `admin: off`",
        ),
        (
            "policy:\n  routes:\n  - match: {}\n",
            "proxy.yaml:3:5: field `policy.routes[0].match`: matches nothing in particular, allowed: at least one of ",
        ),
        (
            "policy:\n  routes:\n  - match: {path: /a, pathPrefix: /b}\n",
            "proxy.yaml:3:23: field `policy.routes[0].match.pathPrefix`: stands beside `path`, allowed: one of the two",
        ),
    ] {
        let error = refusal(text).to_string();
        assert!(error.starts_with(expected), "{error}\nshould start with\n{expected}");
    }
    parse("listeners:\n- address: http://0.0.0.0:0\n- address: http://0.0.0.0:0\n");
}

#[test]
fn what_is_no_yaml_mapping_is_refused_in_words_a_person_understands() {
    for (text, expected) in [
        ("", "proxy.yaml: the file holds no settings, expected at least `listeners` or `policy`"),
        ("# only a comment\n", "proxy.yaml: the file holds no settings, expected at least `listeners` or `policy`"),
        ("\u{feff}---\n", "proxy.yaml: the file holds no settings, expected at least `listeners` or `policy`"),
        ("~\n", "proxy.yaml:1:1: found nothing, allowed: a mapping of fields"),
        ("hello\n", "proxy.yaml:1:1: found string \"hello\", allowed: a mapping of fields"),
        ("policy:\n\ttimeouts: {}\n", "proxy.yaml:2:1: found character that cannot start any token"),
        ("policy: {\n", "proxy.yaml:2:1: "),
        ("policy: {}\n---\npolicy: {}\n", "proxy.yaml: "),
        ("policy: *unknown\n", "proxy.yaml:1:9: "),
    ] {
        let error = refusal(text).to_string();
        assert!(error.starts_with(expected), "{error}\nshould start with\n{expected}");
    }
    let tab = refusal("policy:\n\ttimeouts: {}\n").to_string();
    assert!(tab.ends_with("(the line is indented with a tab, YAML allows spaces only)"), "{tab}");
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    for (bytes, ok) in
        [(StaticFile::BYTES_MAX - 1, true), (StaticFile::BYTES_MAX, true), (StaticFile::BYTES_MAX + 1, false)]
    {
        let text = format!("admin: off\n#{}", "x".repeat(bytes - 12));
        assert_eq!(text.len(), bytes);
        assert_eq!(StaticFile::parse(&text, "f").is_ok(), ok, "{bytes}");
    }
}

#[test]
fn lists_are_read_up_to_their_limit() {
    let listeners = |n: usize| format!("listeners:\n{}", "- address: http://0.0.0.0:0\n".repeat(n));
    let routes = |n: usize| format!("policy:\n  routes:\n{}", "  - match: {path: /}\n".repeat(n));
    let certificates = |n: usize| {
        format!(
            "listeners:\n- address: https://0.0.0.0:1\n  tls:\n    certificates:\n{}",
            "    - {cert: c, key: k}\n".repeat(n)
        )
    };
    let ignored = |n: usize| format!("policy:\n  coalescing:\n    ignoreHeaders:\n{}", "    - x-a\n".repeat(n));
    for (field, max, text) in [
        ("listeners", 64, &listeners as &dyn Fn(usize) -> String),
        ("policy.routes", 256, &routes),
        ("listeners[0].tls.certificates", 64, &certificates),
        ("policy.coalescing.ignoreHeaders", 64, &ignored),
    ] {
        parse(&text(max - 1));
        parse(&text(max));
        let error = refusal(&text(max + 1));
        assert_eq!(error.field.as_deref(), Some(field));
        assert_eq!(error.what, format!("found more than {max} entries, allowed: at most {max}"));
    }
}

#[test]
fn deep_and_repeated_structures_end_in_an_error_and_not_in_memory() {
    for open in ["[", "{a: ", "- ", "? "] {
        refusal(&open.repeat(StaticFile::BYTES_MAX / 8));
        refusal(&open.repeat(2_048));
    }
    let mut laughs = "a0: &a0 [x]\n".to_owned();
    for n in 1..40 {
        laughs.push_str(&format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1));
    }
    refusal(&laughs);
    for (openings, ok) in [(8_191, true), (8_192, true), (8_193, false)] {
        let text = format!("admin: off\n#{}", "[".repeat(openings));
        assert_eq!(StaticFile::parse(&text, "f").is_ok(), ok, "{openings}");
    }
}

#[test]
fn the_built_in_policy_is_what_the_documentation_of_each_field_says() {
    let built_in = serde_json::to_value(Policy::built_in()).expect("it can be written");
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Policy>().to_value();
    let mut checked = 0;
    walk(&schema, &built_in, "policy", &mut checked);
    assert!(checked > 25, "only {checked} fields were compared");

    fn walk(schema: &serde_json::Value, value: &serde_json::Value, path: &str, checked: &mut usize) {
        let options = schema.get("anyOf").and_then(|any| any.as_array()).cloned().unwrap_or_default();
        let Some(fields) = std::iter::once(schema).chain(&options).find_map(|s| s.get("properties")?.as_object())
        else {
            return;
        };
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            let doc = field.get("description").and_then(|d| d.as_str()).unwrap_or_else(|| panic!("{path} has no doc"));
            match value.get(name) {
                Some(section) if section.is_object() => walk(field, section, &path, checked),
                Some(leaf) => {
                    let leaf = match leaf {
                        serde_json::Value::String(text) => text.clone(),
                        serde_json::Value::Array(entries) if entries.is_empty() => "none".to_owned(),
                        other => other.to_string(),
                    };
                    assert!(
                        doc.contains(&format!("Default {leaf}")),
                        "{path}: the doc must say \"Default {leaf}\": {doc}"
                    );
                    *checked += 1;
                }
                None => assert!(doc.contains("Default"), "{path}: {doc}"),
            }
        }
    }
}

#[test]
fn what_depends_on_the_mode_of_coalescing_is_what_the_documentation_says() {
    let of = |mode: CoalescingMode| (mode.join_window_default().to_string(), mode.on_error_default());
    for &mode in CoalescingMode::ALL {
        let cacheable = mode == CoalescingMode::Cacheable;
        let expected = if cacheable { ("2s", OnError::Release) } else { ("500ms", OnError::Share) };
        assert_eq!(of(mode), (expected.0.to_owned(), expected.1), "{mode}");
    }
    let ((plain, share), (cacheable, release)) = (of(CoalescingMode::Identical), of(CoalescingMode::Cacheable));
    let join_window = doc_of("coalescing.joinWindow");
    let expected = format!("Default {plain}, {cacheable} where the mode is cacheable; ");
    assert!(join_window.contains(&expected), "{join_window}");
    let on_error = doc_of("coalescing.onError");
    assert!(on_error.contains(&format!("Default {share}, {release} where the mode is cacheable.")), "{on_error}");
    assert!(doc_of("coalescing.ignoreHeaders").contains("At most 64; "));
}

/// What the schema says of a field of the policy.
fn doc_of(field: &str) -> String {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Policy>().to_value();
    let mut node = &schema;
    for name in field.split('.') {
        let options = node.get("anyOf").and_then(|any| any.as_array()).into_iter().flatten();
        let child = std::iter::once(node).chain(options).find_map(|option| option.get("properties")?.get(name));
        node = child.unwrap_or_else(|| panic!("no {field}"));
    }
    node["description"].as_str().unwrap_or_else(|| panic!("{field} has no doc")).to_owned()
}

#[test]
fn the_documented_range_of_each_field_is_the_one_that_is_enforced() {
    for (field, doc, values) in [
        ("timeouts.connect", "1ms to 10m", ["0s", "1ms", "2ms", "9m59s999ms", "10m", "10m1ms"]),
        ("timeouts.tlsHandshake", "1ms to 10m", ["0s", "1ms", "2ms", "9m59s999ms", "10m", "10m1ms"]),
        ("timeouts.requestHeaders", "1ms to 1h", ["0s", "1ms", "2ms", "59m59s999ms", "1h", "1h1ms"]),
        ("timeouts.requestBodyIdle", "1ms to 24h", ["0s", "1ms", "2ms", "23h59m59s999ms", "24h", "24h1ms"]),
        ("timeouts.responseHeaders", "1ms to 24h", ["0s", "1ms", "2ms", "23h59m59s999ms", "24h", "24h1ms"]),
        ("timeouts.request", "1ms to 24h", ["0s", "1ms", "2ms", "23h59m59s999ms", "24h", "24h1ms"]),
        ("timeouts.streamIdle", "1ms to 168h", ["0s", "1ms", "2ms", "167h59m59s999ms", "168h", "168h1ms"]),
        ("timeouts.connectionIdle", "1ms to 168h", ["0s", "1ms", "2ms", "167h59m59s999ms", "168h", "168h1ms"]),
        ("timeouts.upstreamIdle", "1ms to 1h", ["0s", "1ms", "2ms", "59m59s999ms", "1h", "1h1ms"]),
        ("timeouts.maxConnectionAge", "1ms to 168h", ["0s", "1ms", "2ms", "167h59m59s999ms", "168h", "168h1ms"]),
        ("concurrency.limit", "1 to 1000000", ["0", "1", "2", "999999", "1000000", "1000001"]),
        ("concurrency.queue.depth", "0 to 100000", ["-1", "0", "1", "99999", "100000", "100001"]),
        ("concurrency.queue.timeout", "1ms to 10m", ["0s", "1ms", "2ms", "9m59s999ms", "10m", "10m1ms"]),
        ("coalescing.joinWindow", "1ms to 1m", ["0s", "1ms", "2ms", "59s999ms", "1m", "1m1ms"]),
        ("coalescing.maxWait", "1ms to 1h", ["0s", "1ms", "2ms", "59m59s999ms", "1h", "1h1ms"]),
        ("limits.headBytes", "1KiB to 1MiB", ["1023", "1024", "1025", "1048575", "1MiB", "1048577"]),
        ("limits.headFields", "1 to 256", ["0", "1", "2", "255", "256", "257"]),
        (
            "limits.requestBodyBytes",
            "0 to 1024TiB",
            ["-1", "0", "1", "1125899906842623", "1024TiB", "1125899906842625"],
        ),
        ("limits.connections", "1 to 1000000", ["0", "1", "2", "999999", "1000000", "1000001"]),
    ] {
        assert!(doc_of(field).contains(&format!("; {doc}.")), "{field}: the doc must say \"; {doc}.\"");
        for (index, value) in values.into_iter().enumerate() {
            let text = field.rsplit('.').fold(value.to_owned(), |inner, name| format!("{{{name}: {inner}}}"));
            let read = StaticFile::parse(&format!("policy: {text}"), "f");
            match (index, read) {
                (1..=4, read) => assert!(read.is_ok(), "{field}: {value}: {read:?}"),
                (_, Ok(_)) => panic!("{field}: {value} must be refused"),
                (_, Err(error)) => {
                    assert_eq!(error.field, Some(format!("policy.{field}")), "{error}");
                    assert!(error.what.contains(&format!("found `{value}`")) && error.what.contains(doc), "{error}");
                }
            }
        }
    }
    for (field, values) in [
        ("delay", ["0", "0s", "1ms", "9m59s999ms", "10m", "10m1ms"]),
        ("grace", ["0", "0s", "1ms", "23h59m59s999ms", "24h", "24h1ms"]),
    ] {
        for (index, value) in values.into_iter().enumerate() {
            let read = StaticFile::parse(&format!("drain: {{{field}: {value}}}"), "f");
            assert_eq!(read.is_ok(), (1..=4).contains(&index), "{field}: {value}");
        }
    }
    for (value, ok) in
        [("0", false), ("1", true), ("2", true), ("1023", true), ("1024", true), ("1025", false), ("auto", true)]
    {
        assert_eq!(StaticFile::parse(&format!("workers: {{count: {value}}}"), "f").is_ok(), ok, "{value}");
    }
}

#[test]
fn a_share_of_traces_is_0_to_1() {
    let share =
        |text: &str| StaticFile::parse(&format!("policy: {{telemetry: {{traceSampleRatio: {text}}}}}"), "proxy.yaml");
    for (text, value) in [("0", 0.0), ("1", 1.0), ("0.01", 0.01), ("1e-3", 0.001), ("\"0.5\"", 0.5)] {
        let policy = share(text).unwrap_or_else(|error| panic!("{text}: {error}")).policy.unwrap_or_default();
        assert_eq!(
            policy.telemetry.and_then(|telemetry| telemetry.trace_sample_ratio).map(|ratio| ratio.get()),
            Some(value)
        );
    }
    for text in ["1.01", "-0.1", "10%", "all", "true", ".nan", ".inf"] {
        let error = share(text).map(drop).expect_err(text).to_string();
        assert!(error.contains("traceSampleRatio") && error.contains("0 to 1"), "{text}: {error}");
    }
}
