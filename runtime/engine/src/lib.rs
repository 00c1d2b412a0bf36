//! The engine: a GGUF model, its tokenizer, the kernels over its quantised blocks, and one forward
//! pass that carries any number of tangents. It turns a batch and a set of directions into
//! (loss, directional derivatives); what to do with those is `sprig-learn`'s business.

pub mod adapter;
pub mod dual;
pub mod gguf;
pub mod kernels;
pub mod model;
pub mod tokenizer;

/// Revision of the arithmetic: one more with every change after which the same model and data give other bits, however
/// slightly. Activations on a disk are keyed by it, since the program's version stays the same from one build to the
/// next. A test holds the bits of this revision.
pub const ARITHMETIC: u32 = 1;
