//! `sprig profile` and `sprig report diff`: settings in processes of their own, what was planned and what was held, and what
//! is kept of it when somebody stops it.

use crate::scene::{Scene, model, number};
use serde_json::Value;
use sprig_ground::kernel;
use std::process::Command;

const TINY: &str = "profile --model tiny.gguf --budget 64MiB --threads 1 --json";

fn profile(scene: &Scene, name: &str) -> Value {
    serde_json::from_slice(&scene.bytes(name)).unwrap()
}

fn outcomes(profile: &Value) -> Vec<&str> {
    profile["points"].as_array().unwrap().iter().map(|point| point["outcome"].as_str().unwrap()).collect()
}

#[test]
fn one_setting_is_measured_and_nothing_else_is_left() {
    let scene = Scene::new();
    let before = scene.list();
    let events = scene.done(&format!("{TINY} --len 64 --batch 2 --tangents 2 --out p.json")).events();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["point", "done"]);
    let added: Vec<_> = scene.list().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(added, ["p.html", "p.json"]);
    let found = profile(&scene, "p.json");
    let point = &found["points"][0];
    assert_eq!((&found["profile_version"], &found["budget"]), (&1.into(), &(64 << 20).into()));
    assert_eq!(point["setting"]["tangents"], 2);
    assert_eq!((&point["estimator"], &point["steps"]), (&"forward".into(), &3.into()));
    assert_eq!(events[0]["peak_rss_bytes"], point["measured"]["peak_rss"]);
    assert!(number(&point["measured"], "peak_rss") <= number(&point["plan"], "total_bytes"), "{point}");
    assert!(!point["timeline"].as_array().unwrap().is_empty());
    // The page is drawn from the profile alone.
    scene.done("report p.json -o page.html");
    assert!(scene.bytes("page.html") == scene.bytes("p.html"));
    let page = String::from_utf8(scene.bytes("page.html")).unwrap();
    assert!(page.contains("Planned against measured, by region") && page.contains("2 × 64, forward, K = 2"));
}

#[test]
fn a_setting_without_room_is_refused_with_the_budget_that_would_do() {
    let scene = Scene::new();
    let line = |budget: u64, len: &str| {
        format!(
            "profile --model tiny.gguf --threads 1 --json --sweep --tangents 1 --batch 1 --out p.json --budget {budget} \
             --len {len}"
        )
    };
    let needs = |len: &str| {
        scene.fails(4, &line(1 << 20, len), &["smallest", len]).events()[0]["smallest_budget_bytes"]
            .as_u64()
            .unwrap()
    };
    let budget = (needs("32") + needs("256")) / 2;
    let done = scene.done(&line(budget, "32,256")).last();
    assert_eq!((&done["ran"], &done["refused"]), (&1.into(), &1.into()));
    let found = profile(&scene, "p.json");
    assert_eq!(outcomes(&found), ["ran", "refused"]);
    let needed = found["points"][1]["smallest_budget"].as_u64().unwrap();
    assert_eq!(needed, needs("256"));
    // Where nothing fits, it is an error that names the same number, and the profile is kept all the same.
    let refused = scene.fails(4, &line(budget, "256"), &[&format!("--budget {needed}"), "1 × 256"]);
    assert_eq!(refused.last()["refused"], 1);
    assert_eq!(outcomes(&profile(&scene, "p.json")), ["refused"]);
    scene.done(&line(needed, "256"));
    assert_eq!(outcomes(&profile(&scene, "p.json")), ["ran"]);
}

#[test]
fn what_is_measured_survives_ctrl_c_and_is_gone_on_with() {
    let scene = Scene::new();
    let line = format!("{TINY} --sweep --batch 1,2 --len 32,64,96,128 --tangents 1 --steps 20 --out p.json");
    let (mut child, mut lines) = scene.start(&line);
    lines.find(|line| line.as_ref().unwrap().contains("\"point\"")).unwrap().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(lines.last().unwrap().unwrap().contains("\"interrupted\""));
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let stopped = profile(&scene, "p.json");
    let kept = outcomes(&stopped).len();
    assert!((1..8).contains(&kept), "{kept}");
    let folders: Vec<_> =
        scene.list().into_iter().filter(|name| name.starts_with(".sprig-profile")).collect();
    assert!(folders.is_empty(), "{folders:?}");
    scene.fails(
        2,
        &format!("{} --resume", line.replace("64MiB", "65MiB")),
        &["p.json", "--budget", "--resume"],
    );
    let events = scene.done(&format!("{line} --resume")).events();
    assert_eq!(events.len(), 8 - kept + 1);
    let whole = profile(&scene, "p.json");
    assert_eq!(outcomes(&whole), ["ran"; 8]);
    assert_eq!(whole["points"][0], stopped["points"][0]);
    assert_eq!(whole["started"], stopped["started"]);
}

#[test]
fn two_profiles_are_compared_setting_by_setting() {
    let scene = Scene::new();
    let line = "profile --model tiny.gguf --budget 64MiB --sweep --tangents 1 --batch 1";
    scene.done(&format!("{line} --len 32,64 --threads 1 --out a.json"));
    scene.done(&format!("{line} --len 64,96 --threads 2 --out b.json"));
    let diff = scene.done("report diff a.json b.json --json").last();
    let row = |n: usize| {
        let pair = &diff["settings"][n];
        (pair["setting"].as_str().unwrap(), pair["fits"].as_str().unwrap(), pair["ratio"]["step"].is_number())
    };
    assert_eq!(row(0), ("1 × 32, forward, K = 1", "a", false));
    assert_eq!(row(1), ("1 × 64, forward, K = 1", "both", true));
    assert_eq!(row(2), ("1 × 96, forward, K = 1", "b", false));
    let facts = diff["facts"].as_array().unwrap();
    assert!(
        facts
            .iter()
            .any(|fact| fact["name"] == "kernels" && fact["b"].as_str().unwrap().contains("2 threads"))
    );
    let text = scene.done("report diff a.json b.json").out;
    assert!(text.contains("not tried") && text.contains("times those of a"), "{text}");
    // Records of runs are compared whole, and one of each is no comparison.
    for (name, steps) in [("one.json", 2), ("two.json", 3)] {
        scene.done(&format!(
            "train --model tiny.gguf --task lm --raw --data lm.jsonl --threads 1 --steps {steps} --run {name}"
        ));
    }
    let diff = scene.done("report diff one.json two.json --json").last();
    assert_eq!(diff["facts"][0], serde_json::json!({ "name": "steps", "a": "2", "b": "3" }));
    assert!(diff["step_ratio"].is_number());
    scene.fails(2, "report diff one.json a.json", &["one.json is a run record", "a.json is a profile"]);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_written_over() {
    let scene = Scene::new();
    scene.done(&format!("{TINY} --len 32 --batch 1 --out p.json"));
    let made = profile(&scene, "p.json");
    let mut other = made;
    other["profile_version"] = 9.into();
    scene.write("other.json", &other.to_string());
    scene.write("garbage.gguf", "no model");
    scene.fails(3, "report other.json", &["other.json", "profile of version 9", "reads version 1"]);
    scene.fails(3, "report diff p.json other.json", &["other.json", "version 9"]);
    scene.fails(3, "profile --model garbage.gguf --budget 64MiB --out q.json", &["garbage.gguf"]);
    scene.fails(5, "profile --model nowhere.gguf --budget 64MiB --out q.json", &["nowhere.gguf"]);
    for (line, words) in [
        ("--len 32,64 --out q.json", ["--len 32,64", "--sweep"]),
        ("--task label --out q.json", ["--task label", "--data"]),
        ("--out tiny.gguf", ["--out", "--model"]),
        ("--out lm.jsonl", ["lm.jsonl", "data records"]),
        ("--out q.html", ["--page q.html", "--out"]),
        ("--out q.json --page p.json", ["--page", "a profile"]),
        ("--estimator readout --out q.json", ["readout", "steps"]),
        ("--len 100000 --out q.json", ["100000", "tokens"]),
        ("--out q.json -- --dropout 0.1 --len=64", ["--len", "before --"]),
    ] {
        scene.fails(2, &format!("profile --model tiny.gguf --budget 64MiB --threads 1 {line}"), &words);
    }
    assert!(scene.bytes("tiny.gguf").starts_with(b"GGUF"));
    // A training writes over no profile either.
    let train = "train --model tiny.gguf --task lm --data lm.jsonl --steps 1 --run p.json";
    scene.fails(2, train, &["p.json", "a profile"]);
}

/// The real model: the plan is near the peak of a process that is watched and not trained in, and whoever watches is small.
#[test]
fn settings_of_the_real_model_hold_their_plans() {
    let (scene, model) = (Scene::new(), model());
    let line = format!(
        "profile --budget 200MiB --sweep --len 32,64 --batch 2 --estimator forward,reverse --steps 2 --threads 2 --json \
         --out p.json --model {}",
        model.display()
    );
    let (mut child, lines) = scene.start(&line);
    let mut watcher = 0;
    for line in lines {
        let line = line.unwrap();
        if line.contains("\"point\"") {
            watcher = kernel::process(child.id()).map_or(watcher, |process| process.peak);
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    println!("the process that watches held {watcher} bytes");
    assert!((1 << 20..24 << 20).contains(&watcher), "{watcher}");
    let found = profile(&scene, "p.json");
    assert_eq!(outcomes(&found), ["ran"; 4]);
    for point in found["points"].as_array().unwrap() {
        let (plan, peak) = (number(&point["plan"], "total_bytes"), number(&point["measured"], "peak_rss"));
        println!("{}: plan {plan}, peak {peak}", point["setting"]);
        assert!(
            peak <= plan && (plan - peak) / peak <= 0.05,
            "plan {plan}, peak {peak}: {}",
            point["setting"]
        );
        let seen = point["timeline"].as_array().unwrap().iter().map(|s| number(s, "rss")).fold(0.0, f64::max);
        assert!(seen <= peak && seen > 0.5 * peak, "{seen} of {peak} were seen from outside");
    }
    assert_eq!(found["model"]["layers"], 30);
}
