//! The fields of one head, as places in the bytes that hold it: parsed once, looked up without a copy, reused for the next head.

use super::{Name, NameSet};

/// One field line. Places count from the first byte of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: Name,
    name_at: u32,
    name_len: u32,
    value_at: u32,
    value_len: u32,
}

impl Field {
    pub(crate) fn new(name: Name, (name_at, name_len): (usize, usize), (value_at, value_len): (usize, usize)) -> Field {
        // A head is at most a few hundred KiB (`limits.headBytes`), far below 4 GiB.
        Field {
            name,
            name_at: name_at as u32,
            name_len: name_len as u32,
            value_at: value_at as u32,
            value_len: value_len as u32,
        }
    }

    /// Where the field's line starts.
    pub fn line_at(&self) -> usize {
        self.name_at as usize
    }

    pub fn name_in<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        &head[self.name_at as usize..][..self.name_len as usize]
    }

    /// Without the white space around it.
    pub fn value_in<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        &head[self.value_at as usize..][..self.value_len as usize]
    }
}

/// The field lines of one head, in order. Cleared, not freed, between heads.
#[derive(Debug, Default)]
pub struct Fields {
    lines: Vec<Field>,
    known: NameSet,
}

impl Fields {
    pub fn lines(&self) -> &[Field] {
        &self.lines
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.known = NameSet::default();
    }

    /// Becomes the same as `other`, in memory that is there already.
    pub(crate) fn copy_from(&mut self, other: &Fields) {
        self.lines.clear();
        self.lines.extend_from_slice(&other.lines);
        self.known = other.known;
    }

    pub(crate) fn copied(&self) -> Fields {
        Fields { lines: self.lines.clone(), known: self.known }
    }

    pub(crate) fn push(&mut self, field: Field) {
        self.known.insert(field.name);
        self.lines.push(field);
    }

    /// Which known names there are: most questions end here, without a look at each line.
    pub fn known(&self) -> NameSet {
        self.known
    }

    /// Values of all lines of a known name, in order.
    pub fn all<'a>(&'a self, head: &'a [u8], name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |field| field.name == name).map(move |field| field.value_in(head))
    }

    /// Where the line behind line `n` starts, or where the empty line that ends a head of `head_len` bytes does.
    pub fn line_end(&self, n: usize, head_len: usize) -> usize {
        self.lines.get(n + 1).map_or(head_len - 2, Field::line_at)
    }
}

/// The members of a comma-separated list, trimmed; empty ones are skipped (RFC 9110 section 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}
