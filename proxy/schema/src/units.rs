//! The units: milliseconds written as Kubernetes writes durations, bytes, and plain counts.

use crate::quantity::{Bounded, Quantity};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const PIB: u64 = 1 << 50;

/// The largest duration that its own form can write in one group.
const DURATION_MS_MAX: u64 = 99_999 * HOUR;

/// A duration in the form of GEP-2257, such as `500ms` or `1m30s`; in memory whole milliseconds.
pub type Duration<const MIN_MS: u64 = 0, const MAX_MS: u64 = DURATION_MS_MAX> = Bounded<Milliseconds, MIN_MS, MAX_MS>;

/// A size such as `64KiB`, or a plain number of bytes.
pub type ByteSize<const MIN: u64 = 0, const MAX: u64 = PIB> = Bounded<Bytes, MIN, MAX>;

/// A whole number.
pub type Count<const MIN: u64, const MAX: u64> = Bounded<Whole, MIN, MAX>;

impl<const MIN: u64, const MAX: u64> Duration<MIN, MAX> {
    pub fn as_ms(self) -> u64 {
        self.get()
    }

    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.get())
    }
}

/// The unit of [`Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds;

/// Largest first, as they are written; `ms` before `m` and `s` when reading, for it begins like the one and ends like the other.
const TIME_UNITS: [(&str, u64); 4] = [("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];
const GROUPS_MAX: usize = 4;
const DIGITS_MAX: usize = 5;

impl Quantity for Milliseconds {
    const WHAT: &'static str = "a duration";
    const EXAMPLE: &'static str = ", such as 500ms or 1m30s";
    const PATTERN: Option<&'static str> = Some("([0-9]{1,5}(h|m|s|ms)){1,4}");
    const NUMBER: bool = false;

    fn read(text: &str) -> Option<u64> {
        let mut rest = text;
        let mut total: u64 = 0;
        for _ in 0..GROUPS_MAX {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > DIGITS_MAX {
                return None;
            }
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (_, factor) = TIME_UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
            rest = &rest[letters..];
            total += number * factor;
            if rest.is_empty() {
                return Some(total);
            }
        }
        None
    }

    fn show(value: u64) -> String {
        if value == 0 {
            return "0s".to_owned();
        }
        let mut rest = value;
        let mut text = String::new();
        for (unit, factor) in TIME_UNITS {
            let number = rest / factor;
            if number > 0 {
                text.push_str(&format!("{number}{unit}"));
            }
            rest %= factor;
        }
        text
    }
}

/// The unit of [`ByteSize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes;

/// Largest first. `Ki` is how Kubernetes writes `KiB`; decimal `KB` is refused, for half its readers take it for 1024.
const SIZE_UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl Quantity for Bytes {
    const WHAT: &'static str = "a size";
    const EXAMPLE: &'static str = ", in bytes or with KiB, MiB, GiB or TiB, such as 64KiB";
    const PATTERN: Option<&'static str> = Some("[0-9]{1,19}((K|M|G|T)iB?)?");
    const NUMBER: bool = true;

    fn read(text: &str) -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 19 {
            return None;
        }
        let number: u64 = text[..digits].parse().ok()?;
        let unit = &text[digits..];
        if unit.is_empty() {
            return Some(number);
        }
        let (_, shift) = SIZE_UNITS.iter().find(|(name, _)| *name == unit || name.strip_suffix('B') == Some(unit))?;
        number.checked_mul(1 << shift)
    }

    fn show(value: u64) -> String {
        for (unit, shift) in SIZE_UNITS {
            if value > 0 && value.is_multiple_of(1 << shift) {
                return format!("{}{unit}", value >> shift);
            }
        }
        value.to_string()
    }
}

/// The unit of [`Count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whole;

impl Quantity for Whole {
    const WHAT: &'static str = "a whole number";
    const EXAMPLE: &'static str = "";
    const PATTERN: Option<&'static str> = None;
    const NUMBER: bool = true;

    fn read(_: &str) -> Option<u64> {
        None
    }

    fn show(value: u64) -> String {
        value.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::OrNone;

    type Connect = Duration<1, { 10 * MINUTE }>;
    type Head = ByteSize<KIB, MIB>;

    #[test]
    fn durations_are_read_and_written_in_gep_2257_form() {
        for (text, ms, shown) in [
            ("0s", 0, "0s"),
            ("1ms", 1, "1ms"),
            ("90s", 90 * SECOND, "1m30s"),
            ("1h30m5s7ms", HOUR + 30 * MINUTE + 5 * SECOND + 7, "1h30m5s7ms"),
            ("7ms5s", 5 * SECOND + 7, "5s7ms"),
            ("1s1s1s1s", 4 * SECOND, "4s"),
            ("99999h", DURATION_MS_MAX, "99999h"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.as_ms(), duration.to_string().as_str()), (ms, shown), "{text}");
            assert_eq!(shown.parse::<Duration>().unwrap(), duration);
        }
        for text in [
            "",
            "5",
            "s",
            "1",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "1d",
            "1us",
            "-1s",
            "1.5s",
            "100000s",
            "1s1s1s1s1s",
            "1sm",
            "99999h1ms",
            "١s",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_range_holds_at_both_ends() {
        for (text, ok) in
            [("0ms", false), ("1ms", true), ("2ms", true), ("9m59s999ms", true), ("10m", true), ("10m1ms", false)]
        {
            assert_eq!(text.parse::<Connect>().is_ok(), ok, "{text}");
        }
        for (bytes, ok) in
            [(1023, false), (1024, true), (1025, true), (1_048_575, true), (1_048_576, true), (1_048_577, false)]
        {
            assert_eq!(Head::new(bytes).is_ok(), ok, "{bytes}");
            assert_eq!(bytes.to_string().parse::<Head>().is_ok(), ok, "{bytes}");
        }
        for (number, ok) in [(0, false), (1, true), (2, true), (1023, true), (1024, true), (1025, false)] {
            assert_eq!(Count::<1, 1024>::new(number).is_ok(), ok, "{number}");
        }
    }

    #[test]
    fn sizes_are_read_with_binary_units_and_written_with_the_largest_that_divides() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("64KiB", 65_536, "64KiB"),
            ("64Ki", 65_536, "64KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("10MiB", 10 << 20, "10MiB"),
            ("1025", 1025, "1025"),
            ("3GiB", 3 << 30, "3GiB"),
            ("1TiB", 1 << 40, "1TiB"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse::<ByteSize>().unwrap(), size);
        }
        for text in
            ["", "KiB", "64KB", "64kb", "64K", "64 KiB", "-1", "1.5MiB", "99999999999999999999", "18014398509481984KiB"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_refusal_says_what_was_found_and_what_is_allowed() {
        let refusal = "5".parse::<Connect>().unwrap_err().to_string();
        assert_eq!(refusal, "found `5`, allowed: a duration of 1ms to 10m, such as 500ms or 1m30s");
        let refusal = "1KB".parse::<Head>().unwrap_err().to_string();
        assert_eq!(
            refusal,
            "found `1KB`, allowed: a size of 1KiB to 1MiB, in bytes or with KiB, MiB, GiB or TiB, such as 64KiB"
        );
        let refusal = serde_json::from_str::<OrNone<Count<1, 9>>>("10").unwrap_err().to_string();
        assert!(refusal.starts_with("found `10`, allowed: a whole number of 1 to 9, or none"), "{refusal}");
    }

    #[test]
    fn none_is_a_value_where_the_field_allows_it() {
        for text in ["\"none\"", "\"off\"", "false"] {
            assert_eq!(serde_json::from_str::<OrNone<Connect>>(text).unwrap(), OrNone::None);
            assert!(serde_json::from_str::<Connect>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&OrNone::<Connect>::None).unwrap(), "\"none\"");
        assert!(serde_json::from_str::<OrNone<Connect>>("true").is_err());
    }
}
