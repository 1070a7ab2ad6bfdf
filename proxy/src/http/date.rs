//! The `Date` field, formatted once a second.

/// An IMF-fixdate (RFC 9110 section 5.6.7), kept until its second is over.
#[derive(Debug)]
pub struct HttpDate {
    unix_s: u64,
    text: [u8; 29],
}

impl Default for HttpDate {
    fn default() -> HttpDate {
        HttpDate { unix_s: u64::MAX, text: [0; 29] }
    }
}

impl HttpDate {
    /// The text for `unix_s` seconds since 1970.
    pub fn at(&mut self, unix_s: u64) -> &[u8; 29] {
        if self.unix_s != unix_s {
            self.unix_s = unix_s;
            self.text = format(unix_s);
        }
        &self.text
    }
}

fn format(unix_s: u64) -> [u8; 29] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = unix_s / 86_400;
    let second = unix_s % 86_400;
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize].as_bytes());
    text[8..11].copy_from_slice(MONTHS[month - 1].as_bytes());
    let mut put = |at: usize, digits: usize, mut number: u64| {
        for place in (at..at + digits).rev() {
            text[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(5, 2, day);
    put(12, 4, year);
    put(17, 2, second / 3600);
    put(20, 2, second / 60 % 60);
    put(23, 2, second % 60);
    text
}

/// Year, month and day of a day since 1970-01-01. Source: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
fn civil(days: u64) -> (u64, usize, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ];
        for (unix_s, text) in cases {
            assert_eq!(std::str::from_utf8(HttpDate::default().at(unix_s)), Ok(text));
        }
    }
}
