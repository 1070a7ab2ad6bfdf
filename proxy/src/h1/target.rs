//! Request targets and authorities.

/// Where in the head a piece of it stands: first byte, length.
pub type Span = (usize, usize);

/// The request target, split (RFC 9112 section 3.2). Spans count from the start of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`.
    Origin,
    /// `*`, of OPTIONS alone.
    Asterisk,
    /// `http://authority/path?query`; the path is empty where none was given.
    Absolute { authority: Span, path: Span },
}

/// Splits a target that starts at `at`.
///
/// Shape: visible ASCII, as the caller's parser has checked but for bytes above 0x7f. Errors: text for a 400.
pub fn split(target: &[u8], at: usize, is_options: bool) -> Result<Target, &'static str> {
    if !TARGET_BYTES.has_all(target) {
        return Err(match target.contains(&b'#') {
            true => "a fragment in the request target (RFC 9112 3.2)",
            false => "a byte in the request target that is no visible ASCII (RFC 9112 3.2, RFC 3986 2)",
        });
    }
    if target.starts_with(b"/") {
        return Ok(Target::Origin);
    }
    if target == b"*" {
        return match is_options {
            true => Ok(Target::Asterisk),
            false => Err("the target * with a method other than OPTIONS (RFC 9112 3.2.4)"),
        };
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme));
    let Some(scheme) = scheme else {
        return Err("a request target that is neither a path, nor *, nor an http or https URL (RFC 9112 3.2)");
    };
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !is_authority(&rest[..end]) {
        return Err("an authority in the request target that is no host with an optional port (RFC 9110 4.2)");
    }
    let authority_at = at + scheme.len();
    Ok(Target::Absolute { authority: (authority_at, end), path: (authority_at + end, rest.len() - end) })
}

/// `host [":" port]` without user information; the host may not be empty (RFC 9110 section 4.2.1, RFC 3986 section 3.2).
pub fn is_authority(authority: &[u8]) -> bool {
    let end = match authority {
        [b'[', ..] => authority.iter().position(|&byte| byte == b']').map_or(authority.len(), |at| at + 1),
        _ => HOST_BYTES.run(authority),
    };
    let (host, port) = authority.split_at(end);
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_is_good && is_host(host)
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        [b'[', inner @ .., b']'] => {
            !inner.is_empty() && inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        _ => HOST_BYTES.has_all(host),
    }
}

/// A reg-name: unreserved, percent-encoded, sub-delims (RFC 3986 section 3.2.2), but for the comma, which would let a list of hosts pass as one.
static HOST_BYTES: Table = Table::of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~%!$&'()*+;=");

/// Visible ASCII without `#`.
static TARGET_BYTES: Table =
    Table::of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

/// Which bytes may stand somewhere.
struct Table([bool; 256]);

impl Table {
    const fn of(allowed: &[u8]) -> Table {
        let mut table = [false; 256];
        let mut n = 0;
        while n < allowed.len() {
            table[allowed[n] as usize] = true;
            n += 1;
        }
        Table(table)
    }

    /// How many bytes at the front are of the table. Eight at a time: the compiler unrolls what has a length that it knows.
    fn run(&self, bytes: &[u8]) -> usize {
        let is_other = |byte: &u8| !self.0[usize::from(*byte)];
        let (eights, rest) = bytes.as_chunks::<8>();
        for (n, eight) in eights.iter().enumerate() {
            if let Some(end) = eight.iter().position(is_other) {
                return n * 8 + end;
            }
        }
        eights.len() * 8 + rest.iter().position(is_other).unwrap_or(rest.len())
    }

    fn has_all(&self, bytes: &[u8]) -> bool {
        self.run(bytes) == bytes.len()
    }
}

#[cfg(test)]
mod tests;
