//! Which estimator a training takes when none is named.

use super::scene::{Scene, has_keys};
use serde_json::Value;

const LABELS: &str = "--model tiny.gguf --task label --threads 1 --json --estimator auto";
const TOKENS: &str = "--model tiny.gguf --task lm --threads 1 --json --estimator auto";

/// The estimators of a plan, by name.
fn estimator<'p>(plan: &'p Value, name: &str) -> &'p Value {
    let all = plan["estimators"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {plan}"))
}

fn chosen(plan: &Value) -> Vec<&str> {
    let all = plan["estimators"].as_array().unwrap().iter();
    all.filter(|one| one["chosen"] == true).map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn labels_are_read_out_and_steps_follow_exact_gradients() {
    let scene = Scene::new();
    let learn = |line: &str| {
        let ran = scene.done(&format!("train {line} --len 64 --batch 4 --out a.gguf"));
        let (first, last) = (ran.events()[0].clone(), ran.last());
        assert_eq!((&first["event"], &first["estimator"]), (&"estimator".into(), &last["estimator"]));
        has_keys(&last, &["why", "passes", "train_seconds", "eval_accuracy_before", "eval_accuracy_after"]);
        last["estimator"].as_str().unwrap().to_owned()
    };
    assert_eq!(learn(&format!("{LABELS} --data label.jsonl --eval-data label.jsonl")), "readout");
    assert_eq!(learn(&format!("{LABELS} --data label.jsonl --steps 2")), "reverse");
    assert_eq!(learn(&format!("{LABELS} --data label.jsonl --steps 2 --tangents 2")), "forward");
    assert_eq!(learn(&format!("{TOKENS} --raw --data lm.jsonl --epochs 1")), "reverse");
}

#[test]
fn a_plan_lists_what_fits_and_why() {
    let scene = Scene::new();
    let plan = |line: &str| scene.done(&format!("plan {line}")).last();
    let roomy = plan(&format!("{LABELS} --budget 1GiB"));
    assert_eq!(chosen(&roomy), ["readout"]);
    for one in roomy["estimators"].as_array().unwrap() {
        has_keys(one, &["name", "fits", "total_bytes", "passes_per_step", "step_seconds", "chosen", "why"]);
        assert!(one["fits"] == true && one["step_seconds"].as_f64().unwrap() > 0.0, "{one}");
    }
    assert_eq!(roomy["total_bytes"], estimator(&roomy, "readout")["total_bytes"]);
    let named = plan(&format!("{} --budget 1GiB", LABELS.replace("auto", "mezo")));
    assert_eq!((chosen(&named), &estimator(&named, "mezo")["why"]), (vec!["mezo"], &"was named".into()));
}

#[test]
fn sums_are_not_added_to_by_steps() {
    let line =
        "train --model tiny.gguf --task label --data label.jsonl --estimator reverse --add-to old.sums";
    Scene::new().fails(2, line, &["--add-to old.sums", "--estimator readout"]);
}

/// Where the exact gradient has no room, the plan goes forward, and says what it would take.
#[test]
fn too_little_memory_for_a_pass_backwards_goes_forward() {
    let scene = Scene::new();
    let shape = format!("plan {TOKENS} --len 128");
    let none = scene.run(&format!("{shape} --budget 1MiB"));
    assert_eq!(none.code, 4, "{}", none.shown());
    let none = none.last();
    assert_eq!(chosen(&none), Vec::<&str>::new());
    let smallest = |name| estimator(&none, name)["smallest_budget_bytes"].as_u64().unwrap();
    let (reverse, forward) = (smallest("reverse"), smallest("forward"));
    assert!(forward < reverse, "{forward} {reverse}");
    // What is never chosen by itself is not what the refusal promises.
    assert_eq!(none["smallest_budget_bytes"], forward);
    assert!(smallest("mezo") < forward, "{none}");
    assert_eq!(chosen(&scene.done(&format!("{shape} --budget {forward}")).last()), ["forward"]);
    let plan = scene.done(&format!("{shape} --budget {}", reverse - 1)).last();
    assert_eq!(chosen(&plan), ["forward"]);
    let why = estimator(&plan, "reverse")["why"].as_str().unwrap();
    assert!(why.contains("needs a budget of"), "{why}");
    let plan = scene.done(&format!("{shape} --budget {reverse}")).last();
    assert_eq!(chosen(&plan), ["reverse"]);
}
