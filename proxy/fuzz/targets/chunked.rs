//! A chunked body, however it is cut, against a decoder that sees it whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipstream_fuzz::chunks;
use slipstream_fuzz::splits::Pieces;
use slipstream_proxy::fuzzing::{BadBody, Body, Keep};

/// Ways to cut one input, beside whole and byte by byte.
const WAYS: u64 = 3;
/// No more than this waits in memory for the end of a trailer section.
const WAITING_BYTES_MAX: usize = 8 * 1024;

fuzz_target!(|bytes: &[u8]| {
    for keep in [Keep::Data, Keep::Frames] {
        let whole = decode(bytes, keep, std::iter::repeat(bytes.len().max(1)));
        // Byte by byte, a long trailer section is searched from its start for each byte.
        if bytes.len() < 1024 {
            assert_eq!(whole, decode(bytes, keep, std::iter::repeat(1)), "byte by byte");
        }
        for way in 0..WAYS {
            assert_eq!(whole, decode(bytes, keep, Pieces::of(bytes, way)), "cut in way {way}");
        }
        let ended = whole.as_ref().ok().filter(|read| read.is_over);
        let reference = chunks::decode(bytes);
        assert_eq!(ended.is_some(), reference.is_some(), "{whole:?}, but slowly: {reference:?}");
        if let (Some(read), Some(reference)) = (ended, reference) {
            let kept = if keep == Keep::Data { &reference.content } else { &reference.frames };
            assert_eq!(&read.kept, kept);
            assert_eq!((read.content, &*read.rest), (reference.content.len() as u64, reference.rest));
            if keep == Keep::Frames {
                let again = chunks::decode(&read.kept).expect("what goes on is a body");
                assert_eq!((again.content, &again.frames, again.rest), (reference.content, &read.kept, &b""[..]));
            }
        }
    }
});

#[derive(Debug, PartialEq, Eq)]
struct Read {
    is_over: bool,
    kept: Vec<u8>,
    content: u64,
    rest: Vec<u8>,
}

/// Feeds the decoder as a connection does: what it does not use up stays in front of what comes next.
fn decode(bytes: &[u8], keep: Keep, pieces: impl Iterator<Item = usize>) -> Result<Read, BadBody> {
    let (mut body, mut buffer, mut left) = (Body::chunked(), Vec::new(), bytes);
    let mut read = Read { is_over: false, kept: Vec::new(), content: 0, rest: Vec::new() };
    for piece in pieces {
        if left.is_empty() {
            break;
        }
        let (came, later) = left.split_at(piece.min(left.len()));
        buffer.extend_from_slice(came);
        left = later;
        let given = buffer.clone();
        let piece = body.take(&mut buffer, keep)?;
        assert!(piece.kept <= piece.consumed && piece.consumed <= given.len(), "{piece:?} of {}", given.len());
        assert!(piece.content <= piece.kept as u64 && (keep == Keep::Frames || piece.content == piece.kept as u64));
        assert_eq!(buffer[piece.consumed..], given[piece.consumed..], "what is not used up is left alone");
        read.kept.extend_from_slice(&buffer[..piece.kept]);
        read.content += piece.content;
        buffer.drain(..piece.consumed);
    }
    read.is_over = body.is_over();
    assert!(read.is_over || buffer.len() < WAITING_BYTES_MAX, "{} bytes wait", buffer.len());
    read.rest = buffer;
    Ok(read)
}
