//! A run that was stopped or killed goes on bit for bit, or is refused by name.

use crate::scene::{Scene, number};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// A run that only a signal ends, stopped by Ctrl-C after a few steps. Its checkpoint is `a.gguf.ckpt`.
const ENDLESS: &str = "train --model tiny.gguf --task lm --raw --data lm.jsonl --steps 100000 --batch 2 --lr 0.01 \
     --threads 1 --checkpoint-every 0 --out a.gguf";

fn interrupted() -> Scene {
    let scene = Scene::new();
    let (mut child, lines) = scene.start(&format!("{ENDLESS} --json"));
    let mut last = Value::Null;
    let mut steps = 0;
    for line in lines {
        last = serde_json::from_str(&line.unwrap()).unwrap();
        steps += u32::from(last["event"] == "step");
        if steps == 5 && last["event"] == "step" {
            let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert!(kill.success());
        }
        assert!(steps < 50_000, "the signal changed nothing");
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(last["event"], "interrupted");
    assert!(number(&last, "step") >= 5.0, "{last}");
    assert!(scene.has("a.gguf.ckpt") && !scene.has("a.gguf"));
    scene
}

#[test]
fn ctrl_c_leaves_a_checkpoint_that_other_settings_and_damage_do_not_get_past() {
    let scene = interrupted();
    scene.write("a.gguf", "an older adapter");
    let whole = scene.bytes("a.gguf.ckpt");
    let untouched = |want: &[u8]| {
        assert!(scene.bytes("a.gguf.ckpt") == want, "the checkpoint was overwritten");
        assert_eq!(scene.bytes("a.gguf"), b"an older adapter");
    };
    for (from, to, words) in [
        ("--lr 0.01", "--lr 0.02", ["lr", "0.01", "0.02"]),
        ("--steps 100000", "--steps 200", ["steps", "100000", "200"]),
        ("--batch 2", "--batch 3", ["batch", "2", "3"]),
        ("--batch 2", "--batch 2 --seed 5", ["seed", "0", "5"]),
        ("--batch 2", "--batch 2 --rank 3 --alpha 4", ["rank", "4", "3"]),
        ("--batch 2", "--batch 2 --alpha 9", ["alpha", "4", "9"]),
        ("--batch 2", "--batch 2 --targets k", ["targets", "q,v", "k"]),
        ("--batch 2", "--batch 2 --layers 0..2", ["layers", "2..3", "0..2"]),
        ("--batch 2", "--batch 2 --warmup 11", ["warmup", "10", "11"]),
        ("--batch 2", "--batch 2 --tangents 2 --family rademacher", ["tangents", "1", "2"]),
        ("--batch 2", "--batch 2 --directions shared", ["directions", "per-example", "shared"]),
        ("--batch 2", "--batch 2 --family gaussian", ["family", "rademacher", "gaussian"]),
        ("--batch 2", "--batch 2 --optimizer sgd", ["optimizer", "adamw", "sgd"]),
        ("--batch 2", "--batch 2 --weight-decay 0.5", ["weight-decay", "0", "0.5"]),
        ("--batch 2", "--batch 2 --decay cosine", ["decay", "linear", "cosine"]),
        ("--batch 2", "--batch 2 --dropout 0.1", ["dropout", "unset", "0.1"]),
        ("--batch 2", "--batch 2 --held-back 3", ["held-back", "unset", "3"]),
    ] {
        let [setting, old, new] = words;
        let (old, new) = (format!("{setting} = {old}"), format!("{setting} = {new}"));
        let line = format!("{} --resume", ENDLESS.replace(from, to));
        scene.fails(3, &line, &["a.gguf.ckpt", &old, &new, "delete"]);
        untouched(&whole);
    }
    // What was changed is told, not by which digests.
    scene.write("lm.jsonl", r#"{"prompt": "count on: ", "completion": "9"}"#);
    scene.write("held-out.jsonl", r#"{"prompt": "count on: ", "completion": "8"}"#);
    scene.fails(
        3,
        &format!("{ENDLESS} --resume"),
        &["a.gguf.ckpt: the training data have changed", "delete"],
    );
    scene.fails(
        3,
        &format!("{ENDLESS} --eval-data held-out.jsonl --resume"),
        &["it was made without held-out data", "delete"],
    );
    untouched(&whole);
    for length in [0, 3, 100, whole.len() / 2, whole.len() - 40] {
        let cut = &whole[..length];
        std::fs::write(scene.path("a.gguf.ckpt"), cut).unwrap();
        scene.fails(3, &format!("{ENDLESS} --resume"), &["a.gguf.ckpt", "delete it to start anew"]);
        untouched(cut);
    }
}

#[test]
fn a_run_that_is_killed_goes_on_bit_for_bit() {
    for kind in ["lora-xs --tangents 3", "lora --tangents 3", "lora --estimator reverse"] {
        let scene = Scene::new();
        // Long enough steps (tens of milliseconds) that the kill comes before the end.
        let text = "a text that goes on and on ".repeat(4);
        let lines: Vec<_> = (0..40).map(|i| format!(r#"{{"text": "{i} {text}"}}"#)).collect();
        scene.write("long.jsonl", &lines.join("\n"));
        let line = |name: &str| {
            format!(
                "train --model tiny.gguf --task lm --data long.jsonl --eval-data lm.jsonl --raw --steps 30 --batch 6 \
                 --adapter-kind {kind} --checkpoint-every 10 --threads 2 --json --out {name}.gguf \
                 --run {name}.json"
            )
        };
        let straight = scene.done(&line("a")).last();

        let (mut child, lines) = scene.start(&line("b"));
        for line in lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "step" && number(&event, "step") >= 12.0 {
                child.kill().unwrap();
                break;
            }
        }
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the run ended before it was killed");
        assert!(scene.has("b.gguf.ckpt") && !scene.has("b.gguf"));

        let resumed = scene.done(&format!("{} --resume", line("b")));
        let events = resumed.events();
        let from = events.iter().find(|e| e["event"] == "resumed").expect("resumes from the checkpoint");
        assert!([10, 20].contains(&from["step"].as_u64().unwrap()), "{from}");
        assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "{kind}: the adapters differ");
        let done = resumed.last();
        for key in ["steps", "loss_first", "loss_last", "eval_before", "eval_after"] {
            assert_eq!(done[key], straight[key], "{kind}: {key}");
        }
        assert!(!scene.has("b.gguf.ckpt"));
    }
}

#[test]
fn without_a_checkpoint_resume_begins_anew() {
    let scene = Scene::new();
    let line = "train --model tiny.gguf --task label --data label.jsonl --steps 3 --threads 2 --json";
    let ran = scene.done(&format!("{line} --resume --out a.gguf"));
    assert!(ran.events().iter().all(|e| e["event"] != "resumed"));
    scene.done(&format!("{line} --out b.gguf"));
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"));
}

#[test]
fn a_training_that_is_over_is_not_begun_anew_over_its_adapter() {
    let scene = Scene::new();
    for (estimator, out) in [("reverse --steps 3", "a.gguf"), ("readout", "b.gguf")] {
        let line = format!(
            "train --model tiny.gguf --task label --data label.jsonl --estimator {estimator} --threads 2 --out {out}"
        );
        scene.done(&line);
        let adapter = scene.bytes(out);
        let words =
            ["no checkpoint", ".gguf.ckpt", "is over", "--from", "another --out", "leave --resume out"];
        let ran = scene.fails(2, &format!("{line} --resume"), &words);
        assert_eq!(ran.out, "", "nothing was read or planned");
        assert!(scene.bytes(out) == adapter);
        scene.done(&line);
    }
}
