//! Disks that are full, fill up or become read-only, and damaged or foreign checkpoints: one clear line, and nothing
//! that was saved is lost.

use crate::disk::{Disk, with_own_mounts};
use crate::scene::{Scene, number};
use serde_json::Value;
use sprig_testkit::random::Random;
use std::fs::OpenOptions;
use std::time::{Duration, Instant};

const TRAIN: &str =
    "train --model tiny.gguf --task lm --raw --data long.jsonl --batch 2 --tangents 2 --threads 1 --json";

/// A scene with 40 examples of some 30 tokens.
fn scene() -> Scene {
    let scene = Scene::new();
    let lines: Vec<_> = (0..40).map(|i| format!(r#"{{"text": "{i} a text that goes on and on"}}"#)).collect();
    scene.write("long.jsonl", &lines.join("\n"));
    scene
}

/// Runs `line` and does `fault` over and over from its third step on, until it ends with `code` and `words`.
fn fails_during(scene: &Scene, code: i32, line: &str, words: &[&str], fault: impl Fn()) {
    let (mut child, mut lines) = scene.start(line);
    let mut steps = 0;
    let mut last = Value::Null;
    for event in lines.by_ref() {
        last = serde_json::from_str(&event.unwrap()).unwrap();
        steps += u32::from(last["event"] == "step");
        if steps == 3 {
            break;
        }
    }
    assert_eq!(steps, 3, "{line}: {last}");
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        fault();
        assert!(started.elapsed() < Duration::from_secs(60), "{line}: goes on for ever");
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}\n{message}");
    assert!(message.lines().count() == 1 && words.iter().all(|w| message.contains(w)), "{line}\n{message}");
}

#[test]
fn a_full_disk_is_found_before_training() {
    with_own_mounts("faults::a_full_disk_is_found_before_training", || {
        let scene = scene();
        let disk = Disk::new(&scene, 256);
        scene.done(&format!("{TRAIN} --steps 2 --out a.gguf --run a.json"));
        scene.write("disk/b.gguf", "an older adapter");
        disk.fill();
        for rank in [4, 32] {
            let line = format!("{TRAIN} --steps 2 --out disk/b.gguf --rank {rank}");
            let ran = scene.fails(5, &line, &["disk/b.gguf", "No space left", "free space"]);
            assert_eq!(ran.out, "", "nothing was planned or trained");
            // Space for a few numbers is not space for the adapter: rank 4 takes some KiB, rank 32 some hundred.
            disk.leave(64);
        }
        disk.fill();
        scene.fails(5, "report a.json -o disk/a.html", &["disk/a.html", "No space left", "free space"]);
        let line = format!("{TRAIN} --steps 2 --out b.gguf --run disk/b.json");
        scene.fails(5, &line, &["disk/b.json", "No space left"]);
        assert_eq!(disk.list(), ["b.gguf"]);
        assert_eq!(scene.bytes("disk/b.gguf"), b"an older adapter");
        // What is only read may be where nothing can be written.
        disk.free();
        for name in ["tiny.gguf", "long.jsonl"] {
            std::fs::copy(scene.path(name), scene.path("disk").join(name)).unwrap();
        }
        assert!(disk.forbid_writing());
        let line = TRAIN.replace("tiny.gguf", "disk/tiny.gguf").replace("long.jsonl", "disk/long.jsonl");
        scene.done(&format!("{line} --steps 2 --out b.gguf"));
        assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"));
    });
}

#[test]
fn a_disk_that_fills_up_costs_no_checkpoint() {
    with_own_mounts("faults::a_disk_that_fills_up_costs_no_checkpoint", || {
        let scene = scene();
        let disk = Disk::new(&scene, 2048);
        // Checkpoints of some hundred KiB; no prefix cache, for all blocks are adapted.
        let line = format!("{TRAIN} --steps 60 --adapter-kind lora --targets all --checkpoint-every 1");
        let straight = scene.done(&format!("{line} --out a.gguf")).last();
        let line = format!("{line} --out disk/b.gguf");
        let words = ["cannot write disk/b.gguf.ckpt: No space left", "free space", "--resume"];
        fails_during(&scene, 5, &line, &words, || disk.fill());
        assert_eq!(disk.list(), ["b.gguf.ckpt"]);
        // A resume cannot write either, and leaves it alone.
        let saved = scene.bytes("disk/b.gguf.ckpt");
        let resume = format!("{line} --resume");
        scene.fails(5, &resume, &["disk/b.gguf", "No space left"]);
        assert!(scene.bytes("disk/b.gguf.ckpt") == saved);
        disk.free();
        let ran = scene.done(&resume);
        assert!(
            ran.events().iter().any(|e| e["event"] == "resumed" && number(e, "step") >= 1.0),
            "{}",
            ran.out
        );
        assert_eq!(ran.last()["loss_last"], straight["loss_last"]);
        assert!(scene.bytes("a.gguf") == scene.bytes("disk/b.gguf"));
        assert_eq!(disk.list(), ["b.gguf", "b.gguf.run.json"]);
    });
}

#[test]
fn a_disk_that_fills_up_before_the_adapter_costs_no_older_one() {
    with_own_mounts("faults::a_disk_that_fills_up_before_the_adapter_costs_no_older_one", || {
        let scene = scene();
        let disk = Disk::new(&scene, 2048);
        scene.write("disk/b.gguf", "an older adapter");
        let line = format!("{TRAIN} --steps 30 --adapter-kind lora --checkpoint-every 20");
        let straight = scene.done(&format!("{line} --out a.gguf")).last();
        let line = format!("{line} --out disk/b.gguf");
        // The checkpoint of step 20 fails or, where the disk fills up later, the adapter.
        fails_during(&scene, 5, &line, &["cannot write disk/b.gguf", "No space left"], || disk.fill());
        assert_eq!(scene.bytes("disk/b.gguf"), b"an older adapter");
        // Unwritable for another reason, at the end alone: the steps are saved, and a resume has only the end to do.
        disk.free();
        std::fs::remove_file(scene.path("disk/b.gguf")).unwrap();
        let folder = || drop(std::fs::create_dir_all(scene.path("disk/b.gguf/x")));
        fails_during(&scene, 5, &line, &["cannot write disk/b.gguf"], folder);
        std::fs::remove_dir_all(scene.path("disk/b.gguf")).unwrap();
        let resumed = scene.done(&format!("{line} --resume"));
        assert!(
            resumed.events().iter().any(|e| e["event"] == "resumed" && e["step"] == 30),
            "{}",
            resumed.out
        );
        assert_eq!(resumed.last()["loss_last"], straight["loss_last"]);
        assert!(scene.bytes("a.gguf") == scene.bytes("disk/b.gguf"));
    });
}

#[test]
fn a_disk_that_becomes_read_only_costs_no_checkpoint() {
    with_own_mounts("faults::a_disk_that_becomes_read_only_costs_no_checkpoint", || {
        let scene = scene();
        let disk = Disk::new(&scene, 2048);
        let line = format!("{TRAIN} --steps 60 --adapter-kind lora --checkpoint-every 1");
        scene.done(&format!("{line} --out a.gguf"));
        let line = format!("{line} --out disk/b.gguf");
        fails_during(&scene, 5, &line, &["cannot write disk/b.gguf.ckpt: Read-only file system"], || {
            disk.forbid_writing();
        });
        // A writer that was refused cannot remove its part either; the next one does.
        let resume = format!("{line} --resume");
        let ran = scene.fails(5, &resume, &["disk/b.gguf", "Read-only file system", "writable"]);
        assert_eq!(ran.out, "", "nothing was planned or trained");
        disk.allow_writing();
        scene.done(&resume);
        assert!(scene.bytes("a.gguf") == scene.bytes("disk/b.gguf"));
        assert_eq!(disk.list(), ["b.gguf", "b.gguf.run.json"]);
    });
}

#[test]
fn a_disk_too_small_for_the_prefix_cache_changes_nothing() {
    with_own_mounts("faults::a_disk_too_small_for_the_prefix_cache_changes_nothing", || {
        let scene = scene();
        // 40 examples of some 20 tokens of 64 numbers of 2 bytes are 100 KiB, and all are seen by step 20.
        let disk = Disk::new(&scene, 1024);
        let line = format!("{TRAIN} --steps 50 --checkpoint-every 5 --run run.json");
        let straight = scene.done(&format!("{line} --out a.gguf")).last();
        let same = |name: &str, ran: &Value| {
            assert_eq!(ran["loss_last"], straight["loss_last"], "{name}");
            assert!(scene.bytes("a.gguf") == scene.bytes("disk/b.gguf"), "{name}: the adapters differ");
            std::fs::remove_file(scene.path("disk/b.gguf")).unwrap();
        };
        let line = format!("{line} --out disk/b.gguf");
        same("no cache", &scene.done(&format!("{line} --prefix-cache 0")).last());
        // Less than the cache takes, and less and less beside it for checkpoints and adapter.
        for left in [36, 48, 72, 100, 120, 140, 160, 180] {
            disk.leave(left);
            same(&format!("{left} KiB"), &scene.done(&line).last());
        }
        // The last byte goes while the cache is in use.
        disk.free();
        fails_during(&scene, 5, &line, &["cannot write disk/b.gguf"], || disk.fill());
        disk.free();
        same("resumed", &scene.done(&format!("{line} --resume")).last());
    });
}

#[test]
fn a_listener_that_leaves_or_a_log_that_is_full_ends_no_training() {
    let scene = scene();
    let line = format!("{TRAIN} --steps 30");
    scene.done(&format!("{line} --out a.gguf"));
    let (child, mut lines) = scene.start(&format!("{line} --out b.gguf"));
    lines.next().unwrap().unwrap();
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"));
    for line in ["infer --model tiny.gguf --prompt a --raw --max-tokens 400", "plan --model tiny.gguf"] {
        let (child, lines) = scene.start(line);
        drop(lines);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    let into = |line: &str, to: &str| {
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let mut command = scene.command(line);
        command.stdout(to).stderr(std::process::Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = into(&format!("{line} --out c.gguf"), "/dev/full");
    assert_eq!(code, Some(0), "{message}");
    assert!(scene.bytes("a.gguf") == scene.bytes("c.gguf"));
    // Where the text is all that was asked for, it must not be missed in silence.
    let (code, message) = into("infer --model tiny.gguf --prompt a --json", "/dev/full");
    assert!(code == Some(5) && message.contains("No space left"), "{code:?} {message}");
}

#[test]
fn a_checkpoint_of_another_base_or_other_data_is_refused() {
    let scene = scene();
    let line = format!("{TRAIN} --steps 1000 --checkpoint-every 1 --out b.gguf");
    let (mut child, lines) = scene.start(&line);
    lines.take(4).for_each(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    let saved = scene.bytes("b.gguf.ckpt");
    scene.model("other.gguf", 2);
    let text = String::from_utf8(scene.bytes("long.jsonl")).unwrap();
    scene.write("other.jsonl", &text.replacen("goes", "went", 1));
    for (from, to, setting) in [
        ("tiny.gguf", "other.gguf", "the model file has"),
        ("long.jsonl", "other.jsonl", "the training data have"),
    ] {
        let line = format!("{} --resume", line.replace(from, to));
        scene.fails(3, &line, &["b.gguf.ckpt", setting, "same settings", "delete"]);
        assert!(scene.bytes("b.gguf.ckpt") == saved);
    }
    // A folder in its place is no checkpoint.
    std::fs::remove_file(scene.path("b.gguf.ckpt")).unwrap();
    std::fs::create_dir(scene.path("b.gguf.ckpt")).unwrap();
    scene.fails(5, &format!("{line} --resume"), &["cannot read b.gguf.ckpt"]);
    std::fs::create_dir(scene.path("folder")).unwrap();
    scene.fails(2, &line.replace("b.gguf", "folder"), &["folder"]);
}

#[test]
fn a_checkpoint_with_a_flipped_bit_is_refused_or_makes_no_difference() {
    let scene = scene();
    let line = format!("{TRAIN} --steps 8 --checkpoint-every 4");
    scene.done(&format!("{line} --out a.gguf"));
    let (mut child, lines) = scene.start(&format!("{line} --out b.gguf"));
    // The plan and six steps, so that the checkpoint of step 4 is there.
    lines.take(7).for_each(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    let whole = scene.bytes("b.gguf.ckpt");
    let mut random = Random::new(6);
    let mut refused = 0;
    for _ in 0..60 {
        let bit = (random.fraction() * 8.0 * whole.len() as f64) as usize;
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(scene.path("b.gguf.ckpt"), &bytes).unwrap();
        let ran = scene.run(&format!("{line} --out b.gguf --resume"));
        match ran.code {
            3 => assert!(
                ran.err.contains("b.gguf.ckpt") && scene.bytes("b.gguf.ckpt") == bytes,
                "{}",
                ran.shown()
            ),
            0 => assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "bit {bit} of {}", whole.len()),
            _ => panic!("bit {bit}: {}", ran.shown()),
        }
        refused += usize::from(ran.code == 3);
    }
    println!("{refused} of 60 flipped bits were refused, the others lie in what is not read");
    assert!(refused > 40);
}
