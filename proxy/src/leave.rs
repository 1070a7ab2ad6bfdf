//! Whether the client is still there while it waits for its answer.

use std::task::{Context, Poll};

use crate::config::HalfClose;
use crate::fault::{Fault, Kind};
use crate::io::Left;
use crate::transport::Transport;

/// What of the client's bytes is not used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unused {
    Nothing,
    /// Of its body: somebody reads it, or will.
    Body,
    /// Of requests behind the one that is served: who sends those means to read their answers.
    NextRequest,
    /// Whatever it is, that the client has closed its side says nothing: a read under way tells its end, or the last bytes of its answer are on their
    /// way, and who has them all may close before we hear that they are sent.
    Whatever,
}

/// Looks out for a client that leaves: whoever waits on its behalf asks between the polls of what it waits for.
pub(crate) struct Leave<'a> {
    pub transport: &'a Transport,
    pub half_close: HalfClose,
}

impl Leave<'_> {
    pub const FAULT: Fault = Fault { kind: Kind::ClientGone, detail: "the client left before the end of its answer" };

    /// Ready when the client has left. A client that has closed its side and still reads looks the same, so the policy says what is meant.
    pub fn poll(&self, cx: &Context<'_>, unused: Unused) -> Poll<()> {
        match std::task::ready!(self.transport.socket().poll_left(cx)) {
            Left::Broken => Poll::Ready(()),
            Left::Closed if self.half_close == HalfClose::Keep => Poll::Pending,
            Left::Closed => match unused {
                Unused::Body => Poll::Ready(()),
                Unused::NextRequest | Unused::Whatever => Poll::Pending,
                Unused::Nothing if self.transport.has_unread(cx) => Poll::Pending,
                Unused::Nothing => Poll::Ready(()),
            },
        }
    }

    /// Waits for `other` while the client is there.
    pub async fn unless<T>(&self, unused: Unused, other: impl Future<Output = T>) -> Result<T, Fault> {
        let mut other = std::pin::pin!(other);
        std::future::poll_fn(|cx| match other.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx, unused).map(|()| Err(Leave::FAULT)),
        })
        .await
    }
}
