//! Training, evaluation and inference of every task, the whole way.

use crate::scene::{Scene, has_keys, number};
use serde_json::Value;
use sprig_engine::adapter::AdapterFile;
use sprig_engine::gguf::Mapped;

/// What the contract promises of the last event.
const DONE: [&str; 14] = [
    "steps",
    "passes",
    "loss_first",
    "loss_last",
    "eval_before",
    "eval_after",
    "plan_bytes",
    "budget_bytes",
    "peak_rss_bytes",
    "peak_heap_bytes",
    "mapped_bytes",
    "step_ms_median",
    "forward_ms_median",
    "tokens_per_s",
];

/// Trains, evaluates, infers and reports with `task`.
fn whole_way(task: &str, options: &str) {
    let scene = Scene::new();
    let records = format!("--task {task} --data {task}.jsonl --threads 2 --json {options}");
    let ran = scene.done(&format!(
        "train --model tiny.gguf --steps 6 --batch 4 --len 96 --tangents 2 --lr 0.05 --seed 3 --budget 100MiB \
         --eval-data {task}.jsonl --out a.gguf --run run.json {records}"
    ));
    let events = ran.events();
    let losses: Vec<f64> =
        events.iter().filter(|e| e["event"] == "step").map(|e| number(e, "loss")).collect();
    assert_eq!(losses.len(), 6, "{}", ran.out);
    let done = ran.last();
    assert_eq!(done["event"], "done");
    has_keys(&done, &DONE);
    for key in DONE.into_iter().filter(|k| !k.starts_with("eval")) {
        assert!(number(&done, key) > 0.0, "{key}: {done}");
    }
    assert_eq!((number(&done, "loss_first"), number(&done, "loss_last")), (losses[0], losses[5]));
    assert_eq!(number(&done, "steps"), 6.0);
    assert_eq!(number(&done, "budget_bytes"), f64::from(100 << 20));
    assert!(number(&done, "plan_bytes") <= number(&done, "budget_bytes"));
    assert!(number(&done, "peak_rss_bytes") <= number(&done, "budget_bytes"));
    assert!(!scene.has("a.gguf.ckpt"), "a finished run leaves no checkpoint");

    let adapter = AdapterFile::open(scene.path("a.gguf")).unwrap();
    assert_eq!(
        adapter.meta().base_digest,
        Some(Mapped::open(scene.path("tiny.gguf")).unwrap().digest_hex().unwrap())
    );
    assert!(!adapter.pairs().is_empty());
    let run: Value = serde_json::from_slice(&scene.bytes("run.json")).unwrap();
    assert_eq!((&run["task"], &run["seed"]), (&task.into(), &3.into()));
    scene.done("report run.json -o page.html");
    let page = String::from_utf8(scene.bytes("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{page:.80}");
    assert!(page.contains("<svg") && page.contains("tiny") && page.len() > 5000);

    let eval = format!("eval --model tiny.gguf --len 96 --budget 100MiB {records}");
    let (before, after) = (scene.done(&eval).last(), scene.done(&format!("{eval} --adapter a.gguf")).last());
    for (found, told) in [(&before, &done["eval_before"]), (&after, &done["eval_after"])] {
        has_keys(found, &["n", "loss", "accuracy", "interval"]);
        // The merged pair's f32 products round unlike the run's own factors.
        let apart = (number(found, "loss") - number(told, "loss")).abs();
        assert!(apart < 1e-4, "{found} but the run said {told}");
        let [low, high] = [0, 1].map(|i| found["interval"][i].as_f64().unwrap());
        assert!(low <= number(found, "accuracy") && number(found, "accuracy") <= high, "{found}");
    }
    assert!((number(&before, "loss") - number(&after, "loss")).abs() > 1e-4, "the adapter changes nothing");
}

#[test]
fn completions_go_the_whole_way() {
    whole_way("lm", "--raw");
}

#[test]
fn labels_go_the_whole_way() {
    whole_way("label", "--label-loss full");
}

#[test]
fn choices_go_the_whole_way() {
    whole_way("choice", "--label-loss full");
}

#[test]
fn inference_uses_the_adapter() {
    let scene = Scene::new();
    scene.done(
        "train --model tiny.gguf --task lm --raw --data lm.jsonl --adapter-kind lora --targets all --steps 40 \
         --batch 8 --lr 0.2 --warmup 1 --out a.gguf --threads 2",
    );
    let plain = "infer --model tiny.gguf --prompt count --max-tokens 12 --raw --json --threads 2";
    let (without, with) = (scene.done(plain).last(), scene.done(&format!("{plain} --adapter a.gguf")).last());
    for answer in [&without, &with] {
        has_keys(answer, &["text", "tokens", "prefill_tokens_per_s", "decode_tokens_per_s"]);
        assert!((0.0..=12.0).contains(&number(answer, "tokens")), "{answer}");
        assert!(number(answer, "prefill_tokens_per_s") > 0.0, "{answer}");
        number(answer, "decode_tokens_per_s");
    }
    assert_ne!(without["text"], with["text"]);
    assert_eq!(scene.done(plain).last()["text"], without["text"], "greedy decoding repeats itself");
    // For people: the text on standard output, the speeds elsewhere.
    let text = without["text"].as_str().unwrap();
    assert_eq!(scene.done(&plain.replace(" --json", "")).out, format!("{text}\n"));
    // As a chat message, whose wrapping makes the prompt longer.
    let chat = scene.done(&plain.replace(" --raw", "")).last();
    assert!(number(&chat, "prompt_tokens") > number(&without, "prompt_tokens"), "{chat}");
}

#[test]
fn texts_longer_than_the_models_context_are_refused() {
    let scene = Scene::new();
    for command in ["train --out a.gguf --data lm.jsonl", "eval --data lm.jsonl", "plan"] {
        scene.fails(
            2,
            &format!("{command} --model tiny.gguf --task lm --len 100000"),
            &["100000", "context"],
        );
    }
    assert!(!scene.has("a.gguf"));
}

#[test]
fn training_lowers_the_loss() {
    let scene = Scene::new();
    let done = scene
        .done(
            "train --model tiny.gguf --task label --data label.jsonl --eval-data label.jsonl --adapter-kind lora \
             --targets all --steps 150 --batch 6 --tangents 2 --lr 0.02 --out a.gguf --threads 2 --json",
        )
        .last();
    let (before, after) = (number(&done["eval_before"], "loss"), number(&done["eval_after"], "loss"));
    assert!(after < 0.7 * before, "{before} -> {after}");
}

#[test]
fn a_seed_fixes_the_adapter_for_any_number_of_threads() {
    for kind in ["lora-xs", "lora", "lora --dropout 0.2"] {
        let scene = Scene::new();
        let train = |out: &str, threads: u32, seed: u32| {
            scene.done(&format!(
                "train --model tiny.gguf --task lm --raw --data lm.jsonl --adapter-kind {kind} --tangents 2 \
                 --steps 8 --batch 5 --threads {threads} --seed {seed} --out {out}"
            ));
            scene.bytes(out)
        };
        let first = train("a.gguf", 1, 7);
        assert!(first == train("b.gguf", 2, 7), "{kind}: 1 and 2 threads give different adapters");
        assert!(first == train("c.gguf", 1, 7), "{kind}: the same command gives different adapters");
        assert!(first != train("d.gguf", 1, 8), "{kind}: the seed changes nothing");
    }
}

#[test]
fn the_budget_changes_the_time_and_not_the_adapter() {
    let scene = Scene::new();
    // A step of some size: of a small one, reading the data takes most, which no rung makes less.
    for estimator in ["forward --tangents 8", "reverse"] {
        let line = format!(
            "train --model tiny.gguf --task lm --raw --data lm.jsonl --estimator {estimator} --batch 256 --steps 3 \
             --threads 2 --json --seed 1"
        );
        let roomy = scene.done(&format!("{line} --budget 1GiB --out a.gguf")).events();
        let smallest = roomy[0]["plan"]["smallest_budget_bytes"].as_u64().unwrap();
        let tight = scene.done(&format!("{line} --budget {smallest} --out b.gguf")).events();
        let ladder = |events: &[serde_json::Value]| events[0]["plan"]["ladder"].clone();
        assert!(ladder(&roomy) == serde_json::json!([]) && ladder(&tight)[0].is_object(), "{estimator}");
        assert!(
            scene.bytes("a.gguf") == scene.bytes("b.gguf"),
            "{estimator}: a resume under another budget would not be the same run"
        );
    }
}

#[test]
fn a_budget_that_cannot_hold_the_run_is_refused_before_it_starts() {
    let scene = Scene::new();
    let ran = scene.fails(
        4,
        "train --model tiny.gguf --task label --data label.jsonl --out a.gguf --budget 1MiB --json",
        &["1.0 MiB", "smallest"],
    );
    assert!(!ran.out.contains("\"step\"") && !scene.has("a.gguf"), "{}", ran.shown());
    scene.fails(4, "eval --model tiny.gguf --task label --data label.jsonl --budget 1MiB", &["smallest"]);
    scene.fails(4, "infer --model tiny.gguf --prompt a --budget 1MiB", &["smallest"]);
}

/// The baselines by differences, and what they have no form of.
#[test]
fn estimators_by_differences_train() {
    let scene = Scene::new();
    let line = "train --model tiny.gguf --data label.jsonl --eval-data label.jsonl --task label --steps 2 --batch 4 \
                --len 96 --lr 0.05 --threads 2 --budget 100MiB --out a.gguf";
    // Steps, examples, and two plain passes along each of K directions.
    for (estimator, passes) in [("mezo", 2 * 4 * 2), ("baffle", 2 * 4 * 20), ("fwdllm", 2 * 4 * 20)] {
        let done = scene.done(&format!("{line} --json --estimator {estimator}")).last();
        assert_eq!(number(&done, "passes"), f64::from(passes), "{estimator}");
        assert!(number(&done, "peak_rss_bytes") <= number(&done, "budget_bytes"), "{estimator}");
        let [before, after] = ["eval_before", "eval_after"].map(|key| number(&done[key], "loss"));
        assert!(before != after, "{estimator}: the adapter changes nothing");
    }
    let refused = format!("{line} --estimator mezo --directions per-example");
    scene.fails(2, &refused, &["--directions per-example", "--directions shared"]);
}
