//! What `cacheable` wants besides: leave, and a lifetime above the current age.

use super::*;

#[test]
fn r03_cacheable_takes_public_where_no_lifetime_says_that_it_is_stale() {
    assert_eq!(cacheable(&["Cache-Control: Public"]), Ok(()));
    assert_eq!(cacheable(&["Cache-Control: public", "Age: 1000", &date("Date", -1000)]), Ok(()));
    assert_eq!(cacheable(&["Cache-Control: public=\"a\""]), FOR_ONE);
    assert_eq!(cacheable(&["Cache-Control: public, max-age=60", "Age: 60"]), FOR_ONE);
    assert_eq!(cacheable(&["Cache-Control: public", &date("Expires", -1)]), FOR_ONE);
    assert_eq!(cacheable(&["Cache-Control: must-revalidate, immutable"]), FOR_ONE);
}

#[test]
fn r03_cacheable_wants_a_lifetime_above_the_current_age() {
    // Seconds: s-maxage, max-age, Expires from now, Age, Date from now, waited.
    let none = None::<i64>;
    for (s_maxage, max_age, expires, age, made, waited_s, shared) in [
        (none, Some(1), none, none, none, 0, true),
        (none, Some(1), none, none, none, 1, false),
        (none, Some(10), none, Some(9), none, 0, true),
        (none, Some(10), none, Some(10), none, 0, false),
        (none, Some(10), none, Some(7), none, 2, true),
        (none, Some(10), none, Some(7), none, 3, false),
        (none, Some(10), none, none, Some(-9), 0, true),
        (none, Some(10), none, none, Some(-10), 0, false),
        // The larger of apparent age and corrected age, not their sum.
        (none, Some(10), none, Some(6), Some(-9), 3, true),
        (none, Some(10), none, Some(9), Some(-6), 0, true),
        // A clock ahead of ours makes nothing younger.
        (none, Some(10), none, Some(10), Some(5), 0, false),
        // s-maxage goes before max-age, and that before Expires.
        (Some(10), Some(1), none, Some(5), none, 0, true),
        (Some(1), Some(10), none, Some(5), none, 0, false),
        (none, Some(10), Some(1), Some(5), none, 0, true),
        (none, Some(1), Some(10), Some(5), none, 0, false),
        (Some(10), none, Some(-1), Some(5), none, 0, true),
        // Expires counts from Date, from now where there is none.
        (none, none, Some(10), Some(9), none, 0, true),
        (none, none, Some(10), Some(10), none, 0, false),
        (none, none, Some(10), none, none, 10, false),
        (none, none, Some(5), Some(9), Some(-5), 0, true),
        (none, none, Some(5), Some(10), Some(-5), 0, false),
        (none, none, Some(10), Some(5), Some(5), 0, false),
        (none, none, Some(10), Some(4), Some(5), 0, true),
    ] {
        let lines = [
            s_maxage.map(|s| format!("Cache-Control: s-maxage={s}")),
            max_age.map(|s| format!("Cache-Control: max-age={s}")),
            expires.map(|s| date("Expires", s)),
            age.map(|s| format!("Age: {s}")),
            made.map(|s| date("Date", s)),
        ];
        let lines: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
        let expected = if shared { Ok(()) } else { FOR_ONE };
        assert_eq!(judged(&Terms { waited_s, ..CACHEABLE }, 200, &lines), expected, "{lines:?}, waited {waited_s} s");
    }
}

#[test]
fn r03_age_is_its_first_member_if_that_is_a_number() {
    for (age, shared) in [
        ("Age: 9, 10", true),
        ("Age: 10, 9", false),
        ("Age: 9\r\nAge: 10", true),
        ("Age: 10\r\nAge: 9", false),
        ("Age: ten", true),
        ("Age: -10", true),
        ("Age:", true),
        ("Age: 99999999999999999999999", false),
    ] {
        let expected = if shared { Ok(()) } else { FOR_ONE };
        assert_eq!(cacheable(&["Cache-Control: max-age=10", age]), expected, "{age}");
    }
}

#[test]
fn r03_of_several_lifetimes_the_smallest_counts() {
    for value in ["max-age=10, max-age=60", "max-age=60, max-age=10", "s-maxage=60, s-maxage=10, max-age=60"] {
        let line = format!("Cache-Control: {value}");
        assert_eq!(cacheable(&[&line, "Age: 9"]), Ok(()), "{value}");
        assert_eq!(cacheable(&[&line, "Age: 10"]), FOR_ONE, "{value}");
    }
    assert_eq!(cacheable(&[&date("Expires", 60), &date("Expires", 10), "Age: 10"]), FOR_ONE);
}

#[test]
fn r03_date_that_cannot_be_read_is_now() {
    assert_eq!(cacheable(&["Cache-Control: max-age=1", "Date: 0"]), Ok(()));
    assert_eq!(cacheable(&[&date("Expires", 1), "Date: yesterday"]), Ok(()));
    assert_eq!(cacheable(&["Cache-Control: max-age=1", "Date: Thu, 01 Jan 1970 00:00:00 GMT"]), FOR_ONE);
}

#[test]
fn r03_too_many_seconds_are_as_many_as_there_can_be() {
    for (digits, s) in [("0", 0), ("0010", 10), ("18446744073709551615", u64::MAX), ("100000000000000000000", u64::MAX)]
    {
        assert_eq!(delta_s(digits.as_bytes()), Some(s), "{digits}");
    }
    let huge = "Cache-Control: max-age=99999999999999999999999";
    assert_eq!(cacheable(&[huge, "Age: 1000000000000"]), Ok(()));
    assert_eq!(judged(&Terms { waited_s: u64::MAX, ..CACHEABLE }, 200, &[huge, "Age: 1"]), FOR_ONE);
    let far = Terms { now_unix_s: u64::MAX, ..CACHEABLE };
    assert_eq!(judged(&far, 200, &["Date: Mon, 01 Jan 0001 00:00:00 GMT", "Cache-Control: max-age=60"]), FOR_ONE);
}

#[test]
fn r03_cacheable_with_authorization_wants_leave_for_it() {
    let terms = Terms { has_authorization: true, ..CACHEABLE };
    for (value, shared) in [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, must-revalidate=1", false),
        ("max-age=60, must-revalidate", true),
        ("max-age=60, public", true),
        ("s-maxage=60", true),
        ("public", true),
        ("must-revalidate", false),
    ] {
        let expected = if shared { Ok(()) } else { FOR_ONE };
        assert_eq!(judged(&terms, 200, &[&format!("Cache-Control: {value}")]), expected, "{value}");
    }
    assert_eq!(judged(&terms, 200, &[&date("Expires", 60)]), FOR_ONE);
    assert_eq!(judged(&Terms { has_authorization: true, ..IDENTICAL }, 200, &["Cache-Control: max-age=60"]), Ok(()));
}
