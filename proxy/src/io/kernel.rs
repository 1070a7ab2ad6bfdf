//! Buffers on their way to the kernel and back: what monoio's owned operations take.

use crate::buf::Buf;

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
    use super::{Fill, Flush};
    use monoio::buf::{IoBuf, IoBufMut};

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
}
