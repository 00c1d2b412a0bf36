//! Training data: records of JSON or of tables to token examples, and the order in which they are visited.
//!
//! | task | record | example |
//! |---|---|---|
//! | `lm` | `{prompt, completion}`, `{instruction, input, output}` | chat prompt, completion, end of turn; only the last two are targets |
//! | `lm` | `{messages}`, `{conversations}` | the chat; only what the assistant says, and the ends of its turns, are targets |
//! | `lm` | `{text}` | the text as it is; every token after the first is a target |
//! | `label` | `{text, label}` | a prompt that asks for the label; candidates are one token a label |
//! | `choice` | `{question, choices, answer}` | a prompt that lists the choices; candidates are the letters |
//! | `pair` | `{prompt, chosen, rejected}` | the chat prompt, the preferred completion and the other one, which both follow it |
//!
//! Special tokens written out in the data, such as `<|im_end|>`, become those tokens, as they do in a prompt.

mod array;
mod asking;
mod chat;
mod collect;
mod column;
mod conversation;
mod encode;
mod encoded;
mod encoders;
mod error;
mod examples;
mod fields;
mod files;
mod held_back;
mod input;
mod labels;
mod lengths;
mod lines;
mod options;
mod packed;
mod part;
mod prompt;
mod record;
mod room;
mod rows;
mod set;
mod shuffle;
mod survey;
mod table;
mod texts;
mod walk;
mod words;

pub use asking::{Asked, Asker, LABEL_TEMPLATE, RAW_LABEL_TEMPLATE};
pub use error::{DataError, Problem};
pub use examples::Examples;
pub use fields::Columns;
pub use files::{MAX_FILES, files, is_table};
pub use held_back::held_back;
pub use input::MAX_LINE;
pub use labels::{LabelStyle, Labels, MAX_LABELS};
pub use lengths::Lengths;
pub use options::{LoadOptions, MAX_DATA_BYTES, Overflow, TOLD_EVERY};
pub use packed::{Example, Pause, Target};
pub use part::Part;
pub use prompt::{OPTIONS, TEXT, answer, prompt};
pub use record::{CHOICES, Task};
pub use room::RECORD_BYTES;
pub use set::DataSet;
pub use shuffle::Shuffle;
pub use survey::{Sample, Survey, Tokens};
pub use texts::{MAX_TEXT, Texts};
