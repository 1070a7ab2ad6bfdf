//! What a request asks of the app, written in its target, so that the app needs no memory and an answer can be judged by its request alone.

use std::sync::OnceLock;

use slipstream_tests::Rng;

/// What the app does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Answers right.
    Whole,
    /// Answers right, in pieces with pauses.
    Slow,
    /// Answers right before it has read the request's body.
    Early,
    /// Closes inside the body.
    Cut,
    /// Resets inside the body.
    Reset,
    /// Stops inside the body, and says no more.
    Stall,
    /// Closes where an answer should be.
    Refuse,
    /// Sends what is no answer.
    Garbage,
    /// Never answers.
    Silent,
}

impl Act {
    pub const ALL: [Act; 9] =
        [Act::Whole, Act::Slow, Act::Early, Act::Cut, Act::Reset, Act::Stall, Act::Refuse, Act::Garbage, Act::Silent];

    pub fn name(self) -> &'static str {
        match self {
            Act::Whole => "whole",
            Act::Slow => "slow",
            Act::Early => "early",
            Act::Cut => "cut",
            Act::Reset => "reset",
            Act::Stall => "stall",
            Act::Refuse => "refuse",
            Act::Garbage => "garbage",
            Act::Silent => "silent",
        }
    }
}

/// How a body's end is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    Length,
    Chunked,
    /// By the end of the connection; of answers only.
    Close,
}

impl Framed {
    const ALL: [Framed; 3] = [Framed::Length, Framed::Chunked, Framed::Close];

    fn name(self) -> &'static str {
        match self {
            Framed::Length => "length",
            Framed::Chunked => "chunked",
            Framed::Close => "close",
        }
    }
}

/// One request and the one right answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub act: Act,
    /// How the answer is framed, and the bytes of its body.
    pub framed: Framed,
    pub down: usize,
    /// The bytes of the request's body; `None`: it is a GET.
    pub up: Option<usize>,
    /// What no other request has, but one that is equal: the bodies are made from it.
    pub tag: u64,
}

/// So many plans of each act are asked for again and again.
const POPULAR: usize = 10;

/// More than the proxy reads of an answer ahead of who reads it.
const LARGE_BYTES: usize = 1_500_000;

impl Plan {
    /// Mostly one that is answered right; the rest is shared by what may befall an answer. A third are GETs that others send too.
    pub fn random(rng: &mut Rng) -> Plan {
        let act = match rng.below(100) {
            0..=85 => Act::Whole,
            86..=91 => Act::Slow,
            _ => rng.pick(&Act::ALL[2..]),
        };
        if rng.percent(33) { Plan::popular(act, rng) } else { Plan::with(act, rng) }
    }

    fn popular(act: Act, rng: &mut Rng) -> Plan {
        if act == Act::Slow && rng.percent(30) {
            return Plan::large_and_popular(rng);
        }
        let mut same = Rng::of_case(act as u64, rng.below(POPULAR) as u64);
        Plan { up: None, ..Plan::with(act, &mut same) }
    }

    /// One of two large ones that are answered right, if they are answered; others ask for them too.
    pub fn large_and_popular(rng: &mut Rng) -> Plan {
        let framed = rng.pick(&[Framed::Length, Framed::Chunked]);
        Plan { act: Act::Slow, framed, down: LARGE_BYTES, up: None, tag: 1 }
    }

    /// Its answer is for one client: it may be given to no other, whoever asks the same.
    pub fn is_for_one(&self) -> bool {
        self.tag.is_multiple_of(5)
    }

    /// One that is answered right, if it is answered.
    pub fn harmless(rng: &mut Rng) -> Plan {
        Plan::with(Act::Whole, rng)
    }

    pub fn with(act: Act, rng: &mut Rng) -> Plan {
        let is_broken = matches!(act, Act::Cut | Act::Reset | Act::Stall);
        let framed = match act {
            // The end of the connection would be the end of the body.
            Act::Cut => rng.pick(&Framed::ALL[..2]),
            _ => rng.pick(&Framed::ALL),
        };
        let up = rng.percent(30).then(|| size(rng));
        Plan { act, framed, down: size(rng) + usize::from(is_broken), up, tag: rng.number() }
    }

    pub fn target(&self) -> String {
        let up = self.up.map_or("none".into(), |bytes| bytes.to_string());
        format!("/{}/{}/{}/{up}/{}", self.act.name(), self.framed.name(), self.down, self.tag)
    }

    /// The plan of a target; `None` where it has none, as garbage has.
    pub fn read(target: &str) -> Option<Plan> {
        let parts: Vec<&str> = target.strip_prefix('/')?.split('/').collect();
        let [act, framed, down, up, tag] = parts[..] else { return None };
        Some(Plan {
            act: Act::ALL.into_iter().find(|have| have.name() == act)?,
            framed: Framed::ALL.into_iter().find(|have| have.name() == framed)?,
            down: down.parse().ok().filter(|&bytes| bytes <= BODY_BYTES_MAX)?,
            up: match up {
                "none" => None,
                bytes => Some(bytes.parse().ok().filter(|&bytes| bytes <= BODY_BYTES_MAX)?),
            },
            tag: tag.parse().ok()?,
        })
    }

    pub fn answer_body(&self) -> &'static [u8] {
        body(self.tag, self.down)
    }

    pub fn request_body(&self) -> &'static [u8] {
        body(self.tag.rotate_left(32), self.up.unwrap_or(0))
    }
}

/// Around the sizes at which the proxy changes its buffers, and some MB now and then.
fn size(rng: &mut Rng) -> usize {
    match rng.below(40) {
        0..=3 => rng.below(3),
        4..=21 => rng.below(4_000),
        22..=31 => rng.below(40_000),
        32..=38 => rng.below(300_000),
        _ => rng.below(BODY_BYTES_MAX),
    }
}

const BODY_BYTES_MAX: usize = 3_000_000;

/// `bytes` of a body that is another for each tag: a piece of one long noise.
fn body(tag: u64, bytes: usize) -> &'static [u8] {
    const STARTS: usize = 1_000_003;
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = Rng::of_case(0, 0);
        (0..(STARTS + BODY_BYTES_MAX).div_ceil(8)).flat_map(|_| rng.number().to_le_bytes()).collect()
    });
    &noise[(tag % STARTS as u64) as usize..][..bytes]
}
