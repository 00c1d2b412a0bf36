//! The GGUF LoRA adapter file as llama.cpp defines it, tied to one base model by its digest.
//!
//! Metadata: `general.type` = `adapter`, `general.architecture` of the base, `adapter.type` = `lora`,
//! `adapter.lora.alpha`; ours on top: `sprig.base.digest` (SHA-256 of the base file in hexadecimal) and
//! `sprig.created_by`. Tensors, F32: `<base tensor>.lora_a` of ggml dims `[in, r]` and `<base tensor>.lora_b`
//! of `[r, out]`. The adapted layer is y = W x + alpha/r B A x.

use std::path::{Path, PathBuf};

use crate::gguf::{Gguf, GgufError, Mapped, Short, TensorInfo, TensorType, Writer};

/// Largest rank that is read or written.
pub const MAX_RANK: usize = 1024;

pub(super) const DIGEST_KEY: &str = "sprig.base.digest";
pub(super) const A: &str = ".lora_a";
pub(super) const B: &str = ".lora_b";

/// A LoRA adapter: what is in the file, no more.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFile {
    /// `general.architecture` of the base model.
    pub architecture: String,
    /// The output of every pair is scaled by alpha / rank.
    pub alpha: f32,
    /// SHA-256 of the base file, 64 lower-case hexadecimal digits; `None` in files of other programs.
    pub base_digest: Option<String>,
    /// One pair per adapted tensor, in file order.
    pub pairs: Vec<LoraPair>,
}

/// The two factors of one adapted linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraPair {
    /// Name of the base tensor, such as `blk.3.attn_q.weight`.
    pub base_tensor: String,
    /// Inner width r, from 1 to [`MAX_RANK`].
    pub rank: usize,
    /// Down projection, r rows of `in_features`.
    pub a: Vec<f32>,
    /// Up projection, `out_features` rows of r.
    pub b: Vec<f32>,
    /// Input width of the base tensor.
    pub in_features: usize,
    /// Output width of the base tensor.
    pub out_features: usize,
}

/// Why an adapter cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are what the messages print.
pub enum AdapterError {
    #[error("adapter {}: {source}", path.display())]
    File { path: PathBuf, source: GgufError },

    #[error("adapter {}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },

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
}

impl AdapterError {
    /// True where the machine failed, false where the file's content is bad.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.is_io())
    }
}

impl AdapterFile {
    /// Writes the file so that a power cut leaves either the old one or the whole new one.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), AdapterError> {
        let at = At(path.as_ref());
        self.check().map_err(|problem| at.content(problem))?;
        let mut writer = header(&self.architecture, self.alpha);
        if let Some(digest) = &self.base_digest {
            writer = writer.metadata(DIGEST_KEY, digest.as_str());
        }
        for p in &self.pairs {
            let (r, input, output) = (p.rank as u64, p.in_features as u64, p.out_features as u64);
            writer = writer.tensor_f32(format!("{}{A}", p.base_tensor), &[input, r], &p.a).tensor_f32(
                format!("{}{B}", p.base_tensor),
                &[r, output],
                &p.b,
            );
        }
        writer.write_atomic(at.0).map_err(|e| at.file(e))
    }

    /// Reads a file. The weights take no more memory than the file has bytes, whose own pages are released as they are
    /// copied.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, AdapterError> {
        let at = At(path.as_ref());
        let file = |e| at.file(e);
        let mapped = Mapped::open(at.0).map_err(file)?;
        mapped.divide_evenly();
        let gguf = Gguf::parse(mapped.bytes()).map_err(file)?;
        for (key, want) in [("general.type", "adapter"), ("adapter.type", "lora")] {
            let found = gguf.require_str(key).map_err(file)?;
            if found != want {
                return Err(
                    at.content(format!("{key} is `{}`, not `{want}`; give a LoRA adapter", Short(found)))
                );
            }
        }
        let mut adapter = Self {
            architecture: gguf.architecture().map_err(file)?.to_owned(),
            alpha: gguf.require_f32("adapter.lora.alpha").map_err(file)?,
            base_digest: gguf.str(DIGEST_KEY).map_err(file)?.map(str::to_owned),
            pairs: Vec::with_capacity(gguf.tensors().len() / 2),
        };
        for tensor in gguf.tensors() {
            if let Some(base) = tensor.name.strip_suffix(A) {
                let b = gguf.require_tensor(&format!("{base}{B}")).map_err(file)?;
                adapter.pairs.push(read_pair(&gguf, base, tensor, b, at)?);
                mapped.release(0..mapped.bytes().len()).map_err(file)?;
            } else {
                let partner = tensor.name.strip_suffix(B).map(|base| format!("{base}{A}"));
                if partner.is_none_or(|a| gguf.tensor(&a).is_none()) {
                    let problem =
                        format!("tensor `{}` belongs to no LoRA pair; give a LoRA adapter", tensor.name);
                    return Err(at.content(problem));
                }
            }
        }
        adapter.check().map_err(|problem| at.content(problem))?;
        Ok(adapter)
    }

    /// Refuses a base model other than the one this adapter was trained on. `digest` is the model file's, as
    /// [`Mapped::digest_hex`] gives it.
    pub fn check_base(&self, digest: &str) -> Result<(), AdapterError> {
        match &self.base_digest {
            Some(own) if own.eq_ignore_ascii_case(digest) => Ok(()),
            Some(own) => Err(AdapterError::OtherBase { adapter: own.clone(), model: digest.to_owned() }),
            None => Err(AdapterError::NoBase { model: digest.to_owned() }),
        }
    }

    /// What holds for every adapter in a file, checked on the way out and on the way in.
    fn check(&self) -> Result<(), String> {
        if !self.alpha.is_finite() {
            return Err(format!("alpha is {}, not a finite number", self.alpha));
        }
        match &self.base_digest {
            Some(d) if d.len() != 64 || !d.bytes().all(|c| c.is_ascii_hexdigit()) => {
                Err(format!("{DIGEST_KEY} `{}` is not 64 hexadecimal digits", Short(d)))
            }
            _ => self.pairs.iter().try_for_each(LoraPair::check),
        }
    }
}

impl LoraPair {
    fn check(&self) -> Result<(), String> {
        let Self { base_tensor: name, rank, in_features, out_features, a, b } = self;
        check_rank(name, *rank)?;
        if rank.checked_mul(*in_features) != Some(a.len()) || rank.checked_mul(*out_features) != Some(b.len())
        {
            return Err(format!(
                "pair `{name}` of rank {rank} from {in_features} to {out_features} features has {} and {} weights",
                a.len(),
                b.len()
            ));
        }
        match a.iter().chain(b).find(|w| !w.is_finite()) {
            Some(w) => {
                Err(format!("pair `{name}` has a weight that is {w}; the training that made it diverged"))
            }
            None => Ok(()),
        }
    }
}

/// A writer that says what the file is.
pub(super) fn header<'s>(architecture: &str, alpha: f32) -> Writer<'s> {
    Writer::new()
        .metadata("general.type", "adapter")
        .metadata("general.architecture", architecture)
        .metadata("adapter.type", "lora")
        .metadata("adapter.lora.alpha", alpha)
        .metadata("sprig.created_by", concat!("sprig ", env!("CARGO_PKG_VERSION")))
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
}

fn read_pair(
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
    check_rank(base, rank as usize).map_err(|problem| at.content(problem))?; // before it sizes anything
    if let Some(t) = [a, b].into_iter().find(|t| t.ty != TensorType::F32) {
        return Err(at.content(format!("tensor `{}` is {}; convert the adapter to F32", t.name, t.ty)));
    }
    Ok(LoraPair {
        base_tensor: base.to_owned(),
        rank: rank as usize,
        a: floats(gguf.data(a).map_err(|e| at.file(e))?),
        b: floats(gguf.data(b).map_err(|e| at.file(e))?),
        in_features: in_features as usize,
        out_features: out_features as usize,
    })
}

fn check_rank(name: &str, rank: usize) -> Result<(), String> {
    match rank {
        1..=MAX_RANK => Ok(()),
        _ => Err(format!("pair `{name}` has rank {rank}; it can be from 1 to {MAX_RANK}")),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter() -> AdapterFile {
        let pair = |name: &str, rank: usize, inputs: usize, outputs: usize| LoraPair {
            base_tensor: name.into(),
            rank,
            a: (0..rank * inputs).map(|i| i as f32 * 0.25 - 3.0).collect(),
            b: (0..outputs * rank).map(|i| -(i as f32)).collect(),
            in_features: inputs,
            out_features: outputs,
        };
        AdapterFile {
            architecture: "llama".into(),
            alpha: 16.0,
            base_digest: Some("0123456789abcdef".repeat(4)),
            pairs: vec![pair("blk.0.attn_q.weight", 4, 64, 64), pair("blk.1.attn_v.weight", 1, 64, 32)],
        }
    }

    #[test]
    fn what_is_written_is_read_and_laid_out_as_llama_cpp_wants() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        adapter().write(&path).unwrap();
        assert_eq!(AdapterFile::read(&path).unwrap(), adapter());
        let bytes = std::fs::read(&path).unwrap();
        let g = Gguf::parse(&bytes).unwrap();
        assert_eq!(g.require_tensor("blk.1.attn_v.weight.lora_a").unwrap().dims(), [64, 1]);
        assert_eq!(g.require_tensor("blk.1.attn_v.weight.lora_b").unwrap().dims(), [1, 32]);
    }

    #[test]
    fn another_base_is_refused_with_both_digests() {
        let (own, other) = ("0123456789abcdef".repeat(4), "f".repeat(64));
        adapter().check_base(&own).unwrap();
        adapter().check_base(&own.to_uppercase()).unwrap();
        let message = adapter().check_base(&other).unwrap_err().to_string();
        assert!(message.contains(&own) && message.contains(&other), "{message}");
        let foreign = AdapterFile { base_digest: None, ..adapter() };
        assert!(foreign.check_base(&other).unwrap_err().to_string().contains("names no base"));
    }

    #[test]
    fn adapters_that_make_no_sense_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let refused = |change: fn(&mut AdapterFile)| {
            let mut bad = adapter();
            change(&mut bad);
            let error = bad.write(&path).unwrap_err();
            assert!(!error.is_io() && !path.exists());
            error.to_string()
        };
        assert!(refused(|a| a.alpha = f32::NAN).contains("alpha"));
        assert!(refused(|a| a.base_digest = Some("x".into())).contains("64 hexadecimal"));
        assert!(refused(|a| a.pairs[0].rank = 1025).contains("rank 1025"));
        assert!(refused(|a| a.pairs[0].rank = 0).contains("rank 0"));
        assert!(refused(|a| a.pairs[0].b.truncate(3)).contains("256 and 3 weights"));
        assert!(refused(|a| a.pairs[1].b[2] = f32::INFINITY).contains("diverged"));
        assert!(refused(|a| a.pairs[1].base_tensor = a.pairs[0].base_tensor.clone()).contains("twice"));
    }

    #[test]
    fn files_that_are_no_lora_adapters_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let refused = |kind: &str, name: &str, a: &[u64], b: &[u64]| {
            let zeros = vec![0.0; 4096];
            let take = |dims: &[u64]| &zeros[..dims.iter().product::<u64>() as usize];
            Writer::new()
                .metadata("general.type", "adapter")
                .metadata("general.architecture", "llama")
                .metadata("adapter.type", kind)
                .metadata("adapter.lora.alpha", 1.0f32)
                .tensor_f32(format!("{name}.lora_a"), a, take(a))
                .tensor_f32("w.lora_b", b, take(b))
                .write_atomic(&path)
                .unwrap();
            AdapterFile::read(&path).unwrap_err().to_string()
        };
        assert!(refused("aLoRA", "w", &[8, 2], &[2, 8]).contains("adapter.type is `aLoRA`"));
        assert!(refused("lora", "w", &[8, 2], &[3, 8]).contains("rank 2 in .lora_a but 3"));
        assert!(refused("lora", "w", &[8], &[2, 8]).contains("two matrices"));
        assert!(refused("lora", "w", &[1, 1025], &[1025, 1]).contains("rank 1025"));
        assert!(refused("lora", "other", &[8, 2], &[2, 8]).contains("other.lora_b"));
        crate::gguf::Synthetic::tiny().write_atomic(&path).unwrap();
        assert!(AdapterFile::read(&path).unwrap_err().to_string().contains("general.type is `model`"));
        assert!(AdapterFile::read(dir.path().join("absent")).unwrap_err().is_io());
    }
}
