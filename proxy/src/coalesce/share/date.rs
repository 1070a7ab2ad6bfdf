//! Reads an HTTP-date in its three formats (RFC 9110 section 5.6.7).

/// Seconds since 1970 of `text`; less than 0 before.
///
/// `None`: it is no such date. Case does not count, and a zone other than GMT makes it none (RFC 9111 section 4.2); the name of the day is read and
/// not compared with the date. A leap second is the second before it: a date is never taken for a later one. `now` tells the century of a year of
/// two digits.
pub(super) fn parse(text: &[u8], now: i64) -> Option<i64> {
    let mut text = Text(text);
    let first = text.one_of(&DAYS)?;
    if text.skip(b", ").is_some() {
        text.imf_fixdate()
    } else if text.skip(b" ").is_some() {
        text.asctime()
    } else {
        text.skip(DAY_ENDS[first])?;
        text.rfc850(now)
    }
}

const DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
const DAY_ENDS: [&[u8]; 7] = [b"day, ", b"sday, ", b"nesday, ", b"rsday, ", b"day, ", b"urday, ", b"day, "];
const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const DAY_S: i64 = 86_400;
/// Of 365.2425 days each.
const YEARS_50_S: i64 = 50 * 31_556_952;

/// What is left to read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// Behind `Sun, `: `06 Nov 1994 08:49:37 GMT`.
    fn imf_fixdate(mut self) -> Option<i64> {
        let day = self.number(2)?;
        let month = self.month(b" ")?;
        let year = self.number(4)?;
        let second = self.time()?;
        self.skip(b" gmt")?;
        self.end()?;
        unix_s(year, month, day, second)
    }

    /// Behind `Sunday, `: `06-Nov-94 08:49:37 GMT`. A year that would be more than 50 years ahead is of a century before.
    fn rfc850(mut self, now: i64) -> Option<i64> {
        let day = self.number(2)?;
        let month = self.month(b"-")?;
        let year = self.number(2)?;
        let second = self.time()?;
        self.skip(b" gmt")?;
        self.end()?;
        let of_century = |century: i64| unix_s(century * 100 + year, month, day, second);
        (0..100).rev().filter_map(of_century).find(|&at| at <= now.saturating_add(YEARS_50_S))
    }

    /// Behind `Sun `: `Nov  6 08:49:37 1994`.
    fn asctime(mut self) -> Option<i64> {
        let month = self.one_of(&MONTHS)?;
        self.skip(b" ")?;
        let day = if self.skip(b" ").is_some() { self.number(1)? } else { self.number(2)? };
        let second = self.time()?;
        self.skip(b" ")?;
        let year = self.number(4)?;
        self.end()?;
        unix_s(year, month, day, second)
    }

    /// The name of a month between two `mark`s, counted from 0.
    fn month(&mut self, mark: &[u8]) -> Option<usize> {
        self.skip(mark)?;
        let month = self.one_of(&MONTHS)?;
        self.skip(mark)?;
        Some(month)
    }

    /// ` 08:49:37`, as the second of the day.
    fn time(&mut self) -> Option<i64> {
        self.skip(b" ")?;
        let hour = self.number(2).filter(|&hour| hour < 24)?;
        self.skip(b":")?;
        let minute = self.number(2).filter(|&minute| minute < 60)?;
        self.skip(b":")?;
        let second = self.number(2).filter(|&second| second <= 60)?;
        Some(hour * 3600 + minute * 60 + second.min(59))
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) =
            self.0.split_at_checked(digits).filter(|(number, _)| number.iter().all(u8::is_ascii_digit))?;
        self.0 = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn one_of(&mut self, names: &[&[u8]]) -> Option<usize> {
        names.iter().position(|name| self.skip(name).is_some())
    }

    /// `what` is in lower case.
    fn skip(&mut self, what: &[u8]) -> Option<()> {
        let (_, rest) = self.0.split_at_checked(what.len()).filter(|(start, _)| start.eq_ignore_ascii_case(what))?;
        self.0 = rest;
        Some(())
    }

    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `month` counts from 0, `second` is of the day. `None`: the month has no such day.
///
/// Source of the count of days: Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil.
fn unix_s(year: i64, month: usize, day: i64, second: i64) -> Option<i64> {
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = LENGTHS[month] + i64::from(is_leap && month == 1);
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day of a leap year is their last.
    let from_march = (month as i64 + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * DAY_S + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-10-12 06:13:20.
    const NOW: i64 = 1_791_785_600;

    fn at(text: &str) -> Option<i64> {
        parse(text.as_bytes(), NOW)
    }

    #[test]
    fn the_three_formats_say_the_same() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(at(text), Some(784_111_777), "{text}");
            assert_eq!(at(&text.to_uppercase()), Some(784_111_777), "{text}");
            assert_eq!(at(&text.to_lowercase()), Some(784_111_777), "{text}");
        }
        assert_eq!(at("Wed Nov 16 08:49:37 1994"), Some(784_111_777 + 10 * DAY_S));
    }

    #[test]
    fn every_day_is_one_after_the_day_before_and_written_as_our_own_dates_are() {
        const NAMES: [&str; 7] = ["Thurs", "Fri", "Satur", "Sun", "Mon", "Tues", "Wednes"];
        let mut written = crate::http::HttpDate::default();
        // To 2126-01-01; seconds that go through the day.
        for day in 0..56_978_u64 {
            let unix_s = day * 86_400 + day % 86_400;
            let text = std::str::from_utf8(written.at(unix_s)).unwrap();
            let [_, day_of_month, month, year, time, _] = text.split(' ').collect::<Vec<_>>()[..] else { panic!() };
            let unix_s = unix_s as i64;
            assert_eq!(at(text), Some(unix_s), "{text}");
            let day_name = NAMES[day as usize % 7];
            let asctime = format!("{} {month} {:>2} {time} {year}", &text[..3], day_of_month.trim_start_matches('0'));
            assert_eq!(at(&asctime), Some(unix_s), "{asctime}");
            let rfc850 = format!("{day_name}day, {day_of_month}-{month}-{} {time} GMT", &year[2..]);
            // Whoever reads it at that time, or up to 50 years from it, reads the same.
            for from in [0, 49 * 31_556_952, -49 * 31_556_952] {
                assert_eq!(parse(rfc850.as_bytes(), unix_s + from), Some(unix_s), "{rfc850} {from}");
            }
        }
    }

    #[test]
    fn a_year_of_two_digits_is_not_more_than_50_years_ahead() {
        let of = |year| unix_s(year, 0, 1, 0);
        let at = |year: i64| at(&format!("Monday, 01-Jan-{year:02} 00:00:00 GMT"));
        assert_eq!(
            (at(76), at(77), at(99), at(0), at(26), at(27)),
            (of(2076), of(1977), of(1999), of(2000), of(2026), of(2027))
        );
        assert_eq!(parse(b"Tuesday, 29-Feb-00 00:00:00 GMT", of(2090).unwrap()), unix_s(2000, 1, 29, 0));
    }

    #[test]
    fn years_before_1970_and_far_ahead_are_read() {
        assert_eq!(at("Mon, 01 Jan 0001 00:00:00 GMT"), Some(-62_135_596_800));
        assert_eq!(at("Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(at("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
        assert_eq!(at("Sat, 01 Jan 0000 00:00:00 GMT"), Some(-62_167_219_200));
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        assert_eq!(at("Sat, 31 Dec 2016 23:59:60 GMT"), at("Sat, 31 Dec 2016 23:59:59 GMT"));
        assert_eq!(at("Sat, 31 Dec 2016 23:59:61 GMT"), None);
    }

    #[test]
    fn days_that_no_month_has_are_none() {
        let days = |month: &str, year: i64| {
            (0..100)
                .filter(|day| at(&format!("Sun, {day:02} {month} {year} 00:00:00 GMT")).is_some())
                .collect::<Vec<i64>>()
        };
        for (month, year, length) in [
            ("Jan", 2026, 31),
            ("Feb", 2026, 28),
            ("Feb", 2024, 29),
            ("Feb", 2000, 29),
            ("Feb", 1900, 28),
            ("Apr", 2026, 30),
            ("Jun", 2026, 30),
            ("Sep", 2026, 30),
            ("Nov", 2026, 30),
            ("Dec", 2026, 31),
        ] {
            assert_eq!(days(month, year), (1..=length).collect::<Vec<i64>>(), "{month} {year}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "1791785600",
            "Sun",
            "Sun,",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sunday, 06-Nov-94 08:49:37 GMT ",
            "Monday 06-Nov-94 08:49:37 GMT",
            "Suesday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6 08:49:37 94",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
