//! Sums that say little of each example: differential privacy, by noise that a device adds before anything leaves it.
//!
//! What is claimed: whoever sees all that a device sends of a run cannot tell its examples from others of which one was
//! replaced, but for (ε, δ), δ = [`DELTA`](crate::privacy::DELTA); how many examples there are is not hidden. An example is centred by a row
//! that everybody knows ([`Reference`]) and clipped to |x|² ≤ C² in whole numbers, C² = [`CLIP`]·m over m directions.
//! With ψ = (x, s·e_y), e_y the unit vector of its class and s² = C²/2, the sums are the blocks of M = Σ ψψᵀ: the
//! products, s times the sums of classes, s² times their examples. Replacing ψ by ψ′ moves M by
//!
//! ```text
//! |ψψᵀ − ψ′ψ′ᵀ|² = |ψ|⁴ + |ψ′|⁴ − 2⟨ψ,ψ′⟩² ≤ 2(C² + s²)²
//! ```
//!
//! in Frobenius' norm, which counts what is off the diagonal twice. So noise of variance σ² off the diagonal and 2σ² on it
//! costs ρ ≤ 2(C² + s²)²/4σ² of zero-concentrated differential privacy, by the discrete Gaussian of several dimensions
//! (Canonne, Kamath, Steinke 2020): σ² = (C² + s²)²/2ρ. The classes' sums then have σ²/s² and their examples 2σ²/s⁴. ρ
//! follows from ε and δ by the same paper's conversion.
//!
//! Devices whose sums are aggregated securely can share the noise ([`Clipped::part`]): each adds one of so many parts, and the
//! total of so many devices has all of it.
//!
//! What is made of the noisy sums afterwards ([`valid`](valid::valid)) sees the examples no more, and costs nothing.

mod clipped;
mod noise;
mod reference;
mod valid;

pub use clipped::Clipped;
pub use reference::{REFERENCE, Reference};
pub use valid::settle;

/// C² of a direction, steps²: rows are about 16 steps a direction long before they are centred, and of the demo's task a
/// third of that afterwards; C is a quarter. 10, 16 and 25 are within 2 points of accuracy of each other there.
const CLIP: u64 = 16;
