//! One reader's account of one request: what it took for method, target, fields and body, in a form in which accounts can be compared.

use std::fmt::Write;

use slipstream_tests::{Fields, Request};

/// How a request was read. Text is Latin-1: one character a byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Fields that no account has. The first three say how the body is framed, so the body itself is compared; Go keeps them elsewhere. nginx
/// leaves out the others when it passes a request on.
const LEFT_OUT: &[&str] = &["content-length", "transfer-encoding", "trailer", "connection", "expect", "te"];

impl Account {
    /// Names in lower case, in the order of names (Go keeps no other), lines of one name in their own order; no white space around values.
    pub fn new(
        method: &str,
        target: &str,
        fields: Vec<(String, String)>,
        trailers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Account {
        let ordered = |fields: Vec<(String, String)>| {
            let lower =
                fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), trimmed(&value).to_string()));
            let mut kept: Vec<_> = lower.filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())).collect();
            kept.sort_by(|(one, _), (other, _)| one.cmp(other));
            kept
        };
        let (fields, trailers) = (ordered(fields), ordered(trailers));
        Account { method: method.into(), target: target.into(), fields, trailers, body }
    }

    /// Of a request that the harness has read by the letter.
    pub fn of(request: &Request) -> Account {
        let Request { method, target, fields: Fields(fields), trailers: Fields(trailers), body, .. } = request.clone();
        Account::new(&method, &target, fields, trailers, body)
    }

    /// As the field X-Read has it: `m:METHOD t:TARGET b:BODY`, `f:NAME:VALUE` for each field and `r:NAME:VALUE` for each trailer, all hex.
    pub fn written(&self) -> String {
        let mut said = format!(
            "m:{} t:{} b:{}",
            hex(self.method.chars().map(|c| c as u8)),
            hex(self.target.chars().map(|c| c as u8)),
            hex(self.body.iter().copied())
        );
        for (mark, fields) in [("f", &self.fields), ("r", &self.trailers)] {
            for (name, value) in fields {
                let (name, value) = (hex(name.chars().map(|c| c as u8)), hex(value.chars().map(|c| c as u8)));
                write!(said, " {mark}:{name}:{value}").expect("memory takes all");
            }
        }
        said
    }

    /// Reads what [`Account::written`] or a witness of `tests/peers` wrote.
    pub fn read(said: &str) -> Account {
        let (mut method, mut target, mut body) = (String::new(), String::new(), Vec::new());
        let (mut fields, mut trailers) = (Vec::new(), Vec::new());
        for part in said.split(' ') {
            let mut parts = part.split(':');
            let mark = parts.next().unwrap_or_default();
            let first = unhex(parts.next().unwrap_or_default());
            let second = unhex(parts.next().unwrap_or_default());
            match mark {
                "m" => method = latin1(&first),
                "t" => target = latin1(&first),
                "b" => body = first,
                "f" => fields.push((latin1(&first), latin1(&second))),
                "r" => trailers.push((latin1(&first), latin1(&second))),
                _ => panic!("no account: {said:?}"),
            }
        }
        Account::new(&method, &target, fields, trailers, body)
    }
}

/// Without the white space that may stand around a value (RFC 9110 section 5.5). nginx takes off the spaces alone, and keeps a tab.
pub fn trimmed(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.fold(String::new(), |mut said, byte| {
        write!(said, "{byte:02x}").expect("memory takes all");
        said
    })
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let number = |pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    pairs.map(|pair| number(pair).unwrap_or_else(|| panic!("not hex: {digits:?}"))).collect()
}

#[test]
fn accounts_come_back_as_they_were_written() {
    let fields =
        vec![("x-b".into(), "\u{ff}".into()), ("X-A".into(), " 1\t".into()), ("Content-Length".into(), "3".into())];
    let account = Account::new("GET", "/\"", fields, vec![("x-sum".into(), String::new())], b"\r\n\0".to_vec());
    assert_eq!(account.fields, [("x-a".to_string(), "1".to_string()), ("x-b".into(), "\u{ff}".into())]);
    assert_eq!(Account::read(&account.written()), account);
}
