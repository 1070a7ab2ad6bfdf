//! What a duration is counted under: small values, packed into one word.

use crate::fault::{Fault, Kind};
use crate::http::Method;
use crate::timeouts::Timer;

/// A set of labels that fits the lower 56 bits of a word.
pub trait Key: Copy {
    fn pack(self) -> u64;

    /// Undoes [`Key::pack`].
    fn unpack(word: u64) -> Self;
}

/// What a client asked for, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKey {
    pub method: Method,
    pub is_tls: bool,
    /// Of the final answer; 0: none was begun.
    pub status: u16,
    /// `config::Pattern::number` of the route's path pattern; 0: it has none.
    pub route: u16,
    pub error: ErrorType,
}

/// What an upstream was asked for, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey {
    pub method: Method,
    /// Of the final answer; 0: no head came.
    pub status: u16,
    pub error: ErrorType,
    /// Its number among the upstreams of the settings: `Listening::upstream`.
    pub upstream: u16,
}

/// The value of `error.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorType {
    #[default]
    None,
    /// [`Fault::word`].
    Fault(Word),
    /// The status is the error: a 5xx of the app, and for a client a 4xx too.
    Status,
}

/// One of the words that faults have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(u8);

/// The words of kinds, then those of timers.
const WORDS: usize = Kind::COUNT + Timer::COUNT;

impl ErrorType {
    pub fn of(fault: Fault) -> ErrorType {
        ErrorType::Fault(match fault.kind {
            Kind::TimedOut(timer) | Kind::SendTimedOut(timer) => Word((Kind::COUNT + timer as usize) as u8),
            kind => Word(kind.index() as u8),
        })
    }

    fn pack(self) -> u64 {
        match self {
            ErrorType::None => 0,
            ErrorType::Status => 1,
            ErrorType::Fault(Word(at)) => u64::from(at) + 2,
        }
    }

    fn unpack(word: u64) -> ErrorType {
        match word {
            0 => ErrorType::None,
            1 => ErrorType::Status,
            at => ErrorType::Fault(Word((at - 2) as u8)),
        }
    }
}

impl Word {
    pub fn text(self) -> &'static str {
        let at = usize::from(self.0);
        debug_assert!(at < WORDS, "{at}");
        match at.checked_sub(Kind::COUNT) {
            None => Kind::LABELS[at],
            Some(timer) => Timer::ALL[timer].name(),
        }
    }
}

/// A status on the wire has three digits.
const STATUS_BITS: u32 = 10;
const METHOD_BITS: u32 = 4;
const ERROR_BITS: u32 = 8;

/// Fields from the lowest bits up.
struct Fields(u64);

impl Fields {
    fn take(&mut self, bits: u32) -> u64 {
        let field = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        field
    }

    fn take_method(&mut self) -> Method {
        Method::ALL[self.take(METHOD_BITS) as usize]
    }
}

fn status_bits(status: u16) -> u64 {
    debug_assert!(status < 1 << STATUS_BITS, "{status}");
    u64::from(status) & ((1 << STATUS_BITS) - 1)
}

impl Key for ServerKey {
    fn pack(self) -> u64 {
        let ServerKey { method, is_tls, status, route, error } = self;
        let word = u64::from(route);
        let word = word << STATUS_BITS | status_bits(status);
        let word = word << ERROR_BITS | error.pack();
        let word = word << METHOD_BITS | method as u64;
        word << 1 | u64::from(is_tls)
    }

    fn unpack(word: u64) -> ServerKey {
        let mut fields = Fields(word);
        ServerKey {
            is_tls: fields.take(1) == 1,
            method: fields.take_method(),
            error: ErrorType::unpack(fields.take(ERROR_BITS)),
            status: fields.take(STATUS_BITS) as u16,
            route: fields.take(u16::BITS) as u16,
        }
    }
}

impl Key for ClientKey {
    fn pack(self) -> u64 {
        let ClientKey { method, status, error, upstream } = self;
        let word = u64::from(upstream);
        let word = word << STATUS_BITS | status_bits(status);
        let word = word << ERROR_BITS | error.pack();
        word << METHOD_BITS | method as u64
    }

    fn unpack(word: u64) -> ClientKey {
        let mut fields = Fields(word);
        ClientKey {
            method: fields.take_method(),
            error: ErrorType::unpack(fields.take(ERROR_BITS)),
            status: fields.take(STATUS_BITS) as u16,
            upstream: fields.take(u16::BITS) as u16,
        }
    }
}
