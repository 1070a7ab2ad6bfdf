//! The floor: a single-threaded epoll forwarder that parses nothing, for what no proxy can save.
//!
//! Path measured: for each downstream connection one upstream connection, for each piece of bytes one read into a 64 KiB buffer
//! and one write; with TLS the records are opened and sealed by rustls between. In: connections on one or two listeners. Out:
//! the same bytes. It knows nothing of requests. A side that cannot take bytes stops the reading of the other one.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use crate::sys::{self, Epoll};

const BUFFER_BYTES: usize = 64 * 1024;
const PLAIN_LISTENER: u64 = u64::MAX;
const TLS_LISTENER: u64 = u64::MAX - 1;

/// Forwards until the process ends.
pub fn serve(
    plain: &TcpListener,
    tls: Option<(&TcpListener, Arc<ServerConfig>)>,
    upstream: SocketAddr,
) -> io::Result<()> {
    let mut epoll = Epoll::new()?;
    plain.set_nonblocking(true)?;
    epoll.add(plain, PLAIN_LISTENER, sys::READ)?;
    if let Some((listener, _)) = &tls {
        listener.set_nonblocking(true)?;
        epoll.add(*listener, TLS_LISTENER, sys::READ)?;
    }
    let mut floor = Floor { pairs: Vec::new(), free: Vec::new(), upstream, buffer: vec![0; BUFFER_BYTES] };
    loop {
        for index in 0..epoll.wait(None)? {
            let accepted = match (epoll.event(index), &tls) {
                ((PLAIN_LISTENER, _), _) => floor.accept(plain, None, &epoll),
                ((TLS_LISTENER, _), Some((listener, config))) => floor.accept(listener, Some(config), &epoll),
                ((token, readiness), _) => {
                    floor.turn(token, readiness, &epoll);
                    Ok(())
                }
            };
            if let Err(error) = accepted {
                eprintln!("floor: accept: {error}");
            }
        }
    }
}

struct Floor {
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    upstream: SocketAddr,
    buffer: Vec<u8>,
}

/// A downstream connection (side 0) and its upstream connection (side 1).
struct Pair {
    sides: [Side; 2],
}

struct Side {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// What the socket did not take; under TLS rustls keeps it.
    backlog: Vec<u8>,
    interest: u32,
}

impl Floor {
    /// Accepts one connection a turn (the listener is level-triggered) and opens its upstream connection.
    fn accept(&mut self, listener: &TcpListener, tls: Option<&Arc<ServerConfig>>, epoll: &Epoll) -> io::Result<()> {
        let downstream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let tls = match tls {
            Some(config) => Some(Box::new(ServerConnection::new(config.clone()).map_err(io::Error::other)?)),
            None => None,
        };
        let upstream = TcpStream::connect(self.upstream)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let sides = [Side::new(downstream, tls)?, Side::new(upstream, None)?];
        for (which, side) in sides.iter().enumerate() {
            epoll.add(&side.stream, (slot * 2 + which) as u64, sys::READ)?;
        }
        self.pairs[slot] = Some(Pair { sides });
        Ok(())
    }

    fn turn(&mut self, token: u64, readiness: u32, epoll: &Epoll) {
        let (slot, which) = (token as usize / 2, token as usize % 2);
        let Some(pair) = self.pairs[slot].as_mut() else { return };
        let [downstream, upstream] = &mut pair.sides;
        let (from, to) = if which == 0 { (downstream, upstream) } else { (upstream, downstream) };
        let carried = carry(from, to, readiness, &mut self.buffer);
        if carried.and_then(|()| pair.update_interest(slot, epoll)).is_err() {
            self.pairs[slot] = None;
            self.free.push(slot);
        }
    }
}

impl Pair {
    fn update_interest(&mut self, slot: usize, epoll: &Epoll) -> io::Result<()> {
        let stuck = [self.sides[0].is_stuck(), self.sides[1].is_stuck()];
        for (which, side) in self.sides.iter_mut().enumerate() {
            let read = if stuck[1 - which] { 0 } else { sys::READ };
            let write = if stuck[which] { sys::WRITE } else { 0 };
            if side.interest != read | write {
                side.interest = read | write;
                epoll.modify(&side.stream, (slot * 2 + which) as u64, side.interest)?;
            }
        }
        Ok(())
    }
}

/// Serves the readiness of `from`: writes its own backlog, then moves one buffer to `to`. The end of either side is an error.
fn carry(from: &mut Side, to: &mut Side, readiness: u32, buffer: &mut [u8]) -> io::Result<()> {
    if from.is_stuck() {
        from.flush()?;
    }
    if to.is_stuck() {
        return if readiness & sys::GONE == 0 { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) };
    }
    if readiness & !sys::WRITE == 0 {
        return Ok(());
    }
    let count = match from.stream.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(tls) = &mut from.tls else { return to.put(&buffer[..count]) };
    let mut records = &buffer[..count];
    while !records.is_empty() {
        tls.read_tls(&mut records)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            let mut reader = tls.reader();
            let plain = match reader.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(plain) => plain,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            to.put(plain)?;
            let taken = plain.len();
            reader.consume(taken);
        }
    }
    from.flush()
}

impl Side {
    fn new(stream: TcpStream, mut tls: Option<Box<ServerConnection>>) -> io::Result<Self> {
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(None); // `is_stuck` is the limit: what was read before fits one buffer
        }
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, tls, backlog: Vec::new(), interest: sys::READ })
    }

    fn is_stuck(&self) -> bool {
        !self.backlog.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush();
        }
        let sent = if self.backlog.is_empty() { accepted(self.stream.write(bytes))? } else { 0 };
        self.backlog.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && accepted(tls.write_tls(&mut self.stream))? > 0 {}
        } else if !self.backlog.is_empty() {
            let sent = accepted(self.stream.write(&self.backlog))?;
            self.backlog.drain(..sent);
        }
        Ok(())
    }
}

/// How many bytes a socket took; one that is full took none.
fn accepted(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
