//! A share of a whole.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::text::by_text;

const ALLOWED: &str = "a share of 0 to 1, such as 0.01 for one in a hundred";

/// 0 to 1. Written as a number; an annotation has no other way than text.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Ratio, Invalid> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        // -0 and 0 are one share, and written as one.
        share.map(|share: f64| Ratio(share.abs())).ok_or_else(|| Invalid::new(text, ALLOWED))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

by_text!(Ratio, ALLOWED, {"type": "number", "minimum": 0, "maximum": 1}, |ratio, serializer| serializer.serialize_f64(ratio.0));
