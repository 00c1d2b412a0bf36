//! How `infer` writes: the likeliest, or drawn from a seed, until a stop; and prompts from standard input.

use crate::scene::Scene;
use std::io::Write;
use std::process::Stdio;

const WRITE: &str = "infer --model tiny.gguf --threads 1 --json --raw --prompt count --max-tokens 24";

fn text(scene: &Scene, more: &str) -> String {
    scene.done(&format!("{WRITE} {more}")).last()["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_seed_fixes_what_is_drawn_and_narrowing_to_one_is_greedy() {
    let scene = Scene::new();
    let greedy = text(&scene, "");
    for same in [
        "--temperature 0",
        "--temperature 5 --top-k 1",
        "--temperature 1 --top-p 0.00001",
        "--temperature 3 --min-p 1",
    ] {
        assert_eq!(text(&scene, &format!("{same} --seed 9")), greedy, "{same}");
    }
    let drawn = text(&scene, "--temperature 1.5 --seed 3");
    assert_eq!(text(&scene, "--temperature 1.5 --seed 3"), drawn);
    assert_ne!(drawn, greedy);
    assert_ne!(text(&scene, "--temperature 1.5 --seed 4"), drawn);
    assert_ne!(text(&scene, "--repetition-penalty 100"), greedy, "a token came twice");
}

#[test]
fn a_stop_ends_an_answer_and_is_no_part_of_it() {
    let scene = Scene::new();
    let drawn = "--temperature 1.5 --seed 3";
    let whole = text(&scene, drawn);
    // A character that is one on the command line too.
    let stop = whole.chars().skip(3).find(char::is_ascii_alphanumeric).unwrap();
    let stopped = text(&scene, &format!("{drawn} --stop nowhere --stop {stop}"));
    assert_eq!(stopped, whole[..whole.find(stop).unwrap()]);
    let people = scene.done(&format!("{} {drawn} --stop {stop}", WRITE.replace(" --json", "")));
    assert_eq!(people.out, format!("{stopped}\n"));
}

#[test]
fn a_prompt_may_come_from_standard_input() {
    let scene = Scene::new();
    let ask = |bytes: &[u8]| {
        let mut command = scene.command(&WRITE.replace("--prompt count", "--prompt -"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap_or(()); // refused ones are not read to their end
        child.wait_with_output().unwrap()
    };
    let found = ask(b"count\r\n");
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["text"], text(&scene, ""));
    for (bytes, code, says) in [
        (&b"\xff\xfe"[..], 3, "UTF-8"),
        (&vec![b'a'; (1 << 20) + 2], 3, "1048576 bytes"),
        (b"\n", 2, "--prompt is empty"),
    ] {
        let found = ask(bytes);
        let err = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.code() == Some(code) && err.contains(says), "{:?} {err}", found.status);
    }
}

#[test]
fn what_says_nothing_of_the_answer_is_refused() {
    let scene = Scene::new();
    scene.fails(2, &format!("{WRITE} --top-p 0"), &["--top-p is 0", "above 0"]);
    scene.fails(2, &format!("{WRITE} --temperature -1"), &["--temperature", "0 or more"]);
    scene.fails(2, &format!("{WRITE} --min-p 2"), &["--min-p is 2", "0 to 1"]);
    scene.fails(2, &format!("{WRITE} --repetition-penalty 0"), &["--repetition-penalty is 0", "1 is none"]);
    scene.fails(2, &format!("{WRITE} --stop {}", "x".repeat(300)), &["--stop", "256"]);
    scene.fails(2, &format!("{WRITE} --choices b,c --top-k 3"), &["--top-k", "--choices"]);
    scene.fails(2, &format!("{WRITE} --choices b,c --best-of 2 --top-k 3"), &["--top-k", "--best-of"]);
    scene.fails(2, "infer --model tiny.gguf --label a --seed 3", &["--seed", "--label"]);
}
