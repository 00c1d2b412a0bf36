//! A terminal that goes away: the run writes its checkpoint and ends, as for Ctrl-C, and nothing that cannot be said any
//! more changes how it ends.

use crate::scene::Scene;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ENDLESS: &str = "train --estimator forward --model tiny.gguf --task lm --raw --data lm.jsonl --steps 100000 --batch 2 --lr 0.01 \
     --threads 1 --checkpoint-every 0 --out a.gguf";

fn hang_up(child: &Child) {
    let sent = Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_training_writes_its_checkpoint_however_often_it_is_told() {
    let scene = Scene::new();
    let (mut child, mut lines) = scene.start(&format!("{ENDLESS} --json"));
    lines.find(|line| line.as_ref().unwrap().contains("\"step\"")).unwrap().unwrap();
    hang_up(&child);
    hang_up(&child);
    assert!(lines.last().unwrap().unwrap().contains("interrupted"));
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(scene.has("a.gguf.ckpt"));
}

/// While data are read there is nothing to keep: one signal is enough, whichever it is.
#[test]
fn reading_data_ends_at_the_first_signal() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let scene = Scene::new();
        let mut command = scene.command(&ENDLESS.replace("lm.jsonl", "-"));
        // Standard input that never ends: the training waits for its second record.
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"{\"text\": \"one\"}\n").unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        // Made after signals are listened for, and before data are read.
        while !scene.has("a.gguf.lock") {
            assert!(Instant::now() < until, "{signal}: it did not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(7), "{signal}");
        assert!(!scene.has("a.gguf") && !scene.has("a.gguf.ckpt"));
    }
}

#[test]
fn a_terminal_that_closes_leaves_a_checkpoint() {
    let scene = Scene::new();
    let program = format!("exec {} {ENDLESS}", env!("CARGO_BIN_EXE_sprig"));
    let mut terminal = Command::new("script")
        .current_dir(scene.path(""))
        .args(["-qefc", &program, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let shown = std::io::BufReader::new(terminal.stdout.take().unwrap());
    shown.lines().find(|line| line.as_ref().is_ok_and(|l| l.contains("at the smallest"))).unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !scene.has("a.gguf.ckpt") {
        assert!(Instant::now() < until, "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nohup_is_respected() {
    let scene = Scene::new();
    let short = ENDLESS.replace("100000", "400");
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_sprig")).args(short.split_whitespace()).arg("--json");
    command.current_dir(scene.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("\"step\"")).unwrap().unwrap();
    hang_up(&child);
    assert!(lines.last().unwrap().unwrap().contains("done"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(feature = "coordinator")]
#[test]
fn a_simulation_ends_as_for_ctrl_c() {
    let scene = Scene::new();
    let (mut child, mut lines) = scene.start(
        "simulate --model tiny.gguf --data label.jsonl --eval-data label.jsonl --devices 2 --rounds 100000 --threads 1 \
         --evaluate-every 0 --set len=64 --set batch=2 --set rank=2 --set layers=1..3 --set labels=[\"down\",\"up\"] --json",
    );
    lines.find(|line| line.as_ref().unwrap().contains("\"round\"")).unwrap().unwrap();
    hang_up(&child);
    assert!(lines.last().unwrap().unwrap().contains("interrupted"));
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn messages_that_cannot_be_written_change_no_exit_code() {
    let scene = Scene::new();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = scene.command("infer --model nowhere.gguf --prompt a").stdout(full()).stderr(full()).status();
    assert_eq!(ended.unwrap().code(), Some(5));
}

#[test]
fn without_a_terminal_a_line_comes_now_and_then() {
    let scene = Scene::new();
    let mut child = scene.command(ENDLESS).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("training: "));
    child.kill().unwrap();
    child.wait().unwrap();
    let line = line.unwrap();
    let parts = [" of 100000, loss ", " tokens/s", " gone, ", " left"];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
}
