//! Where questions wait: a few places, and for each question a queue of its answer's pieces.

use crate::question::{MOST_TOKENS, Question, Refusal, Task};
use serde::Serialize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc as pieces;

/// Part of an answer, in order; the last is [`Piece::Done`] or [`Piece::Refused`].
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text that follows what came before.
    Text(String),
    /// All of it.
    Done(Answer),
    /// There is none.
    Refused(Refusal),
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// What was written; of a label the likeliest.
    pub text: String,
    /// Why it ends: `stop` where the model ended it, `length` where the question did, `interrupted` where
    /// the server did; `label`.
    pub finish_reason: &'static str,
    /// Tokens of the question.
    pub prompt_tokens: usize,
    /// Tokens that were written.
    pub completion_tokens: usize,
    /// Each label with its probability among all, the likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// Whether the text was too long, and lost its end.
    pub cut: bool,
    /// Share of the shared adapter in each routed block, where a personal state answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<f64>>,
    /// Blocks that the device's own adapter has most of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_blocks: Option<Vec<usize>>,
}

/// A label, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// Its name.
    pub label: String,
    /// Its probability among all labels.
    pub probability: f64,
}

/// A question on its way, and where its answer goes.
pub(crate) struct Waiting {
    pub question: Question,
    pub to: pieces::Sender<Piece>,
}

/// What doors lay questions on; every door has its own handle.
#[derive(Clone, Debug)]
pub struct Desk {
    places: usize,
    waiting: SyncSender<Waiting>,
}

/// Where the one who answers sits.
#[derive(Debug)]
pub struct Seat {
    waiting: Receiver<Waiting>,
}

/// A desk with `places` for questions that wait.
pub fn desk(places: usize) -> (Desk, Seat) {
    let (to, waiting) = sync_channel(places.max(1));
    (Desk { places: places.max(1), waiting: to }, Seat { waiting })
}

impl Desk {
    /// Lays a question down; its answer comes in pieces. Whoever drops the receiver wants no more.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where all places are taken.
    pub fn ask(&self, question: Question) -> Result<pieces::Receiver<Piece>, Refusal> {
        let most = match &question.task {
            Task::Completion { max_tokens, .. } => (*max_tokens).min(MOST_TOKENS),
            Task::Class { .. } => 0,
        };
        // As many places as there can be pieces: nobody waits for a slow reader.
        let (to, from) = pieces::channel(most + 2);
        match self.waiting.try_send(Waiting { question, to }) {
            Ok(()) => Ok(from),
            Err(TrySendError::Full(_)) => Err(Refusal::Busy(self.places)),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Failed("the server is ending".to_owned())),
        }
    }
}

impl Seat {
    /// The next question, if one comes within `wait`; an error once every door is gone.
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<Waiting>, Gone> {
        match self.waiting.recv_timeout(wait) {
            Ok(waiting) => Ok(Some(waiting)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }
}

/// No door is left.
pub(crate) struct Gone;

#[cfg(test)]
mod tests {
    use super::*;

    fn question(max_tokens: usize) -> Question {
        Question { task: Task::Completion { prompt: "a".into(), raw: true, max_tokens }, stream: true }
    }

    #[test]
    fn a_desk_has_so_many_places_and_nobody_waits_for_a_reader() {
        let (desk, seat) = desk(2);
        let mut first = desk.ask(question(3)).unwrap();
        let second = desk.ask(question(3)).unwrap();
        assert_eq!(desk.ask(question(3)).unwrap_err(), Refusal::Busy(2));
        let waiting = seat.next(Duration::ZERO).ok().unwrap().unwrap();
        assert!(desk.ask(question(1)).is_ok());
        for piece in ["x", "y", "z"] {
            waiting.to.try_send(Piece::Text(piece.into())).unwrap();
        }
        waiting.to.try_send(Piece::Done(Answer::default())).unwrap();
        assert_eq!(first.blocking_recv(), Some(Piece::Text("x".into())));
        drop(second);
        let gone = seat.next(Duration::ZERO).ok().unwrap().unwrap();
        assert!(gone.to.is_closed(), "its asker went away");
    }
}
