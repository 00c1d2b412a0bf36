//! How long a training is unless it is told, how it is judged on its way, and which adapter it keeps.

use crate::scene::{Ran, Scene, number};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;

/// 60 texts, half of each label.
fn scene() -> Scene {
    let scene = Scene::new();
    let line = |i: usize| {
        let label = ["down", "up"][i % 2];
        format!(r#"{{"text": "the {label} side of street {i}", "label": "{label}"}}"#)
    };
    scene.write("many.jsonl", &(0..60).map(line).collect::<Vec<_>>().join("\n"));
    scene
}

const TRAIN: &str =
    "train --model tiny.gguf --task label --data many.jsonl --batch 4 --len 96 --threads 2 --json";

fn events(ran: &Ran, event: &str) -> Vec<Value> {
    ran.events().into_iter().filter(|e| e["event"] == event).collect()
}

fn steps_of(events: &[Value]) -> Vec<u64> {
    events.iter().map(|e| e["step"].as_u64().unwrap()).collect()
}

#[test]
fn a_run_that_is_told_nothing_holds_a_tenth_back_and_keeps_its_best_adapter() {
    let scene = scene();
    let ran = scene.done(&format!("{TRAIN} --out a.gguf --run run.json"));
    let judged = events(&ran, "judged");
    // 54 examples are fewer than 300 steps; 6 are judged at twenty steps between.
    assert_eq!(steps_of(&judged), (0..=20).map(|i| 15 * i).collect::<Vec<_>>()[..judged.len()]);
    assert!(judged.iter().all(|e| e["result"]["n"] == 6), "{judged:?}");
    let plan = &events(&ran, "plan")[0]["plan"]["regions"];
    let best = plan.as_array().unwrap().iter().find(|r| r["name"] == "best adapter so far").unwrap();
    // Three linear layers of one block, 8 x 8 each.
    assert_eq!(best["bytes"], 4 * 3 * 64);
    let losses: Vec<f64> = judged.iter().map(|e| number(&e["result"], "loss")).collect();
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let last = judged.last().unwrap();
    assert!((number(last, "best_loss") - lowest).abs() < 1e-6 && lowest < 0.9 * losses[0], "{losses:?}");
    let record: Value = serde_json::from_slice(&scene.bytes("run.json")).unwrap();
    let settings = record["settings"].to_string();
    assert!(
        settings.contains(r#"["steps","300"]"#) && settings.contains(r#"["held back","6"]"#),
        "{settings}"
    );
}

#[test]
fn steps_and_epochs_are_taken_as_given() {
    let scene = scene();
    let ran = scene.done(&format!("{TRAIN} --out a.gguf --epochs 2 --held-back none"));
    assert_eq!((number(&ran.last(), "steps"), events(&ran, "judged").len()), (30.0, 0));
    // 60 less a quarter, twice, in steps of 4.
    let ran = scene.done(&format!("{TRAIN} --out a.gguf --epochs 2 --held-back 25% --patience 100"));
    assert_eq!(number(&ran.last(), "steps"), 23.0);
    assert_eq!(steps_of(&events(&ran, "judged")).last(), Some(&23));
    let ran = scene.done(&format!("{TRAIN} --out a.gguf --steps 40"));
    assert_eq!((number(&ran.last(), "steps"), events(&ran, "judged").len()), (40.0, 0));
    assert_eq!(steps_of(&events(&ran, "trend")), [10, 20, 30, 40]);
    scene.fails(2, &format!("{TRAIN} --out a.gguf --epochs 2 --steps 9"), &["--epochs", "--steps"]);
    scene.fails(
        2,
        &format!("{TRAIN} --out a.gguf --held-back 100%"),
        &["--held-back", "up to, but not, 100%"],
    );
}

#[test]
fn a_run_that_learns_nothing_says_so_and_one_that_gets_worse_keeps_its_best_adapter() {
    let scene = scene();
    let held = "--held-back 10 --patience 4 --out a.gguf --steps 400 --checkpoint-every 0";
    let still = scene.done(&format!("{TRAIN} {held} --lr 0"));
    let judged = events(&still, "judged");
    assert_eq!(judged.last().unwrap()["state"], "still");
    assert_eq!((judged.len(), events(&still, "stopped_early").len()), (5, 1), "patience: {judged:?}");
    let text = scene.done(&format!("{} {held} --lr 0", TRAIN.replace(" --json", ""))).out;
    assert!(text.contains("does not move") && text.contains("raise --lr"), "{text}");

    // Judged after every 13 steps, whatever the number of steps up to 260: the shorter run is the beginning of the longer.
    let wild = format!("{TRAIN} --held-back 10 --lr 300 --decay constant --label-loss labels");
    let long = scene.done(&format!("{wild} --steps 260 --out long.gguf"));
    let best = steps_of(&events(&long, "kept"))[0];
    let judged = events(&long, "judged");
    assert!(best > 0 && best.is_multiple_of(13) && steps_of(&judged).last() > Some(&best), "{judged:?}");
    let short = scene.done(&format!("{wild} --steps {best} --out short.gguf"));
    assert_eq!(events(&short, "kept").len(), 0, "its last step is its best");
    assert!(scene.bytes("long.gguf") == scene.bytes("short.gguf"), "another adapter was written");
}

#[test]
fn a_judged_run_that_is_killed_goes_on_bit_for_bit() {
    let scene = scene();
    // Steps of tens of milliseconds, so that the kill comes before the end.
    let line = |name: &str| {
        format!(
            "{} --held-back 12 --adapter-kind lora --tangents 4 --steps 60 --checkpoint-every 7 --out {name}.gguf",
            TRAIN.replace("--batch 4", "--batch 16")
        )
    };
    let straight = scene.done(&line("a"));
    let (mut child, lines) = scene.start(&line("b"));
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["event"] == "step" && number(&event, "step") >= 31.0 {
            child.kill().unwrap();
            break;
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the run ended before it was killed");
    let resumed = scene.done(&format!("{} --resume", line("b")));
    let from = events(&resumed, "resumed")[0]["step"].as_u64().unwrap();
    assert!(from >= 28 && from.is_multiple_of(7), "{from}");
    let later = |ran: &Ran| {
        events(ran, "judged").into_iter().filter(|e| number(e, "step") > from as f64).collect::<Vec<_>>()
    };
    assert!(!later(&resumed).is_empty() && later(&resumed) == later(&straight));
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "the adapters differ");
}
