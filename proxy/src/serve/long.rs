//! A request whose body is still on its way: it goes up while its answer may come down already.

use std::cell::Cell;
use std::pin::pin;

use super::admit::{Admitted, Line};
use super::deliver::Coming;
use super::{After, Asked, Exchange, INTERIM_MAX, TOO_MANY_INTERIMS};
use crate::buf::Buf;
use crate::downstream::Downstream;
use crate::fault::Fault;
use crate::io::{Deadline, Tick};
use crate::leave::{Leave, Unused};
use crate::pool::{Lease, Replay};
use crate::telemetry::Attempt;
use crate::timeouts::Timer;
use crate::upstream::{Alongside, Upload, UploadEnd, read_head};

/// How one try ended.
enum Tried {
    Answered(After),
    /// The connection had gone stale before anything was sent; the request, to be sent once more.
    Stale(Asked, Admitted),
}

impl Exchange<'_> {
    pub(super) async fn long(&self, downstream: &mut Downstream, mut asked: Asked) -> Result<After, Fault> {
        let site = &self.site;
        let mut line = Line::default();
        // It ends after the lease, so that who comes next finds that warm.
        let turn = self.unless_left(downstream, site.admit(&mut line, self.queue.get())).await;
        self.record.queued(line.waited());
        let mut admitted = match turn? {
            Ok(admitted) => admitted,
            Err(fault) => return Err(self.not_sent(downstream, asked, fault)),
        };
        let mut warm = site.listening.pool.warm(Replay::Impossible, site.ages());
        self.begin_write();
        loop {
            let mut attempt = asked.origin.begin(&mut asked.out);
            let lease = match warm.take() {
                Some(lease) => lease,
                None => match self.unless_left(downstream, site.connect()).await? {
                    Ok(lease) => lease,
                    Err(fault) => {
                        attempt.failed(fault);
                        return Err(self.not_sent(downstream, asked, fault));
                    }
                },
            };
            attempt.connected(lease.reused);
            // Pinned where it is made: `await` alone would move it twice, all of its 2 KiB.
            match pin!(self.attempt(downstream, lease, asked, admitted, attempt)).await? {
                Tried::Answered(after) => return Ok(after),
                Tried::Stale(again, permit) => {
                    site.worker.counters.upstream_replays.add(1);
                    self.record.replayed(1);
                    (asked, admitted) = (again, permit);
                }
            }
        }
    }

    /// Nothing of `asked` went up: what was read of the client's connection is back in its place.
    fn not_sent(&self, downstream: &mut Downstream, asked: Asked, fault: Fault) -> Fault {
        downstream.incoming = asked.incoming;
        self.at_head.set(false);
        fault
    }

    /// Waits on behalf of a client that is still there.
    async fn unless_left<T>(&self, downstream: &Downstream, wait: impl Future<Output = T>) -> Result<T, Fault> {
        self.leave(&downstream.transport).unless(Unused::Body, wait).await
    }

    /// One try on one connection.
    async fn attempt(
        &self,
        downstream: &mut Downstream,
        lease: Lease,
        asked: Asked,
        mut admitted: Admitted,
        mut told: Attempt,
    ) -> Result<Tried, Fault> {
        let site = &self.site;
        let Downstream { transport, fields, incoming, .. } = downstream;
        let (body, content, origin) = (asked.body, asked.content, asked.origin);
        site.worker.counters.upstream_requests.add(1);
        let upload = Upload {
            from: transport,
            to: lease.stream(),
            out: asked.out,
            incoming: asked.incoming,
            body,
            content,
            sent: 0,
            policy: site.policy,
            request: site.deadline,
            counters: &site.worker.counters,
        };
        let rest = pin!(Some(upload.run()));
        // The app has its time for the answer from when it has the request: until then the upload's own timers count.
        let head_deadline = Cell::new(Deadline { at: Tick::NEVER, timer: Timer::Request }.or(site.deadline));
        let waits_for_head = Cell::new(true);
        let on_sent = || {
            if waits_for_head.get() {
                head_deadline.set(site.head_deadline(Tick::now()));
                lease.stream().set_read_deadline(head_deadline.get());
            }
        };
        let mut upload = Alongside::new(None, rest, on_sent, self.leave(transport));
        let mut buf = Buf::default();
        let mut interims = 0;
        let head = loop {
            let read = read_head(lease.stream(), &mut buf, self.head.method, fields, &head_deadline);
            let read = upload.with(pin!(read)).await.inspect_err(|fault| told.failed(*fault))?;
            let head = match read {
                Ok(head) => head,
                Err(none) => {
                    told.failed(none.fault);
                    let Some(uploaded) = upload.into_done() else { return Err(none.fault) };
                    if lease.reused && none.nothing_came && uploaded.sent == 0 {
                        let (out, incoming) = (uploaded.out, uploaded.incoming);
                        return Ok(Tried::Stale(Asked { out, incoming, body, content, origin }, admitted));
                    }
                    *incoming = uploaded.incoming;
                    self.at_head.set(uploaded.end == UploadEnd::Whole);
                    return Err(none.fault);
                }
            };
            if !head.is_interim() {
                break head;
            }
            interims += 1;
            if interims > INTERIM_MAX {
                told.failed(TOO_MANY_INTERIMS);
                return Err(TOO_MANY_INTERIMS);
            }
            if let Some(out) = self.interim(&head, buf.filled(), fields) {
                let upto = out.len();
                let sent = upload.with(pin!(transport.send(out, 0..upto, site.idle_deadline()))).await;
                let (_, outcome, _) = sent.inspect_err(|fault| told.failed(*fault))?;
                if outcome.is_err() {
                    return Err(Leave::FAULT);
                }
            }
            buf.consume(head.len);
        };
        waits_for_head.set(false);
        told.answered(head.status);
        upload.forget_sent();
        let (lease, admitted, attempt) = (&lease, &mut admitted, &mut told);
        let coming = Coming { lease, admitted, attempt, head: &head, buf, fields };
        let delivered = self.deliver(transport, coming, &mut upload).await;
        let uploaded = upload.into_done();
        self.at_head.set(uploaded.as_ref().is_some_and(|uploaded| uploaded.end == UploadEnd::Whole));
        if let Some(uploaded) = uploaded {
            *incoming = uploaded.incoming;
        }
        delivered.map(Tried::Answered)
    }
}
