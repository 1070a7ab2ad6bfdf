//! The reading end of a connection: bytes with a deadline, and a name for every way they can end.

use std::io::{ErrorKind, Read};

use crate::shown;

/// Why no more bytes came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The peer closed: FIN, under TLS after close_notify.
    Clean,
    /// The peer reset the connection.
    Reset,
    /// TLS only: FIN without close_notify (RFC 8446 section 6.1: what came before may be cut short).
    Truncated,
    /// Nothing came within the deadline.
    Deadline,
    /// What came is not what the grammar allows; says what.
    Malformed(String),
}

/// Buffers what `source` gives, so that a grammar can be read off it by lines and counts.
#[derive(Debug)]
pub struct Inlet<S> {
    pub source: S,
    bytes: Vec<u8>,
    at: usize,
}

/// No line of a test is longer; guards the harness against an endless one.
const LINE_BYTES_MAX: usize = 4 << 20;
const READ_BYTES: usize = 64 << 10;

impl<S: Read> Inlet<S> {
    pub fn new(source: S) -> Inlet<S> {
        Inlet { source, bytes: Vec::new(), at: 0 }
    }

    /// What was read from the socket and not yet taken.
    pub fn held(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Reads once from the socket.
    pub fn fill(&mut self) -> Result<(), End> {
        if self.at > READ_BYTES {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        // Not room made at the end of `bytes`: without optimisation its zeros are written one by one.
        let mut buffer = [0; READ_BYTES];
        let read = loop {
            match self.source.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.extend_from_slice(&buffer[..*read.as_ref().unwrap_or(&0)]);
        match read {
            Ok(0) => Err(End::Clean),
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::UnexpectedEof => End::Truncated,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => End::Reset,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Deadline,
                _ => End::Malformed(format!("the connection failed: {error}")),
            }),
        }
    }

    /// Takes exactly `count` bytes; on an early end what is there stays held.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.held().len() < count {
            self.fill()?;
        }
        let taken = self.held()[..count].to_vec();
        self.at += count;
        Ok(taken)
    }

    /// Takes a line up to CRLF, without it. A bare CR or LF in it is malformed (RFC 9112 section 2.2).
    pub fn line(&mut self) -> Result<String, End> {
        let mut searched = 0;
        let length = loop {
            let held = self.held();
            if let Some(found) = held[searched..].iter().position(|&byte| byte == b'\n') {
                break searched + found;
            }
            if held.len() > LINE_BYTES_MAX {
                return Err(End::Malformed("a line without an end".into()));
            }
            searched = held.len();
            self.fill()?;
        };
        let line = self.take(length + 1)?;
        let text = line
            .strip_suffix(b"\r\n")
            .ok_or_else(|| End::Malformed(format!("a line that ends in a bare LF: {}", shown(&line))))?;
        if text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(End::Malformed(format!("CR, LF or NUL within a line: {}", shown(text))));
        }
        Ok(text.iter().map(|&byte| char::from(byte)).collect())
    }

    /// Takes what is held, at least one byte.
    pub fn some(&mut self) -> Result<Vec<u8>, End> {
        if self.held().is_empty() {
            self.fill()?;
        }
        let taken = self.held().to_vec();
        self.at = self.bytes.len();
        Ok(taken)
    }

    /// Takes everything up to the end, and says how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            if let Err(end) = self.fill() {
                break end;
            }
        };
        let taken = self.held().to_vec();
        self.at = self.bytes.len();
        (taken, end)
    }
}
