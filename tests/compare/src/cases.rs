//! What is measured: each case names its load, its contestants, its leading figure and its goals.

use std::time::Duration;

use crate::contestants::Contestant::{
    self, Direct, Envoy, EnvoyAll, EnvoySome, Epoll, EpollAll, EpollOff, EpollSome, Floor, Haproxy, IoUring, Nginx,
    Varnish,
};
use crate::contestants::Setup;
use crate::load::{Pace, Transfers};
use Bound::{AtLeast, AtMost};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// Kept connections, 1 KiB answers, plain
    H1,
    /// The same over TLS 1.3
    Tls,
    /// A new connection for each request, plain
    Connect,
    /// A new connection and a full TLS handshake for each request
    Handshake,
    Body64k,
    Body1m,
    TlsBody64k,
    TlsBody1m,
    /// 2,000 requests a second whatever the answers do, latency from when each is due
    Pace,
    TlsPace,
    /// p99 of 500 requests a second beside four transfers without pause, and without them
    Beside,
    /// Memory of 5,000 idle connections, plain and over TLS; wake-ups of 100 parked ones
    Idle,
    /// 1,000 identical GETs at once, a connection each, to an app that takes 200 ms
    Herd,
    /// Pipelined load: 64 identical GETs in one write on each of 64 connections, again and again
    Pipelined,
    /// GETs that never repeat, coalescing on and off
    Unique,
    /// The same with two workers, so that they look for each other's flights
    UniqueTwo,
    /// Tracing off, of one request in a hundred, of all
    Traced,
}

/// The load of a case.
pub struct Shape {
    pub title: &'static str,
    pub over_tls: bool,
    pub body_bytes: u64,
    pub connections: usize,
    pub pace: Pace,
}

const KIB: u64 = 1024;
/// Kept connections of the main cases.
const CONNECTIONS: usize = 64;
/// New connections at a time, and kept ones for bodies: as in the first measurements of the peers.
const CONNECTIONS_FEW: usize = 16;
const CONNECTIONS_IDLE: usize = 5000;
/// Open files that the case `idle` needs in one process: what HAProxy wants for its maxconn; the floor's two a connection are fewer.
const DESCRIPTORS_IDLE: u64 = 12_100;
const REQUESTS_A_SECOND: u32 = 2000;
const REQUESTS_A_SECOND_BESIDE: u32 = 500;
const TRANSFERS: Transfers = Transfers { connections: 4, body_bytes: 1_000_000_000 };
const HERD_CONNECTIONS: usize = 1000;
/// Open files that a process of the case `herd` may need: a connection each way where nothing is shared, and what a peer keeps aside.
const DESCRIPTORS_HERD: u64 = 2500;
const HERD_DELAY: Duration = Duration::from_millis(200);
/// In each sample, after one that warms up.
const HERDS: u32 = 5;
/// What one connection sends at a time: as many as one flight takes of a connection.
const PIPELINE_DEPTH: usize = 64;

impl Case {
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }

    pub fn shape(self) -> Shape {
        let paced = Pace::Open { requests_a_second: REQUESTS_A_SECOND, transfers: Transfers::NONE };
        let beside = Pace::Open { requests_a_second: REQUESTS_A_SECOND_BESIDE, transfers: TRANSFERS };
        let unique = "GETs that never repeat, coalescing on and off; HTTP/1.1 keep-alive, 1 KiB, 64 connections";
        let unique_two = "the same with two workers, on two cores";
        let (title, over_tls, body_bytes, connections, pace) = match self {
            Self::H1 => ("HTTP/1.1 keep-alive, 1 KiB, 64 connections", false, KIB, CONNECTIONS, Pace::Closed),
            Self::Tls => ("TLS 1.3 keep-alive, 1 KiB, 64 connections", true, KIB, CONNECTIONS, Pace::Closed),
            Self::Connect => {
                ("a new connection for each request, 16 at a time", false, KIB, CONNECTIONS_FEW, Pace::NewConnections)
            }
            Self::Handshake => (
                "a new TLS 1.3 connection for each request, 16 at a time",
                true,
                KIB,
                CONNECTIONS_FEW,
                Pace::NewConnections,
            ),
            Self::Body64k => ("64 KiB answers, 16 connections", false, 64 * KIB, CONNECTIONS_FEW, Pace::Closed),
            Self::Body1m => ("1 MiB answers, 16 connections", false, KIB * KIB, CONNECTIONS_FEW, Pace::Closed),
            Self::TlsBody64k => {
                ("64 KiB answers, TLS 1.3, 16 connections", true, 64 * KIB, CONNECTIONS_FEW, Pace::Closed)
            }
            Self::TlsBody1m => {
                ("1 MiB answers, TLS 1.3, 16 connections", true, KIB * KIB, CONNECTIONS_FEW, Pace::Closed)
            }
            Self::Pace => ("2,000 requests a second, open loop, 64 connections", false, KIB, CONNECTIONS, paced),
            Self::TlsPace => {
                ("2,000 requests a second, open loop, TLS 1.3, 64 connections", true, KIB, CONNECTIONS, paced)
            }
            Self::Beside => (
                "500 requests a second, open loop, beside four transfers of 1 GB one after another, and without them",
                false,
                KIB,
                CONNECTIONS,
                beside,
            ),
            Self::Idle => (
                "5,000 idle connections, plain and TLS 1.3; 100 parked ones for 10 s",
                false,
                KIB,
                CONNECTIONS_IDLE,
                Pace::Idle,
            ),
            Self::Herd => (
                "1,000 identical GETs at once, a connection each, app answers in 200 ms, two workers",
                false,
                KIB,
                HERD_CONNECTIONS,
                Pace::Herd { delay: HERD_DELAY, herds: HERDS },
            ),
            Self::Pipelined => (
                "pipelined load: 64 identical GETs in one write, 1 KiB, 64 connections",
                false,
                KIB,
                CONNECTIONS,
                Pace::Pipelined { depth: PIPELINE_DEPTH },
            ),
            Self::Unique => (unique, false, KIB, CONNECTIONS, Pace::Closed),
            Self::UniqueTwo => (unique_two, false, KIB, CONNECTIONS, Pace::Closed),
            Self::Traced => (
                "tracing off, 1 %, 100 %, over OTLP/HTTP; HTTP/1.1 keep-alive, 1 KiB, 64 connections",
                false,
                KIB,
                CONNECTIONS,
                Pace::Closed,
            ),
        };
        Shape { title, over_tls, body_bytes, connections, pace }
    }

    /// How its contestants are set up.
    pub fn setup(self) -> Setup {
        let alone = Setup { workers: 1, shares: false, traces: false };
        match self {
            Self::Herd => Setup { workers: 2, shares: true, ..alone },
            Self::UniqueTwo => Setup { workers: 2, ..alone },
            Self::Traced => Setup { traces: true, ..alone },
            _ => alone,
        }
    }

    /// Whether its contestants run beside each other, and one works while the others sleep.
    pub fn takes_turns(self) -> bool {
        matches!(self, Self::Unique | Self::UniqueTwo | Self::Traced)
    }

    /// Not where a request is no unit: in silence, beside transfers, and where most of them wait.
    pub fn counts_syscalls(self) -> bool {
        !matches!(self, Self::Beside | Self::Idle | Self::Herd)
    }

    /// Open files that a process of this case may need.
    pub fn descriptors(self) -> u64 {
        match self {
            Self::Idle => DESCRIPTORS_IDLE,
            Self::Herd => DESCRIPTORS_HERD,
            _ => 0,
        }
    }

    pub fn contestants(self) -> &'static [Contestant] {
        match self {
            Self::Handshake => &[Epoll, IoUring, Nginx, Haproxy, Envoy, Floor],
            // The origin speaks no TLS, so there is no direct way in the cases over TLS.
            Self::Pace | Self::Beside => &[Epoll, IoUring, Nginx, Haproxy, Floor, Direct],
            Self::Herd => &[Epoll, IoUring, Nginx, Varnish, Direct],
            Self::Pipelined => &[Epoll, IoUring, Nginx],
            Self::Unique | Self::UniqueTwo => &[Epoll, EpollOff],
            Self::Traced => &[Epoll, EpollSome, EpollAll, Envoy, EnvoySome, EnvoyAll],
            _ => &[Epoll, IoUring, Nginx, Haproxy, Floor],
        }
    }

    /// The figure that comes first in the table and that the goals speak of.
    pub fn lead(self) -> &'static str {
        match self {
            Self::H1 | Self::Tls | Self::Connect | Self::Handshake | Self::Unique | Self::UniqueTwo | Self::Traced => {
                CPU_PER_REQUEST
            }
            Self::Body64k | Self::Body1m | Self::TlsBody64k | Self::TlsBody1m => CPU_PER_KIB,
            Self::Pace | Self::TlsPace => P50,
            Self::Beside => P99_ADDED,
            Self::Idle => RSS_PLAIN,
            Self::Herd => HERD_UPSTREAM,
            Self::Pipelined => CPU_PER_ANSWER,
        }
    }

    /// What Slipstream must reach in this case; `Bound::None` where a comparison has no goal.
    pub fn goals(self) -> Vec<Goal> {
        let lead = self.lead();
        let goal = |figure, compared, bound| Goal { figure, compared, bound, driver: None };
        let to = |under, bound| goal(lead, Compared::Ratio(under), bound);
        let peers = |bound| to(&[Nginx, Haproxy][..], bound);
        let floor = |bound| to(&[Floor][..], bound);
        let itself = |figure, at_most| goal(figure, Compared::Itself, AtMost(at_most));
        let ring = Goal { driver: Some(IoUring), ..goal("syscalls/request", Compared::Syscalls, AtMost(0.3)) };
        match self {
            Self::H1 => vec![peers(AtMost(0.75)), floor(AtMost(1.15)), to(&[Epoll], AtMost(1.0)), ring],
            Self::Tls => vec![peers(AtMost(0.70)), floor(AtMost(1.15)), to(&[Epoll], AtMost(1.0)), ring],
            Self::Handshake => vec![to(&[Envoy], AtMost(1.0)), peers(Bound::None), floor(Bound::None)],
            Self::Connect | Self::Body64k | Self::Body1m | Self::TlsBody64k | Self::TlsBody1m => {
                vec![peers(Bound::None), floor(Bound::None)]
            }
            Self::Pace | Self::TlsPace => vec![goal(lead, Compared::Above(Floor), AtMost(15.0))],
            Self::Beside => vec![itself(P99_ADDED, 2000.0)],
            Self::Idle => {
                vec![itself(RSS_PLAIN, 1.0), itself(RSS_TLS, 8.0), itself(RSS_BEFORE, 8.0), itself(SWITCHES, 0.0)]
            }
            Self::Herd => vec![
                itself(HERD_UPSTREAM_MOST, 1.0),
                goal(HERD_P99, Compared::Above(Direct), AtMost(10.0)),
                goal(HERD_WHOLE, Compared::Ratio(&[Nginx]), AtMost(1.0)),
                goal(HERD_WHOLE, Compared::Ratio(&[Varnish]), AtMost(1.0)),
            ],
            Self::Pipelined => vec![
                Goal { driver: Some(Epoll), ..goal(ANSWERS_A_CORE, Compared::Itself, AtLeast(1e6)) },
                to(&[Nginx], Bound::None),
            ],
            Self::Unique | Self::UniqueTwo => vec![to(&[EpollOff], AtMost(1.01))],
            Self::Traced => {
                let some = Goal { driver: Some(EpollSome), ..to(&[Epoll], AtMost(1.02)) };
                let all = goal(CPU_ADDED, Compared::Ratio(&[EnvoyAll]), AtMost(1.0));
                vec![some, Goal { driver: Some(EpollAll), ..all }]
            }
        }
    }
}

pub const CPU_PER_REQUEST: &str = "CPU µs/request";
pub const CPU_PER_KIB: &str = "CPU ns/KiB";
pub const CPU_ADDED: &str = "added CPU µs/request";
pub const P50: &str = "p50 µs";
pub const P99: &str = "p99 µs";
pub const P50_ADDED: &str = "added p50 µs";
pub const P90: &str = "p90 µs";
pub const P99_ADDED: &str = "added p99 µs";
pub const RSS_PLAIN: &str = "RSS KiB/connection, plain";
pub const RSS_TLS: &str = "RSS KiB/connection, TLS";
pub const SWITCHES: &str = "switches of workers, 100 parked, 10 s";
pub const RSS_BEFORE: &str = "RSS before MiB";

/// Requests that the app saw of one herd, and of the worst one in a sample.
pub const HERD_UPSTREAM: &str = "upstream/herd";
pub const HERD_UPSTREAM_MOST: &str = "upstream/herd, most";
pub const HERD_WHOLE: &str = "whole herd ms";
pub const HERD_P99: &str = "p99 ms";
pub const CPU_PER_ANSWER: &str = "CPU µs/answer";
pub const ANSWERS_A_CORE: &str = "answers/s and core";

/// A goal for Slipstream's drivers.
#[derive(Clone, Copy)]
pub struct Goal {
    pub figure: &'static str,
    pub compared: Compared,
    pub bound: Bound,
    /// `None`: for each that took part.
    pub driver: Option<Contestant>,
}

/// With what Slipstream's figure is compared, round by round.
#[derive(Clone, Copy)]
pub enum Compared {
    /// Divided by the least of theirs.
    Ratio(&'static [Contestant]),
    /// Less theirs.
    Above(Contestant),
    /// With the goal alone.
    Itself,
    /// System calls for a request, counted in one pass, with the goal alone.
    Syscalls,
}

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    None,
}
