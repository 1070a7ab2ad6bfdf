//! How a type that is written as one text is read and written by serde: by its own `FromStr` and `Display`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Visitor};

use crate::Invalid;

/// Reads a scalar by `FromStr`. A bare number is taken as its text, and `false` as `off`: that is what YAML 1.1 readers (kubectl, Helm)
/// make of an unquoted `off`, so a policy says the same in a file and in a cluster.
pub(crate) struct ByText<T> {
    allowed: &'static str,
    as_text: PhantomData<T>,
}

impl<T> ByText<T> {
    pub(crate) fn new(allowed: &'static str) -> Self {
        ByText { allowed, as_text: PhantomData }
    }
}

impl<T: FromStr<Err = Invalid>> Visitor<'_> for ByText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.allowed)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        let off = if value { None } else { "off".parse().ok() };
        off.ok_or_else(|| E::custom(Invalid::new(value, self.allowed)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// Gives a type with `FromStr<Err = Invalid>` and `Display` its serde and schema: a string with `$allowed` as its description.
macro_rules! by_text {
    ($name:ident, $allowed:expr, $schema:tt) => {
        $crate::text::by_text!($name, $allowed, $schema, |text, serializer| serializer.collect_str(text));
    };
    ($name:ident, $allowed:expr, $schema:tt, |$value:ident, $serializer:ident| $write:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::text::ByText::new($allowed))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, $serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                $write
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use by_text;
