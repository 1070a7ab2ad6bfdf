//! Levels: who said what. Layers are laid over each other field by field, and each field keeps the name of the layer it came from.
//!
//! It is done on the written form, so that a field is merged because it exists: no list of fields to keep in step.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Policy, Route, StaticFile};

/// Who said it. The later one wins, field by field. A static proxy knows builtin, file and flag; an injected one builtin to annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Slipstream's own defaults.
    BuiltIn,
    /// The `ClusterTrafficPolicy` named `default`, which the chart writes.
    Chart,
    /// A `TrafficPolicy` without selector, for its namespace.
    Namespace,
    /// A `TrafficPolicy` that selects the pod.
    Selected,
    /// An annotation of the pod.
    Annotation,
    /// The file of `--config`.
    File,
    /// The command line.
    Flag,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Level::BuiltIn => "builtin",
            Level::Chart => "chart",
            Level::Namespace => "namespace",
            Level::Selected => "selected",
            Level::Annotation => "annotation",
            Level::File => "file",
            Level::Flag => "flag",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What holds, and who said it. JSON: `{"effective": {...}, "origins": {"policy.timeouts.connect": "file", ...}}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective<T> {
    #[serde(rename = "effective")]
    pub value: T,
    /// By dotted path of the leaf, `[n]` for the nth entry of a list.
    pub origins: BTreeMap<String, Level>,
}

/// One leaf of what holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub path: String,
    pub value: Value,
    pub level: Level,
}

impl Policy {
    /// Lays `layers` over the built-in defaults, by [`Level`]; of two layers of one level the later in `layers` wins.
    pub fn merge(layers: impl IntoIterator<Item = (Level, Policy)>) -> Effective<Policy> {
        merge(Policy::built_in(), layers)
    }

    /// What holds for the requests of one route: this policy with the route's own fields over it, and no routes.
    pub fn for_route(&self, route: &Route) -> Policy {
        let (mut policy, mut own) = (written(self), written(route));
        for (section, left_out) in [(&mut policy, "routes"), (&mut own, "match")] {
            if let Value::Object(fields) = section {
                fields.remove(left_out);
            }
        }
        overlay(&mut policy, own, Level::Flag, "", &mut BTreeMap::new());
        read_back(policy)
    }
}

impl StaticFile {
    /// Lays `layers` over the built-in defaults, by [`Level`]; of two layers of one level the later in `layers` wins.
    pub fn merge(layers: impl IntoIterator<Item = (Level, StaticFile)>) -> Effective<StaticFile> {
        merge(StaticFile::built_in(), layers)
    }
}

impl<T: Serialize> Effective<T> {
    /// Each leaf with its value and its origin, by path.
    pub fn fields(&self) -> Vec<Field> {
        let mut leaves = Vec::new();
        leaves_of(written(&self.value), "", &mut leaves);
        let origin = |path: &str| self.origins.get(path).copied().unwrap_or(Level::BuiltIn);
        leaves.into_iter().map(|(path, value)| Field { level: origin(&path), path, value }).collect()
    }
}

fn merge<T: Serialize + DeserializeOwned>(built_in: T, layers: impl IntoIterator<Item = (Level, T)>) -> Effective<T> {
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|(level, _)| *level);
    let mut whole = Value::Object(Map::new());
    let mut origins = BTreeMap::new();
    overlay(&mut whole, written(&built_in), Level::BuiltIn, "", &mut origins);
    for (level, layer) in layers {
        overlay(&mut whole, written(&layer), level, "", &mut origins);
    }
    Effective { value: read_back(whole), origins }
}

/// Mappings are merged, everything else (lists too) is replaced.
fn overlay(base: &mut Value, layer: Value, level: Level, path: &str, origins: &mut BTreeMap<String, Level>) {
    match (base, layer) {
        (Value::Object(base), Value::Object(layer)) => {
            for (key, value) in layer {
                let empty = if value.is_object() { Value::Object(Map::new()) } else { Value::Null };
                let path = below(path, &key);
                overlay(base.entry(key).or_insert(empty), value, level, &path, origins);
            }
        }
        (base, layer) => {
            origins.retain(|known, _| !is_at_or_below(known, path));
            let mut leaves = Vec::new();
            leaves_of(layer.clone(), path, &mut leaves);
            origins.extend(leaves.into_iter().map(|(leaf, _)| (leaf, level)));
            *base = layer;
        }
    }
}

/// Every value that is no mapping and no list, and every empty list, with its path.
fn leaves_of(value: Value, path: &str, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.into_iter().for_each(|(key, value)| leaves_of(value, &below(path, &key), leaves))
        }
        Value::Array(entries) if !entries.is_empty() => {
            entries
                .into_iter()
                .enumerate()
                .for_each(|(index, value)| leaves_of(value, &format!("{path}[{index}]"), leaves));
        }
        leaf => leaves.push((path.to_owned(), leaf)),
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether `path` is `section` or lies in it.
pub(crate) fn is_at_or_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn written(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the vocabulary has only string keys and cannot fail to be written")
}

fn read_back<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value)
        .expect("each leaf was valid in its own layer, and every type reads back what it writes")
}
