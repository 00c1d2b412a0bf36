//! The guards behind the plan, and stepping aside for others, on real limits of the kernel.

use crate::child;
use crate::scene::{Scene, number};
use serde_json::Value;
use sprig_testkit::group::Group;
use std::fs;
use std::io::Write;
use std::process::{Child, Command};

const TRAIN: &str = "train --estimator forward --model tiny.gguf --task lm --raw --data lm.jsonl --steps 8 --batch 2 --threads 2 \
     --checkpoint-every 2 --json";

#[test]
fn a_heap_past_its_limit_ends_with_a_checkpoint_that_goes_on() {
    let scene = Scene::new();
    scene.done(&format!("{TRAIN} --out straight.gguf"));
    scene.fails(
        4,
        &format!("{TRAIN} --out a.gguf --heap-limit 64KiB"),
        &["heap", "64.0 KiB", "raise the budget", "--heap-limit"],
    );
    scene.fails(4, &format!("{TRAIN} --out b.gguf --heap-limit 0"), &["--heap-limit"]);
    assert!(scene.has("a.gguf.ckpt") && !scene.has("a.gguf"));
    let resumed = scene.done(&format!("{TRAIN} --out a.gguf --resume"));
    assert!(resumed.events().iter().any(|e| e["event"] == "resumed"));
    assert!(scene.bytes("a.gguf") == scene.bytes("straight.gguf"));
}

/// Data that the budget has no room for are not held: they go to the disk.
#[test]
fn data_beyond_the_budget_are_not_held() {
    let scene = Scene::new();
    // Line by line: what this process holds, its children's peaks begin with.
    let mut file = std::io::BufWriter::new(fs::File::create(scene.path("large.jsonl")).unwrap());
    let words = "many words of it ".repeat(12);
    (0..6_000).for_each(|i| writeln!(file, r#"{{"text": "{i} {words}"}}"#).unwrap());
    file.flush().unwrap();
    for command in ["train --steps 2 --out a.gguf", "eval"] {
        let line =
            format!("{command} --model tiny.gguf --task lm --raw --data large.jsonl --len 64 --threads 1");
        let small = child::run(&mut scene.command(&format!("{line} --budget 9MiB")));
        assert_eq!(small.status.code(), Some(0), "{}", small.err);
        assert!(small.peak <= 9 << 20, "{command}: {} bytes", small.peak);
    }
}

/// The kernel's own limit, from far too little to plenty: at each the run either ends well or says what happened, and
/// what a checkpoint held before is still there.
#[test]
fn what_the_kernel_refuses_is_said_and_costs_no_checkpoint() {
    let scene = Scene::new();
    scene.done(&format!("{TRAIN} --out straight.gguf"));
    scene.fails(4, &format!("{TRAIN} --out a.gguf --heap-limit 64KiB"), &[]);
    let checkpoint = scene.bytes("a.gguf.ckpt");
    let (mut refused, mut done) = (0, 0);
    for kib in (8..=28).map(|i| 128 * i) {
        let line =
            format!("ulimit -d {kib}; exec {} {TRAIN} --out a.gguf --resume", env!("CARGO_BIN_EXE_sprig"));
        let output = Command::new("sh").args(["-c", &line]).current_dir(scene.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                done += 1;
                assert!(scene.bytes("a.gguf") == scene.bytes("straight.gguf"));
                fs::remove_file(scene.path("a.gguf")).unwrap();
            }
            Some(4) => {
                refused += 1;
                assert!(said.starts_with("sprig: ") && said.contains("system"), "{kib} KiB: {said}");
            }
            other => panic!("{kib} KiB: {other:?}: {said}"),
        }
        fs::write(scene.path("a.gguf.ckpt"), &checkpoint).unwrap();
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
}

/// Two processes in one memory cgroup: when the other one takes what is left, the run holds less; when it is gone, the
/// run holds as much as before; and the result is the undisturbed run's.
#[test]
fn a_burst_by_another_process_slows_the_run_and_does_not_kill_it() {
    let group = match Group::new("burst", 320 << 20) {
        Ok(group) => group,
        Err(why) => {
            println!("SKIPPED: no memory control group can be made here: {why}");
            return;
        }
    };
    let (scene, model) = (Scene::new(), crate::scene::model());
    let line = |steps: u32, name: &str| {
        format!(
            "train --model {} --task label --data label.jsonl --steps {steps} --batch 4 --threads 2 --json \
             --layers 28..30 --checkpoint-every 0 --budget 200MiB --out {name}.gguf",
            model.display()
        )
    };
    const STEPS: u32 = 120;
    scene.done(&line(STEPS, "alone"));
    let (mut run, lines) = scene.start(&line(STEPS, "disturbed"));
    group.add(run.id());
    let (mut burst, mut events): (Option<Child>, Vec<Value>) = (None, Vec::new());
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["event"] == "step" && number(&event, "step") == 5.0 {
            burst = Some(group.hog());
        }
        events.push(event);
        let down = events.iter().any(|e| e["event"] == "pressure");
        if down && let Some(mut hog) = burst.take() {
            hog.kill().unwrap();
            hog.wait().unwrap();
        }
    }
    if let Some(mut hog) = burst {
        hog.kill().unwrap();
        hog.wait().unwrap();
    }
    assert!(run.wait().unwrap().success(), "{:?}", events.last());
    let plans: Vec<f64> =
        events.iter().filter(|e| e["event"] == "pressure").map(|e| number(e, "plan_bytes")).collect();
    println!("planned bytes after each move: {plans:?}");
    let whole = number(&events[0]["plan"], "total_bytes");
    assert!(
        plans.first().is_some_and(|&plan| plan < whole),
        "the run never stepped aside: {whole}, {plans:?}"
    );
    assert!(scene.bytes("alone.gguf") == scene.bytes("disturbed.gguf"), "the adapters differ");
}
