//! Which fields exist where, read from the schema itself: what an unknown field could have meant.

use serde_json::Value;

use crate::StaticFile;
use crate::locate::Step;

/// The names allowed in the mapping at `path` of a static file, in alphabetical order; empty where there is no such mapping.
pub(crate) fn known_at(path: &[Step]) -> Vec<String> {
    let generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let root = generator.into_root_schema_for::<StaticFile>().to_value();
    let mut node = Some(&root);
    for step in path {
        node = node.and_then(|node| child(node, step));
    }
    let properties = node.and_then(|node| part(node, "properties")).and_then(Value::as_object);
    properties.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

fn child<'a>(node: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Key(key) => part(node, "properties")?.get(key),
        Step::Index(_) => part(node, "items"),
    }
}

/// A keyword of the schema, also where the value is optional (`anyOf: [{...}, {type: null}]`).
fn part<'a>(node: &'a Value, keyword: &str) -> Option<&'a Value> {
    let options = node.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    node.get(keyword).or_else(|| options.filter_map(|option| option.get(keyword)).next())
}

/// The known name that `unknown` is most likely a slip of: at most a third of its letters differ, case and hyphens aside.
pub(crate) fn nearest<'a>(unknown: &str, known: &'a [String]) -> Option<&'a str> {
    let plain =
        |name: &str| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let unknown = plain(unknown);
    let near = known.iter().map(|name| (distance(&unknown, &plain(name)), name));
    let (letters, name) = near.min_by_key(|(letters, _)| *letters)?;
    (letters <= (unknown.len() / 3).max(1)).then_some(name)
}

/// Letters to insert, delete or replace (Levenshtein). Names beyond `LETTERS_MAX` are near to nothing.
fn distance(one: &[char], other: &[char]) -> usize {
    const LETTERS_MAX: usize = 64;
    if one.len() > LETTERS_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::locate::steps;

    #[test]
    fn the_schema_knows_the_fields_of_every_mapping() {
        assert_eq!(known_at(&[]), ["admin", "drain", "ioDriver", "listeners", "policy", "telemetry", "workers"]);
        assert_eq!(known_at(&steps("listeners[0].tls.certificates[3]")), ["cert", "key"]);
        assert_eq!(known_at(&steps("policy.concurrency.queue")), ["depth", "timeout"]);
        assert!(known_at(&steps("policy.routes[0].match")).contains(&"pathPrefix".to_owned()));
        assert!(known_at(&steps("policy.nowhere")).is_empty());
    }

    #[test]
    fn a_slip_finds_its_name() {
        let known: Vec<String> = ["connect", "tlsHandshake", "requestHeaders", "request"].map(str::to_owned).into();
        for (slip, name) in [
            ("conect", Some("connect")),
            ("connectt", Some("connect")),
            ("tls-handshake", Some("tlsHandshake")),
            ("TLSHANDSHAKE", Some("tlsHandshake")),
            ("requestHeader", Some("requestHeaders")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, &known), name, "{slip}");
        }
    }
}
