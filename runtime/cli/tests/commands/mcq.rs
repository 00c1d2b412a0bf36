//! Questions with known wrong answers: the same for a seed, in the shape that scripts read, and nothing lost.

use crate::scene::{Scene, has_keys};
use serde_json::Value;

#[test]
fn questions_are_made_from_a_seed() {
    let scene = Scene::new();
    let done = scene.done("mcq generate --family FDIV,LIN- --n 20 --seed 7 --out items.jsonl --json").last();
    assert_eq!((&done["event"], &done["items"]), (&"done".into(), &40.into()));
    let text = String::from_utf8(scene.bytes("items.jsonl")).unwrap();
    let items: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (i, item) in items.iter().enumerate() {
        has_keys(item, &["family", "index", "stem", "key", "errors"]);
        assert_eq!((&item["family"], &item["index"]), (&["FDIV", "LIN-"][i / 20].into(), &(i % 20).into()));
        let errors = item["errors"].as_array().unwrap();
        assert!(errors.len() >= 3, "{item}");
        for error in errors {
            has_keys(error, &["code", "text", "answer"]);
            assert_ne!(error["answer"], item["key"]);
        }
    }
    // One family's questions are the same beside another's, and may be made anew over themselves.
    scene.done("mcq generate --family FDIV --n 20 --seed 7 --out fdiv.jsonl");
    assert!(text.starts_with(std::str::from_utf8(&scene.bytes("fdiv.jsonl")).unwrap()));
    scene.done("mcq generate --family FDIV --n 20 --seed 8 --out fdiv.jsonl");
    assert!(!text.starts_with(std::str::from_utf8(&scene.bytes("fdiv.jsonl")).unwrap()));
}

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_lost() {
    let scene = Scene::new();
    let before = scene.bytes("label.jsonl");
    scene.fails(2, "mcq generate --family FADD --out label.jsonl", &["label.jsonl", "data records"]);
    assert_eq!(scene.bytes("label.jsonl"), before);
    scene.fails(2, "mcq generate --family FOO --out a.jsonl", &["--family", "FADD"]);
    scene.fails(2, "mcq generate --family FADD,FADD --out a.jsonl", &["FADD", "twice"]);
    scene.fails(2, "mcq generate --family FADD --n 0 --out a.jsonl", &["--n"]);
    scene.fails(2, "mcq generate --family FADD --least 4 --out a.jsonl", &["FADD", "4", "fewer"]);
    assert!(!scene.has("a.jsonl"));
}
