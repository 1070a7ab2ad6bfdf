//! Where in a YAML text a field stands.
//!
//! The text is read once more along the path, and the read is broken off at the goal: the parser then says where it was.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a dotted path, as the vocabulary writes them: names hold neither dot nor bracket.
pub(crate) fn steps(dotted: &str) -> Vec<Step> {
    let parts = dotted.split(['.', '[']).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.strip_suffix(']')
                .and_then(|index| index.parse().ok())
                .map_or_else(|| Step::Key(part.to_owned()), Step::Index)
        })
        .collect()
}

/// Writes a path with dots, `[n]` for the nth entry of a list.
pub(crate) fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text.push_str(&format!("[{index}]")),
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
        }
    }
    text
}

/// Line and column (from 1) of the key at the end of `path`, or of the entry where `path` ends in a position; of the `occurrence`th such key
/// (from 0) where a key stands there more than once.
pub(crate) fn locate(text: &str, path: &[Step], occurrence: usize) -> Option<(usize, usize)> {
    let left = Cell::new(occurrence);
    let found = Cell::new(false);
    let seek = Seek { path, left: &left, found: &found };
    let stopped = seek.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let at = stopped.location().filter(|_| found.get())?;
    Some((at.line(), at.column()))
}

#[derive(Clone, Copy)]
struct Seek<'a> {
    path: &'a [Step],
    /// How many occurrences of the last key are still to be passed over.
    left: &'a Cell<usize>,
    found: &'a Cell<bool>,
}

impl<'a> Seek<'a> {
    fn rest(self) -> Seek<'a> {
        Seek { path: self.path.get(1..).unwrap_or_default(), ..self }
    }

    fn stop<E: serde::de::Error>(self) -> E {
        self.found.set(true);
        E::custom("here")
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            self.found.set(true);
            // No visit is implemented beyond this point, so the parser ends with an error at this very value.
            return deserializer.deserialize_any(Refuse);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a field")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(on_the_way) = map.next_key_seed(SeekKey(self))? {
            if on_the_way {
                map.next_value_seed(self.rest())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(A::Error::custom("no such key"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some(Step::Index(index)) = self.path.first() else { return Err(A::Error::custom("no such entry")) };
        for _ in 0..*index {
            entries.next_element::<IgnoredAny>()?;
        }
        entries.next_element_seed(self.rest())?;
        Err(A::Error::custom("no such entry"))
    }
}

/// Tells whether a key is on the way; stops at the one that ends it.
struct SeekKey<'a>(Seek<'a>);

impl<'de> DeserializeSeed<'de> for SeekKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for SeekKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        let matches = matches!(self.0.path.first(), Some(Step::Key(wanted)) if wanted == key);
        if !matches || self.0.path.len() > 1 {
            return Ok(matches);
        }
        match self.0.left.get().checked_sub(1) {
            Some(left) => self.0.left.set(left),
            None => return Err(self.0.stop()),
        }
        Ok(false)
    }
}

struct Refuse;

impl Visitor<'_> for Refuse {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
listeners:
- address: a
  tls: {mode: required, cert: x}
- address: b
policy:
  timeouts:
    connect: 1s
    connect: 2s
";

    #[test]
    fn a_key_or_an_entry_is_found_where_it_stands() {
        for (path, at) in [
            ("policy", Some((5, 1))),
            ("policy.timeouts.connect", Some((7, 5))),
            ("listeners[0].tls.cert", Some((3, 25))),
            ("listeners[1]", Some((4, 3))),
            ("listeners[1].address", Some((4, 3))),
            ("listeners[2]", None),
            ("policy.nothing", None),
            ("policy.timeouts.connect.deeper", None),
        ] {
            assert_eq!(locate(TEXT, &steps(path), 0), at, "{path}");
            assert_eq!(dotted(&steps(path)), path);
        }
        assert_eq!(locate(TEXT, &steps("policy.timeouts.connect"), 1), Some((8, 5)));
    }
}
