//! The guides' commands, run as they stand there, one after another, as somebody would who reads along: on a model as deep as
//! the one they speak of and otherwise tiny, and on a few records.

use crate::scene::Scene;
use sprig_engine::gguf::Synthetic;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Commands that end when somebody ends them, or that need another machine; how they are tested is in `tests/fleet`, `serve.rs`
/// and the image's boot.
const ELSEWHERE: [&str; 5] = ["serve", "coordinate", "agent", "enrol", "fleet"];

/// The lines of shell in a document that call this program.
fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let (mut found, mut shell, mut begun) = (Vec::new(), false, String::new());
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        if line.starts_with("```") {
            shell = line == "```sh";
            continue;
        }
        begun += line.trim_start();
        if let Some(more) = begun.strip_suffix('\\') {
            begun = more.to_owned();
            continue;
        }
        let line = std::mem::take(&mut begun);
        if shell && (line.starts_with("sprig ") || line.contains("| sprig ")) {
            found.push(line);
        }
    }
    found
}

/// The command that a line calls this program with.
fn command(line: &str) -> &str {
    let (_, after) = line.split_once("sprig ").unwrap();
    after.split_whitespace().next().unwrap()
}

/// What a reader has at hand: a model, records of two kinds under the names that the guides use, a second profile.
fn prepared() -> Scene {
    let scene = Scene::new();
    let deep = Synthetic { blocks: 30, context: 2048, seed: 4, ..Synthetic::tiny() };
    deep.write_atomic(scene.path("model.gguf")).unwrap();
    let places = ["down", "up", "left", "right"];
    let (mut records, mut table) = (String::new(), "sentence,intent\n".to_owned());
    for i in 0..60 {
        let label = places[i % 2];
        let _ = writeln!(records, r#"{{"text": "the {label} side of street {i}", "label": "{label}"}}"#);
        let _ = writeln!(table, "\"it goes {}, {i}\",{}", places[i % 4], places[i % 4]);
    }
    for name in ["train.jsonl", "held_out.jsonl", "own.jsonl", "own_held_out.jsonl"] {
        scene.write(name, &records);
    }
    scene.write("mine.csv", &table);
    scene.write("new.csv", &table);
    let said = |i: usize| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "say {i}"}}, {{"role": "assistant", "content": "{i}"}}]}}"#
        )
    };
    scene.write("chats.jsonl", &(0..60).map(|i| said(i) + "\n").collect::<String>());
    scene.write("more.json", r#"[{"instruction": "say", "input": "a", "output": "b"}]"#);
    let packed = Command::new("gzip").arg("chats.jsonl").current_dir(scene.path(".")).status();
    assert!(packed.unwrap().success());
    scene
}

#[test]
fn the_guides_commands_do_what_they_say() {
    let scene = prepared();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sprig"), scene.path("sprig")).unwrap();
    let path = format!("{}:{}", scene.path(".").display(), std::env::var("PATH").unwrap());
    let (mut ran, mut left) = (0, 0);
    for line in ["guide.md", "memory.md"].into_iter().flat_map(lines) {
        if ELSEWHERE.contains(&command(&line)) {
            left += 1;
            continue;
        }
        if line.contains("other.json") {
            std::fs::copy(scene.path("board.json"), scene.path("other.json")).unwrap();
        }
        // The tiny model's tokens are bytes: in raw prompts every label would begin with the token of a space.
        // And what takes minutes takes few steps.
        let tried = line.replace(" --raw", "").replace("--sweep", "--sweep --steps 1");
        let tried = tried.replace("--task lm", "--task lm --steps 4");
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &tried]).current_dir(scene.path("."));
        let output = shell.env("PATH", &path).env("MODEL", "model.gguf").output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{told}");
        assert!(!told.contains("panicked"), "{line}\n{told}");
        ran += 1;
    }
    assert!(ran >= 25 && left >= 3, "{ran} commands ran, {left} were left out");
    for made in [
        "adapter.gguf",
        "report.html",
        "board.html",
        "page.html",
        "merged.gguf",
        "answers.jsonl",
        "chat.gguf",
    ] {
        assert!(scene.has(made), "no {made}");
    }
}
