//! What the control thread is told: plain data, owned, made on a worker for requests that are traced or logged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Asked, Context, Outcome, Role, SpanId};
use crate::fault::Fault;
use crate::http::{Method, Version};

/// One span, and for a request that is logged a line.
#[derive(Debug)]
pub enum Story {
    Request(Box<RequestStory>),
    Attempt(Box<AttemptStory>),
}

impl Story {
    /// How many spans it comes to.
    pub fn spans(&self) -> u64 {
        match self {
            Story::Attempt(_) => 1,
            Story::Request(story) if story.context.is_some_and(|context| context.is_sampled) => {
                1 + story.waits.len() as u64
            }
            Story::Request(_) => 0,
        }
    }

    pub fn is_logged(&self) -> bool {
        matches!(self, Story::Request(story) if story.is_logged)
    }
}

/// A request, from its whole head to the last byte of its answer. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Debug, Clone)]
pub struct RequestStory {
    /// Its SERVER span; sampled, or known only so that the line can name it.
    pub context: Option<Context>,
    pub parent: Option<SpanId>,
    pub is_logged: bool,
    pub method: Method,
    pub asked: Asked,
    pub version: Version,
    pub is_tls: bool,
    pub peer: SocketAddr,
    /// The first element of `X-Forwarded-For` is believed.
    pub trusts_forwarding: bool,
    pub route: Option<&'static str>,
    pub started_ns: u64,
    pub ended_ns: u64,
    /// Of the final head; 0: none went out.
    pub status: u16,
    pub fault: Option<Fault>,
    /// Time in the queue of `concurrency.limit`.
    pub queued: Duration,
    /// Its own exchange with the app, where it had one.
    pub upstream: Option<UpstreamTimes>,
    /// Times that it was sent once more.
    pub replays: u32,
    pub coalesced: Option<(Role, Outcome)>,
    /// As a follower.
    pub waits: Vec<Wait>,
}

/// When the request went to the app, and when the head of its answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimes {
    pub sent_ns: u64,
    pub head_ns: u64,
    pub is_reused: bool,
}

/// A wait for what somebody else's request brings.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub span: SpanId,
    pub from_ns: u64,
    pub to_ns: u64,
    /// `None`: it looked for another flight.
    pub outcome: Option<Outcome>,
    /// The CLIENT span of the flight, where it has one.
    pub exchange: Option<Context>,
}

/// One try to get an answer from the app.
#[derive(Debug)]
pub struct AttemptStory {
    /// Its CLIENT span.
    pub context: Context,
    pub parent: SpanId,
    /// `tracestate` as it goes on.
    pub state: Box<[u8]>,
    pub method: Method,
    /// As it was spelled, where it is none that we know.
    pub method_text: Box<[u8]>,
    /// Path and query.
    pub target: Box<[u8]>,
    pub route: Option<&'static str>,
    /// `host:port` of the app.
    pub upstream: Arc<str>,
    pub peer: Option<SocketAddr>,
    pub resends: u32,
    pub is_reused: bool,
    pub started_ns: u64,
    pub ended_ns: u64,
    /// Of the final head; 0: none came.
    pub head_ns: u64,
    pub status: u16,
    pub fault: Option<Fault>,
    /// It ended without an answer because nobody waited for one any more.
    pub is_cancelled: bool,
    /// Of the flight; `None`: nobody could share it.
    pub followers: Option<u32>,
}
