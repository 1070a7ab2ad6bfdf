use super::*;
use crate::h1::testing::{fields_of, head};

fn of(version: Version, lines: &[&str]) -> Result<Framing, Refused> {
    let head = head("GET / HTTP/1.1", lines);
    examine(head.as_bytes(), &fields_of(&head), version)
}

fn http11(lines: &[&str]) -> Result<Framing, Refused> {
    of(Version::Http11, lines)
}

#[track_caller]
fn is_ambiguous(lines: &[&str], why: &str) {
    match http11(lines) {
        Err(Refused::Ambiguous(detail)) => assert!(detail.contains(why), "{why:?} in {detail:?}"),
        other => panic!("{lines:?} is {other:?}"),
    }
}

#[test]
fn head_that_says_nothing_frames_nothing() {
    assert_eq!(http11(&["Host: a", "Accept: */*"]), Ok(Framing::default()));
}

#[test]
fn length_is_one_decimal_number() {
    for (value, length) in [("0", 0), ("5", 5), ("007", 7), ("1024", 1024)] {
        let found = http11(&["Host: a", &format!("content-LENGTH: {value}")]);
        assert_eq!(found, Ok(Framing { length: Some(length), ..Framing::default() }), "{value}");
    }
    for value in ["", "+1", "-1", "0x1", "1,1", "1 1", "1.0", "\u{663}"] {
        is_ambiguous(&[&format!("Content-Length: {value}")], "not one decimal number");
    }
}

#[test]
fn length_has_18_digits_at_most() {
    for digits in [17, 18] {
        let length = Some(10u64.pow(digits) - 1);
        let line = format!("Content-Length: {}", "9".repeat(digits as usize));
        assert_eq!(http11(&[&line]), Ok(Framing { length, ..Framing::default() }));
    }
    is_ambiguous(&[&format!("Content-Length: {}", "0".repeat(19))], "more than 18 digits");
}

#[test]
fn second_length_is_refused_be_it_equal() {
    is_ambiguous(&["Content-Length: 5", "Content-Length: 5"], "more than one Content-Length");
}

#[test]
fn chunked_alone_is_spoken() {
    for value in ["chunked", "Chunked", "\t chunked  "] {
        let found = http11(&[&format!("Transfer-Encoding:{value}")]);
        assert_eq!(found, Ok(Framing { chunked: true, ..Framing::default() }), "{value:?}");
    }
}

#[test]
fn coding_we_do_not_speak_is_told_from_one_that_frames_nothing() {
    for lines in [&["Transfer-Encoding: gzip, chunked"][..], &["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"]]
    {
        assert_eq!(http11(lines), Err(Refused::UnknownCoding), "{lines:?}");
    }
    for lines in [
        &["Transfer-Encoding:"][..],
        &["Transfer-Encoding: gzip"],
        &["Transfer-Encoding: identity"],
        &["Transfer-Encoding: chunked, gzip"],
        &["Transfer-Encoding: chunked, chunked"],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        &["Transfer-Encoding: ,chunked"],
        &["Transfer-Encoding: chunked,"],
        &["Transfer-Encoding: xchunked"],
        &["Transfer-Encoding: chunked;q=1"],
        &["Transfer-Encoding: \"chunked\""],
    ] {
        is_ambiguous(lines, "does not end in chunked, once");
    }
}

#[test]
fn length_beside_chunked_is_refused_in_any_order() {
    is_ambiguous(&["Content-Length: 5", "Transfer-Encoding: chunked"], "both Content-Length and Transfer-Encoding");
    is_ambiguous(&["Transfer-Encoding: chunked", "Content-Length: 5"], "both Content-Length and Transfer-Encoding");
}

#[test]
fn chunked_in_http_1_0_is_refused() {
    let refused = of(Version::Http10, &["Transfer-Encoding: chunked"]);
    assert!(matches!(refused, Err(Refused::Ambiguous(why)) if why.contains("HTTP/1.0")), "{refused:?}");
}

#[test]
fn connection_options_are_read_from_all_lines() {
    let found = http11(&["Connection: Close", "Connection: ,x-a , KEEP-alive"]).unwrap();
    assert_eq!((found.close, found.keep_alive, found.nominates), (true, true, true));
    let found = http11(&["Connection: keep-alive"]).unwrap();
    assert_eq!((found.close, found.keep_alive, found.nominates), (false, true, false));
    // Fields that are left out anyway need no search.
    let found = http11(&["Connection: te, upgrade, transfer-encoding"]).unwrap();
    assert_eq!((found.close, found.keep_alive, found.nominates), (false, false, false));
    assert_eq!(http11(&["Connection:"]), Ok(Framing::default()));
}

#[test]
fn connection_has_32_options_at_most() {
    let options = |count: usize| format!("Connection: {}", vec!["x"; count].join(","));
    for count in [31, 32] {
        assert!(http11(&[&options(count)]).is_ok(), "{count}");
    }
    is_ambiguous(&[&options(33)], "more than 32 Connection options");
    // Lines that say keep-alive alone take a shorter way, and count all the same.
    assert!(http11(&[&options(31), "Connection: keep-alive"]).is_ok());
    is_ambiguous(&[&options(32), "Connection: keep-alive"], "more than 32 Connection options");
}
