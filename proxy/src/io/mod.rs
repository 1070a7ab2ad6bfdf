//! Bytes in and out of sockets, on either kernel driver.
//!
//! In: a stream, a [`crate::buf::Buf`], a [`Deadline`]. Out: bytes, or an [`IoError`]. This room alone knows the runtime's owned buffers, readiness,
//! timers and cancellation. It must not know any room above it.
//!
//! Two rules hold everywhere (both learned by losing bytes): an I/O future that owns a buffer is never dropped to end a wait, the wait is ended
//! from outside and the future returns; and a short read means "drained" only on a kernel socket ([`Reactor::short_read_drains`]).

mod clock;
mod driver;
mod kernel;
mod listener;
mod reactor;
mod stream;
mod sys;
mod wheel;

pub use clock::Tick;
pub use driver::{Driver, DriverError, Runtime};
pub use listener::{Listener, bind};
pub use reactor::{Deadline, Reactor};
pub use stream::{IoError, SentNow, Stream, connect};
pub use sys::{pin_to_nth_cpu, unix_s};
