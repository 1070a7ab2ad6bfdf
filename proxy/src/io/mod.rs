//! Bytes in and out of sockets, on either kernel driver.
//!
//! In: a stream, a [`crate::buf::Buf`], a [`Deadline`]. Out: bytes, or an [`IoError`]. This room alone knows the runtime's owned buffers, readiness,
//! timers and cancellation. It must not know any room above it.
//!
//! Two rules hold everywhere (both learned by losing bytes): a read belongs to its stream, not to the future that waits for it, and a write is
//! ended from outside, never by dropping its future; and a short read means "drained" only on a kernel socket ([`Reactor::short_read_drains`]).

mod clock;
mod driver;
mod kernel;
mod listener;
mod reactor;
mod rest;
mod ring;
mod stream;
mod sys;
mod wheel;

pub use clock::Tick;
pub use driver::{Driver, DriverError, Runtime};
pub use listener::{Accepted, Listener, bind};
pub use reactor::{Deadline, Reactor};
pub use stream::{IoError, Left, SentNow, Stream, connect};
pub use sys::{
    clock_coarse_ns as coarse_ns, clock_ns as exact_ns, let_go_of_code, map_memory_from, pin_to_nth_cpu,
    raise_descriptor_limit, trim_memory, unix_s,
};
