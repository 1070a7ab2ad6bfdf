use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use super::connection::begin;
use super::{Listening, Open};
use crate::io::Stream;
use crate::worker::{Worker, guarded};

/// What an open connection may cost beside its buffers, be it idle or busy: 6,624 bytes today, so that a growth of little more is seen.
const CONNECTION_BYTES_MAX: usize = 6656;

/// What the task adds to it, with what the connection is made from.
const AROUND_BYTES_MAX: usize = 512;

/// Sizes of a connection's future and of the task around it. Nothing is run: the types are enough.
fn sizes<C: Future<Output = ()>, B: FnOnce() -> C, T: Future<Output = ()>>(
    _connection: impl Fn(Rc<Worker>, Rc<Listening>, Stream, SocketAddr, Open) -> C,
    _begin: impl Fn(Rc<Worker>, Rc<Listening>, Stream, SocketAddr, Open) -> B,
    _task: impl Fn(Rc<Worker>, B) -> T,
) -> (usize, usize) {
    (size_of::<C>(), size_of::<T>())
}

#[test]
fn open_connection_costs_a_few_kilobytes() {
    let made = |worker, listening, stream, peer, open| move || begin(worker, listening, stream, peer, open);
    let (connection_bytes, task_bytes) = sizes(begin, made, guarded);
    assert!(connection_bytes <= CONNECTION_BYTES_MAX, "the future of a connection has {connection_bytes} bytes");
    let around = task_bytes - connection_bytes;
    assert!(around <= AROUND_BYTES_MAX, "its task has {task_bytes} bytes, {around} more: is it in it twice?");
}
