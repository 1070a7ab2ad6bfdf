//! How a body is framed, and how much of it is still to come.

pub use super::chunked::{BadBody, Piece};
use super::chunked::{Chunked, Keep};

/// A body, somewhere inside it (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none, or it is over.
    None,
    /// So many bytes are still to come, never 0.
    Length(u64),
    Chunked(Chunked),
    /// Ends with the connection; responses alone.
    UntilClose,
}

impl Body {
    pub fn length(bytes: u64) -> Body {
        if bytes == 0 { Body::None } else { Body::Length(bytes) }
    }

    pub fn chunked() -> Body {
        Body::Chunked(Chunked::default())
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self, Body::Chunked(_))
    }

    /// Bytes that are known to come still: of the body, or of its present chunk.
    pub fn announced(&self) -> u64 {
        match self {
            Body::None | Body::UntilClose => 0,
            Body::Length(left) => *left,
            Body::Chunked(chunked) => chunked.announced(),
        }
    }

    /// How long it is is not known before its end.
    pub fn has_open_end(&self) -> bool {
        matches!(self, Body::Chunked(_) | Body::UntilClose)
    }

    /// Nothing of it is still to come.
    pub fn is_over(&self) -> bool {
        matches!(self, Body::None)
    }

    /// Takes what belongs to the body from the front of `bytes`; see [`Chunked::decode`].
    pub fn take(&mut self, bytes: &mut [u8], keep: Keep) -> Result<Piece, BadBody> {
        match self {
            Body::None => Ok(Piece::default()),
            Body::Length(left) => {
                let n = (*left).min(bytes.len() as u64);
                *self = Body::length(*left - n);
                Ok(Piece { kept: n as usize, consumed: n as usize, content: n })
            }
            Body::Chunked(chunked) => {
                let piece = chunked.decode(bytes, keep)?;
                if chunked.is_done() {
                    *self = Body::None;
                }
                Ok(piece)
            }
            Body::UntilClose => Ok(Piece { kept: bytes.len(), consumed: bytes.len(), content: bytes.len() as u64 }),
        }
    }
}
