//! Sockets that accept.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use super::reactor::{Reactor, SlotGuard, Watch};
use super::stream::{Side, Stream};
use super::sys;

/// Connections that wait to be accepted; the kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Binds and listens. With `shared`, several workers may bind the same address and the kernel spreads connections over them (SO_REUSEPORT,
/// best effort: a preloaded stack may refuse it, then only the first bind succeeds).
pub fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if shared {
        let _ = socket.set_reuse_port(true);
    }
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, as the admin address of an injected pod expects.
        let _ = socket.set_only_v6(!address.ip().is_unspecified());
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A bound address on one worker.
pub struct Listener {
    slot: SlotGuard,
    fd: OwnedFd,
}

impl Listener {
    pub fn new(reactor: &Rc<Reactor>, listener: std::net::TcpListener) -> io::Result<Listener> {
        let slot = reactor.slot(false);
        let fd = OwnedFd::from(listener);
        reactor.watch(&slot, fd.as_raw_fd(), Watch::All)?;
        Ok(Listener { slot, fd })
    }

    /// The next connection and who calls. Owns no buffer and loses no connection: may be dropped.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let reactor = &self.slot.reactor;
        std::future::poll_fn(|cx| {
            loop {
                match sys::accept(self.fd.as_raw_fd(), !reactor.is_ring()) {
                    Ok((fd, Some(peer))) => return Poll::Ready(Ok((fd, peer))),
                    Ok((_, None)) => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.slot.read.wait(cx);
                        return Poll::Pending;
                    }
                    // The caller gave up between its SYN and our accept.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR)) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
        .and_then(|(fd, peer)| Ok((Stream::new(reactor, fd, Side::Downstream)?, peer)))
    }
}
