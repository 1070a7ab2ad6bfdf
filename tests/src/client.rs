//! The client as a script on a raw socket, plain or TLS: it sends any bytes, and reads answers by the letter.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use crate::inlet::{End, Inlet};
use crate::message::{Broken, Response};
use crate::{Certs, DEADLINE, shown};

/// One connection to the proxy.
pub struct Client {
    inlet: Inlet<Stream>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Client {
    pub fn plain(address: SocketAddr) -> Client {
        Client { inlet: Inlet::new(Stream::Plain(connected(address, None))) }
    }

    /// A plain connection whose kernel holds about `receive_bytes` that were not read: a slow reader is felt soon.
    pub fn with_receive_buffer(address: SocketAddr, receive_bytes: usize) -> Client {
        Client { inlet: Inlet::new(Stream::Plain(connected(address, Some(receive_bytes)))) }
    }

    /// As [`Client::with_receive_buffer`], under TLS.
    pub fn tls_with_receive_buffer(address: SocketAddr, tls: &Tls, receive_bytes: usize) -> Client {
        let made = Client::try_tls_on(connected(address, Some(receive_bytes)), tls);
        made.unwrap_or_else(|error| panic!("no TLS with {address}: {error}"))
    }

    /// A TLS connection after a whole handshake; panics where there is none.
    pub fn tls(address: SocketAddr, tls: &Tls) -> Client {
        Client::try_tls(address, tls).unwrap_or_else(|error| panic!("no TLS with {address}: {error}"))
    }

    pub fn try_tls(address: SocketAddr, tls: &Tls) -> std::io::Result<Client> {
        Client::try_tls_on(connected(address, None), tls)
    }

    /// Makes the handshake on a connection that stands.
    pub fn try_tls_on(mut tcp: TcpStream, tls: &Tls) -> std::io::Result<Client> {
        let mut connection = tls.session();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Client { inlet: Inlet::new(Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))) })
    }

    /// As [`Client::try_tls`]; its part of the handshake is sent `bytes` at a time.
    pub fn try_tls_in_pieces(address: SocketAddr, tls: &Tls, bytes: usize) -> std::io::Result<Client> {
        let mut connection = tls.session();
        let mut tcp = connected(address, None);
        while connection.is_handshaking() || connection.wants_write() {
            let mut flight = Vec::new();
            while connection.wants_write() {
                connection.write_tls(&mut flight)?;
            }
            for piece in flight.chunks(bytes) {
                tcp.write_all(piece)?;
            }
            if connection.is_handshaking() {
                connection.read_tls(&mut tcp)?;
                connection.process_new_packets().map_err(std::io::Error::other)?;
            }
        }
        Ok(Client { inlet: Inlet::new(Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))) })
    }

    /// Sends `bytes`; panics where the proxy does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap_or_else(|error| panic!("the proxy does not take what is sent: {error}"));
    }

    /// Sends what the proxy takes of `bytes`; that it has closed already is no failure.
    pub fn offer(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes.as_ref());
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.inlet.source {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Sends bytes below TLS, as if they were ciphertext.
    pub fn send_ciphertext(&mut self, bytes: &[u8]) {
        self.inlet.source.tcp().write_all(bytes).unwrap();
    }

    /// Sends zeros until the proxy takes no more for a while; gives how many it took.
    pub fn fill(&mut self) -> usize {
        const PATIENCE: Duration = Duration::from_millis(500);
        const FILL_BYTES_MAX: usize = 200_000_000;
        self.inlet.source.tcp().set_write_timeout(Some(PATIENCE)).unwrap();
        let mut taken = 0;
        while taken < FILL_BYTES_MAX {
            let wrote = match &mut self.inlet.source {
                Stream::Plain(tcp) => tcp.write(&[0; 64 << 10]),
                Stream::Tls(tls) => tls.write(&[0; 64 << 10]),
            };
            match wrote {
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        self.inlet.source.tcp().set_write_timeout(Some(DEADLINE)).unwrap();
        taken
    }

    /// Reads one response (interim ones too) to a request that was not HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|broken| panic!("no whole response: {broken:?}"))
    }

    pub fn try_response(&mut self) -> Result<Response, Broken> {
        self.try_response_to("GET")
    }

    fn try_response_to(&mut self, method: &str) -> Result<Response, Broken> {
        Response::read(&mut self.inlet, method)
    }

    /// Reads the head of a response; its body stays in the connection.
    pub fn response_head(&mut self) -> Response {
        Response::read_head(&mut self.inlet, "GET").unwrap_or_else(|broken| panic!("no response head: {broken:?}"))
    }

    /// `GET target` on this connection, and its answer.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.response()
    }

    /// Exactly `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.inlet.take(count).unwrap_or_else(|end| panic!("ended by {end:?} before {count} bytes"))
    }

    /// Reads to the end of the connection, and says how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        self.inlet.rest()
    }

    /// Nothing more comes, then the proxy closes cleanly (under TLS with close_notify).
    pub fn expect_close(&mut self) {
        self.expect_end(&End::Clean);
    }

    /// Nothing more comes, then the proxy resets the connection.
    pub fn expect_reset(&mut self) {
        self.expect_end(&End::Reset);
    }

    fn expect_end(&mut self, wanted: &End) {
        let (rest, end) = self.rest();
        assert!(
            rest.is_empty() && end == *wanted,
            "expected {wanted:?} and no byte more, got {} and {end:?}",
            shown(&rest)
        );
    }

    /// Whether anything, or the end, has come by now. Does not wait.
    pub fn has_something(&self) -> bool {
        let tcp = self.inlet.source.tcp();
        tcp.set_nonblocking(true).unwrap();
        let peeked = tcp.peek(&mut [0]);
        tcp.set_nonblocking(false).unwrap();
        peeked.is_ok() || !self.inlet.held().is_empty()
    }

    /// FIN after what was sent; under TLS without close_notify.
    pub fn half_close(&mut self) {
        self.inlet.source.tcp().shutdown(Shutdown::Write).unwrap();
    }

    /// TLS: close_notify after what was sent.
    pub fn close_notify(&mut self) {
        if let Stream::Tls(tls) = &mut self.inlet.source {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }

    /// Closes by RST.
    pub fn reset(self) {
        SockRef::from(self.inlet.source.tcp()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn local_address(&self) -> SocketAddr {
        self.inlet.source.tcp().local_addr().unwrap()
    }

    /// The TLS session, for what was negotiated.
    pub fn session(&self) -> &ClientConnection {
        match &self.inlet.source {
            Stream::Tls(tls) => &tls.conn,
            Stream::Plain(_) => panic!("a plain connection has no TLS session"),
        }
    }
}

fn connected(address: SocketAddr, receive_bytes: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket
        .connect_timeout(&address.into(), DEADLINE)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

/// What a TLS client offers.
#[derive(Clone)]
pub struct Tls {
    config: ClientConfig,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

impl Tls {
    /// Offers TLS 1.3 and 1.2 without ALPN to `name`, and trusts the authority of `certs`.
    pub fn to(name: &str, certs: &Certs) -> Tls {
        Tls::with_versions(name, certs, rustls::ALL_VERSIONS)
    }

    /// Offers one version only.
    pub fn only(version: TlsVersion, name: &str, certs: &Certs) -> Tls {
        let version = match version {
            TlsVersion::V1_2 => &rustls::version::TLS12,
            TlsVersion::V1_3 => &rustls::version::TLS13,
        };
        Tls::with_versions(name, certs, &[version])
    }

    /// A handshake that is to be made, for who moves its bytes.
    pub fn session(&self) -> ClientConnection {
        let name = ServerName::try_from(self.name.clone()).unwrap();
        ClientConnection::new(Arc::new(self.config.clone()), name).unwrap()
    }

    pub fn alpn(mut self, protocols: &[&str]) -> Tls {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Sends no server name in the handshake; the certificate must still be for this one.
    pub fn without_sni(mut self) -> Tls {
        self.config.enable_sni = false;
        self
    }

    /// Shows this certificate (chain file, key file) where it is asked for one.
    pub fn showing(mut self, (chain, key): &(PathBuf, PathBuf)) -> Tls {
        let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let key = self.config.crypto_provider().key_provider.load_private_key(key).unwrap();
        self.config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        self
    }

    /// What a handshake begins with.
    pub fn hello(&self) -> Vec<u8> {
        let name = ServerName::try_from(self.name.clone()).unwrap();
        let mut bytes = Vec::new();
        ClientConnection::new(Arc::new(self.config.clone()), name).unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    fn with_versions(name: &str, certs: &Certs, versions: &[&'static rustls::SupportedProtocolVersion]) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(certs.authority_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Tls { config, name: name.into() }
    }
}
