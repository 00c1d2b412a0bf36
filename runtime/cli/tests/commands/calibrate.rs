//! `calibrate`: scores, the dump, and what is compared by it.

use crate::scene::{Scene, has_keys};
use serde_json::Value;

const CALIBRATE: &str = "calibrate --model tiny.gguf --threads 1 --json";

#[test]
fn labels_and_choices_are_calibrated_and_compared() {
    let scene = Scene::new();
    scene.done("train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf");
    let line = format!(
        "{CALIBRATE} --task label --data label.jsonl --adapter read.gguf --dump items.jsonl --page page.html"
    );
    let found = scene.done(&line).last();
    let keys = [
        "n",
        "accuracy",
        "ece15",
        "ece10",
        "ece15_mass",
        "gap",
        "brier",
        "nll",
        "auroc",
        "temperature",
        "ece15_scaled",
        "floor15",
        "set_size90",
        "covered90",
    ];
    has_keys(&found, &keys);
    // The same items, judged as `eval` judges them.
    let judged =
        scene.done("eval --model tiny.gguf --task label --data label.jsonl --adapter read.gguf --label-loss labels --json");
    let judged = judged.last();
    // Six items of a half are too few for a threshold: both labels are in every set.
    assert_eq!((&found["set_size90"], &found["covered90"]), (&2.0.into(), &1.0.into()));
    assert_eq!((&found["n"], &found["accuracy"]), (&judged["n"], &judged["accuracy"]));
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5;
    assert!(near(&found["nll"], &judged["loss"]), "{found} and {judged}");
    let dump = String::from_utf8(scene.bytes("items.jsonl")).unwrap();
    let items: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items.len(), 12);
    for (i, item) in items.iter().enumerate() {
        has_keys(item, &["id", "probabilities", "answer"]);
        let sum: f64 = item["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9 && item["answer"] == ["down", "up"][i % 2], "{item}");
    }
    assert!(String::from_utf8(scene.bytes("page.html")).unwrap().contains("whether rightly"));
    // Against itself there is no difference; against the plain model there may be.
    let same =
        scene.done(&line.replace("--dump items.jsonl --page page.html", "--against items.jsonl")).last();
    assert_eq!(
        (&same["against"]["ece15"], &same["against"]["accuracy"]),
        (&0.0.into(), &0.0.into()),
        "{same}"
    );
    let plain =
        format!("{CALIBRATE} --task label --data label.jsonl --against items.jsonl --validation label.jsonl");
    let plain = scene.done(&plain).last();
    assert!(plain["against"]["ece15_interval"].is_array() && plain["temperature"].as_f64().unwrap() > 0.0);
    // Options are known by their names, in whatever order another command had them.
    let turned =
        format!("{CALIBRATE} --task label --data label.jsonl --labels up,down --against items.jsonl");
    assert!(scene.done(&turned).last()["against"]["accuracy"].is_number());
    let choice =
        scene.done(&format!("{CALIBRATE} --task choice --data choice.jsonl --dump choices.jsonl")).last();
    assert_eq!(choice["n"], 12);
    let dump = String::from_utf8(scene.bytes("choices.jsonl")).unwrap();
    assert!(dump.starts_with("{\"answer\":\"A\",\"id\":0,\"probabilities\":{\"A\":"), "{dump}");
}

/// The temperature goes into an adapter that is the same otherwise, and shares are by it unless another is given.
#[test]
fn an_adapter_keeps_the_temperature_that_was_fitted() {
    let scene = Scene::new();
    scene.done("train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf");
    let calibrate = format!("{CALIBRATE} --data label.jsonl --adapter read.gguf");
    let fitted =
        scene.done(&format!("{calibrate} --task label --out tempered.gguf")).last()["temperature"].clone();
    let ask = |arguments: &str| {
        scene.done(&format!("classify --model tiny.gguf --threads 1 --text up --json {arguments}")).last()
    };
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5;
    let tempered = ask("--adapter tempered.gguf");
    assert!(near(&tempered["temperature"], &fitted), "{tempered} at {fitted}");
    let by_hand = ask(&format!("--adapter read.gguf --temperature {}", tempered["temperature"]));
    assert_eq!(tempered["labels"], by_hand["labels"]);
    let plain = ask("--adapter read.gguf");
    assert_eq!(plain["temperature"], 1.0);
    assert_eq!(ask("--adapter tempered.gguf --temperature 1")["labels"], plain["labels"]);
    assert!(!near(&plain["share"], &tempered["share"]), "{plain} and {tempered}");
    scene.fails(2, &format!("{calibrate} --task label --out read.gguf"), &["read.gguf", "--adapter"]);
    scene.fails(2, &format!("{CALIBRATE} --task choice --data choice.jsonl --out t.gguf"), &["--adapter"]);
}

/// Several reasonings about each question: a function of the seed, one of which is a single sample.
#[test]
fn several_reasonings_about_each_question_are_judged() {
    let scene = Scene::new();
    for task in ["label", "choice"] {
        let line = format!("{CALIBRATE} --task {task} --data {task}.jsonl --max-tokens 5");
        let judge = |more: &str| {
            let ran = scene.run_with(&format!("{line} {more}"), &["--cue", "=\n"]);
            assert_eq!(ran.code, 0, "{}", ran.shown());
            ran.last()["best_of"].clone()
        };
        let found = judge("--best-of 5 --candidates candidates.jsonl");
        let at = found["at"].as_array().unwrap();
        assert_eq!(at.iter().map(|at| at["k"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4, 5]);
        for at in at {
            has_keys(at, &["k", "n", "confidence", "single", "majority", "soft_vote", "oracle"]);
            assert_eq!((&at["n"], &at["single"]), (&12.into(), &found["at"][0]["single"]));
        }
        for name in ["confidence", "majority", "soft_vote", "oracle"] {
            assert_eq!(at[0][name], at[0]["single"], "{task}, {name}: {found}");
        }
        let dump = String::from_utf8(scene.bytes("candidates.jsonl")).unwrap();
        let lines: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), lines[0]["candidates"].as_array().unwrap().len()), (12, 5));
        assert!(
            lines.iter().any(|line| line["candidates"][0] != line["candidates"][1]),
            "{task}: all the same"
        );
        // The same seed draws the same, and candidates do not depend on how many there are.
        assert_eq!(judge("--best-of 5"), found);
        assert_eq!(judge("--best-of 1")["at"][0], at[0]);
        judge("--best-of 5 --seed 1 --candidates others.jsonl");
        assert_ne!(scene.bytes("others.jsonl"), scene.bytes("candidates.jsonl"));
        let by_token = judge("--best-of 5 --conf-at token");
        assert_eq!(by_token["at"][0]["single"], at[0]["single"]);
        assert!(by_token["at"][2]["k"] == 5 && by_token["dependence"].is_null());
    }
    let label = format!("{CALIBRATE} --task label --data label.jsonl");
    scene.fails(2, &format!("{label} --max-tokens 3"), &["--best-of"]);
    scene.fails(2, &format!("{label} --best-of 65"), &["--best-of"]);
}

#[test]
fn what_cannot_be_calibrated_is_refused_and_nothing_is_lost() {
    let scene = Scene::new();
    scene.fails(
        2,
        &format!("{CALIBRATE} --task lm --data lm.jsonl"),
        &["--task lm", "label, choice or pair"],
    );
    let before = scene.bytes("label.jsonl");
    let over = format!("{CALIBRATE} --task choice --data choice.jsonl --dump label.jsonl");
    scene.fails(2, &over, &["--dump", "label.jsonl"]);
    assert_eq!(scene.bytes("label.jsonl"), before);
    scene.write(
        "few.jsonl",
        "{\"id\": 0, \"probabilities\": {\"down\": 0.5, \"up\": 0.5}, \"answer\": \"up\"}\n",
    );
    let label = format!("{CALIBRATE} --task label --data label.jsonl");
    scene.fails(3, &format!("{label} --against few.jsonl"), &["few.jsonl", "1 items", "12"]);
    for (line, says) in [
        ("{\"id\": 0}", "probabilities"),
        ("{\"id\": 0, \"probabilities\": {\"up\": 2.0}, \"answer\": \"up\"}", "2"),
        ("{\"id\": 0, \"probabilities\": {\"up\": 1.0}, \"answer\": \"no\"}", "none of the options"),
        ("{\"id\": 0, \"probabilities\": {\"left\": 1.0}, \"answer\": \"left\"}", "no option"),
    ] {
        scene.write("few.jsonl", line);
        scene.fails(3, &format!("{label} --against few.jsonl"), &["few.jsonl, line 1", says]);
    }
    scene.fails(4, &format!("{label} --budget 4MiB"), &["MiB"]);
}

/// Pairs that share prompt and right answer are one question with several wrong answers.
#[test]
fn pairs_of_one_question_are_one_item() {
    let scene = Scene::new();
    let pair = |prompt: &str, chosen: &str, rejected: &str| {
        format!(r#"{{"prompt": "{prompt}", "chosen": "{chosen}", "rejected": "{rejected}"}}"#)
    };
    let lines = [
        pair("one? ", "yes", "no"),
        pair("one? ", "yes", "maybe"),
        pair("one? ", "no", "maybe"),
        pair("two? ", "no", "yes"),
        pair("two? ", "no", "never"),
        pair("two? ", "no", "ever"),
    ];
    scene.write("pairs.jsonl", &lines.join("\n"));
    // Whatever the batch: a question may begin in one and end in the next.
    for batch in [1, 2, 8] {
        let line = format!("{CALIBRATE} --task pair --data pairs.jsonl --batch {batch} --dump pairs.dump");
        let found = scene.done(&line).last();
        assert_eq!(found["n"], 3, "{found}");
        let dump = String::from_utf8(scene.bytes("pairs.dump")).unwrap();
        let items: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let options = |item: &Value| item["probabilities"].as_object().unwrap().len();
        assert_eq!(items.iter().map(options).collect::<Vec<_>>(), [3, 2, 4]);
        assert!(items.iter().all(|item| item["answer"] == "A"));
    }
    let line = format!("{CALIBRATE} --task pair --data pairs.jsonl --best-of 2 --max-tokens 4");
    scene.fails(2, &line, &["--best-of", "--task pair"]);
    // Two options are what `eval` judges.
    scene.write("one.jsonl", &lines[2]);
    let judged = scene.done("eval --model tiny.gguf --task pair --data one.jsonl --threads 1 --json").last();
    let found = scene.done(&format!("{CALIBRATE} --task pair --data one.jsonl")).last();
    assert_eq!(found["accuracy"], judged["accuracy"]);
    let [nll, loss] = [&found["nll"], &judged["loss"]].map(|value| value.as_f64().unwrap());
    assert!((nll - loss).abs() < 1e-5, "{nll} and {loss}");
}
