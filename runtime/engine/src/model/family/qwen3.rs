//! Qwen 3: no biases; each head of queries and keys has a norm, and a width of its own; halves of a head rotate together.

use super::Family;
use crate::dual::{Curve, Rotation};

pub(super) const NAME: &str = "qwen3";

pub(super) const FAMILY: Family = Family {
    architecture: NAME,
    rotation: Rotation::Halves,
    rope_factors: false,
    biases: false,
    head_norms: true,
    post_norms: false,
    curve: Curve::Silu,
    scaled_embedding: false,
    windows: None,
};
