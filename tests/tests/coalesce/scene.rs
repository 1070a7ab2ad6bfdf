//! What the cases share: an app that answers when the case says so, a proxy that takes joiners for longer than a case lasts, and what is
//! expected of requests that share an answer and of those that do not.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use slipstream_tests::{
    App, Client, Conn, DEADLINE, Driver, Event, Metrics, Origin, Proxy, Request, Response, Running, eventually,
    nothing_is_left,
};

/// `Cache-Status` of a follower that got the answer of its flight (RFC 9211 section 2).
pub const COLLAPSED: &str = "slipstream; fwd=uri-miss; collapsed";

/// `Cache-Status` of a follower that waited in vain.
pub fn in_vain(outcome: &str) -> String {
    format!("{COLLAPSED}=?0; detail={outcome}")
}

/// `GET target` of host `a` with more field lines: none, or one or more with CRLF between them.
pub fn get(target: &str, lines: &str) -> String {
    request("GET", target, lines)
}

/// As [`get`], with any method; there is no body.
pub fn request(method: &str, target: &str, lines: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{}\r\n", ended(lines))
}

fn ended(lines: &str) -> String {
    if lines.is_empty() { String::new() } else { format!("{lines}\r\n") }
}

/// A time that must pass because it is what a case is about.
pub fn let_pass(time: Duration) {
    Event::new().raised_within(time);
}

/// What the app answers. `X-Answer` and the body tell each answer from all others.
#[derive(Debug, Clone)]
pub struct Reply {
    status: String,
    lines: String,
}

/// `status` with its reason; `lines` as for [`get`].
pub fn reply(status: &str, lines: &str) -> Reply {
    Reply { status: status.into(), lines: ended(lines) }
}

/// An answer that may be shared in mode `identical`.
pub fn ok() -> Reply {
    reply("200 OK", "")
}

/// An answer that is for one client alone.
pub fn unshareable() -> Reply {
    reply("200 OK", "Set-Cookie: a=b")
}

impl Reply {
    fn bytes(&self, request: &Request, number: usize) -> String {
        let body = match &self.status[..3] {
            "204" | "205" | "304" => String::new(),
            _ => format!("answer {number} to {}", request.target),
        };
        let framing = match &self.status[..3] {
            "204" | "304" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let sent = if request.method == "HEAD" { "" } else { &body };
        format!("HTTP/1.1 {}\r\nX-Answer: {number}\r\n{}{framing}\r\n{sent}", self.status, self.lines)
    }
}

/// What the case has told the app to answer; until then the app holds what it gets.
#[derive(Debug, Default)]
struct Board {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    lines: Vec<Line>,
    answered: usize,
    is_over: bool,
}

#[derive(Debug)]
struct Line {
    marker: String,
    reply: Reply,
    /// How many requests it is for; `None`: all.
    left: Option<usize>,
}

impl Board {
    fn tell(&self, line: Line) {
        self.told.lock().expect("no script panics with it").lines.push(line);
        self.changed.notify_all();
    }

    fn end(&self) {
        self.told.lock().expect("no script panics with it").is_over = true;
        self.changed.notify_all();
    }

    /// Waits for what to answer. `None`: the case is over.
    fn answer_to(&self, request: &Request) -> Option<String> {
        let mut told = self.told.lock().expect("no script panics with it");
        loop {
            if told.is_over {
                return None;
            }
            let fits = |line: &&mut Line| line.left != Some(0) && request.target.contains(&line.marker);
            if let Some(line) = told.lines.iter_mut().find(fits) {
                line.left = line.left.map(|left| left - 1);
                let reply = line.reply.clone();
                told.answered += 1;
                return Some(reply.bytes(request, told.answered));
            }
            let (again, late) = self.changed.wait_timeout(told, 6 * DEADLINE).expect("no script panics with it");
            told = again;
            told.is_over |= late.timed_out();
        }
    }
}

/// What the proxy of a scene is started with: two workers, and joiners are taken for longer than a case lasts.
pub struct Setting {
    proxy: Proxy,
    join_window: Option<&'static str>,
    coalescing: &'static str,
    policy: &'static str,
}

impl Setting {
    pub fn in_front_of(origin: &impl Origin, driver: Driver) -> Setting {
        let proxy = Proxy::in_front_of(origin).driver(driver).workers(2);
        Setting { proxy, join_window: Some("1m"), coalescing: "", policy: "" }
    }

    pub fn workers(self, workers: usize) -> Setting {
        self.with(|proxy| proxy.workers(workers))
    }

    /// `None`: the one that the mode has by itself.
    pub fn join_window(self, join_window: Option<&'static str>) -> Setting {
        Setting { join_window, ..self }
    }

    /// More fields of `coalescing`.
    pub fn coalescing(self, coalescing: &'static str) -> Setting {
        Setting { coalescing, ..self }
    }

    /// More sections of the policy, one a line.
    pub fn policy(self, policy: &'static str) -> Setting {
        Setting { policy, ..self }
    }

    /// What else the process is started with.
    pub fn with(self, shape: impl FnOnce(Proxy) -> Proxy) -> Setting {
        Setting { proxy: shape(self.proxy), ..self }
    }

    pub fn start(self) -> Running {
        let window = self.join_window.map(|window| format!("joinWindow: {window}"));
        let fields: Vec<String> =
            window.into_iter().chain(Some(self.coalescing.to_owned())).filter(|field| !field.is_empty()).collect();
        self.proxy.policy(&format!("coalescing: {{{}}}\n{}", fields.join(", "), self.policy)).start()
    }
}

/// A proxy and the app behind it.
pub struct Scene {
    pub proxy: Running,
    pub app: App,
    board: Arc<Board>,
}

/// A connection, and the request that is to be sent on it.
pub type Asking = (Client, String);

impl Scene {
    /// The usual setting, before an app that holds what it gets.
    pub fn on(driver: Driver) -> Scene {
        Scene::set(driver, |setting| setting)
    }

    /// As [`Scene::on`], in another setting.
    pub fn set(driver: Driver, shape: impl FnOnce(Setting) -> Setting) -> Scene {
        let board = Arc::new(Board::default());
        let scripted = board.clone();
        let app = App::scripted(move |mut conn| {
            while let Some(request) = conn.request() {
                if !scripted.answer_to(&request).is_some_and(|answer| conn.send(answer)) {
                    return;
                }
            }
        });
        let proxy = shape(Setting::in_front_of(&app, driver)).start();
        Scene { proxy, app, board }
    }

    /// As [`Scene::set`], before an app with a script of its own.
    pub fn playing(
        driver: Driver,
        shape: impl FnOnce(Setting) -> Setting,
        script: impl Fn(Conn) + Send + Sync + 'static,
    ) -> Scene {
        let app = App::scripted(script);
        let proxy = shape(Setting::in_front_of(&app, driver)).start();
        Scene { proxy, app, board: Arc::default() }
    }

    /// Lets the app answer one request, held or to come, that has `marker` in its target.
    pub fn answer(&self, marker: &str, reply: Reply) {
        self.board.tell(Line { marker: marker.into(), reply, left: Some(1) });
    }

    /// Lets the app answer all of them from now on. An empty `marker` is in every target.
    pub fn answer_all(&self, marker: &str, reply: Reply) {
        self.board.tell(Line { marker: marker.into(), reply, left: None });
    }

    /// How many requests the app got that have `marker` in their target.
    pub fn count(&self, marker: &str) -> usize {
        self.app.requests().iter().filter(|request| request.target.contains(marker)).count()
    }

    pub fn wait_for(&self, marker: &str, count: usize) {
        self.wait_for_because("", marker, count);
    }

    fn wait_for_because(&self, why: &str, marker: &str, count: usize) {
        let what = format!("{why}: the app sees {count} requests for {marker}");
        eventually(&what, || (self.count(marker) >= count).then_some(()));
    }

    /// Sends a request on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Client {
        let mut client = self.proxy.client();
        client.send(request);
        client
    }

    pub fn asking(&self, request: impl Into<String>) -> Asking {
        (self.proxy.client(), request.into())
    }

    /// Sends a request that goes to the app, and returns once it is there.
    pub fn lead(&self, target: &str) -> Client {
        let before = self.count(target);
        let client = self.ask(get(target, ""));
        self.wait_for(target, before + 1);
        client
    }

    /// Sends `count` requests like [`Scene::lead`]'s, and returns once all of them follow.
    pub fn follow(&self, target: &str, count: usize) -> Vec<Client> {
        let (at_the_app, already) = (self.count(target), self.following());
        let clients = (0..count).map(|_| self.ask(get(target, ""))).collect();
        self.wait_for_followers("a request", target, at_the_app, already + count as u64);
        clients
    }

    /// A flight for `target` that the app has got, with so many followers.
    pub fn flight(&self, target: &str, followers: usize) -> Flight {
        let leader = self.lead(target);
        Flight { leader: Some(leader), followers: self.follow(target, followers) }
    }

    /// How many follow.
    pub fn following(&self) -> u64 {
        self.proxy.settled(followers)
    }

    pub fn wait_until_follow(&self, count: u64) {
        self.proxy.metrics_until(&format!("{count} follow"), |metrics| followers(metrics) == count);
    }

    /// Waits until so many follow in the pod, and no more than `at_the_app` have gone up for `marker`.
    fn wait_for_followers(&self, why: &str, marker: &str, at_the_app: usize, count: u64) {
        eventually(&format!("{why}: {count} follow"), || {
            assert_eq!(self.count(marker), at_the_app, "{why}: what should follow for {marker} went to the app");
            (followers(&self.proxy.metrics()) == count).then_some(())
        });
    }

    /// Takes the app's only permit, so that what comes next waits for its turn. Let it go by answering `/occupied`.
    pub fn occupy(&self) -> Client {
        let client = self.ask(get("/occupied", "Cache-Control: no-cache"));
        self.wait_for("/occupied", 1);
        client
    }

    pub fn wait_for_queue(&self, length: u64) {
        self.proxy.metrics_until(&format!("{length} wait for a permit"), |metrics| {
            metrics.sum("slipstream_permits_waiting") == length
        });
    }

    /// `second` follows `first`, and both get one answer. `marker` is in both of their targets, and in no other's.
    pub fn joins(&self, why: &str, marker: &str, first: Asking, second: Asking) {
        self.joins_for(why, marker, first, second, ok());
    }

    /// As [`Scene::joins`]; what they get is `reply`.
    pub fn joins_for(&self, why: &str, marker: &str, first: Asking, second: Asking, reply: Reply) {
        let (mut first, mut second) = (sent(first), second);
        self.wait_for_because(why, marker, 1);
        second.0.send(&second.1);
        self.wait_for_followers(why, marker, 1, 1);
        self.answer_all(marker, reply);
        let (one, other) = (read(&mut first), read(&mut second));
        let same = (one.status, number(&one), one.text()) == (other.status, number(&other), other.text());
        assert!(same, "{why}: two answers, {one:?} and {other:?}");
        assert_eq!(self.count(marker), 1, "{why}");
        assert_eq!((cache_status(&one).as_str(), cache_status(&other).as_str()), ("", COLLAPSED), "{why}");
        self.wait_for_followers(why, marker, 1, 0);
    }

    /// `second` goes to the app while `first` is there, and each gets its own answer.
    pub fn stays_apart(&self, why: &str, marker: &str, first: Asking, second: Asking) {
        let (mut first, mut second) = (sent(first), second);
        self.wait_for_because(why, marker, 1);
        second.0.send(&second.1);
        self.wait_for_because(&format!("{why} does not join"), marker, 2);
        self.answer_all(marker, ok());
        let (one, other) = (read(&mut first), read(&mut second));
        assert_eq!((one.status, other.status), (200, 200), "{why}");
        assert_ne!(number(&one), number(&other), "{why}");
        assert_eq!(self.count(marker), 2, "{why}");
        assert_eq!((cache_status(&one).as_str(), cache_status(&other).as_str()), ("", ""), "{why}");
    }

    /// Nothing is in use but `clients` connections of clients that are idle.
    pub fn rests(&self, clients: u64) -> Metrics {
        rests(&self.proxy, clients)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.board.end();
    }
}

/// Those that wait for one answer of the app.
pub struct Flight {
    /// `None` once it has left.
    pub leader: Option<Client>,
    pub followers: Vec<Client>,
}

impl Flight {
    /// Everyone's answer, the leader's first.
    pub fn responses(&mut self) -> Vec<Response> {
        self.leader.iter_mut().chain(&mut self.followers).map(Client::response).collect()
    }

    /// Everyone gets the same answer, whole; the followers are told that they share it.
    pub fn shares(&mut self) -> Response {
        let leaders = usize::from(self.leader.is_some());
        let responses = self.responses();
        let first = &responses[0];
        for (at, response) in responses.iter().enumerate() {
            let same =
                (response.status, number(response), &response.body) == (first.status, number(first), &first.body);
            assert!(same, "two answers: {first:?} and {response:?}");
            let expected = if at < leaders { "" } else { COLLAPSED };
            assert_eq!(cache_status(response), expected, "number {at} of {leaders} leaders and its followers");
        }
        first.clone()
    }

    /// How many connections there are.
    pub fn clients(&self) -> u64 {
        self.leader.iter().chain(&self.followers).count() as u64
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
pub enum Leave {
    Close,
    Reset,
}

impl Leave {
    pub const BOTH: [Leave; 2] = [Leave::Close, Leave::Reset];

    pub fn apply(self, client: Client) {
        match self {
            Leave::Close => drop(client),
            Leave::Reset => client.reset(),
        }
    }
}

fn sent((mut client, request): Asking) -> Asking {
    client.send(&request);
    (client, request)
}

/// The final answer to what was asked.
fn read((client, request): &mut Asking) -> Response {
    let method = request.split(' ').next().expect("a request line");
    loop {
        let response = client.response_to(method);
        if response.status >= 200 {
            return response;
        }
    }
}

/// A target that no other case of this process has, and that is part of none.
pub fn fresh_target() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/case-{}-end", NEXT.fetch_add(1, SeqCst))
}

/// Which of the app's answers it is.
pub fn number(response: &Response) -> String {
    response.fields.joined("x-answer")
}

pub fn cache_status(response: &Response) -> String {
    response.fields.joined("cache-status")
}

pub fn followers(metrics: &Metrics) -> u64 {
    metrics.sum("slipstream_coalesce_followers")
}

/// How many requests came to this end. What never happened may have no series.
pub fn counted(metrics: &Metrics, role: &str, outcome: &str) -> u64 {
    const NAME: &str = "slipstream_coalesce_requests_total";
    let labels = format!("role=\"{role}\",outcome=\"{outcome}\"");
    if metrics.has(NAME) { metrics.sum_where(NAME, &labels) } else { 0 }
}

/// Waits until so many requests have come to this end: they are counted when they are over, which a client may see a moment before.
pub fn wait_until_counted(proxy: &Running, role: &str, outcome: &str, count: u64) {
    proxy.metrics_until(&format!("{count} {role} {outcome}"), |metrics| counted(metrics, role, outcome) == count);
}

/// As [`Scene::rests`].
pub fn rests(proxy: &Running, clients: u64) -> Metrics {
    nothing_is_left(proxy, clients);
    proxy.metrics_until("no flight is left", |metrics| {
        let gauges = ["flights", "followers", "retained_bytes"];
        gauges.iter().all(|gauge| metrics.sum(&format!("slipstream_coalesce_{gauge}")) == 0)
    })
}
