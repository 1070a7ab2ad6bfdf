//! What is measured: each case names its load, its contestants, its leading figure and its goals.

use crate::contestants::Contestant::{self, Direct, Envoy, Epoll, Floor, Haproxy, IoUring, Nginx};
use crate::load::{Pace, Transfers};

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

impl Case {
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }

    pub fn shape(self) -> Shape {
        let paced = Pace::Open { requests_a_second: REQUESTS_A_SECOND, transfers: Transfers::NONE };
        let beside = Pace::Open { requests_a_second: REQUESTS_A_SECOND_BESIDE, transfers: TRANSFERS };
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
        };
        Shape { title, over_tls, body_bytes, connections, pace }
    }

    /// Not where a request is no unit: in silence, and beside transfers.
    pub fn counts_syscalls(self) -> bool {
        !matches!(self, Self::Beside | Self::Idle)
    }

    /// Open files that a process of this case may need.
    pub fn descriptors(self) -> u64 {
        if self == Self::Idle { DESCRIPTORS_IDLE } else { 0 }
    }

    pub fn contestants(self) -> &'static [Contestant] {
        match self {
            Self::Handshake => &[Epoll, IoUring, Nginx, Haproxy, Envoy, Floor],
            // The origin speaks no TLS, so there is no direct way in the cases over TLS.
            Self::Pace | Self::Beside => &[Epoll, IoUring, Nginx, Haproxy, Floor, Direct],
            _ => &[Epoll, IoUring, Nginx, Haproxy, Floor],
        }
    }

    /// The figure that comes first in the table and that the goals speak of.
    pub fn lead(self) -> &'static str {
        match self {
            Self::H1 | Self::Tls | Self::Connect | Self::Handshake => CPU_PER_REQUEST,
            Self::Body64k | Self::Body1m | Self::TlsBody64k | Self::TlsBody1m => CPU_PER_KIB,
            Self::Pace | Self::TlsPace => P50,
            Self::Beside => P99_ADDED,
            Self::Idle => RSS_PLAIN,
        }
    }

    /// What Slipstream must reach in this case; `None` where a comparison has no goal.
    pub fn goals(self) -> Vec<Goal> {
        let to = |under, at_most| Goal { compared: Compared::Ratio(under), at_most };
        let peers = |at_most| to(&[Nginx, Haproxy][..], at_most);
        let floor = |at_most| to(&[Floor][..], at_most);
        let itself = |figure, at_most| Goal { compared: Compared::Itself(figure), at_most: Some(at_most) };
        let ring = Goal { compared: Compared::RingSyscalls, at_most: Some(0.3) };
        match self {
            Self::H1 => vec![peers(Some(0.75)), floor(Some(1.15)), to(&[Epoll], Some(1.0)), ring],
            Self::Tls => vec![peers(Some(0.70)), floor(Some(1.15)), to(&[Epoll], Some(1.0)), ring],
            Self::Handshake => vec![to(&[Envoy], Some(1.0)), peers(None), floor(None)],
            Self::Connect | Self::Body64k | Self::Body1m | Self::TlsBody64k | Self::TlsBody1m => {
                vec![peers(None), floor(None)]
            }
            Self::Pace | Self::TlsPace => vec![Goal { compared: Compared::Above(Floor), at_most: Some(15.0) }],
            Self::Beside => vec![itself(P99_ADDED, 2000.0)],
            Self::Idle => {
                vec![itself(RSS_PLAIN, 1.0), itself(RSS_TLS, 8.0), itself(RSS_BEFORE, 8.0), itself(SWITCHES, 0.0)]
            }
        }
    }
}

pub const CPU_PER_REQUEST: &str = "CPU µs/request";
pub const CPU_PER_KIB: &str = "CPU ns/KiB";
pub const P50: &str = "p50 µs";
pub const P99: &str = "p99 µs";
pub const P50_ADDED: &str = "added p50 µs";
pub const P90: &str = "p90 µs";
pub const P99_ADDED: &str = "added p99 µs";
pub const RSS_PLAIN: &str = "RSS KiB/connection, plain";
pub const RSS_TLS: &str = "RSS KiB/connection, TLS";
pub const SWITCHES: &str = "switches of workers, 100 parked, 10 s";
pub const RSS_BEFORE: &str = "RSS before MiB";

/// A goal for one of Slipstream's drivers.
#[derive(Clone, Copy)]
pub struct Goal {
    pub compared: Compared,
    pub at_most: Option<f64>,
}

/// With what Slipstream's figure is compared, round by round.
#[derive(Clone, Copy)]
pub enum Compared {
    /// Its lead divided by the least of theirs.
    Ratio(&'static [Contestant]),
    /// Its lead minus theirs.
    Above(Contestant),
    /// System calls for a request under io_uring.
    RingSyscalls,
    /// A figure of its own.
    Itself(&'static str),
}
