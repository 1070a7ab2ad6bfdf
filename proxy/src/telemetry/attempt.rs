//! One try to get an answer from the app: a CLIENT span, and a value in the histogram of those, by drop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::durations::{ClientKey, ErrorType};
use super::trace::{Context, Lines};
use super::{AttemptStory, Record, SpanId, Story, Telling};
use crate::buf::Buf;
use crate::fault::{Fault, Kind};
use crate::http::Method;
use crate::io::exact_ns;

/// What the attempts of one request have in common. It travels with what is sent.
#[derive(Debug)]
pub(crate) struct Origin {
    telling: Rc<Telling>,
    method: Method,
    upstream: Rc<UpstreamName>,
    attempts: u32,
    /// When heads come is told of.
    is_told: bool,
    /// `None`: its attempts are not traced.
    traced: Option<Box<Traced>>,
}

/// Whom an attempt asks, as it is told of.
#[derive(Debug)]
pub(crate) struct UpstreamName {
    /// Position among the upstreams of this process.
    pub number: u16,
    /// `host:port`
    pub authority: Arc<str>,
    /// Where that is, if it is one place.
    pub peer: Option<SocketAddr>,
}

/// What is told of attempts.
#[derive(Debug)]
struct Traced {
    /// The next attempt's.
    next: Context,
    /// The SERVER span.
    parent: SpanId,
    state: Box<[u8]>,
    method_text: Box<[u8]>,
    target: Box<[u8]>,
    route: Option<&'static str>,
    /// Where in what is sent the span's digits are.
    places: [u32; 3],
    places_len: usize,
}

/// Of a sampled request.
pub(crate) struct About {
    pub parent: SpanId,
    pub state: Box<[u8]>,
    pub method_text: Box<[u8]>,
    pub target: Box<[u8]>,
    pub route: Option<&'static str>,
}

impl Origin {
    pub fn new(telling: &Rc<Telling>, method: Method, upstream: &Rc<UpstreamName>, record: &Record<'_>) -> Origin {
        let traced = record.onward().zip(record.about()).map(|(onward, about)| {
            let About { parent, state, method_text, target, route } = about;
            Box::new(Traced {
                next: onward.context,
                parent,
                state,
                method_text,
                target,
                route,
                places: [0; 3],
                places_len: 0,
            })
        });
        let (telling, upstream, is_told) = (telling.clone(), upstream.clone(), record.is_told());
        Origin { telling, method, upstream, attempts: 0, is_told, traced }
    }

    /// What is sent has `lines` at this place.
    pub fn placed(&mut self, lines: &Lines, at: usize) {
        if let Some(traced) = &mut self.traced {
            traced.places_len = 0;
            for span in lines.spans() {
                traced.places[traced.places_len] = (at + span) as u32;
                traced.places_len += 1;
            }
        }
    }

    /// Begins the next attempt, by `out`; each is a span of its own, and tells the app so.
    pub fn begin(&mut self, out: &mut Buf) -> Attempt {
        let resends = self.attempts;
        self.attempts += 1;
        let story = self.traced.as_mut().map(|traced| {
            if resends > 0 {
                traced.next.span = self.telling.ids.span();
                let digits = traced.next.span.hex();
                for at in &traced.places[..traced.places_len] {
                    if let Some(place) = out.filled_mut().get_mut(*at as usize..*at as usize + digits.len()) {
                        place.copy_from_slice(&digits);
                    }
                }
            }
            Box::new(AttemptStory {
                context: traced.next,
                parent: traced.parent,
                state: traced.state.clone(),
                method: self.method,
                method_text: traced.method_text.clone(),
                target: traced.target.clone(),
                route: traced.route,
                upstream: self.upstream.authority.clone(),
                peer: self.upstream.peer,
                resends,
                is_reused: false,
                started_ns: 0,
                ended_ns: 0,
                head_ns: 0,
                status: 0,
                fault: None,
                is_cancelled: false,
                followers: None,
            })
        });
        Attempt {
            telling: self.telling.clone(),
            upstream: self.upstream.number,
            method: self.method,
            started_ns: exact_ns(),
            head_us: 0,
            status: 0,
            error: ErrorType::None,
            is_reused: false,
            is_whole: false,
            is_told: self.is_told,
            story,
        }
    }

    pub fn resends(&self) -> u32 {
        self.attempts.saturating_sub(1)
    }
}

/// An attempt under way. Its drop is its end: without a word more, nobody waited for it any more.
#[derive(Debug)]
pub(crate) struct Attempt {
    telling: Rc<Telling>,
    started_ns: u64,
    /// After that; no longer than an hour.
    head_us: u32,
    upstream: u16,
    status: u16,
    method: Method,
    error: ErrorType,
    is_reused: bool,
    is_whole: bool,
    is_told: bool,
    story: Option<Box<AttemptStory>>,
}

impl Attempt {
    /// What the app is told that its parent is, if that is sampled.
    pub fn context(&self) -> Option<Context> {
        self.story.as_ref().map(|story| story.context)
    }

    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    pub fn head_ns(&self) -> u64 {
        self.started_ns + u64::from(self.head_us) * 1000
    }

    pub fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// It has a connection.
    pub fn connected(&mut self, is_reused: bool) {
        self.is_reused = is_reused;
    }

    /// The final head of the answer has come.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        if self.is_told {
            let after_us = exact_ns().saturating_sub(self.started_ns) / 1000;
            self.head_us = u32::try_from(after_us).unwrap_or(u32::MAX);
        }
    }

    /// That nobody waits for it any more is no failure of it.
    pub fn failed(&mut self, fault: Fault) {
        if fault.kind == Kind::ClientGone {
            return;
        }
        self.error = ErrorType::of(fault);
        if let Some(story) = &mut self.story {
            story.fault = Some(fault);
        }
    }

    /// The answer has come to its end.
    pub fn whole(&mut self) {
        self.is_whole = true;
    }

    pub fn shared_by(&mut self, followers: u32) {
        if let Some(story) = &mut self.story {
            story.followers = Some(followers);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let ended_ns = exact_ns();
        let is_cancelled = self.error == ErrorType::None && !self.is_whole;
        let Attempt { method, upstream, status, mut error, .. } = *self;
        if error == ErrorType::None && status >= 400 {
            error = ErrorType::Status;
        }
        let key = ClientKey { method, upstream, status, error };
        let took = Duration::from_nanos(ended_ns.saturating_sub(self.started_ns));
        self.telling.counters.client_durations.note(key, took);
        if let Some(mut story) = self.story.take() {
            story.is_reused = self.is_reused;
            story.started_ns = self.started_ns;
            story.head_ns = if status == 0 { 0 } else { self.head_ns() };
            story.ended_ns = ended_ns;
            story.status = status;
            story.is_cancelled = is_cancelled;
            self.telling.tell(Story::Attempt(story));
        }
    }
}
