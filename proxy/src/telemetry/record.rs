//! What one request was: filled while it is served; by drop it is counted, and told of where it is traced or logged.
//!
//! One `Record` feeds counters, histogram, span and line, so they cannot disagree.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use super::attempt::{About, Attempt};
use super::durations::{ErrorType, ServerKey};
use super::story::{UpstreamTimes, Wait};
use super::trace::{Came, Context, Lines, Propagators};
use super::{Asked, Outcome, Place, RequestStory, Role, Story, Telling, WorkerCounters};
use crate::config::{Forwarded, Pattern, RoutePolicy};
use crate::fault::{Fault, Kind};
use crate::h1::RequestHead;
use crate::http::{Fields, Method, Name, NameSet};
use crate::io::exact_ns;

/// A request whose head has come.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    pub fields: &'a Fields,
    pub peer: SocketAddr,
    pub is_tls: bool,
    pub policy: &'a RoutePolicy,
}

/// What the app is told of the trace.
#[derive(Debug, Clone, Copy)]
pub struct Onward {
    /// The CLIENT span that it is a child of.
    pub context: Context,
    propagators: Propagators,
    keeps_state: bool,
}

impl Onward {
    /// The fields that are not copied from the request.
    pub fn replaced(&self) -> NameSet {
        self.propagators.replaced(self.keeps_state)
    }

    /// The lines in their place.
    pub fn lines(&self) -> Lines {
        let mut lines = Lines::default();
        self.propagators.write(self.context, &mut lines);
        lines
    }
}

/// One request, from its whole head on.
#[derive(Debug)]
pub struct Record<'w> {
    telling: &'w Telling,
    method: Method,
    is_tls: bool,
    route: u16,
    started_ns: u64,
    status: Cell<u16>,
    fault: Cell<Option<Fault>>,
    onward: Option<Onward>,
    /// `None`: it is neither traced nor logged.
    story: Option<Box<RefCell<RequestStory>>>,
}

impl<'w> Record<'w> {
    pub fn start(telling: &'w Telling, arrival: &Arrival<'_>) -> Record<'w> {
        let mut record = Record {
            telling,
            method: arrival.head.method,
            is_tls: arrival.is_tls,
            route: arrival.policy.pattern.map_or(0, Pattern::number),
            started_ns: exact_ns(),
            status: Cell::new(0),
            fault: Cell::new(None),
            onward: None,
            story: None,
        };
        record.begin();
        let is_logged = arrival.policy.telemetry.access_log;
        match telling.tracing {
            Some(tracing) => {
                let came = tracing.propagators.extract(arrival.bytes, arrival.fields);
                let trace = came.context.map_or_else(|| telling.ids.trace(), |context| context.trace);
                let is_sampled = tracing.sampler.samples(&came, trace, arrival.policy.telemetry.trace_share);
                let context = Context { trace, span: telling.ids.span(), is_sampled };
                let Came { keeps_state, .. } = came;
                record.onward = Some(Onward { context, propagators: tracing.propagators, keeps_state });
                if is_sampled || is_logged {
                    let own = Context { span: telling.ids.span(), ..context };
                    record.story = Some(record.tale(arrival, &came, Some(own), is_logged));
                }
            }
            None if is_logged || arrival.fields.known().has(Name::Traceparent) => {
                let propagators = Propagators::DEFAULT;
                let came = propagators.extract(arrival.bytes, arrival.fields);
                if came.context.is_none() && arrival.fields.known().has(Name::Traceparent) {
                    // Nothing is traced here, but a parent that is none must not reach the app: its trace begins here.
                    let (trace, span) = (telling.ids.trace(), telling.ids.span());
                    let context = Context { trace, span, is_sampled: false };
                    record.onward = Some(Onward { context, propagators, keeps_state: false });
                }
                if is_logged {
                    let theirs = came.context.map(|context| Context { is_sampled: false, ..context });
                    record.story = Some(record.tale(arrival, &came, theirs, is_logged));
                }
            }
            None => {}
        }
        record
    }

    fn begin(&self) {
        self.telling.counters.requests.add(1);
        self.telling.counters.requests_active.rise();
        self.telling.counters.requests_active_by.rise(self.method, self.is_tls);
    }

    fn tale(
        &self,
        arrival: &Arrival<'_>,
        came: &Came,
        context: Option<Context>,
        is_logged: bool,
    ) -> Box<RefCell<RequestStory>> {
        let Arrival { bytes, head, fields, policy, .. } = *arrival;
        Box::new(RefCell::new(RequestStory {
            context,
            parent: came.context.map(|context| context.span),
            is_logged,
            method: head.method,
            asked: Asked::new(bytes, head, fields, came.keeps_state),
            version: head.version,
            is_tls: arrival.is_tls,
            peer: arrival.peer,
            trusts_forwarding: policy.forwarded == Forwarded::Append,
            route: policy.pattern.map(Pattern::text),
            started_ns: self.started_ns,
            ended_ns: 0,
            status: 0,
            fault: None,
            queued: Duration::ZERO,
            upstream: None,
            replays: 0,
            coalesced: None,
            waits: Vec::new(),
        }))
    }

    /// The same request once more, behind this one on its connection: a span of its own, with the same parent. It has waited for what this one
    /// has come to.
    pub fn twin(&self, outcome: Outcome, exchange: Option<Context>) -> Record<'w> {
        let ids = &self.telling.ids;
        let story = self.story.as_ref().map(|story| {
            let mut story = story.borrow().clone();
            if let (Some(context), Some(_)) = (&mut story.context, self.telling.tracing) {
                context.span = ids.span();
                if story.parent.is_none() {
                    context.trace = ids.trace();
                }
            }
            (story.upstream, story.replays, story.queued) = (None, 0, Duration::ZERO);
            story.coalesced = Some((Role::Follower, outcome));
            let (from_ns, to_ns) = (self.started_ns, exact_ns());
            story.waits = vec![Wait { span: ids.span(), from_ns, to_ns, outcome: Some(outcome), exchange }];
            Box::new(RefCell::new(story))
        });
        let twin = Record { status: Cell::new(0), fault: Cell::new(None), onward: None, story, ..*self };
        twin.begin();
        twin
    }

    pub fn onward(&self) -> Option<Onward> {
        self.onward
    }

    /// What the request's attempts are told of with, if it is sampled.
    pub(crate) fn about(&self) -> Option<About> {
        let story = self.story.as_ref()?.borrow();
        let context = story.context.filter(|context| context.is_sampled)?;
        let (path, query) = (story.asked.bytes(Place::Path), story.asked.bytes(Place::Query));
        let mut target = path.to_vec();
        if !query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        Some(About {
            parent: context.span,
            state: story.asked.bytes(Place::State).into(),
            method_text: story.asked.bytes(Place::Method).into(),
            target: target.into(),
            route: story.route,
        })
    }

    fn tell(&self, what: impl FnOnce(&mut RequestStory)) {
        if let Some(story) = &self.story {
            what(&mut story.borrow_mut());
        }
    }

    /// The final or an interim head goes out with this status.
    pub fn answered(&self, status: u16) {
        self.telling.counters.answered(status);
        if status >= 200 || status == 101 {
            self.status.set(status);
        }
    }

    pub fn failed(&self, fault: Fault) {
        self.telling.counters.failed(fault);
        self.fault.set(Some(fault));
    }

    /// It has waited in the queue for so long.
    pub fn queued(&self, wait: Duration) {
        self.tell(|story| story.queued += wait);
    }

    /// Its own exchange has brought a head.
    pub(crate) fn reached(&self, attempt: &Attempt) {
        self.tell(|story| {
            story.upstream = Some(UpstreamTimes {
                sent_ns: attempt.started_ns(),
                head_ns: attempt.head_ns(),
                is_reused: attempt.is_reused(),
            });
        });
    }

    /// It was sent again, so many times.
    pub fn replayed(&self, times: u32) {
        self.tell(|story| story.replays += times);
    }

    pub fn coalesced(&self, role: Role, outcome: Outcome) {
        self.tell(|story| story.coalesced = Some((role, outcome)));
    }

    /// It has waited for what somebody else's request brought, since `from_ns`.
    pub fn waited(&self, from_ns: u64, outcome: Option<Outcome>, exchange: Option<Context>) {
        self.tell(|story| {
            let span = self.telling.ids.span();
            story.waits.push(Wait { span, from_ns, to_ns: exact_ns(), outcome, exchange });
        });
    }

    /// Something is told of it, so that times are worth to be taken.
    pub fn is_told(&self) -> bool {
        self.story.is_some()
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let ended_ns = exact_ns();
        let counters = &self.telling.counters;
        counters.requests_active.fall();
        counters.requests_active_by.fall(self.method, self.is_tls);
        let (status, fault) = (self.status.get(), self.fault.get());
        let error = match fault {
            // A cancel is no error (OpenTelemetry's conventions for HTTP spans).
            Some(fault) if fault.kind == Kind::ClientGone => ErrorType::None,
            Some(fault) => ErrorType::of(fault),
            None if status >= 500 => ErrorType::Status,
            None => ErrorType::None,
        };
        let key = ServerKey { method: self.method, is_tls: self.is_tls, status, route: self.route, error };
        counters.server_durations.note(key, Duration::from_nanos(ended_ns.saturating_sub(self.started_ns)));
        if let Some(story) = self.story.take() {
            let mut story = Box::new(story.into_inner());
            (story.ended_ns, story.status, story.fault) = (ended_ns, status, fault);
            self.telling.tell(Story::Request(story));
        }
    }
}

impl WorkerCounters {
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5);
        self.responses[class - 1].add(1);
    }

    pub fn failed(&self, fault: Fault) {
        self.faults[fault.kind.index()].add(1);
        if let Kind::TimedOut(timer) | Kind::SendTimedOut(timer) = fault.kind {
            self.timeouts[timer as usize].add(1);
        }
        if let Some(why) = fault.shed() {
            self.shed[why as usize].add(1);
        }
    }
}
