//! The GGUF LoRA adapter file as llama.cpp defines it, tied to one base model by its digest.
//!
//! Metadata: `general.type` = `adapter`, `general.architecture` of the base, `adapter.type` = `lora`,
//! `adapter.lora.alpha`; ours on top: `sprig.base.digest` (SHA-256 of the base file in hexadecimal),
//! `sprig.created_by`, and what [`Asking`] and [`Carried`] hold. Tensors, F32: `<base tensor>.lora_a` of ggml dims `[in, r]` and
//! `<base tensor>.lora_b` of `[r, out]`. The adapted layer is y = W x + alpha/r B A x.

use super::asking::{Asking, AskingError};
use super::carried::Carried;
use super::{Adapter, Place};
use crate::gguf::{Gguf, GgufError, Mapped, READ, Short, TensorInfo, TensorType};
use crate::model::{Geometry, Module};
use sprig_budget::Bytes;
use sprig_ground::PathError;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Largest rank that is read or written.
pub const MAX_RANK: usize = 1024;

pub(super) const DIGEST_KEY: &str = "sprig.base.digest";
pub(super) const A: &str = ".lora_a";
pub(super) const B: &str = ".lora_b";

/// What an adapter's file says beside its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterMeta {
    /// `general.architecture` of the base model.
    pub architecture: String,
    /// SHA-256 of the base file, 64 lower-case hexadecimal digits; `None` in files of other programs.
    pub base_digest: Option<String>,
    /// How it was asked while it learnt; `None` where the file does not say.
    pub asking: Option<Asking>,
    /// Routers that were trained with it, where it is one of two adapters.
    pub routers: Option<Carried>,
}

/// An adapter file of which only the header has been read: what it is, and what it would take to load it.
#[derive(Debug)]
pub struct AdapterFile {
    mapped: Mapped,
    meta: AdapterMeta,
    alpha: f32,
    pairs: Vec<LoraPair>,
}

/// The two factors of one adapted linear layer, and where in the file they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraPair {
    /// Name of the base tensor, such as `blk.3.attn_q.weight`.
    pub base_tensor: String,
    /// Inner width r, from 1 to [`MAX_RANK`].
    pub rank: usize,
    /// Input width of the base tensor.
    pub in_features: usize,
    /// Output width of the base tensor.
    pub out_features: usize,
    /// Down projection, r rows of `in_features`.
    pub(super) a: Range<usize>,
    /// Up projection, `out_features` rows of r.
    pub(super) b: Range<usize>,
}

/// Why an adapter cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are what the messages print.
pub enum AdapterError {
    #[error("adapter {}: {source}", path.display())]
    File { path: PathBuf, source: GgufError },

    #[error("adapter {}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },

    #[error("adapter {}: {source}", path.display())]
    Asking { path: PathBuf, source: AskingError },

    #[error(
        "adapter {}: it adapts `{tensor}` of {out_features} x {in_features}, which this model does not have; use the \
         base model it was trained on", path.display()
    )]
    OtherModel { path: PathBuf, tensor: String, out_features: usize, in_features: usize },

    #[error(
        "this adapter was trained on the base model with digest {adapter}, but the model given has digest \
         {model}; use the model it was trained on"
    )]
    OtherBase { adapter: String, model: String },

    #[error(
        "this adapter names no base model ({DIGEST_KEY} is missing), so it cannot be checked against {model}; \
         use an adapter that was written by this program"
    )]
    NoBase { model: String },

    #[error(transparent)]
    Io(#[from] PathError),
}

impl AdapterError {
    /// True where the machine failed, false where the file's content is bad.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io(_)) || matches!(self, Self::File { source, .. } if source.is_io())
    }
}

impl AdapterFile {
    /// Reads the header of a file and checks it; no weight is touched, and no page of the file stays in memory.
    ///
    /// # Errors
    /// The file cannot be read, or is no LoRA adapter.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AdapterError> {
        let at = At(path.as_ref());
        let file = |e| at.file(e);
        let mapped = Mapped::open(at.0).map_err(file)?;
        mapped.divide_evenly();
        let gguf = Gguf::parse(mapped.bytes()).map_err(file)?;
        let (meta, alpha) = read_meta(&gguf, "adapter", "give a LoRA adapter", at)?;
        let pairs = read_pairs(&gguf, at)?;
        drop(gguf);
        mapped.release(0..mapped.bytes().len()).map_err(file)?;
        Ok(Self { mapped, meta, alpha, pairs })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.mapped.path()
    }

    /// What the file says beside its numbers.
    pub fn meta(&self) -> &AdapterMeta {
        &self.meta
    }

    /// The output of every pair is scaled by alpha / rank.
    pub fn alpha(&self) -> f32 {
        self.alpha
    }

    /// One pair per adapted tensor, in file order.
    pub fn pairs(&self) -> &[LoraPair] {
        &self.pairs
    }

    /// Largest rank.
    pub fn rank(&self) -> usize {
        self.pairs.iter().map(|p| p.rank).max().unwrap_or(0)
    }

    /// Heap that the adapter takes once it is loaded.
    pub fn heap_bytes(&self, geometry: &Geometry) -> Bytes {
        Adapter::frozen_bytes(geometry.blocks, self.pairs.len(), self.numbers())
    }

    /// What loading takes at its worst: the adapter, this, and the piece of the file that is being copied.
    pub fn load_bytes(&self, geometry: &Geometry) -> Bytes {
        let names: usize = self.pairs.iter().map(|p| p.base_tensor.len() + size_of::<LoraPair>()).sum();
        Bytes(self.heap_bytes(geometry).0 + (names + 2 * READ) as u64)
    }

    /// Copies the weights to where they are used, each once; the file's own pages are released as they are copied.
    ///
    /// # Errors
    /// The file adapts what a model of shape `geometry` does not have, or a weight is not finite.
    pub fn load(&self, geometry: &Geometry) -> Result<Adapter, AdapterError> {
        let mut adapter = Adapter::frozen(self.alpha, geometry.blocks, self.pairs.len(), self.numbers());
        for (pair, place) in self.pairs.iter().zip(self.places(geometry)?) {
            let (a, b) = adapter.add_frozen(place.block, place.module, pair.rank, pair.a_len(), pair.b_len());
            self.copy(pair, a, b)?;
        }
        self.mapped.release(0..self.mapped.bytes().len()).map_err(|e| At(self.mapped.path()).file(e))?;
        Ok(adapter)
    }

    /// The layers of a model of shape `geometry` that it adapts, in file order.
    ///
    /// # Errors
    /// It adapts what such a model does not have.
    pub fn places(&self, geometry: &Geometry) -> Result<Vec<Place>, AdapterError> {
        let place = |pair: &LoraPair| {
            let (block, module) = pair.place(geometry).ok_or_else(|| pair.other_model(self.mapped.path()))?;
            Ok(Place { block, module, rank: pair.rank })
        };
        self.pairs.iter().map(place).collect()
    }

    /// Copies the weights into `adapter`, whose specification [keeps](super::AdapterSpec::kept) all of this file's
    /// [`places`](Self::places) on a model of shape `geometry`: its update begins as this one's.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn begin(&self, adapter: &mut Adapter, geometry: &Geometry) -> Result<(), AdapterError> {
        for (pair, place) in self.pairs.iter().zip(self.places(geometry)?) {
            adapter.go_on_from((place.block, place.module), self.alpha, |a, b| self.copy(pair, a, b))?;
        }
        Ok(())
    }

    /// What [`begin`](Self::begin) takes beside the adapter.
    pub fn begin_bytes(&self, geometry: &Geometry) -> Bytes {
        Bytes(self.load_bytes(geometry).0 - self.heap_bytes(geometry).0)
    }

    /// SHA-256 of the file, hexadecimal.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn digest_hex(&self) -> Result<String, AdapterError> {
        self.mapped.digest_hex().map_err(|e| At(self.mapped.path()).file(e))
    }

    pub(super) fn copy(&self, pair: &LoraPair, a: &mut [f32], b: &mut [f32]) -> Result<(), AdapterError> {
        let at = At(self.mapped.path());
        for (range, values) in [(&pair.a, a), (&pair.b, b)] {
            copy_finite(&self.mapped.bytes()[range.clone()], values).map_err(|weight| {
                let name = &pair.base_tensor;
                at.content(format!(
                    "pair `{name}` has a weight that is {weight}; the training that made it diverged"
                ))
            })?;
            // Of all: a touched page brings its neighbours, on some kernels megabytes of them.
            self.mapped.release(0..self.mapped.bytes().len()).map_err(|e| at.file(e))?;
        }
        Ok(())
    }

    /// Refuses a base model other than the one this adapter was trained on. `digest` is the model file's, as
    /// [`Mapped::digest_hex`] gives it.
    ///
    /// # Errors
    /// It was trained on another model, or does not say on which.
    pub fn check_base(&self, digest: &str) -> Result<(), AdapterError> {
        self.meta.check_base(digest)
    }

    fn numbers(&self) -> usize {
        self.pairs.iter().map(|p| p.a_len() + p.b_len()).sum()
    }
}

impl AdapterMeta {
    /// Refuses a base model other than the one it was trained on.
    pub(super) fn check_base(&self, digest: &str) -> Result<(), AdapterError> {
        match &self.base_digest {
            Some(own) if own.eq_ignore_ascii_case(digest) => Ok(()),
            Some(own) => Err(AdapterError::OtherBase { adapter: own.clone(), model: digest.to_owned() }),
            None => Err(AdapterError::NoBase { model: digest.to_owned() }),
        }
    }

    /// Of an adapter of the model whose file has `base_digest`, with nothing about how it was asked.
    pub fn of(geometry: &Geometry, base_digest: &str) -> Self {
        let architecture = geometry.architecture().to_owned();
        Self { architecture, base_digest: Some(base_digest.to_owned()), asking: None, routers: None }
    }

    /// What holds for every adapter in a file, checked on the way out and on the way in.
    pub(super) fn check(&self, alpha: f32) -> Result<(), String> {
        if !alpha.is_finite() {
            return Err(format!("alpha is {alpha}, not a finite number"));
        }
        match &self.base_digest {
            Some(d) if d.len() != 64 || !d.bytes().all(|c| c.is_ascii_hexdigit()) => {
                Err(format!("{DIGEST_KEY} `{}` is not 64 hexadecimal digits", Short(d)))
            }
            _ => Ok(()),
        }
    }
}

impl LoraPair {
    pub(super) fn a_len(&self) -> usize {
        self.a.len() / 4
    }

    pub(super) fn b_len(&self) -> usize {
        self.b.len() / 4
    }

    /// That a model does not have the layer.
    pub(super) fn other_model(&self, path: &Path) -> AdapterError {
        let Self { base_tensor, in_features, out_features, .. } = self.clone();
        AdapterError::OtherModel { path: path.to_owned(), tensor: base_tensor, out_features, in_features }
    }

    /// The layer of a model of shape `geometry` that this belongs to.
    pub(super) fn place(&self, geometry: &Geometry) -> Option<(usize, Module)> {
        let (block, module) = Module::of_tensor(&self.base_tensor)?;
        let fits = module.shape(geometry) == (self.out_features, self.in_features);
        (fits && block < geometry.blocks).then_some((block, module))
    }
}

/// The file an error is about.
#[derive(Clone, Copy)]
pub(super) struct At<'p>(pub &'p Path);

impl At<'_> {
    pub(super) fn file(self, source: GgufError) -> AdapterError {
        AdapterError::File { path: self.0.to_owned(), source }
    }

    pub(super) fn content(self, problem: String) -> AdapterError {
        AdapterError::Content { path: self.0.to_owned(), problem }
    }

    pub(super) fn asking(self, source: AskingError) -> AdapterError {
        AdapterError::Asking { path: self.0.to_owned(), source }
    }
}

/// What a file of type `kind` says of itself, and alpha; `remedy` is for other files.
pub(super) fn read_meta(
    gguf: &Gguf<'_>,
    kind: &str,
    remedy: &str,
    at: At<'_>,
) -> Result<(AdapterMeta, f32), AdapterError> {
    let file = |e| at.file(e);
    for (key, want) in [("general.type", kind), ("adapter.type", "lora")] {
        let found = gguf.require_str(key).map_err(file)?;
        if found != want {
            return Err(at.content(format!("{key} is `{}`, not `{want}`; {remedy}", Short(found))));
        }
    }
    let meta = AdapterMeta {
        architecture: gguf.architecture().map_err(file)?.to_owned(),
        base_digest: gguf.str(DIGEST_KEY).map_err(file)?.map(str::to_owned),
        asking: Asking::read(gguf).map_err(file)?.map_err(|source| at.asking(source))?,
        routers: Carried::read(gguf).map_err(file)?.map_err(|problem| at.content(problem))?,
    };
    let alpha = gguf.require_f32("adapter.lora.alpha").map_err(file)?;
    meta.check(alpha).map_err(|problem| at.content(problem))?;
    Ok((meta, alpha))
}

fn read_pairs(gguf: &Gguf<'_>, at: At<'_>) -> Result<Vec<LoraPair>, AdapterError> {
    let mut pairs = Vec::with_capacity(gguf.tensors().len() / 2);
    for tensor in gguf.tensors() {
        if let Some(base) = tensor.name.strip_suffix(A) {
            let b = gguf.require_tensor(&format!("{base}{B}")).map_err(|e| at.file(e))?;
            pairs.push(read_pair(gguf, base, tensor, b, at)?);
        } else {
            let partner = tensor.name.strip_suffix(B).map(|base| format!("{base}{A}"));
            if partner.is_none_or(|a| gguf.tensor(&a).is_none()) {
                let problem =
                    format!("tensor `{}` belongs to no LoRA pair; give a LoRA adapter", tensor.name);
                return Err(at.content(problem));
            }
        }
    }
    Ok(pairs)
}

pub(super) fn read_pair(
    gguf: &Gguf<'_>,
    base: &str,
    a: &TensorInfo<'_>,
    b: &TensorInfo<'_>,
    at: At<'_>,
) -> Result<LoraPair, AdapterError> {
    let (&[in_features, rank], &[rank_of_b, out_features]) = (a.dims(), b.dims()) else {
        let problem = format!("pair `{base}` should be two matrices, not {:?} and {:?}", a.dims(), b.dims());
        return Err(at.content(problem));
    };
    if rank != rank_of_b {
        return Err(at.content(format!("pair `{base}` has rank {rank} in {A} but {rank_of_b} in {B}")));
    }
    if !(1..=MAX_RANK as u64).contains(&rank) {
        return Err(at.content(format!("pair `{base}` has rank {rank}; it can be from 1 to {MAX_RANK}")));
    }
    if let Some(t) = [a, b].into_iter().find(|t| t.ty != TensorType::F32) {
        return Err(at.content(format!("tensor `{}` is {}; convert the adapter to F32", t.name, t.ty)));
    }
    Ok(LoraPair {
        base_tensor: base.to_owned(),
        rank: rank as usize,
        in_features: in_features as usize,
        out_features: out_features as usize,
        a: gguf.data_range(a).map_err(|e| at.file(e))?,
        b: gguf.data_range(b).map_err(|e| at.file(e))?,
    })
}

/// Copies little-endian floats; the first that is not finite is the error.
pub(super) fn copy_finite(bytes: &[u8], values: &mut [f32]) -> Result<(), f32> {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
        if !value.is_finite() {
            return Err(*value);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
