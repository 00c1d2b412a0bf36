//! Answers from a board. Doors ([`http`], [`mqtt`]) take questions from outside and lay them on a [`Desk`], which has few
//! places; one [`Answerer`], who has the model, takes them up one after another and writes each answer, token by token, to
//! whoever asked. Nobody who reads slowly holds up the others: an answer's pieces wait in a queue of its own, which is as long as
//! the longest answer may be.

mod answerer;
mod completion;
mod desk;
mod host;
pub mod http;
pub mod mqtt;
mod question;
mod rate;
pub mod status;

pub use answerer::{Answerer, Outfit, Told};
pub use desk::{Answer, Desk, Model, Part, Piece, Score, Scored, Seat, desk};
pub use question::{
    Completion, Limits, MOST_BYTES, MOST_SCORES, MOST_TOKENS, Prompt, Question, Refusal, Task, Turn,
};
pub use rate::Rate;
