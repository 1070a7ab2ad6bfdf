//! The origin: an HTTP/1.1 keep-alive server on one thread and one epoll set, which answers `/b/<bytes>/...` and counts.
//!
//! In: requests from the proxies (or from anybody). Out: bodies as `wire` defines them, at once or after the time that the path asks
//! for; `/__count` says how many requests have come, itself not among them. It never closes a kept connection and adds one fixed
//! head. It must not know who asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::sys::{self, Epoll};
use crate::wire;

const READ_BYTES: usize = 64 * 1024;
/// A body up to this size leaves in one write together with its head; a longer one is streamed from the pattern.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// Of a longer body so much leaves in one turn, so that small answers do not wait long behind it.
const SLICE_BYTES_MAX: usize = 64 * 1024;
/// What may wait behind a request whose answer is not due: no proxy of ours pipelines to an app.
const INBOX_BYTES_MAX: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

/// Serves until the process ends.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    sys::widen_backlog(listener)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener, LISTENER, sys::READ)?;
    let mut origin = Origin {
        connections: Vec::new(),
        free: Vec::new(),
        accepted: 0,
        received: 0,
        held: BinaryHeap::new(),
        scratch: vec![0; READ_BYTES],
    };
    loop {
        for index in 0..epoll.wait(origin.until_due())? {
            match epoll.event(index) {
                (LISTENER, _) => origin.accept(listener, &epoll)?,
                (token, _) => origin.turn(token as usize, &epoll),
            }
        }
        origin.answer_due(&epoll);
    }
}

struct Origin {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    accepted: u64,
    received: u64,
    /// When, on which connection: its slot, and its number, as a slot may have gone to another.
    held: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    scratch: Vec<u8>,
}

/// An answer that is not due yet.
struct Held {
    due: Instant,
    path: Vec<u8>,
    body_bytes: u64,
}

struct Connection {
    number: u64,
    stream: TcpStream,
    held: Option<Held>,
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
            self.accepted += 1;
            self.connections[slot] = Some(Connection {
                number: self.accepted,
                stream,
                held: None,
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
        let held_before = connection.held.is_some();
        let result = connection.turn(&mut self.scratch, &mut self.received);
        if result.is_ok_and(|()| connection.update_interest(slot, epoll).is_ok()) {
            if let Some(held) = connection.held.as_ref().filter(|_| !held_before) {
                self.held.push(Reverse((held.due, slot, connection.number)));
            }
            return;
        }
        self.connections[slot] = None;
        self.free.push(slot);
    }

    /// Until the next held answer is due, in whole milliseconds, rounded up: epoll's timeout knows no less.
    fn until_due(&self) -> Option<Duration> {
        let Reverse((due, ..)) = self.held.peek()?;
        let micros = due.saturating_duration_since(Instant::now()).as_micros();
        Some(Duration::from_millis(u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX)))
    }

    fn answer_due(&mut self, epoll: &Epoll) {
        let now = Instant::now();
        while let Some(&Reverse((due, slot, number))) = self.held.peek()
            && due <= now
        {
            self.held.pop();
            let waiting = self.connections[slot].as_mut().filter(|connection| connection.number == number);
            if let Some(connection) = waiting
                && let Some(held) = connection.held.take()
            {
                connection.answer(&held.path, held.body_bytes);
                self.turn(slot, epoll);
            }
        }
    }
}

impl Connection {
    /// Reads (unless an answer is still leaving), answers what is complete, writes. An error ends the connection.
    fn turn(&mut self, scratch: &mut [u8], received: &mut u64) -> io::Result<()> {
        if !self.is_writing() {
            match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.take(&scratch[..count], received)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.flush()?;
        while !self.is_writing() && !self.inbox.is_empty() {
            let bytes = std::mem::take(&mut self.inbox);
            self.take(&bytes, received)?;
            if self.inbox.len() == bytes.len() {
                break;
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Answers each complete request of `inbox` + `bytes` up to a long body, or one that is not due; keeps the rest.
    fn take(&mut self, bytes: &[u8], received: &mut u64) -> io::Result<()> {
        let mut joined = std::mem::take(&mut self.inbox);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        while self.tail.is_none() && self.held.is_none() {
            let parsed = wire::parse_request(rest).map_err(|error| io::Error::other(error.0))?;
            let Some((path, head_bytes)) = parsed else { break };
            if path == wire::COUNT_PATH.as_bytes() {
                let count = received.to_string();
                write_head(&mut self.out, count.len() as u64);
                self.out.extend_from_slice(count.as_bytes());
            } else {
                let body_bytes = wire::body_bytes_of(path).ok_or_else(|| io::Error::other("a path without length"))?;
                *received += 1;
                match wire::delay_of(path) {
                    None => self.answer(path, body_bytes),
                    Some(delay) => {
                        self.held = Some(Held { due: Instant::now() + delay, path: path.to_vec(), body_bytes });
                    }
                }
            }
            rest = &rest[head_bytes..];
        }
        self.inbox.extend_from_slice(rest);
        let flooded = self.held.is_some() && self.inbox.len() > INBOX_BYTES_MAX;
        if flooded { Err(io::Error::other("requests behind one whose answer is not due")) } else { Ok(()) }
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
