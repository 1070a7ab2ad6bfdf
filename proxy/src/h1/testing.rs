//! Heads for the tests of this room, and their fields as a second, simple reader finds them.

use crate::http::{Field, Fields, Name};

/// A start line, field lines, the empty line.
pub fn head(start: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{start}\r\n{lines}\r\n")
}

/// The fields of a well-formed head.
pub fn fields_of(head: &str) -> Fields {
    let mut fields = Fields::default();
    let mut at = head.find("\r\n").unwrap() + 2;
    for line in head[at..].split("\r\n").take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value_at = at + name.len() + 1 + (value.len() - value.trim_start().len());
        fields.push(Field::new(Name::of(name.as_bytes()), (at, name.len()), (value_at, value.trim().len())));
        at += line.len() + 2;
    }
    fields
}
