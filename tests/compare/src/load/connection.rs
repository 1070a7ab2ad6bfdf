//! One connection of the generator, plain or TLS: sends a request, takes its answer piece by piece.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::{ClientConfig, ClientConnection};

use crate::tls;
use crate::wire::{self, Answer, Malformed, Verdict};

pub struct Connection {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    path: Vec<u8>,
    out: Vec<u8>,
    answer: Answer,
    due: Instant,
    waiting: bool,
    received_bytes: u64,
    handshake_checked: bool,
}

impl Connection {
    /// Connects; loopback answers at once. A TLS handshake travels with the first request.
    pub fn open(target: SocketAddr, config: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            tls: config.map(tls::connect).transpose()?.map(Box::new),
            path: Vec::new(),
            out: Vec::new(),
            answer: Answer::default(),
            due: Instant::now(),
            waiting: false,
            received_bytes: 0,
            handshake_checked: false,
        })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Sends the next request. A socket that cannot take a hundred bytes is an error: nothing else is in flight on it.
    pub fn request(&mut self, write_path: impl FnOnce(&mut Vec<u8>), due: Instant) -> io::Result<()> {
        self.path.clear();
        write_path(&mut self.path);
        self.out.clear();
        wire::write_request(&mut self.out, &self.path);
        self.due = due;
        self.waiting = true;
        match &mut self.tls {
            None => self.stream.write_all(&self.out),
            Some(tls) => {
                tls.writer().write_all(&self.out)?;
                flush(tls, &mut self.stream)
            }
        }
    }

    /// Reads once; `Some` when the answer is complete. The end of the connection is an error, as nobody may close it but us.
    pub fn take(&mut self, scratch: &mut [u8]) -> io::Result<Option<Verdict>> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        self.received_bytes += count as u64;
        let bytes = &scratch[..count];
        let verdict = if self.tls.is_some() { self.take_records(bytes)? } else { self.feed(bytes)? };
        if verdict.is_some() {
            self.waiting = false;
        }
        Ok(verdict)
    }

    fn feed(&mut self, bytes: &[u8]) -> io::Result<Option<Verdict>> {
        if !self.waiting {
            return Err(io::Error::other("bytes that were not asked for"));
        }
        self.answer.feed(bytes, &self.path).map_err(malformed)
    }

    fn take_records(&mut self, mut records: &[u8]) -> io::Result<Option<Verdict>> {
        let tls = self.tls.as_mut().expect("the caller looked");
        let mut verdict = None;
        while !records.is_empty() {
            tls.read_tls(&mut records)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            let mut reader = tls.reader();
            loop {
                let plain = match reader.fill_buf() {
                    Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(plain) => plain,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                if verdict.is_some() {
                    return Err(io::Error::other("bytes that were not asked for"));
                }
                verdict = self.answer.feed(plain, &self.path).map_err(malformed)?;
                let taken = plain.len();
                reader.consume(taken);
            }
        }
        if !self.handshake_checked && !tls.is_handshaking() {
            self.handshake_checked = true;
            if !tls::is_as_measured(tls) {
                return Err(io::Error::other("a handshake other than the one that is measured"));
            }
        }
        if tls.wants_write() {
            flush(tls, &mut self.stream)?;
        }
        Ok(verdict)
    }

    /// Ends the connection as a polite client does: close_notify, then FIN.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = flush(tls, &mut self.stream); // the answer is complete; nothing depends on the farewell
        }
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}

fn malformed(error: Malformed) -> io::Error {
    io::Error::other(error.0)
}
