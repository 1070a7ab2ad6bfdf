//! What is said of a value that is refused: what was found, what is allowed, and where.

use std::fmt;

/// A refused value. Display: "found `5 parsecs`, allowed: a duration of 1ms to 10m, such as 500ms or 1m30s".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    found: String,
    allowed: String,
}

/// Characters of a refused value that are repeated in its error; the rest is cut.
const FOUND_CHARS_MAX: usize = 80;

impl Invalid {
    pub fn new(found: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let found = found.to_string();
        let mut shown: String = found.chars().take(FOUND_CHARS_MAX).flat_map(char::escape_debug).collect();
        if found.chars().nth(FOUND_CHARS_MAX).is_some() {
            shown.push_str("...");
        }
        Invalid { found: shown, allowed: allowed.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found `{}`, allowed: {}", self.found, self.allowed)
    }
}

impl std::error::Error for Invalid {}

/// Why a configuration was refused. Display: "FILE:LINE:COLUMN: field `policy.timeouts.connect`: found ..., allowed: ...".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name as the user gave it.
    pub file: String,
    /// Line and column, both from 1, where known.
    pub at: Option<(usize, usize)>,
    /// Dotted, with `[n]` for the nth entry of a list (from 0).
    pub field: Option<String>,
    pub what: String,
}

impl ConfigError {
    /// An error of the file as a whole.
    pub fn of_file(file: &str, what: impl Into<String>) -> Self {
        ConfigError { file: file.to_owned(), at: None, field: None, what: what.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field `{field}`")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}

/// Settings that are each valid, but not together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Dotted, with `[n]` for the nth entry of a list (from 0).
    pub field: String,
    pub what: String,
}

impl Misfit {
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Misfit { field: field.into(), what: what.into() }
    }

    /// The same, seen from the section that holds the field.
    pub fn under(self, section: &str) -> Self {
        let field = if self.field.is_empty() { section.to_owned() } else { format!("{section}.{}", self.field) };
        Misfit { field, what: self.what }
    }
}
