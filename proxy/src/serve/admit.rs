//! Admission: where `concurrency.limit` is set, a request goes up with a permit, which it holds to the last byte of its answer.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::site::Site;
use crate::config::{Concurrency, ConcurrencyMode, LongLived, Timeouts};
use crate::fault::{Fault, Kind, Shed};
use crate::http::{Fields, Name};
use crate::io::{Deadline, Reactor, Tick};
use crate::limits::{Permit, Permits, Taken, Waiting};
use crate::listen::{EVICTED_AT_ONCE, Listening};
use crate::telemetry::WorkerCounters;
use crate::timeouts::Timer;
use crate::worker::Worker;
use crate::{budget, buf};

const FULL: Fault = Fault {
    kind: Kind::OverLimit,
    detail: "as many requests are in flight as concurrency.limit allows, and the queue behind them is full",
};

const NO_MEMORY: Fault = Fault { kind: Kind::OverMemory, detail: "the proxy holds as much memory as it may" };

/// What a request has that may go up. Its drop gives back what there is.
#[expect(dead_code, reason = "what is in it is kept for its drop")]
pub(super) enum Admitted {
    /// Nothing limits it.
    Freely,
    By(Permit<'static>),
    /// The limit observes.
    Observed(Observed),
}

/// Refuses new work where the process holds as much memory as it may and the longest idle connections, which give way, held too little.
pub(super) fn afford(worker: &Worker, listening: &Listening) -> Result<(), Fault> {
    if !budget::is_over() {
        return Ok(());
    }
    buf::trim();
    worker.give_back();
    listening.lot.evict(worker, EVICTED_AT_ONCE);
    if budget::is_over() { Err(NO_MEMORY) } else { Ok(()) }
}

/// A place in the line, once there is one: whoever waits may change, the place stays.
#[derive(Default)]
pub(super) struct Line {
    place: Option<(Waiting<'static>, Wait)>,
    waited: Duration,
}

impl Line {
    /// How long the request has waited for its turn so far.
    pub fn waited(&self) -> Duration {
        self.place.as_ref().map_or(self.waited, |(_, wait)| Tick::now().since(wait.since))
    }
}

impl Site<'_> {
    /// Waits for the request's turn. Owns no buffer, may be dropped: the place in the `line` stays.
    ///
    /// Errors: the queue is full; `queue` ran out, or what there is of `timeouts.request`, whichever comes first.
    pub async fn admit(&self, line: &mut Line, queue: Option<Deadline>) -> Result<Admitted, Fault> {
        let Concurrency { limit: Some(_), queue_depth, mode, .. } = self.policy.concurrency else {
            return Ok(Admitted::Freely);
        };
        let permits = self.listening.permits;
        if mode == ConcurrencyMode::Observe {
            return Ok(self.observe(queue_depth));
        }
        if line.place.is_none() {
            match permits.take(queue_depth) {
                Taken::Permit(permit) => return Ok(Admitted::By(permit)),
                Taken::Full => return Err(FULL),
                Taken::Wait(waiting) => {
                    let wait = Wait { counters: self.worker.counters.clone(), since: Tick::now() };
                    line.place = Some((waiting, wait));
                }
            }
        }
        let deadline = match queue {
            Some(queue) => Some(queue.or(self.deadline)),
            None => self.deadline,
        };
        let waiting = line.place.as_mut().map(|(waiting, _)| waiting).expect("a place in the line was taken above");
        let let_in = line_up(&self.worker.reactor, waiting, deadline).await;
        line.waited = line.waited();
        line.place = None;
        let_in.map(Admitted::By).map_err(|timer| Fault { kind: Kind::TimedOut(timer), detail: LATE })
    }

    /// Lets the request through, and its double wait where it would have waited.
    fn observe(&self, queue_depth: u32) -> Admitted {
        let permits = self.listening.permits;
        // A line without room: a permit that is free now, or none.
        if let Taken::Permit(permit) = permits.take(0) {
            return Admitted::By(permit);
        }
        let over = Rc::new(Over::default());
        let worker = self.worker.clone();
        let (deadline, watched) = (self.queue_deadline(), over.clone());
        self.worker.spawn(move || double(worker, permits, queue_depth, deadline, watched));
        Admitted::Observed(Observed(over))
    }

    /// An event stream may last for days, and costs the app next to nothing: it gives its permit back at its head.
    pub fn release_early(&self, admitted: &mut Admitted, head: &[u8], fields: &Fields) {
        let may_release = self.policy.concurrency.long_lived == LongLived::Release;
        if may_release && !matches!(admitted, Admitted::Freely) && is_event_stream(head, fields) {
            *admitted = Admitted::Freely;
            self.worker.counters.permits_released_early.add(1);
        }
    }
}

/// Why a request was shed that waited for its turn.
pub(super) const LATE: &str =
    "the request's turn did not come in time: as many are in flight as concurrency.limit allows";

/// `Retry-After` of a request that was shed: `timeouts.queue` in whole seconds, rounded up. After that time everyone who waits now has had
/// their turn or was shed. At least 1: less cannot be said (RFC 9110 section 10.2.3).
pub(super) fn retry_after_s(timeouts: &Timeouts) -> u64 {
    timeouts.queue.as_millis().div_ceil(1000).clamp(1, u64::MAX.into()) as u64
}

/// Counts a wait in the queue when it ends, be it that the client has left.
struct Wait {
    counters: Arc<WorkerCounters>,
    since: Tick,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.counters.queue_waits.add(1);
        self.counters.queue_wait_ms.add(Tick::now().since(self.since).as_millis() as u64);
    }
}

/// Waits to be let in. Errors: the timer that ran out before.
async fn line_up(
    reactor: &Rc<Reactor>,
    line: &mut Waiting<'static>,
    deadline: Option<Deadline>,
) -> Result<Permit<'static>, Timer> {
    let mut let_in = pin!(line);
    let deadline = deadline.unwrap_or(Deadline { at: Tick::NEVER, timer: Timer::Queue });
    let mut late = pin!(reactor.sleep_until(deadline.at));
    std::future::poll_fn(|cx| match let_in.as_mut().poll(cx) {
        Poll::Ready(permit) => Poll::Ready(Ok(permit)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| Err(deadline.timer)),
    })
    .await
}

/// A request that went through where it would have waited; its drop ends its double.
pub(super) struct Observed(Rc<Over>);

impl Drop for Observed {
    fn drop(&mut self) {
        self.0.is.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// That a request is over.
#[derive(Default)]
struct Over {
    is: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Over {
    async fn wait(&self) {
        std::future::poll_fn(|cx| match self.is.get() {
            true => Poll::Ready(()),
            false => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }
}

/// Does what the request would do, were the limit enforced: waits in the line and holds a permit while the request lasts. What would be shed
/// is counted.
async fn double(
    worker: Rc<Worker>,
    permits: &'static Permits,
    queue_depth: u32,
    deadline: Option<Deadline>,
    over: Rc<Over>,
) {
    let shed = |why: Shed| worker.counters.would_shed[why as usize].add(1);
    let _permit = match permits.take(queue_depth) {
        Taken::Permit(permit) => permit,
        Taken::Full => return shed(Shed::Limit),
        Taken::Wait(mut line) => match line_up(&worker.reactor, &mut line, deadline).await {
            Ok(permit) => permit,
            Err(_) => return shed(Shed::Queue),
        },
    };
    over.wait().await;
}

fn is_event_stream(head: &[u8], fields: &Fields) -> bool {
    fields.all(head, Name::ContentType).any(is_event_stream_type)
}

/// The media type, whatever its parameters (RFC 9110 section 8.3.1).
fn is_event_stream_type(value: &[u8]) -> bool {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_known_by_their_type() {
        for value in ["text/event-stream", "Text/Event-Stream;charset=utf-8", "text/event-stream ; a=b"] {
            assert!(is_event_stream_type(value.as_bytes()), "{value}");
        }
        for value in ["text/event-streams", "text/event", "text/html; text/event-stream", ""] {
            assert!(!is_event_stream_type(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn retry_after_is_the_queues_time_in_whole_seconds() {
        let mut timeouts = crate::config::built_in_snapshot().policy.timeouts;
        for (queue_ms, seconds) in [(1, 1), (200, 1), (1000, 1), (1001, 2), (600_000, 600)] {
            timeouts.queue = std::time::Duration::from_millis(queue_ms);
            assert_eq!(retry_after_s(&timeouts), seconds, "{queue_ms}");
        }
    }
}
