//! Where questions wait: a few places, and for each question a queue of its answer's pieces.

use crate::question::{Question, Refusal, Task};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc as pieces;

/// Part of an answer, in order; the last is [`Piece::Done`] or [`Piece::Refused`].
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text that follows what came before.
    Text(Part),
    /// All of it.
    Done(Answer),
    /// There is none.
    Refused(Refusal),
}

/// Some text of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// It.
    pub text: String,
    /// Its tokens, where their probabilities are wanted.
    pub scores: Vec<Score>,
}

/// A token that was written, and how likely it was by the model alone, before a temperature or anything else.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What it stands for.
    pub token: Scored,
    /// The likeliest in its place, in their order.
    pub rivals: Vec<Scored>,
}

/// A token's bytes, and the natural logarithm of its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Possibly part of a character.
    pub bytes: Box<[u8]>,
    /// 0 or less.
    pub logprob: f32,
}

/// Who may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What it is called.
    pub name: String,
    /// Whether it has labels to choose from.
    pub labels: bool,
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
    /// Who is asked: a place among the models.
    pub model: usize,
    pub to: pieces::Sender<Piece>,
}

/// What doors lay questions on; every door has its own handle.
#[derive(Clone, Debug)]
pub struct Desk {
    places: usize,
    models: Arc<[Model]>,
    refused: Arc<AtomicU64>,
    waiting: SyncSender<Waiting>,
}

/// Where the one who answers sits.
#[derive(Debug)]
pub struct Seat {
    waiting: Receiver<Waiting>,
}

/// A desk with `places` for questions that wait, to be answered by one of `models`: the first unless a question names another.
pub fn desk(places: usize, models: Vec<Model>) -> (Desk, Seat) {
    let (to, waiting) = sync_channel(places.max(1));
    let desk = Desk { places: places.max(1), models: models.into(), refused: Arc::default(), waiting: to };
    (desk, Seat { waiting })
}

impl Desk {
    /// Who may be asked.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Questions that found no place, as they are counted on.
    pub fn refused(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.refused)
    }

    /// The place of the model of that name.
    ///
    /// # Errors
    /// [`Refusal::NoModel`] where there is none.
    pub fn model(&self, name: Option<&str>) -> Result<usize, Refusal> {
        let Some(name) = name else { return Ok(0) };
        self.models.iter().position(|model| model.name == name).ok_or_else(|| {
            let models: Vec<String> = self.models.iter().map(|model| format!("`{}`", model.name)).collect();
            Refusal::NoModel { name: name.chars().take(64).collect(), models: models.join(", ") }
        })
    }

    /// Lays a question down; its answer comes in pieces. Whoever drops the receiver wants no more.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where all places are taken, [`Refusal::NoModel`] where nobody has the name.
    pub fn ask(&self, question: Question) -> Result<pieces::Receiver<Piece>, Refusal> {
        let model = self.model(question.model.as_deref())?;
        let most = match &question.task {
            Task::Completion(asked) => asked.most(),
            Task::Class { .. } => 0,
        };
        // As many places as there can be pieces: nobody waits for a slow reader.
        let (to, from) = pieces::channel(most + 2);
        match self.waiting.try_send(Waiting { question, model, to }) {
            Ok(()) => Ok(from),
            Err(TrySendError::Full(_)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Refusal::Busy(self.places))
            }
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

    use crate::question::{Completion, Prompt};

    fn question(max_tokens: usize) -> Question {
        let asked = Completion::greedy(Prompt::Raw("a".into()), Some(max_tokens));
        Question { model: None, task: Task::Completion(Box::new(asked)), stream: true }
    }

    fn two() -> Vec<Model> {
        ["base", "desks"].map(|name| Model { name: name.to_owned(), labels: false }).to_vec()
    }

    #[test]
    fn a_desk_has_so_many_places_and_nobody_waits_for_a_reader() {
        let (desk, seat) = desk(2, two());
        let mut first = desk.ask(question(3)).unwrap();
        let second = desk.ask(question(3)).unwrap();
        assert_eq!(desk.ask(question(3)).unwrap_err(), Refusal::Busy(2));
        assert_eq!(desk.refused().load(Ordering::Relaxed), 1);
        let waiting = seat.next(Duration::ZERO).ok().unwrap().unwrap();
        assert!(desk.ask(question(1)).is_ok());
        let text = |piece: &str| Piece::Text(Part { text: piece.into(), scores: Vec::new() });
        for piece in ["x", "y", "z"] {
            waiting.to.try_send(text(piece)).unwrap();
        }
        waiting.to.try_send(Piece::Done(Answer::default())).unwrap();
        assert_eq!(first.blocking_recv(), Some(text("x")));
        drop(second);
        let gone = seat.next(Duration::ZERO).ok().unwrap().unwrap();
        assert!(gone.to.is_closed(), "its asker went away");
    }

    #[test]
    fn a_question_reaches_the_model_that_it_names() {
        let (desk, seat) = desk(2, two());
        let _one = desk.ask(Question { model: Some("desks".into()), ..question(1) }).unwrap();
        let _other = desk.ask(question(1)).unwrap();
        assert_eq!([0, 1].map(|_| seat.next(Duration::ZERO).ok().unwrap().unwrap().model), [1, 0]);
        let unknown = desk.ask(Question { model: Some("desk".into()), ..question(1) }).unwrap_err();
        assert_eq!(unknown.to_string(), "no model `desk` here; `base`, `desks` answer");
    }
}
