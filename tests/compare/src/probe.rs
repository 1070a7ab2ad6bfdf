//! Single blocking requests: is a contestant ready, and how many requests have come to the origin.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, StreamOwned};

use crate::wire::{self, Answer};
use crate::{sys, tls};

/// Longest wait for one answer; loopback needs under a millisecond.
const ANSWER_MAX: Duration = Duration::from_secs(2);

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Gets one byte through a contestant; `Ok` when it came with 200 and is the right one.
pub fn get_once(target: SocketAddr, config: Option<&Arc<ClientConfig>>) -> io::Result<()> {
    let mut stream = connect(target)?;
    match config {
        None => exchange(&mut stream),
        Some(config) => exchange(&mut StreamOwned::new(tls::connect(config)?, stream)),
    }
}

fn exchange(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let (mut path, mut request, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    wire::write_path(&mut path, 1, 0, 0);
    wire::write_request(&mut request, &path);
    stream.write_all(&request)?;
    let mut answer = Answer::default();
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match answer.feed(&buffer[..count], &path).map_err(|error| io::Error::other(error.0))? {
            None => {}
            Some(verdict) if verdict.status == 200 && verdict.body_right => return Ok(()),
            Some(verdict) => return Err(io::Error::other(format!("answers with status {}", verdict.status))),
        }
    }
}

/// How many requests have come to the origin so far.
pub fn received(origin: SocketAddr) -> io::Result<u64> {
    let mut stream = connect(origin)?;
    let (mut request, mut bytes, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    wire::write_request(&mut request, wire::COUNT_PATH.as_bytes());
    stream.write_all(&request)?;
    loop {
        let count = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..count]);
        // The head and the digits leave the origin in one write.
        if let Some(end) = sys::find(&bytes, b"\r\n\r\n") {
            let digits = String::from_utf8_lossy(&bytes[end + 4..]);
            return digits.parse().map_err(|_| io::Error::other(format!("the origin counts \"{digits}\"")));
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
