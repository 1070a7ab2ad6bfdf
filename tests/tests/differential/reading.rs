//! What a client's bytes say, read straight on: enough to know how the app has to see a request that the proxy accepted.
//!
//! It takes more than the proxy does and refuses nothing on purpose; where it cannot go on it stops.

use crate::account::{Account, latin1, trimmed};
use crate::compare::difference;

/// A request as its client said it, the target in the form that an app is to see.
#[derive(Debug, Clone)]
pub struct Said {
    account: Account,
    /// Of the target, else of Host; `None`: the proxy names the app.
    authority: Option<String>,
    /// What Connection names.
    options: Vec<String>,
}

/// Fields that the proxy takes out, adds or changes.
#[rustfmt::skip]
const OF_THE_PROXY: &[&str] = &[
    "forwarded", "host", "http2-settings", "keep-alive", "max-forwards", "proxy-connection", "te", "upgrade", "via",
    "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
];

/// The requests of `bytes`, in order, up to where it cannot be read on.
pub fn read(bytes: &[u8]) -> Vec<Said> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let Some((said, behind)) = request(rest.strip_prefix(b"\r\n").unwrap_or(rest)) {
        all.push(said);
        rest = behind;
    }
    all
}

impl Said {
    /// What of the request that `arrived` at the app is not as the client said it.
    pub fn difference(&self, arrived: &Account) -> Option<String> {
        let end_to_end = |account: &Account| {
            let mut account = account.clone();
            // The one name that is taken out in the spelling of CGI too.
            let is_claim = |name: &str| name.replace('_', "-") == "x-forwarded-client-cert";
            let is_of_one_hop = |name: &str| {
                OF_THE_PROXY.contains(&name) || is_claim(name) || self.options.iter().any(|have| have == name)
            };
            account.fields.retain(|(name, _)| !is_of_one_hop(name));
            account
        };
        let host = arrived.fields.iter().find(|(name, _)| name == "host").map(|(_, host)| host);
        match &self.authority {
            Some(authority) if host != Some(authority) => Some(format!("host: said {authority:?}, arrived {host:?}")),
            _ => difference(&end_to_end(&self.account), &end_to_end(arrived)),
        }
    }
}

fn request(bytes: &[u8]) -> Option<(Said, &[u8])> {
    let (line, mut rest) = line(bytes)?;
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let fields;
    (fields, rest) = field_lines(rest)?;
    let all = |wanted: &str| {
        let named = fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| trimmed(value).to_ascii_lowercase()).collect::<Vec<_>>().join(",")
    };
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    match (all("transfer-encoding").as_str(), all("content-length").as_str()) {
        ("", "") => {}
        ("", length) => {
            let content;
            (content, rest) = rest.split_at_checked(length.parse().ok()?)?;
            body.extend_from_slice(content);
        }
        _ => loop {
            let (size, chunk) = self::line(rest)?;
            let digits = size.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).ok()?;
            if size == 0 {
                (trailers, rest) = field_lines(chunk)?;
                break;
            }
            let (content, behind) = chunk.split_at_checked(size)?;
            body.extend_from_slice(content);
            rest = behind.strip_prefix(b"\r\n")?;
        },
    }
    let host =
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| trimmed(host).to_string());
    let options: Vec<String> = all("connection").split(',').map(|option| trimmed(option).to_string()).collect();
    let is_last = options.iter().any(|option| option == "close")
        || (version == "HTTP/1.0" && !options.iter().any(|option| option == "keep-alive"));
    let (target, authority) = origin_form(method, target);
    let account = Account::new(method, &target, fields, trailers, body);
    let behind = if is_last { &[] } else { rest };
    Some((Said { account, authority: authority.or(host), options }, behind))
}

/// RFC 9112 sections 3.2.2 and 3.2.4.
fn origin_form(method: &str, target: &str) -> (String, Option<String>) {
    let lower = target.to_ascii_lowercase();
    let Some(scheme) = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme)) else {
        return (target.into(), None);
    };
    let rest = &target[scheme.len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = match path {
        "" if method == "OPTIONS" => "*".into(),
        path if path.starts_with('/') => path.into(),
        path => format!("/{path}"),
    };
    (path, Some(authority.into()))
}

fn line(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    Some((latin1(&bytes[..end]), &bytes[end + 2..]))
}

type Lines = Vec<(String, String)>;

/// Field lines and the empty line behind them.
fn field_lines(bytes: &[u8]) -> Option<(Lines, &[u8])> {
    let (mut lines, mut rest) = (Lines::new(), bytes);
    loop {
        let (text, behind) = line(rest)?;
        rest = behind;
        if text.is_empty() {
            return Some((lines, rest));
        }
        let (name, value) = text.split_once(':')?;
        lines.push((name.into(), value.into()));
    }
}

#[test]
fn requests_are_read_to_their_ends() {
    let bytes = b"\r\nPOST http://h:1?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: x\r\nX: 1\r\n\r\n3;e\r\nabc\r\n0\r\nS: 1\r\n\r\n\
                  PUT /b HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nhiGET /c HTTP/1.1\r\nHost: c";
    let all = read(bytes);
    let [first, second] = &all[..] else { panic!("{all:?}") };
    let field = |name: &str, value: &str| (name.to_string(), value.to_string());
    let arrived = |host: &str| {
        let fields = vec![field("x", "1"), field("host", host), field("via", "1.1 slipstream")];
        Account::new("POST", "/?q", fields, vec![field("S", "1")], b"abc".to_vec())
    };
    assert_eq!(first.difference(&arrived("h:1")), None);
    assert!(first.difference(&arrived("a")).is_some_and(|why| why.contains("host")));
    assert!(first.difference(&second.account).is_some());
    assert_eq!((second.account.target.as_str(), second.account.body.as_slice()), ("/b", &b"hi"[..]));
}
