//! The answer of an exchange, on its way to the one client that it is for.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use super::admit::Admitted;
use super::{After, Exchange};
use crate::buf::Buf;
use crate::fault::Fault;
use crate::h1::{self, AnswerHead, Body, Persist, ResponseHead};
use crate::http::{Fields, Version};
use crate::pool::Lease;
use crate::telemetry::Attempt;
use crate::transport::Transport;
use crate::upstream::{Alongside, Download, Encode, Ended, Progress, Started, Uploaded};

/// An answer whose head has come.
pub(super) struct Coming<'a> {
    pub lease: &'a Lease,
    pub admitted: &'a mut Admitted,
    pub attempt: &'a mut Attempt,
    pub head: &'a ResponseHead,
    /// The head, and what has come behind it.
    pub buf: Buf,
    pub fields: &'a Fields,
}

impl Exchange<'_> {
    /// Sends the answer, while what is left of the request goes up beside. Errors: nothing of it has been sent.
    pub(super) async fn deliver<F: Future<Output = Uploaded>, S: Fn()>(
        &self,
        transport: &Transport,
        coming: Coming<'_>,
        upload: &mut Alongside<'_, F, S>,
    ) -> Result<After, Fault> {
        let site = &self.site;
        let Coming { lease, admitted, attempt, head: answer, mut buf, fields } = coming;
        self.record.reached(attempt);
        if let Some(writing) = self.writing.get() {
            writing.answered();
            if (buf.len() - answer.len) as u64 >= answer.body.announced() && !answer.body.has_open_end() {
                writing.was_over();
            }
        }
        site.release_early(admitted, buf.filled(), fields);
        let encode = self.encode(answer.body);
        let until_close = encode.needs_close(answer.body);
        // A body that is still on its way when the answer begins may never be wanted whole: the connection ends with the answer.
        let persist = if until_close || !upload.is_whole() { Persist::Close } else { self.persist() };
        let mut out = Buf::head();
        let date = site.worker.date();
        let mut to_client = AnswerHead::new(buf.filled(), answer, fields, persist, &date);
        to_client.chunked = encode.is_chunked(answer.body);
        to_client.cache_status = self.cache_status.get();
        h1::answer_head(&mut out, &to_client);
        buf.consume(answer.len);
        let is_at_last = Cell::new(false);
        let download = Download {
            from: lease.stream(),
            to: transport,
            out,
            buf,
            body: answer.body,
            encode,
            policy: site.policy,
            request: site.deadline,
            counters: &site.worker.counters,
            progress: Progress::default(),
            is_at_last: &is_at_last,
        };
        let ended = match download.start() {
            Started::Done(ended) => ended,
            Started::Underway(download) => match upload.with_answer(pin!(download.run()), &is_at_last).await {
                Ok(ended) => ended,
                Err(fault) => Ended::FailedInside(fault),
            },
        };
        let whole = upload.is_whole();
        match ended {
            Ended::FailedUnseen(fault) => {
                attempt.failed(fault);
                return Err(fault);
            }
            Ended::FailedInside(fault) => {
                attempt.failed(fault);
                self.record.answered(answer.status);
                self.record.failed(fault);
                return Ok(After::BreakOff);
            }
            Ended::Whole if whole && answer.persistent => lease.keep(answer.keep_alive_s.map(Duration::from_secs)),
            Ended::Whole | Ended::WholeThenSpoilt => {}
        }
        attempt.whole();
        self.record.answered(answer.status);
        Ok(if persist == Persist::Close || !whole { After::Close } else { After::Next })
    }

    /// Passes an interim answer on to a client that knows of such.
    pub(super) fn interim(&self, head: &ResponseHead, bytes: &[u8], fields: &Fields) -> Option<Buf> {
        if self.head.version != Version::Http11 {
            return None;
        }
        self.record.answered(head.status);
        let mut out = Buf::head();
        let date = self.site.worker.date();
        h1::answer_head(&mut out, &AnswerHead::new(bytes, head, fields, Persist::Keep, &date));
        Some(out)
    }

    /// How the body reaches this client (RFC 9112 section 6.3 and 7).
    pub(super) fn encode(&self, body: Body) -> Encode {
        match (body, self.head.version) {
            (Body::Chunked(_), Version::Http10) => Encode::Unchunked,
            (Body::UntilClose, Version::Http11) => Encode::Chunked,
            _ => Encode::AsIs,
        }
    }
}
