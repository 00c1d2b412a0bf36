//! Who keeps the weights: memory that comes and goes with their use.

use crate::kernels::Matrix;

/// Is told, by any thread, which weights are needed and which may leave memory.
pub trait Keeper: Sync {
    /// `now` is about to be used, and `next` after that.
    fn about_to_use(&self, now: &Matrix<'_>, next: Option<&Matrix<'_>>);

    /// `weights` are not needed for a while.
    fn done_with(&self, weights: &Matrix<'_>);
}
