//! A socket that io_uring reads and writes, over monoio's operations.
//!
//! A read belongs to the socket and not to the future that waits for it: a wait may be dropped or run out, the operation goes on, and what it
//! brings is handed to the next who asks. So no byte is lost with a dropped future, and a read may be under way while nobody waits for it.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::io::{AsyncWriteRent, CancelHandle, CancelableAsyncReadRent, Canceller};
use monoio::net::TcpStream;

use super::kernel::{Fill, Flush, Scattered};
use crate::buf::Buf;

/// What an operation of monoio's ends with.
type Outcome<T> = (io::Result<usize>, T);

/// A stream of monoio's that is read and written at once. (Its own halves cannot be used: dropping the write half shuts the connection down.)
pub(super) struct Ring {
    stream: Rc<UnsafeCell<TcpStream>>,
    /// Made with the first read; a stream at rest gives it back.
    reading: RefCell<Option<Pin<Box<dyn Reading>>>>,
    canceller: Cell<Option<Canceller>>,
    is_cancelling: Cell<bool>,
    /// The outcome of a read, put back. Boxed: it is rare.
    kept: Cell<Option<Box<Outcome<Buf>>>>,
}

impl Ring {
    pub fn new(stream: TcpStream) -> Ring {
        Ring {
            stream: Rc::new(UnsafeCell::new(stream)),
            reading: RefCell::default(),
            canceller: Cell::default(),
            is_cancelling: Cell::new(false),
            kept: Cell::default(),
        }
    }

    /// A read is under way, or its outcome waits to be taken.
    pub fn is_reading(&self) -> bool {
        self.reading.borrow().as_ref().is_some_and(|reading| reading.is_under_way()) || self.has_kept()
    }

    /// [`Ring::cancel_read`] was said, and the read has not ended.
    pub fn is_cancelling(&self) -> bool {
        self.is_cancelling.get()
    }

    fn has_kept(&self) -> bool {
        let kept = self.kept.take();
        let has = kept.is_some();
        self.kept.set(kept);
        has
    }

    /// Starts a read into the spare part of `buf`; none is under way.
    pub fn begin_read(&self, buf: Buf, cx: &mut Context<'_>) -> Poll<Outcome<Buf>> {
        let canceller = self.canceller.take().unwrap_or_default();
        let mut reading = self.reading.borrow_mut();
        reading.get_or_insert_with(|| reading_of(self.stream.clone())).as_mut().begin(Fill(buf), canceller.handle());
        drop(reading);
        self.canceller.set(Some(canceller));
        // The operation begins with the first poll.
        self.poll_read(cx)
    }

    /// The outcome of the read that is under way.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Outcome<Buf>> {
        if let Some(kept) = self.kept.take() {
            return Poll::Ready(*kept);
        }
        let mut reading = self.reading.borrow_mut();
        let read = reading.as_mut().expect("polled only while a read is under way").as_mut();
        let (outcome, Fill(buf)) = std::task::ready!(read.poll(cx));
        self.is_cancelling.set(false);
        Poll::Ready((outcome, buf))
    }

    /// Gives back what reads need, while none is under way.
    pub fn rest(&self) {
        if !self.is_reading() {
            self.reading.take();
            self.canceller.take();
        }
    }

    /// Puts an outcome back for the next who asks.
    pub fn keep(&self, outcome: Outcome<Buf>) {
        self.kept.set(Some(Box::new(outcome)));
    }

    /// Asks the kernel to end the read. Its outcome still comes: [`is_cancelled`], or what had come before.
    pub fn cancel_read(&self) {
        self.is_cancelling.set(true);
        if let Some(canceller) = self.canceller.take() {
            self.canceller.set(Some(canceller.cancel()));
        }
    }

    pub fn write(&self, flush: Flush) -> impl Future<Output = Outcome<Flush>> {
        // SAFETY: as in `reading_of`: `write` clones the descriptor before it returns. The future lives no longer than `self`.
        unsafe { &mut *self.stream.get() }.write(flush)
    }

    pub fn write_scattered(&self, scattered: Scattered) -> impl Future<Output = Outcome<Scattered>> {
        // SAFETY: as in `write`.
        unsafe { &mut *self.stream.get() }.writev(scattered)
    }
}

/// Memory for the reads of `stream`.
fn reading_of(stream: Rc<UnsafeCell<TcpStream>>) -> Pin<Box<dyn Reading>> {
    let begin = move |fill, cancel| {
        // SAFETY: one thread; monoio uses the reference only to clone the descriptor, when the future is first polled, and no other
        // reference is in use then (`TcpStream` is `Split`: its own owned halves do the same). The closure keeps what it points to for as
        // long as the future.
        unsafe { &mut *stream.get() }.cancelable_read(fill, cancel)
    };
    Box::pin(OneRead { begin, under_way: None })
}

/// The outcome of a read that [`Ring::cancel_read`] ended.
pub(super) fn is_cancelled(outcome: &io::Result<usize>) -> bool {
    // Some kernels end a socket's read by EINTR.
    matches!(outcome, Err(error) if matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EINTR)))
}

/// The read of one socket: memory for monoio's future, whose type has no name, made once and used for each.
trait Reading {
    fn is_under_way(&self) -> bool;
    fn begin(self: Pin<&mut Self>, fill: Fill, cancel: CancelHandle);
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<Fill>>;
}

struct OneRead<B, F> {
    begin: B,
    under_way: Option<F>,
}

impl<B: Fn(Fill, CancelHandle) -> F + Unpin, F: Future<Output = Outcome<Fill>>> OneRead<B, F> {
    fn under_way(self: Pin<&mut Self>) -> Pin<&mut Option<F>> {
        // SAFETY: `under_way` is pinned with the whole: it is moved by nobody, and dropped where it is.
        unsafe { self.map_unchecked_mut(|read| &mut read.under_way) }
    }
}

impl<B: Fn(Fill, CancelHandle) -> F + Unpin, F: Future<Output = Outcome<Fill>>> Reading for OneRead<B, F> {
    fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    fn begin(self: Pin<&mut Self>, fill: Fill, cancel: CancelHandle) {
        debug_assert!(self.under_way.is_none(), "one read at a time");
        let begun = (self.begin)(fill, cancel);
        self.under_way().set(Some(begun));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<Fill>> {
        let read = self.as_mut().under_way().as_pin_mut().expect("polled only while it is under way");
        let outcome = std::task::ready!(read.poll(cx));
        self.under_way().set(None);
        Poll::Ready(outcome)
    }
}
