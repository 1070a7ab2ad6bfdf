//! What the vocabulary can say and this version does not do yet: accepted, and never silently ignored.

use serde::Serialize;
use serde_json::Value;

use crate::level::is_at_or_below;
use crate::{Effective, Field, Level};

/// A field, or a section, without effect in this version; whoever builds the feature deletes its line.
struct Gap {
    /// Below `policy` and below each of its routes; or from the top of the file.
    field: &'static str,
    /// Values that already hold.
    but: &'static [&'static str],
}

const GAPS: &[Gap] = &[Gap { field: "upstream.protocol", but: &["auto", "http1"] }];

/// One line for each field that somebody set and this version does not act on: "policy.upstream.protocol: accepted, not yet in force in this version".
pub fn not_yet_in_force<T: Serialize>(effective: &Effective<T>) -> Vec<String> {
    let set = effective.fields().into_iter().filter(|field| field.level > Level::BuiltIn);
    set.filter(is_without_effect)
        .map(|field| format!("{}: accepted, not yet in force in this version", field.path))
        .collect()
}

/// Whether this version does not act on the field, whoever set it.
pub fn is_without_effect(field: &Field) -> bool {
    GAPS.iter().any(|gap| gap.covers(&field.path, &field.value))
}

impl Gap {
    fn covers(&self, path: &str, value: &Value) -> bool {
        is_at_or_below(&plain(path), self.field) && !value.as_str().is_some_and(|word| self.but.contains(&word))
    }
}

/// The path without list positions, and from the policy or the route that holds it: `policy.routes[3].coalescing.mode` is `coalescing.mode`.
fn plain(path: &str) -> String {
    let mut names: Vec<&str> = path.split('.').map(|name| name.split('[').next().unwrap_or_default()).collect();
    for holder in ["policy", "routes"] {
        if names.len() > 1 && names[0] == holder {
            names.remove(0);
        }
    }
    names.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_in_the_policy_and_in_each_route_and_its_value_may_hold_already() {
        let gap = Gap { field: "upstream.protocol", but: &["auto"] };
        for (path, word, covered) in [
            ("upstream.protocol", "http2", true),
            ("policy.upstream.protocol", "http2", true),
            ("policy.routes[3].upstream.protocol", "http2", true),
            ("routes[3].upstream.protocol", "http2", true),
            ("policy.upstream.protocol", "auto", false),
            ("policy.upstream.tls", "off", false),
            ("policy.upstream.protocols", "http2", false),
        ] {
            assert_eq!(gap.covers(path, &Value::from(word)), covered, "{path}: {word}");
        }
    }
}
