//! Layers: the later wins field by field, and each field knows who said it.

use slipstream_schema::{Level, Policy, StaticFile, not_yet_in_force};

fn file(text: &str) -> StaticFile {
    StaticFile::parse(text, "f").unwrap_or_else(|error| panic!("{error}"))
}

fn policy(text: &str) -> Policy {
    file(&format!("policy: {text}")).policy.unwrap_or_default()
}

fn said(fields: &[slipstream_schema::Field], path: &str) -> (String, Level) {
    let field = fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("no {path} in {fields:?}"));
    (field.value.as_str().map_or_else(|| field.value.to_string(), str::to_owned), field.level)
}

#[test]
fn the_later_level_wins_field_by_field_whatever_the_order_of_the_layers() {
    let merged = Policy::merge([
        (Level::Annotation, policy("{timeouts: {request: 1s}}")),
        (Level::Chart, policy("{timeouts: {request: 4s, connect: 4s}, forwarded: replace}")),
        (Level::Selected, policy("{timeouts: {request: 2s, responseHeaders: 2s}}")),
        (Level::Namespace, policy("{timeouts: {request: 3s, responseHeaders: 3s, connect: 3s}}")),
    ]);
    let fields = merged.fields();
    assert_eq!(said(&fields, "timeouts.request"), ("1s".into(), Level::Annotation));
    assert_eq!(said(&fields, "timeouts.responseHeaders"), ("2s".into(), Level::Selected));
    assert_eq!(said(&fields, "timeouts.connect"), ("3s".into(), Level::Namespace));
    assert_eq!(said(&fields, "forwarded"), ("replace".into(), Level::Chart));
    assert_eq!(said(&fields, "timeouts.tlsHandshake"), ("5s".into(), Level::BuiltIn));
}

#[test]
fn of_two_layers_of_one_level_the_later_given_wins() {
    let merged = Policy::merge([
        (Level::Selected, policy("{timeouts: {request: 1s}}")),
        (Level::Selected, policy("{timeouts: {request: 2s}}")),
    ]);
    assert_eq!(said(&merged.fields(), "timeouts.request"), ("2s".into(), Level::Selected));
}

#[test]
fn none_takes_away_what_an_earlier_layer_set_and_null_does_not() {
    let chart = policy("{timeouts: {request: 4s}, limits: {requestBodyBytes: 1MiB}}");
    let merged = Policy::merge([
        (Level::Chart, chart),
        (Level::Selected, policy("{timeouts: {request: none}, limits: {requestBodyBytes: ~}}")),
    ]);
    assert_eq!(said(&merged.fields(), "timeouts.request"), ("none".into(), Level::Selected));
    assert_eq!(said(&merged.fields(), "limits.requestBodyBytes"), ("1MiB".into(), Level::Chart));
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let two = policy("{routes: [{match: {path: /a}, timeouts: {request: 1s}}, {match: {path: /b}}]}");
    let merged =
        Policy::merge([(Level::Chart, two.clone()), (Level::Selected, policy("{routes: [{match: {path: /c}}]}"))]);
    let paths: Vec<_> = merged.origins.keys().filter(|path| path.starts_with("routes")).collect();
    assert_eq!(paths, ["routes[0].match.path"]);
    assert_eq!(said(&merged.fields(), "routes[0].match.path"), ("/c".into(), Level::Selected));
    let merged = Policy::merge([(Level::Chart, two), (Level::Selected, policy("{routes: []}"))]);
    assert_eq!(said(&merged.fields(), "routes"), ("[]".into(), Level::Selected));
}

#[test]
fn a_route_is_laid_over_the_policy_field_by_field() {
    let policy = Policy::merge([(
        Level::File,
        policy("{timeouts: {connect: 2s, request: 15s}, routes: [{match: {path: /a}, timeouts: {request: none}, limits: {requestBodyBytes: 1MiB}}]}"),
    )])
    .value;
    let route = policy.routes.as_ref().and_then(|routes| routes.first()).expect("one route").clone();
    let own = serde_json::to_value(policy.for_route(&route)).expect("it can be written");
    assert_eq!(own["timeouts"]["request"], "none");
    assert_eq!(own["timeouts"]["connect"], "2s");
    assert_eq!(own["limits"]["requestBodyBytes"], "1MiB");
    assert_eq!(own["limits"]["headBytes"], "64KiB");
    assert_eq!((own.get("routes"), own.get("match")), (None, None));
}

#[test]
fn what_depends_on_the_mode_of_coalescing_stays_unset_until_somebody_says_it() {
    let policy = Policy::merge([(
        Level::File,
        policy("{coalescing: {ignoreHeaders: [x-a, x-b]}, routes: [{match: {path: /a}, coalescing: {mode: cacheable, ignoreHeaders: [x-c]}}, {match: {path: /b}, coalescing: {onError: share, ignoreHeaders: []}}]}"),
    )])
    .value;
    let routes = policy.routes.clone().unwrap_or_default();
    let of_route = |index: usize| {
        let merged = policy.for_route(&routes[index]).coalescing.unwrap_or_default();
        serde_json::to_value(merged).expect("it can be written")
    };
    let (a, b) = (of_route(0), of_route(1));
    assert_eq!((a["mode"].as_str(), a.get("joinWindow"), a.get("onError")), (Some("cacheable"), None, None));
    assert_eq!(
        (b["mode"].as_str(), b.get("joinWindow"), b["onError"].as_str()),
        (Some("identical"), None, Some("share"))
    );
    assert_eq!(a["ignoreHeaders"], serde_json::json!(["x-c"]), "a route replaces the list as a whole");
    assert_eq!(b["ignoreHeaders"], serde_json::json!([]));
}

#[test]
fn every_leaf_has_an_origin_and_what_is_dumped_can_be_given_back() {
    let given = file(
        "{listeners: [{address: 'http://0.0.0.0:80'}], workers: {count: 2}, policy: {timeouts: {request: 1s}, routes: [{match: {path: /a}}]}}",
    );
    let merged = StaticFile::merge([(Level::File, given)]);
    let leaves: Vec<_> = merged.fields().into_iter().map(|field| field.path).collect();
    assert_eq!(leaves, merged.origins.keys().cloned().collect::<Vec<_>>());
    let dump = serde_json::to_value(&merged).expect("it can be written");
    assert_eq!(dump["origins"]["policy.timeouts.request"], "file");
    assert_eq!(dump["origins"]["policy.timeouts.connect"], "builtin");
    assert_eq!(file(&dump["effective"].to_string()), merged.value);
}

#[test]
fn what_is_accepted_without_effect_is_named_and_nothing_else() {
    let given = file(
        "{telemetry: {serviceName: shop}, policy: {concurrency: {limit: 5}, coalescing: {mode: observe, maxWait: 1s}, \
          upstream: {protocol: http2, tls: off}, timeouts: {request: 1s}, routes: [{match: {path: /a}, coalescing: {mode: cacheable}}]}}",
    );
    let lines = not_yet_in_force(&StaticFile::merge([(Level::File, given)]));
    let fields: Vec<_> =
        lines.iter().filter_map(|line| line.strip_suffix(": accepted, not yet in force in this version")).collect();
    let expected = ["policy.upstream.protocol"];
    assert_eq!(fields, expected);
    assert_eq!(lines.len(), expected.len());

    let nothing = file(
        "{policy: {concurrency: {limit: 5, queue: {depth: 1}, mode: observe, longLived: hold}, coalescing: {mode: off}, upstream: {protocol: http1}, timeouts: {connect: 1s}}}",
    );
    assert!(not_yet_in_force(&StaticFile::merge([(Level::File, nothing)])).is_empty());
    assert!(not_yet_in_force(&StaticFile::merge([])).is_empty());
    assert_eq!(not_yet_in_force(&Policy::merge([(Level::Selected, policy("{upstream: {protocol: http2}}"))])).len(), 1);
}
