//! HTTP/1 on the wire, for both sides: heads in and out, framing, bodies. Sans-I/O: bytes in, meaning or bytes out.
//!
//! Strict: a message that two parsers could read differently is refused, never repaired (RFC 9112). Must not know: sockets, the clock, routes, pools.

mod body;
mod chunked;
mod framing;
mod request;
mod response;
mod target;
#[cfg(test)]
mod testing;
mod write;

pub use body::{BadBody, Body};
pub use chunked::Keep;
pub use request::{HeadLimits, RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};
pub use write::{AnswerHead, Ask, Persist, Sender, Shared, answer_head, ask_head};

/// More field lines than any policy may allow (`limits.headFields`); bounds the parser's table on the stack.
pub const FIELDS_MAX: usize = 256;
