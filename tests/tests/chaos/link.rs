//! A connection to the proxy that may fail at any point, plain or TLS, and may be read at a pace.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use slipstream_tests::{DEADLINE, Tls};
use socket2::{Domain, SockRef, Socket, Type};

use crate::storm::Storm;

pub struct Link {
    bytes: Bytes,
    pace: Option<Pace>,
}

enum Bytes {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// So many bytes, then a pause of so many ms, until the storm is over.
pub struct Pace {
    pub bytes: usize,
    pub ms: usize,
    pub storm: Storm,
}

/// Where the actors go.
#[derive(Clone)]
pub struct Doors {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub trust: Tls,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoLink {
    Refused,
    /// A connection stood, and its handshake failed or no bytes of it came.
    Lost(String),
}

/// Opens connections until one stands. `None`: the storm is over, or nobody listens.
pub fn reach<T>(storm: &Storm, mut open: impl FnMut() -> Result<T, NoLink>) -> Option<T> {
    while !storm.is_over() {
        match open() {
            Ok(link) => return Some(link),
            Err(NoLink::Refused) => {
                storm.count("refused");
                return None;
            }
            Err(NoLink::Lost(_)) => storm.count("connections lost"),
        }
    }
    None
}

impl Link {
    /// `tls`: through the TLS listener, the whole handshake made.
    pub fn open(doors: &Doors, tls: bool) -> Result<Link, NoLink> {
        if !tls {
            return Ok(Link { bytes: Bytes::Plain(connected(doors.plain, None)?), pace: None });
        }
        let tcp = connected(doors.tls, None)?;
        Link::shake_hands(tcp, doors.trust.session()).map_err(|error| NoLink::Lost(format!("handshake: {error}")))
    }

    /// Makes what is left of a handshake.
    pub fn shake_hands(mut tcp: TcpStream, mut session: ClientConnection) -> std::io::Result<Link> {
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Link { bytes: Bytes::Tls(Box::new(StreamOwned::new(session, tcp))), pace: None })
    }

    /// A plain connection that is read at `pace`, and for which the kernel holds little.
    pub fn slow(doors: &Doors, pace: Pace) -> Result<Link, NoLink> {
        const RECEIVE_BYTES: usize = 16 << 10;
        Ok(Link { bytes: Bytes::Plain(connected(doors.plain, Some(RECEIVE_BYTES))?), pace: Some(pace) })
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.bytes {
            Bytes::Plain(tcp) => tcp.write_all(bytes),
            Bytes::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// FIN behind what was sent; under TLS close_notify before it or not, as a client likes.
    pub fn half_close(&mut self, notify: bool) {
        if let Bytes::Tls(tls) = &mut self.bytes
            && notify
        {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = self.tcp().shutdown(Shutdown::Write);
    }

    pub fn reset(self) {
        let _ = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    fn tcp(&self) -> &TcpStream {
        match &self.bytes {
            Bytes::Plain(tcp) => tcp,
            Bytes::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut room = buffer.len();
        if let Some(pace) = &self.pace {
            pace.storm.pause(pace.ms);
            if !pace.storm.is_over() {
                room = room.min(pace.bytes);
            }
        }
        match &mut self.bytes {
            Bytes::Plain(tcp) => tcp.read(&mut buffer[..room]),
            Bytes::Tls(tls) => tls.read(&mut buffer[..room]),
        }
    }
}

pub fn connected(address: SocketAddr, receive_bytes: Option<usize>) -> Result<TcpStream, NoLink> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes).expect("a size");
    }
    socket.connect_timeout(&address.into(), DEADLINE).map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => NoLink::Refused,
        _ => NoLink::Lost(format!("connect: {error}")),
    })?;
    socket.set_tcp_nodelay(true).expect("an option of TCP");
    socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
    socket.set_write_timeout(Some(DEADLINE)).expect("not zero");
    Ok(socket.into())
}
