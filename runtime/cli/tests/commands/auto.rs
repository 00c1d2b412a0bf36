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
    Scene::new().fails(2, line, &["--estimator reverse has no use for --add-to", "--estimator readout"]);
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

#[test]
fn data_that_a_read_out_cannot_take_go_to_steps() {
    let scene = Scene::new();
    let label = String::from_utf8(scene.bytes("label.jsonl")).unwrap();
    let weighted = label.replacen('}', r#", "weight": 2}"#, 1);
    let lone = format!("{label}\n{{\"text\": \"the middle\", \"label\": \"left\"}}");
    for (data, why) in [(weighted, "have weights"), (lone, "\"left\" has 1")] {
        scene.write("data.jsonl", &data);
        let line = format!("train {LABELS} --data data.jsonl --seed 3 --out a.gguf");
        let (mut child, mut lines) = scene.start(&line);
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(first["estimator"], "reverse");
        scene.fails(2, &line.replace("auto", "readout"), &[why, "reverse"]);
        // Without room for steps it is not the read-out that is asked for more memory.
        let refused = scene.run(&format!("{line} --budget 1MiB"));
        assert_eq!(refused.code, 4, "{}", refused.shown());
        assert_eq!(refused.events()[0]["estimator"], "forward", "{}", refused.shown());
    }
}

#[test]
fn settings_without_a_use_are_refused_by_name() {
    let scene = Scene::new();
    let of = |estimator: &str, flag: &str| {
        format!("train --model tiny.gguf --task label --data label.jsonl --estimator {estimator} {flag}")
    };
    for (estimator, flag, other) in [
        ("reverse", "--tangents 4", "forward"),
        ("readout", "--steps 3", "reverse"),
        ("readout", "--rank 2", "reverse"),
        ("forward", "--difference-step 0.1", "mezo"),
        ("mezo", "--variance-limit 3", "fwdllm"),
    ] {
        let name = flag.split(' ').next().unwrap();
        let words =
            [format!("--estimator {estimator} has no use for {name}"), format!("--estimator {other}")];
        scene.fails(2, &of(estimator, flag), &[&words[0], &words[1]]);
    }
    let plan = "plan --model tiny.gguf --estimator reverse --tangents 4";
    scene.fails(2, plan, &["--tangents", "--estimator forward"]);
    scene.fails(2, &of("auto", "--tangents 2 --variance-limit 3"), &["--tangents and --variance-limit"]);
}

#[test]
fn a_resumed_training_keeps_its_estimator() {
    let scene = Scene::new();
    let line = |more: &str| {
        format!("train --model tiny.gguf --task label --data label.jsonl --json --checkpoint-every 1 {more}")
    };
    scene.done(&line("--estimator forward --steps 4 --out straight.gguf"));
    let (mut child, lines) = scene.start(&line("--estimator forward --steps 100000 --out a.gguf"));
    for line in lines {
        if line.unwrap().contains(r#""step":3"#) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = scene.run(&line("--estimator auto --steps 4 --out a.gguf --resume"));
    let first = refused.events()[0].clone();
    assert_eq!((&first["estimator"], &first["why"]), (&"forward".into(), &"made the checkpoint".into()));
    // The other settings have to agree all the same.
    assert!(refused.code == 3 && refused.err.contains("steps = 100000"), "{}", refused.shown());
    let anew = scene.done(&line("--estimator auto --steps 4 --out b.gguf --resume")).events();
    assert_eq!(anew[0]["estimator"], "reverse");
}
