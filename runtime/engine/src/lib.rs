//! The engine: a GGUF model, its tokenizer, the kernels over its quantised blocks, and one forward
//! pass that carries any number of tangents. It turns a batch and a set of directions into
//! (loss, directional derivatives); what to do with those is `sprig-learn`'s business.

pub mod adapter;
pub mod dual;
pub mod gguf;
pub mod kernels;
pub mod model;
pub mod tokenizer;
