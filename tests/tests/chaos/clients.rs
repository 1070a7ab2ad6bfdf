//! Clients that do nothing wrong, and judge each answer: its status is one that this request may have, a 200 has the right body to its
//! last byte and the right tag, what the app broke off is not whole, and what is for one client came to no other.

use std::time::Instant;

use slipstream_tests::{Broken, End, Inlet, Response, Rng};

use crate::link::{Doors, Link, NoLink, Pace, reach};
use crate::plan::{Act, Framed, Plan};
use crate::storm::Storm;
use crate::{CLIENT_TIMERS, STREAM_IDLE_MS};

/// A request as a client writes it, so that its answer can be judged.
#[derive(Clone)]
pub struct Asked {
    pub plan: Plan,
    pub bytes: Vec<u8>,
}

impl Asked {
    pub fn new(plan: Plan, rng: &mut Rng) -> Asked {
        let version = if rng.percent(8) { "1.0" } else { "1.1" };
        let method = if plan.up.is_some() { "POST" } else { "GET" };
        let mut bytes = format!("{method} {} HTTP/{version}\r\nHost: chaos\r\n", plan.target()).into_bytes();
        let body = plan.request_body();
        match plan.up {
            None => bytes.extend_from_slice(b"\r\n"),
            Some(length) if version == "1.0" || rng.percent(50) => {
                bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
                bytes.extend_from_slice(body);
            }
            Some(_) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let most = 1 + rng.below(70_000);
                for chunk in body.chunks(most) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        Asked { plan, bytes }
    }
}

/// What may have kept a right request from a right answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    None,
    /// The client itself was slow, or left a part out.
    Client,
    /// The connection had been idle, and may have been closed while the request was on its way (RFC 9112 9.5).
    Crossing,
}

/// Counts the answer, or finds what is wrong with it. Gives whether the connection may carry another request.
pub fn judge(asked: &Plan, answer: Result<Response, Broken>, excuse: Excuse, storm: &Storm) -> bool {
    let fields = match &answer {
        Ok(response) => Some(&response.fields),
        Err(broken) => broken.head.as_ref().map(|head| &head.fields),
    };
    if let Some(cookie) = fields.and_then(|fields| fields.get("set-cookie"))
        && !storm.is_first_with(cookie)
    {
        storm.finding(format!("an answer for one client came to two: {fields:?}, {asked:?}"));
    }
    let response = match answer {
        Ok(response) => response,
        Err(Broken { end: end @ (End::Malformed(_) | End::Deadline), head, body }) => {
            storm.finding(format!("{end:?} after {head:?} and {} bytes of a body: {asked:?}", body.len()));
            return false;
        }
        Err(Broken { end, head, body }) => {
            let by_app = matches!(asked.act, Act::Cut | Act::Reset | Act::Stall | Act::Early);
            match (&head, excuse) {
                (_, Excuse::Client) => storm.count("cut short by us"),
                (None, Excuse::Crossing) => storm.count("crossed a close"),
                (Some(_), _) if by_app => storm.count("broken answers"),
                _ => {
                    let bytes = body.len();
                    storm.finding(format!("{end:?} after {head:?} and {bytes} bytes of a body: {asked:?}"));
                }
            }
            return false;
        }
    };
    storm.count(format!("{}", response.status));
    if let Some(why) = wrong(asked, &response, excuse) {
        let (status, fields, bytes) = (response.status, &response.fields, response.body.len());
        storm.finding(format!("{why}: {asked:?} got {status}, {fields:?}, {bytes} bytes"));
    }
    response.keeps() && response.framing != slipstream_tests::Framing::UntilClose
}

fn wrong(asked: &Plan, response: &Response, excuse: Excuse) -> Option<&'static str> {
    if response.status == 200 {
        return match asked.act {
            Act::Whole | Act::Slow | Act::Early => {
                let is_tagged = response.fields.get("x-tag") == Some(asked.tag.to_string().as_str());
                let is_marked = response.fields.has("set-cookie") == asked.is_for_one();
                let is_right = is_tagged && is_marked && response.body == asked.answer_body();
                (!is_right).then_some("another answer than the app's")
            }
            Act::Cut | Act::Reset | Act::Stall => Some("an answer that looks whole and is not"),
            Act::Refuse | Act::Garbage | Act::Silent => Some("an answer to what has none"),
        };
    }
    let may_be = match response.status {
        // Too many at once, or an app that is late: it shares the machine with everyone here.
        503 | 504 => true,
        408 => excuse == Excuse::Client,
        502 => match asked.act {
            // Sent on a connection that the app was closing, and not to be sent twice.
            Act::Whole | Act::Slow => asked.up.is_some(),
            _ => true,
        },
        _ => false,
    };
    if !may_be {
        return Some("a status that it cannot have");
    }
    (!response.fields.has("proxy-status") || response.fields.has("x-tag")).then_some("a refusal that is not ours")
}

/// Request after request, over connections that are kept, or pipelined, or left, until the storm is over; or, in the end of a proxy, until
/// it is refused.
pub fn good(doors: &Doors, storm: &Storm, mut rng: Rng, plan: impl Fn(&mut Rng) -> Plan) {
    while !storm.is_over() {
        let (before, tls) = (Instant::now(), rng.percent(50));
        let mut link = match Link::open(doors, tls) {
            Ok(link) => Inlet::new(link),
            Err(NoLink::Refused) => {
                storm.count("refused");
                return storm.count("refused good clients");
            }
            // Whoever takes too long for a handshake is let go.
            Err(NoLink::Lost(_)) if before.elapsed() >= CLIENT_TIMERS => continue,
            Err(NoLink::Lost(why)) => {
                storm.finding(format!("a connection is lost: {why}"));
                continue;
            }
        };
        storm.count(if tls { "TLS connections" } else { "plain connections" });
        for round in 0.. {
            let before = if round == 0 { before } else { Instant::now() };
            let together = if rng.percent(15) { 2 + rng.below(6) } else { 1 };
            let mut asked: Vec<Asked> = Vec::new();
            while asked.len() < together {
                let again = asked.last().filter(|_| rng.percent(30)).cloned();
                asked.push(again.unwrap_or_else(|| {
                    let plan = plan(&mut rng);
                    // Behind a body that is in doubt nothing can be asked.
                    let plan = if together > 1 { Plan { up: None, ..plan } } else { plan };
                    Asked::new(plan, &mut rng)
                }));
            }
            let bytes: Vec<u8> = asked.iter().flat_map(|asked| asked.bytes.iter().copied()).collect();
            let sent = link.source.send(&bytes);
            let excuse = match () {
                () if before.elapsed() >= CLIENT_TIMERS => Excuse::Client,
                () if round > 0 => Excuse::Crossing,
                // An early answer ends the connection while we send.
                () if sent.is_err() && asked[0].plan.up.is_some() => Excuse::Client,
                () => Excuse::None,
            };
            if !answers(&mut link, &asked, excuse, storm) || storm.is_over() || rng.percent(10) {
                break;
            }
            if rng.percent(2) {
                storm.pause(rng.below(3_000));
            }
        }
    }
}

/// Reads the answers in their order. True: the connection may carry more.
fn answers(link: &mut Inlet<Link>, asked: &[Asked], excuse: Excuse, storm: &Storm) -> bool {
    for (n, one) in asked.iter().enumerate() {
        let method = if one.plan.up.is_some() { "POST" } else { "GET" };
        // Nothing but a close can have kept those behind a whole answer.
        let excuse = if n > 0 && excuse == Excuse::Crossing { Excuse::None } else { excuse };
        if !judge(&one.plan, Response::read(link, method), excuse, storm) {
            return false;
        }
    }
    true
}

/// Reads some answers slowly, and some so slowly that the proxy has to give up.
pub fn slow_reader(doors: &Doors, storm: &Storm, mut rng: Rng) {
    let paced = |(bytes, ms)| reach(storm, || Link::slow(doors, Pace { bytes, ms, storm: storm.clone() }));
    loop {
        let stops = rng.percent(30);
        let pace = if stops { (4 << 10, STREAM_IDLE_MS * 2) } else { (1 + rng.below(60_000), rng.below(60)) };
        let Some(link) = paced(pace) else { return };
        let mut link = Inlet::new(link);
        let plan =
            Plan { framed: rng.pick(&[Framed::Length, Framed::Chunked]), up: None, ..Plan::with(Act::Whole, &mut rng) };
        let plan = Plan { down: plan.down.max(if stops { 2_000_000 } else { 0 }), ..plan };
        // Others read the same answer as fast as it comes.
        let plan = if rng.percent(40) { Plan::large_and_popular(&mut rng) } else { plan };
        let asked = Asked::new(plan, &mut rng);
        if link.source.send(&asked.bytes).is_ok() {
            storm.count("slow readers");
            judge(&plan, Response::read(&mut link, "GET"), Excuse::Client, storm);
        }
    }
}

/// Says it all and closes its sending side: it is answered right, or not at all.
pub fn half_closer(doors: &Doors, storm: &Storm, mut rng: Rng) {
    while let Some(link) = reach(storm, || Link::open(doors, rng.percent(50))) {
        let mut link = Inlet::new(link);
        let asked = Asked::new(Plan::random(&mut rng), &mut rng);
        let _ = link.source.send(&asked.bytes);
        if rng.percent(50) {
            storm.pause(rng.below(20));
        }
        link.source.half_close(rng.percent(50));
        storm.count("half-closers");
        let method = if asked.plan.up.is_some() { "POST" } else { "GET" };
        judge(&asked.plan, Response::read(&mut link, method), Excuse::Client, storm);
    }
}
