//! Zipkin's B3, in one field or in several.

use super::{Context, Lines, SpanId, TraceId, w3c::hex};
use crate::http::{Fields, Name};

/// A trace to go on with, and what B3 alone can say: whether to sample, without one.
pub(super) type Read = (Option<Context>, Option<bool>);

/// `b3: <trace>-<span>[-<sampled>[-<parent>]]`, or the decision alone.
pub(super) fn extract(head: &[u8], fields: &Fields) -> Option<Read> {
    let text = fields.all(head, Name::B3).next()?;
    let mut parts = text.split(|&byte| byte == b'-');
    let first = parts.next()?;
    let Some(span) = parts.next() else { return Some((None, Some(decision(first)?))) };
    let sampled = parts.next().map_or(Some(true), decision)?;
    Some((Some(context(first, span, sampled)?), None))
}

/// `X-B3-TraceId`, `-SpanId`, `-Sampled`, `-Flags`.
pub(super) fn extract_multi(head: &[u8], fields: &Fields) -> Option<Read> {
    let (mut trace, mut span, mut sampled, mut debug) = (None, None, None, false);
    for field in fields.lines().iter().filter(|field| field.name == Name::XB3) {
        let (name, value) = (field.name_in(head), field.value_in(head));
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"x-b3-traceid") {
            trace = Some(value);
        } else if is(b"x-b3-spanid") {
            span = Some(value);
        } else if is(b"x-b3-sampled") {
            sampled = Some(decision(value)?);
        } else if is(b"x-b3-flags") {
            debug = value == b"1";
        }
    }
    let sampled = if debug { Some(true) } else { sampled };
    match (trace, span) {
        (Some(trace), Some(span)) => Some((Some(context(trace, span, sampled.unwrap_or(true))?), None)),
        _ => Some((None, Some(sampled?))),
    }
}

fn decision(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

fn context(trace: &[u8], span: &[u8], is_sampled: bool) -> Option<Context> {
    let digits = |text: &[u8], lens: &[usize]| {
        let mut lower = [0; 32];
        let lower = lower.get_mut(..text.len()).filter(|_| lens.contains(&text.len()))?;
        lower.copy_from_slice(text);
        lower.make_ascii_lowercase();
        hex(lower).filter(|value| *value != 0)
    };
    let trace = TraceId(digits(trace, &[16, 32])?);
    Some(Context { trace, span: SpanId(digits(span, &[16])? as u64), is_sampled })
}

pub(super) fn write(context: Context, lines: &mut Lines) {
    lines.put(b"b3: ");
    lines.put(&context.trace.hex());
    lines.put(b"-");
    lines.put_span(context.span);
    lines.put(if context.is_sampled { b"-1\r\n" } else { b"-0\r\n" });
}

pub(super) fn write_multi(context: Context, lines: &mut Lines) {
    lines.put(b"x-b3-traceid: ");
    lines.put(&context.trace.hex());
    lines.put(b"\r\nx-b3-spanid: ");
    lines.put_span(context.span);
    lines.put(if context.is_sampled { b"\r\nx-b3-sampled: 1\r\n" } else { b"\r\nx-b3-sampled: 0\r\n" });
}
