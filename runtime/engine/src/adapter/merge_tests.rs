//! Merged models answer as the model with its adapter does.

use super::*;
use crate::adapter::{Adapter, AdapterMeta, AdapterSpec, Kind};
use crate::gguf::Synthetic;
use crate::kernels::Ctx;
use crate::model::{Module, Transformer};
use std::path::PathBuf;

/// A model of `ty` and an adapter on q and down of its last block, in a folder.
fn model(ty: TensorType, folder: &Path) -> (PathBuf, PathBuf) {
    let (model, adapter) = (folder.join("m.gguf"), folder.join("a.gguf"));
    Synthetic { width: 256, ffn: 512, blocks: 2, ..Synthetic::tiny() }
        .of_type(ty)
        .write_atomic(&model)
        .unwrap();
    let mapped = Mapped::open(&model).unwrap();
    let gguf = Gguf::parse(mapped.bytes()).unwrap();
    let (llama, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 2,
        alpha: 4.0,
        targets: vec![Module::Q, Module::Down],
        layers: 1..2,
        kept: Vec::new(),
        routing: None,
    };
    let mut made = Adapter::new(&spec, &llama, &ctx, |_, _| ()).unwrap();
    made.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = 0.05 * (1.7 * i as f32).sin());
    made.write(&adapter, &AdapterMeta::of(llama.geometry(), &mapped.digest_hex().unwrap())).unwrap();
    (model, adapter)
}

fn merge(
    ty: TensorType,
    to: Option<TensorType>,
    folder: &Path,
) -> Result<(Merged, PathBuf, PathBuf), AdapterError> {
    let (model, adapter) = model(ty, folder);
    let mapped = Mapped::open(&model).unwrap();
    let gguf = Gguf::parse(mapped.bytes()).unwrap();
    let (geometry, adapter) = (Geometry::read(&gguf).unwrap(), AdapterFile::open(adapter).unwrap());
    let out = folder.join("merged.gguf");
    let found = Merge::new((&mapped, &gguf, &geometry), &adapter, to)?.write(&out)?;
    Ok((found, model, out))
}

#[test]
fn what_is_adapted_moves_and_all_else_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for ty in [
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_1,
        TensorType::Q4_K,
        TensorType::Q6_K,
    ] {
        let (found, model, out) = merge(ty, None, folder.path()).unwrap();
        assert_eq!(found.tensors, 2);
        assert!((found.kept - 1.0).abs() < 0.05, "{ty}: {found:?}");
        let least = if ty == TensorType::F32 { 1e-6 } else { 0.12 };
        assert!(found.rounding < least, "{ty}: {found:?}");
        let (was, is) = (std::fs::read(model).unwrap(), std::fs::read(out).unwrap());
        let (was, is) = (Gguf::parse(&was).unwrap(), Gguf::parse(&is).unwrap());
        let kept: Vec<_> = is.metadata().filter(|(key, _)| *key != MERGED_KEY).collect();
        assert_eq!(kept, was.metadata().collect::<Vec<_>>());
        assert_eq!(is.str(MERGED_KEY).unwrap().unwrap().len(), 64);
        for (before, after) in was.tensors().zip(is.tensors()) {
            assert_eq!((before.name, before.ty, before.dims()), (after.name, after.ty, after.dims()));
            let same = was.data(before).unwrap() == is.data(after).unwrap();
            let adapted = ["blk.1.attn_q.weight", "blk.1.ffn_down.weight"].contains(&before.name);
            assert_eq!(same, !adapted, "{ty} {}", before.name);
        }
    }
}

#[test]
fn another_type_is_made_where_it_can_be_and_refused_by_name_where_not() {
    let folder = tempfile::tempdir().unwrap();
    for to in MADE_TYPES {
        let (found, _, out) = merge(TensorType::Q4_K, Some(to), folder.path()).unwrap();
        let is = std::fs::read(out).unwrap();
        let is = Gguf::parse(&is).unwrap();
        assert_eq!(is.require_tensor("blk.1.attn_q.weight").unwrap().ty, to);
        assert_eq!(is.require_tensor("blk.0.attn_q.weight").unwrap().ty, TensorType::Q4_K);
        assert!((found.kept - 1.0).abs() < 0.05, "{to}: {found:?}");
    }
    let refused = merge(TensorType::Q4_0, Some(TensorType::Q5_K), folder.path()).err().unwrap().to_string();
    assert!(
        refused.contains("blk.1.attn_q.weight") && refused.contains("Q5_K") && refused.contains("Q8_0"),
        "{refused}"
    );
}
