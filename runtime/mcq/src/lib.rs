//! Math questions whose wrong answers follow from named student errors: made from a seed, judged by execution, so
//! that no opinion is asked for (the LookAlike specification, 6.4 to 6.10).
//!
//! An error is a function of a stem ([`apply`]); a [`Family`] gives ranges of stems and the errors asked about; a
//! [`Maker`] draws [`Item`]s; a [`Suite`] deals them into splits; [`canon()`] and [`metrics`] judge what a model
//! writes.

pub mod canon;
pub mod metrics;

mod answer;
mod code;
mod domain;
mod draw;
mod errors;
mod family;
mod item;
mod key;
mod line;
mod maker;
mod manifest;
mod ratio;
mod share;
mod stem;
mod suite;
mod tellings;
mod template;
mod texts;
mod verdict;

pub use answer::{Answer, COEFFICIENTS, Form, Number, Polynomial};
pub use canon::{Unparsable, canon};
pub use code::{Code, Source};
pub use domain::OutOfDomain;
pub use errors::{apply, explain};
pub use family::Family;
pub use item::{DISTRACTORS, Fault, Item, Options, TooFew};
pub use key::{agree, key};
pub use line::{BadLine, Line, LineError, MAX_LINE};
pub use maker::{ATTEMPTS, Maker, NoItem, Wording};
pub use manifest::{Manifest, PartRecord};
pub use ratio::Ratio;
pub use share::Share;
pub use stem::{Decimal, Fraction, LARGEST, Operation, Stem};
pub use suite::{Asked, BadPlan, Holdout, Part, Plan, Split, Suite};
pub use tellings::PARAPHRASES;
pub use template::Template;
pub use verdict::{DENOMINATOR_LIMIT, Standing, VALUE_LIMIT, Verdict};
