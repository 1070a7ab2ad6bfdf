//! Numbers that carry their unit and their range in the type: what is read is checked, what is checked stays so.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;

/// A unit: how its numbers are written.
pub trait Quantity: Copy + fmt::Debug + PartialEq + Eq + 'static {
    /// What it is, for messages and for the schema's name: "a duration".
    const WHAT: &'static str;
    /// Appended to the range in messages: ", such as 500ms or 1m30s".
    const EXAMPLE: &'static str;
    /// Text that may be one, as a regular expression; `None` where text never is.
    const PATTERN: Option<&'static str>;
    /// Whether a bare number is one.
    const NUMBER: bool;

    /// The value in the base unit; `None`: not of this shape, or beyond 64 bits.
    fn read(text: &str) -> Option<u64>;
    /// What [`Quantity::read`] reads back as the same value.
    fn show(value: u64) -> String;
}

/// A quantity of `MIN..=MAX`, in the base unit of `Q`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<Q, const MIN: u64, const MAX: u64>(u64, PhantomData<Q>);

impl<Q: Quantity, const MIN: u64, const MAX: u64> Bounded<Q, MIN, MAX> {
    pub const MIN: u64 = MIN;
    pub const MAX: u64 = MAX;

    pub fn new(value: u64) -> Result<Self, Invalid> {
        if (MIN..=MAX).contains(&value) {
            Ok(Bounded(value, PhantomData))
        } else {
            Err(Self::refuse(Q::show(value), false))
        }
    }

    /// A value known when this is compiled; one out of range does not compile.
    pub const fn constant<const V: u64>() -> Self {
        const { assert!(MIN <= V && V <= MAX, "out of range") };
        Bounded(V, PhantomData)
    }

    /// In the base unit.
    pub fn get(self) -> u64 {
        self.0
    }

    fn refuse(found: impl fmt::Display, or_none: bool) -> Invalid {
        Invalid::new(found, allowed::<Q>(MIN, MAX, or_none))
    }

    fn from_found(found: &Found<'_>, or_none: bool) -> Result<Self, Invalid> {
        let value = match found {
            Found::Text(text) => Q::read(text),
            Found::Number(number) if Q::NUMBER => u64::try_from(*number).ok(),
            Found::Number(_) | Found::Float(_) | Found::Bool(_) => None,
        };
        value.and_then(|v| Self::new(v).ok()).ok_or_else(|| Self::refuse(found, or_none))
    }
}

fn allowed<Q: Quantity>(min: u64, max: u64, or_none: bool) -> String {
    let none = if or_none { ", or none" } else { "" };
    format!("{} of {} to {}{}{none}", Q::WHAT, Q::show(min), Q::show(max), Q::EXAMPLE)
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> FromStr for Bounded<Q, MIN, MAX> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // An annotation or a flag has no other way to write a number than as text.
        match text.parse() {
            Ok(number) if Q::NUMBER => Self::from_found(&Found::Number(number), false),
            _ => Self::from_found(&Found::Text(text), false),
        }
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> fmt::Display for Bounded<Q, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Q::show(self.0))
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> fmt::Debug for Bounded<Q, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A quantity, or "none": no such limit. It is a value of its own, so that a later layer can take away what an earlier one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrNone<B> {
    None,
    At(B),
}

impl<B: Copy> OrNone<B> {
    pub fn value(self) -> Option<B> {
        match self {
            OrNone::None => None,
            OrNone::At(value) => Some(value),
        }
    }
}

/// How "none" may be written. `false` is what YAML 1.1 readers (kubectl, Helm) make of `off`.
fn says_none(found: &Found<'_>) -> bool {
    matches!(found, Found::Text("none" | "off") | Found::Bool(false))
}

impl<B: FromStr<Err = Invalid>> FromStr for OrNone<B> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if says_none(&Found::Text(text)) { Ok(OrNone::None) } else { text.parse().map(OrNone::At) }
    }
}

impl<B: fmt::Display> fmt::Display for OrNone<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrNone::None => f.write_str("none"),
            OrNone::At(value) => value.fmt(f),
        }
    }
}

/// A scalar as a file holds it.
enum Found<'a> {
    Text(&'a str),
    Number(i128),
    Float(f64),
    Bool(bool),
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Text(text) => f.write_str(text),
            Found::Number(number) => number.fmt(f),
            Found::Float(number) => number.fmt(f),
            Found::Bool(value) => value.fmt(f),
        }
    }
}

struct Read<Q, const MIN: u64, const MAX: u64> {
    or_none: bool,
    unit: PhantomData<Q>,
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> Read<Q, MIN, MAX> {
    fn read<E: de::Error>(&self, found: &Found<'_>) -> Result<OrNone<Bounded<Q, MIN, MAX>>, E> {
        if self.or_none && says_none(found) {
            return Ok(OrNone::None);
        }
        Bounded::from_found(found, self.or_none).map(OrNone::At).map_err(E::custom)
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> Visitor<'_> for Read<Q, MIN, MAX> {
    type Value = OrNone<Bounded<Q, MIN, MAX>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&allowed::<Q>(MIN, MAX, self.or_none))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.read(&Found::Text(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.read(&Found::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.read(&Found::Number(number.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.read(&Found::Number(number.into()))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Self::Value, E> {
        self.read(&Found::Number(i128::try_from(number).unwrap_or(i128::MAX)))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Self::Value, E> {
        self.read(&Found::Number(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.read(&Found::Float(number))
    }
}

impl<'de, Q: Quantity, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<Q, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Read { or_none: false, unit: PhantomData })? {
            OrNone::At(value) => Ok(value),
            OrNone::None => unreachable!("`none` is read only where `or_none` is set"),
        }
    }
}

impl<'de, Q: Quantity, const MIN: u64, const MAX: u64> Deserialize<'de> for OrNone<Bounded<Q, MIN, MAX>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read { or_none: true, unit: PhantomData })
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> Serialize for Bounded<Q, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if Q::PATTERN.is_some() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<B: Serialize> Serialize for OrNone<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            OrNone::None => serializer.serialize_str("none"),
            OrNone::At(value) => value.serialize(serializer),
        }
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> JsonSchema for Bounded<Q, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} of {MIN} to {MAX}", Q::WHAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of::<Q>(MIN, MAX, Q::PATTERN.map(|pattern| format!("^{pattern}$")))
    }
}

impl<Q: Quantity, const MIN: u64, const MAX: u64> JsonSchema for OrNone<Bounded<Q, MIN, MAX>> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} of {MIN} to {MAX}, or none", Q::WHAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = Q::PATTERN.map_or("^(none|off)$".to_owned(), |pattern| format!("^(none|off|{pattern})$"));
        schema_of::<Q>(MIN, MAX, Some(text))
    }
}

/// The shape that a structural schema of Kubernetes allows for "a number or a text".
fn schema_of<Q: Quantity>(min: u64, max: u64, pattern: Option<String>) -> Schema {
    match (Q::NUMBER, pattern) {
        (true, Some(pattern)) => schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer", "minimum": min, "maximum": max}, {"type": "string", "pattern": pattern}],
        }),
        (true, None) => schemars::json_schema!({"type": "integer", "minimum": min, "maximum": max}),
        (false, pattern) => schemars::json_schema!({"type": "string", "pattern": pattern}),
    }
}
