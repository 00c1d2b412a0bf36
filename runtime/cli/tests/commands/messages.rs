//! What a command says of its settings and of how it ended, beside its result.

use crate::scene::Scene;
use serde_json::Value;
use std::fs::File;
use std::process::Stdio;

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
    let events = scene.done(&format!("{TRAIN} --resume --json").replace("a.gguf", "b.gguf")).events();
    assert!(events.iter().any(|e| e["event"] == "no_checkpoint" && e["checkpoint"] == "b.gguf.ckpt"));
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

#[test]
fn a_folder_and_an_empty_field_are_named_as_what_they_are() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("models")).unwrap();
    for line in ["plan --model models", "model inspect models"] {
        scene.fails(2, line, &["models is a folder", ".gguf"]);
    }
    scene.write("null.jsonl", "{\"text\": \"a\", \"label\": null}\n");
    let line = TRAIN.replace("label.jsonl", "null.jsonl");
    scene.fails(3, &line, &["null.jsonl:1:", "\"label\" (null)", "{\"text\", \"label\"}"]);
}

#[test]
fn data_from_a_pipe_are_read_where_once_is_enough() {
    let scene = Scene::new();
    let piped = |line: &str, file: &str| {
        let cat = |bytes: File| std::process::Command::new("cat").stdin(bytes).stdout(Stdio::piped()).spawn();
        let mut cat = cat(File::open(scene.path(file)).unwrap()).unwrap();
        let output = scene.command(line).stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let eval = "eval --model tiny.gguf --threads 1 --json --task";
    for data in ["-", "/dev/stdin"] {
        let (code, out, err) = piped(&format!("{eval} lm --raw --data {data}"), "lm.jsonl");
        assert_eq!(code, 0, "{err}");
        let same = scene.done(&format!("{eval} lm --raw --data lm.jsonl")).last();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["loss"], same["loss"]);
        let (code, _, err) = piped(&format!("{eval} label --data {data}"), "label.jsonl");
        assert!(code == 2 && err.contains("only once") && err.contains("--labels"), "{err}");
        let (code, _, err) = piped(&format!("{eval} label --labels up,down --data {data}"), "label.jsonl");
        assert_eq!(code, 0, "{err}");
        let (code, _, err) = piped(&TRAIN.replace("label.jsonl", data), "label.jsonl");
        assert!(code == 2 && err.contains("only once"), "{err}");
    }
}

#[test]
fn the_record_has_the_command_as_it_can_be_typed_again() {
    let scene = Scene::new();
    let ran = scene.run_with(&format!("{TRAIN} --run run.json --template"), &["{text}: it's \"$up\"?"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let record: Value = serde_json::from_slice(&scene.bytes("run.json")).unwrap();
    let command = record["command"].as_str().unwrap();
    let echo = format!("for word in {command}; do printf '%s\\n' \"$word\"; done");
    let words = std::process::Command::new("sh").args(["-c", &echo]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();
    assert_eq!(words.lines().last(), Some("{text}: it's \"$up\"?"), "{command}");
    assert!(command.contains(" --model tiny.gguf --task label "), "{command}");
}

#[cfg(feature = "coordinator")]
#[test]
fn provisioning_adds_to_a_fleet_and_says_how_its_broker_starts() {
    let scene = Scene::new();
    let said = scene.done("provision --out fleet --fleet home --devices 1").out;
    assert!(said.contains("chown -R mosquitto: fleet/broker"), "{said}");
    let said = scene.done("provision --out fleet --devices attic --json").last();
    assert_eq!(said["devices"][0], "fleet/devices/attic");
    scene.fails(2, "provision --out fleet --fleet away --devices 1", &["\"home\", not \"away\"", "or none"]);
    assert!(scene.done("provision --help").out.contains("device-001"));
}
