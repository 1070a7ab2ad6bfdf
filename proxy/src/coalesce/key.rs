//! Which requests may join (R1), and what must be equal of those that share (R2).
//!
//! Nothing is sorted or copied: a hash is summed over the field lines, so their order does not count, and finds the flight; a full comparison
//! decides. Pure: a parsed head in, a number or a yes out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Coalescing, CoalescingMode, Credentials, Snapshot};
use crate::h1::RequestHead;
use crate::http::{Field, Fields, Method, Name, NameSet, list};
use crate::io::Tick;

/// What a request is judged by and where it goes: equal for all that share an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Of the upstream, in the order of the settings.
    pub upstream: u32,
    /// Of the snapshot.
    pub generation: u64,
    /// [`crate::config::RoutePolicy::number`].
    pub route: u32,
    pub is_tls: bool,
    /// Where the client's address is compared.
    pub client: Option<IpAddr>,
}

/// A request that may join: its head where it was read, and what else must be equal.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub scope: Scope,
    /// Who the client has shown to be, as the app is told; empty where it has not.
    pub identity: &'a [u8],
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    pub fields: &'a Fields,
    pub rules: &'a Coalescing,
}

/// The same, kept for as long as a flight takes joiners. Its memory is used again for the next.
#[derive(Debug)]
pub(crate) struct Kept {
    /// When it was asked.
    since: Tick,
    scope: Scope,
    identity: Vec<u8>,
    bytes: Vec<u8>,
    head: RequestHead,
    fields: Fields,
}

/// Names that keep a request alone, whatever they say.
const ALONE: NameSet = NameSet::of(&[Name::Expect, Name::IfRange, Name::Range, Name::Upgrade]);
/// The same, but for `credentials: identical`.
const CREDENTIALS: NameSet = NameSet::of(&[Name::Authorization, Name::Cookie, Name::ProxyAuthorization]);
/// Names whose value may say that the request wants an answer of its own.
const REFRESHING: NameSet = NameSet::of(&[Name::CacheControl, Name::Pragma]);

/// Whether the request may share an answer at all (R1).
pub(crate) fn is_eligible(bytes: &[u8], head: &RequestHead, fields: &Fields, rules: &Coalescing) -> bool {
    let known = fields.known();
    head.method == Method::Get
        && rules.mode != CoalescingMode::Off
        && head.body.is_over()
        && !known.has_any(ALONE)
        && (rules.credentials == Credentials::Identical || !known.has_any(CREDENTIALS))
        && !(known.has_any(REFRESHING) && wants_fresh(bytes, fields))
}

fn wants_fresh(bytes: &[u8], fields: &Fields) -> bool {
    let mut said = fields.all(bytes, Name::CacheControl).flat_map(list);
    said.any(|directive| {
        let end = directive.iter().position(|&byte| byte == b'=').unwrap_or(directive.len());
        let (name, value) = (directive[..end].trim_ascii_end(), directive.get(end + 1..));
        name.eq_ignore_ascii_case(b"no-cache")
            || name.eq_ignore_ascii_case(b"no-store")
            || (name.eq_ignore_ascii_case(b"max-age") && value.is_none_or(is_zero))
    }) || fields.all(bytes, Name::Pragma).flat_map(list).any(|pragma| pragma.eq_ignore_ascii_case(b"no-cache"))
}

/// Nothing but zeros, or no number at all.
fn is_zero(value: &[u8]) -> bool {
    let digits = value.trim_ascii();
    let digits = digits.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(digits);
    digits.iter().all(|&byte| byte == b'0') || !digits.iter().all(u8::is_ascii_digit)
}

/// Names that say nothing of what is asked for, or are meant for one hop, or are compared otherwise (`Host`, with the authority).
const NOT_COMPARED: NameSet = NameSet::of(&[
    Name::B3,
    Name::Connection,
    Name::Date,
    Name::Host,
    Name::Http2Settings,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::Te,
    Name::Traceparent,
    Name::Tracestate,
    Name::TransferEncoding,
    Name::Upgrade,
    Name::Via,
    Name::XAmznTraceId,
    Name::XB3,
    Name::XRequestId,
]);
/// Names that say where the request came from, which `cacheable` does not compare.
const OF_ORIGIN: NameSet = NameSet::of(&[Name::XForwardedFor, Name::XRealIp]);

/// Known names that do not make two requests different (R2).
fn not_compared(rules: &Coalescing) -> NameSet {
    if rules.mode == CoalescingMode::Cacheable { NOT_COMPARED.with(OF_ORIGIN) } else { NOT_COMPARED }
}

/// The policy takes the name `token` out of what is compared.
fn is_ignored(token: &[u8], rules: &Coalescing) -> bool {
    rules.ignore.iter().any(|ignored| ignored.as_bytes().eq_ignore_ascii_case(token))
}

/// Whether an answer that varies by the field `token` (`Vary`) is the same for all that share: it was compared, or nobody has it (R1).
pub(crate) fn covers(token: &[u8], rules: &Coalescing) -> bool {
    let name = Name::of(token);
    name == Name::Host || ALONE.has(name) || !(not_compared(rules).has(name) || is_ignored(token, rules))
}

impl Question<'_> {
    /// The field lines that are compared. `Host` is compared with the authority.
    fn lines(&self) -> impl Iterator<Item = &Field> {
        lines(self.bytes, self.head, self.fields, self.rules)
    }

    /// How many lines of its name stand before this one: of those the order counts.
    #[cold]
    fn earlier(&self, line: &Field) -> u64 {
        let before = self.lines().take_while(|earlier| earlier.line_at() != line.line_at());
        before.filter(|earlier| is_same_name((earlier, self.bytes), (line, self.bytes))).count() as u64
    }

    fn authority(&self) -> &[u8] {
        self.head.authority_in(self.bytes).unwrap_or_default()
    }

    /// Of the path and query as they are forwarded.
    pub fn uri(&self) -> &[u8] {
        self.head.path_and_query_in(self.bytes)
    }
}

fn lines<'a>(
    bytes: &'a [u8],
    head: &'a RequestHead,
    fields: &'a Fields,
    rules: &'a Coalescing,
) -> impl Iterator<Item = &'a Field> {
    let (left_out, ignores) = (not_compared(rules), !rules.ignore.is_empty());
    fields.lines().iter().filter(move |field| {
        let is_left_out = left_out.has(field.name)
            || (ignores && is_ignored(field.name_in(bytes), rules))
            || head.drops_nominated(bytes, fields, field);
        !is_left_out
    })
}

impl Kept {
    /// A place for requests to be kept in.
    pub fn new(question: &Question<'_>, now: Tick) -> Kept {
        let mut kept = Kept {
            since: now,
            scope: question.scope,
            identity: Vec::new(),
            bytes: Vec::new(),
            head: *question.head,
            fields: Fields::default(),
        };
        kept.keep(question, now);
        kept
    }

    /// Keeps `question` instead of what was kept.
    pub fn keep(&mut self, question: &Question<'_>, now: Tick) {
        (self.since, self.scope, self.head) = (now, question.scope, *question.head);
        self.identity.clear();
        self.identity.extend_from_slice(question.identity);
        self.bytes.clear();
        self.bytes.extend_from_slice(&question.bytes[..question.head.len]);
        self.fields.copy_from(question.fields);
    }

    /// As it was asked. `rules` are those of its scope.
    #[inline]
    pub fn question<'a>(&'a self, rules: &'a Coalescing) -> Question<'a> {
        let Kept { scope, identity, bytes, head, fields, .. } = self;
        Question { scope: *scope, identity, bytes, head, fields, rules }
    }

    pub fn age(&self) -> Duration {
        Tick::now().since(self.since)
    }

    pub fn route(&self) -> u32 {
        self.scope.route
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of the request's own `X-Request-Id`.
    pub fn request_id(&self) -> Option<&[u8]> {
        self.fields.all(&self.bytes, Name::XRequestId).next()
    }

    pub fn has_authorization(&self) -> bool {
        self.fields.known().has_any(NameSet::of(&[Name::Authorization]))
    }

    /// Whether `question` may have the answer to this (R2). Never by the hash alone.
    pub fn equals(&self, question: &Question<'_>) -> bool {
        self.scope == question.scope
            && self.identity == question.identity
            && (self.bytes == question.bytes[..question.head.len] || self.has_same_meaning(question))
    }

    fn has_same_meaning(&self, other: &Question<'_>) -> bool {
        let own = self.question(other.rules);
        own.uri() == other.uri()
            && own.authority().eq_ignore_ascii_case(other.authority())
            && (is_same_in_order(&own, other) || is_same_in_any_order(&own, other))
    }
}

fn is_same_line(a: (&Field, &[u8]), b: (&Field, &[u8])) -> bool {
    is_same_name(a, b) && a.0.value_in(a.1) == b.0.value_in(b.1)
}

fn is_same_name((a, a_bytes): (&Field, &[u8]), (b, b_bytes): (&Field, &[u8])) -> bool {
    a.name == b.name && a.name_in(a_bytes).eq_ignore_ascii_case(b.name_in(b_bytes))
}

fn is_same_in_order(a: &Question<'_>, b: &Question<'_>) -> bool {
    let mut others = b.lines();
    a.lines().all(|line| others.next().is_some_and(|other| is_same_line((line, a.bytes), (other, b.bytes))))
        && others.next().is_none()
}

/// The order of lines of one name counts, that of different names does not (RFC 9110 section 5.3).
fn is_same_in_any_order(a: &Question<'_>, b: &Question<'_>) -> bool {
    let named = |of: &Question<'_>, like: (&Field, &[u8])| {
        of.lines().filter(|line| is_same_name((line, of.bytes), like)).count()
    };
    a.lines().count() == b.lines().count()
        && a.lines().enumerate().all(|(n, line)| {
            let like = (line, a.bytes);
            let before = a.lines().take(n).filter(|earlier| is_same_name((earlier, a.bytes), like)).count();
            let other = b.lines().filter(|other| is_same_name((other, b.bytes), like)).nth(before);
            named(a, like) == named(b, like) && other.is_some_and(|other| is_same_line(like, (other, b.bytes)))
        })
}

/// A question on its way to another worker.
#[derive(Debug)]
pub(crate) struct Sent {
    kept: Kept,
    snapshot: Arc<Snapshot>,
}

impl Sent {
    pub fn new(question: &Question<'_>, snapshot: Arc<Snapshot>) -> Sent {
        Sent { kept: Kept::new(question, Tick::now()), snapshot }
    }

    pub fn question(&self) -> Question<'_> {
        self.kept.question(&self.snapshot.numbered(self.kept.scope.route).coalescing)
    }
}

/// Makes the hash of a question: keyed, so that nobody outside knows which requests meet. The same on all workers of a process.
#[derive(Debug, Clone)]
pub(crate) struct Keyer {
    keys: [u64; 4],
    /// Bits that count. All, but where a test wants collisions.
    mask: u64,
}

impl Keyer {
    pub fn random() -> Keyer {
        // The standard library's keys come from the system's random numbers.
        let random = RandomState::new();
        Keyer { keys: std::array::from_fn(|n| random.hash_one(n) | 1), mask: u64::MAX }
    }

    /// The same hashes for the same seed.
    #[cfg(test)]
    pub fn seeded(seed: u64, mask: u64) -> Keyer {
        let key = |n: u64| (seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd134_2543_de82_ef95) | 1;
        Keyer { keys: std::array::from_fn(|n| key(n as u64 + 1)), mask }
    }

    /// All questions meet.
    #[cfg(test)]
    pub fn colliding() -> Keyer {
        Keyer { mask: 0, ..Keyer::random() }
    }

    pub fn hash(&self, question: &Question<'_>) -> u64 {
        let Question { scope, identity, bytes, .. } = question;
        let place = scope.generation << 32 ^ u64::from(scope.route) << 16 ^ u64::from(scope.upstream) << 1;
        let mut sum = self.bytes(place ^ u64::from(scope.is_tls), question.uri());
        sum = sum.wrapping_add(self.lower(self.keys[3], question.authority()));
        // Bits of the names so far: one that is not there has not come before.
        let mut names = 0u64;
        for field in question.lines() {
            let name = match field.name {
                Name::Other => self.lower(self.keys[1], field.name_in(bytes)),
                known => self.mix(self.keys[1], known as u64 + 1),
            };
            let bit = 1u64 << (name & 63);
            let earlier = if names & bit == 0 { 0 } else { question.earlier(field) };
            names |= bit;
            sum = sum.wrapping_add(self.bytes(name.wrapping_add(earlier), field.value_in(bytes)));
        }
        if !identity.is_empty() {
            sum = sum.wrapping_add(self.bytes(self.keys[2], identity));
        }
        match scope.client {
            Some(IpAddr::V4(client)) => sum = sum.wrapping_add(self.bytes(self.keys[1], &client.octets())),
            Some(IpAddr::V6(client)) => sum = sum.wrapping_add(self.bytes(self.keys[1], &client.octets())),
            None => {}
        }
        self.mix(sum, self.keys[3]) & self.mask
    }

    /// Of the path and query alone, for what is known of a URI.
    pub fn hash_uri(&self, uri: &[u8]) -> u64 {
        self.bytes(self.keys[2], uri)
    }

    fn mix(&self, a: u64, b: u64) -> u64 {
        let wide = u128::from(a ^ self.keys[0]) * u128::from(b ^ self.keys[1]);
        wide as u64 ^ (wide >> 64) as u64
    }

    fn bytes(&self, start: u64, bytes: &[u8]) -> u64 {
        self.words(start, bytes, |word| word)
    }

    /// Letters of either case are one: bit 0x20 tells them apart. What else differs by that bit is told apart by the comparison.
    fn lower(&self, start: u64, bytes: &[u8]) -> u64 {
        self.words(start, bytes, |word| word | 0x2020_2020_2020_2020)
    }

    /// Sixteen bytes at a time; the last ones may be looked at twice.
    #[inline]
    fn words(&self, start: u64, bytes: &[u8], each: impl Fn(u64) -> u64) -> u64 {
        let mut hash = start ^ (bytes.len() as u64) << 48;
        let mut rest = bytes;
        while rest.len() > 16
            && let Some((sixteen, more)) = rest.split_first_chunk::<16>()
        {
            let both = u128::from_le_bytes(*sixteen);
            hash = self.mix(each(both as u64) ^ hash, each((both >> 64) as u64));
            rest = more;
        }
        let (first, last) = if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else if let [first, .., last] = rest {
            (u64::from(*first) << 8 | u64::from(rest[1]), u64::from(*last))
        } else {
            (rest.first().map_or(0, |only| u64::from(*only)), 0)
        };
        self.mix(each(first) ^ hash, each(last))
    }
}

/// How many requests behind `head` in `bytes` are byte for byte the same (R12b).
pub(crate) fn twins(head: &[u8], bytes: &[u8], most: usize) -> usize {
    bytes.chunks_exact(head.len()).take(most).take_while(|next| *next == head).count()
}

#[cfg(test)]
mod tests;
