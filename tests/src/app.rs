//! The app behind the proxy as a script on raw sockets: it records every byte it gets, and sends what no real server would.
//!
//! A script is a function over a [`Conn`], run on a thread of its own for each connection. It ends, and so closes the connection, when
//! it returns. A script that panics (the proxy sent what is no request) fails the case when the [`App`] is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::inlet::{End, Inlet};
use crate::message::Request;
use crate::{DEADLINE, Origin, contains, shown};

/// A listening app, its connections and what they received.
pub struct App {
    address: SocketAddr,
    log: Arc<Log>,
    stopped: Arc<AtomicBool>,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    connections: Vec<Connection>,
    requests: Vec<Request>,
    notes: Vec<String>,
    failures: Vec<String>,
}

struct Connection {
    received: Vec<u8>,
    end: Option<End>,
    stream: Weak<TcpStream>,
}

/// How many connections a failure shows.
const SHOWN: usize = 8;

impl App {
    /// Runs `script` for each connection.
    pub fn scripted(script: impl Fn(Conn) + Send + Sync + 'static) -> App {
        App::listening(None, script)
    }

    /// As [`App::scripted`]; the kernel holds about `receive_bytes` that the script has not read, so that an app which stops reading is felt soon.
    pub fn with_receive_buffer(receive_bytes: usize, script: impl Fn(Conn) + Send + Sync + 'static) -> App {
        App::listening(Some(receive_bytes), script)
    }

    /// Answers every request with `response`, for as long as the connection stands.
    pub fn answering(response: impl AsRef<[u8]> + Send + Sync + 'static) -> App {
        App::scripted(move |mut conn| while conn.request().is_some() && conn.send(response.as_ref()) {})
    }

    /// Answers every request with 200 and the body `ok`.
    pub fn ok() -> App {
        App::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    fn listening(receive_bytes: Option<usize>, script: impl Fn(Conn) + Send + Sync + 'static) -> App {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(1024).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let (log, stopped) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let (accepting, script) = ((log.clone(), stopped.clone()), Arc::new(script));
        std::thread::spawn(move || {
            let (log, stopped) = accepting;
            for stream in listener.incoming() {
                if stopped.load(SeqCst) {
                    return;
                }
                let conn = Conn::new(stream.unwrap(), &log);
                let (log, script) = (log.clone(), script.clone());
                std::thread::spawn(move || {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| script(conn))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                        log.seen.lock().unwrap().failures.push(text.unwrap_or_default());
                    }
                });
            }
        });
        App { address, log, stopped }
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.log.seen.lock().unwrap().connections.len()
    }

    /// Every byte that connection `number` received, counted from 0.
    pub fn received(&self, number: usize) -> Vec<u8> {
        self.log.seen.lock().unwrap().connections[number].received.clone()
    }

    /// Whether any connection received `needle`.
    pub fn saw(&self, needle: &str) -> bool {
        self.with_needle(needle).is_some()
    }

    /// Waits until some connection has received `needle`; gives its number.
    pub fn wait_to_see(&self, needle: &str) -> usize {
        self.wait(&format!("the app sees {needle:?}"), |seen| find(seen, needle))
    }

    pub fn wait_for_connections(&self, count: usize) {
        self.wait(&format!("{count} connections"), |seen| (seen.connections.len() >= count).then_some(()));
    }

    /// Waits until connection `number` has ended, as its script saw it.
    pub fn end_of(&self, number: usize) -> End {
        self.wait(&format!("the end of connection {number}"), |seen| seen.connections.get(number)?.end.clone())
    }

    /// All whole requests so far, in the order of their ends.
    pub fn requests(&self) -> Vec<Request> {
        self.log.seen.lock().unwrap().requests.clone()
    }

    /// Waits for a whole request whose target contains `target`.
    pub fn request_for(&self, target: &str) -> Request {
        self.wait(&format!("a request for {target}"), |seen| {
            seen.requests.iter().find(|request| request.target.contains(target)).cloned()
        })
    }

    /// Asserts that no whole request with `needle` in its target came, and that a connection on which one began was broken off.
    pub fn assert_never_whole(&self, needle: &str) {
        if let Some(number) = self.with_needle(needle) {
            self.end_of(number);
        }
        let whole = self.requests().into_iter().find(|request| request.target.contains(needle));
        assert!(whole.is_none(), "the app got a whole request out of a broken one: {whole:?}");
    }

    /// Waits until a script has said `note` ([`Conn::note`]).
    pub fn wait_for_note(&self, note: &str) {
        self.wait(&format!("the app notes {note:?}"), |seen| seen.notes.iter().any(|have| have == note).then_some(()));
    }

    /// Waits until the script of connection `number` is done and has closed it.
    pub fn wait_to_close(&self, number: usize) {
        self.wait_for_note(&format!("closed {number}"));
    }

    fn with_needle(&self, needle: &str) -> Option<usize> {
        find(&self.log.seen.lock().unwrap(), needle)
    }

    fn wait<T>(&self, what: &str, mut probe: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut seen = self.log.seen.lock().unwrap();
        loop {
            if let Some(value) = probe(&seen) {
                return value;
            }
            let (again, late) = self.log.changed.wait_timeout(seen, DEADLINE).unwrap();
            seen = again;
            if late.timed_out() && probe(&seen).is_none() {
                let count = seen.connections.len();
                let last = &seen.connections[count.saturating_sub(SHOWN)..];
                let received: Vec<String> = last.iter().map(|conn| shown(&conn.received)).collect();
                drop(seen);
                panic!("waited {DEADLINE:?} in vain: {what}; the last of {count} connections received {received:?}");
            }
        }
    }
}

fn find(seen: &Seen, needle: &str) -> Option<usize> {
    seen.connections.iter().position(|conn| contains(&conn.received, needle.as_bytes()))
}

impl Origin for App {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        let Ok(seen) = self.log.seen.lock() else { return };
        for stream in seen.connections.iter().filter_map(|conn| conn.stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let failures = seen.failures.clone();
        drop(seen);
        if !std::thread::panicking() {
            assert!(failures.is_empty(), "a script of the app failed: {failures:?}");
        } else if !failures.is_empty() {
            eprintln!("a script of the app failed too: {failures:?}");
        }
    }
}

/// One connection of an [`App`], in the hands of its script.
pub struct Conn {
    /// Counted from 0 in the order of accept.
    pub number: usize,
    inlet: Inlet<Recorded>,
}

/// A stream whose received bytes are kept in the app's log.
struct Recorded {
    /// `None` only while it is dropped.
    stream: Option<Arc<TcpStream>>,
    log: Arc<Log>,
    number: usize,
}

impl Recorded {
    fn tcp(&self) -> &TcpStream {
        self.stream.as_deref().expect("taken by drop alone")
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // Known before the close is seen: whoever waits for the close finds the failure too.
        if std::thread::panicking()
            && let Ok(mut seen) = self.log.seen.lock()
        {
            seen.failures.push(format!("of connection {}", self.number));
        }
        // A child of another case, between fork and exec, holds the socket too: only this makes the close seen now. Not where it is to be a RST.
        if SockRef::from(self.tcp()).linger().is_ok_and(|linger| linger.is_none()) {
            let _ = self.tcp().shutdown(Shutdown::Write);
        }
        drop(self.stream.take());
        if let Ok(mut seen) = self.log.seen.lock() {
            seen.notes.push(format!("closed {}", self.number));
            self.log.changed.notify_all();
        }
    }
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        /// The record of a connection; bulk beyond it is read and not kept.
        const RECORD_BYTES_MAX: usize = 1 << 20;
        let read = self.tcp().read(buffer);
        let mut seen = self.log.seen.lock().unwrap();
        let connection = &mut seen.connections[self.number];
        match &read {
            Ok(0) => connection.end = Some(End::Clean),
            Ok(count) => {
                let room = RECORD_BYTES_MAX.saturating_sub(connection.received.len());
                connection.received.extend_from_slice(&buffer[..*count.min(&room)]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => connection.end = Some(End::Reset),
        }
        self.log.changed.notify_all();
        read
    }
}

impl Conn {
    fn new(stream: TcpStream, log: &Arc<Log>) -> Conn {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let stream = Arc::new(stream);
        let mut seen = log.seen.lock().unwrap();
        let number = seen.connections.len();
        seen.connections.push(Connection { received: Vec::new(), end: None, stream: Arc::downgrade(&stream) });
        log.changed.notify_all();
        Conn { number, inlet: Inlet::new(Recorded { stream: Some(stream), log: log.clone(), number }) }
    }

    /// Reads a whole request. `None`: the connection ended, before one or within. Panics where what came is no request.
    pub fn request(&mut self) -> Option<Request> {
        let head = self.request_head()?;
        self.request_body(head)
    }

    /// Reads a head; the body stays in the connection.
    pub fn request_head(&mut self) -> Option<Request> {
        match Request::read_head(&mut self.inlet) {
            Ok(request) => request,
            Err(broken) => self.tolerate(broken.end),
        }
    }

    /// Reads the body of `head`; the request is whole then.
    pub fn request_body(&mut self, head: Request) -> Option<Request> {
        match head.read_body(&mut self.inlet) {
            Ok(request) => {
                let log = &self.inlet.source.log;
                log.seen.lock().unwrap().requests.push(request.clone());
                log.changed.notify_all();
                Some(request)
            }
            Err(broken) => self.tolerate(broken.end),
        }
    }

    fn tolerate<T>(&self, end: End) -> Option<T> {
        match end {
            End::Malformed(why) => panic!("connection {} got a malformed request: {why}", self.number),
            _ => None,
        }
    }

    /// Reads what is there, at least one byte; `None` at the end.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        self.inlet.some().ok()
    }

    /// Sends `bytes`. False: the other side is gone, or does not read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let mut stream = self.stream();
        stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads until the other side closes, and says how it did.
    pub fn closed(&mut self) -> End {
        self.inlet.rest().1
    }

    /// Tells the case something ([`App::wait_for_note`]).
    pub fn note(&self, note: impl Into<String>) {
        let log = &self.inlet.source.log;
        log.seen.lock().unwrap().notes.push(note.into());
        log.changed.notify_all();
    }

    /// Closes the sending direction only.
    pub fn half_close(&mut self) {
        let _ = self.stream().shutdown(Shutdown::Write);
    }

    /// Closes by RST.
    pub fn reset(self) {
        SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn stream(&self) -> &TcpStream {
        self.inlet.source.tcp()
    }
}
