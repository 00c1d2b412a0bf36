//! Llama: neighbouring dimensions rotate together, as llama.cpp's converter lays queries and keys out. Llama 3.1 and later
//! have factors of the angles in a tensor.

use super::Family;
use crate::dual::{Curve, Rotation};

pub(super) const NAME: &str = "llama";

pub(super) const FAMILY: Family = Family {
    architecture: NAME,
    rotation: Rotation::Pairs,
    rope_factors: true,
    biases: false,
    head_norms: false,
    post_norms: false,
    curve: Curve::Silu,
    scaled_embedding: false,
    windows: None,
};
