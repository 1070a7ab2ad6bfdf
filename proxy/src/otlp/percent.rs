//! `%41` for `A`, as the environment of OpenTelemetry and the messages of gRPC write it.

/// `None`: a `%` without two hexadecimal digits behind it, or what comes out is no UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(bytes(text, None)?).ok()
}

/// What cannot be decoded stays as it is (gRPC over HTTP/2, "Percent-Encoded": a broken message must not hide the error it tells of).
pub(super) fn decoded_where_possible(text: &str) -> String {
    bytes(text, Some(b'%')).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn bytes(text: &str, instead: Option<u8>) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            found.push(*first);
            continue;
        }
        match behind {
            [high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                found.push(digit(*high) << 4 | digit(*low));
                rest = behind;
            }
            _ => found.push(instead?),
        }
    }
    Some(found)
}

/// Of an ASCII hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_are_refused_or_kept() {
        for (text, strict, lenient) in [
            ("", Some(""), ""),
            ("plain", Some("plain"), "plain"),
            ("a%20b%2Cc", Some("a b,c"), "a b,c"),
            ("%c3%A4", Some("ä"), "ä"),
            ("100%", None, "100%"),
            ("%4", None, "%4"),
            ("%zz%41", None, "%zzA"),
            ("%%41", None, "%A"),
            ("%ff", None, "\u{fffd}"),
        ] {
            assert_eq!(decoded(text).as_deref(), strict, "{text:?}");
            assert_eq!(decoded_where_possible(text), lenient, "{text:?}");
        }
    }
}
