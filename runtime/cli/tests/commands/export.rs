//! `sprig export`: an adapter in the weights of its model, and for Python.

use crate::scene::Scene;
use serde_json::Value;
use std::fs;

const TRAIN: &str =
    "train --model tiny.gguf --task lm --raw --data lm.jsonl --steps 4 --lr 0.2 --threads 1 --out a.gguf";
const EXPORT: &str = "export --model tiny.gguf --adapter a.gguf";

fn loss(scene: &Scene, line: &str) -> f64 {
    let ran = scene.done(&format!("eval --task lm --raw --data lm.jsonl --threads 1 --json {line}"));
    serde_json::from_str::<Value>(ran.out.lines().last().unwrap()).unwrap()["loss"].as_f64().unwrap()
}

#[test]
fn a_merged_model_answers_as_the_model_with_the_adapter() {
    let scene = Scene::new();
    for kind in ["lora-xs", "lora", "b-only"] {
        let told = scene.done(&format!("{TRAIN} --adapter-kind {kind}")).out;
        assert!(told.contains("llama-cli -m ") && told.contains("ADAPTER %s"), "{told}");
        let told = scene.done(&format!("{EXPORT} --merge --out merged.gguf --type f32")).out;
        assert!(told.contains("100.0 % of the update"), "{told}");
        let (with, merged) =
            (loss(&scene, "--model tiny.gguf --adapter a.gguf"), loss(&scene, "--model merged.gguf"));
        let plain = loss(&scene, "--model tiny.gguf");
        assert!((with - merged).abs() < 1e-4, "{kind}: {with} {merged}");
        assert!((with - plain).abs() > 1e-3, "{kind}: {with} {plain}");
        scene.done(&format!("{EXPORT} --merge --out merged.gguf --type q8_0"));
        let fine = loss(&scene, "--model merged.gguf");
        assert!((with - fine).abs() < 0.5 * (with - plain).abs(), "{kind}: {with} {fine} {plain}");
        // Four bits of so small a model round more than so few steps change.
        scene.done(&format!("{EXPORT} --merge --out merged.gguf --budget 40MiB"));
        let own = loss(&scene, "--model merged.gguf");
        assert!((with - own).abs() < 0.1, "{kind}: {with} {own} {plain}");
    }
    // What was merged is a model like others: the adapter is not of it.
    scene.fails(3, "eval --task lm --data lm.jsonl --model merged.gguf --adapter a.gguf", &["trained on"]);
}

#[test]
fn a_folder_for_python_has_numbers_and_settings() {
    let scene = Scene::new();
    scene.done(TRAIN);
    let ran = scene.done(&format!("{EXPORT} --peft python --base-name some/model --json"));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["form"], "peft");
    let config: Value = serde_json::from_slice(&scene.bytes("python/adapter_config.json")).unwrap();
    assert_eq!(
        (&config["peft_type"], &config["base_model_name_or_path"]),
        (&"LORA".into(), &"some/model".into())
    );
    let bytes = scene.bytes("python/adapter_model.safetensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let ends = header.as_object().unwrap().values().filter_map(|entry| entry["data_offsets"][1].as_u64());
    assert_eq!(ends.max().unwrap() as usize, bytes.len() - 8 - length);
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_is_lost() {
    let scene = Scene::new();
    scene.done(TRAIN);
    scene.model("other.gguf", 2);
    scene.fails(2, EXPORT, &["--merge", "--peft"]);
    scene.fails(2, &format!("{EXPORT} --merge"), &["--out"]);
    scene.fails(2, &format!("{EXPORT} --merge --out other.gguf"), &["other.gguf", "a GGUF model"]);
    scene.fails(2, &format!("{EXPORT} --merge --out a.gguf"), &["--out", "--adapter"]);
    scene.fails(2, &format!("{EXPORT} --merge --out m.gguf --type Q4_K"), &["Q4_K", "Q8_0"]);
    scene.fails(3, "export --model other.gguf --adapter a.gguf --merge --out m.gguf", &["a.gguf", "digest"]);
    scene.fails(4, &format!("{EXPORT} --merge --out m.gguf --budget 1MiB"), &["give --budget"]);
    scene.fails(3, "export --model tiny.gguf --adapter tiny.gguf --peft python", &["general.type"]);
    assert!(!scene.has("m.gguf") && !scene.has("python"));
    fs::write(scene.path("plain"), "").unwrap();
    scene.fails(5, &format!("{EXPORT} --peft plain"), &["plain"]);
}
