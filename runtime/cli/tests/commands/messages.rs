//! What a command says of its settings and of how it ended, beside its result.

use crate::scene::Scene;

const TRAIN: &str =
    "train --model tiny.gguf --task label --data label.jsonl --steps 3 --threads 1 --out a.gguf";

#[test]
fn a_training_that_diverges_ends_with_a_code_of_its_own() {
    let scene = Scene::new();
    let line = format!("{TRAIN} --lr 3e38 --warmup 0 --adapter-kind lora");
    scene.fails(8, &line, &["diverged", "step 2", "--lr"]);
    assert!(!scene.has("a.gguf"));
}

#[test]
fn resuming_without_a_checkpoint_and_replacing_one_are_said() {
    let scene = Scene::new();
    let said = scene.done(&format!("{TRAIN} --resume")).out;
    assert!(said.contains("there is no checkpoint a.gguf.ckpt"), "{said}");
    let events = scene.done(&format!("{TRAIN} --resume --json")).events();
    assert!(events.iter().any(|e| e["event"] == "no_checkpoint" && e["checkpoint"] == "a.gguf.ckpt"));
    assert!(!scene.done(TRAIN).out.contains("ckpt"), "there is nothing to tell");
    scene.write("a.gguf.ckpt", "an older checkpoint");
    let said = scene.done(TRAIN).out;
    assert!(said.contains("a.gguf.ckpt") && said.contains("--resume"), "{said}");
    scene.write("a.gguf.ckpt", "an older checkpoint");
    let events = scene.done(&format!("{TRAIN} --json")).events();
    assert!(events.iter().any(|e| e["event"] == "replaces_checkpoint"));
}

#[test]
fn budgets_of_the_wrong_size_are_said() {
    let scene = Scene::new();
    let plan = "plan --model tiny.gguf --threads 2";
    let ran = scene.done(&format!("{plan} --budget 900TB"));
    assert!(ran.err.contains("--budget 838190.32 GiB is more than"), "{}", ran.shown());
    assert_eq!(scene.done(&format!("{plan} --budget 1GiB")).err, "");
    let ran = scene.fails(4, &format!("{plan} --budget 300"), &["write 300MiB"]);
    assert!(ran.out.contains("> 999%") && !ran.out.contains("000.0%"), "{}", ran.shown());
    // Named to the byte, and as people write it, rounded up.
    let ran = scene.fails(4, &format!("{plan} --budget 1MiB"), &["such as "]);
    let size = ran.err.split_once("such as ").unwrap().1.trim();
    assert!(size.ends_with("MiB"), "{}", ran.shown());
    scene.done(&format!("{plan} --budget {size}"));
}
