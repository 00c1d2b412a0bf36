//! The read-out: a label or choice task learnt in closed form, from one plain pass over the examples.
//!
//! Of each example two rows are taken at the position that answers: what the last block's down projection multiplies, and
//! the stream that the final norm sees. The former goes into [`Sums`], exact ones in whole numbers, which are all that is
//! kept; a [`Sample`] of the examples stays whole until the [fit](fit()). That is a ridge regression of the labels whose
//! strength the sample chooses, turned into a LoRA pair of rank (number of labels) on that projection: other programs load
//! it as any adapter. Nobody reads the projection's other rows, so what it does to them changes nothing.

mod collect;
mod eigen;
mod features;
pub mod file;
mod fit;
pub mod fleet;
mod judge;
mod outward;
mod sample;
mod sums;
pub(crate) mod symmetric;

pub use collect::{Classes, Collector, MOST_DIRECTIONS, Unfit, check, kept, needs, spec};
pub use features::Directions;
pub use fit::{Chosen, Fit, Through, fit};
pub(crate) use outward::label_row;
pub use outward::outward;
pub use sample::Sample;
pub use sums::Sums;
