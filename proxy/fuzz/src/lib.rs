//! What the targets hold the proxy's HTTP/1 against: readings of RFC 9110 and 9112 that are strict, slow and share no line with it.
//!
//! An oracle says what a message means. A target feeds both and compares. Nothing here is clever: it must be right at a glance.

pub mod chunks;
pub mod framing;
pub mod head;
pub mod splits;
