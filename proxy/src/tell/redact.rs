//! Queries without what must not lie in a backend.

/// Parameters whose values are credentials, in lower case: those that the semantic conventions name, and their usual relatives.
const SECRET: [&str; 26] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "code",
    "credential",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-signature",
];

/// The query with `REDACTED` for the value of each parameter that is a credential.
pub(super) fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, parameter) in text.split('&').enumerate() {
        if n > 0 {
            out.push('&');
        }
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                out.push_str(name);
                out.push_str("=REDACTED");
            }
            _ => out.push_str(parameter),
        }
    }
    out
}

/// Also where its name is written with escapes.
fn is_secret(name: &str) -> bool {
    let name = unescaped(name).to_ascii_lowercase();
    SECRET.binary_search(&name.as_str()).is_ok()
}

fn unescaped(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &behind[2..];
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted() {
        assert!(SECRET.is_sorted());
    }

    #[test]
    fn values_of_credentials_are_not_told() {
        for (query_in, told) in [
            ("a=1&token=abc&b=2", "a=1&token=REDACTED&b=2"),
            ("X-Amz-Signature=f00&X-Amz-Date=1", "X-Amz-Signature=REDACTED&X-Amz-Date=1"),
            ("%74oken=abc", "%74oken=REDACTED"),
            ("sig=a=b", "sig=REDACTED"),
            ("token", "token"),
            ("tokens=5&", "tokens=5&"),
            ("%zz=1&%", "%zz=1&%"),
        ] {
            assert_eq!(query(query_in), told);
        }
    }
}
