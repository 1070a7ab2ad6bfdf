//! Everything at once: clients good and bad, an app that does all an app can do wrong, certificates that change, limits that are reached;
//! then the end, under load.
//!
//! It holds where no answer is wrong, none looks complete and is not, none that is for one client comes to another who asks the same, the app
//! got no request that nobody sent, and afterwards the process has given all back: descriptors, memory, permits, connections, flights. What each
//! actor does follows from the seed; when, is the machine's.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` in the environment ask for another run than the usual.

mod clients;
mod hostile;
mod link;
mod origin;
mod plan;
mod quiet;
mod storm;

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slipstream_tests::{
    Certs, Inlet, Metrics, Proxy, Request, Response, Rng, Running, Tls, asked, eventually, on_both_drivers,
};

use crate::clients::Excuse;
use crate::link::Doors;
use crate::origin::Sea;
use crate::plan::{Act, Framed, Plan};
use crate::quiet::Rest;
use crate::storm::Storm;

/// Of each driver, the end apart, which comes after.
const SECONDS: u64 = 16;
const SEED: u64 = 7540;

const WORKERS: usize = 2;

/// A client that does nothing wrong has sent all within this: less than `tlsHandshake`, `requestHeaders` and `requestBodyIdle` below, and than what
/// a new connection has while the proxy closes.
const CLIENT_TIMERS: Duration = Duration::from_millis(1_400);
const STREAM_IDLE_MS: usize = 2_000;

/// Each limit is reached: more actors than connections, more requests than permits, more that wait than may.
const CONFIG: &str = "
drain: {delay: 1s, grace: 30s}
policy:
  concurrency: {limit: 7, queue: {depth: 3, timeout: 150ms}}
  limits: {connections: 18}
  timeouts: {connect: 1s, tlsHandshake: 2s, requestHeaders: 2s, requestBodyIdle: 2s, responseHeaders: 1s, request: 20s, streamIdle: 2s, connectionIdle: 3s}
";

type Actor = fn(&Doors, &Storm, Rng);

/// Who takes part, and how many of each.
const CAST: [(usize, Actor); 7] = [
    (10, |doors, storm, rng| clients::good(doors, storm, rng, Plan::random)),
    (3, clients::slow_reader),
    (1, clients::half_closer),
    (3, hostile::breaker),
    (3, hostile::dripper),
    (2, hostile::handshake_dripper),
    (2, hostile::garbage),
];

/// Starts the cast; each has choices of its own, other ones in each storm.
fn rise(doors: &Doors, storm: &Storm, seed: u64, number: u64) -> Vec<JoinHandle<()>> {
    let actors = CAST.iter().flat_map(|&(count, actor)| std::iter::repeat_n(actor, count));
    let actors = actors.zip(1..).map(|(actor, n)| {
        let (doors, storm, rng) = (doors.clone(), storm.clone(), Rng::of_case(seed, number << 32 | n));
        std::thread::spawn(move || actor(&doors, &storm, rng))
    });
    actors.collect()
}

fn settle(actors: Vec<JoinHandle<()>>) {
    for actor in actors {
        actor.join().expect("an actor that fails says why");
    }
}

/// A storm of `seconds`; panics with what was found.
fn rage(doors: &Doors, app: &Storm, seed: u64, number: u64, seconds: u64, meanwhile: impl FnOnce(Instant)) -> Storm {
    let (storm, until) = (Storm::default(), Instant::now() + Duration::from_secs(seconds));
    let actors = rise(doors, &storm, seed, number);
    meanwhile(until);
    storm.go_on(until);
    storm.end();
    settle(actors);
    assert_nothing_found([&storm, app], seed);
    assert_eq!(storm.counted("refused"), 0, "it listens all the time: {}", storm.tally());
    storm
}

/// The end, in the middle of a storm: whoever has a connection gets an answer on it, and the others are refused.
fn end_in_the_storm(proxy: Running, doors: &Doors, app: &Storm, seed: u64) {
    let storm = Storm::default();
    let mut actors = rise(doors, &storm, seed, 3);
    eventually("the storm is on", || (storm.counted("200") >= 50).then_some(()));
    if Rng::of_case(seed, 0).percent(50) {
        assert_eq!(proxy.drain().code(), 0);
    } else {
        proxy.signal("TERM");
    }
    let others = actors.split_off(CAST[0].0);
    settle(actors);
    storm.end();
    settle(others);
    assert_nothing_found([&storm, app], seed);
    assert_eq!(storm.counted("refused good clients"), CAST[0].0 as u64, "{}", storm.tally());
    let exit = proxy.wait_for_exit();
    assert_eq!(exit.code(), 0, "{}", exit.stderr);
    assert!(exit.stderr.contains("no request was broken off"), "{}", exit.stderr);
}

/// Breaks the certificate and makes a new one, once and again while there is time: each is seen, and who connects meanwhile gets the old one.
fn exchange_certificates(proxy: &Running, certs: &Certs, (chain, _): &(PathBuf, PathBuf), until: Instant) {
    /// Files are looked at every 5 s.
    const TWO_LOOKS: Duration = Duration::from_secs(10);
    let reloads = |metrics: &Metrics, result: &str| {
        metrics.sum_where("slipstream_tls_reloads_total", &format!("result=\"{result}\""))
    };
    loop {
        let before = proxy.metrics();
        let seen = |metrics: &Metrics, result: &str| reloads(metrics, result) > reloads(&before, result);
        std::fs::write(chain, "-----BEGIN CERTIFICATE-----\nbroken\n").expect("a file");
        proxy.metrics_until("the broken certificate is seen", |metrics| seen(metrics, "failed"));
        certs.leaf(&["chaos.test"]);
        proxy.metrics_until("the new certificate is seen", |metrics| seen(metrics, "ok"));
        if Instant::now() + TWO_LOOKS > until {
            return;
        }
    }
}

fn assert_nothing_found(storms: [&Storm; 2], seed: u64) {
    let found: Vec<String> = storms.iter().flat_map(|storm| storm.findings()).collect();
    assert!(found.is_empty(), "seed {seed}:\n{}", found.join("\n"));
}

/// A storm that did not reach all this would prove nothing.
fn assert_worth_something(storm: &Storm, app: &Storm, metrics: &Metrics) {
    let acts = Act::ALL.map(|act| format!("app: {}", act.name()));
    let acts = acts.iter().map(String::as_str).chain(["app: requests broken off"]);
    let actors = ["slow readers", "half-closers", "breakers", "drippers", "handshake drippers", "garbage"];
    let met = ["200", "408", "502", "503", "504", "broken answers", "TLS connections", "plain connections"];
    let met = met.into_iter().chain(actors);
    let missing: Vec<&str> =
        met.filter(|what| storm.counted(what) == 0).chain(acts.filter(|act| app.counted(act) == 0)).collect();
    assert!(missing.is_empty(), "never met: {missing:?} in {}; {}", storm.tally(), app.tally());
    for name in
        ["shed_total", "upstream_replays_total", "downstream_connections_evicted_total", "tls_resumptions_total"]
    {
        assert!(metrics.sum(&format!("slipstream_{name}")) > 0, "{name} stays 0: {}", storm.tally());
    }
    assert!(storm.counted("200") > storm.counted("503"), "hardly anything is answered: {}", storm.tally());
    let coalesced = |labels: &str| metrics.sum_where("slipstream_coalesce_requests_total", labels);
    let shared = ["alone", "leader", "follower"].map(|role| coalesced(&format!("role=\"{role}\",outcome=\"shared\"")));
    assert!(shared.iter().all(|&count| count > 0), "shared by {shared:?} alone, as leaders and as followers");
    assert!(coalesced("role=\"follower\"") > shared[2], "whoever joins is served: no flight comes to a bad end");
    assert!(coalesced("outcome=\"unshareable\"") > 0, "whatever is answered may be shared");
}

on_both_drivers! {
    fn storm_ends_with_no_wrong_answer_and_all_given_back(driver: Driver) {
        let (seed, seconds) = (asked("CHAOS_SEED", SEED), asked("CHAOS_SECONDS", SECONDS));
        assert!(seconds >= SECONDS, "CHAOS_SECONDS={seconds}: less than {SECONDS} s do not reach all that a storm must");
        println!("{}: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}", driver.flag());
        let (app, certs) = (Storm::default(), Certs::new());
        let (sea, files) = (Sea::open(&app), certs.leaf(&["chaos.test"]));
        let proxy = Proxy::in_front_of(&sea).driver(driver).workers(WORKERS).tls(files.clone()).config(CONFIG).start();
        let doors = Doors { plain: proxy.http(), tls: proxy.https(), trust: Tls::to("chaos.test", &certs) };
        let before = Rest::of(&proxy, None);

        // The first makes the process as large as it becomes; the second, longer, must not make it larger.
        rage(&doors, &app, seed, 1, seconds / 4, |_until| {});
        let warm = Rest::of(&proxy, Some(before));
        let storm = rage(&doors, &app, seed, 2, seconds - seconds / 4, |until| {
            exchange_certificates(&proxy, &certs, &files, until);
        });
        let after = Rest::of(&proxy, Some(before));
        println!("{}; {}; {before:?}, {warm:?}, {after:?}", storm.tally(), app.tally());
        after.assert_no_more_than(before, warm);
        assert_worth_something(&storm, &app, &proxy.metrics());

        end_in_the_storm(proxy, &doors, &app, seed);
    }
}

/// The judges can find something: answers and requests that must not be, each beside one that may.
#[test]
fn wrong_answers_and_requests_are_found() {
    let plan = Plan { act: Act::Whole, framed: Framed::Length, down: 5, up: None, tag: 7 };
    let head = |tag: u64, length: usize| format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nContent-Length: {length}\r\n\r\n");
    let whole = [head(7, 5).as_bytes(), plan.answer_body()].concat();
    let found = |plan: Plan, excuse: Excuse, bytes: &[u8]| {
        let storm = Storm::default();
        clients::judge(&plan, Response::read(&mut Inlet::new(bytes), "GET"), excuse, &storm);
        !storm.findings().is_empty()
    };
    let private = Plan { tag: 5, ..plan };
    let (with_cookie, storm) = (head(5, 5).replace("X-Tag", "Set-Cookie: for=1\r\nX-Tag"), Storm::default());
    for count in 0..3 {
        // The last of them breaks off.
        let bytes = [with_cookie.as_bytes(), &private.answer_body()[..5 - count / 2]].concat();
        clients::judge(&private, Response::read(&mut Inlet::new(&bytes[..]), "GET"), Excuse::Client, &storm);
        assert_eq!(storm.findings().len(), count, "what is for one client came to {} of them", count + 1);
    }
    assert!(
        found(private, Excuse::None, &[head(5, 5).as_bytes(), private.answer_body()].concat()),
        "for one, unmarked"
    );
    let refusal =
        |status: u16| format!("HTTP/1.1 {status} No\r\nProxy-Status: a\r\nContent-Length: 0\r\n\r\n").into_bytes();
    assert!(!found(plan, Excuse::None, &whole));
    assert!(found(plan, Excuse::None, &whole[..whole.len() - 1]), "it breaks off");
    assert!(found(plan, Excuse::Crossing, &whole[..whole.len() - 1]), "it breaks off, on a kept connection");
    assert!(found(plan, Excuse::None, b""), "no answer");
    assert!(!found(plan, Excuse::Crossing, b""));
    assert!(found(plan, Excuse::None, &[head(8, 5).as_bytes(), plan.answer_body()].concat()), "another's tag");
    assert!(found(plan, Excuse::None, &[head(7, 5).as_bytes(), b"other"].concat()), "another's body");
    assert!(
        found(plan, Excuse::None, &[head(7, 4).as_bytes(), &plan.answer_body()[..4]].concat()),
        "a part that looks whole"
    );
    assert!(found(plan, Excuse::None, b"HTTP/1.1 200 OK\r\nX Tag\r\n\r\n"), "no answer by the RFC");
    for act in [Act::Cut, Act::Reset, Act::Stall] {
        let broken = Plan { act, ..plan };
        assert!(found(broken, Excuse::Client, &whole), "{act:?} looks whole");
        assert!(!found(broken, Excuse::None, &whole[..whole.len() - 1]));
        assert!(!found(broken, Excuse::None, &refusal(502)));
    }
    for act in [Act::Refuse, Act::Garbage, Act::Silent] {
        assert!(found(Plan { act, ..plan }, Excuse::Client, &whole), "{act:?} has no answer");
    }
    for (status, may_be) in [(500, false), (400, false), (408, false), (502, false), (503, true), (504, true)] {
        assert_eq!(found(plan, Excuse::None, &refusal(status)), !may_be, "{status}");
    }
    assert!(!found(Plan { up: Some(1), ..plan }, Excuse::None, &refusal(502)), "not to be sent twice");
    assert!(found(plan, Excuse::None, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "not ours");

    let sent = Plan { up: Some(100), ..plan };
    let in_the_app = |body: &[u8]| {
        let head = format!("POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.target(), body.len());
        let bytes = [head.as_bytes(), body].concat();
        let request = Request::read(&mut Inlet::new(&bytes[..])).expect("it is whole").expect("it is there");
        let storm = Storm::default();
        origin::judge(&request, &Plan::read(&request.target).expect("its plan"), &storm);
        !storm.findings().is_empty()
    };
    assert!(!in_the_app(sent.request_body()));
    assert!(in_the_app(&sent.request_body()[..99]), "a part that looks whole");
    assert!(in_the_app(sent.answer_body()), "another body");
}
