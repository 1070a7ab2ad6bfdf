//! The timers: one name for each wait, the same in status, `Proxy-Status`, log and metric.

/// Which wait ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    Connect,
    TlsHandshake,
    RequestHeaders,
    RequestBodyIdle,
    Queue,
    ResponseHeaders,
    Request,
    StreamIdle,
    ConnectionIdle,
    MaxConnectionAge,
}

impl Timer {
    pub const ALL: [Timer; 10] = [
        Timer::Connect,
        Timer::TlsHandshake,
        Timer::RequestHeaders,
        Timer::RequestBodyIdle,
        Timer::Queue,
        Timer::ResponseHeaders,
        Timer::Request,
        Timer::StreamIdle,
        Timer::ConnectionIdle,
        Timer::MaxConnectionAge,
    ];
    pub const COUNT: usize = Self::ALL.len();

    /// The name users know, from the policy field.
    pub fn name(self) -> &'static str {
        match self {
            Timer::Connect => "connect",
            Timer::TlsHandshake => "tlsHandshake",
            Timer::RequestHeaders => "requestHeaders",
            Timer::RequestBodyIdle => "requestBodyIdle",
            Timer::Queue => "queue",
            Timer::ResponseHeaders => "responseHeaders",
            Timer::Request => "request",
            Timer::StreamIdle => "streamIdle",
            Timer::ConnectionIdle => "connectionIdle",
            Timer::MaxConnectionAge => "maxConnectionAge",
        }
    }
}
