//! What the cases share: an app that holds requests until the case opens their target, clients that ask for the same at the same time,
//! one that reads little, and what is to be seen of a flight from outside.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use slipstream_tests::{
    App, Broken, Client, Conn, DEADLINE, Driver, End, Event, Framing, Inlet, Metrics, Proxy, Request, Response,
    Running, eventually,
};
use socket2::{Domain, SockRef, Socket, Type};

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// R9: what a flight keeps of a body that is paced.
pub const WINDOW_BYTES: u64 = 256 << 10;
/// What a read may bring beyond a bound before it is seen: the proxy's larger buffer.
pub const SLACK_BYTES: u64 = 128 << 10;
/// R9: for how long slow participants may hold up the others, all in all.
pub const LAG_BUDGET: Duration = Duration::from_secs(1);
/// R9: followers of one flight.
pub const FOLLOWERS_MAX: usize = 1024;

/// A flight takes joiners for longer than a case lasts: who joins is decided by events alone.
pub const PATIENT: &str = "coalescing: {joinWindow: 1m}";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// An answer that is for one client alone.
pub const UNSHAREABLE: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok";
/// The `Cache-Status` of a follower that was served (RFC 9211).
pub const COLLAPSED: &str = "slipstream; fwd=uri-miss; collapsed";
/// What [`Scene::flight`] asks for.
pub const HELD: &str = "/held";

/// A GET without more fields than it needs.
pub fn get(target: &str) -> String {
    get_with(target, "")
}

/// `fields`: whole lines, each with its CRLF.
pub fn get_with(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

/// Byte `n` of a body is `n % 251`: whoever gets a wrong piece sees it.
pub fn body(bytes: usize) -> Vec<u8> {
    let all: Vec<u8> = (0..251).collect();
    let mut body = all.repeat(bytes / 251 + 1);
    body.truncate(bytes);
    body
}

pub fn with_length(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

pub fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// `body` in chunks of `each` bytes.
pub fn chunked(body: &[u8], each: usize) -> Vec<u8> {
    let chunks: Vec<u8> = body.chunks(each).flat_map(chunk).collect();
    [CHUNKED.as_bytes(), &chunks, b"0\r\n\r\n"].concat()
}

/// Waits for time itself, where a case is about what does not happen meanwhile.
pub fn let_pass(time: Duration) {
    Event::new().raised_within(time);
}

/// Targets that the app answers, or does not answer yet.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<HashMap<String, Event>>>);

impl Gates {
    pub fn of(&self, target: &str) -> Event {
        self.0.lock().unwrap().entry(target.to_owned()).or_default().clone()
    }
}

/// A proxy, the app behind it, and what that holds.
pub struct Scene {
    pub proxy: Running,
    pub app: App,
    pub gates: Gates,
}

impl Scene {
    /// The app holds a request whose target begins with [`HELD`] until it is opened; then, as at once for others, it does as `answer` says,
    /// which gives the connection back where it is to go on. `proxy` says what else is with the proxy; it has two workers.
    pub fn on(
        driver: Driver,
        proxy: impl FnOnce(Proxy) -> Proxy,
        answer: impl Fn(Conn, &Request) -> Option<Conn> + Send + Sync + 'static,
    ) -> Scene {
        let gates = Gates::default();
        let held = gates.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if request.target.starts_with(HELD) {
                    held.of(&request.target).wait_for_the_case();
                }
                let Some(goes_on) = answer(conn, &request) else { return };
                conn = goes_on;
            }
        });
        let proxy = proxy(Proxy::in_front_of(&app).driver(driver).workers(2)).start();
        Scene { proxy, app, gates }
    }

    /// As [`Scene::on`], with a policy that is [`PATIENT`].
    pub fn with(driver: Driver, answer: impl Fn(Conn, &Request) -> Option<Conn> + Send + Sync + 'static) -> Scene {
        Scene::on(driver, |proxy| proxy.policy(PATIENT), answer)
    }

    /// As [`Scene::with`], with one answer to everything.
    pub fn answering(driver: Driver, answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Scene {
        Scene::under(driver, PATIENT, answer)
    }

    /// As [`Scene::answering`], under another policy.
    pub fn under(driver: Driver, policy: &str, answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Scene {
        Scene::on(driver, |proxy| proxy.policy(policy), move |mut conn, _| conn.send(answer.as_ref()).then_some(conn))
    }

    /// The app answers `target` from now on.
    pub fn open(&self, target: &str) {
        self.gates.of(target).raise();
    }

    /// Sends `request`, and returns when the app has it.
    pub fn lead(&self, request: &str) -> Client {
        let mut client = self.proxy.client();
        client.send(request);
        self.app.wait_to_see(request.split("HTTP/").next().unwrap());
        client
    }

    /// So many clients send `request`, and all of them follow.
    pub fn follow(&self, count: usize, request: &str) -> Vec<Client> {
        let already = self.proxy.settled(followers);
        let mut clients = crowd(&self.proxy, count);
        clients.iter_mut().for_each(|client| client.send(request));
        self.until_followers(already + count as u64);
        clients
    }

    /// A leader, behind it its followers, of a request for [`HELD`].
    pub fn flight(&self, followers: usize) -> Vec<Client> {
        self.flight_of(&get(HELD), followers)
    }

    pub fn flight_of(&self, request: &str, followers: usize) -> Vec<Client> {
        let mut clients = vec![self.lead(request)];
        clients.extend(self.follow(followers, request));
        clients
    }

    /// One more follower of [`HELD`], with a connection that holds little.
    pub fn slow_follower(&self) -> Slow {
        let already = self.proxy.settled(followers);
        let slow = Slow::asks(self.proxy.http(), &get(HELD));
        self.until_followers(already + 1);
        slow
    }

    pub fn until_followers(&self, count: u64) {
        self.proxy.metrics_until(&format!("{count} follow"), |metrics| followers(metrics) == count);
    }

    /// How many requests for `target` the app has got whole.
    pub fn seen(&self, target: &str) -> usize {
        self.app.requests().iter().filter(|request| request.target == target).count()
    }

    pub fn until_seen(&self, target: &str, count: usize) {
        eventually(&format!("the app has {count} requests for {target}"), || {
            (self.seen(target) >= count).then_some(())
        });
    }

    /// Waits until nothing of a flight is left.
    pub fn at_rest(&self) -> Metrics {
        at_rest(&self.proxy)
    }

    /// Waits until so many requests have ended in each way, and asserts that none ended in another. `"*"` is any outcome.
    pub fn counted(&self, expected: &[(&str, &str, u64)]) {
        counted(&self.proxy, expected);
    }

    /// All has ended well for one flight for [`HELD`], and for nobody else.
    pub fn shared_by(&self, followers: usize) {
        self.counted(&[("leader", "shared", 1), ("follower", "shared", followers as u64)]);
        self.at_rest();
        assert_eq!(self.seen(HELD), 1);
    }

    /// While `during` lasts others connect and close, so that the proxy looks for what has happened to connections all the time.
    pub fn while_others_come<T>(&self, during: impl FnOnce() -> T) -> T {
        beside(|| drop(self.proxy.client()), during)
    }

    /// The most that the proxy keeps of bodies while `during` lasts.
    pub fn most_retained(&self, during: impl FnOnce()) -> u64 {
        let mut most = 0;
        let look = || {
            most = most.max(retained(&self.proxy.metrics()));
            let_pass(Duration::from_millis(2));
        };
        beside(look, during);
        most
    }
}

/// Does `again` over and over on a thread of its own while `during` lasts.
fn beside<T>(mut again: impl FnMut() + Send, during: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                again();
            }
        });
        let _told = OnDrop(|| over.store(true, SeqCst));
        during()
    })
}

/// Runs also where a case fails, so that whoever waits for it ends.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// `count` connections that have said nothing yet.
pub fn crowd(proxy: &Running, count: usize) -> Vec<Client> {
    raise_descriptors();
    (0..count).map(|_| proxy.client()).collect()
}

/// Shells often give 1,024 descriptors to begin with; a crowd and its app need thousands.
fn raise_descriptors() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().skip(3);
        let (soft, hard) = (numbers.next().unwrap(), numbers.next().unwrap());
        if soft != hard {
            let limit = format!("--nofile={hard}:{hard}");
            let raised = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &limit]).status();
            assert!(raised.is_ok_and(|status| status.success()), "prlimit {limit} (util-linux) fails");
        }
    });
}

/// The final answer of each, read at once: who is not read keeps the others waiting.
pub fn answers(clients: &mut [Client]) -> Vec<Response> {
    if clients.len() > READERS_MAX {
        return clients.iter_mut().map(Client::response).collect();
    }
    together(clients, Client::response)
}

/// As [`answers`], of clients each of which closes as soon as it has the last byte.
pub fn answers_and_closes(mut clients: Vec<Client>) -> Vec<Response> {
    let each = clients.len().div_ceil(READERS_MAX);
    let mut parts = Vec::new();
    while !clients.is_empty() {
        parts.push(clients.split_off(clients.len().saturating_sub(each)));
    }
    let read =
        |part: &mut Vec<Client>| -> Vec<Response> { part.drain(..).map(|mut client| client.response()).collect() };
    together(&mut parts, read).concat()
}

/// Beyond it bodies are small in all cases, and nobody waits.
const READERS_MAX: usize = 128;

/// Does `each` with all clients at once: nobody waits for another's reading.
pub fn together<C: Send, T: Send>(clients: &mut [C], each: impl Fn(&mut C) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || each(client))).collect();
        threads.into_iter().map(|thread| thread.join().expect("what each does succeeds")).collect()
    })
}

/// Everybody gets this body, whole and unchanged.
pub fn assert_bodies(responses: &[Response], body: &[u8]) {
    for (number, response) in responses.iter().enumerate() {
        assert_eq!((response.status, response.body.len()), (200, body.len()), "of client {number}");
        assert!(response.body == body, "the body of client {number} is another");
    }
}

/// What is read is the head of an answer and less than its body, and its end cannot be taken for that of the body.
pub fn assert_cut(read: Result<Response, Broken>) -> Broken {
    let broken = read.expect_err("an answer that was cut short looks whole");
    assert!(broken.head.is_some(), "the head was fine and under way: {broken:?}");
    assert!(matches!(broken.end, End::Clean | End::Reset), "{:?}", broken.end);
    broken
}

/// The value of a series, or 0 where nothing was ever counted.
pub fn value(metrics: &Metrics, name: &str) -> u64 {
    if metrics.has(name) { metrics.sum(name) } else { 0 }
}

pub fn followers(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_coalesce_followers")
}

pub fn flights(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_coalesce_flights")
}

pub fn retained(metrics: &Metrics) -> u64 {
    value(metrics, "slipstream_coalesce_retained_bytes")
}

const REQUESTS: &str = "slipstream_coalesce_requests_total";

/// How many requests were counted with `role` and `outcome`. `""`: with any role. `"*"`: with any outcome.
pub fn count(metrics: &Metrics, role: &str, outcome: &str) -> u64 {
    let label = match (role, outcome) {
        ("", "*") => String::new(),
        ("", outcome) => format!("outcome=\"{outcome}\""),
        (role, "*") => format!("role=\"{role}\""),
        (role, outcome) => format!("role=\"{role}\",outcome=\"{outcome}\""),
    };
    if metrics.has(REQUESTS) { metrics.sum_where(REQUESTS, &label) } else { 0 }
}

/// As [`Scene::counted`]. A client may have the last byte of its answer a moment before it is counted.
pub fn counted(proxy: &Running, expected: &[(&str, &str, u64)]) {
    let until = Instant::now() + DEADLINE;
    loop {
        let metrics = proxy.metrics();
        let is: Vec<_> =
            expected.iter().map(|&(role, outcome, _)| (role, outcome, count(&metrics, role, outcome))).collect();
        let (total, wanted) = (value(&metrics, REQUESTS), expected.iter().map(|(_, _, count)| count).sum::<u64>());
        if is == expected && total == wanted {
            return;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {expected:?}, there are {is:?} among {total}");
        let_pass(Duration::from_millis(2));
    }
}

pub fn at_rest(proxy: &Running) -> Metrics {
    let until = Instant::now() + DEADLINE;
    loop {
        let metrics = proxy.metrics();
        let left = (flights(&metrics), followers(&metrics), retained(&metrics));
        if left == (0, 0, 0) {
            return metrics;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?}, and (flights, followers, bytes) are left: {left:?}");
        let_pass(Duration::from_millis(2));
    }
}

/// A client that the proxy feels soon when it stops reading. Over loopback segments are large, and the proxy's kernel would take megabytes for it
/// before anything waits; with segments of Ethernet's size and a small receive buffer the kernels hold some 128 KiB.
pub struct Slow(Inlet<TcpStream>);

impl Slow {
    /// What the kernels may hold for one.
    pub const KERNEL_BYTES_MAX: usize = 512 << 10;

    pub fn asks(address: SocketAddr, request: &str) -> Slow {
        const SEGMENT_BYTES: u32 = 1400;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(8 * KIB).unwrap();
        socket.set_tcp_mss(SEGMENT_BYTES).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.send(request.as_bytes()).unwrap();
        Slow(Inlet::new(socket.into()))
    }

    /// Reads the head; the body stays.
    pub fn head(&mut self) -> Response {
        Response::read_head(&mut self.0, "GET").expect("a head")
    }

    pub fn try_response(&mut self) -> Result<Response, Broken> {
        Response::read(&mut self.0, "GET")
    }

    /// Reads a body that has a length, so many bytes at a time, each piece after a pause.
    pub fn body_in_pieces(&mut self, head: &Response, each: usize, pause: Duration) -> Result<Vec<u8>, End> {
        let Framing::Length(bytes) = head.framing else { panic!("no length: {head:?}") };
        let mut body = Vec::new();
        while body.len() < bytes {
            let_pass(pause);
            body.extend(self.0.take(each.min(bytes - body.len()))?);
        }
        Ok(body)
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        self.0.take(bytes).expect("it is all there")
    }

    /// Closes by RST.
    pub fn reset(self) {
        SockRef::from(&self.0.source).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
