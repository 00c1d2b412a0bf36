//! Gemma 3, text: the embedding is scaled by the root of the width, each branch goes through a second norm before it joins the
//! stream, the gate is a GELU, each head of queries and keys has a norm, halves of a head rotate together. Of so many blocks
//! all but the last see a window of the text, and rotate to a base of their own. Gains have their 1 in the file.

use super::{Family, Pattern};
use crate::dual::{Curve, Rotation};

pub(super) const NAME: &str = "gemma3";

pub(super) const FAMILY: Family = Family {
    architecture: NAME,
    rotation: Rotation::Halves,
    rope_factors: false,
    biases: false,
    head_norms: true,
    post_norms: true,
    curve: Curve::Gelu,
    scaled_embedding: true,
    // Where the file does not say otherwise, as Gemma 3's do not.
    windows: Some(Pattern { every: 6, rope_base: 10_000.0 }),
};
