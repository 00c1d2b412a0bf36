//! `personalise`, and what answers with what it wrote.

use crate::scene::{Scene, has_keys, number};

const READ: &str =
    "train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf --json";
const LORA: &str = "train --estimator reverse --model tiny.gguf --task label --data label.jsonl --steps 4 --lr 0.01 --targets q,v \
                    --layers 1..3 --out lora.gguf --json";
const PERSONALISE: &str = "personalise --model tiny.gguf --task label --data label.jsonl --eval-data label.jsonl --threads 1 --json";

#[test]
fn a_personal_state_is_derived_in_both_forms_and_answers() {
    let scene = Scene::new();
    scene.done(READ);
    scene.done(LORA);
    for (adapter, form, more) in [
        ("read", "readout", ""),
        ("read", "flow", "--form flow"),
        ("lora", "flow", ""),
        ("lora", "flow", "--sees text"),
        ("lora", "flow", "--sees nothing --gamma 0"),
    ] {
        let line = format!("{PERSONALISE} --adapter {adapter}.gguf --out p.sprig {more}");
        let ran = scene.done(&line);
        let (plan, done) = (ran.events()[0].clone(), ran.last());
        has_keys(
            &done,
            &[
                "form",
                "n",
                "accuracy_global",
                "accuracy_local",
                "accuracy_personal",
                "accuracy_personal_hard",
                "peak_rss_bytes",
                "budget_bytes",
            ],
        );
        assert_eq!((&done["form"], &done["n"], &done["derived"]), (&form.into(), &12.into(), &true.into()));
        let judged = |with: &str| {
            scene
                .done(&format!("eval --model tiny.gguf --task label --data label.jsonl --json {with}"))
                .last()
        };
        let global = judged(&format!("--adapter {adapter}.gguf"));
        assert_eq!(done["accuracy_global"], global["accuracy"], "{adapter} {more}");
        let soft = judged("--personal p.sprig");
        assert_eq!(done["accuracy_personal"], soft["accuracy"], "{adapter} {more}");
        let hard = judged("--personal p.sprig --hard");
        assert_eq!(done["accuracy_personal_hard"], hard["accuracy"], "{adapter} {more}");
        let gates = soft["gates"].as_array().unwrap();
        assert_eq!(gates.len(), if adapter == "read" { 1 } else { 2 }, "{soft}");
        assert!(gates.iter().all(|q| (0.0..=1.0).contains(&q.as_f64().unwrap())), "{soft}");
        // Once more there is nothing to do; within the plan there is room for all of it.
        let again = scene.done(&line).last();
        assert_eq!(
            (&again["derived"], &again["accuracy_personal"]),
            (&false.into(), &done["accuracy_personal"])
        );
        let bytes = scene.bytes("p.sprig");
        // Other settings make another state.
        assert_eq!(scene.done(&format!("{line} --seed 9")).last()["derived"], true);
        for key in ["total_bytes", "smallest_budget_bytes"] {
            std::fs::remove_file(scene.path("p.sprig")).unwrap();
            let budget = number(&plan["plan"], key);
            let exact = scene.done(&format!("{line} --budget {budget}")).last();
            assert!(number(&exact, "peak_rss_bytes") <= budget, "{adapter} {more}: {exact} in {budget}");
            assert!(scene.bytes("p.sprig") == bytes, "{adapter} {more}: {key} changed the state");
        }
        std::fs::remove_file(scene.path("p.sprig")).unwrap();
    }
}

#[test]
fn a_prompt_is_answered_personally_and_explained() {
    let scene = Scene::new();
    scene.done(LORA);
    scene.done(&format!("{PERSONALISE} --adapter lora.gguf --out p.sprig"));
    let line = "infer --model tiny.gguf --personal p.sprig --label street --explain";
    let told = scene.done(line);
    assert!(told.out.contains("share of the shared adapter by block: 1: "), "{}", told.shown());
    let json = scene.done(&format!("{line} --json")).last();
    assert_eq!(json["gates"].as_array().unwrap().len(), 2, "{json}");
    assert!(json["local_blocks"].is_array() && json["text"].is_string(), "{json}");
    let free = scene
        .done("infer --model tiny.gguf --personal p.sprig --hard --prompt abc --max-tokens 4 --json")
        .last();
    assert!(free["gates"].as_array().unwrap().iter().all(|q| q == 0.0 || q == 1.0), "{free}");
    let plain = scene.done("infer --model tiny.gguf --prompt abc --max-tokens 4 --json").last();
    assert!(plain["gates"].is_null());
}

/// Of language models too, whose routers decide at every token.
#[test]
fn texts_are_personalised_by_what_stands_before_each_token() {
    let scene = Scene::new();
    scene.done("train --estimator reverse --model tiny.gguf --task lm --data lm.jsonl --steps 4 --out lm.gguf --layers 1..3");
    let line = "personalise --model tiny.gguf --task lm --data lm.jsonl --eval-data lm.jsonl --adapter lm.gguf --out p.sprig \
                --json";
    let done = scene.done(line).last();
    assert_eq!(done["form"], "flow");
    let judged =
        scene.done("eval --model tiny.gguf --task lm --data lm.jsonl --personal p.sprig --json").last();
    assert_eq!(judged["accuracy"], done["accuracy_personal"]);
}

#[test]
fn what_cannot_be_personalised_is_refused() {
    let scene = Scene::new();
    scene.done(READ);
    scene.done(LORA);
    let line = PERSONALISE.replace("--eval-data label.jsonl ", "");
    let with = |adapter: &str, more: &str| format!("{line} --adapter {adapter} {more}");
    scene.fails(
        2,
        &with("lora.gguf", "--form readout --out p.sprig"),
        &["--form readout", "adapts 4 layers", "--form flow"],
    );
    scene.fails(2, &with("read.gguf", "--out read.gguf"), &["--out", "--adapter", "name another"]);
    scene.fails(2, &with("read.gguf", "--out lora.gguf"), &["lora.gguf holds an adapter", "would be lost"]);
    scene.fails(3, &with("label.jsonl", "--out p.sprig"), &["label.jsonl"]);
    scene.fails(5, &with("none.gguf", "--out p.sprig"), &["none.gguf"]);
    // One score for each label, in the place of a read-out, and none all the same.
    scene.done(
        &LORA.replace("q,v", "down").replace("1..3", "2..3 --rank 2").replace("lora.gguf", "down.gguf"),
    );
    scene.fails(2, &with("down.gguf", "--out p.sprig"), &["down.gguf", "no read-out", "--form flow"]);
    assert!(!scene.has("p.sprig"));
    scene.done(&with("down.gguf", "--form flow --out down.sprig"));
    scene.model("other.gguf", 2);
    scene.fails(
        3,
        &with("read.gguf", "--out p.sprig").replace("tiny.gguf", "other.gguf"),
        &["read.gguf", "digest"],
    );
    scene.done(&with("read.gguf", "--out p.sprig"));
    scene.fails(2, &with("read.gguf", "--out q.sprig --lr -1"), &["-1"]);
    scene.fails(
        3,
        "eval --model other.gguf --task label --data label.jsonl --personal p.sprig",
        &["p.sprig", "digest"],
    );
    scene.fails(
        3,
        "eval --model tiny.gguf --task label --data label.jsonl --personal read.gguf",
        &["personalise"],
    );
    scene.fails(3, "infer --model tiny.gguf --prompt a --adapter p.sprig", &["personal", "LoRA adapter"]);
    scene.fails(2, "infer --model tiny.gguf --prompt a --hard", &["--personal"]);
    scene.fails(
        2,
        "infer --model tiny.gguf --prompt a --personal p.sprig --adapter read.gguf",
        &["--personal", "--adapter"],
    );
    let bytes = scene.bytes("p.sprig");
    std::fs::write(scene.path("cut.sprig"), &bytes[..bytes.len() / 2]).unwrap();
    scene.fails(3, "infer --model tiny.gguf --prompt a --personal cut.sprig", &["cut.sprig"]);
}
