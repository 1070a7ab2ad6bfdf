//! Which policy a request is judged by. Pure: a snapshot and a head in, a policy out.

use crate::config::{Match, RoutePolicy, Snapshot};
use crate::h1::RequestHead;
use crate::http::Fields;

/// The policy of the first route that matches, else the default.
pub(crate) fn policy<'s>(snapshot: &'s Snapshot, bytes: &[u8], head: &RequestHead, fields: &Fields) -> &'s RoutePolicy {
    let matches = |matcher: &Match| holds(matcher, bytes, head, fields);
    snapshot.routes.iter().find(|route| matches(&route.matcher)).map_or(&snapshot.policy, |route| &route.policy)
}

fn holds(matcher: &Match, bytes: &[u8], head: &RequestHead, fields: &Fields) -> bool {
    let path = head.path_in(bytes);
    matcher.method.as_ref().is_none_or(|method| method.as_bytes() == head.method_in(bytes))
        && matcher.path.as_ref().is_none_or(|wanted| wanted.as_bytes() == path)
        && matcher.path_prefix.as_ref().is_none_or(|prefix| is_below(path, prefix.as_bytes()))
        && matcher.host.as_ref().is_none_or(|host| {
            let authority = head.authority_in(bytes).unwrap_or_default();
            without_port(authority).eq_ignore_ascii_case(host.as_bytes())
        })
        && matcher.header.as_ref().is_none_or(|(name, value)| {
            let mut named =
                fields.lines().iter().filter(|field| field.name_in(bytes).eq_ignore_ascii_case(name.as_bytes()));
            match value {
                Some(value) => named.any(|field| field.value_in(bytes) == value.as_bytes()),
                None => named.next().is_some(),
            }
        })
}

/// `/reports` holds for itself and what is below it, `/reports/` for what is below it.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || prefix.ends_with(b"/"))
}

fn without_port(authority: &[u8]) -> &[u8] {
    if authority.starts_with(b"[") {
        let end = authority.iter().position(|&byte| byte == b']').map_or(authority.len(), |at| at + 1);
        return &authority[..end];
    }
    &authority[..authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert!(is_below(b"/reports", b"/reports") && is_below(b"/reports/x", b"/reports"));
        assert!(!is_below(b"/reportsx", b"/reports") && !is_below(b"/reports", b"/reports/"));
        assert!(is_below(b"/reports/x", b"/reports/") && is_below(b"/anything", b"/"));
    }

    #[test]
    fn hosts_match_without_their_port() {
        assert_eq!(without_port(b"a.example:8080"), b"a.example");
        assert_eq!(without_port(b"[::1]:8080"), b"[::1]");
        assert_eq!(without_port(b"[::1]"), b"[::1]");
    }
}
