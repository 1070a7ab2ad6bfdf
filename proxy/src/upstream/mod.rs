//! One exchange with the app: the request goes up, the answer comes down, both at once where both are long.
//!
//! In: connections, bytes, framing, deadlines. Out: a response head, moved bodies, or a [`Fault`]. Must not know: routes, flights.
//! A body is pulled by the side that writes: nothing is read before what was read has been taken, so memory is bounded by one buffer a direction.

mod download;
mod upload;

pub(crate) use download::{Download, Encode, Ended, Progress, format_size};
pub(crate) use upload::{Alongside, Upload, UploadEnd, Uploaded, refused};

use std::cell::Cell;

use crate::buf::Buf;
use crate::fault::{Fault, Kind};
use crate::h1::{self, HeadLimits, ResponseHead};
use crate::http::{Fields, Method};
use crate::io::{Deadline, IoError, Stream};

/// Bytes moved before the other tasks of the worker have their turn: a tenth of a millisecond's work, so that a few transfers that never pause
/// cost a small request beside them less than one.
pub(crate) const BYTES_IN_A_ROW: usize = 256 * 1024;

/// What a piece counts for at least: many small ones cost as much as a large one.
const BYTES_COUNTED_MIN: usize = 16 * 1024;

/// How far something came without a wait.
pub(crate) enum Started<Done, Rest> {
    Done(Done),
    /// This is left to run.
    Underway(Rest),
}

/// Bounds of a response head. The app is trusted more than a client, its garbage not.
const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: h1::FIELDS_MAX };

/// Why no response head came.
#[derive(Debug)]
pub(crate) struct NoHead {
    pub fault: Fault,
    /// Not a byte of an answer: where the connection had been idle, it may just have gone stale.
    pub nothing_came: bool,
}

/// Reads one response head, interim or final; its bytes are the first of `buf`. `deadline` may move while it waits.
pub(crate) async fn read_head(
    stream: &Stream,
    buf: &mut Buf,
    method: Method,
    fields: &mut Fields,
    deadline: &Cell<Deadline>,
) -> Result<ResponseHead, NoHead> {
    loop {
        if !buf.is_empty() {
            let parsed = h1::parse_response(buf.filled(), method, HEAD_LIMITS, fields);
            if let Some(head) = parsed.map_err(|fault| NoHead { fault, nothing_came: false })? {
                return Ok(head);
            }
        }
        if buf.is_leased() && buf.spare_bytes() == 0 {
            buf.reserve(buf.len());
        }
        let got = stream.recv(buf, deadline.get()).await;
        let nothing_came = buf.is_empty();
        let fault = match got {
            Ok(1..) => continue,
            Ok(0) => Fault { kind: Kind::UpstreamClosed, detail: "the app closed the connection without an answer" },
            Err(IoError::Os(_)) => {
                Fault { kind: Kind::UpstreamClosed, detail: "the app broke the connection off before its answer" }
            }
            Err(IoError::Expired(timer)) => {
                Fault { kind: Kind::TimedOut(timer), detail: "the app did not answer in time" }
            }
        };
        return Err(NoHead { fault, nothing_came: nothing_came && !matches!(fault.kind, Kind::TimedOut(_)) });
    }
}
