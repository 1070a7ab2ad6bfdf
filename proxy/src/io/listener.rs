//! Sockets that accept.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use socket2::SockFilter;

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

/// A connection that was accepted, and is nobody's yet: any worker may take it.
#[derive(Debug)]
pub struct Accepted(OwnedFd);

impl Accepted {
    /// On the worker that serves it.
    pub fn into_stream(self, reactor: &Rc<Reactor>) -> io::Result<Stream> {
        Stream::new(reactor, self.0, Side::Downstream)
    }
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

    /// Takes no part in new handshakes from now on; those that have begun end, and are accepted. False: the kernel, or a preloaded stack, refuses.
    ///
    /// Closing a listener resets what is in its queue and what is on its way there, even where another socket listens on the same address
    /// (SO_REUSEPORT; but for the sysctl net.ipv4.tcp_migrate_req). So this comes first, then the handshakes, then an empty queue.
    pub fn refuse_new(&self) -> bool {
        drop_syns(&socket2::SockRef::from(&self.fd)).is_ok()
    }

    /// The next connection and who calls. Owns no buffer and loses no connection: may be dropped.
    pub async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        std::future::poll_fn(|cx| match self.accept_now() {
            Some(next) => Poll::Ready(next),
            None => {
                self.slot.read.wait(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// As [`Listener::accept`]. `None`: nobody waits.
    pub fn accept_now(&self) -> Option<io::Result<(Accepted, SocketAddr)>> {
        let reactor = &self.slot.reactor;
        loop {
            match sys::accept(self.fd.as_raw_fd(), !reactor.is_ring()) {
                Ok((fd, Some(peer))) => return Some(Ok((Accepted(fd), peer))),
                Ok((_, None)) => return Some(Err(io::ErrorKind::Unsupported.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // The caller gave up between its SYN and our accept.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Drops each SYN that comes to a listening socket; whoever sent it tries again a second later. Needs no privilege.
fn drop_syns(listener: &socket2::Socket) -> io::Result<()> {
    /// In the TCP header (RFC 9293 section 3.1), which is the first that the kernel shows to a socket's filter.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let step = |code: u32, jump, or_jump, value| SockFilter::new(code as u16, jump, or_jump, value);
    listener.attach_filter(&[
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS_AT),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use socket2::{Domain, SockRef, Socket, Type};

    use super::*;

    const FAMILIES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    #[test]
    fn listener_that_refuses_still_has_its_queue_and_takes_no_new_handshake() {
        for address in FAMILIES {
            let listener = TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            let mut queued = TcpStream::connect(to).unwrap();
            drop_syns(&SockRef::from(&listener)).unwrap();
            let late = TcpStream::connect_timeout(&to, Duration::from_millis(200)).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{address}");
            // The filter is passed on to who is accepted, and must not stand in his way.
            let (mut accepted, _) = listener.accept().unwrap();
            queued.write_all(b"ask").unwrap();
            accepted.read_exact(&mut [0; 3]).unwrap();
            accepted.write_all(b"answer").unwrap();
            queued.read_exact(&mut [0; 6]).unwrap();
            drop(listener);
            assert_eq!(TcpStream::connect(to).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    /// The client hears the answer to its SYN only after the listener refuses others: the kernel repeats it after a second.
    #[test]
    fn handshake_that_has_begun_ends() {
        for address in FAMILIES {
            let listener = TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            let client = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
            client.attach_filter(&[SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0)]).unwrap();
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.connect(&to.into()).unwrap_err().raw_os_error(), Some(libc::EINPROGRESS));
            drop_syns(&SockRef::from(&listener)).unwrap();
            client.detach_filter().unwrap();
            client.set_nonblocking(false).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            drop(listener);
            accepted.write_all(b"here").unwrap();
            TcpStream::from(client).read_exact(&mut [0; 4]).unwrap();
        }
    }
}
