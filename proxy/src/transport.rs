//! A connection that carries plain bytes, whatever is below: TCP or TLS.

use std::io;
use std::ops::Range;
use std::task::Context;

use crate::buf::{Buf, HEAD_BYTES};
use crate::io::{Deadline, IoError, SentNow, Stream};
use crate::pieces::Pieces;
use crate::tls::{TlsError, TlsStream};

/// One reader and one writer at once.
pub(crate) enum Transport {
    Plain(Stream),
    Tls(Box<TlsStream>),
}

impl Transport {
    /// See [`Stream::recv`].
    pub async fn recv(&self, buf: &mut Buf, deadline: Deadline) -> Result<usize, IoError> {
        match self {
            Transport::Plain(stream) => stream.recv(buf, deadline).await,
            Transport::Tls(tls) => tls.recv(buf, deadline).await.map_err(plain),
        }
    }

    /// As [`Transport::recv`], beside another wait. One that seldom brings anything holds little memory, under io_uring too; `is_likely`: a client
    /// that has sent more than was asked for will do so again, and much at a time.
    pub async fn recv_aside(&self, buf: &mut Buf, deadline: Deadline, is_likely: bool) -> Result<usize, IoError> {
        let lend = if is_likely { Buf::waiting } else { Buf::little };
        match self {
            Transport::Plain(stream) => stream.recv_lent(buf, deadline, lend).await,
            Transport::Tls(tls) => tls.recv_lent(buf, deadline, lend).await.map_err(plain),
        }
    }

    /// See [`Stream::send_now`].
    pub fn send_now(&self, bytes: &[u8]) -> SentNow {
        match self {
            Transport::Plain(stream) => stream.send_now(bytes),
            Transport::Tls(tls) => tls.send_now(bytes),
        }
    }

    /// See [`Stream::send`].
    pub async fn send(&self, buf: Buf, range: Range<usize>, deadline: Deadline) -> (usize, Result<(), IoError>, Buf) {
        match self {
            Transport::Plain(stream) => stream.send(buf, range, deadline).await,
            Transport::Tls(tls) => {
                let (sent, outcome, buf) = tls.send(buf, range, deadline).await;
                (sent, outcome.map_err(plain), buf)
            }
        }
    }

    /// See [`Stream::send_pieces`].
    pub async fn send_pieces(&self, pieces: &mut Pieces, deadline: Deadline) -> Result<(), IoError> {
        match self {
            Transport::Plain(stream) => stream.send_pieces(pieces, deadline).await,
            // They are copied into records anyway.
            Transport::Tls(tls) => {
                while !pieces.is_empty() {
                    let mut out = if pieces.len() > HEAD_BYTES { Buf::bulk() } else { Buf::head() };
                    pieces.copy_to(&mut out);
                    let all = 0..out.len();
                    tls.send(out, all, deadline).await.1.map_err(plain)?;
                }
                Ok(())
            }
        }
    }

    /// Says that no more bytes follow; what was sent still arrives.
    pub async fn finish(&self, deadline: Deadline) {
        match self {
            Transport::Plain(stream) => stream.finish(),
            Transport::Tls(tls) => tls.finish(deadline).await,
        }
    }

    /// Bytes have come that nobody has read, where the client has closed its side and nobody reads.
    pub fn has_unread(&self, cx: &Context<'_>) -> bool {
        match self {
            Transport::Plain(stream) => stream.has_unread(cx),
            Transport::Tls(tls) => tls.has_unread(cx),
        }
    }

    /// See [`Stream::may_have_come`].
    pub fn may_have_come(&self) -> bool {
        match self {
            Transport::Plain(stream) => stream.may_have_come(),
            Transport::Tls(tls) => tls.may_have_come(),
        }
    }

    /// Nothing is left to send or to read: only then may nobody wait for it.
    pub fn is_at_rest(&self) -> bool {
        match self {
            Transport::Plain(_) => true,
            Transport::Tls(tls) => tls.is_at_rest(),
        }
    }

    /// What is to be said on a connection at rest before it is closed without a wait.
    pub fn farewell(&self) {
        if let Transport::Tls(tls) = self {
            tls.farewell();
        }
    }

    /// The socket below.
    pub fn socket(&self) -> &Stream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => tls.io(),
        }
    }
}

fn plain(error: TlsError) -> IoError {
    match error {
        TlsError::Io(error) => error,
        TlsError::Protocol(_) | TlsError::Closed | TlsError::NoMemory => IoError::Os(io::ErrorKind::InvalidData.into()),
    }
}
