//! Writing a trained adapter straight from where its numbers lie: a copy of it, however short its life, would be memory
//! that no plan holds.

use super::file::{A, At, B, DIGEST_KEY};
use super::sites::merged_row;
use super::{Adapter, AdapterError, AdapterMeta};
use crate::gguf::{TensorType, Writer};
use std::io::{self, Write};
use std::path::Path;

impl Adapter {
    /// Writes the adapter as [`AdapterFile`](super::AdapterFile) describes it, so that a power cut leaves either the old
    /// file or the whole new one.
    ///
    /// # Errors
    /// A number that is not finite, more in `meta` than a file may say, or what the disk says.
    pub fn write(&self, path: impl AsRef<Path>, meta: &AdapterMeta) -> Result<(), AdapterError> {
        let at = At(path.as_ref());
        let mut writer = header(meta, self.alpha(), "adapter", at)?;
        for (block, module) in self.places() {
            let Some(site) = self.site(block, module, false) else { continue };
            let (rank, down, up) = (site.rank, site.down.values, site.up.values);
            let (inp, out) = (down.len() / rank, up.len() / rank);
            let base = module.tensor_name(block);
            let core = site.core.map_or(&[][..], |core| core.values);
            if let Some(w) = down.iter().chain(core).chain(up).find(|w| !w.is_finite()) {
                return Err(at.content(format!(
                    "pair `{base}` has a weight that is {w}; the training that made it diverged"
                )));
            }
            let a_dims = [inp as u64, rank as u64];
            writer = match core {
                [] => writer.tensor_f32(format!("{base}{A}"), &a_dims, down),
                core => writer.tensor(format!("{base}{A}"), TensorType::F32, &a_dims, move |file| {
                    write_merged(core, down, rank, inp, file)
                }),
            };
            writer = writer.tensor_f32(format!("{base}{B}"), &[rank as u64, out as u64], up);
        }
        writer.write_atomic(at.0).map_err(|e| at.file(e))
    }
}

/// A writer that says what the file is, of type `kind`.
pub(super) fn header<'s>(
    meta: &AdapterMeta,
    alpha: f32,
    kind: &'s str,
    at: At<'_>,
) -> Result<Writer<'s>, AdapterError> {
    meta.check(alpha).map_err(|problem| at.content(problem))?;
    let mut writer = Writer::new()
        .metadata("general.type", kind)
        .metadata("general.architecture", meta.architecture.as_str())
        .metadata("adapter.type", "lora")
        .metadata("adapter.lora.alpha", alpha)
        .metadata("sprig.created_by", concat!("sprig ", env!("CARGO_PKG_VERSION")));
    if let Some(digest) = &meta.base_digest {
        writer = writer.metadata(DIGEST_KEY, digest.as_str());
    }
    if let Some(asking) = &meta.asking {
        asking.check().map_err(|source| at.asking(source))?;
        writer = asking.write(writer);
    }
    if let Some(routers) = &meta.routers {
        writer = routers.write(writer);
    }
    Ok(writer)
}

/// A = R·Q, row by row.
fn write_merged(core: &[f32], down: &[f32], rank: usize, inp: usize, file: &mut dyn Write) -> io::Result<()> {
    let mut row = vec![0.0f32; inp];
    for i in 0..rank {
        merged_row(core, down, rank, i, &mut row);
        row.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{AdapterFile, AdapterSpec, Asking, Kind};
    use crate::gguf::{Gguf, Synthetic};
    use crate::kernels::Ctx;
    use crate::model::{Module, Transformer};

    fn number(i: usize) -> f32 {
        (i % 17) as f32 * 0.125 - 1.0
    }

    #[test]
    fn what_is_written_are_the_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, path) = (Synthetic::tiny().bytes().unwrap(), dir.path().join("a.gguf"));
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
        for kind in [Kind::Xs, Kind::XsSeeded, Kind::Lora, Kind::BOnly] {
            let targets = vec![Module::Q, Module::Down];
            let spec = AdapterSpec {
                kind,
                rank: 3,
                alpha: 6.0,
                targets,
                layers: 1..3,
                kept: Vec::new(),
                routing: None,
            };
            let mut adapter = Adapter::new(&spec, &model, &ctx, |_, out| {
                out.iter_mut().enumerate().for_each(|(i, v)| *v = number(i))
            })
            .unwrap();
            adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = number(i * 5));
            let meta = AdapterMeta {
                architecture: "llama".into(),
                base_digest: Some("0123456789abcdef".repeat(4)),
                asking: Some(Asking { task: "lm".into(), ..Asking::default() }),
                routers: None,
            };
            adapter.write(&path, &meta).unwrap();
            let file = AdapterFile::open(&path).unwrap();
            assert_eq!((file.meta(), file.alpha()), (&meta, 6.0));
            let read = file.load(model.geometry()).unwrap();
            assert_eq!(read.to_pairs(), adapter.to_pairs(), "{kind:?}");
            assert!(read.to_pairs().len() == 4 && read.to_pairs()[3].a.iter().any(|v| *v != 0.0), "{kind:?}");
            let bytes = std::fs::read(&path).unwrap();
            let dims = |name| Gguf::parse(&bytes).unwrap().require_tensor(name).unwrap().dims().to_vec();
            let (out, inp) = Module::Down.shape(model.geometry());
            assert_eq!(dims("blk.2.ffn_down.weight.lora_a"), [inp as u64, 3]);
            assert_eq!(dims("blk.2.ffn_down.weight.lora_b"), [3, out as u64]);

            let bad = AdapterMeta { base_digest: Some("x".into()), ..meta.clone() };
            assert!(adapter.write(&path, &bad).unwrap_err().to_string().contains("64 hexadecimal"));
            adapter.values_mut()[1] = f32::NAN;
            let refused = adapter.write(&path, &meta).unwrap_err();
            assert!(!refused.is_io() && refused.to_string().contains("diverged"), "{refused}");
        }
    }

    /// Whatever trains, what is gone on from begins as it was, of its own rank, and what else is adapted as 0 beside it.
    #[test]
    fn an_adapter_goes_on_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, path) = (Synthetic::tiny().bytes().unwrap(), dir.path().join("a.gguf"));
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
        let g = model.geometry();
        let normal = |_, out: &mut [f32]| out.iter_mut().enumerate().for_each(|(i, v)| *v = number(i));
        let first = AdapterSpec {
            kind: Kind::Lora,
            rank: 3,
            alpha: 6.0,
            targets: vec![Module::Down],
            layers: 0..1,
            kept: Vec::new(),
            routing: None,
        };
        let mut adapter = Adapter::new(&first, &model, &ctx, normal).unwrap();
        adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = number(i * 5));
        adapter.write(&path, &AdapterMeta::of(g, &"ab".repeat(32))).unwrap();
        let file = AdapterFile::open(&path).unwrap();
        let own = adapter.to_pairs();
        for kind in [Kind::Xs, Kind::Lora, Kind::BOnly] {
            let targets = vec![Module::Q, Module::Down];
            let kept = file.places(g).unwrap();
            let spec = AdapterSpec { kind, rank: 2, alpha: 12.0, targets, layers: 0..2, kept, routing: None };
            assert_eq!((spec.lowest_block(), spec.largest_rank(), spec.places().len()), (0, 3, 4));
            let mut next = Adapter::new(&spec, &model, &ctx, normal).unwrap();
            file.begin(&mut next, g).unwrap();
            assert_eq!((next.values().len(), next.numbers()), {
                let (trainable, frozen) = spec.sizes(g);
                (trainable, trainable + frozen)
            });
            let pairs = next.to_pairs();
            let places: Vec<_> = pairs.iter().map(|p| (p.block, p.module, p.rank)).collect();
            let (q, down) = (Module::Q, Module::Down);
            assert_eq!(places, [(0, q, 2), (0, down, 3), (1, q, 2), (1, down, 2)]);
            assert_eq!(pairs[1].a, own[0].a, "{kind:?}");
            // alpha is twice what it was.
            let halves: Vec<f32> = own[0].b.iter().map(|v| v / 2.0).collect();
            assert_eq!(pairs[1].b, halves, "{kind:?}");
            let still =
                |p: &crate::adapter::Pair| p.a.iter().all(|v| *v == 0.0) || p.b.iter().all(|v| *v == 0.0);
            assert!([0, 2, 3].iter().all(|&i| still(&pairs[i])), "{kind:?}");
            // What trains has its own names and places.
            let tensors: Vec<_> = next.tensors().cloned().collect();
            let planned: Vec<_> = spec.trained(g).into_iter().flat_map(|(_, _, tensors)| tensors).collect();
            assert_eq!(tensors, planned, "{kind:?}");
        }
    }
}
