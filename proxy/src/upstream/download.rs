//! The answer on its way to the client.

use std::cell::Cell;
use std::ops::Range;

use crate::buf::{Buf, HEAD_BYTES};
use crate::config::RoutePolicy;
use crate::fault::{Fault, Kind};
use crate::h1::{BadBody, Body, Keep};
use crate::io::{Deadline, IoError, SentNow, Stream};
use crate::telemetry::WorkerCounters;
use crate::timeouts::Timer;
use crate::transport::Transport;
use crate::upstream::{BYTES_COUNTED_MIN, BYTES_IN_A_ROW, Started};

/// How the body reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encode {
    /// Framed as it came.
    AsIs,
    /// Out of its chunks: an HTTP/1.0 client reads until the end of the connection.
    Unchunked,
    /// Into chunks: it came without a length, and an HTTP/1.1 client can be told a clean end from a broken one.
    Chunked,
}

impl Encode {
    /// The client is told the end of the body by the end of the connection.
    pub fn needs_close(self, body: Body) -> bool {
        self == Encode::Unchunked || (self == Encode::AsIs && body == Body::UntilClose)
    }

    /// The client reads chunks.
    pub fn is_chunked(self, body: Body) -> bool {
        self == Encode::Chunked || (self == Encode::AsIs && body.is_chunked())
    }
}

/// An answer to move.
pub(crate) struct Download<'a> {
    pub from: &'a Stream,
    pub to: &'a Transport,
    /// The head as the client is to see it.
    pub out: Buf,
    /// What has come behind the head.
    pub buf: Buf,
    pub body: Body,
    pub encode: Encode,
    pub policy: &'a RoutePolicy,
    pub request: Option<Deadline>,
    pub counters: &'a WorkerCounters,
    pub progress: Progress,
    /// Told when the last bytes are on their way.
    pub is_at_last: &'a Cell<bool>,
}

/// How far an answer has come; empty at the start.
#[derive(Default)]
pub(crate) struct Progress {
    /// A piece that is gathered and not wholly sent.
    begun: Option<Begun>,
    /// The last read filled all memory that it had.
    read_filled: bool,
}

/// A piece of a body on its way.
struct Begun {
    /// Bytes of `out` that are sent.
    sent: usize,
    /// Bytes of `buf` that are sent from where they are, after `out`.
    direct: usize,
    /// Bytes of `buf` that are used up with it.
    consumed: usize,
    /// Nothing follows it.
    is_last: bool,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Whole, and nothing came behind it.
    Whole,
    /// Whole, but the app's connection has ended or carries bytes that nobody asked for.
    WholeThenSpoilt,
    /// Nothing of it has reached the client.
    FailedUnseen(Fault),
    /// The client has seen a part.
    FailedInside(Fault),
}

impl Download<'_> {
    /// Sends the head and what has come of the body, as far as the kernel takes it at once: most answers are over then.
    pub fn start(mut self) -> Started<Ended, Self> {
        let mut begun = match self.gather() {
            Ok(begun) => begun,
            Err(fault) => return Started::Done(Ended::FailedUnseen(fault)),
        };
        if begun.direct == 0 {
            match self.to.send_now(self.out.filled()) {
                SentNow::Whole if self.body.is_over() => {
                    self.buf.consume(begun.consumed);
                    return Started::Done(self.whole());
                }
                SentNow::Whole => begun.sent = self.out.len(),
                SentNow::Part(sent) => begun.sent = sent,
            }
        }
        self.progress.begun = Some(begun);
        Started::Underway(self)
    }

    pub async fn run(mut self) -> Ended {
        let mut seen = self.progress.begun.as_ref().is_some_and(|begun| begun.sent > 0);
        match self.move_all(&mut seen).await {
            Ok(ended) => ended,
            Err(fault) if seen => Ended::FailedInside(fault),
            Err(fault) => Ended::FailedUnseen(fault),
        }
    }

    fn whole(&self) -> Ended {
        if self.buf.is_empty() { Ended::Whole } else { Ended::WholeThenSpoilt }
    }

    async fn move_all(&mut self, seen: &mut bool) -> Result<Ended, Fault> {
        let mut in_a_row = 0;
        loop {
            let begun = match self.progress.begun.take() {
                Some(begun) => begun,
                None => self.gather()?,
            };
            self.write(begun, seen).await?;
            if self.body.is_over() {
                return Ok(self.whole());
            }
            if in_a_row >= BYTES_IN_A_ROW {
                in_a_row = 0;
                self.from.reactor().yield_now().await;
            }
            let came = self.read().await?;
            in_a_row += came.max(BYTES_COUNTED_MIN);
            if came == 0 {
                if self.body != Body::UntilClose {
                    return Err(broken_off());
                }
                if self.encode == Encode::Chunked {
                    self.out.put(b"0\r\n\r\n");
                    self.write(Begun { sent: 0, direct: 0, consumed: 0, is_last: true }, seen).await?;
                }
                return Ok(Ended::WholeThenSpoilt);
            }
        }
    }

    /// Takes what has come of the body, and puts it behind what `out` holds where that is cheap: then it goes in one send.
    fn gather(&mut self) -> Result<Begun, Fault> {
        let keep = if self.encode == Encode::AsIs { Keep::Frames } else { Keep::Data };
        let piece = self.body.take(self.buf.filled_mut(), keep).map_err(
            |(BadBody::Malformed(detail) | BadBody::TrailersTooLarge(detail))| Fault {
                kind: Kind::UpstreamGarbage,
                detail,
            },
        )?;
        self.counters.bytes_sent.add(piece.content);
        let n = piece.kept;
        let mut direct = n;
        if self.encode == Encode::Chunked && n > 0 {
            self.out.put(format_size(n, &mut [0; 18]));
            self.out.put(&self.buf.filled()[..n]);
            self.out.put(b"\r\n");
            direct = 0;
        } else if !self.out.is_empty() && n <= self.out.spare_bytes() {
            self.out.put(&self.buf.filled()[..n]);
            direct = 0;
        }
        Ok(Begun { sent: 0, direct, consumed: piece.consumed, is_last: self.body.is_over() })
    }

    /// Sends `out`, then the piece's bytes in `buf`.
    async fn write(&mut self, begun: Begun, seen: &mut bool) -> Result<(), Fault> {
        let Begun { sent, direct, consumed, is_last } = begun;
        if !self.out.is_empty() {
            *seen = true;
            self.is_at_last.set(is_last && direct == 0);
            let rest = sent..self.out.len();
            let out = std::mem::take(&mut self.out);
            let mut out = self.send(out, rest).await?;
            out.clear();
            if self.encode == Encode::Chunked {
                // Each piece goes through it.
                self.out = out;
            }
        }
        if direct > 0 {
            *seen = true;
            self.is_at_last.set(is_last);
            let buf = std::mem::take(&mut self.buf);
            self.buf = self.send(buf, 0..direct).await?;
        }
        self.buf.consume(consumed);
        Ok(())
    }

    async fn send(&self, buf: Buf, range: Range<usize>) -> Result<Buf, Fault> {
        let deadline = Deadline::after(self.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.request);
        let (_, outcome, buf) = self.to.send(buf, range, deadline).await;
        match outcome {
            Ok(()) => Ok(buf),
            Err(IoError::Os(_)) => {
                Err(Fault { kind: Kind::ClientGone, detail: "the client left before the end of its answer" })
            }
            Err(IoError::Expired(timer)) => {
                Err(Fault { kind: Kind::TimedOut(timer), detail: "the client stopped reading its answer" })
            }
        }
    }

    /// Reads more of the body, into larger memory once a read has filled what there was.
    async fn read(&mut self) -> Result<usize, Fault> {
        let is_bulky = match self.body {
            Body::Length(left) => left > HEAD_BYTES as u64,
            _ => self.progress.read_filled,
        };
        if self.buf.is_empty() && is_bulky && self.encode != Encode::Chunked {
            self.buf = Buf::bulk();
        }
        self.buf.compact();
        if self.buf.is_leased() && self.buf.spare_bytes() == 0 {
            self.buf.reserve(1);
        }
        let deadline = Deadline::after(self.policy.timeouts.stream_idle, Timer::StreamIdle).or(self.request);
        let got = self.from.recv(&mut self.buf, deadline).await;
        self.progress.read_filled = self.buf.spare_bytes() == 0;
        got.map_err(|error| match error {
            IoError::Os(_) => broken_off(),
            IoError::Expired(timer) => {
                Fault { kind: Kind::TimedOut(timer), detail: "the app stopped inside its answer" }
            }
        })
    }
}

fn broken_off() -> Fault {
    Fault { kind: Kind::UpstreamBrokenOff, detail: "the app broke off inside its answer" }
}

/// A chunk's size line (RFC 9112 section 7.1), at most 16 digits.
pub(crate) fn format_size(mut n: usize, line: &mut [u8; 18]) -> &[u8] {
    line[16..].copy_from_slice(b"\r\n");
    let mut at = 16;
    while n > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[n % 16];
        n /= 16;
    }
    &line[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        assert_eq!(format_size(1, &mut [0; 18]), b"1\r\n");
        assert_eq!(format_size(0x1fa0, &mut [0; 18]), b"1fa0\r\n");
        assert_eq!(format_size(usize::MAX, &mut [0; 18]), b"ffffffffffffffff\r\n");
    }
}
