//! Bounds: how much one client may send (limits), how many requests the app gets at a time (concurrency), and how long each wait may last
//! (timeouts).

mod concurrency;
mod limits;
mod timeouts;
