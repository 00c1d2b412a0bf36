//! Trainings on pairs of answers: what they report, that they go on bit for bit, and what is refused.

use crate::scene::{Scene, has_keys, number};
use serde_json::Value;

const TRAIN: &str = "train --model tiny.gguf --threads 1 --json";

/// What becomes of a file.
type Change = fn(&mut Vec<u8>);

/// Twelve pairs of completions.
fn scene() -> Scene {
    let scene = Scene::new();
    let lines: Vec<String> = (0..12)
        .map(|i| {
            format!(r#"{{"prompt": "is {i} even? ", "chosen": "{}", "rejected": "{}"}}"#, yes(i), yes(i + 1))
        })
        .collect();
    scene.write("pair.jsonl", &lines.join("\n"));
    scene
}

fn yes(i: usize) -> &'static str {
    ["yes", "no"][i % 2]
}

#[test]
fn every_objective_learns_from_pairs_labels_and_choices() {
    let scene = scene();
    for objective in ["sft", "dpo", "dpo-bce", "cal-dpo", "catto", "penalty", "rcft"] {
        for (task, extra) in [("pair", ""), ("label", "--label-loss full"), ("choice", "--label-loss labels")]
        {
            let line = format!(
                "{TRAIN} --objective {objective} --task {task} --data {task}.jsonl --eval-data {task}.jsonl {extra} \
                 --estimator reverse --steps 30 --batch 4 --lr 0.02 --out {objective}.gguf"
            );
            let ran = scene.done(&line);
            let events = ran.events();
            let references = events.iter().find(|event| event["event"] == "references").unwrap();
            assert_eq!(references["n"], 12);
            let loss: Vec<f64> =
                events.iter().filter(|e| e["event"] == "step").map(|step| number(step, "loss")).collect();
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
            let (first, last) = (mean(&loss[..6]), mean(&loss[loss.len() - 6..]));
            assert!(last < first, "{objective} of {task}: {first} to {last}");
            // The pair is as likely as it was before: h = 0 in the first step.
            if objective == "dpo" {
                assert!((loss[0] - std::f64::consts::LN_2).abs() < 1e-6, "{task}: {}", loss[0]);
            }
            has_keys(&ran.last(), &["eval_accuracy_before", "eval_accuracy_after"]);
        }
    }
}

/// The flag alone means records of pairs, as one task pair means dpo.
#[test]
fn the_objective_and_the_task_stand_for_each_other() {
    let scene = scene();
    let steps = "--data pair.jsonl --steps 3 --batch 4";
    scene.done(&format!("{TRAIN} --objective dpo {steps} --out a.gguf"));
    scene.done(&format!("{TRAIN} --task pair {steps} --out b.gguf"));
    assert_eq!(scene.bytes("a.gguf"), scene.bytes("b.gguf"));
    // λ = 0 is DPO bit for bit.
    scene.done(&format!("{TRAIN} --objective catto --lam 0 {steps} --out c.gguf"));
    assert_eq!(scene.bytes("a.gguf"), scene.bytes("c.gguf"));
    scene.done(&format!("{TRAIN} --objective catto {steps} --out d.gguf"));
    assert_ne!(scene.bytes("a.gguf"), scene.bytes("d.gguf"));
    let judged =
        scene.done("eval --model tiny.gguf --task pair --data pair.jsonl --adapter a.gguf --json").last();
    assert_eq!(judged["n"], 12);
    let planned = scene.done("plan --model tiny.gguf --task pair --objective catto --json").last();
    assert!(number(&planned, "total_bytes") > 0.0, "{planned}");
}

#[test]
fn a_stopped_run_goes_on_against_the_same_policy() {
    let scene = scene();
    let line = format!(
        "{TRAIN} --objective catto --data pair.jsonl --steps 40 --batch 4 --checkpoint-every 20 --prefix-cache 0"
    );
    scene.done(&format!("{line} --out whole.gguf"));
    let (mut child, lines) = scene.start(&format!("{line} --out part.gguf"));
    for text in lines {
        let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
        if event["event"] == "step" && event["step"] == 25 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    if scene.has("part.gguf.ckpt") {
        let other = format!("{line} --kappa 2 --out part.gguf --resume");
        scene.fails(3, &other, &["kappa", "1", "2"]);
    }
    let resumed = scene.done(&format!("{line} --out part.gguf --resume"));
    assert!(resumed.out.contains("\"resumed\""), "{}", resumed.shown());
    assert_eq!(scene.bytes("part.gguf"), scene.bytes("whole.gguf"));
}

/// What was measured before training is read by the run that goes on; a file that is damaged or another run's costs the time to
/// measure it anew, and no bit.
#[test]
fn references_are_kept_for_a_run_that_goes_on() {
    let scene = scene();
    let line = format!(
        "{TRAIN} --objective dpo --task choice --data choice.jsonl --steps 30 --batch 4 --checkpoint-every 5 --held-back 0"
    );
    scene.done(&format!("{line} --out straight.gguf"));
    assert!(!scene.has("straight.gguf.references"), "it is removed in the end");
    let straight = scene.bytes("straight.gguf");
    let stopped = |name: &str| {
        let (mut child, lines) = scene.start(&format!("{line} --out {name}"));
        for text in lines {
            let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
            if event["event"] == "step" && event["step"] == 12 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let kept = format!("{name}.references");
        (scene.bytes(&kept), scene.path(&kept))
    };
    let cases: [(&str, Option<Change>); 4] = [
        ("whole", None),
        ("damaged", Some(|bytes| bytes[60] ^= 1)),
        ("short", Some(|bytes| bytes.truncate(100))),
        ("foreign", Some(|bytes| bytes[8] ^= 1)),
    ];
    for (name, change) in cases {
        let out = format!("{name}.gguf");
        let (mut bytes, path) = stopped(&out);
        assert_eq!(bytes.len(), 8 + 32 + 8 + 12 * 12 + 32);
        if let Some(change) = change {
            change(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
        }
        let resumed = scene.done(&format!("{line} --out {out} --resume"));
        let events = resumed.events();
        let references = events.iter().find(|event| event["event"] == "references").unwrap();
        assert_eq!(references["read"], change.is_none(), "{name}: {references}");
        assert_eq!(scene.bytes(&out), straight, "{name}");
        assert!(!path.exists());
    }
}

/// What an epoch was reckoned to goes on with the run: 12 examples are three steps, and the checkpoints lie within epochs.
#[test]
fn a_stopped_run_is_drawn_to_what_its_epoch_was_reckoned_to() {
    let scene = scene();
    for (task, more) in [("pair", ""), ("choice", "--held-back 4 --patience 30 --epochs 20")] {
        let steps = if more.is_empty() { "--steps 40" } else { more };
        let line = format!(
            "{TRAIN} --objective rcft --task {task} --data {task}.jsonl {steps} --batch 4 --lr 0.02 --estimator reverse \
             --checkpoint-every 5 --prefix-cache 0"
        );
        let whole = scene.done(&format!("{line} --out whole.gguf"));
        let steps = whole.events().iter().filter(|e| e["event"] == "step").count();
        let epoch = if more.is_empty() { 3 } else { 2 };
        let reckoned = whole.events().iter().filter(|e| e["event"] == "reckoned").count();
        assert_eq!(reckoned, steps.div_ceil(epoch), "{task}");
        let (mut child, lines) = scene.start(&format!("{line} --out part.gguf"));
        for text in lines {
            let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
            if event["event"] == "step" && event["step"] == 26 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let resumed = scene.done(&format!("{line} --out part.gguf --resume"));
        assert!(resumed.out.contains("\"resumed\""), "{}", resumed.shown());
        assert_eq!(scene.bytes("part.gguf"), scene.bytes("whole.gguf"), "{task}");
        // What is drawn to counts: its weight is 1 unless it is given.
        scene.done(&format!("{line} --lam 1 --out same.gguf"));
        assert_eq!(scene.bytes("same.gguf"), scene.bytes("whole.gguf"));
        scene.done(&format!("{line} --lam 0 --out free.gguf"));
        assert_ne!(scene.bytes("free.gguf"), scene.bytes("whole.gguf"));
    }
}

#[test]
fn what_is_no_pair_is_refused_by_name() {
    let scene = scene();
    let train = |rest: &str| format!("{TRAIN} --out a.gguf {rest}");
    scene.fails(
        2,
        &train("--objective catto --task lm --data lm.jsonl"),
        &["--objective catto", "--task pair"],
    );
    scene.fails(2, &train("--lam 1 --task label --data label.jsonl"), &["--lam", "--objective"]);
    scene.fails(2, &train("--data pair.jsonl"), &["--task"]);
    scene.fails(2, &train("--objective dpo --beta 0 --data pair.jsonl"), &["--beta", "above 0"]);
    scene.fails(2, &train("--objective dpo --smoothing 1 --data pair.jsonl"), &["--smoothing"]);
    scene.fails(
        2,
        &train("--objective dpo --estimator readout --task choice --data choice.jsonl"),
        &["--objective", "readout"],
    );
    scene.fails(3, &train("--objective dpo --data lm.jsonl"), &["lm.jsonl:1", "chosen", "rejected"]);
    scene.write("same.jsonl", r#"{"prompt": "a", "chosen": "b", "rejected": "b"}"#);
    scene.fails(3, &train("--objective dpo --data same.jsonl"), &["same.jsonl:1", "the same"]);
    scene.fails(2, "calibrate --model tiny.gguf --task lm --data lm.jsonl", &["--task lm", "pair"]);
    assert!(!scene.has("a.gguf"));
}
