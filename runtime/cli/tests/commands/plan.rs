//! `sprig plan`: the table, the contract of its JSON, refusals and the budget they name.

use crate::scene::{Scene, keys};
use std::collections::BTreeSet;

const LINE: &str =
    "plan --model tiny.gguf --batch 8 --len 128 --tangents 2 --rank 4 --targets q,v --threads 2 --json";

#[test]
fn a_large_budget_fits_and_the_json_has_the_keys_of_the_contract() {
    let scene = Scene::new();
    let plan = scene.done(&format!("{LINE} --budget 1GiB")).last();
    let wanted = [
        "fits",
        "budget_bytes",
        "total_bytes",
        "mapped_bytes",
        "heap_bytes",
        "smallest_budget_bytes",
        "regions",
        "ladder",
        "passes_per_step",
        "estimators",
        "board",
        "batches",
        "seconds",
        "seconds_at_least",
    ];
    assert_eq!(keys(&plan), BTreeSet::from(wanted));
    assert_eq!(plan["fits"], true);
    assert_eq!(plan["budget_bytes"], 1 << 30);
    assert_eq!(plan["mapped_bytes"], scene.bytes("tiny.gguf").len());
    assert_eq!(plan["ladder"].as_array().unwrap().len(), 0);
    // Tangents of LoRA-XS start in the last of three blocks: 8 examples of 1 + 2/3 plain passes.
    assert!((plan["passes_per_step"].as_f64().unwrap() - 8.0 * (1.0 + 2.0 / 3.0)).abs() < 1e-9, "{plan}");
    let regions = plan["regions"].as_array().unwrap();
    assert!(regions.iter().all(|r| keys(r) == BTreeSet::from(["name", "kind", "bytes"])), "{plan}");
    let sum: u64 = regions.iter().map(|r| r["bytes"].as_u64().unwrap()).sum();
    assert_eq!(plan["total_bytes"], sum);
    assert_eq!(plan["mapped_bytes"].as_u64().unwrap() + plan["heap_bytes"].as_u64().unwrap(), sum);
    assert!(plan["smallest_budget_bytes"].as_u64().unwrap() < sum, "there is something to shrink: {plan}");
}

#[test]
fn a_small_budget_is_refused_and_the_smallest_that_would_do_does() {
    let scene = Scene::new();
    let refused = scene.fails(4, &format!("{LINE} --budget 1MiB"), &["1.0 MiB", "smallest"]);
    let plan = refused.last();
    assert_eq!(plan["fits"], false);
    let smallest = plan["smallest_budget_bytes"].as_u64().unwrap();
    assert_eq!(plan["total_bytes"], smallest, "what is shown is the smallest plan");

    let exact = scene.done(&format!("{LINE} --budget {smallest}")).last();
    assert_eq!((&exact["fits"], &exact["total_bytes"]), (&true.into(), &smallest.into()));
    let ladder = exact["ladder"].as_array().unwrap();
    assert!(!ladder.is_empty());
    assert!(ladder.iter().all(|r| keys(r) == BTreeSet::from(["rung", "why", "time_factor"])), "{exact}");
    scene.fails(4, &format!("{LINE} --budget {}", smallest - 1), &["smallest"]);
}

#[test]
fn a_given_number_of_steps_keeps_no_best_adapter() {
    let scene = Scene::new();
    let smallest = |more: &str| {
        let plan = scene.done(&format!("{LINE} --budget 1GiB {more}")).last();
        let kept = plan["regions"].as_array().unwrap().iter().any(|r| r["name"] == "best adapter so far");
        (plan["smallest_budget_bytes"].as_u64().unwrap(), kept)
    };
    let ((whole, kept), (less, without)) = (smallest(""), smallest("--steps 5"));
    assert!(kept && !without && less < whole, "{less} and {whole} bytes");
    let train =
        LINE.replace("plan", "train").replace("--json", "--data lm.jsonl --task lm --raw --out a.gguf");
    scene.done(&format!("{train} --steps 5 --estimator forward --budget {less}"));
}

#[test]
fn the_smallest_budget_that_the_message_names_does() {
    let scene = Scene::new();
    // Several shapes: a size rounded down in the message would pass one of them by luck.
    for len in [32, 48, 64, 96, 100, 128] {
        let line = format!("plan --model tiny.gguf --threads 2 --len {len}");
        let refused = scene.fails(4, &format!("{line} --budget 1MiB"), &["give --budget "]);
        let (_, named) = refused.err.split_once("give --budget ").unwrap();
        let size = named.split_whitespace().next().unwrap();
        scene.done(&format!("{line} --budget {size}"));
    }
}

#[test]
fn a_plan_for_people_is_a_table() {
    let scene = Scene::new();
    let line = "plan --model tiny.gguf --task label --data label.jsonl --budget";
    for budget in ["64MiB", "7MiB"] {
        let table = scene.done(&format!("{line} {budget}")).out;
        assert!(table.starts_with("it fits: "), "{table}");
        assert!(
            ["weights", "program", "smaller regions", "MiB"].iter().all(|word| table.contains(word)),
            "{table}"
        );
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let all = scene.done(&format!("{line} {budget} --verbose")).out;
        assert!(all.contains("row statistics") && !all.contains("smaller regions"), "{all}");
        assert!(all.lines().count() > table.lines().count(), "{all}");
    }
    let line = line.replace("plan", "train --steps 1 --out a.gguf");
    let said = scene.done(&format!("{line} 64MiB --estimator reverse")).out;
    assert!(said.contains("it fits: ") && !said.contains("row statistics"), "{said}");
    let plan = ["it fits: ", "weights "].map(|begin| said.lines().position(|line| line.starts_with(begin)));
    assert!(plan[0].is_some() && plan[1] == plan[0].map(|line| line + 1), "{said}");
}
