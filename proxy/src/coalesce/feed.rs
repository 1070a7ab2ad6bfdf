//! What holds another worker's flight on this one: in the place of a carrier, it hands on what the owner tells.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Outcome;
use super::board::Board;
use super::flight::Flight;
use super::lead::BROKEN_OFF;
use super::relay::Word;
use super::window::End;

/// The flight of another worker, as this worker's participants see it.
pub(crate) struct Feed {
    board: Rc<Board>,
    flight: Rc<Flight>,
    heard: UnboundedReceiver<Word>,
    is_urged: bool,
    /// Nothing follows.
    is_over: bool,
}

/// What a feed waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// Nothing more comes, or nobody is left.
    Over,
    /// Others wait for the slowest participant of this worker.
    Urged,
}

impl Feed {
    pub(super) fn new(board: Rc<Board>, flight: Rc<Flight>, heard: UnboundedReceiver<Word>) -> Feed {
        Feed { board, flight, heard, is_urged: false, is_over: false }
    }

    /// Hands on what has been heard. Ready at the end; while participants of this worker keep others waiting too, so that time is measured.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fed> {
        while let Poll::Ready(word) = self.heard.poll_recv(cx) {
            let Some(word) = word else { return Poll::Ready(Fed::Over) };
            self.is_over = self.hear(word);
            if self.is_over {
                return Poll::Ready(Fed::Over);
            }
        }
        ready!(self.flight.poll_pilot(cx, |flight| flight.is_deserted() || self.has_laggards()));
        Poll::Ready(if self.flight.is_deserted() { Fed::Over } else { Fed::Urged })
    }

    fn has_laggards(&self) -> bool {
        self.flight.is_full() && (self.is_urged || self.flight.has_starved())
    }

    /// Others have waited for so long.
    pub fn charge(&self, waited: Duration) {
        if self.has_laggards() {
            self.flight.charge(waited);
        }
    }

    /// True: nothing follows.
    fn hear(&mut self, word: Word) -> bool {
        match word {
            Word::Joined(tally) => self.flight.adopt(tally),
            Word::Landed(head) => {
                self.board.close(&self.flight);
                self.board.learn(&self.flight, Outcome::Shared);
                self.flight.land(head);
            }
            Word::Chunk(chunk) => {
                self.is_urged = false;
                self.flight.push(chunk);
            }
            Word::Urged => self.is_urged = true,
            Word::End(end) => {
                self.flight.finish(end);
                return true;
            }
            Word::Released(why) => {
                self.board.close(&self.flight);
                self.board.learn(&self.flight, why);
                self.flight.release(why);
                return true;
            }
            Word::Failed(fault) => {
                self.board.close(&self.flight);
                self.flight.fail(fault);
                return true;
            }
            Word::Again { was_full } => {
                self.board.close(&self.flight);
                self.flight.lose(was_full);
                return true;
            }
            Word::Differs => {
                self.board.close(&self.flight);
                self.flight.release(Outcome::Full);
                return true;
            }
        }
        false
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.board.close(&self.flight);
        self.flight.lose(false);
        self.flight.finish(End::Aborted(BROKEN_OFF));
        // What has come whole is counted at its owner until the last participant has it. What comes no more nobody here waits for.
        let is_left = !self.is_over || self.flight.is_deserted();
        if let Some(line) = self.flight.line.borrow().as_ref().filter(|_| is_left) {
            line.leave();
        }
    }
}
