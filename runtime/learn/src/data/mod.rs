//! Training data: JSONL records to token examples, and the order in which they are visited.
//!
//! | task | record | example |
//! |---|---|---|
//! | `lm` | `{prompt, completion}` | chat prompt, completion, end of turn; only the last two are targets |
//! | `lm` | `{text}` | the text as it is; every token after the first is a target |
//! | `label` | `{text, label}` | a prompt that asks for the label; candidates are one token a label |
//! | `choice` | `{question, choices, answer}` | a prompt that lists the choices; candidates are the letters |
//! | `pair` | `{prompt, chosen, rejected}` | the chat prompt, the preferred completion and the other one, which both follow it |
//!
//! Special tokens written out in the data, such as `<|im_end|>`, become those tokens, as they do in a prompt.

mod asking;
mod collect;
mod encode;
mod error;
mod examples;
mod files;
mod held_back;
mod labels;
mod lines;
mod options;
mod prompt;
mod record;
mod room;
mod set;
mod shuffle;

pub use asking::{Asked, Asker};
pub use encode::{LABEL_TEMPLATE, RAW_LABEL_TEMPLATE};
pub use error::{DataError, Problem};
pub use examples::Examples;
pub use files::{MAX_FILES, files};
pub use held_back::held_back;
pub use labels::{LabelStyle, Labels, MAX_LABELS};
pub use lines::MAX_LINE;
pub use options::{LoadOptions, MAX_DATA_BYTES};
pub use prompt::{OPTIONS, TEXT, answer, prompt};
pub use record::{CHOICES, Task};
pub use room::RECORD_BYTES;
pub use set::{DataSet, Example, Target};
pub use shuffle::Shuffle;
