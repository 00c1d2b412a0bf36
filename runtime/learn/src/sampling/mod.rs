//! Tokens drawn from a model's logits: by their coordinates alone, so that the same seed writes the same text. [`Sampler`] draws
//! from all of them; [`Chooser`] takes the likeliest, or narrows first who may be drawn; [`Writing`] makes texts of its choices.

mod decoding;
mod sampler;
mod stops;
mod writing;

pub use decoding::{Chooser, Decoding, DecodingError};
pub use sampler::{ConfidenceAt, Sampler, likeliest, log_probabilities};
pub use stops::{MOST_STOP_BYTES, MOST_STOPS, Stops};
pub use writing::{End, Writing, Written};
