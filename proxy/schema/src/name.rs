//! Names of HTTP that a policy mentions: fields, methods, hosts, paths. Each is checked to be one that a request can carry.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::text::by_text;

/// A newtype over a checked text; `$check` returns the text to keep, or `None`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path, allowed $allowed:literal, max $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let kept = if text.len() <= $max { $check(text) } else { None };
                kept.map($name).ok_or_else(|| Invalid::new(text, $allowed))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        by_text!($name, $allowed, {"type": "string", "maxLength": $max});
    };
}

checked_text! {
    /// The name of an HTTP field, kept in lower case.
    FieldName, field_name, allowed "the name of an HTTP field (RFC 9110 5.1), at most 256 characters", max 256
}

checked_text! {
    /// The exact value of an HTTP field.
    HeaderValue, header_value, allowed "visible characters, spaces inside, at most 4096 bytes", max 4096
}

checked_text! {
    /// A field that coalescing may leave out of its comparison, kept in lower case.
    ///
    /// Source: coalescing.md R2. A field that says who asks, or which form of an answer, is refused: two users would share one answer; with `_`
    /// for `-` too, for apps behind CGI or WSGI cannot tell the two. One that ends at this hop is never compared, so to name it is a mistake.
    IgnoredField, ignored_field,
    allowed "the name of an HTTP field, at most 256 characters, other than authorization, proxy-authorization, cookie, host, forwarded, x-forwarded-* (but x-forwarded-for), x-api-key, x-auth-*, accept*, range, if-* (who asks, and for which form: always compared) and connection, keep-alive, proxy-connection, te, transfer-encoding, upgrade, http2-settings (of one connection: never compared)",
    max 256
}

checked_text! {
    /// A request method. Methods are case-sensitive (RFC 9110 9.1), so `get` is refused: it would never match.
    Method, method, allowed "a method as requests carry it, such as GET or POST (case matters), at most 32 characters", max 32
}

checked_text! {
    /// A host without port, kept in lower case.
    HostName, host_name, allowed "a host name or an IP address, without port and without wildcard, at most 253 characters", max 253
}

checked_text! {
    /// An absolute path without query. Compared byte for byte with what was received: no normalisation.
    Path, path, allowed "a path that begins with `/`, without query, fragment, spaces and control characters, at most 4096 bytes", max 4096
}

checked_text! {
    /// The `service.name` of OpenTelemetry.
    ServiceName, service_name, allowed "1 to 255 characters, none of them a control character", max 255
}

checked_text! {
    /// A file's path, from the directory the proxy is started in.
    FilePath, file_path, allowed "a file's path, at most 4096 bytes", max 4096
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn field_name(text: &str) -> Option<String> {
    is_token(text).then(|| text.to_ascii_lowercase())
}

fn header_value(text: &str) -> Option<String> {
    let visible = |byte: u8| byte == b'\t' || byte == b' ' || (byte > b' ' && byte != 0x7f);
    (text.bytes().all(visible) && text.trim_matches([' ', '\t']) == text).then(|| text.to_owned())
}

fn ignored_field(text: &str) -> Option<String> {
    const COMPARED: [&str; 7] =
        ["authorization", "proxy-authorization", "cookie", "host", "forwarded", "x-api-key", "range"];
    const COMPARED_PREFIXES: [&str; 4] = ["x-forwarded-", "x-auth-", "accept", "if-"];
    const OF_ONE_HOP: [&str; 7] =
        ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"];
    let name = field_name(text)?;
    let read_as = name.replace('_', "-");
    let refused = COMPARED.iter().chain(&OF_ONE_HOP).any(|refused| *refused == read_as)
        || COMPARED_PREFIXES.iter().any(|prefix| read_as.starts_with(prefix));
    (!refused || read_as == "x-forwarded-for").then_some(name)
}

fn method(text: &str) -> Option<String> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let wrong_case = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(text) && *known != text);
    (is_token(text) && !wrong_case).then(|| text.to_owned())
}

fn host_name(text: &str) -> Option<String> {
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match literal {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    valid.then(|| text.to_ascii_lowercase())
}

fn path(text: &str) -> Option<String> {
    let plain = |byte: u8| byte > b' ' && byte != 0x7f && byte != b'?' && byte != b'#';
    (text.starts_with('/') && text.bytes().all(plain)).then(|| text.to_owned())
}

fn file_path(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

fn service_name(text: &str) -> Option<String> {
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn holds<T: FromStr<Err = Invalid>>(accepted: &[&str], refused: &[&str]) {
        for text in accepted {
            assert!(text.parse::<T>().is_ok(), "{text:?} must be accepted");
        }
        for text in refused {
            assert!(text.parse::<T>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn names_are_what_a_request_can_carry() {
        holds::<FieldName>(&["X-Tenant", "a", "5"], &["", "a b", "a:", "\u{e9}", "a\n"]);
        holds::<HeaderValue>(&["", "a b", "a\tb", "\u{e9}"], &[" a", "a ", "a\r\nb", "a\0"]);
        holds::<Method>(&["GET", "PROPFIND", "purge"], &["", "get", "Post", "G T"]);
        holds::<HostName>(
            &["shop.example", "127.0.0.1", "[::1]", "a_b"],
            &["", "*.example", "shop:80", "[::1", "[x]", "a/b"],
        );
        holds::<Path>(&["/", "/a/b%20c", "/\u{e9}"], &["", "a", "/a?b", "/a#b", "/a b", "/a\n", "*"]);
        holds::<FilePath>(&["a", "/tls/tls.crt", "a b"], &["", "a\0b"]);
        holds::<ServiceName>(&["shop", "my shop"], &["", "a\nb"]);
    }

    #[test]
    fn lengths_hold_at_both_ends() {
        for (length, ok) in [(255, true), (256, true), (257, false)] {
            assert_eq!("x".repeat(length).parse::<FieldName>().is_ok(), ok, "{length}");
            assert_eq!("x".repeat(length).parse::<IgnoredField>().is_ok(), ok, "{length}");
        }
        for (length, ok) in [(252, true), (253, true), (254, false)] {
            assert_eq!("x".repeat(length).parse::<HostName>().is_ok(), ok, "{length}");
        }
        for (length, ok) in [(254, true), (255, true), (256, false)] {
            assert_eq!("x".repeat(length).parse::<ServiceName>().is_ok(), ok, "{length}");
        }
        for (length, ok) in [(31, true), (32, true), (33, false)] {
            assert_eq!("X".repeat(length).parse::<Method>().is_ok(), ok, "{length}");
        }
        for (length, ok) in [(4095, true), (4096, true), (4097, false)] {
            assert_eq!("/".repeat(length).parse::<Path>().is_ok(), ok, "{length}");
            assert_eq!("/".repeat(length).parse::<FilePath>().is_ok(), ok, "{length}");
            assert_eq!("x".repeat(length).parse::<HeaderValue>().is_ok(), ok, "{length}");
        }
    }

    #[test]
    fn fields_and_hosts_are_kept_in_lower_case() {
        assert_eq!("X-Tenant".parse::<FieldName>().unwrap().as_str(), "x-tenant");
        assert_eq!("Shop.Example".parse::<HostName>().unwrap().as_str(), "shop.example");
    }

    #[test]
    fn a_field_that_says_who_asks_is_never_ignored_by_coalescing() {
        holds_in_any_case(
            &[
                "x-request-start",
                "x-forwarded-for",
                "x-real-ip",
                "x-apikey",
                "x-authority",
                "user-agent",
                "ranges",
                "ifs",
            ],
            &[
                "authorization",
                "proxy-authorization",
                "cookie",
                "host",
                "forwarded",
                "x-forwarded-",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-forwarded-port",
                "x-forwarded-prefix",
                "x-forwarded-user",
                "x-forwarded-client-cert",
                "x-forwarded-for-original",
                "x-api-key",
                "x-auth-user",
                "x-auth-request-email",
                "accept",
                "accept-encoding",
                "accept-language",
                "range",
                "if-match",
                "if-none-match",
                "if-modified-since",
                "if-unmodified-since",
                "if-range",
                // What apps behind CGI or WSGI take for the same field.
                "x_forwarded_host",
                "x-forwarded_host",
                "x_api_key",
                "x_auth_user",
                "if_none_match",
                "proxy_authorization",
            ],
        );
    }

    #[test]
    fn what_ends_at_this_hop_or_is_no_name_cannot_be_ignored_by_coalescing() {
        holds_in_any_case(
            &["connections", "trailers", "upgrade-insecure-requests"],
            &[
                "connection",
                "keep-alive",
                "proxy-connection",
                "te",
                "transfer-encoding",
                "upgrade",
                "http2-settings",
                "",
                " ",
                "x a",
                "x-a:",
                "x-a ",
                " x-a",
                "x-a,x-b",
                "x-a\n",
                "x-*a*(",
                ":path",
                "x-\u{e9}",
            ],
        );
    }

    #[test]
    fn a_field_that_cannot_be_ignored_is_refused_with_what_can() {
        let refusal = "X-Forwarded-Host".parse::<IgnoredField>().unwrap_err().to_string();
        assert!(refusal.starts_with("found `X-Forwarded-Host`, allowed: the name of an HTTP field, "), "{refusal}");
        for named in
            ["x-forwarded-* (but x-forwarded-for)", "authorization", "x-auth-*", "accept*", "if-*", "keep-alive"]
        {
            assert!(refusal.contains(named), "{refusal} must name {named}");
        }
    }

    /// Each as it stands, in capitals, and with a capital at each word.
    fn holds_in_any_case(accepted: &[&str], refused: &[&str]) {
        let title = |name: &str| name.split('-').map(capital).collect::<Vec<_>>().join("-");
        for (names, ok) in [(accepted, true), (refused, false)] {
            for spelled in names.iter().flat_map(|name| [name.to_string(), name.to_uppercase(), title(name)]) {
                let read = spelled.parse::<IgnoredField>().ok().map(|field| field.as_str().to_owned());
                assert_eq!(read, ok.then(|| spelled.to_lowercase()), "{spelled:?}");
            }
        }
    }

    fn capital(word: &str) -> String {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    }
}
