//! Whether an answer may go to others than the one who asked (R3, and the 5xx of R8).
//!
//! In: the final head of an answer, and what is known of the flight ([`Terms`]). Out: yes, or why not ([`Unshared`]). Pure: no socket, no clock, no
//! allocation; it runs for every answer to an eligible request, and most ask it nothing but which names there are.
//! Where a field can be read in two ways, the reading that shares less holds: an answer that is not shared costs an exchange, one that is shared
//! wrongly shows somebody what was meant for another.

mod date;

use crate::http::{Fields, Name, NameSet, list};

/// Why an answer is not shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unshared {
    /// The response may not be shared at all.
    Unshareable,
    /// `Vary` names a field that was not compared, or `*`. Nothing else forbids it.
    Vary,
    /// A 5xx that is released (`onError: release`).
    Error,
}

/// What is known of the flight's request and policy.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// `coalescing.mode: cacheable`; else the rules of `identical`.
    pub cacheable: bool,
    /// `onError: share`. Such a 5xx must pass whatever else the mode asks.
    pub share_errors: bool,
    /// The request has `Authorization`, possible only with `credentials: identical`.
    pub has_authorization: bool,
    /// Whether a request field of this name (any case) was compared, or is guaranteed absent by R1.
    pub compared: &'a dyn Fn(&[u8]) -> bool,
    /// When the head came.
    pub now_unix_s: u64,
    /// Since the request was received; counts into the current age.
    pub waited_s: u64,
}

const SET_COOKIE: NameSet = NameSet::of(&[Name::SetCookie]);
const CONTENT_TYPE: NameSet = NameSet::of(&[Name::ContentType]);
const CACHING: NameSet = NameSet::of(&[Name::CacheControl, Name::Expires]);
const VARY: NameSet = NameSet::of(&[Name::Vary]);

/// Decides, at the final head of an answer, whether other requests may have it too. `bytes` holds the head, `fields` its lines.
///
/// Of several reasons not to, the first of: status, [`Unshared::Unshareable`], [`Unshared::Vary`]. A status over 599 is no 5xx here and never shared.
/// Source: R3 and R8; RFC 9110 sections 8.3 and 12.5.5, RFC 9111 sections 3.5, 4.2, 5.1 to 5.3.
pub(crate) fn judge(status: u16, bytes: &[u8], fields: &Fields, terms: &Terms<'_>) -> Result<(), Unshared> {
    match status {
        200 | 203 | 204 | 300 | 301 | 304 | 308 | 404 | 405 | 410 | 414 | 501 => {}
        500..=599 if terms.share_errors => {}
        500..=599 => return Err(Unshared::Error),
        _ => return Err(Unshared::Unshareable),
    }
    let known = fields.known();
    if known.has_any(SET_COOKIE)
        || (known.has_any(CONTENT_TYPE) && fields.all(bytes, Name::ContentType).any(has_no_end))
        || ((terms.cacheable || known.has_any(CACHING)) && !may_be_reused(bytes, fields, terms))
    {
        return Err(Unshared::Unshareable);
    }
    let is_compared = |name: &[u8]| name != b"*" && name.iter().all(|&byte| is_tchar(byte)) && (terms.compared)(name);
    if known.has_any(VARY) && !fields.all(bytes, Name::Vary).all(|names| list(names).all(is_compared)) {
        return Err(Unshared::Vary);
    }
    Ok(())
}

/// A type of bodies that are pushed to one client, part after part, for as long as it listens. Parameters do not count.
fn has_no_end(content_type: &[u8]) -> bool {
    let is = |kind: &[u8]| {
        let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
        content_type[..end].trim_ascii_end().eq_ignore_ascii_case(kind)
    };
    // The first letter, because this is asked of nearly every answer.
    match content_type.first().map(u8::to_ascii_lowercase) {
        Some(b't') => is(b"text/event-stream"),
        Some(b'm') => is(b"multipart/x-mixed-replace"),
        _ => false,
    }
}

/// What `Cache-Control`, `Expires`, `Date` and `Age` say, against the mode.
///
/// `identical` takes what is not forbidden and not stale by `Expires`. `cacheable` wants leave: a lifetime that the current age is below, or `public`
/// where no lifetime is told (it allows a cache to guess one; we guess none, but nothing is kept here for longer than it takes to arrive).
fn may_be_reused(bytes: &[u8], fields: &Fields, terms: &Terms<'_>) -> bool {
    let Some(said) = Directives::read(bytes, fields) else { return false };
    let told_s = said.s_maxage_s.or(said.max_age_s);
    if terms.cacheable && terms.has_authorization && !said.allows_authorization() {
        return false;
    }
    if !terms.cacheable && told_s.is_some() {
        return true;
    }
    let now = i64::try_from(terms.now_unix_s).unwrap_or(i64::MAX);
    // Without a date that can be read, the answer was made when it came (RFC 9110 section 6.6.1).
    let date = fields.all(bytes, Name::Date).next().and_then(|date| date::parse(date, now)).unwrap_or(now);
    let apparent_age_s = seconds(date, now);
    // A date that cannot be read, `0` above all, is past (RFC 9111 section 5.3).
    let expires = fields.all(bytes, Name::Expires).map(|at| date::parse(at, now).unwrap_or(i64::MIN)).min();
    let lifetime_s = told_s.or(expires.map(|expires| seconds(date, expires)));
    match lifetime_s {
        // A lifetime above the apparent age is an `Expires` behind both `Date` and now.
        Some(lifetime_s) if !terms.cacheable => lifetime_s > apparent_age_s,
        Some(lifetime_s) => lifetime_s > apparent_age_s.max(age_s(bytes, fields).saturating_add(terms.waited_s)),
        None => !terms.cacheable || said.public,
    }
}

/// From one time to a later one; 0 where it is not later.
fn seconds(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// The first member of `Age`; 0 where there is none or it is no number (RFC 9111 section 5.1).
fn age_s(bytes: &[u8], fields: &Fields) -> u64 {
    fields.all(bytes, Name::Age).flat_map(list).next().and_then(delta_s).unwrap_or(0)
}

/// Delta-seconds (RFC 9111 section 1.2.2). Too many are as many as there can be.
fn delta_s(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| digits.iter().fold(0, add))
}

/// What all `Cache-Control` lines say together (RFC 9111 section 5.2.2), where they do not forbid to share.
#[derive(Debug, Default)]
struct Directives {
    public: bool,
    must_revalidate: bool,
    /// Above 0. Of several the smallest: whatever is fresh by it is so by the first, which section 4.2.1 allows to take.
    max_age_s: Option<u64>,
    s_maxage_s: Option<u64>,
}

impl Directives {
    /// `None`: private, no-store or no-cache, with an argument or without, a lifetime of 0 or of no number; or a line that does not follow the
    /// grammar, such as `private; max-age=5`, of which nobody knows what it meant to say.
    fn read(bytes: &[u8], fields: &Fields) -> Option<Directives> {
        let mut said = Directives::default();
        for line in fields.all(bytes, Name::CacheControl) {
            let mut rest = behind_commas(line);
            while !rest.is_empty() {
                let directive;
                (directive, rest) = split_directive(rest)?;
                said.take(directive)?;
            }
        }
        Some(said)
    }

    /// `None`: it forbids to share.
    fn take(&mut self, Directive { name, argument }: Directive<'_>) -> Option<()> {
        // In lower case. A longer name is none that we know.
        let mut known = [0; 16];
        let Some(start) = known.get_mut(..name.len()) else { return Some(()) };
        start.copy_from_slice(name);
        known.make_ascii_lowercase();
        match &known[..name.len()] {
            b"max-age" => shorten(&mut self.max_age_s, argument)?,
            b"s-maxage" => shorten(&mut self.s_maxage_s, argument)?,
            b"private" | b"no-store" | b"no-cache" => return None,
            b"public" => self.public |= argument.is_none(),
            b"must-revalidate" => self.must_revalidate |= argument.is_none(),
            _ => {}
        }
        Some(())
    }

    /// Others may have an answer to a request with `Authorization` (RFC 9111 section 3.5).
    fn allows_authorization(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage_s.is_some()
    }
}

/// `None`: it is 0, or no number, which is as good as 0 (RFC 9111 section 4.2.1).
fn shorten(lifetime_s: &mut Option<u64>, argument: Option<&[u8]>) -> Option<()> {
    let s = argument.and_then(delta_s).filter(|&s| s > 0)?;
    *lifetime_s = Some(lifetime_s.map_or(s, |other| other.min(s)));
    Some(())
}

struct Directive<'a> {
    name: &'a [u8],
    /// Without its quotes.
    argument: Option<&'a [u8]>,
}

/// The first directive of `text`, and what is behind its comma. `None`: it does not follow the grammar, but that white space around `=` is allowed.
fn split_directive(text: &[u8]) -> Option<(Directive<'_>, &[u8])> {
    let (name, rest) = split_token(text)?;
    let (argument, rest) = match rest.trim_ascii_start() {
        [b'=', rest @ ..] => match rest.trim_ascii_start() {
            [b'"', rest @ ..] => split_quoted(rest).map(|(argument, rest)| (Some(argument), rest))?,
            rest => split_token(rest).map(|(argument, rest)| (Some(argument), rest))?,
        },
        rest => (None, rest),
    };
    let rest = rest.trim_ascii_start();
    (rest.is_empty() || rest[0] == b',').then(|| (Directive { name, argument }, behind_commas(rest)))
}

fn split_token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().position(|&byte| !is_tchar(byte)).unwrap_or(text.len());
    (len > 0).then(|| text.split_at(len))
}

/// `text` begins behind the opening quote. Escapes stay as they are: no argument that we read needs one.
fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn behind_commas(text: &[u8]) -> &[u8] {
    let len = text.iter().position(|&byte| !matches!(byte, b',' | b' ' | b'\t')).unwrap_or(text.len());
    &text[len..]
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_tchar(byte: u8) -> bool {
    const SET: [bool; 256] = {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let marks = b"!#$%&'*+-.^_`|~";
        let mut n = 0;
        while n < marks.len() {
            set[marks[n] as usize] = true;
            n += 1;
        }
        set
    };
    SET[byte as usize]
}

#[cfg(test)]
mod tests;
