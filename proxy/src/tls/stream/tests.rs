//! The session without a socket: a client of rustls' own on the other side, bytes carried over by hand. Then the stream on real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::*;
use crate::config::IoDriver;
use crate::io::{Driver, Listener, Reactor, Runtime, bind};
use crate::timeouts::Timer;

const WAIT: Duration = Duration::from_secs(10);
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// A server's configuration and a client's that trusts it.
fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let own = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()).into();
    let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

fn session(config: &Arc<ServerConfig>) -> Session {
    Session {
        connection: UnbufferedServerConnection::new(config.clone()).unwrap(),
        incoming: Buf::default(),
        plain: Buf::default(),
        outgoing: Buf::default(),
        peer_closed: false,
        failed: false,
    }
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config.clone(), ServerName::try_from("a.test").unwrap()).unwrap()
}

/// What the client has to send.
fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives the client what the session has to send.
fn hear(client: &mut ClientConnection, session: &mut Session) {
    let outgoing = std::mem::take(&mut session.outgoing);
    let mut rest = outgoing.filled();
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
}

fn plain_of(client: &mut ClientConnection, bytes: usize) -> Vec<u8> {
    let mut plain = vec![0; bytes];
    client.reader().read_exact(&mut plain).unwrap();
    plain
}

/// A handshake in which the client's bytes arrive `step` at a time.
fn shaken(version: &'static SupportedProtocolVersion, step: usize) -> (Session, ClientConnection) {
    let (server, trusting) = configs(version);
    let (mut session, mut client) = (session(&server), client(&trusting));
    for _flight in 0..4 {
        let bytes = said(&mut client);
        for piece in bytes.chunks(step) {
            session.incoming.put(piece);
            assert!(matches!(session.turn(None), Ok(Step::Blocked | Step::Idle)));
        }
        hear(&mut client, &mut session);
    }
    assert!(!client.is_handshaking() && session.incoming.is_empty());
    (session, client)
}

/// Puts what the client says into the session.
fn deliver(client: &mut ClientConnection, session: &mut Session, plain: &[u8]) {
    client.set_buffer_limit(None);
    client.writer().write_all(plain).unwrap();
    session.incoming.put(&said(client));
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

/// Takes everything that has come, by a reader whose buffers have room for `room` bytes.
fn taken(session: &mut Session, room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut buf = Buf::head();
        buf.fill(buf.spare_bytes() - room);
        let before = buf.len();
        let step = if session.has_something() { session.turn(Some(&mut buf)) } else { Ok(Step::Idle) };
        match step.unwrap() {
            Step::Read(n) => {
                assert_eq!(buf.len() - before, n, "what is said to be read is there");
                all.extend_from_slice(&buf.filled()[before..]);
            }
            Step::Idle => return all,
            Step::Blocked | Step::PeerClosed => panic!("not after a handshake, and not before a close"),
        }
    }
}

#[test]
fn handshake_may_arrive_in_pieces_of_any_size() {
    for version in VERSIONS {
        for step in [1, 2, 5, 100, 10_000] {
            let (mut session, mut client) = shaken(version, step);
            deliver(&mut client, &mut session, b"hello");
            assert_eq!(taken(&mut session, 100), b"hello", "{version:?} step {step}");
        }
    }
}

#[test]
fn plain_bytes_come_out_whatever_room_the_reader_has() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        for bytes in [1, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, 3 * RECORD_BYTES] {
            for room in [1000, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1] {
                deliver(&mut client, &mut session, &pattern(bytes));
                assert_eq!(taken(&mut session, room), pattern(bytes), "{bytes} bytes, room for {room}");
            }
        }
    }
}

#[test]
fn record_waits_for_its_last_byte() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        client.writer().write_all(b"hello").unwrap();
        let record = said(&mut client);
        for (n, byte) in record.iter().enumerate() {
            session.incoming.put(&[*byte]);
            let mut buf = Buf::head();
            match session.turn(Some(&mut buf)).unwrap() {
                Step::Read(5) => assert_eq!((n + 1, buf.filled()), (record.len(), &b"hello"[..])),
                Step::Idle => assert!(n + 1 < record.len(), "{version:?}: nothing at the last byte"),
                _ => panic!("{version:?}: an end at byte {n}"),
            }
        }
    }
}

#[test]
fn answer_goes_out_in_full_records() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        for (bytes, records) in [
            (1, 1),
            (RECORD_BYTES - 1, 1),
            (RECORD_BYTES, 1),
            (RECORD_BYTES + 1, 2),
            (SEND_BYTES - 1, 7),
            (SEND_BYTES, 7),
        ] {
            session.encrypt(&pattern(bytes)).unwrap();
            assert_eq!(record_count(session.outgoing.filled()), records, "{bytes} bytes");
            assert!(session.outgoing.len() <= bytes + records * RECORD_OVERHEAD_BYTES);
            client.set_buffer_limit(None);
            let outgoing = std::mem::take(&mut session.outgoing);
            let (mut rest, mut heard) = (outgoing.filled(), Vec::new());
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                let ready = client.process_new_packets().unwrap().plaintext_bytes_to_read();
                heard.extend(plain_of(&mut client, ready));
            }
            assert_eq!(heard, pattern(bytes));
        }
    }
}

/// Records in ciphertext, by their headers (RFC 8446 section 5.1).
fn record_count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes {
        bytes = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        count += 1;
    }
    count
}

#[test]
fn writer_loses_nothing_that_came_for_a_reader() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        deliver(&mut client, &mut session, b"one ");
        session.encrypt(b"answer").unwrap();
        assert!(session.incoming.is_empty(), "rustls reads before it writes");
        deliver(&mut client, &mut session, b"two");
        assert_eq!(taken(&mut session, 100), b"one two");
        hear(&mut client, &mut session);
        assert_eq!(plain_of(&mut client, 6), b"answer");
    }
}

#[test]
fn close_is_told_both_ways() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        deliver(&mut client, &mut session, b"last");
        client.send_close_notify();
        session.incoming.put(&said(&mut client));
        let mut buf = Buf::head();
        assert!(matches!(session.turn(Some(&mut buf)), Ok(Step::Read(4))), "what came before the close is read first");
        assert!(session.has_something());
        for _ in 0..2 {
            assert!(matches!(session.turn(Some(&mut buf)), Ok(Step::PeerClosed)), "and the close again and again");
        }
        // The other direction is still open.
        session.encrypt(b"answer").unwrap();
        session.close().unwrap();
        hear(&mut client, &mut session);
        assert_eq!(plain_of(&mut client, 6), b"answer");
        assert_eq!(client.reader().read(&mut [0]).unwrap(), 0, "close_notify, or this were an error");
    }
}

#[test]
fn what_is_no_tls_is_told_so_by_an_alert() {
    let (server, _) = configs(&rustls::version::TLS13);
    let mut session = session(&server);
    session.incoming.put(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(session.turn(None).is_err());
    assert!(is_alert(session.outgoing.filled()), "{:?}", session.outgoing.filled());
}

#[test]
fn broken_record_ends_the_connection_with_an_alert() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        client.writer().write_all(b"hello").unwrap();
        let mut record = said(&mut client);
        *record.last_mut().unwrap() ^= 1;
        session.incoming.put(&record);
        let mut buf = Buf::head();
        assert!(session.turn(Some(&mut buf)).is_err(), "{version:?}");
        assert!(buf.is_empty(), "not a byte of it is handed on");
        assert_eq!(record_count(session.outgoing.filled()), 1, "one alert");
        let mut told = session.outgoing.filled();
        client.read_tls(&mut told).unwrap();
        assert_eq!(
            client.process_new_packets().unwrap_err(),
            rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac),
            "{version:?}"
        );
    }
}

#[test]
fn message_that_never_ends_is_given_up_at_64_kib() {
    // A ClientHello that says it has 65,535 bytes, the most that rustls waits for: four bytes of header, in records of 16 KiB.
    let mut records = Vec::new();
    let mut message = vec![1, 0, 0xff, 0xff];
    message.resize(4 + 0xffff, 0);
    for piece in message.chunks(RECORD_BYTES) {
        records.extend([22, 3, 3, (piece.len() >> 8) as u8, piece.len() as u8]);
        records.extend(piece);
    }
    for (bytes, is_borne) in
        [(INCOMING_BYTES_MAX - 1, true), (INCOMING_BYTES_MAX, false), (INCOMING_BYTES_MAX + 1, false)]
    {
        let (server, _) = configs(&rustls::version::TLS13);
        let mut session = session(&server);
        session.incoming.put(&records[..bytes]);
        match session.turn(None) {
            Ok(Step::Blocked) => assert!(is_borne, "{bytes}"),
            Ok(_) => panic!("{bytes} bytes are no whole message"),
            Err(error) => assert!(!is_borne && error.to_string().contains("64 KiB"), "{bytes}: {error}"),
        }
    }
}

#[test]
fn alerts_are_told_from_other_records() {
    let record = |kind: u8, bytes: usize| [&[kind, 3, 3, 0, bytes as u8][..], &vec![0; bytes]].concat();
    assert!(is_alert(&record(21, 2)) && is_alert(&record(21, 26)) && is_alert(&record(23, 19)));
    for other in [vec![], record(22, 2), record(20, 1), record(23, 18), record(23, 20)] {
        assert!(!is_alert(&other), "{other:?}");
    }
}

/// Runs `server` on a worker's event loop, for the connection that `client` makes on a thread of its own.
fn on_sockets<T: Send + 'static>(
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
    server: impl AsyncFnOnce(Rc<Reactor>, Stream),
) -> T {
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let address = socket.local_addr().unwrap();
    let client = std::thread::spawn(move || client(address));
    Runtime::block_on(Driver::choose(IoDriver::Epoll).unwrap(), async |reactor| {
        let (stream, _) = Listener::new(&reactor, socket).unwrap().accept().await.unwrap();
        let stream = stream.into_stream(&reactor).unwrap();
        server(reactor, stream).await;
    })
    .unwrap();
    client.join().unwrap()
}

fn connected(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(WAIT)).unwrap();
    tcp
}

fn deadline() -> Deadline {
    Deadline::after(WAIT, Timer::TlsHandshake)
}

#[test]
fn one_record_is_sent_without_a_wait_and_no_more() {
    let (server, trusting) = configs(&rustls::version::TLS13);
    let sizes = [RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1];
    let heard = on_sockets(
        move |address| {
            let mut tls = StreamOwned::new(client(&trusting), connected(address));
            tls.write_all(b"ready").unwrap();
            let mut heard = Vec::new();
            tls.read_to_end(&mut heard).unwrap();
            heard.len()
        },
        async |_, stream| {
            let (tls, _) = TlsStream::accept(stream, server, Buf::default(), deadline()).await.unwrap();
            let mut got = Buf::default();
            assert_eq!(tls.recv(&mut got, deadline()).await.unwrap(), 5);
            assert_eq!(got.filled(), b"ready");
            assert_eq!(tls.send_now(&pattern(sizes[0])), SentNow::Whole);
            assert_eq!(tls.send_now(&pattern(sizes[1])), SentNow::Whole);
            assert_eq!(tls.send_now(&pattern(sizes[2])), SentNow::Part(0), "two records");
            let mut buf = Buf::head();
            buf.put(&pattern(sizes[2]));
            let (sent, outcome, _) = tls.send(buf, 0..sizes[2], deadline()).await;
            outcome.unwrap();
            assert_eq!(sent, sizes[2]);
            tls.finish(deadline()).await;
        },
    );
    assert_eq!(heard, sizes.iter().sum::<usize>());
}

#[test]
fn client_that_leaves_in_the_handshake_is_told_from_one_that_stalls() {
    let (server, _) = configs(&rustls::version::TLS13);
    on_sockets(
        |address| drop(connected(address)),
        async |_, stream| {
            let ended = TlsStream::accept(stream, server, Buf::default(), deadline()).await.map(drop).unwrap_err();
            assert!(matches!(ended, TlsError::Closed), "{ended}");
        },
    );
    let (server, _) = configs(&rustls::version::TLS13);
    on_sockets(
        |address| assert_eq!(connected(address).read(&mut [0]).unwrap(), 0, "closed by the server"),
        async |_, stream| {
            let soon = Deadline::after(Duration::from_millis(20), Timer::TlsHandshake);
            let ended = TlsStream::accept(stream, server, Buf::default(), soon).await.map(drop).unwrap_err();
            assert!(ended.is_timeout(), "{ended}");
        },
    );
}

#[test]
fn send_that_was_given_up_lets_no_other_follow() {
    let (server, trusting) = configs(&rustls::version::TLS13);
    on_sockets(
        move |address| {
            let mut tls = StreamOwned::new(client(&trusting), connected(address));
            tls.write_all(b"ready").unwrap();
            // Reads nothing; the end is a reset or a cut record, never a whole answer.
            let _ = tls.sock.peek(&mut [0]);
            tls
        },
        async |_, stream| {
            let (tls, _) = TlsStream::accept(stream, server, Buf::default(), deadline()).await.unwrap();
            let soon = Deadline::after(Duration::from_millis(20), Timer::StreamIdle);
            let outcome = loop {
                let mut buf = Buf::bulk();
                buf.put(&pattern(SEND_BYTES));
                let (_, outcome, _) = tls.send(buf, 0..SEND_BYTES, soon).await;
                if outcome.is_err() {
                    break outcome;
                }
            };
            assert!(outcome.unwrap_err().is_timeout());
            let mut buf = Buf::head();
            buf.put(b"x");
            let (sent, outcome, _) = tls.send(buf, 0..1, deadline()).await;
            assert!(sent == 0 && matches!(outcome, Err(TlsError::Closed)), "what followed would not decrypt");
        },
    );
}

#[test]
fn session_that_the_client_has_ended_by_an_alert_is_not_asked_again() {
    for version in VERSIONS {
        let (mut session, mut client) = shaken(version, 10_000);
        // What the client cannot decrypt makes it send a fatal alert.
        let forged = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
        client.read_tls(&mut &forged[..]).unwrap();
        client.process_new_packets().unwrap_err();
        session.incoming.put(&said(&mut client));
        let error = session.turn(Some(&mut Buf::head())).map(drop).unwrap_err();
        assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
        assert!(session.turn(None).is_err() && session.encrypt(b"x").is_err() && session.close().is_err());
        assert!(session.outgoing.is_empty(), "an alert is not answered");
    }
}
