//! Streams at rest: connections that are idle, so that nobody waits in a read.
//!
//! A rest begins with the read that the next bytes would end. Under epoll that costs nothing. Under io_uring the kernel holds a buffer for it, so
//! a rest that lasts gives the buffer back: the read is cancelled, and what comes is told by the worker's epoll set.

use std::os::fd::AsRawFd;
use std::task::{Context, Poll, Waker};

use super::reactor::{Deadline, Watch};
use super::ring;
use super::stream::{Socket, Stream, Unread, unread};
use super::sys;
use crate::buf::Buf;
use crate::timeouts::Timer;

impl Stream {
    /// Ends the read that ran out of time, so that the stream holds no memory. `false`: something has come meanwhile; the next `recv` has it.
    pub async fn quiesce(&self) -> bool {
        let Socket::Ring(ring, _) = &self.socket else { return true };
        if !ring.is_reading() {
            return true;
        }
        ring.cancel_read();
        let (outcome, buf) = std::future::poll_fn(|cx| ring.poll_read(cx)).await;
        let is_over = ring::is_cancelled(&outcome);
        if !is_over {
            ring.keep((outcome, buf));
        }
        is_over
    }

    /// What comes from now on, or that `until` has passed, is told by [`super::Reactor::stirred`] as `key`. Nothing may be under way.
    pub fn park(&self, key: u32, until: Deadline) {
        let reactor = self.reactor();
        if let Socket::Ring(ring, fd) = &self.socket {
            // What was told before has been read since.
            self.slot.read.ready.set(false);
            ring.rest();
            // Where the kernel refuses (its memory is used up), the connection is closed when its time is over.
            let _ = reactor.watch(&self.slot, *fd, Watch::Rest);
        }
        reactor.park(&self.slot.slot, key, until);
    }

    /// Ends what [`Stream::park`] began. The timer, if that was what ended the rest.
    pub fn unpark(&self) -> Option<Timer> {
        if let Socket::Ring(_, fd) = &self.socket {
            let _ = self.reactor().watch(&self.slot, *fd, Watch::Hangup);
        }
        self.reactor().unpark(&self.slot)
    }

    /// Wakes `waker` when something comes on an idle stream, or its peer closes.
    pub fn watch_idle(&self, waker: &Waker) {
        match &self.socket {
            Socket::Ready(_) => self.slot.read.wait_with(waker),
            Socket::Ring(ring, _) => {
                if let Poll::Ready(outcome) = ring.begin_read(Buf::waiting(), &mut Context::from_waker(waker)) {
                    ring.keep(outcome);
                }
            }
        }
    }

    /// The idle stream will be idle for longer: under io_uring its buffer is given back as soon as the kernel lets go of it, and `waker` told.
    pub fn rest(&self) {
        if let Socket::Ring(ring, _) = &self.socket
            && self.is_restless()
        {
            ring.cancel_read();
        }
    }

    /// The idle stream holds a buffer in the kernel, and nothing was done about it.
    pub fn is_restless(&self) -> bool {
        matches!(&self.socket, Socket::Ring(ring, _) if ring.is_reading() && !ring.is_cancelling())
    }

    /// Nothing has come, and the peer has not closed: an idle connection that may carry another request. `waker` as for [`Stream::watch_idle`].
    ///
    /// The kernel is asked only where the last read may have left bytes: bytes that came unasked must never be taken for an answer.
    pub fn is_quiet(&self, waker: &Waker) -> bool {
        match &self.socket {
            Socket::Ring(ring, fd) if ring.is_reading() => match ring.poll_read(&mut Context::from_waker(waker)) {
                Poll::Pending => true,
                Poll::Ready((outcome, _)) if ring::is_cancelled(&outcome) => {
                    ring.rest();
                    self.slot.read.wait_with(waker);
                    self.reactor().watch(&self.slot, *fd, Watch::Rest).is_ok()
                }
                Poll::Ready(_) => false,
            },
            _ if !self.slot.read.ready.get() => true,
            _ if self.slot.hung_up.get() => false,
            Socket::Ring(_, fd) => unread(*fd) == Unread::Nothing,
            Socket::Ready(fd) => {
                let quiet = unread(fd.as_raw_fd()) == Unread::Nothing;
                self.slot.read.ready.set(!quiet);
                quiet
            }
        }
    }

    /// Sends what the kernel takes at once, on a stream where nothing is under way, and that is about to be closed.
    pub fn send_last(&self, bytes: &[u8]) {
        let _ = sys::send(self.fd(), bytes);
    }

    /// The idle stream is used again.
    pub fn resume(&self) {
        if let Socket::Ring(_, fd) = &self.socket {
            let _ = self.reactor().watch(&self.slot, *fd, Watch::Nothing);
            self.slot.read.ready.set(false);
        }
    }
}
