//! The whole way on the real model.

use crate::scene::{Scene, model, number};

#[test]
fn a_run_at_a_budget_of_exactly_its_plan_stays_below_it_and_near() {
    let (scene, model) = (Scene::new(), model());
    let line = "train --task label --data label.jsonl --steps 3 --threads 2 --json --out a.gguf --model";
    let run = |budget: &str| {
        let ran = scene.run_with(line, &[model.to_str().unwrap(), "--budget", budget]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran.last()
    };
    let plan = number(&run("1GiB"), "plan_bytes");
    let done = run(&plan.to_string());
    assert_eq!((number(&done, "plan_bytes"), number(&done, "budget_bytes")), (plan, plan));
    let peak = number(&done, "peak_rss_bytes");
    println!(
        "plan and budget {plan} bytes, peak {peak} bytes, apart {:+.2} % of the peak",
        100.0 * (plan - peak) / peak
    );
    assert!(peak <= plan, "peak {peak} is over the budget of {plan}");
    assert!((plan - peak).abs() / peak <= 0.05, "plan {plan}, peak {peak}");
}

#[test]
fn the_capital_of_france() {
    let (scene, model) = (Scene::new(), model());
    let line = "infer --raw --max-tokens 3 --json --threads 2 --model";
    let more = [model.to_str().unwrap(), "--prompt", "The capital of France is"];
    let ran = scene.run_with(line, &more);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let answer = ran.last();
    assert!(answer["text"].as_str().unwrap().starts_with(" Paris"), "{answer}");
    assert_eq!(answer["tokens"], 3);
}

/// The file is 94 MiB, the budget less than half of that.
#[test]
fn a_model_larger_than_the_budget_trains_to_the_same_bits() {
    let (scene, model) = (Scene::new(), model());
    let run = |out: &str, more: &[&str]| {
        let line = format!(
            "train --task label --data label.jsonl --eval-data label.jsonl --steps 2 --batch 4 --adapter-kind lora \
             --threads 2 --json --out {out} --model {}",
            model.display()
        );
        let ran = scene.run_with(&line, more);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran.last()
    };
    run("resident.gguf", &["--weights", "resident"]);
    let budget = 40 << 20;
    let streamed = run("streamed.gguf", &["--budget", "40MiB"]);
    let (plan, peak) = (number(&streamed, "plan_bytes"), number(&streamed, "peak_rss_bytes"));
    println!("budget {budget}, plan {plan}, peak {peak} bytes");
    assert!(peak <= f64::from(budget), "peak {peak}");
    assert!(scene.bytes("resident.gguf") == scene.bytes("streamed.gguf"), "the adapters differ");
    let more = [model.to_str().unwrap(), "--weights", "resident"];
    let refused =
        scene.run_with("train --task label --data label.jsonl --budget 40MiB --out a.gguf --model", &more);
    assert_eq!(refused.code, 4, "{}", refused.shown());

    let infer = |weights: &str| {
        let line = "infer --raw --max-tokens 5 --json --threads 2 --prompt Rain --model";
        let ran = scene.run_with(line, &[model.to_str().unwrap(), "--weights", weights]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        (ran.last()["text"].clone(), ran.last()["top_logits"].clone())
    };
    assert_eq!(infer("resident"), infer("streamed"));
}
