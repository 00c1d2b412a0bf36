//! Memory stays flat: 5 rounds to warm up, then 20 rounds of 50 steps in which nothing grows.

use crate::scene::{Scene, model};
use serde_json::Value;

const ROUND: u64 = 50;
const WARM: usize = 5;
const ROUNDS: usize = 25;
/// Growth allowed from round 5 on: what is bounded and not full by then. A run keeps up to 512 steps (8 KiB more after
/// step 250); the text that a checkpoint makes of them is given back at once.
const SETTLING: u64 = 32 << 10;
/// Growth allowed over the last ten rounds: 8 pages, for pages of stacks and of the heap that happen to be touched for
/// the first time. A leak of 66 bytes a step is found.
const TOLERANCE: u64 = 32 << 10;

/// The same for pages of the program's own code, which is let go of before and after each checkpoint and comes back as it
/// is needed: by the kernel's choice, up to 300 KiB more in one round than in the next.
const CODE: u64 = 512 << 10;

/// Resident and anonymous bytes of a process, page by page: the counters of `status` lag behind by up to 32 pages a core.
fn resident(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = |key: &str| {
        let value = text.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim();
        value.strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    };
    (line("Rss:"), line("Anonymous:"))
}

/// Trains by `line`, which has no steps yet, and compares the ends of rounds.
fn stays_flat(scene: &Scene, line: &str) {
    let steps = ROUND * ROUNDS as u64;
    let (mut child, lines) = scene.start(&format!("{line} --steps {steps} --json --out a.gguf"));
    let mut rounds = Vec::new();
    for event in lines {
        let event: Value = serde_json::from_str(&event.unwrap()).unwrap();
        // Ten steps before a round ends: away from checkpoints, which take some memory for a moment, and from the end.
        let step = event["step"].as_u64().filter(|_| event["event"] == "step");
        if step.is_some_and(|step| step % ROUND == ROUND - 10) {
            let (all, anonymous) = resident(child.id());
            rounds.push((all, anonymous, event["heap_bytes"].as_u64().unwrap()));
        }
    }
    assert!(child.wait().unwrap().success(), "{line}");
    assert_eq!(rounds.len(), ROUNDS);
    let measured = &rounds[WARM - 1..];
    let kib: Vec<_> = measured.iter().map(|(a, b, c)| (a >> 10, b >> 10, c >> 10)).collect();
    println!("{line}\nresident, anonymous, heap in KiB, rounds {WARM} to {ROUNDS}: {kib:?}");
    type Round = (u64, u64, u64);
    let growth =
        |rounds: &[Round], of: fn(&Round) -> u64| rounds.iter().map(of).max().unwrap() - of(&rounds[0]);
    let settled = &measured[measured.len() - 11..];
    for what in ["resident", "anonymous"] {
        let of = if what == "resident" { |r: &Round| r.0 } else { |r: &Round| r.1 };
        let (all, last) = (growth(measured, of), growth(settled, of));
        println!("{what}: {all} bytes more in 20 rounds, {last} in the last ten");
        let code = if what == "resident" { CODE } else { 0 };
        assert!(all <= SETTLING + code && last <= TOLERANCE + code, "{what} memory grows: {kib:?}");
    }
    // The heap is counted where every step stands alike: there, to the byte.
    assert_eq!(growth(measured, |r| r.2), 0, "the heap grows: {kib:?}");
}

#[test]
fn memory_stays_flat() {
    let scene = Scene::new();
    let lines: Vec<_> = (0..40).map(|i| format!(r#"{{"text": "{i} a text that goes on and on"}}"#)).collect();
    scene.write("long.jsonl", &lines.join("\n"));
    let line = "train --model tiny.gguf --task lm --raw --data long.jsonl --batch 2 --tangents 2 --threads 2";
    for options in ["--checkpoint-every 25", "--checkpoint-every 0 --adapter-kind lora --targets all"] {
        stays_flat(&scene, &format!("{line} {options}"));
    }
}

#[test]
#[ignore = "some minutes: 1,250 steps on the real model"]
fn memory_stays_flat_on_the_real_model() {
    let scene = Scene::new();
    let line = "train --task lm --raw --data lm.jsonl --batch 2 --tangents 2 --threads 2";
    stays_flat(&scene, &format!("{line} --model {}", model().display()));
}
