//! The context of a trace: identities, how they come with a request and go on with it, and whether a request is traced.
//!
//! In: a head's fields. Out: [`Context`], the lines that the next hop gets. Pure: no clock, no socket; random numbers come from [`Ids`].
//! Source: W3C Trace Context level 1 (with the tolerance for later versions that its section 3.2 asks for), the B3 specification, OpenTelemetry's samplers.

mod b3;
mod w3c;

use crate::http::{Fields, Name, NameSet};

/// Identity of a trace. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

/// Identity of a span. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

/// A span, as another process knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace: TraceId,
    pub span: SpanId,
    pub is_sampled: bool,
}

impl TraceId {
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub fn hex(self) -> [u8; 32] {
        let mut text = [0; 32];
        text[..16].copy_from_slice(&hex((self.0 >> 64) as u64));
        text[16..].copy_from_slice(&hex(self.0 as u64));
        text
    }
}

impl SpanId {
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub fn hex(self) -> [u8; 16] {
        hex(self.0)
    }
}

fn hex(value: u64) -> [u8; 16] {
    let mut text = [0; 16];
    text[..8].copy_from_slice(&eight_digits((value >> 32) as u32));
    text[8..].copy_from_slice(&eight_digits(value as u32));
    text
}

/// All at once, each in a byte of its own: every request writes up to 48 of them.
fn eight_digits(value: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let bytes = u64::from(value);
    let bytes = (bytes | (bytes << 16)) & 0x0000_ffff_0000_ffff;
    let bytes = (bytes | (bytes << 8)) & 0x00ff_00ff_00ff_00ff;
    let bytes = (bytes | (bytes << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // 10 and more are letters: six more of them are 16 and more.
    let letters = ((bytes + 6 * EACH) >> 4) & EACH;
    (bytes + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// How contexts travel (`OTEL_PROPAGATORS`). `baggage` needs nothing: what is not ours goes on as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagators {
    pub tracecontext: bool,
    pub b3: bool,
    pub b3multi: bool,
}

impl Propagators {
    pub const DEFAULT: Propagators = Propagators { tracecontext: true, b3: false, b3multi: false };
    pub const NONE: Propagators = Propagators { tracecontext: false, b3: false, b3multi: false };

    /// Most requests of which nothing is known: one look at a set of names.
    const ALL_NAMES: NameSet = NameSet::of(&[Name::Traceparent, Name::Tracestate, Name::B3, Name::XB3]);

    /// The context that came with a request: the first that can be read, W3C's before B3's.
    pub fn extract(self, head: &[u8], fields: &Fields) -> Came {
        if !fields.known().has_any(Propagators::ALL_NAMES) {
            return Came::default();
        }
        let w3c = if self.tracecontext { w3c::extract(head, fields) } else { Came::default() };
        if w3c.context.is_some() || !(self.b3 || self.b3multi) {
            return w3c;
        }
        // Whichever form goes on, both are read (OpenTelemetry, "B3 Requirements").
        let context = b3::extract(head, fields).or_else(|| b3::extract_multi(head, fields));
        Came { context: context.unwrap_or_default().0, wish: context.unwrap_or_default().1, keeps_state: false }
    }

    /// The fields that are written anew.
    pub fn replaced(self, keeps_state: bool) -> NameSet {
        let mut replaced = NameSet::default();
        if self.tracecontext {
            replaced.insert(Name::Traceparent);
            if !keeps_state {
                replaced.insert(Name::Tracestate);
            }
        }
        if self.b3 || self.b3multi {
            // Both forms: whoever reads the other one would go on from a span that is not its parent.
            replaced.insert(Name::B3);
            replaced.insert(Name::XB3);
        }
        replaced
    }

    /// Writes the lines that tell the next hop of `context`.
    pub fn write(self, context: Context, lines: &mut Lines) {
        if self.tracecontext {
            w3c::write(context, lines);
        }
        if self.b3 {
            b3::write(context, lines);
        }
        if self.b3multi {
            b3::write_multi(context, lines);
        }
    }
}

/// What came with a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Came {
    pub context: Option<Context>,
    /// B3 can tell whether to sample without a trace to go on with.
    pub wish: Option<bool>,
    /// `tracestate` belongs to `context` and can be read: it goes on as it came.
    pub keeps_state: bool,
}

/// Field lines for the next hop, and where in them the identity of its parent stands.
#[derive(Debug, Clone)]
pub struct Lines {
    bytes: [u8; Lines::BYTES_MAX],
    len: usize,
    spans: [u16; 3],
    spans_len: usize,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { bytes: [0; Lines::BYTES_MAX], len: 0, spans: [0; 3], spans_len: 0 }
    }
}

impl Lines {
    /// W3C's line of 70 bytes, B3's of 69, B3's of several of 119.
    const BYTES_MAX: usize = 272;

    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Where [`Lines::filled`] has the sixteen digits of the span.
    pub fn spans(&self) -> impl Iterator<Item = usize> {
        self.spans[..self.spans_len].iter().map(|at| usize::from(*at))
    }

    fn put(&mut self, text: &[u8]) {
        self.bytes[self.len..][..text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn put_span(&mut self, span: SpanId) {
        self.spans[self.spans_len] = self.len as u16;
        self.spans_len += 1;
        self.put(&span.hex());
    }
}

/// Makes identities. Of one worker.
#[derive(Debug)]
pub struct Ids(std::cell::Cell<u64>);

impl Ids {
    /// `seed` is random.
    pub fn new(seed: u64) -> Ids {
        Ids(std::cell::Cell::new(seed))
    }

    /// SplitMix64: every number once in 2^64, which tells spans apart; it keeps no secret.
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn trace(&self) -> TraceId {
        let id = (u128::from(self.next()) << 64) | u128::from(self.next());
        TraceId(id.max(1))
    }

    pub fn span(&self) -> SpanId {
        SpanId(self.next().max(1))
    }
}

/// Which requests are traced (`OTEL_TRACES_SAMPLER`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whoever asked has decided, where it is known.
    pub parent_based: bool,
    pub root: Root,
}

/// Who decides where nobody has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    AlwaysOn,
    AlwaysOff,
    Ratio(Ratio),
}

/// A share of all traces: the same ones on every hop that has the same share or a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    below: u64,
}

impl Ratio {
    /// `share` is in 0 to 1; what is outside is taken for the nearer end.
    pub fn new(share: f64) -> Ratio {
        Ratio { below: (share.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64 }
    }

    /// The decision of OpenTelemetry's Rust SDK: by the lower half of the identity.
    pub fn holds(self, trace: TraceId) -> bool {
        (trace.0 as u64) >> 1 < self.below
    }
}

impl Sampler {
    /// What the specification says where nobody says anything.
    pub const DEFAULT: Sampler = Sampler { parent_based: true, root: Root::AlwaysOn };

    /// `share`: of the request's own policy, in the place of the root's.
    pub fn samples(&self, came: &Came, trace: TraceId, share: Option<f64>) -> bool {
        if self.parent_based
            && let Some(decided) = came.context.map(|context| context.is_sampled).or(came.wish)
        {
            return decided;
        }
        match (share, self.root) {
            (Some(share), _) => Ratio::new(share).holds(trace),
            (None, Root::Ratio(share)) => share.holds(trace),
            (None, Root::AlwaysOn) => true,
            (None, Root::AlwaysOff) => false,
        }
    }
}

#[cfg(test)]
mod tests;
