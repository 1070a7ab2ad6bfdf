//! Faults: every way a request can fail, and the one table that says what the client, the log and the metric see of it.

use crate::timeouts::Timer;

/// What went wrong, on which side is part of the name. `detail` is for people: it says what was seen and, where known, the rule it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub detail: &'static str,
}

/// The kinds of [`Fault`]. Order is that of the metric's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A malformed request, or one that two parsers could read differently.
    Malformed,
    /// The request line is over the limit.
    TargetTooLong,
    /// The head is over the limit, in bytes or fields.
    HeadTooLarge,
    /// The request body is over the limit.
    BodyTooLarge,
    /// An expectation other than 100-continue.
    ExpectationFailed,
    /// A transfer coding or a method that a gateway does not carry (CONNECT).
    NotImplemented,
    /// An HTTP version other than 1.0 and 1.1.
    VersionNotSupported,
    /// The client left, or broke off in its body.
    ClientGone,
    /// The app refused the connection, or could not be reached.
    ConnectFailed,
    /// The app closed or reset before the head of its answer.
    UpstreamClosed,
    /// The app sent what is no HTTP/1.x response, or one that two parsers could read differently.
    UpstreamGarbage,
    /// The app broke off inside the body of its answer; the client's connection is broken off too.
    UpstreamBrokenOff,
    /// A timer ran out.
    TimedOut(Timer),
    /// The same, while the app did not take its request.
    SendTimedOut(Timer),
    /// A file descriptor, a port or memory could not be had.
    Resources,
    /// The worker of this request panicked in it.
    Internal,
    /// As many requests are in flight as `concurrency.limit` allows, and no more may wait.
    OverLimit,
    /// The process holds as much memory as it may.
    OverMemory,
}

impl Kind {
    /// How many series the metric has: one for each kind, timers counted once here and by name in their own metric.
    pub const COUNT: usize = 17;

    /// Position in the metric's array, and the label's value.
    pub fn index(self) -> usize {
        match self {
            Kind::Malformed => 0,
            Kind::TargetTooLong => 1,
            Kind::HeadTooLarge => 2,
            Kind::BodyTooLarge => 3,
            Kind::ExpectationFailed => 4,
            Kind::NotImplemented => 5,
            Kind::VersionNotSupported => 6,
            Kind::ClientGone => 7,
            Kind::ConnectFailed => 8,
            Kind::UpstreamClosed => 9,
            Kind::UpstreamGarbage => 10,
            Kind::UpstreamBrokenOff => 11,
            Kind::TimedOut(_) | Kind::SendTimedOut(_) => 12,
            Kind::Resources => 13,
            Kind::Internal => 14,
            Kind::OverLimit => 15,
            Kind::OverMemory => 16,
        }
    }

    /// Label values in the order of [`Kind::index`].
    pub const LABELS: [&'static str; Kind::COUNT] = [
        "malformed",
        "target_too_long",
        "head_too_large",
        "body_too_large",
        "expectation_failed",
        "not_implemented",
        "version_not_supported",
        "client_gone",
        "connect_failed",
        "upstream_closed",
        "upstream_garbage",
        "upstream_broken_off",
        "timed_out",
        "resources",
        "internal",
        "limit",
        "memory",
    ];
}

/// Why a request is refused that nothing is wrong with. Order is that of the metric's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The limit of requests in flight is reached and the queue is full.
    Limit,
    /// It waited in the queue for as long as a request may.
    Queue,
    /// There is no memory for it.
    Memory,
}

impl Shed {
    /// Label values in the order of the kinds.
    pub const LABELS: [&'static str; 3] = ["limit", "queue", "memory"];

    pub fn label(self) -> &'static str {
        Shed::LABELS[self as usize]
    }
}

impl Fault {
    /// What the client gets, while nothing of an answer has been sent; later its connection is broken off.
    pub fn status(&self) -> u16 {
        match self.kind {
            Kind::Malformed | Kind::ClientGone => 400,
            Kind::TargetTooLong => 414,
            Kind::HeadTooLarge => 431,
            Kind::BodyTooLarge => 413,
            Kind::ExpectationFailed => 417,
            Kind::NotImplemented => 501,
            Kind::VersionNotSupported => 505,
            Kind::ConnectFailed | Kind::UpstreamClosed | Kind::UpstreamGarbage | Kind::UpstreamBrokenOff => 502,
            Kind::TimedOut(timer) | Kind::SendTimedOut(timer) => match timer {
                Timer::RequestHeaders | Timer::RequestBodyIdle | Timer::TlsHandshake | Timer::ConnectionIdle => 408,
                Timer::Queue => 503,
                Timer::Connect
                | Timer::ResponseHeaders
                | Timer::Request
                | Timer::StreamIdle
                | Timer::MaxConnectionAge => 504,
            },
            Kind::Resources | Kind::OverLimit | Kind::OverMemory => 503,
            Kind::Internal => 500,
        }
    }

    /// The registered error type for `Proxy-Status` (RFC 9209 section 2.3).
    pub fn proxy_status_error(&self) -> &'static str {
        match self.kind {
            Kind::Malformed
            | Kind::ClientGone
            | Kind::TargetTooLong
            | Kind::HeadTooLarge
            | Kind::BodyTooLarge
            | Kind::ExpectationFailed
            | Kind::NotImplemented
            | Kind::VersionNotSupported => "http_request_error",
            Kind::ConnectFailed => "connection_refused",
            Kind::UpstreamClosed | Kind::UpstreamBrokenOff => "connection_terminated",
            Kind::UpstreamGarbage => "http_protocol_error",
            Kind::SendTimedOut(Timer::StreamIdle) => "connection_write_timeout",
            Kind::TimedOut(timer) | Kind::SendTimedOut(timer) => match timer {
                Timer::RequestHeaders | Timer::RequestBodyIdle | Timer::TlsHandshake => "http_request_error",
                Timer::Connect => "connection_timeout",
                Timer::ResponseHeaders | Timer::Request => "http_response_timeout",
                Timer::StreamIdle => "connection_read_timeout",
                Timer::Queue => "connection_limit_reached",
                Timer::ConnectionIdle | Timer::MaxConnectionAge => "connection_terminated",
            },
            Kind::Resources | Kind::OverLimit | Kind::OverMemory => "connection_limit_reached",
            Kind::Internal => "proxy_internal_error",
        }
    }

    /// Our word for it: the timer's name, or the metric's label.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::TimedOut(timer) | Kind::SendTimedOut(timer) => timer.name(),
            kind => Kind::LABELS[kind.index()],
        }
    }

    /// Why the request was shed, if it was: there was too much, and it may be tried again.
    pub fn shed(&self) -> Option<Shed> {
        match self.kind {
            Kind::OverLimit => Some(Shed::Limit),
            Kind::OverMemory => Some(Shed::Memory),
            Kind::TimedOut(Timer::Queue) => Some(Shed::Queue),
            _ => None,
        }
    }

    /// Whose doing it is: a client's fault ends its connection, because what follows on it cannot be trusted.
    pub fn ends_downstream(&self) -> bool {
        match self.kind {
            Kind::Malformed
            | Kind::ClientGone
            | Kind::TargetTooLong
            | Kind::HeadTooLarge
            | Kind::BodyTooLarge
            | Kind::ExpectationFailed
            | Kind::NotImplemented
            | Kind::VersionNotSupported
            | Kind::UpstreamBrokenOff
            | Kind::OverMemory
            | Kind::Internal => true,
            Kind::TimedOut(timer) | Kind::SendTimedOut(timer) => matches!(
                timer,
                Timer::RequestHeaders | Timer::RequestBodyIdle | Timer::TlsHandshake | Timer::ConnectionIdle
            ),
            Kind::ConnectFailed | Kind::UpstreamClosed | Kind::UpstreamGarbage | Kind::Resources | Kind::OverLimit => {
                false
            }
        }
    }
}
