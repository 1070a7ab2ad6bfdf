//! Bounds: how much one client may send (limits), and how long each wait may last (timeouts).

mod limits;
mod timeouts;
