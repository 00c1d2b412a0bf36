//! Differential privacy on the device: what leaves it says little of each of its records, whoever reads it.
//!
//! What is claimed: for two data sets that differ in one record, replaced by any other, and any set S of what a device may
//! send in a run, Pr[S] ≤ e^ε·Pr′[S] + δ, δ = [`DELTA`]. Everything gets noise of the discrete Gaussian, by whole numbers
//! (Canonne, Kamath, Steinke: *The Discrete Gaussian for Differential Privacy*, NeurIPS 2020); what several draws tell
//! together is counted in ρ of zero-concentrated differential privacy, which adds up, and told as an ε.
//!
//! *Scalars of steps.* With K directions for a whole batch, an example's derivatives are a row s of K numbers; it is brought
//! to the length 1, s/(|s| + γ), in whole 1,024ths towards 0 (automatic clipping: Bu, Wang, Zha, Karypis, NeurIPS 2023), so that
//! another example in its place moves a batch's sum by at most 2. The sum gets noise, and only then is divided by the batch's
//! size. An example counts once a batch, and once each pass over the data; a pass costs ρ = 2²/2σ², however many batches it is
//! cut into, and a run as many times that as it has passes. Noise of K numbers, not of all weights: that is what makes steps by
//! scalars cheap to hide.
//!
//! *Sums of a read-out* are [`readout::fleet::privacy`](crate::readout::fleet::privacy)'s.

mod account;
mod discrete;
mod epsilon;
mod scalars;

pub use account::{Account, Visits};
pub(crate) use discrete::Bits;
#[cfg(test)]
pub(crate) use discrete::tests::Seeded;
pub use epsilon::{DELTA, Epsilon, EpsilonError};
pub use scalars::{Foreseeable, Noise, variance};
pub(crate) use scalars::{UNIT, bound, part};
