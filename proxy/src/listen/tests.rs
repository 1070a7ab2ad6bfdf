use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Listening, connection};
use crate::io::Stream;
use crate::worker::{Worker, guarded};

/// What an open connection may cost beside its buffers, be it idle or busy: 5.3 KiB today, so that a growth of a tenth is seen.
const CONNECTION_BYTES_MAX: usize = 6 * 1024;

/// What the task may add to it. The connection is in it twice: as what was handed over, and pinned.
const TASK_BYTES_MAX: usize = CONNECTION_BYTES_MAX + 256;

/// Sizes of a connection's future and of the task around it. Nothing is run: the types are enough.
fn sizes<C: Future<Output = ()>, T: Future<Output = ()>>(
    _connection: impl Fn(Rc<Worker>, Rc<Listening>, Stream, SocketAddr) -> C,
    _task: impl Fn(Rc<Worker>, C) -> T,
) -> (usize, usize) {
    (size_of::<C>(), size_of::<T>())
}

#[test]
fn open_connection_costs_a_few_kilobytes() {
    let (connection_bytes, task_bytes) = sizes(connection, guarded);
    assert!(connection_bytes <= CONNECTION_BYTES_MAX, "the future of a connection has {connection_bytes} bytes");
    assert!(task_bytes <= CONNECTION_BYTES_MAX + TASK_BYTES_MAX, "the task of a connection has {task_bytes} bytes");
}
