//! An adapter as Python's `peft` reads it: a folder with `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Names and shapes are those of `transformers`: `lora_A` is r × in and `lora_B` out × r, as here. What differs are the rows
//! of queries and keys where a family's files have neighbouring dimensions rotate together: llama.cpp's converter lays row
//! (head, half, i) of the original at (head, i, half), and B's rows go back.

use super::file::LoraPair;
use super::{AdapterError, AdapterFile};
use crate::dual::Rotation;
use crate::model::{Geometry, Module};
use serde_json::{Map, Value, json};
use sprig_budget::Bytes;
use sprig_ground::{PathError, file};
use std::io::Write;
use std::path::Path;

/// File of the numbers, in the folder.
pub const PEFT_WEIGHTS: &str = "adapter_model.safetensors";
/// File of what they are.
pub const PEFT_CONFIG: &str = "adapter_config.json";

/// `safetensors` wants its header as long as a multiple of this.
const HEADER_UNIT: usize = 8;

impl AdapterFile {
    /// Writes it into `folder`, as an adapter of the model that Python calls `base`, if that is known.
    ///
    /// # Errors
    /// It adapts what a model of shape `g` does not have, a factor is not finite, or what the disk says.
    pub fn write_peft(&self, folder: &Path, g: &Geometry, base: Option<&str>) -> Result<(), AdapterError> {
        let places = self.places(g)?;
        let names: Vec<String> = places.iter().map(|place| python_name(place.block, place.module)).collect();
        let config = serde_json::to_vec_pretty(&self.peft_config(&names, base)).unwrap_or_default();
        let (weights, settings) = (folder.join(PEFT_WEIGHTS), folder.join(PEFT_CONFIG));
        std::fs::create_dir_all(folder).map_err(PathError::at("make", folder))?;
        file::replace(&weights, |out| {
            let failed = PathError::at("write", &weights);
            out.write_all(&self.peft_header(&names)).map_err(&failed)?;
            for (pair, place) in self.pairs().iter().zip(&places) {
                let (mut a, mut b) = (vec![0.0; pair.a_len()], vec![0.0; pair.b_len()]);
                self.copy(pair, &mut a, &mut b)?;
                numbers(out, &a).map_err(&failed)?;
                let rows = (0..pair.out_features).map(|row| gguf_row(g, place.module, row));
                for row in rows {
                    numbers(out, &b[row * pair.rank..][..pair.rank]).map_err(&failed)?;
                }
            }
            Ok::<_, AdapterError>(())
        })?;
        Ok(file::write(&settings, &config)?)
    }

    /// Heap bytes that [`write_peft`](Self::write_peft) takes: the largest pair, and names.
    pub fn peft_bytes(&self) -> Bytes {
        let pair = |pair: &LoraPair| 4 * (pair.a_len() + pair.b_len());
        // A name is in the header and in the settings, each put together as a value first.
        Bytes((self.pairs().iter().map(pair).max().unwrap_or(0) + 4096 * self.pairs().len()) as u64)
    }

    /// `adapter_config.json`. Layers are listed one by one, for an adapter need not be on all.
    fn peft_config(&self, names: &[String], base: Option<&str>) -> Value {
        let modules = names.iter().map(|name| name.trim_start_matches("model."));
        let rank = self.rank();
        let others = self.pairs().iter().zip(modules.clone()).filter(|(pair, _)| pair.rank != rank);
        let ranks: Map<String, Value> =
            others.map(|(pair, name)| (name.to_owned(), pair.rank.into())).collect();
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": true,
            "r": rank,
            "rank_pattern": ranks,
            "lora_alpha": self.alpha(),
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "use_rslora": false,
            "target_modules": modules.collect::<Vec<_>>(),
        })
    }

    /// Length and text of what precedes the numbers.
    fn peft_header(&self, names: &[String]) -> Vec<u8> {
        let meta = self.meta();
        let mut header = Map::new();
        let mut about = Map::from_iter([("format".to_owned(), json!("pt"))]);
        about.extend(meta.base_digest.iter().map(|digest| ("sprig.base.digest".to_owned(), json!(digest))));
        header.insert("__metadata__".to_owned(), about.into());
        let mut at = 0;
        for (pair, name) in self.pairs().iter().zip(names) {
            let (rank, inp, out) = (pair.rank, pair.in_features, pair.out_features);
            for (factor, shape) in [("lora_A", [rank, inp]), ("lora_B", [out, rank])] {
                let end = at + 4 * shape[0] * shape[1];
                let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
                header.insert(format!("base_model.model.{name}.{factor}.weight"), entry);
                at = end;
            }
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(HEADER_UNIT), b' ');
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut text);
        bytes
    }
}

/// What `transformers` calls a linear layer.
fn python_name(block: usize, module: Module) -> String {
    let part = match module {
        Module::Q | Module::K | Module::V | Module::O => "self_attn",
        Module::Gate | Module::Up | Module::Down => "mlp",
    };
    format!("model.layers.{block}.{part}.{}_proj", module.name())
}

/// The row of the file's matrix that is row `row` of the original's.
fn gguf_row(g: &Geometry, module: Module, row: usize) -> usize {
    if g.family.rotation != Rotation::Pairs || !matches!(module, Module::Q | Module::K) {
        return row;
    }
    let (head, within) = (row / g.head_dim, row % g.head_dim);
    let (half, i) = (within / (g.head_dim / 2), within % (g.head_dim / 2));
    head * g.head_dim + 2 * i + half
}

fn numbers(out: &mut dyn Write, values: &[f32]) -> std::io::Result<()> {
    values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Adapter, AdapterMeta, AdapterSpec, Kind};
    use crate::gguf::{Gguf, Synthetic, SyntheticFamily};
    use crate::kernels::Ctx;
    use crate::model::Transformer;

    /// The folder of an adapter of `kind` on q and down of a model, and the adapter.
    fn written(family: SyntheticFamily, kind: Kind, folder: &Path) -> (Value, Vec<u8>, Adapter, Geometry) {
        let bytes = Synthetic::tiny_of(family).bytes().unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
        let targets = vec![Module::Q, Module::Down];
        let spec =
            AdapterSpec { kind, rank: 3, alpha: 6.0, targets, layers: 1..3, kept: vec![], routing: None };
        let normal = |_, out: &mut [f32]| out.iter_mut().enumerate().for_each(|(i, v)| *v = (i as f32).sin());
        let mut adapter = Adapter::new(&spec, &model, &ctx, normal).unwrap();
        adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (0.3 * i as f32).cos());
        let path = folder.join("a.gguf");
        adapter.write(&path, &AdapterMeta::of(model.geometry(), &"ab".repeat(32))).unwrap();
        let file = AdapterFile::open(path).unwrap();
        file.write_peft(&folder.join("peft"), model.geometry(), Some("some/model")).unwrap();
        let config = std::fs::read(folder.join("peft").join(PEFT_CONFIG)).unwrap();
        let weights = std::fs::read(folder.join("peft").join(PEFT_WEIGHTS)).unwrap();
        (serde_json::from_slice(&config).unwrap(), weights, adapter, *model.geometry())
    }

    #[test]
    fn a_folder_is_as_peft_lays_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let families = [SyntheticFamily::Llama, SyntheticFamily::Qwen2, SyntheticFamily::Qwen3];
        let kinds = [Kind::Lora, Kind::Xs, Kind::BOnly];
        for (family, kind) in families.into_iter().flat_map(|family| kinds.map(|kind| (family, kind))) {
            let (config, bytes, adapter, g) = written(family, kind, folder.path());
            assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(3), &json!(6.0)));
            let modules = ["layers.1.self_attn.q_proj", "layers.1.mlp.down_proj"];
            assert_eq!(config["target_modules"].as_array().unwrap()[..2], modules);
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(length % HEADER_UNIT, 0);
            let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
            assert_eq!(header["__metadata__"]["format"], "pt");
            let data = &bytes[8 + length..];
            let tensor = |name: &str, shape: [usize; 2]| -> Vec<f32> {
                let entry = &header[format!("base_model.model.model.layers.{name}.weight")];
                assert_eq!((&entry["dtype"], &entry["shape"]), (&json!("F32"), &json!(shape)), "{name}");
                let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize;
                let bytes = data[at(0)..at(1)].chunks_exact(4);
                bytes.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            };
            let pairs = adapter.to_pairs();
            let (out, inp) = Module::Q.shape(&g);
            assert_eq!(tensor("1.self_attn.q_proj.lora_A", [3, inp]), pairs[0].a);
            let b = tensor("1.self_attn.q_proj.lora_B", [out, 3]);
            // Row (head, half, i) of Python's is (head, i, half) of a Llama's file.
            let (d, half) = (g.head_dim, g.head_dim / 2);
            let (python, own) =
                (d + half + 1, if g.family.rotation == Rotation::Pairs { d + 3 } else { d + half + 1 });
            assert_eq!(b[3 * python..][..3], pairs[0].b[3 * own..][..3], "{family:?} {kind:?}");
            let (out, inp) = Module::Down.shape(&g);
            assert_eq!(tensor("2.mlp.down_proj.lora_A", [3, inp]), pairs[3].a);
            assert_eq!(tensor("2.mlp.down_proj.lora_B", [out, 3]), pairs[3].b);
            assert_eq!(data.len(), 4 * pairs.iter().map(|p| p.a.len() + p.b.len()).sum::<usize>());
        }
    }
}
