//! Prompts of a file, answered into a file.

use crate::scene::Scene;
use serde_json::{Value, json};

const INFER: &str = "infer --model tiny.gguf --raw --max-tokens 6 --temperature 0.9 --seed 3 --threads 1";

fn prompts(scene: &Scene) -> Vec<String> {
    let prompts: Vec<String> = (0..9).map(|i| format!("street {i}, \"at the sea\"")).collect();
    let rows: Vec<_> =
        prompts.iter().map(|prompt| json!({ "id": 1, "prompt": prompt }).to_string()).collect();
    scene.write("p.jsonl", &rows.join("\n"));
    prompts
}

#[test]
fn prompts_of_a_file_are_answered_as_each_alone_and_a_stopped_run_goes_on() {
    let s = Scene::new();
    let prompts = prompts(&s);
    let line = format!("{INFER} --data p.jsonl --out a.jsonl");
    let done = s.done(&line);
    assert!(done.out.contains("wrote a.jsonl: 9 answers") && !s.has("a.jsonl.part"), "{}", done.shown());
    let whole = String::from_utf8(s.bytes("a.jsonl")).unwrap();
    let answers: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), prompts.len());
    for (i, (prompt, answer)) in prompts.iter().zip(&answers).enumerate() {
        let alone = s.run_with(&format!("{INFER} --json --prompt"), &[prompt]).last();
        assert_eq!((&answer["row"], &answer["prompt"]), (&json!(i + 1), &json!(prompt)));
        assert_eq!((&answer["text"], &answer["tokens"]), (&alone["text"], &alone["tokens"]), "{prompt}");
        assert!(["stop", "length"].map(Value::from).contains(&answer["finish_reason"]), "{answer}");
    }
    // Cut anywhere, within an answer too, the same command ends in the same file.
    for cut in [0, 10, whole.len() / 2, whole.len() - 1, whole.len()] {
        s.write("a.jsonl.part", &whole[..cut]);
        s.done(&line);
        assert!(s.bytes("a.jsonl") == whole.as_bytes(), "{cut}");
    }
    s.write("a.jsonl.part", &whole[..whole.len() / 2]);
    let events = s.done(&format!("{line} --json")).events();
    assert!(
        events.iter().any(|e| e["event"] == "resumed") && events.last().unwrap()["rows"] == 9,
        "{events:?}"
    );
    // A table whose prompts are called otherwise is the same.
    let cells = prompts.iter().map(|prompt| format!("\"{}\"\n", prompt.replace('"', "\"\"")));
    s.write("p.csv", &format!("words\n{}", cells.collect::<String>()));
    s.done(&format!("{INFER} --data p.csv --text-column words --out b.jsonl"));
    assert!(s.bytes("b.jsonl") == whole.as_bytes());
}

#[test]
fn answers_to_other_prompts_and_prompts_that_cannot_be_answered_are_named() {
    let s = Scene::new();
    prompts(&s);
    let line = format!("{INFER} --data p.jsonl --out a.jsonl");
    s.done(&line);
    let whole = String::from_utf8(s.bytes("a.jsonl")).unwrap();
    s.write("a.jsonl.part", &whole[..whole.len() / 2]);
    s.fails(2, &line.replace("--seed 3", "--seed 4"), &["a.jsonl.part holds answers", "other settings"]);
    // Labels of texts are answers too, but not to these.
    s.write("a.jsonl.part", "{\"cut\":false,\"label\":\"x\",\"row\":1,\"share\":1,\"text\":\"y\"}\n");
    s.fails(2, &line, &["a.jsonl.part holds answers"]);
    std::fs::remove_file(s.path("a.jsonl.part")).unwrap();
    s.fails(2, &line.replace("a.jsonl", "p.jsonl"), &["--out p.jsonl is the same file as --data"]);
    s.fails(2, &line.replace("--out a.jsonl", ""), &["--out"]);
    s.fails(2, &format!("{line} --choices a,b"), &["cannot be used with"]);
    s.write("none.jsonl", "{\"words\": \"a\"}\n");
    s.fails(
        3,
        &line.replace("p.jsonl", "none.jsonl"),
        &["none.jsonl:1: ", "\"prompt\" is needed", "--text-column"],
    );
    s.write("blank.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"\"}\n");
    s.fails(3, &line.replace("p.jsonl", "blank.jsonl"), &["blank.jsonl: row 2: the prompt is empty"]);
    s.write("long.jsonl", &json!({ "prompt": "word ".repeat(2000) }).to_string());
    s.fails(2, &line.replace("p.jsonl", "long.jsonl"), &["long.jsonl: row 1: a prompt of", "context"]);
    assert_eq!(s.bytes("a.jsonl"), whole.as_bytes());
}
