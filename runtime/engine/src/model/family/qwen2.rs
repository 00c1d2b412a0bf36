//! Qwen 2 and 2.5: queries, keys and values have a bias; halves of a head rotate together.

use super::Family;
use crate::dual::{Curve, Rotation};

pub(super) const NAME: &str = "qwen2";

pub(super) const FAMILY: Family = Family {
    architecture: NAME,
    rotation: Rotation::Halves,
    rope_factors: false,
    biases: true,
    head_norms: false,
    post_norms: false,
    curve: Curve::Silu,
    scaled_embedding: false,
    windows: None,
};
