//! A model with an adapter's update in its weights: W + α/r·B·A, tensor by tensor, for programs that take no adapter.
//!
//! What is not adapted is copied byte for byte, with all metadata. What is adapted keeps its type, and the scales of its
//! blocks: [`regrid`] says why, and how the update outlives rounding. In another type scales are made anew.

use super::file::{At, LoraPair};
use super::{AdapterError, AdapterFile};
use crate::gguf::{Gguf, GgufError, MADE_TYPES, Mapped, READ, TensorInfo, TensorType, Writer, quantise};
use crate::kernels::{Directions, Isa, KernelError, Matrix, dequantize, regrid};
use crate::model::Geometry;
use sprig_budget::Bytes;
use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;

/// Metadata key of a merged model: SHA-256 of the adapter that is in it, hexadecimal.
pub const MERGED_KEY: &str = "sprig.merged.adapter";

/// A model and the adapter that is to be in its weights.
pub struct Merge<'a> {
    base: &'a Mapped,
    gguf: &'a Gguf<'a>,
    adapter: &'a AdapterFile,
    /// Type of what is adapted; that of the base where none is given.
    ty: Option<TensorType>,
}

/// What became of an update when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Merged {
    /// Tensors that were adapted.
    pub tensors: usize,
    /// Share of the update that is in what was written: 1 is all of it.
    pub kept: f64,
    /// What is in it beside the update, as a part of the weights' size: rounding.
    pub rounding: f64,
}

impl<'a> Merge<'a> {
    /// Of `adapter` into the model `base` with header `gguf` and shape `geometry`.
    ///
    /// # Errors
    /// The adapter adapts what the model does not have; a tensor's type cannot be read, or `ty` not be made.
    pub fn new(
        (base, gguf, geometry): (&'a Mapped, &'a Gguf<'a>, &Geometry),
        adapter: &'a AdapterFile,
        ty: Option<TensorType>,
    ) -> Result<Self, AdapterError> {
        let file = |e| At(base.path()).file(e);
        adapter.places(geometry)?;
        gguf.tensors().try_for_each(|tensor| gguf.data_range(tensor).map(drop)).map_err(file)?;
        for pair in adapter.pairs() {
            let tensor = gguf.require_tensor(&pair.base_tensor).map_err(file)?;
            check_type(tensor, ty).map_err(|problem| At(base.path()).content(problem))?;
        }
        Ok(Self { base, gguf, adapter, ty })
    }

    /// Heap bytes that writing takes: the header three times over, as it is put together, and the largest pair.
    pub fn bytes(&self) -> Bytes {
        let pair = |pair: &LoraPair| {
            let factors = 4 * (pair.a_len() + pair.b_len());
            // A row of weights, as it is, as it should be, and in blocks.
            factors + Directions::bytes(pair.rank, pair.in_features) + 12 * pair.in_features
        };
        let largest = self.adapter.pairs().iter().map(pair).max().unwrap_or(0);
        Bytes(3 * self.gguf.data_start() + (largest + 2 * READ) as u64)
    }

    /// Pages of model and adapter that are in memory at a time, at most.
    pub fn mapped_bytes(&self) -> Bytes {
        let row = self.gguf.tensors().filter_map(|t| Some(t.bytes()? as usize / t.rows())).max().unwrap_or(0);
        // The header's pages stay.
        Bytes(self.gguf.data_start() + (4 * READ + row) as u64)
    }

    /// Writes the model to `path`, so that a power cut leaves either what was there or the whole new file.
    ///
    /// # Errors
    /// A factor that is not finite, or what the disk says.
    pub fn write(&self, path: &Path) -> Result<Merged, AdapterError> {
        let digest = self.adapter.digest_hex()?;
        let mut writer = Writer::new();
        for (key, value) in self.gguf.metadata().filter(|(key, _)| *key != MERGED_KEY) {
            writer = match key {
                "general.alignment" => writer.alignment(self.gguf.alignment() as u32),
                _ => writer.metadata(key, value),
            };
        }
        writer = writer.metadata(MERGED_KEY, digest.as_str());
        let sums = Cell::new(Sums::default());
        for tensor in self.gguf.tensors() {
            let pair = self.adapter.pairs().iter().find(|pair| pair.base_tensor == tensor.name);
            let ty = pair.and(self.ty).unwrap_or(tensor.ty);
            let sums = &sums;
            writer = writer.tensor(tensor.name, ty, tensor.dims(), move |out| match pair {
                None => self.copy(tensor, out),
                Some(pair) => {
                    let found = self.adapted(tensor, ty, pair, out).map_err(io::Error::other)?;
                    sums.set(sums.get().and(found));
                    Ok(())
                }
            });
        }
        writer.write_atomic(path).map_err(|e| At(path).file(e))?;
        Ok(sums.get().merged())
    }

    /// Its bytes as they are.
    fn copy(&self, tensor: &TensorInfo<'_>, out: &mut dyn Write) -> io::Result<()> {
        let range = self.gguf.data_range(tensor).map_err(io::Error::other)?;
        for at in range.clone().step_by(READ) {
            let piece = at..range.end.min(at + READ);
            self.base.bring(piece.clone());
            out.write_all(&self.base.bytes()[piece.clone()])?;
            self.base.release(piece).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes an adapted tensor as `ty`, row by row.
    fn adapted(
        &self,
        tensor: &TensorInfo<'_>,
        ty: TensorType,
        pair: &LoraPair,
        out: &mut dyn Write,
    ) -> Result<Sums, MergeError> {
        let (cols, rank) = (tensor.cols(), pair.rank);
        let (mut a, mut b) = (vec![0.0; pair.a_len()], vec![0.0; pair.b_len()]);
        self.adapter.copy(pair, &mut a, &mut b)?;
        let (directions, scale) = (Directions::of(&a, cols), self.adapter.alpha() / rank as f32);
        let (range, mut sums) = (self.gguf.data_range(tensor)?, Sums { tensors: 1, ..Sums::default() });
        let row_bytes = range.len() / tensor.rows();
        let (mut was, mut values, mut blocks) = (vec![0.0; cols], vec![0.0; cols], Vec::new());
        for (row, b) in b.chunks_exact(rank).enumerate() {
            let place = range.start + row * row_bytes..range.start + (row + 1) * row_bytes;
            let bytes = &self.base.bytes()[place.clone()];
            dequantize(Isa::Scalar, &Matrix::new(tensor.ty, 1, cols, bytes)?, 0..1, &mut was);
            values.copy_from_slice(&was);
            for (b, a) in b.iter().zip(a.chunks_exact(cols)) {
                values.iter_mut().zip(a).for_each(|(v, a)| *v += scale * b * a);
            }
            blocks.clear();
            match ty == tensor.ty {
                true => blocks.extend_from_slice(bytes),
                false => quantise(ty, &values, &mut blocks),
            }
            let wanted = values.clone();
            regrid(ty, &directions, &mut values, &mut blocks);
            sums.row(&was, &wanted, &values);
            out.write_all(&blocks)?;
            if row_bytes * row % READ < row_bytes {
                self.base.release(range.start..place.end)?;
            }
        }
        self.base.release(range)?;
        Ok(sums)
    }
}

/// That a tensor can be read, and written in the type that is asked for.
fn check_type(tensor: &TensorInfo<'_>, ty: Option<TensorType>) -> Result<(), String> {
    let Some(ty) = ty.filter(|ty| *ty != tensor.ty) else { return Ok(()) };
    let made: Vec<&str> = MADE_TYPES.iter().map(|ty| ty.name()).collect();
    if !MADE_TYPES.contains(&ty) {
        let made = made.join(", ");
        return Err(format!(
            "`{}` has {}, and cannot be written as {ty}: of another type are written {made}",
            tensor.name, tensor.ty
        ));
    }
    match ty.block() {
        Some((length, _)) if tensor.cols().is_multiple_of(length) => Ok(()),
        _ => {
            Err(format!("`{}` has rows of {}, no whole blocks of {ty}; use F16", tensor.name, tensor.cols()))
        }
    }
}

/// Why a tensor cannot be written.
#[derive(Debug, thiserror::Error)]
enum MergeError {
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Sums of products over weights: of w before, Δ wanted and δ written.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    tensors: usize,
    weights: f64,
    wanted: f64,
    both: f64,
    error: f64,
}

impl Sums {
    fn row(&mut self, was: &[f32], wanted: &[f32], written: &[f32]) {
        for ((w, to), found) in was.iter().zip(wanted).zip(written) {
            let (update, moved) = (f64::from(to - w), f64::from(found - w));
            self.weights += f64::from(*w).powi(2);
            self.wanted += update * update;
            self.both += update * moved;
            self.error += (moved - update).powi(2);
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            tensors: self.tensors + other.tensors,
            weights: self.weights + other.weights,
            wanted: self.wanted + other.wanted,
            both: self.both + other.both,
            error: self.error + other.error,
        }
    }

    fn merged(self) -> Merged {
        let part = |of: f64, whole: f64, none: f64| if whole > 0.0 { of / whole } else { none };
        Merged {
            tensors: self.tensors,
            kept: part(self.both, self.wanted, 1.0),
            rounding: part(self.error, self.weights, 0.0).sqrt(),
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
