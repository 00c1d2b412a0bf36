//! Models of random weights against `transformers`: logits after every token, and what an adapter makes of
//! them that `sprig export --peft` wrote and `peft` reads.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_engine::adapter::AdapterFile;
use sprig_engine::gguf::{Gguf, Synthetic, TensorType};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;
use sprig_tests::Stock;
use sprig_tests::families::{FAMILIES, adapter, apart, difference, logits, rms, text};

/// How far apart logits may be: sums in another order, and sines of another library.
const LIMIT: f32 = 2e-5;

#[test]
#[ignore = "needs transformers and torch, gigabytes that a stage of `cargo xtask test --long` fetches"]
fn logits_and_adapters_are_those_of_transformers() {
    let (python, folder, ctx) = (Stock::transformers(), tempfile::tempdir().unwrap(), Ctx::new(2).unwrap());
    let [path, adapted, peft, out] =
        ["model.gguf", "adapter.gguf", "peft", "logits"].map(|name| folder.path().join(name));
    for family in FAMILIES {
        Synthetic::tiny_of(family).of_type(TensorType::F32).write_atomic(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let model = Transformer::load(&Gguf::parse(&bytes).unwrap()).unwrap();
        let adapter = adapter(&model, &ctx, &adapted);
        AdapterFile::open(&adapted).unwrap().write_peft(&peft, model.geometry(), None).unwrap();
        let ours = [None, Some(&adapter)].map(|adapter| logits(&model, &ctx, adapter));
        let theirs = [None, Some(&*peft)].map(|adapter| python.logits(&path, &text(), adapter, &out));
        let plain = apart(&ours[0], &theirs[0]);
        let [change, their_change] = [&ours, &theirs].map(|[plain, adapted]| difference(adapted, plain));
        let (effect, strength) = (apart(&change, &their_change), rms(&their_change) / rms(&theirs[0]));
        println!("{family:?}: {plain:.1e} apart, adapter's effect of {strength:.2} {effect:.1e}");
        assert!(plain < LIMIT, "{family:?}: logits are {plain} apart");
        assert!(strength > 0.1 && effect < 2.0 * LIMIT / strength, "{family:?}: {effect} of {strength}");
    }
}
