//! The app that keeps what it is sent, byte for byte, and reads it by the letter of RFC 9112. It is the app behind the proxy, and the one
//! behind nginx, through which nginx says how it reads a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use slipstream_tests::{Broken, DEADLINE, End, Inlet, Origin, Request};

use crate::account::Account;

/// Answers each whole request with its account in X-Read; for as long as the process lives.
pub struct Recorder {
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    arrived: Mutex<Vec<Arrived>>,
    changed: Condvar,
}

/// A request, or the part of one before its connection ended or before it stopped to be one.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub bytes: Vec<u8>,
    pub read: Result<Account, End>,
}

impl Recorder {
    pub fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let (address, log) = (listener.local_addr().expect("bound"), Arc::new(Log::default()));
        let accepting = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, log) = (stream.expect("accept"), accepting.clone());
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Recorder { address, log }
    }

    /// Waits until `count` requests have arrived, whole or not, and takes all that have.
    pub fn take(&self, count: usize) -> Vec<Arrived> {
        let arrived = self.log.arrived.lock().expect("no thread panics with it");
        let (mut arrived, _) =
            self.log.changed.wait_timeout_while(arrived, DEADLINE, |arrived| arrived.len() < count).expect("as above");
        std::mem::take(&mut arrived)
    }
}

impl Origin for Recorder {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(stream: TcpStream, log: &Log) {
    stream.set_nodelay(true).expect("a socket");
    let mut inlet = Inlet::new(Tee { stream, bytes: Vec::new() });
    loop {
        let read = match Request::read(&mut inlet) {
            Ok(Some(request)) => Ok(Account::of(&request)),
            Ok(None) => return,
            Err(Broken { end, .. }) => Err(end),
        };
        // Of one that broke off, all that came.
        let held = if read.is_ok() { inlet.held().len() } else { 0 };
        let received = &mut inlet.source.bytes;
        let behind = received.split_off(received.len() - held);
        let bytes = std::mem::replace(received, behind);
        let answer = read.as_ref().ok().map(Account::written);
        // A connection that is reset while it is idle brought nothing.
        if !bytes.is_empty() || answer.is_some() {
            log.arrived.lock().expect("no thread panics with it").push(Arrived { bytes, read });
            log.changed.notify_all();
        }
        let Some(answer) = answer else { return };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Read: {answer}\r\n\r\n");
        if inlet.source.stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Keeps what is read through it.
struct Tee {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}
