use super::*;

#[test]
fn authorities_are_hosts_with_an_optional_port() {
    for good in ["a", "a.b-c:80", "[::1]", "[::1]:8080", "127.0.0.1:1", "a:", "xn--bcher-kva.example"] {
        assert!(is_authority(good.as_bytes()), "{good}");
    }
    for bad in
        ["", ":80", "a b", "u@a", "a:b", "a:123456", "[]", "[::1", "::1]", "a/b", "a,b", "[::1]x", "a:80:80", "[g::]"]
    {
        assert!(!is_authority(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn targets_are_visible_ascii_without_a_fragment() {
    for byte in 0..=255 {
        let allowed = (b'!'..=b'~').contains(&byte) && byte != b'#';
        assert_eq!(TARGET_BYTES.has_all(&[byte]), allowed, "{byte:#x}");
    }
}

#[test]
fn targets_split_into_their_four_forms() {
    let split = |target: &str, options| split(target.as_bytes(), 4, options);
    assert_eq!(split("/a?b", false), Ok(Target::Origin));
    assert_eq!(split("*", true), Ok(Target::Asterisk));
    assert!(split("*", false).is_err());
    assert_eq!(split("HTTP://h:1/p?q", false), Ok(Target::Absolute { authority: (11, 3), path: (14, 4) }));
    assert_eq!(split("http://h?q", false), Ok(Target::Absolute { authority: (11, 1), path: (12, 2) }));
    assert_eq!(split("https://h", false), Ok(Target::Absolute { authority: (12, 1), path: (13, 0) }));
    for bad in ["a/b", "h:80", "ftp://h/", "http:///p", "http://u@h/", "/a#b", "http://", "/\u{e9}"] {
        assert!(split(bad, false).is_err(), "{bad}");
    }
}

#[test]
fn refusal_says_what_is_wrong() {
    for (target, why) in [
        ("/a#b", "a fragment"),
        ("/#\u{e9}", "a fragment"),
        ("/\u{e9}", "no visible ASCII"),
        ("/\u{7f}", "no visible ASCII"),
        ("*", "a method other than OPTIONS"),
        ("**", "neither a path, nor *"),
        ("", "neither a path, nor *"),
        ("a/b", "neither a path, nor *"),
        ("http://", "neither a path, nor *"),
        ("ftp://h/", "neither a path, nor *"),
        ("http:///p", "an authority in the request target"),
        ("http://u@h/", "an authority in the request target"),
    ] {
        let refused = split(target.as_bytes(), 4, false).unwrap_err();
        assert!(refused.contains(why), "{target:?}: {why:?} in {refused:?}");
    }
}

#[test]
fn ports_have_five_digits_at_most() {
    for (port, is_good) in [("", true), ("8080", true), ("65535", true), ("000080", false), ("655350", false)] {
        for host in ["a", "[::1]"] {
            assert_eq!(is_authority(format!("{host}:{port}").as_bytes()), is_good, "{host}:{port}");
        }
    }
}
