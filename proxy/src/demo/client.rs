//! A client as plain as can be: blocking, HTTP/1.1, one kept connection, TLS or not.
//!
//! In: a method, a target, a body. Out: the status and how many bytes of body came. It is here so that the demo's traffic does not pass
//! through any code of the proxy but the proxy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// No answer of the demo takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A line of a head; what is longer is no answer of our app.
const LINE_BYTES_MAX: u64 = 16 * 1024;

pub(super) struct Client {
    address: SocketAddr,
    /// `None`: plain.
    tls: Option<Arc<ClientConfig>>,
    connection: Option<BufReader<Stream>>,
}

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
}

enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    pub(super) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Client {
        Client { address, tls, connection: None }
    }

    /// Sends on the kept connection, or on a new one. An error, and an answer that says so, end the connection.
    pub(super) fn send(&mut self, request: &Request<'_>) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => self.connect()?,
        };
        let (answer, keep) = exchange(&mut connection, self.address, request)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// The next request opens a connection.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    fn connect(&self) -> io::Result<BufReader<Stream>> {
        let tcp = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
        };
        Ok(BufReader::new(stream))
    }
}

/// One request, one answer, and whether the connection may be kept.
fn exchange(connection: &mut BufReader<Stream>, host: SocketAddr, request: &Request<'_>) -> io::Result<(Answer, bool)> {
    let Request { method, target, body } = request;
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slipstream-demo\r\n").into_bytes();
    if !body.is_empty() {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(*body);
    connection.get_mut().write_all(&bytes)?;
    connection.get_mut().flush()?;

    let status_line = line(connection)?;
    let status =
        status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad("no status line"))?;
    let (framing, mut keep) = fields(connection)?;
    let body_bytes = match framing {
        Framing::Length(length) => take(connection, length)?,
        Framing::Chunked => chunks(connection)?,
        Framing::UntilClose => {
            keep = false;
            io::copy(connection, &mut io::sink())?
        }
    };
    Ok((Answer { status, body_bytes }, keep))
}

fn fields(connection: &mut BufReader<Stream>) -> io::Result<(Framing, bool)> {
    let (mut framing, mut keep) = (Framing::UntilClose, true);
    loop {
        let field = line(connection)?;
        if field.is_empty() {
            return Ok((framing, keep));
        }
        let (name, value) = field.split_once(':').ok_or_else(|| bad("a field without colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                framing = Framing::Length(value.parse().map_err(|_| bad("Content-Length is no number"))?)
            }
            "transfer-encoding" => framing = Framing::Chunked,
            "connection" => keep &= !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

fn chunks(connection: &mut BufReader<Stream>) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let head = line(connection)?;
        let size = head.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk without size"))?;
        if size == 0 {
            while !line(connection)?.is_empty() {}
            return Ok(total);
        }
        total += take(connection, size)?;
        line(connection)?;
    }
}

fn take(connection: &mut BufReader<Stream>, bytes: u64) -> io::Result<u64> {
    let taken = io::copy(&mut connection.take(bytes), &mut io::sink())?;
    if taken == bytes { Ok(taken) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Without its end.
fn line(connection: &mut BufReader<Stream>) -> io::Result<String> {
    let mut line = String::new();
    connection.take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(bad("a line without end")),
    }
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(bytes),
            Stream::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
