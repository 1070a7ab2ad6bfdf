//! Between the worker that owns a flight and another that has participants of it: one relay a worker, whatever the number of its participants,
//! so that the price of waking a thread is paid by worker and not by participant (R11).
//!
//! Words go from the owner to the other worker through a channel: its length is bounded by the window, for nothing is read that does not fit
//! it. The way back is a [`Line`]: how far the others have come, and whether they are gone.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Outcome;
use super::flight::AnswerHead;
use super::line::Line;
use super::tally::Tally;
use super::window::End;
use crate::fault::Fault;
use crate::pieces::Chunk;

/// What the owner of a flight tells another worker, in order.
#[derive(Debug)]
pub(super) enum Word {
    /// The flight takes it; its tally counts from here on.
    Joined(Arc<Tally>),
    /// There is no such flight any more, or it is full: ask once more.
    Again {
        was_full: bool,
    },
    /// The hash is the same, the request is not.
    Differs,
    Landed(Arc<AnswerHead>),
    Released(Outcome),
    Failed(Fault),
    Chunk(Chunk),
    /// Others wait for the slowest participant of this worker.
    Urged,
    End(End),
}

/// Why another worker does not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Over,
    Full,
    Differs,
}

/// The owner's end.
#[derive(Debug)]
pub(super) struct Relay {
    words: UnboundedSender<Word>,
    line: Arc<Line>,
    /// What was seen of [`Line::passed`].
    at: u64,
    /// It was told that others wait, and has got nothing since.
    is_urged: bool,
}

impl Relay {
    /// The owner's end, and what the other worker has.
    pub fn new() -> (Relay, UnboundedReceiver<Word>, Arc<Line>) {
        let (words, heard) = unbounded_channel();
        let line = Arc::new(Line::default());
        (Relay { words, line: line.clone(), at: 0, is_urged: false }, heard, line)
    }

    /// See [`Line::register`].
    pub fn register(&self, waker: &Waker) {
        self.line.register(waker);
    }

    pub fn is_gone(&self) -> bool {
        self.line.is_gone()
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    /// Somebody there waits for chunk `next`, which has not been read.
    pub fn is_starved(&self, next: u64) -> bool {
        self.line.is_starved(next)
    }

    /// How far it has come by now.
    pub fn look(&mut self) -> u64 {
        self.at = self.line.passed();
        self.at
    }

    /// Nobody listens any more once the other worker's participants are gone.
    fn say(&self, word: Word) {
        let _ = self.words.send(word);
    }

    pub fn join(&self, tally: Arc<Tally>) {
        self.say(Word::Joined(tally));
    }

    pub fn refuse(&self, why: Refusal) {
        self.say(match why {
            Refusal::Over => Word::Again { was_full: false },
            Refusal::Full => Word::Again { was_full: true },
            Refusal::Differs => Word::Differs,
        });
    }

    pub fn land(&self, head: Arc<AnswerHead>) {
        self.say(Word::Landed(head));
    }

    pub fn release(&self, why: Outcome) {
        self.say(Word::Released(why));
    }

    pub fn fail(&self, fault: Fault) {
        self.say(Word::Failed(fault));
    }

    pub fn lose(&self) {
        self.say(Word::Again { was_full: false });
    }

    pub fn push(&mut self, chunk: Chunk) {
        self.is_urged = false;
        self.say(Word::Chunk(chunk));
    }

    pub fn urge(&mut self) {
        if !std::mem::replace(&mut self.is_urged, true) {
            self.say(Word::Urged);
        }
    }

    pub fn finish(&self, end: End) {
        self.say(Word::End(end));
    }
}
