//! `traceparent` and `tracestate`.

use super::{Came, Context, Lines, SpanId, TraceId};
use crate::http::{Fields, Name, list};

/// Members of `tracestate` (section 3.3.1.1). A list that is longer, as any that cannot be read, is discarded as a whole.
const MEMBERS_MAX: usize = 32;

/// A key (section 3.3.1.3.1).
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;

pub(super) fn extract(head: &[u8], fields: &Fields) -> Came {
    let mut lines = fields.all(head, Name::Traceparent);
    let context = match (lines.next(), lines.next()) {
        (Some(line), None) => parse(line),
        // Two parents are none.
        _ => None,
    };
    let keeps_state = context.is_some() && is_state(fields.all(head, Name::Tracestate));
    Came { context, wish: None, keeps_state }
}

/// `00-<trace>-<span>-<flags>`; of a later version what this one knows.
fn parse(text: &[u8]) -> Option<Context> {
    let (version, rest) = text.split_at_checked(2)?;
    let version = hex(version)? as u8;
    let is_whole = match version {
        0xff => false,
        0 => text.len() == 55,
        _ => text.len() == 55 || text.get(55) == Some(&b'-'),
    };
    if !is_whole || rest[0] != b'-' || rest[33] != b'-' || rest[50] != b'-' {
        return None;
    }
    let (trace, span, flags) = (hex(&rest[1..33])?, hex(&rest[34..50])? as u64, hex(&rest[51..53])?);
    (trace != 0 && span != 0).then_some(Context {
        trace: TraceId(trace),
        span: SpanId(span),
        is_sampled: flags & 1 == 1,
    })
}

/// Digits in lower case, at most 32.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | u128::from(digit(*byte)?)))
}

fn is_state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut members = 0;
    lines.flat_map(list).all(|member| {
        members += 1;
        members <= MEMBERS_MAX && is_member(member)
    })
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|&byte| byte == b'=') else { return false };
    let (key, value) = (&member[..at], &member[at + 1..]);
    let is_key_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let is_value_byte = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    (1..=KEY_BYTES_MAX).contains(&key.len())
        && key[0].is_ascii_alphanumeric()
        && key.iter().all(is_key_byte)
        && (1..=VALUE_BYTES_MAX).contains(&value.len())
        && value.iter().all(is_value_byte)
}

pub(super) fn write(context: Context, lines: &mut Lines) {
    lines.put(b"traceparent: 00-");
    lines.put(&context.trace.hex());
    lines.put(b"-");
    lines.put_span(context.span);
    lines.put(if context.is_sampled { b"-01\r\n" } else { b"-00\r\n" });
}
