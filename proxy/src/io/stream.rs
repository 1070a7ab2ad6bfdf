//! One connected socket, on either driver.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::clock::Tick;
use super::kernel::{self, Flush, Scattered};
use super::reactor::{Deadline, Direction, Reactor, SlotGuard, Watch};
use super::ring::{self, Ring};
use super::sys;
use crate::buf::Buf;
use crate::pieces::Pieces;
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

/// Who is at the other end: whether one that leaves is looked out for under io_uring. (Under epoll every socket is.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Downstream,
    Upstream,
}

pub(super) enum Socket {
    Ready(OwnedFd),
    /// Boxed: it is larger than the rest of a [`Stream`], which is moved from the pool and back for each request.
    Ring(Box<Ring>, RawFd),
}

/// What is there to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    Bytes,
    /// The peer's end, or a broken connection.
    End,
}

/// A connected socket. One read and one write may be under way at once.
///
/// The slot is declared before the socket, so it is dropped first: the kernel may give the descriptor's number to somebody else at once.
pub struct Stream {
    pub(super) slot: SlotGuard,
    pub(super) socket: Socket,
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
        reactor.watch(&slot, fd.as_raw_fd(), Watch::All)?;
        Ok(Stream { slot, socket: Socket::Ready(fd) })
    }

    fn on_ring(slot: SlotGuard, fd: OwnedFd, side: Side) -> io::Result<Stream> {
        let raw = fd.into_raw_fd();
        #[allow(unsafe_code)]
        // SAFETY: the descriptor was owned and is given away here.
        let stream = unsafe { std::net::TcpStream::from_raw_fd(raw) };
        let stream = monoio::net::TcpStream::from_std(stream)?;
        slot.break_writes.set(Some(raw));
        if side == Side::Downstream {
            slot.reactor.watch(&slot, raw, Watch::Hangup)?;
        }
        Ok(Stream { slot, socket: Socket::Ring(Box::new(Ring::new(stream)), raw) })
    }

    pub(super) fn fd(&self) -> RawFd {
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
    /// kernel needs it at once, and keeps it where the wait ends with an error or is dropped). Errors: the deadline, a reset; after either the
    /// connection is good for nothing but closing, or for [`Stream::quiesce`] where the buffer was empty and time ran out.
    pub fn recv(&self, buf: &mut Buf, deadline: Deadline) -> impl Future<Output = Result<usize, IoError>> {
        self.recv_lent(buf, deadline, Buf::waiting)
    }

    /// As [`Stream::recv`]; a buffer that the kernel needs at once is what `lend` makes.
    pub async fn recv_lent(&self, buf: &mut Buf, deadline: Deadline, lend: fn() -> Buf) -> Result<usize, IoError> {
        debug_assert!(!buf.is_leased() || buf.spare_bytes() > 0, "a read without room cannot be told from an end");
        let mut armed = false;
        std::future::poll_fn(|cx| {
            let got = match &self.socket {
                Socket::Ready(fd) => self.poll_recv_ready(fd.as_raw_fd(), buf),
                Socket::Ring(ring, fd) => self.poll_recv_ring(ring, *fd, buf, lend, cx),
            };
            match got {
                Poll::Ready(got) => {
                    self.slot.read.disarm();
                    Poll::Ready(got.map_err(IoError::Os))
                }
                Poll::Pending => self.wait(Direction::Read, &mut armed, deadline, cx),
            }
        })
        .await
    }

    fn poll_recv_ready(&self, fd: RawFd, buf: &mut Buf) -> Poll<io::Result<usize>> {
        let (slot, half) = (&self.slot, &self.slot.read);
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
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => half.ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if holds_none {
            *buf = Buf::default();
        }
        Poll::Pending
    }

    /// As [`Stream::recv`] on a ring. A read that is under way already is taken over, whoever began it. What the set has told of is there: it is
    /// read at once, so that of many streams that end their rest together none has a buffer in the kernel.
    fn poll_recv_ring(
        &self,
        ring: &Ring,
        fd: RawFd,
        buf: &mut Buf,
        lend: fn() -> Buf,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.slot.read.ready.get() && !ring.is_reading() {
            let got = self.poll_recv_ready(fd, buf);
            self.slot.read.ready.set(false);
            if got.is_ready() {
                return got;
            }
        }
        loop {
            let polled = if ring.is_reading() {
                ring.poll_read(cx)
            } else {
                let mut lent = std::mem::take(buf);
                if !lent.is_leased() {
                    lent = lend();
                }
                ring.begin_read(lent, cx)
            };
            let (outcome, came) = std::task::ready!(polled);
            if buf.is_leased() {
                buf.put(came.filled());
            } else {
                *buf = came;
            }
            if !ring::is_cancelled(&outcome) {
                return Poll::Ready(outcome);
            }
        }
    }

    /// Arms the deadline once, then waits for the reactor.
    fn wait<T>(
        &self,
        direction: Direction,
        armed: &mut bool,
        deadline: Deadline,
        cx: &Context<'_>,
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
        self.when_writable(deadline, || sys::send(fd, bytes)).await
    }

    /// Tries `send` whenever the kernel may take something.
    async fn when_writable(&self, deadline: Deadline, send: impl Fn() -> io::Result<usize>) -> Result<usize, IoError> {
        let half = &self.slot.write;
        let mut armed = false;
        std::future::poll_fn(|cx| {
            while half.ready.get() {
                match send() {
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

    /// Sends `pieces`; what is left of them was not taken by the kernel: something only with an error.
    pub async fn send_pieces(&self, pieces: &mut Pieces, deadline: Deadline) -> Result<(), IoError> {
        while !pieces.is_empty() {
            let sent = match &self.socket {
                Socket::Ready(fd) => self.send_pieces_ready(fd.as_raw_fd(), pieces, deadline).await?,
                Socket::Ring(stream, _) => {
                    self.slot.reactor.arm(&self.slot.slot, Direction::Write, deadline);
                    pieces.shrink();
                    let (sent, scattered) = stream.write_scattered(Scattered::new(std::mem::take(pieces))).await;
                    self.slot.write.disarm();
                    *pieces = scattered.into_pieces();
                    match self.slot.write.expired() {
                        Some(timer) => return Err(IoError::Expired(timer)),
                        None => sent?,
                    }
                }
            };
            if sent == 0 {
                return Err(IoError::Os(io::ErrorKind::WriteZero.into()));
            }
            pieces.sent(sent);
        }
        Ok(())
    }

    async fn send_pieces_ready(&self, fd: RawFd, pieces: &Pieces, deadline: Deadline) -> Result<usize, IoError> {
        self.when_writable(deadline, || {
            let mut places = kernel::NOWHERE;
            let count = kernel::place(pieces, &mut places);
            sys::send_scattered(fd, &places[..count])
        })
        .await
    }

    /// Says of the reads from here on whether they wait for a beginning: such a one may be ended at any time ([`Reactor::end_idle_waits`]).
    pub fn set_idle(&self, idle: bool) {
        self.slot.idle.set(idle);
    }

    /// Moves the deadline of the read that is under way.
    pub fn set_read_deadline(&self, deadline: Deadline) {
        self.slot.reactor.arm(&self.slot.slot, Direction::Read, deadline);
    }

    /// Reads and throws away what still comes, until the peer closes or the deadline passes. Its waits hold no memory: many may end at once
    /// because there is none.
    pub async fn drain(&self, deadline: Deadline) {
        // A peer that never pauses never makes a read wait, so the deadline is looked at here too.
        while Tick::now() < deadline.at {
            for _ in 0..DRAINED_IN_A_ROW {
                if !matches!(self.recv(&mut Buf::default(), deadline).await, Ok(1..)) {
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

    /// Ready when the peer has left: closed its side (`Left::Closed`: it may have sent bytes before that) or broken the connection off.
    ///
    /// For the task that reads from the stream: it shares that wait's place.
    pub fn poll_left(&self, cx: &Context<'_>) -> Poll<Left> {
        if self.slot.broken.get() {
            return Poll::Ready(Left::Broken);
        }
        self.slot.read.wait(cx);
        if self.slot.hung_up.get() { Poll::Ready(Left::Closed) } else { Poll::Pending }
    }

    /// A read may find something. Under io_uring only the read itself tells.
    pub fn may_have_come(&self) -> bool {
        match &self.socket {
            Socket::Ready(_) => self.slot.read.ready.get(),
            Socket::Ring(..) => true,
        }
    }

    /// Reads what is there into `buf`, without a wait, while nobody else reads. `false`: nothing more will come.
    pub fn recv_now(&self, buf: &mut Buf) -> bool {
        match sys::recv(self.fd(), buf.spare(), 0) {
            Ok(n) => {
                buf.fill(n);
                n > 0
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Bytes have come; asked of the kernel, while no read is under way.
    pub fn has_come(&self) -> bool {
        unread(self.fd()) == Unread::Bytes
    }

    /// Bytes have come that nobody has read. Where a read is under way that nobody waits for, its outcome tells, and whoever asks is woken by it.
    pub fn has_unread(&self, cx: &Context<'_>) -> bool {
        match self.read_under_way(cx) {
            None => self.has_come(),
            Some(Poll::Pending) => true,
            Some(Poll::Ready(outcome)) => {
                let has_bytes = matches!(outcome.0, Ok(1..));
                if let Socket::Ring(ring, _) = &self.socket {
                    ring.keep(outcome);
                }
                has_bytes
            }
        }
    }

    /// The outcome of a read that was begun and that nobody waits for.
    fn read_under_way(&self, cx: &Context<'_>) -> Option<Poll<(io::Result<usize>, Buf)>> {
        match &self.socket {
            Socket::Ring(ring, _) if ring.is_reading() => Some(ring.poll_read(&mut Context::from_waker(cx.waker()))),
            _ => None,
        }
    }

    /// As [`Stream::recv_now`]. `None`: a read is under way, and whoever asks is woken by its outcome.
    pub fn recv_now_or_later(&self, buf: &mut Buf, cx: &Context<'_>) -> Option<bool> {
        match self.read_under_way(cx) {
            None => Some(self.recv_now(buf)),
            Some(Poll::Pending) => None,
            Some(Poll::Ready((outcome, came))) => {
                buf.put(came.filled());
                Some(matches!(outcome, Ok(1..)))
            }
        }
    }
}

/// How a peer has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It sends no more; it may still read.
    Closed,
    /// A reset, or both sides have closed.
    Broken,
}

pub(super) fn unread(fd: RawFd) -> Unread {
    match sys::recv(fd, &mut [0], libc::MSG_PEEK) {
        Ok(0) => Unread::End,
        Ok(_) => Unread::Bytes,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Unread::Nothing,
        Err(_) => Unread::End,
    }
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
    reactor.watch(&slot, fd.as_raw_fd(), Watch::All)?;
    let stream = Stream { slot, socket: Socket::Ready(fd) };
    stream.connected(deadline).await?;
    let Stream { slot, socket } = stream;
    let Socket::Ready(fd) = socket else { unreachable!("made above") };
    if let Some(error) = socket2::SockRef::from(&fd).take_error()? {
        return Err(error.into());
    }
    tune(&fd);
    if reactor.is_ring() {
        reactor.watch(&slot, fd.as_raw_fd(), Watch::Nothing)?;
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
