//! The prefix cache beside the output: damaged, refused, shared or full, it changes no byte of the adapter.

use crate::scene::{Scene, number};
use serde_json::Value;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

const EXAMPLES: usize = 40;

/// A folder with a data set whose steps take tens of milliseconds.
fn scene() -> Scene {
    let scene = Scene::new();
    let text = "a text that goes on and on ".repeat(4);
    let lines: Vec<_> = (0..EXAMPLES).map(|i| format!(r#"{{"text": "{i} {text}"}}"#)).collect();
    scene.write("long.jsonl", &lines.join("\n"));
    scene
}

fn line(name: &str) -> String {
    format!(
        "train --model tiny.gguf --task lm --data long.jsonl --raw --steps 24 --batch 5 --tangents 2 \
         --checkpoint-every 4 --threads 2 --json --out {name}.gguf --run {name}.json"
    )
}

/// Runs `line(name)` without a cache: the adapter all others must equal.
fn straight(scene: &Scene) -> Vec<u8> {
    let done = scene.done(&format!("{} --prefix-cache 0", line("straight"))).last();
    assert_eq!((number(&done, "prefix_hits"), number(&done, "prefix_misses")), (0.0, 120.0), "{done}");
    assert_eq!(done["prefix_failed"], false);
    scene.bytes("straight.gguf")
}

#[test]
fn a_killed_run_resumes_warm_and_a_damaged_cache_costs_only_time() {
    let scene = scene();
    let want = straight(&scene);
    for damage in [false, true] {
        let (mut child, lines) = scene.start(&line("a"));
        for line in lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "step" && number(&event, "step") >= 12.0 {
                child.kill().unwrap();
                break;
            }
        }
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the run ended before it was killed");
        let mut bytes = scene.bytes("a.gguf.prefix");
        let slot = bytes.len() / EXAMPLES;
        if damage {
            // One bit in the middle of about every third slot, and the last one torn.
            (0..EXAMPLES).step_by(3).for_each(|i| bytes[i * slot + slot / 2] ^= 0x10);
            bytes.truncate(bytes.len() - slot / 2);
            std::fs::write(scene.path("a.gguf.prefix"), &bytes).unwrap();
        }
        let ran = scene.done(&format!("{} --resume", line("a")));
        let from = ran.events().into_iter().find(|e| e["event"] == "resumed").expect("resumes");
        let visits = 5.0 * (24.0 - number(&from, "step"));
        let done = ran.last();
        let count = |key: &str| number(&done, key);
        assert_eq!(count("prefix_hits") + count("prefix_misses"), visits, "{done}");
        // The 12 steps before the kill were more than one epoch of 8, so everything was held.
        assert!(if damage { count("prefix_corrupt") > 0.0 } else { count("prefix_misses") == 0.0 }, "{done}");
        assert!(count("prefix_misses") <= 15.0 && done["prefix_failed"] == false, "{done}");
        assert!(scene.bytes("a.gguf") == want, "damage {damage}: another adapter");
        assert!(!scene.has("a.gguf.prefix") && !scene.has("a.gguf.ckpt"));
        std::fs::remove_file(scene.path("a.gguf")).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_used_is_said_and_done_without() {
    let scene = scene();
    let want = straight(&scene);
    let check = |name: &str, failed: bool, stays: bool| {
        let done = scene.done(&line(name)).last();
        assert_eq!((&done["prefix_failed"], done["prefix_error"].is_string()), (&failed.into(), failed));
        assert_eq!(number(&done, "prefix_hits"), if failed { 0.0 } else { 80.0 }, "{done}");
        assert!(scene.bytes(&format!("{name}.gguf")) == want, "{name}: another adapter");
        assert_eq!(scene.has(&format!("{name}.gguf.prefix")), stays, "{name}");
    };
    scene.write("garbage.gguf.prefix", &"no cache at all ".repeat(10_000));
    check("garbage", false, false);
    std::fs::create_dir(scene.path("folder.gguf.prefix")).unwrap();
    check("folder", true, true);
    scene.write("busy.gguf.prefix", "");
    let other = File::open(scene.path("busy.gguf.prefix")).unwrap();
    other.lock().unwrap();
    check("busy", true, true);
}

/// A limit on the size of files refuses writes in the middle of a run.
#[test]
fn a_disk_that_refuses_to_write_limits_the_cache_and_stops_nothing() {
    let scene = scene();
    let want = straight(&scene);
    let kib = 64;
    let output = Command::new("bash")
        .current_dir(scene.path(""))
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_sprig"))
        .args(line("a").split_whitespace())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let done: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(done["prefix_failed"], true, "{done}");
    assert!(number(&done, "prefix_hits") > 0.0 && number(&done, "prefix_misses") > 40.0, "{done}");
    assert!(scene.bytes("a.gguf") == want, "another adapter");
    let run = text(&scene.bytes("a.json"));
    assert!(run.contains("File too large"), "{run}");
}

/// On a file system of its own, as large as said: where a process may mount one.
#[test]
fn on_a_full_disk_the_cache_gives_way_to_the_checkpoint() {
    let scene = scene();
    let want = straight(&scene);
    std::fs::create_dir(scene.path("disk")).unwrap();
    let mounted = |script: &str| {
        let all = format!("mount -t tmpfs -o size=$0k none disk && {script}");
        let mut command = Command::new("unshare");
        command.current_dir(scene.path("")).args(["-rm", "sh", "-c", &all]);
        command
    };
    if !mounted("true").arg("64").status().is_ok_and(|s| s.success()) {
        eprintln!("not run: this machine lets no process mount a file system");
        return;
    }
    // Checkpoint, adapter and record take under 32 KiB, the whole cache about 330 KiB.
    for kib in ["32", "40", "48", "96", "200"] {
        let output = mounted("\"$@\" && cp disk/a.gguf a.gguf")
            .args([kib, env!("CARGO_BIN_EXE_sprig")])
            .args(line("disk/a").split_whitespace())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{kib} KiB: {}", text(&output.stderr));
        let done: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
        assert_eq!(done["prefix_failed"], true, "{kib} KiB: {done}");
        assert!(scene.bytes("a.gguf") == want, "{kib} KiB: another adapter");
        std::fs::remove_file(scene.path("a.gguf")).unwrap();
    }
}
