//! A shared answer on its way to one of those who share it.

use std::ops::Range;
use std::pin::pin;
use std::task::Poll;

use super::{After, Exchange, unused};
use crate::buf::Buf;
use crate::coalesce::{AnswerHead, End, Outcome, Seat};
use crate::downstream::Downstream;
use crate::fault::{Fault, Kind};
use crate::h1::{self, Body, Keep, Persist};
use crate::http::Name;
use crate::io::{Deadline, IoError};
use crate::leave::{Leave, Unused};
use crate::pieces::{Chunk, Pieces};
use crate::timeouts::Timer;
use crate::transport::Transport;
use crate::upstream::{Encode, format_size};

/// Pieces that are gathered before they are sent.
const GATHERED_MAX: usize = 128;
const GATHERED_BYTES_MAX: usize = 256 * 1024;

/// Why an answer is not sent to its end.
enum Broken {
    Left,
    Lagged,
    Aborted(Fault),
    Late(Timer),
}

/// The body on its way to one client.
struct Way<'s> {
    seat: &'s Seat,
    encode: Encode,
    /// Before its first byte.
    whole: Body,
    /// What of it is still to be gathered, as far as its bytes are looked at: those of chunks only where this client gets them without.
    left: Body,
    /// The next chunk.
    at: u64,
    pieces: Pieces,
}

impl Exchange<'_> {
    /// Sends the answer, and once more for each of `twins` requests behind this one.
    pub(super) async fn share(
        &self,
        downstream: &mut Downstream,
        seat: Seat,
        head: &AnswerHead,
        twins: usize,
    ) -> After {
        let site = &self.site;
        let own = if seat.is_leader() { 0 } else { self.head.len };
        let request_id = if seat.is_leader() {
            None
        } else {
            downstream.fields.all(downstream.incoming.filled(), Name::XRequestId).next().map(<[u8]>::to_vec)
        };
        // Of the head of a follower; what is behind stays.
        let twin_len = if seat.is_leader() { seat.with_kept(|kept| kept.bytes().len()) } else { self.head.len };
        downstream.incoming.consume(own);
        self.at_head.set(true);
        let encode = self.encode(head.head.body);
        let needs_close = encode.needs_close(head.head.body);
        // Whatever is not retained is gone when the first answer is sent.
        let mut twins = if needs_close { self.give_up(&seat, twins) } else { twins };
        let persist = if needs_close { Persist::Close } else { self.persist() };
        let first_persist = if twins > 0 { self.persist } else { persist };
        let mut way =
            Way { seat: &seat, encode, whole: head.head.body, left: head.head.body, at: 0, pieces: Pieces::default() };
        let write_head = |pieces: &mut Pieces, is_leader: bool, persist: Persist| {
            let date = site.worker.date();
            let mut answer = h1::AnswerHead::new(&head.bytes, &head.head, &head.fields, persist, &date);
            answer.chunked = encode.is_chunked(head.head.body);
            answer.cache_status = if is_leader { self.cache_status.get() } else { self.told_followers() };
            let asked = head.request_id.as_deref();
            let own = if seat.is_leader() { asked } else { request_id.as_deref() };
            answer.shared = (!is_leader).then_some(h1::Shared { asked, own });
            pieces.write(|out| h1::answer_head(out, &answer))
        };
        write_head(&mut way.pieces, seat.is_leader(), first_persist);
        let mut answers = 1;
        let ended = loop {
            let ends = way.gather();
            if twins > 0 && !head.is_retained && ends.is_none() && seat.is_window_full() {
                twins = self.give_up(&seat, twins);
            }
            if twins > 0 && ends == Some(End::Whole) {
                answers += twins;
                if let Err(broken) = self.repeat(downstream, &mut way, twins, persist, &write_head).await {
                    break Err(broken);
                }
            }
            let is_last = ends == Some(End::Whole) || (twins == 0 && way.is_over());
            if let Err(broken) = self.send_gathered(downstream, &mut way, is_last).await {
                break Err(broken);
            }
            if twins == 0 || ends.is_some() {
                seat.pass(way.at);
            }
            match ends {
                Some(End::Whole) => break Ok(()),
                Some(End::Aborted(fault)) => break Err(Broken::Aborted(fault)),
                None => {}
            }
            if let Err(broken) = self.more(downstream, &way).await {
                break Err(broken);
            }
        };
        let (after, outcome) = match ended {
            Ok(()) => (if persist == Persist::Close { After::Close } else { After::Next }, Outcome::Shared),
            Err(broken) => (After::BreakOff, self.failed(broken)),
        };
        if answers > 1 {
            downstream.incoming.consume((answers - 1) * twin_len);
        }
        self.settle(&seat, outcome);
        seat.twins_end(twins, outcome);
        self.record.answered(head.head.status);
        for _ in 1..answers {
            self.record.twin(outcome, seat.exchange()).answered(head.head.status);
        }
        after
    }

    /// Of a body that is not retained there is no second reading: these are served after this one, as any request.
    fn give_up(&self, seat: &Seat, twins: usize) -> usize {
        seat.twins_leave(twins);
        0
    }

    /// The same answer once more, `twins` times: the whole body is there.
    async fn repeat(
        &self,
        downstream: &Downstream,
        way: &mut Way<'_>,
        twins: usize,
        last_persist: Persist,
        write_head: &impl Fn(&mut Pieces, bool, Persist) -> Range<usize>,
    ) -> Result<(), Broken> {
        let mut written: Option<Range<usize>> = None;
        for n in 1..=twins {
            let is_last = n == twins && last_persist != self.persist;
            match (&written, is_last) {
                (Some(range), false) => way.pieces.repeat(range.clone()),
                (_, true) => drop(write_head(&mut way.pieces, false, last_persist)),
                (None, false) => written = Some(write_head(&mut way.pieces, false, self.persist)),
            }
            way.at = 0;
            way.left = way.whole;
            // Its end is gathered too: a body of no chunks has one, and one whose last chunk filled what is gathered.
            loop {
                let end = way.gather();
                if way.is_loaded() {
                    self.send_gathered(downstream, way, n == twins && end.is_some()).await?;
                    written = None;
                }
                if end.is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for the next chunk, or the end.
    async fn more(&self, downstream: &Downstream, way: &Way<'_>) -> Result<(), Broken> {
        let unused = if way.is_over() { Unused::Whatever } else { unused(&downstream.incoming) };
        let leave = self.leave(&downstream.transport);
        let mut late = pin!(self.site.deadline.map(|deadline| self.site.worker.reactor.sleep_until(deadline.at)));
        std::future::poll_fn(|cx| {
            if way.seat.poll_more(way.at, cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if leave.poll(cx, unused).is_ready() {
                return Poll::Ready(Err(Broken::Left));
            }
            match late.as_mut().as_pin_mut() {
                Some(late) => late.poll(cx).map(|()| Err(Broken::Late(Timer::Request))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// `is_last`: nothing follows.
    async fn send_gathered(&self, downstream: &Downstream, way: &mut Way<'_>, is_last: bool) -> Result<(), Broken> {
        if way.pieces.is_empty() {
            return Ok(());
        }
        let transport: &Transport = &downstream.transport;
        let deadline = Deadline::after(self.site.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.site.deadline);
        let unused = if is_last { Unused::Whatever } else { unused(&downstream.incoming) };
        let (leave, seat) = (self.leave(transport), way.seat);
        let bytes = way.pieces.len();
        let mut send = pin!(transport.send_pieces(&mut way.pieces, deadline));
        let sent = std::future::poll_fn(|cx| {
            if let Poll::Ready(sent) = send.as_mut().poll(cx) {
                return Poll::Ready(sent.map_err(|error| match error {
                    IoError::Os(_) => Broken::Left,
                    IoError::Expired(timer) => Broken::Late(timer),
                }));
            }
            if seat.poll_lagged(cx).is_ready() {
                return Poll::Ready(Err(Broken::Lagged));
            }
            leave.poll(cx, unused).map(|()| Err(Broken::Left))
        })
        .await;
        self.site.worker.counters.bytes_sent.add(bytes as u64);
        sent
    }

    /// Counts why, and says as what it is counted among those who share.
    fn failed(&self, broken: Broken) -> Outcome {
        let (fault, outcome) = match broken {
            Broken::Left => (Leave::FAULT, Outcome::Left),
            Broken::Lagged => {
                let detail = "the client read so slowly that others had to wait for it";
                (Fault { kind: Kind::TimedOut(Timer::StreamIdle), detail }, Outcome::Lagged)
            }
            Broken::Aborted(fault) => (fault, Outcome::Aborted),
            Broken::Late(timer) => (
                Fault { kind: Kind::TimedOut(timer), detail: "the client stopped reading its answer" },
                Outcome::Timeout,
            ),
        };
        self.record.failed(fault);
        outcome
    }
}

impl Way<'_> {
    fn is_loaded(&self) -> bool {
        self.pieces.count() >= GATHERED_MAX || self.pieces.len() >= GATHERED_BYTES_MAX
    }

    /// All of the body is gathered, also where its end has not been told yet.
    fn is_over(&self) -> bool {
        self.left.is_over()
    }

    /// Takes what is there. The end of the body, where all of it is gathered.
    fn gather(&mut self) -> Option<End> {
        loop {
            match self.seat.chunk(self.at) {
                Some(_) if self.is_loaded() => return None,
                Some(chunk) => self.take(&chunk),
                None => {
                    let end = self.seat.end();
                    if end == Some(End::Whole) && self.encode == Encode::Chunked {
                        self.pieces.write(|out| out.put(b"0\r\n\r\n"));
                    }
                    return end;
                }
            }
            self.at += 1;
        }
    }

    fn take(&mut self, chunk: &Chunk) {
        let len = chunk.len();
        match self.encode {
            Encode::AsIs => {
                if let Body::Length(left) = self.left {
                    self.left = Body::length(left.saturating_sub(len as u64));
                }
                self.pieces.share(chunk, 0..len);
            }
            Encode::Chunked => {
                self.pieces.write(|out| out.put(format_size(len, &mut [0; 18])));
                self.pieces.share(chunk, 0..len);
                self.pieces.write(|out| out.put(b"\r\n"));
            }
            // The frames are those of all others: this client gets a copy without them.
            Encode::Unchunked => {
                let mut plain = Buf::default();
                plain.put(chunk.filled());
                let kept = self.left.take(plain.filled_mut(), Keep::Data).map_or(0, |piece| piece.kept);
                self.pieces.write(|out| out.put(&plain.filled()[..kept]));
            }
        }
    }
}
