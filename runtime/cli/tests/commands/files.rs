//! No command writes over what it reads, over another of its results, or over what is recognisably something else.

use crate::scene::Scene;
use std::fs;
use std::os::unix::fs::symlink;

const TRAIN: &str = "train --model tiny.gguf --task lm --raw --data lm.jsonl --steps 1 --threads 1";

/// Everything in the scene, by name.
fn contents(scene: &Scene) -> Vec<(String, Option<Vec<u8>>)> {
    scene.list().into_iter().map(|name| (name.clone(), fs::read(scene.path(&name)).ok())).collect()
}

/// The command is refused as a wrong command line, names each of `words`, says nothing else and changes no file.
fn refused(scene: &Scene, line: &str, words: &[&str]) {
    let before = contents(scene);
    let ran = scene.fails(2, line, words);
    assert_eq!(ran.out, "", "{}", ran.shown());
    assert!(contents(scene) == before, "a file changed: {}", ran.shown());
}

#[test]
fn a_training_writes_over_none_of_its_own_files() {
    let scene = Scene::new();
    fs::create_dir(scene.path("sub")).unwrap();
    symlink("tiny.gguf", scene.path("link.gguf")).unwrap();
    symlink(scene.path(""), scene.path("here")).unwrap();
    fs::hard_link(scene.path("lm.jsonl"), scene.path("hard.jsonl")).unwrap();
    for (flags, words) in [
        ("--out tiny.gguf", ["--out", "--model", "tiny.gguf"]),
        ("--out ./tiny.gguf", ["--out", "--model", "tiny.gguf"]),
        ("--out sub/../tiny.gguf", ["--out", "--model", "tiny.gguf"]),
        ("--out link.gguf", ["--out", "--model", "link.gguf"]),
        ("--out here/tiny.gguf", ["--out", "--model", "tiny.gguf"]),
        ("--out lm.jsonl", ["--out", "--data", "lm.jsonl"]),
        ("--out hard.jsonl", ["--out", "--data", "hard.jsonl"]),
        ("--out a.gguf --run tiny.gguf", ["--run", "--model", "tiny.gguf"]),
        ("--out a.gguf --run lm.jsonl", ["--run", "--data", "lm.jsonl"]),
        ("--out a.gguf --run ./a.gguf", ["--run", "--out", "a.gguf"]),
        ("--out sub/a.gguf --run here/sub/a.gguf", ["--run", "--out", "a.gguf"]),
        ("--out a.gguf --eval-data label.jsonl --run label.jsonl", ["--run", "--eval-data", "label.jsonl"]),
        ("--out a.gguf --run a.gguf.ckpt", ["--run", "checkpoint", "a.gguf.ckpt"]),
        ("--out a.gguf --run a.gguf.prefix", ["--run", "activations", "a.gguf.prefix"]),
        ("--out a.gguf --eval-data a.gguf.ckpt", ["checkpoint", "--eval-data", "a.gguf.ckpt"]),
    ] {
        refused(&scene, &format!("{TRAIN} {flags}"), &words);
    }
}

#[test]
fn what_is_something_else_is_not_written_over() {
    let scene = Scene::new();
    scene.model("other.gguf", 2);
    scene.write("marked.jsonl", "\u{feff}\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
    scene.done(&format!("{TRAIN} --out a.gguf --run run.json"));
    scene.done("report run.json -o page.html");
    for (file, what) in [
        ("other.gguf", "a GGUF model"),
        ("label.jsonl", "data records"),
        ("marked.jsonl", "data records"),
        ("run.json", "the record of a run"),
        ("page.html", "a page"),
    ] {
        refused(&scene, &format!("{TRAIN} --out {file}"), &["--out", file, what]);
    }
    refused(&scene, &format!("{TRAIN} --out b.gguf --run a.gguf"), &["--run", "a.gguf", "an adapter"]);
    refused(&scene, "report run.json -o other.gguf", &["--out", "other.gguf", "a GGUF model"]);
    refused(&scene, "report run.json -o a.gguf", &["--out", "a.gguf", "an adapter"]);
    refused(&scene, "report run.json -o ./run.json", &["--out", "run.json"]);
    refused(&scene, "report run.json -o /dev/stdout", &["--out", "/dev/stdout", "no ordinary file"]);
    // An earlier result of the same kind, and a text that is nothing known, are what a name is given for.
    scene.write("b.gguf", "");
    scene.write("c.gguf", "an older adapter");
    for out in ["a.gguf", "b.gguf", "c.gguf"] {
        scene.done(&format!("{TRAIN} --out {out} --run run.json"));
    }
    scene.done("report run.json -o page.html");
}

#[cfg(feature = "coordinator")]
#[test]
fn a_simulation_writes_over_none_of_its_own_files() {
    let scene = Scene::new();
    let line =
        "simulate --model tiny.gguf --data label.jsonl --eval-data choice.jsonl --devices 2 --set task=lm";
    for (flags, words) in [
        ("--out ./tiny.gguf", ["--out", "the model", "tiny.gguf"]),
        ("--out label.jsonl", ["--out", "--data", "label.jsonl"]),
        ("--out choice.jsonl", ["--out", "held-out", "choice.jsonl"]),
        ("--curve tiny.gguf", ["--curve", "the model", "tiny.gguf"]),
        ("--curve label.jsonl", ["--curve", "--data", "label.jsonl"]),
        ("--curve x --out ./x", ["--curve", "--out", "x"]),
        ("--curve lm.jsonl", ["--curve", "lm.jsonl", "data records"]),
    ] {
        refused(&scene, &format!("{line} {flags}"), &words);
    }
}

#[cfg(feature = "coordinator")]
#[test]
fn a_fleet_writes_over_none_of_its_own_files() {
    let scene = Scene::new();
    scene.done("provision --out fleet --devices 1");
    let text = String::from_utf8(scene.bytes("fleet/coordinator/fleet.toml")).unwrap();
    let text =
        text.replace("model.gguf", "../../tiny.gguf").replace("# eval_data = \"", "eval_data = \"../../");
    let text = text.replace("held_out.jsonl", "lm.jsonl");
    let write = |adapter: &str, page: &str| {
        let text = text
            .replace("# adapter = \"adapter.gguf\"", &format!("adapter = \"{adapter}\"\npage = \"{page}\""));
        assert!(text.contains("\npage = "), "{text}");
        scene.write("fleet/coordinator/fleet.toml", &text);
    };
    let coordinate = "coordinate --config fleet/coordinator/fleet.toml";
    for (adapter, page, words) in [
        ("../../tiny.gguf", "page.html", ["adapter", "the model", "tiny.gguf"]),
        ("a.gguf", "../../lm.jsonl", ["page", "eval_data", "lm.jsonl"]),
        ("a.gguf", "./a.gguf", ["page", "adapter", "a.gguf"]),
        ("a.gguf", "fleet.toml", ["page", "--config", "fleet.toml"]),
        ("../../label.jsonl", "page.html", ["adapter", "label.jsonl", "data records"]),
    ] {
        write(adapter, page);
        refused(&scene, coordinate, &words);
    }
    let export = "fleet export --config fleet/coordinator/fleet.toml --out";
    refused(&scene, &format!("{export} tiny.gguf"), &["--out", "the model", "tiny.gguf"]);
    refused(&scene, &format!("{export} fleet/coordinator/fleet.toml"), &["--out", "--config", "fleet.toml"]);
    refused(&scene, &format!("{export} label.jsonl"), &["--out", "label.jsonl", "data records"]);
}

#[cfg(feature = "coordinator")]
#[test]
fn provisioning_writes_over_no_file() {
    let scene = Scene::new();
    let before = contents(&scene);
    for out in ["tiny.gguf", "./lm.jsonl"] {
        let ran = scene.run(&format!("provision --out {out} --devices 1"));
        assert!([2, 5].contains(&ran.code) && ran.err.contains(out), "{}", ran.shown());
    }
    assert!(contents(&scene) == before);
}
