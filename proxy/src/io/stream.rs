//! One connected socket, on either driver.

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Poll;

use monoio::io::{AsyncReadRent, AsyncWriteRent};

use super::clock::Tick;
use super::kernel::{Fill, Flush};
use super::reactor::{Deadline, Direction, Reactor, SlotGuard, Unblock};
use super::sys;
use crate::buf::Buf;
use crate::timeouts::Timer;

/// Bytes that the kernel may hold for us unsent. Small enough that a slow reader costs little and a cancel takes effect soon,
/// large enough to fill a fast connection's window.
const NOTSENT_LOWAT_BYTES: u32 = 128 * 1024;

/// Reads that throw away what came, before the other tasks of the worker have their turn.
const DRAINED_IN_A_ROW: usize = 16;

/// Why a wait ended without bytes.
#[derive(Debug)]
pub enum IoError {
    Expired(Timer),
    Os(io::Error),
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::Expired(timer) => write!(f, "the timer {} ran out", timer.name()),
            IoError::Os(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for IoError {
    fn from(error: io::Error) -> IoError {
        IoError::Os(error)
    }
}

/// How far a send without a wait came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentNow {
    Whole,
    /// So many bytes are taken over. The rest has to be sent with a wait, be it empty: ciphertext may be left.
    Part(usize),
}

/// Who is at the other end: says how an expired read is ended under io_uring. A downstream must still take the 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Downstream,
    Upstream,
}

enum Socket {
    Ready(OwnedFd),
    /// Boxed: it is four times as large as the rest of a [`Stream`], which is moved from the pool and back for each request.
    Ring(Box<Ring>, RawFd),
}

/// A stream of monoio's that is read and written at once. (Its own halves cannot be used: dropping the write half shuts the connection down.)
struct Ring(UnsafeCell<monoio::net::TcpStream>);

#[allow(unsafe_code)]
impl Ring {
    fn read(&self, fill: Fill) -> impl Future<Output = (io::Result<usize>, Fill)> {
        // SAFETY: one thread; monoio's `read` uses the reference only to clone the descriptor, before it returns the future (and `TcpStream`
        // is `Split`: reads and writes are independent). No other reference is alive during that call.
        unsafe { &mut *self.0.get() }.read(fill)
    }

    fn write(&self, flush: Flush) -> impl Future<Output = (io::Result<usize>, Flush)> {
        // SAFETY: as for `read`.
        unsafe { &mut *self.0.get() }.write(flush)
    }
}

/// A connected socket. One read and one write may be under way at once.
///
/// The slot is declared before the socket, so it is dropped first: the kernel may give the descriptor's number to somebody else at once.
pub struct Stream {
    slot: SlotGuard,
    socket: Socket,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("fd", &self.fd()).finish_non_exhaustive()
    }
}

impl Stream {
    /// Takes over a connected descriptor: non-blocking under epoll, blocking under io_uring.
    pub fn new(reactor: &Rc<Reactor>, fd: OwnedFd, side: Side) -> io::Result<Stream> {
        let slot = reactor.slot(true);
        tune(&fd);
        if reactor.is_ring() {
            return Stream::on_ring(slot, fd, side);
        }
        reactor.watch(&slot, fd.as_raw_fd())?;
        Ok(Stream { slot, socket: Socket::Ready(fd) })
    }

    fn on_ring(slot: SlotGuard, fd: OwnedFd, side: Side) -> io::Result<Stream> {
        let raw = fd.into_raw_fd();
        #[allow(unsafe_code)]
        // SAFETY: the descriptor was owned and is given away here.
        let stream = unsafe { std::net::TcpStream::from_raw_fd(raw) };
        let stream = monoio::net::TcpStream::from_std(stream)?;
        slot.unblock.set(match side {
            Side::Downstream => (Unblock::ShutdownRead(raw), Unblock::ShutdownBoth(raw)),
            Side::Upstream => (Unblock::ShutdownBoth(raw), Unblock::ShutdownBoth(raw)),
        });
        Ok(Stream { slot, socket: Socket::Ring(Box::new(Ring(UnsafeCell::new(stream))), raw) })
    }

    fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Ready(fd) => fd.as_raw_fd(),
            Socket::Ring(_, fd) => *fd,
        }
    }

    pub fn reactor(&self) -> &Rc<Reactor> {
        &self.slot.reactor
    }

    /// Reads what is there into the spare part of `buf`, waiting until something is. `Ok(0)`: the peer has closed its side.
    ///
    /// The buffer has room, or no memory: then it gets a head's when there is something to read, so that a wait holds none (under io_uring the
    /// kernel needs it at once). Errors: the deadline, a reset; after either the connection is good for nothing but closing.
    pub async fn recv(&self, buf: &mut Buf, deadline: Deadline) -> Result<usize, IoError> {
        debug_assert!(!buf.is_leased() || buf.spare_bytes() > 0, "a read without room cannot be told from an end");
        match &self.socket {
            Socket::Ready(fd) => self.recv_ready(fd.as_raw_fd(), buf, deadline).await,
            Socket::Ring(stream, _) => {
                if !buf.is_leased() {
                    *buf = Buf::head();
                }
                self.slot.reactor.arm(&self.slot.slot, Direction::Read, deadline);
                let (got, Fill(back)) = stream.read(Fill(std::mem::take(buf))).await;
                *buf = back;
                self.slot.read.disarm();
                match self.slot.read.expired() {
                    Some(timer) => Err(IoError::Expired(timer)),
                    None => got.map_err(IoError::Os),
                }
            }
        }
    }

    async fn recv_ready(&self, fd: RawFd, buf: &mut Buf, deadline: Deadline) -> Result<usize, IoError> {
        let (slot, half) = (&self.slot, &self.slot.read);
        let mut armed = false;
        std::future::poll_fn(|cx| {
            let holds_none = !buf.is_leased();
            while half.ready.get() {
                if !buf.is_leased() {
                    *buf = Buf::head();
                }
                match sys::recv(fd, buf.spare(), 0) {
                    Ok(n) => {
                        let drained = n < buf.spare_bytes() && slot.reactor.short_read_drains();
                        if n > 0 && drained && !slot.hung_up.get() {
                            half.ready.set(false);
                        }
                        buf.fill(n);
                        half.disarm();
                        return Poll::Ready(Ok(n));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => half.ready.set(false),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            if holds_none {
                *buf = Buf::default();
            }
            self.wait(Direction::Read, &mut armed, deadline, cx)
        })
        .await
    }

    /// Arms the deadline once, then waits for the reactor.
    fn wait<T>(
        &self,
        direction: Direction,
        armed: &mut bool,
        deadline: Deadline,
        cx: &std::task::Context<'_>,
    ) -> Poll<Result<T, IoError>> {
        let half = self.slot.half(direction);
        if !std::mem::replace(armed, true) {
            self.slot.reactor.arm(&self.slot.slot, direction, deadline);
        } else if let Some(timer) = half.expired() {
            return Poll::Ready(Err(IoError::Expired(timer)));
        }
        half.wait(cx);
        Poll::Pending
    }

    /// Sends what the kernel takes without a wait. No place for an error: the [`Stream::send`] of the rest meets it.
    ///
    /// Under io_uring nothing: there a call for each send would cost more than the ring does.
    pub fn send_now(&self, bytes: &[u8]) -> SentNow {
        match &self.socket {
            Socket::Ready(fd) if self.slot.write.ready.get() => match sys::send(fd.as_raw_fd(), bytes) {
                Ok(sent) if sent == bytes.len() => SentNow::Whole,
                Ok(sent) => SentNow::Part(sent),
                Err(_) => SentNow::Part(0),
            },
            _ => SentNow::Part(0),
        }
    }

    /// Sends the filled bytes of `buf` within `range`; it keeps them. Returns how many the kernel took: fewer only with an error.
    pub async fn send(
        &self,
        mut buf: Buf,
        range: Range<usize>,
        deadline: Deadline,
    ) -> (usize, Result<(), IoError>, Buf) {
        let Range { start: mut at, end } = range;
        let outcome = loop {
            if at == end {
                break Ok(());
            }
            let step;
            (step, buf) = self.send_some(buf, at, end, deadline).await;
            match step {
                Ok(0) => break Err(IoError::Os(io::ErrorKind::WriteZero.into())),
                Ok(n) => at += n,
                Err(error) => break Err(error),
            }
        };
        (at - range.start, outcome, buf)
    }

    async fn send_some(&self, buf: Buf, from: usize, to: usize, deadline: Deadline) -> (Result<usize, IoError>, Buf) {
        match &self.socket {
            Socket::Ready(fd) => (self.send_ready(fd.as_raw_fd(), &buf.filled()[from..to], deadline).await, buf),
            Socket::Ring(stream, _) => {
                self.slot.reactor.arm(&self.slot.slot, Direction::Write, deadline);
                let (sent, flush) = stream.write(Flush { buf, from, to }).await;
                self.slot.write.disarm();
                match self.slot.write.expired() {
                    Some(timer) => (Err(IoError::Expired(timer)), flush.buf),
                    None => (sent.map_err(IoError::Os), flush.buf),
                }
            }
        }
    }

    async fn send_ready(&self, fd: RawFd, bytes: &[u8], deadline: Deadline) -> Result<usize, IoError> {
        let half = &self.slot.write;
        let mut armed = false;
        std::future::poll_fn(|cx| {
            while half.ready.get() {
                match sys::send(fd, bytes) {
                    Ok(n) => {
                        half.disarm();
                        return Poll::Ready(Ok(n));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => half.ready.set(false),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            self.wait(Direction::Write, &mut armed, deadline, cx)
        })
        .await
    }

    /// Moves the deadline of the read that is under way.
    pub fn set_read_deadline(&self, deadline: Deadline) {
        self.slot.reactor.arm(&self.slot.slot, Direction::Read, deadline);
    }

    /// Reads and throws away what still comes, until the peer closes or the deadline passes.
    pub async fn drain(&self, mut buf: Buf, deadline: Deadline) {
        // A peer that never pauses never makes a read wait, so the deadline is looked at here too.
        while Tick::now() < deadline.at {
            for _ in 0..DRAINED_IN_A_ROW {
                buf.clear();
                if !matches!(self.recv(&mut buf, deadline).await, Ok(1..)) {
                    return;
                }
            }
            self.reactor().yield_now().await;
        }
    }

    /// Says that no more bytes follow; what was sent still arrives.
    pub fn finish(&self) {
        sys::shutdown(self.fd(), libc::SHUT_WR);
    }

    /// Closing will send a RST: the peer cannot mistake what it got for all there was.
    pub fn reset_on_close(&self) {
        sys::linger_zero(self.fd());
    }

    /// Nothing has come, and the peer has not closed: an idle connection that may carry another request.
    ///
    /// Under epoll the reactor knows, and the kernel is asked only where the last read may have left bytes. Under io_uring nobody watches
    /// an idle socket, so the kernel is asked each time: bytes that came unasked must never be taken for an answer.
    pub fn is_quiet(&self) -> bool {
        match &self.socket {
            Socket::Ready(_) if !self.slot.read.ready.get() => true,
            Socket::Ready(_) if self.slot.hung_up.get() => false,
            Socket::Ready(fd) => {
                let quiet = nothing_to_read(fd.as_raw_fd());
                self.slot.read.ready.set(!quiet);
                quiet
            }
            Socket::Ring(_, fd) => nothing_to_read(*fd),
        }
    }

    /// Wakes `waker` when something comes or the peer closes (epoll alone: under io_uring an idle socket is not watched).
    pub fn watch_idle(&self, waker: &std::task::Waker) {
        self.slot.read.wait_with(waker);
    }
}

fn nothing_to_read(fd: RawFd) -> bool {
    matches!(sys::recv(fd, &mut [0], libc::MSG_PEEK), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Best effort: a preloaded stack may refuse any option.
fn tune(fd: &OwnedFd) {
    let socket = socket2::SockRef::from(fd);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES);
}

/// Opens a connection. Owns no buffer: may be dropped.
pub async fn connect(reactor: &Rc<Reactor>, to: SocketAddr, deadline: Deadline) -> Result<Stream, IoError> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let waits = match socket.connect(&to.into()) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(error) => return Err(error.into()),
    };
    let fd = OwnedFd::from(socket);
    if !waits && reactor.is_ring() {
        sys::set_blocking(fd.as_raw_fd())?;
    }
    if !waits {
        return Ok(Stream::new(reactor, fd, Side::Upstream)?);
    }
    let slot = reactor.slot(false);
    reactor.watch(&slot, fd.as_raw_fd())?;
    let stream = Stream { slot, socket: Socket::Ready(fd) };
    stream.connected(deadline).await?;
    let Stream { slot, socket } = stream;
    let Socket::Ready(fd) = socket else { unreachable!("made above") };
    if let Some(error) = socket2::SockRef::from(&fd).take_error()? {
        return Err(error.into());
    }
    tune(&fd);
    if reactor.is_ring() {
        reactor.unwatch(fd.as_raw_fd());
        sys::set_blocking(fd.as_raw_fd())?;
        return Ok(Stream::on_ring(slot, fd, Side::Upstream)?);
    }
    Ok(Stream { slot, socket: Socket::Ready(fd) })
}

impl Stream {
    async fn connected(&self, deadline: Deadline) -> Result<(), IoError> {
        let mut armed = false;
        std::future::poll_fn(|cx| {
            if self.slot.write.ready.get() {
                self.slot.write.disarm();
                return Poll::Ready(Ok(()));
            }
            self.wait(Direction::Write, &mut armed, deadline, cx)
        })
        .await
    }
}
