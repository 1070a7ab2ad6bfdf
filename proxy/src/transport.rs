//! A connection that carries plain bytes, whatever is below: TCP or TLS.

use std::io;
use std::ops::Range;

use crate::buf::Buf;
use crate::io::{Deadline, IoError, SentNow, Stream};
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

    /// Says that no more bytes follow; what was sent still arrives.
    pub async fn finish(&self, deadline: Deadline) {
        match self {
            Transport::Plain(stream) => stream.finish(),
            Transport::Tls(tls) => tls.finish(deadline).await,
        }
    }

    /// Bytes have come that nobody has read, where the client has closed its side and nobody reads.
    pub fn has_unread(&self) -> bool {
        match self {
            Transport::Plain(stream) => stream.has_unread(),
            Transport::Tls(tls) => tls.has_unread(),
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
