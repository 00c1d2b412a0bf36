//! `sprig model inspect`: what a file is, before anything is learnt with it.

use super::scene::{Scene, has_keys, model};

#[test]
fn a_model_file_is_told_in_figures() {
    let s = Scene::new();
    let real = model();
    let found = s.done(&format!("model inspect {} --json", real.display())).last();
    assert_eq!(found["architecture"], "llama");
    assert_eq!(found["blocks"], 30);
    assert_eq!(found["vocabulary"], 49_152);
    assert!(found["chat_problem"].is_null());
    let types = found["types"].as_object().unwrap();
    assert!(types.contains_key("Q4_1") && types.len() > 1, "{types:?}");
    let bytes: u64 = types.values().map(|of| of["bytes"].as_u64().unwrap()).sum();
    let file = std::fs::metadata(&real).unwrap().len();
    assert!(bytes < file && bytes > file * 9 / 10, "{bytes} of {file}");
    for fits in found["fits"].as_array().unwrap() {
        has_keys(fits, &["budget_bytes", "fits"]);
    }
    let told = s.done(&format!("model inspect {}", real.display())).shown();
    for word in ["family    llama, 134.5 million parameters", "chats     has a template", "learns    from "] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let one = s.done("model inspect tiny.gguf --budget 64MiB").shown();
    assert!(one.contains("estimator") && one.contains("smallest"), "{one}");
}

#[test]
fn what_is_no_model_is_refused_by_its_name() {
    let s = Scene::new();
    s.fails(3, "model inspect label.jsonl", &["label.jsonl"]);
    s.fails(5, "model inspect nowhere.gguf", &["nowhere.gguf"]);
}
