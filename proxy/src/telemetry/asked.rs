//! What a request asked for, copied from its head: one allocation, made only for a request that is told of.

use crate::h1::RequestHead;
use crate::http::{Fields, Name};

/// A longer value is told of by so many of its bytes.
pub const VALUE_BYTES_MAX: usize = 2048;

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Method,
    Path,
    /// Without `?`; a query of no bytes is none.
    Query,
    /// `host[:port]`
    Authority,
    UserAgent,
    /// `tracestate`, all lines in order.
    State,
    /// `X-Forwarded-For`, the first element of the first line.
    Client,
}

const PLACES: usize = 7;

/// Copies of what stood in the head.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    text: Vec<u8>,
    /// Where each ends; the next one begins there.
    ends: [u32; PLACES],
}

impl Asked {
    pub fn new(bytes: &[u8], head: &RequestHead, fields: &Fields, keeps_state: bool) -> Asked {
        let target = head.path_and_query_in(bytes);
        let path = head.path_in(bytes);
        let query = target.iter().position(|&byte| byte == b'?').map_or(&[][..], |at| &target[at + 1..]);
        let authority = head.authority_in(bytes).unwrap_or_default();
        let agent = fields.lines().iter().filter(|field| field.name == Name::Other);
        let agent =
            agent.map(|field| (field.name_in(bytes), field)).find(|(name, _)| name.eq_ignore_ascii_case(b"user-agent"));
        let agent = agent.map_or(&[][..], |(_, field)| field.value_in(bytes));
        let client = fields.all(bytes, Name::XForwardedFor).next().unwrap_or_default();
        let client = client.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
        let mut asked = Asked::default();
        let values = [head.method_in(bytes), path, query, authority, agent];
        asked.text.reserve(values.iter().map(|value| value.len().min(VALUE_BYTES_MAX)).sum::<usize>() + client.len());
        for (n, value) in values.into_iter().enumerate() {
            asked.put(value);
            asked.end(n);
        }
        if keeps_state {
            for (n, line) in fields.all(bytes, Name::Tracestate).enumerate() {
                // Whole, or its last member would be another one.
                asked.text.extend_from_slice(if n > 0 { b"," } else { b"" });
                asked.text.extend_from_slice(line);
            }
        }
        asked.end(Place::State as usize);
        asked.put(client);
        asked.end(Place::Client as usize);
        asked
    }

    fn put(&mut self, value: &[u8]) {
        self.text.extend_from_slice(&value[..value.len().min(VALUE_BYTES_MAX)]);
    }

    fn end(&mut self, place: usize) {
        self.ends[place] = self.text.len() as u32;
    }

    /// Empty where there was none.
    pub fn bytes(&self, place: Place) -> &[u8] {
        let n = place as usize;
        let from = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.text[from as usize..self.ends[n] as usize]
    }

    /// `None` where there was none. What is no UTF-8 is replaced.
    pub fn text(&self, place: Place) -> Option<String> {
        let bytes = self.bytes(place);
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
    }
}
