//! Products of f32 activations with quantised weights, and the element-wise loops between them.
//!
//! Weights stay in their GGUF blocks. Many rows ([`matmul`]): a panel of weight rows is dequantised into
//! scratch and multiplied in f32. Few rows ([`matvec`]): the activations are quantised to 8 bits and
//! multiplied with the blocks as integers. What is done with which instructions is chosen at run time
//! ([`Isa`]); results are the same bits whatever is chosen, and for any number of threads.
//!
//! One rule of dispatch: whatever has loops of its own over weights or activations is a `Kernel`, and runs through
//! `dispatch` with the instructions of the [`Ctx`] it is given. Nothing looks the machine up by itself.

mod arch;
mod blocks;
mod dequant;
pub(crate) mod elementwise;
pub(crate) mod half_floats;
mod half_rows;
mod isa;
mod matmul;
mod matrix;
mod matvec;
mod out;
mod pool;
mod regrid;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use arch::DISPATCHED;
pub(crate) use arch::{Arch, Kernel, dispatch};
pub use dequant::dequantize;
pub use half_rows::{keep_rows, kept_len, read_rows};
pub use isa::Isa;
pub use matmul::{matmul, matmul_nn, matmul_nn_serial, matmul_scratch_len, matmul_serial};
pub use matrix::{Matrix, Rows, RowsMut, Write};
pub use matvec::{matvec, matvec_scratch_len};
pub use pool::Pool;
pub use regrid::{Directions, regrid};

use crate::gguf::TensorType;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// What the kernels run on.
#[derive(Debug)]
pub struct Ctx {
    /// The threads.
    pub pool: Pool,
    /// The instructions.
    pub isa: Isa,
    panel_rows: AtomicUsize,
}

impl Ctx {
    /// Weight rows that a thread dequantises at a time, unless told otherwise: at 1536 columns 384 KiB,
    /// which the second-level cache of a desktop core holds.
    pub const PANEL_ROWS: usize = 64;

    /// `threads` threads (the caller included), the instructions that [`Isa::chosen`] finds, panels of
    /// [`Self::PANEL_ROWS`].
    ///
    /// # Errors
    /// The environment asks for instructions that this machine does not have.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        let isa = Isa::chosen()?;
        Ok(Self { pool: Pool::new(threads), isa, panel_rows: Self::PANEL_ROWS.into() })
    }

    /// The same with other panels.
    ///
    /// # Errors
    /// [`KernelError::PanelRows`] unless `panel_rows` is a positive multiple of 16.
    pub fn with_panel_rows(self, panel_rows: usize) -> Result<Self, KernelError> {
        self.set_panel_rows(panel_rows)?;
        Ok(self)
    }

    /// Other panels from the next product on.
    ///
    /// # Errors
    /// As [`with_panel_rows`](Self::with_panel_rows).
    pub fn set_panel_rows(&self, panel_rows: usize) -> Result<(), KernelError> {
        if panel_rows == 0 || !panel_rows.is_multiple_of(16) {
            return Err(KernelError::PanelRows(panel_rows));
        }
        self.panel_rows.store(panel_rows, Relaxed);
        Ok(())
    }

    /// The same with the instructions of `isa`; where the machine lacks them, the scalar kernels run.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Weight rows that a thread dequantises at a time.
    pub fn panel_rows(&self) -> usize {
        self.panel_rows.load(Relaxed)
    }
}

/// Why an operand or a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum KernelError {
    #[error("no kernel reads tensors of {0}; requantise the model to a type from F32 to Q6_K")]
    UnknownType(TensorType),
    #[error("a row of {cols} elements is not whole {ty} blocks of {block_len}")]
    PartialBlock { ty: TensorType, cols: usize, block_len: usize },
    #[error("{bytes} bytes are not {rows} rows of {cols} elements of {ty}")]
    ByteLength { ty: TensorType, rows: usize, cols: usize, bytes: usize },
    #[error("panels of {0} rows: give a positive multiple of 16")]
    PanelRows(usize),
    #[error("SPRIG_ISA={name}: no such instruction set; this machine has {}", Isa::available_names())]
    UnknownIsa { name: String },
    #[error("SPRIG_ISA={isa}: this machine does not have it; it has {}", Isa::available_names())]
    UnavailableIsa { isa: Isa },
}
