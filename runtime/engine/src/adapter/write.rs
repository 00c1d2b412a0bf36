//! Writing a trained adapter straight from where its numbers lie: a copy of it, however short its life, would be memory
//! that no plan holds.

use super::file::{A, At, B, DIGEST_KEY, header};
use super::sites::merged_row;
use super::{Adapter, AdapterError};
use crate::gguf::TensorType;
use std::io::{self, Write};
use std::path::Path;

impl Adapter {
    /// Writes the adapter as [`AdapterFile`](super::AdapterFile) describes it, so that a power cut leaves either the old
    /// file or the whole new one. `base_digest` is the model file's.
    ///
    /// # Errors
    /// A number that is not finite, or what the disk says.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        architecture: &str,
        base_digest: &str,
    ) -> Result<(), AdapterError> {
        let at = At(path.as_ref());
        let mut writer = header(architecture, self.alpha()).metadata(DIGEST_KEY, base_digest);
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
    use crate::adapter::{AdapterFile, AdapterSpec, Kind, LoraPair};
    use crate::gguf::{Gguf, Synthetic};
    use crate::kernels::Ctx;
    use crate::model::{Llama, Module};

    #[test]
    fn what_is_written_are_the_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let (model, path) = (dir.path().join("m.gguf"), dir.path().join("a.gguf"));
        Synthetic::tiny().write_atomic(&model).unwrap();
        let bytes = std::fs::read(&model).unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Llama::load(&gguf).unwrap(), Ctx::new(1).unwrap());
        for kind in [Kind::Xs, Kind::Lora, Kind::BOnly] {
            let spec = AdapterSpec {
                kind,
                rank: 3,
                alpha: 6.0,
                targets: vec![Module::Q, Module::Down],
                layers: 1..3,
            };
            let number = |i: usize| (i % 17) as f32 * 0.125 - 1.0;
            let mut adapter = Adapter::new(&spec, &model, &ctx, |_, out| {
                out.iter_mut().enumerate().for_each(|(i, v)| *v = number(i))
            })
            .unwrap();
            adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = number(i * 5));
            let digest = "0123456789abcdef".repeat(4);
            adapter.write(&path, "llama", &digest).unwrap();
            let pairs = adapter.to_pairs().into_iter().map(|p| LoraPair {
                base_tensor: p.module.tensor_name(p.block),
                rank: p.rank,
                in_features: p.a.len() / p.rank,
                out_features: p.b.len() / p.rank,
                a: p.a,
                b: p.b,
            });
            let pairs = pairs.collect::<Vec<_>>();
            assert!(pairs.len() == 4 && pairs[3].a.iter().any(|v| *v != 0.0), "{kind:?}");
            let file = AdapterFile {
                architecture: "llama".into(),
                alpha: 6.0,
                base_digest: Some(digest.clone()),
                pairs,
            };
            assert_eq!(AdapterFile::read(&path).unwrap(), file, "{kind:?}");

            adapter.values_mut()[1] = f32::NAN;
            let refused = adapter.write(&path, "llama", &digest).unwrap_err();
            assert!(!refused.is_io() && refused.to_string().contains("diverged"), "{refused}");
        }
    }
}
