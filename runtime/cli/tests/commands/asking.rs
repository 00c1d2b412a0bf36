//! An adapter is asked what it was trained to answer, and judged by that, whatever file it is judged on.

use crate::scene::{Scene, number};
use serde_json::Value;

const TRAIN: &str = "train --model tiny.gguf --data label.jsonl --task label --adapter-kind lora --targets all --steps 30 \
     --batch 6 --lr 0.02 --threads 2 --out a.gguf";
const EVAL: &str = "eval --model tiny.gguf --adapter a.gguf --task label --threads 2 --json";

/// Asked without the chat template. The tiny model has no token of more than a byte: with a space before each answer, all
/// would begin alike.
const RAW: &[&str] = &["--raw", "--template", "{text}\n"];

/// A scene with the adapter `a.gguf`.
fn trained(options: &[&str]) -> Scene {
    let scene = Scene::new();
    let ran = scene.run_with(TRAIN, options);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    scene
}

/// What `infer --label` answers about a text.
fn label(scene: &Scene, text: &str) -> Value {
    let ran = scene.run_with("infer --model tiny.gguf --adapter a.gguf --threads 2 --json --label", &[text]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(ran.err, "", "{}", ran.shown());
    ran.last()
}

#[test]
fn a_text_is_labelled_as_an_evaluation_labels_it() {
    let words = [RAW, &["--label-tokens", "down=no,up=yes"]].concat();
    for options in [&[], RAW, &words, &["--label-style", "letter"], &["--template", "{options}: {text}."]] {
        let scene = trained(options);
        for (text, right) in [("the up side of street 7", "up"), ("the down side of street 20", "down")] {
            let answer = label(&scene, text);
            scene.write("one.jsonl", &format!("{{\"text\": {text:?}, \"label\": {right:?}}}"));
            let judged = scene.done(&format!("{EVAL} --label-loss labels --data one.jsonl")).last();
            let choices = answer["choices"].as_array().unwrap();
            let right = choices.iter().find(|c| c["choice"] == right).unwrap();
            let apart = -number(right, "probability").ln() - number(&judged, "loss");
            assert!(apart.abs() < 2e-4, "{options:?}: {answer} but {judged}");
            assert_eq!(
                answer["text"] == right["choice"],
                number(&judged, "accuracy") == 1.0,
                "{options:?}: {answer}"
            );
            // Sorted, and the first is the answer.
            assert_eq!(choices[0]["choice"], answer["text"]);
            assert!(number(&choices[0], "probability") >= number(&choices[1], "probability"), "{answer}");
        }
    }
}

#[test]
fn people_see_the_winner_marked() {
    let scene = trained(&[]);
    let said = scene.run_with("infer --model tiny.gguf --adapter a.gguf --label", &["the up side"]).out;
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("* ") && lines[1].starts_with("  "), "{said}");
}

#[test]
fn another_question_is_warned_of_and_one_without_an_answer_refused() {
    let scene = trained(&["--template", "{text}:"]);
    let choose = |more: &str, prompt: &str| {
        let line = format!("infer --model tiny.gguf --adapter a.gguf --json {more} --prompt");
        let ran = scene.run_with(&line, &[prompt]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        (ran.last()["warning"].clone(), ran.err)
    };
    let (warning, err) = choose("--choices down,up", "the up side");
    let warning = warning.as_str().unwrap();
    let words = ["a.gguf", "{text}:", "--label"];
    assert!(words.iter().all(|word| warning.contains(word) && err.contains(word)), "{err}");
    assert!(choose("--choices this,lies", "the up side:").0.is_string(), "other labels");
    assert_eq!(choose("--choices up,down", "the up side:"), (Value::Null, String::new()));
    let raw = trained(RAW);
    let line = "infer --model tiny.gguf --adapter a.gguf --choices up,down --prompt";
    assert!(raw.run_with(line, &["the up side\n"]).err.contains("another question"), "as a chat message");
    scene.fails(2, "infer --model tiny.gguf --label x", &["--label", "--adapter"]);
    scene.done("train --model tiny.gguf --data lm.jsonl --task lm --raw --steps 1 --out lm.gguf");
    scene.fails(2, "infer --model tiny.gguf --adapter lm.gguf --label x", &["lm.gguf", "--task lm"]);
    for other in ["--prompt y", "--choices a,b", "--raw"] {
        scene.fails(2, &format!("infer --model tiny.gguf --adapter a.gguf --label x {other}"), &["--label"]);
    }
}

#[test]
fn an_evaluation_asks_as_the_training_did_and_takes_no_other_word() {
    let options = ["--raw", "--template", "{text}?\n", "--label-tokens", "down=no,up=yes"];
    let scene = trained(&options);
    let same = scene.run_with(&format!("{EVAL} --data label.jsonl"), &options).last();
    let found = scene.done(&format!("{EVAL} --data label.jsonl")).last();
    assert_eq!((&found["loss"], &found["accuracy"]), (&same["loss"], &same["accuracy"]));
    assert_eq!(found["labels"], serde_json::json!(["down", "up"]));
    for (flags, words) in [
        ("--template {text}!", ["--template", "{text}?\\n"]),
        ("--label-style letter", ["--label-style letter", "word"]),
        ("--labels down,up,left", ["--labels", "down,up"]),
        ("--label-tokens up=no", ["--label-tokens up=no", "up=yes"]),
    ] {
        let words = [words[0], words[1], "a.gguf", "leave"];
        scene.fails(2, &format!("{EVAL} --data label.jsonl {flags}"), &words);
    }
    let lm = EVAL.replace("label", "lm");
    scene.fails(2, &format!("{lm} --data lm.jsonl"), &["--task lm", "a.gguf", "--task label"]);
    let chat = trained(&[]);
    chat.fails(2, &format!("{EVAL} --data label.jsonl --raw"), &["--raw", "a.gguf", "without"]);
}

#[test]
fn the_labels_are_those_of_the_training_whatever_the_file_has() {
    let scene = trained(&[]);
    scene.write(
        "left.jsonl",
        "{\"text\": \"a\", \"label\": \"up\"}\n{\"text\": \"b\", \"label\": \"left\"}\n",
    );
    scene.write("half.jsonl", "{\"text\": \"a\", \"label\": \"up\"}\n{\"text\": \"b\", \"label\": \"up\"}\n");
    let words = ["left.jsonl:2:", "\"left\"", "down, up"];
    scene.fails(3, &format!("{EVAL} --data left.jsonl"), &words);
    assert_eq!(number(&scene.done(&format!("{EVAL} --data half.jsonl")).last(), "n"), 2.0);
    // Without an adapter the labels can be named; and where they are the file's, that is said.
    let plain = "eval --model tiny.gguf --task label";
    scene.fails(3, &format!("{plain} --data left.jsonl --labels up,down"), &words);
    scene.done(&format!("{plain} --data half.jsonl --labels up,down"));
    scene.fails(3, &format!("{plain} --data half.jsonl"), &["half.jsonl", "label"]);
    let said = scene.done(&format!("{plain} --data left.jsonl")).out;
    assert!(["those of left.jsonl", "left, up", "--labels"].iter().all(|word| said.contains(word)), "{said}");
    for labels in ["up", "up,up", "up,"] {
        scene.fails(2, &format!("{plain} --data half.jsonl --labels {labels}"), &["--labels"]);
    }
    scene.fails(
        2,
        "eval --model tiny.gguf --task lm --data lm.jsonl --labels a,b",
        &["--labels", "--task lm"],
    );
}

#[test]
fn texts_that_are_cut_are_told_of_with_a_length_that_would_do() {
    let scene = Scene::new();
    let text = |i: usize| format!("{i} {}", "a text that goes on ".repeat(1 + i / 2));
    let lines: Vec<_> = (0..20).map(|i| format!("{{\"text\": {:?}}}", text(i))).collect();
    scene.write("long.jsonl", &lines.join("\n"));
    let train = "train --model tiny.gguf --task lm --raw --data long.jsonl --steps 1 --out a.gguf";
    let said = scene.done(&format!("{train} --len 64")).out;
    let line = said.lines().find(|line| line.contains("cut to 64 tokens")).unwrap();
    let (cut, rest) = line.split_once(" of 20 texts are cut to 64 tokens; --len ").unwrap();
    let cut: u64 = cut.trim_start_matches("long.jsonl: ").parse().unwrap();
    let (len, _) = rest.split_once(" would keep 95 %").unwrap();
    let events = scene.done(&format!("{train} --len 64 --json")).events();
    let event = events.iter().find(|e| e["event"] == "cut").unwrap();
    assert_eq!((number(event, "cut"), number(event, "n")), (cut as f64, 20.0));
    let kept = scene.done(&format!("{train} --len {len} --json")).events();
    let left = kept.iter().find(|e| e["event"] == "cut").map_or(0.0, |e| number(e, "cut"));
    assert!(left <= 1.0 && left < cut as f64, "{left} of 20 are still cut to {len}");
    assert!(!scene.done(&format!("{train} --len 512")).out.contains("cut to"));
    let eval = scene.done("eval --model tiny.gguf --task lm --raw --data long.jsonl --len 64 --json").last();
    assert_eq!(
        (number(&eval, "cut"), &eval["len_for_95_percent"]),
        (cut as f64, &event["len_for_95_percent"])
    );
}
