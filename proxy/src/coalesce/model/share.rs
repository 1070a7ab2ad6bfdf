//! A shared answer on its way to one participant: `serve::share`. Every byte is compared with what the app sent.

use std::rc::Rc;
use std::task::Poll;

use super::app::{Exchange, State};
use super::checks;
use super::client::{After, Asking};
use super::heads;
use super::ride::Rider;
use crate::coalesce::{AnswerHead, End, Outcome, WINDOW_BYTES};
use crate::fault::Kind;

/// Chunks that are gathered before they are sent.
const GATHERED_MAX: u64 = 4;

enum Broken {
    Left,
    Lagged,
    Aborted,
    Late,
}

/// How far one answer has come.
struct Way {
    exchange: Rc<Exchange>,
    /// The next chunk, and where in the body it begins.
    at: u64,
    bytes: usize,
    gathered: usize,
}

impl Asking<'_> {
    pub async fn share(&self, rider: Rider, head: &AnswerHead) -> After {
        let world = self.world();
        let exchange = world.exchanges.borrow()[heads::exchange_of(&head.bytes)].clone();
        checks::may_have(world, &rider.record.asked, &exchange, rider.record.is_leader);
        world.trace(|| format!("request {} shares exchange {}", self.request.number, exchange.number));
        *rider.record.exchange.borrow_mut() = Some(exchange.clone());
        let mut twins = rider.twins;
        let mut answers = 1;
        let mut way = Way { exchange, at: 0, bytes: 0, gathered: 1 };
        let ended = loop {
            let ends = self.gather(&rider, &mut way);
            if twins > 0 && !head.is_retained && ends.is_none() && rider.seat.is_window_full() {
                // There is no second reading of this body: they are served after this one.
                rider.seat.twins_leave(twins);
                twins = 0;
            }
            if twins > 0 && ends == Some(End::Whole) {
                answers += twins;
                if let Err(broken) = self.repeat(&rider, &mut way, twins).await {
                    break Err(broken);
                }
            }
            if let Err(broken) = self.send_gathered(&rider, &mut way).await {
                break Err(broken);
            }
            if twins == 0 || ends.is_some() {
                rider.record.passed.set(way.at);
                rider.seat.pass(way.at);
            }
            match ends {
                Some(End::Whole) => break Ok(()),
                Some(End::Aborted(fault)) => {
                    // What is told of is the app's end, or that a task of ours died.
                    checks::may_abort(world, &way.exchange, fault);
                    break Err(Broken::Aborted);
                }
                None => {}
            }
            if let Err(broken) = self.more(&rider, &way).await {
                break Err(broken);
            }
        };
        let outcome = match ended {
            Ok(()) => {
                assert!(way.exchange.is(State::Whole), "the end of a body that has none");
                assert_eq!(way.bytes, way.exchange.bytes(), "a clean end of a part");
                Outcome::Shared
            }
            Err(Broken::Left) => Outcome::Left,
            Err(Broken::Lagged) => Outcome::Lagged,
            Err(Broken::Aborted) => Outcome::Aborted,
            Err(Broken::Late) => Outcome::Timeout,
        };
        self.connection.has_served(answers);
        rider.seat.set_outcome(outcome);
        rider.ticket.set(outcome);
        self.end_twins(&rider, twins, outcome);
        if outcome == Outcome::Shared { After::Next } else { After::Close }
    }

    /// Takes what is there. The end of the body, where all of it is gathered.
    fn gather(&self, rider: &Rider, way: &mut Way) -> Option<End> {
        for _ in 0..GATHERED_MAX {
            let Some(chunk) = rider.seat.chunk(way.at) else { return rider.seat.end() };
            let expected = heads::body(way.exchange.number, way.bytes, chunk.len());
            assert!(chunk.filled() == &*expected, "chunk {} is not what the app sent", way.at);
            way.at += 1;
            way.bytes += chunk.len();
            way.gathered += chunk.len();
            rider.record.at.set(way.at);
        }
        None
    }

    /// The same answer once more for each twin: the whole body is there.
    async fn repeat(&self, rider: &Rider, way: &mut Way, twins: usize) -> Result<(), Broken> {
        for _ in 0..twins {
            (way.at, way.bytes) = (0, 0);
            way.gathered += 1;
            while self.gather(rider, way).is_none() {
                if way.gathered >= WINDOW_BYTES {
                    self.send_gathered(rider, way).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_gathered(&self, rider: &Rider, way: &mut Way) -> Result<(), Broken> {
        let bytes = std::mem::take(&mut way.gathered);
        if bytes == 0 {
            return Ok(());
        }
        let mut send = std::pin::pin!(self.connection.send(bytes));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(sent) = send.as_mut().poll(cx) {
                return Poll::Ready(sent.map_err(|fault| match fault.kind {
                    Kind::TimedOut(_) => Broken::Late,
                    _ => Broken::Left,
                }));
            }
            if rider.seat.poll_lagged(cx).is_ready() {
                return Poll::Ready(Err(Broken::Lagged));
            }
            self.connection.poll_left(cx).map(|()| Err(Broken::Left))
        })
        .await
    }

    /// Waits for the next chunk, or the end.
    async fn more(&self, rider: &Rider, way: &Way) -> Result<(), Broken> {
        let mut late = self.deadline.map(|at| self.world().executor.sleep_until(at));
        let more = std::future::poll_fn(|cx| {
            if rider.seat.poll_more(way.at, cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            rider.record.starves.set(true);
            if self.connection.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Broken::Left));
            }
            match &mut late {
                Some(late) => std::pin::Pin::new(late).poll(cx).map(|()| Err(Broken::Late)),
                None => Poll::Pending,
            }
        })
        .await;
        rider.record.starves.set(false);
        more
    }
}
