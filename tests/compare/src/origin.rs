//! The origin: an HTTP/1.1 keep-alive server on one thread and one epoll set, which answers `/b/<bytes>/...` and counts.
//!
//! In: requests from the proxies (or from anybody). Out: bodies as `wire` defines them; `/__count` says how many requests were
//! answered, itself not among them. It never closes a kept connection and adds one fixed head. It must not know who asks.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::sys::{self, Epoll};
use crate::wire;

const READ_BYTES: usize = 64 * 1024;
/// A body up to this size leaves in one write together with its head; a longer one is streamed from the pattern.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// Of a longer body so much leaves in one turn, so that small answers do not wait long behind it.
const SLICE_BYTES_MAX: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

/// Serves until the process ends.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener, LISTENER, sys::READ)?;
    let mut origin = Origin { connections: Vec::new(), free: Vec::new(), answered: 0, scratch: vec![0; READ_BYTES] };
    loop {
        for index in 0..epoll.wait(None)? {
            match epoll.event(index) {
                (LISTENER, _) => origin.accept(listener, &epoll)?,
                (token, _) => origin.turn(token as usize, &epoll),
            }
        }
    }
}

struct Origin {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    answered: u64,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of a request that is not complete yet.
    inbox: Vec<u8>,
    out: Vec<u8>,
    out_sent: usize,
    /// Position and end of a long body that is still to be written after `out`.
    tail: Option<(u64, u64)>,
    waits_to_write: bool,
}

impl Origin {
    fn accept(&mut self, listener: &TcpListener, epoll: &Epoll) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll.add(&stream, slot as u64, sys::READ)?;
            self.connections[slot] = Some(Connection {
                stream,
                inbox: Vec::new(),
                out: Vec::new(),
                out_sent: 0,
                tail: None,
                waits_to_write: false,
            });
        }
    }

    fn turn(&mut self, slot: usize, epoll: &Epoll) {
        let Some(connection) = self.connections[slot].as_mut() else { return };
        let result = connection.turn(&mut self.scratch, &mut self.answered);
        if result.is_ok_and(|()| connection.update_interest(slot, epoll).is_ok()) {
            return;
        }
        self.connections[slot] = None;
        self.free.push(slot);
    }
}

impl Connection {
    /// Reads (unless an answer is still leaving), answers what is complete, writes. An error ends the connection.
    fn turn(&mut self, scratch: &mut [u8], answered: &mut u64) -> io::Result<()> {
        if !self.is_writing() {
            match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.take(&scratch[..count], answered)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.flush()?;
        while !self.is_writing() && !self.inbox.is_empty() {
            let bytes = std::mem::take(&mut self.inbox);
            self.take(&bytes, answered)?;
            if self.inbox.len() == bytes.len() {
                break;
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Answers each complete request of `inbox` + `bytes` up to a long body; keeps the rest.
    fn take(&mut self, bytes: &[u8], answered: &mut u64) -> io::Result<()> {
        let mut joined = std::mem::take(&mut self.inbox);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        while self.tail.is_none() {
            let parsed = wire::parse_request(rest).map_err(|error| io::Error::other(error.0))?;
            let Some((path, head_bytes)) = parsed else { break };
            if path == wire::COUNT_PATH.as_bytes() {
                let count = answered.to_string();
                write_head(&mut self.out, count.len() as u64);
                self.out.extend_from_slice(count.as_bytes());
            } else {
                let body_bytes = wire::body_bytes_of(path).ok_or_else(|| io::Error::other("a path without length"))?;
                *answered += 1;
                self.answer(path, body_bytes);
            }
            rest = &rest[head_bytes..];
        }
        self.inbox.extend_from_slice(rest);
        Ok(())
    }

    fn answer(&mut self, path: &[u8], body_bytes: u64) {
        write_head(&mut self.out, body_bytes);
        let head_end = self.out.len();
        wire::write_body_start(&mut self.out, path, body_bytes);
        let at = (self.out.len() - head_end) as u64;
        if body_bytes <= WHOLE_BYTES_MAX {
            self.out.extend_from_slice(&wire::pattern(at)[..(body_bytes - at) as usize]);
        } else {
            self.tail = Some((at, body_bytes));
        }
    }

    /// Writes what the socket takes; of a long body one slice a turn, so that the others are served between.
    fn flush(&mut self) -> io::Result<()> {
        while self.out_sent < self.out.len() {
            match self.stream.write(&self.out[self.out_sent..]) {
                Ok(count) => self.out_sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_sent = 0;
        let Some((at, end)) = self.tail else { return Ok(()) };
        let slice = wire::pattern(at);
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(slice.len()).min(SLICE_BYTES_MAX);
        match self.stream.write(&slice[..length]) {
            Ok(count) => self.tail = Some((at + count as u64, end)).filter(|(at, end)| at < end),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_writing(&self) -> bool {
        !self.out.is_empty() || self.tail.is_some()
    }

    fn update_interest(&mut self, slot: usize, epoll: &Epoll) -> io::Result<()> {
        let wants = self.is_writing();
        if wants != self.waits_to_write {
            self.waits_to_write = wants;
            epoll.modify(&self.stream, slot as u64, if wants { sys::WRITE } else { sys::READ })?;
        }
        Ok(())
    }
}

fn write_head(out: &mut Vec<u8>, body_bytes: u64) {
    write!(
        out,
        "HTTP/1.1 200 OK\r\nserver: origin\r\ncontent-type: application/octet-stream\r\n\
         date: Wed, 25 Nov 2026 00:00:00 GMT\r\ncontent-length: {body_bytes}\r\n\r\n"
    )
    .expect("a Vec takes every write");
}
