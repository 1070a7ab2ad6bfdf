//! Path patterns of routes, as metrics and traces name them, each with a number for as long as the process lives.
//!
//! A counter is under the number of its pattern and outlives the snapshot that the pattern came with, so numbers are not those of the routes:
//! one text has one number, whatever snapshots come and go. The table is the process's, and is only added to, when a snapshot is made.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::OnceLock;

use super::Match;

/// Patterns that the process can name; routes with further ones are counted without one. Five times what a worker's table of durations holds.
const PATTERNS_MAX: usize = 256;

/// In the order in which they came.
static PATTERNS: [OnceLock<Box<str>>; PATTERNS_MAX] = [const { OnceLock::new() }; PATTERNS_MAX];

/// The paths a route matches: `/api/*` for a prefix, `/exact` for one path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pattern(NonZeroU16);

impl Pattern {
    /// `None`: it matches by something else than the path, or the table is full.
    pub(super) fn of(matcher: &Match) -> Option<Pattern> {
        match (&matcher.path, &matcher.path_prefix) {
            (Some(path), _) => named(path),
            (None, Some(prefix)) => named(&format!("{}/*", prefix.strip_suffix('/').unwrap_or(prefix))),
            (None, None) => None,
        }
    }

    /// The one with this [`Pattern::number`].
    pub fn numbered(number: u16) -> Option<Pattern> {
        let pattern = Pattern(NonZeroU16::new(number)?);
        PATTERNS.get(pattern.place())?.get().map(|_| pattern)
    }

    /// Never 0.
    pub fn number(self) -> u16 {
        self.0.get()
    }

    pub fn text(self) -> &'static str {
        PATTERNS[self.place()].get().expect("a pattern is made with its text in the table")
    }

    fn place(self) -> usize {
        usize::from(self.number()) - 1
    }
}

/// Takes the first free place, if the text is in none before it.
fn named(text: &str) -> Option<Pattern> {
    let at = PATTERNS.iter().position(|place| **place.get_or_init(|| text.into()) == *text)?;
    Some(Pattern(NonZeroU16::new(at as u16 + 1).expect("one more than a place")))
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.number())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(path: Option<&str>, path_prefix: Option<&str>) -> Option<&'static str> {
        let text = |text: &str| text.to_owned();
        Pattern::of(&Match { path: path.map(text), path_prefix: path_prefix.map(text), ..Match::default() })
            .map(Pattern::text)
    }

    #[test]
    fn pattern_is_what_the_route_says_of_the_path() {
        assert_eq!(of(Some("/exact"), None), Some("/exact"));
        assert_eq!(of(None, Some("/api")), Some("/api/*"));
        assert_eq!(of(None, Some("/api/")), Some("/api/*"));
        assert_eq!(of(None, Some("/")), Some("/*"));
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn one_text_has_one_number() {
        let (first, other) = (named("/one/number").unwrap(), named("/another/number").unwrap());
        assert_eq!(named("/one/number"), Some(first));
        assert_ne!(first.number(), other.number());
        assert_eq!(Pattern::numbered(other.number()), Some(other));
        assert_eq!(Pattern::numbered(other.number()).unwrap().text(), "/another/number");
        assert_eq!(Pattern::numbered(0), None);
        assert_eq!(Pattern::numbered(u16::MAX), None);
    }
}
