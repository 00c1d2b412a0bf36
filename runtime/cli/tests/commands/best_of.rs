//! Several reasonings about one question: drawn from a seed, sharing what they have in common, judged by confidence.

use crate::scene::{Ran, Scene, has_keys};
use serde_json::Value;

const ASK: &str =
    "infer --model tiny.gguf --threads 1 --json --prompt which? --choices up,down --max-tokens 6";

/// With words before the answer that end in white space: the tiny model's tokens are bytes, of which a space would be both
/// choices' first.
fn ask(scene: &Scene, more: &str) -> Ran {
    let ran = scene.run_with(&format!("{ASK} {more}"), &["--cue", "=\n"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    ran
}

fn candidates(found: &Value) -> Vec<(String, f64)> {
    let each = found["candidates"].as_array().unwrap().iter();
    each.map(|c| (c["text"].as_str().unwrap().to_owned(), c["confidence"].as_f64().unwrap())).collect()
}

#[test]
fn the_surest_of_several_reasonings_answers() {
    let scene = Scene::new();
    let found = ask(&scene, "--best-of 5").last();
    has_keys(&found, &["chosen", "candidates", "majority", "soft_vote", "single", "peak_rss_bytes"]);
    let each = candidates(&found);
    assert_eq!(each.len(), 5);
    let surest = each.iter().map(|(_, confidence)| *confidence).fold(0.0, f64::max);
    let first = each.iter().position(|(_, confidence)| *confidence == surest).unwrap();
    assert_eq!(found["chosen"], found["candidates"][first]["answer"]);
    assert!(each.iter().any(|(text, _)| *text != each[0].0), "all reasonings are one: {found}");
    // The same seed draws the same; candidates do not depend on how many there are; one is a single sample.
    let again = ask(&scene, "--best-of 2").last();
    assert_eq!(candidates(&again), each[..2]);
    let one = ask(&scene, "--best-of 1").last();
    assert_eq!((candidates(&one), &one["chosen"]), (each[..1].to_vec(), &found["single"]));
    let other = ask(&scene, "--best-of 5 --seed 1").last();
    assert_ne!(candidates(&other), each);
    let by_token = ask(&scene, "--best-of 5 --conf-at token").last();
    assert_eq!(candidates(&by_token).len(), 1);
    // For people: the surest is marked.
    let told = scene.run_with(&format!("{} --best-of 3", ASK.replace(" --json", "")), &["--cue", "=\n"]);
    assert_eq!(told.out.lines().filter(|line| line.starts_with("* ")).count(), 1, "{}", told.shown());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let scene = Scene::new();
    scene.fails(2, &format!("{ASK} --best-of 0"), &["--best-of"]);
    scene.fails(2, &format!("{ASK} --best-of 5 --temperature 0"), &["--temperature", "above 0"]);
    scene.fails(2, "infer --model tiny.gguf --prompt a --best-of 3", &["--choices"]);
    scene.fails(2, "infer --model tiny.gguf --prompt a --choices b,c --seed 3", &["--best-of"]);
    // After words that end in no white space a choice begins with one.
    scene.fails(2, &format!("{ASK} --best-of 2"), &["--choices", "same token"]);
    let long = scene
        .run_with(&format!("{} --best-of 2", ASK.replace("tokens 6", "tokens 100000")), &["--cue", "=\n"]);
    assert!(long.code == 2 && long.err.contains("context"), "{}", long.shown());
}
