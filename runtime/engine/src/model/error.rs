//! What can be wrong with a model file, given that it is sound GGUF.

use crate::dual::BatchError;
use crate::gguf::GgufError;
use crate::kernels::KernelError;
use sprig_budget::BudgetError;
use thiserror::Error;

/// A model that cannot be run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file itself.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A weight the kernels cannot use.
    #[error("tensor `{tensor}`: {source}")]
    Weight {
        /// Its name.
        tensor: String,
        /// Why.
        source: KernelError,
    },
    /// Another network.
    #[error(
        "model architecture `{found}` is not supported; sprig reads: {known}. Use a model of one of these"
    )]
    Architecture {
        /// `general.architecture`.
        found: String,
        /// Those that are read.
        known: String,
    },
    /// A number out of range.
    #[error("metadata `{key}` is {found}; expected {expected}")]
    Metadata {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A position scaling other than linear or Llama 3's.
    #[error("rope scaling `{found}` is not supported; `linear` and Llama 3's frequency factors are")]
    RopeScaling {
        /// `<architecture>.rope.scaling.type`.
        found: String,
    },
    /// A tensor that the computation knows nothing of.
    #[error(
        "tensor `{tensor}`{} is in the file, but sprig does not compute with it, and without it the model would answer wrongly; use a model without such tensors",
        and_more(*.others)
    )]
    Unused {
        /// Its name.
        tensor: String,
        /// Number of further ones.
        others: usize,
    },
    /// A tensor of the wrong shape.
    #[error("tensor `{tensor}` is {rows} x {cols}; the metadata asks for {want_rows} x {want_cols}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Rows found.
        rows: usize,
        /// Columns found.
        cols: usize,
        /// Rows wanted.
        want_rows: usize,
        /// Columns wanted.
        want_cols: usize,
    },
}

fn and_more(n: usize) -> String {
    if n == 0 { String::new() } else { format!(" (and {n} more)") }
}

impl ModelError {
    /// Whether the machine failed rather than the file.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Gguf(e) if e.is_io())
    }
}

/// A pass that cannot be run.
#[derive(Debug, Error)]
pub enum PassError {
    /// Rows, tangents or answers that the model does not have.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// More than was planned.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}
