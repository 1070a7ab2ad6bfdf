//! What a server refuses of what we accept, and why that is no other reading. A refusal that is not in the table fails the run.

use slipstream_tests::contains;

use crate::account::Account;
use crate::witness::Server;

struct Refusal {
    server: Server,
    status: u16,
    why: &'static str,
    /// Given the request, and the bytes of it that the server was sent.
    holds: fn(&Account, &[u8]) -> bool,
}

/// Seen with nginx 1.22, Node 20 and Go 1.26.
const REFUSALS: &[Refusal] = &[
    Refusal {
        server: Server::Nginx,
        status: 400,
        why: "a method of other characters than capitals, _ and -",
        holds: |account, _| !account.method.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'_' | b'-')),
    },
    Refusal { server: Server::Nginx, status: 405, why: "TRACE", holds: |account, _| account.method == "TRACE" },
    Refusal { server: Server::Nginx, status: 400, why: "the target *", holds: |account, _| account.target == "*" },
    Refusal {
        server: Server::Nginx,
        status: 400,
        why: "a path that it cannot normalise: a broken escape, a NUL, a way up from the root",
        holds: |account, _| !is_normal(path(account)),
    },
    Refusal {
        server: Server::Nginx,
        status: 400,
        why: "a field twice that may come once: Authorization, If-..., Expect",
        holds: |account, bytes| {
            let singular = |name: &str| name == "authorization" || name.starts_with("if-");
            let mut pairs = account.fields.windows(2);
            pairs.any(|pair| pair[0].0 == pair[1].0 && singular(&pair[0].0)) || lines_of(bytes, b"expect:").count() > 1
        },
    },
    Refusal {
        server: Server::Nginx,
        status: 400,
        why: "a tab beside a Host or Content-Length",
        holds: |_, bytes| has_tab(bytes, b"host:") || has_tab(bytes, b"content-length:"),
    },
    Refusal {
        server: Server::Nginx,
        status: 400,
        why: "a host with an empty label",
        holds: |account, _| {
            account.fields.iter().any(|(name, host)| name == "host" && (host.contains("..") || host.starts_with('.')))
        },
    },
    Refusal {
        server: Server::Node,
        status: 400,
        why: "a method that is not registered",
        holds: |account, _| !NODE_METHODS.contains(&account.method.as_str()),
    },
    Refusal {
        server: Server::Node,
        status: 400,
        why: "a tab behind a Content-Length",
        holds: |_, bytes| has_tab(bytes, b"content-length:"),
    },
    Refusal {
        server: Server::Go,
        status: 400,
        why: "a path with a broken escape",
        holds: |account, _| unescaped(path(account)).is_none(),
    },
    Refusal {
        server: Server::Go,
        status: 400,
        why: "a Trailer that names a framing field",
        holds: |_, bytes| {
            let names =
                |line: &[u8]| FRAMING.iter().any(|name| contains(&line.to_ascii_lowercase()["trailer:".len()..], name));
            lines_of(bytes, b"trailer:").any(names)
        },
    },
];

const FRAMING: &[&[u8]] = &[b"content-length", b"transfer-encoding", b"trailer"];

/// `http.METHODS`, as far as the cases go.
const NODE_METHODS: &[&str] =
    &["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND", "TRACE", "M-SEARCH"];

/// Why `server` refuses this request with `status`; `bytes` are those it was sent.
pub fn known(server: Server, status: Option<u16>, account: &Account, bytes: &[u8]) -> Option<&'static str> {
    let is_known = |refusal: &&Refusal| {
        refusal.server == server && Some(refusal.status) == status && (refusal.holds)(account, bytes)
    };
    REFUSALS.iter().find(is_known).map(|refusal| refusal.why)
}

fn path(account: &Account) -> &str {
    account.target.split('?').next().unwrap_or_default()
}

/// `None`: a percent sign without two hex digits behind it.
fn unescaped(path: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), path);
    while let Some((before, behind)) = rest.split_once('%') {
        let digits = behind.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &behind[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

fn is_normal(path: &str) -> bool {
    let Some(path) = unescaped(path) else { return false };
    let mut depth = 0;
    let stays_below = path.split(|&byte| byte == b'/').all(|segment| {
        depth += match segment {
            b"" | b"." => 0,
            b".." => -1,
            _ => 1,
        };
        depth >= 0
    });
    stays_below && !path.contains(&0)
}

/// Field lines of a head that start with `name`, which is in lower case.
fn lines_of<'b>(bytes: &'b [u8], name: &'static [u8]) -> impl Iterator<Item = &'b [u8]> {
    let lines = bytes.split(|&byte| byte == b'\n').take_while(|line| *line != b"\r");
    lines.filter(move |line| line.to_ascii_lowercase().starts_with(name))
}

fn has_tab(bytes: &[u8], name: &'static [u8]) -> bool {
    lines_of(bytes, name).any(|line| line.contains(&b'\t'))
}
