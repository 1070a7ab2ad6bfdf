//! Buffers on their way to the kernel and back: what monoio's owned operations take.

use crate::buf::Buf;
use crate::pieces::Pieces;

/// Pieces that are sent by one call. The kernel takes at most 1,024 (UIO_MAXIOV).
pub const PIECES_PER_CALL: usize = 128;

/// Where the pieces to be sent by one call lie.
pub type Places = [libc::iovec; PIECES_PER_CALL];

/// Writes down where the first pieces lie; returns how many it were. They stay there while `pieces` is not changed.
pub fn place(pieces: &Pieces, places: &mut Places) -> usize {
    let slices = pieces.slices().take(PIECES_PER_CALL);
    places.iter_mut().zip(slices).map(|(place, slice)| *place = place_of(slice)).count()
}

fn place_of(slice: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() }
}

/// No place.
pub const NOWHERE: Places = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PIECES_PER_CALL];

/// Pieces on their way to the kernel.
pub struct Scattered {
    pieces: Pieces,
    places: Vec<libc::iovec>,
}

impl Scattered {
    pub fn new(pieces: Pieces) -> Scattered {
        let mut places = Vec::with_capacity(pieces.count().min(PIECES_PER_CALL));
        places.extend(pieces.slices().take(PIECES_PER_CALL).map(place_of));
        Scattered { pieces, places }
    }

    pub fn into_pieces(self) -> Pieces {
        self.pieces
    }
}

/// A buffer on its way to the kernel to be filled: the kernel writes into the spare part.
#[derive(Debug)]
pub struct Fill(pub Buf);

/// A buffer on its way to the kernel to be sent: `filled()[from..to]`.
#[derive(Debug)]
pub struct Flush {
    pub buf: Buf,
    pub from: usize,
    pub to: usize,
}

#[allow(unsafe_code)]
mod owned {
    use super::{Fill, Flush, Scattered};
    use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};

    // SAFETY: the memory is on the heap behind a Box, so the address stays when the value moves; the range is within it.
    unsafe impl IoBuf for Flush {
        fn read_ptr(&self) -> *const u8 {
            self.buf.filled()[self.from..].as_ptr()
        }

        fn bytes_init(&self) -> usize {
            self.to - self.from
        }
    }

    // SAFETY: as above; `set_init` is called with what the kernel wrote, at most `bytes_total`.
    unsafe impl IoBufMut for Fill {
        fn write_ptr(&mut self) -> *mut u8 {
            self.0.spare().as_mut_ptr()
        }

        fn bytes_total(&mut self) -> usize {
            self.0.spare_bytes()
        }

        unsafe fn set_init(&mut self, n: usize) {
            self.0.fill(n);
        }
    }

    // SAFETY: the places are on the heap, and so are the pieces they point to: behind a Box, or behind an Arc that `pieces` holds. Nothing
    // changes `pieces` while it is in here.
    unsafe impl IoVecBuf for Scattered {
        fn read_iovec_ptr(&self) -> *const libc::iovec {
            self.places.as_ptr()
        }

        fn read_iovec_len(&self) -> usize {
            self.places.len()
        }
    }
}
