mod cacheable;

use proptest::prelude::*;

use super::*;
use crate::h1::{FIELDS_MAX, HeadLimits, parse_response};
use crate::http::{Field, HttpDate, Method};

/// 2026-10-12 06:13:20.
const NOW: u64 = 1_791_785_600;

const IDENTICAL: Terms<'static> = Terms {
    cacheable: false,
    share_errors: true,
    has_authorization: false,
    compared: &|_| true,
    now_unix_s: NOW,
    waited_s: 0,
};
const CACHEABLE: Terms<'static> = Terms { cacheable: true, share_errors: false, ..IDENTICAL };
const FOR_ONE: Result<(), Unshared> = Err(Unshared::Unshareable);

fn judged(terms: &Terms<'_>, status: u16, lines: &[&str]) -> Result<(), Unshared> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
    let mut fields = Fields::default();
    let limits = HeadLimits { bytes: 64 * 1024, fields: FIELDS_MAX };
    parse_response(text.as_bytes(), Method::Get, limits, &mut fields).unwrap().expect("whole");
    judge(status, text.as_bytes(), &fields, terms)
}

/// Of a 200 in `identical`.
fn identical(lines: &[&str]) -> Result<(), Unshared> {
    judged(&IDENTICAL, 200, lines)
}

/// Of a 200 in `cacheable`.
fn cacheable(lines: &[&str]) -> Result<(), Unshared> {
    judged(&CACHEABLE, 200, lines)
}

/// `name: <date>`, so many seconds from now.
fn date(name: &str, from_now_s: i64) -> String {
    let at = NOW.checked_add_signed(from_now_s).unwrap();
    format!("{name}: {}", std::str::from_utf8(HttpDate::default().at(at)).unwrap())
}

/// Each `Cache-Control` is shared, or not, in `identical`.
#[track_caller]
fn directives(expected: Result<(), Unshared>, values: &[&str]) {
    for value in values {
        assert_eq!(identical(&[&format!("Cache-Control: {value}")]), expected, "{value}");
    }
}

#[test]
fn r03_plain_answer_is_shared_in_identical_and_not_in_cacheable() {
    let lines =
        ["Content-Type: application/json", "Content-Length: 2", "Date: Sun, 06 Nov 1994 08:49:37 GMT", "X-A: b"];
    assert_eq!(identical(&lines), Ok(()));
    assert_eq!(cacheable(&lines), FOR_ONE);
    assert_eq!(identical(&[]), Ok(()));
    assert_eq!(cacheable(&[]), FOR_ONE);
}

#[test]
fn r03_only_statuses_of_the_list_are_shared() {
    let shared = [200, 203, 204, 300, 301, 304, 308, 404, 405, 410, 414, 501];
    let lines = ["Cache-Control: public, max-age=60"];
    for status in (102..500).chain([501]).chain(600..=999) {
        let expected = if shared.contains(&status) { Ok(()) } else { FOR_ONE };
        for terms in [&IDENTICAL, &CACHEABLE] {
            assert_eq!(judged(terms, status, &lines), expected, "{status}");
        }
    }
    // No head with 101 gets so far.
    for status in [0, 100, 101] {
        assert_eq!(judge(status, b"", &Fields::default(), &IDENTICAL), FOR_ONE, "{status}");
    }
}

#[test]
fn r08_5xx_is_shared_with_on_error_share() {
    let cacheable = Terms { share_errors: true, ..CACHEABLE };
    for status in 500..=599 {
        assert_eq!(judged(&IDENTICAL, status, &[]), Ok(()), "{status}");
        assert_eq!(judged(&cacheable, status, &["Cache-Control: max-age=1"]), Ok(()), "{status}");
    }
}

#[test]
fn r08_5xx_is_released_with_on_error_release_whatever_it_says() {
    let identical = Terms { share_errors: false, ..IDENTICAL };
    for status in (500..=599).filter(|&status| status != 501) {
        for terms in [&identical, &CACHEABLE] {
            for lines in [&["Cache-Control: public, max-age=60"][..], &["Set-Cookie: a=b", "Vary: *"]] {
                assert_eq!(judged(terms, status, lines), Err(Unshared::Error), "{status}");
            }
        }
    }
}

#[test]
fn r08_shared_5xx_is_judged_as_any_other() {
    let lines = ["Set-Cookie: a=b", "Cache-Control: private, no-store", "Vary: *", "Content-Type: text/event-stream"];
    for status in 500..=599 {
        assert_ne!(judged(&IDENTICAL, status, &lines), Ok(()), "{status}");
    }
}

#[test]
fn r03_set_cookie_is_never_shared() {
    assert_eq!(identical(&["Set-Cookie: a=b"]), FOR_ONE);
    assert_eq!(identical(&["Cache-Control: public, max-age=60", "SET-COOKIE:"]), FOR_ONE);
    assert_eq!(cacheable(&["set-cookie: a=b", "Cache-Control: public, max-age=60"]), FOR_ONE);
}

#[test]
fn r03_event_stream_is_never_shared() {
    for value in
        ["text/event-stream", "Text/Event-Stream", "text/event-stream;charset=utf-8", "text/event-stream ; a=b"]
    {
        assert_eq!(identical(&[&format!("Content-Type: {value}")]), FOR_ONE, "{value}");
        let lines = ["Content-Type: a/b", &format!("content-type: {value}"), "Cache-Control: public, max-age=60"];
        assert_eq!(cacheable(&lines), FOR_ONE, "{value}");
    }
}

#[test]
fn r03_replaced_parts_are_never_shared() {
    for value in
        ["multipart/x-mixed-replace", "MULTIPART/X-Mixed-Replace; boundary=\"a\"", "multipart/x-mixed-replace;a=b"]
    {
        assert_eq!(identical(&[&format!("Content-Type: {value}")]), FOR_ONE, "{value}");
        assert_eq!(cacheable(&[&format!("Content-Type: {value}"), "Cache-Control: max-age=60"]), FOR_ONE, "{value}");
    }
}

#[test]
fn r03_other_types_are_shared() {
    for value in [
        "",
        "text/event",
        "text/html; a=text/event-stream",
        "multipart/mixed",
        "application/json",
        "x-text/event-stream",
    ] {
        assert_eq!(identical(&[&format!("Content-Type: {value}")]), Ok(()), "{value}");
    }
}

#[test]
fn r03_private_is_never_shared() {
    directives(
        FOR_ONE,
        &["private", "Private", "public, max-age=60, PRIVATE", "private=\"x-foo\"", "private = x", " ,private,, "],
    );
    assert_eq!(identical(&["Cache-Control: max-age=60", "Cache-Control: private"]), FOR_ONE);
    assert_eq!(identical(&["Cache-Control: private", "Cache-Control: max-age=60"]), FOR_ONE);
    assert_eq!(cacheable(&["Cache-Control: max-age=60,private"]), FOR_ONE);
}

#[test]
fn r03_no_store_is_never_shared() {
    directives(FOR_ONE, &["no-store", "No-Store", "max-age=60 ,\tno-store", "must-understand, no-store", "no-store=1"]);
    assert_eq!(cacheable(&["Cache-Control: public, no-store"]), FOR_ONE);
}

#[test]
fn r03_no_cache_is_never_shared() {
    directives(
        FOR_ONE,
        &["no-cache", "NO-CACHE", "no-cache=\"set-cookie\"", "max-age=60, no-cache=\"a, b\"", "a=\"b\\\"\",no-cache"],
    );
    assert_eq!(cacheable(&["Cache-Control: public, no-cache=\"x\""]), FOR_ONE);
}

/// What no number is counts as 0 (RFC 9111 section 4.2.1).
const NO_LIFETIME: [&str; 11] =
    ["=0", "=00", "=\"0\"", " = 0", "", "=\"\"", "=-1", "=1.5", "=abc", "=\"6 0\"", "=0x10"];

#[test]
fn r03_max_age_of_0_is_never_shared() {
    for value in NO_LIFETIME {
        directives(FOR_ONE, &[&format!("max-age{value}"), &format!("s-maxage=60, Max-Age{value}, public")]);
        directives(FOR_ONE, &[&format!("max-age=60, max-age{value}"), &format!("max-age{value}, max-age=60")]);
    }
    let future = date("Expires", 60);
    assert_eq!(identical(&["Cache-Control: max-age=0", &future]), FOR_ONE);
    assert_eq!(cacheable(&["Cache-Control: s-maxage=60, max-age=0"]), FOR_ONE);
}

#[test]
fn r03_s_maxage_of_0_is_never_shared() {
    for value in NO_LIFETIME {
        directives(FOR_ONE, &[&format!("s-maxage{value}"), &format!("public, S-MaxAge{value}, max-age=60")]);
    }
    assert_eq!(cacheable(&["Cache-Control: max-age=60", "Cache-Control: s-maxage=0"]), FOR_ONE);
}

#[test]
fn r03_what_cache_control_does_not_forbid_is_shared() {
    directives(
        Ok(()),
        &["", ",", "public", "max-age=1", "s-maxage=\"60\"", "max-age=99999999999999999999999", "max-age = 60"],
    );
    directives(
        Ok(()),
        &["a=\"b, private, max-age=0, c\"", "a=\"\\\", no-store\"", "privately, x-no-store, no-cache-x", "a=private"],
    );
    directives(
        Ok(()),
        &["max-age=60, stale-while-revalidate=0, stale-if-error=0", "immutable, must-revalidate, proxy-revalidate"],
    );
}

#[test]
fn r03_every_character_of_a_token_may_stand_in_a_directive() {
    directives(Ok(()), &["!#$%&'*+-.^_`|~09azAZ=~|`_^.-+*'&%$#!"]);
    for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(byte)) {
        assert!(!is_tchar(byte), "{byte}");
    }
}

#[test]
fn r03_identical_does_not_ask_whether_a_lifetime_has_passed() {
    let lines = ["Age: 1000", &date("Date", -1000)];
    for line in ["Cache-Control: max-age=1", "Cache-Control: s-maxage=1"] {
        assert_eq!(judged(&Terms { waited_s: 1000, ..IDENTICAL }, 200, &[line, lines[0], lines[1]]), Ok(()), "{line}");
    }
}

#[test]
fn r03_cache_control_that_follows_no_grammar_is_never_shared() {
    directives(
        FOR_ONE,
        &["public; max-age=60", "max-age=60; a", "public max-age=60", "a=b; private", "a=\"b", "a=\"b\\\"", "a=\"b\\"],
    );
    directives(
        FOR_ONE,
        &["a=\"b\"c", "=60", "a=", "a=,b", "\"public\"", "max-age:60", "a==b", "max-age=60 60", "publi\u{e9}"],
    );
}

#[test]
fn r03_expires_in_the_past_is_never_shared() {
    for line in [date("Expires", -1), date("expires", -1_000_000_000), date("Expires", 0)] {
        assert_eq!(identical(&[&line]), FOR_ONE, "{line}");
        assert_eq!(identical(&[&line, "Cache-Control: public"]), FOR_ONE, "{line}");
        assert_eq!(identical(&[&date("Expires", 60), &line]), FOR_ONE, "{line}");
    }
    assert_eq!(identical(&["Expires: Monday, 12-Oct-26 06:13:20 GMT"]), FOR_ONE);
    assert_eq!(identical(&["Expires: Mon Oct 12 06:13:20 2026"]), FOR_ONE);
}

#[test]
fn r03_expires_that_is_no_date_is_past() {
    for value in ["0", "-1", "", "never", "Mon, 12 Oct 2099 06:13:20 UTC", "Mon, 01 Jan 0001 00:00:00 GMT"] {
        assert_eq!(identical(&[&format!("Expires: {value}")]), FOR_ONE, "{value}");
        assert_eq!(identical(&[&format!("Expires: {value}"), &date("Expires", 60)]), FOR_ONE, "{value}");
    }
}

#[test]
fn r03_expires_not_behind_date_is_past_by_the_clock_of_the_app() {
    assert_eq!(identical(&[&date("Date", 30), &date("Expires", 30)]), FOR_ONE);
    assert_eq!(identical(&[&date("Expires", 30), &date("Date", 31)]), FOR_ONE);
    assert_eq!(identical(&[&date("Date", 30), &date("Expires", 31)]), Ok(()));
}

#[test]
fn r03_expires_in_the_future_is_shared() {
    for line in [&date("Expires", 1), "Expires: Monday, 12-Oct-26 06:13:21 GMT", "Expires: Mon Oct 12 06:13:21 2026"] {
        assert_eq!(identical(&[line]), Ok(()), "{line}");
        assert_eq!(identical(&[line, &date("Date", -1000), "Age: 1000"]), Ok(()), "{line}");
        assert_eq!(cacheable(&[line]), Ok(()), "{line}");
    }
}

#[test]
fn r03_positive_max_age_outweighs_expires_in_the_past() {
    for line in [&date("Expires", -60), "Expires: 0"] {
        assert_eq!(identical(&[line, "Cache-Control: max-age=1"]), Ok(()), "{line}");
        assert_eq!(identical(&[line, "Cache-Control: s-maxage=1"]), Ok(()), "{line}");
        assert_eq!(cacheable(&[line, "Cache-Control: max-age=1"]), Ok(()), "{line}");
        assert_eq!(cacheable(&[line, "Cache-Control: s-maxage=1"]), Ok(()), "{line}");
    }
}

#[test]
fn r03_vary_is_shared_where_all_its_fields_were_compared() {
    let compared = |name: &[u8]| name.eq_ignore_ascii_case(b"accept") || name.eq_ignore_ascii_case(b"x-a");
    let terms = Terms { compared: &compared, ..IDENTICAL };
    for (lines, expected) in [
        (&["Vary: Accept"][..], Ok(())),
        (&["Vary: ACCEPT,x-a, accept"], Ok(())),
        (&["Vary: Accept", "Vary: X-A"], Ok(())),
        (&["Vary:"], Ok(())),
        (&["Vary: ,, accept,"], Ok(())),
        (&["Vary: X-Request-Id"], Err(Unshared::Vary)),
        (&["Vary: Accept, X-Request-Id"], Err(Unshared::Vary)),
        (&["Vary: X-Request-Id, Accept"], Err(Unshared::Vary)),
        (&["Vary: Accept", "Vary: X-Request-Id"], Err(Unshared::Vary)),
        (&["Vary: X-Request-Id", "Cache-Control: private, no-store"], FOR_ONE),
    ] {
        assert_eq!(judged(&terms, 200, lines), expected, "{lines:?}");
        let with_leave: Vec<&str> = lines.iter().copied().chain(["Cache-Control: public"]).collect();
        assert_eq!(judged(&Terms { cacheable: true, ..terms }, 200, &with_leave), expected, "{lines:?}");
    }
}

#[test]
fn r03_vary_by_everything_is_never_shared() {
    for lines in [&["Vary: *"][..], &["vary: accept, *"], &["Vary: *, accept"], &["Vary: a", "Vary: *"]] {
        assert_eq!(identical(lines), Err(Unshared::Vary), "{lines:?}");
    }
}

#[test]
fn r03_vary_by_what_is_no_name_is_never_shared() {
    for value in ["accept x-request-id", "accept; x-request-id", "\"accept\"", "acc\u{e9}pt", "*;", "(accept)"] {
        assert_eq!(identical(&[&format!("Vary: {value}")]), Err(Unshared::Vary), "{value}");
    }
}

proptest! {
    #[test]
    fn r03_private_is_found_wherever_it_stands(
        others in proptest::collection::vec("[a-z-]{1,9}x( ?= ?([a-z0-9]{1,4}|\"([a-z, =]|\\\\[\"a-z]){0,9}\"))?", 0..5),
        at in any::<prop::sample::Index>(),
        comma in "[ \t]{0,2},[ ,]{0,2}",
    ) {
        let line = |members: &[String]| format!("Cache-Control: {}", members.join(&comma));
        prop_assert_eq!(identical(&[&line(&others)]), Ok(()));
        let mut members = others.clone();
        members.insert(at.index(others.len() + 1), "private".to_owned());
        prop_assert_eq!(identical(&[&line(&members)]), FOR_ONE);
    }

    #[test]
    fn r03_no_bytes_of_a_field_cause_a_panic(
        values in proptest::collection::vec((0..7_usize, proptest::collection::vec(any::<u8>(), 0..24)), 0..8),
        terms in any::<(bool, bool, u64, u64)>(),
    ) {
        const NAMES: [Name; 7] =
            [Name::Age, Name::CacheControl, Name::ContentType, Name::Date, Name::Expires, Name::SetCookie, Name::Vary];
        let mut bytes = Vec::new();
        let mut fields = Fields::default();
        for (name, value) in &values {
            fields.push(Field::new(NAMES[*name], (0, 0), (bytes.len(), value.len())));
            bytes.extend_from_slice(value);
        }
        let (cacheable, has_authorization, now_unix_s, waited_s) = terms;
        let _ = judge(200, &bytes, &fields, &Terms { cacheable, has_authorization, now_unix_s, waited_s, ..IDENTICAL });
    }
}
