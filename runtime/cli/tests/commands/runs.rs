//! A training as people run it: from a file of settings, judged as often as they say, alone on its output, with a record.

use crate::scene::Scene;
use serde_json::Value;

const TRAIN: &str = "train --model tiny.gguf --task label --data label.jsonl --threads 1 --json";

#[test]
fn a_run_is_judged_every_so_often_and_its_curve_is_in_the_record() {
    let scene = Scene::new();
    for (more, n) in
        [("--eval-data label.jsonl", 12), ("--held-back 4", 4), ("--eval-data label.jsonl --held-back 3", 3)]
    {
        let line = format!("{TRAIN} --steps 6 --eval-every 2 --patience 9 --out a.gguf {more}");
        let events = scene.done(&line).events();
        let judged: Vec<_> = events.iter().filter(|e| e["event"] == "judged").collect();
        let steps: Vec<_> = judged.iter().map(|e| e["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [0, 2, 4, 6], "{more}");
        assert_eq!(judged[0]["result"]["n"], n, "{more}");
        let record: Value = serde_json::from_slice(&scene.bytes("a.gguf.run.json")).unwrap();
        let curve: Vec<_> = record["judged"].as_array().unwrap().iter().map(|j| j["loss"].clone()).collect();
        assert_eq!(curve, judged.iter().map(|e| e["result"]["loss"].clone()).collect::<Vec<_>>());
    }
    // What judges by held-out data sees what the evaluation before training saw.
    let line = format!("{TRAIN} --steps 2 --eval-every 1 --eval-data label.jsonl --out a.gguf");
    let events = scene.done(&line).events();
    let of = |name: &str| events.iter().find(|e| e["event"] == name).unwrap()["result"]["accuracy"].clone();
    assert_eq!(of("judged"), of("eval"));
    scene.fails(
        2,
        &format!("{TRAIN} --steps 2 --eval-every 1 --held-back none"),
        &["--eval-every", "--eval-data"],
    );
}

#[test]
fn a_file_says_what_a_run_is_and_flags_win_over_it() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("sub")).unwrap();
    let file = "model = \"../tiny.gguf\"\ndata = \"../label.jsonl\"\ntask = \"label\"\nsteps = 3\nlr = 0.01\n\
                targets = [\"q\", \"v\"]\nout = \"a.gguf\"\nthreads = 1\njson = true\n";
    scene.write("sub/run.toml", file);
    let done = scene.done("train --config sub/run.toml");
    assert_eq!(done.last()["steps"], 3);
    assert!(scene.has("sub/a.gguf") && scene.has("sub/a.gguf.run.json"));
    let done = scene.done("train --config sub/run.toml --steps 2 --out b.gguf");
    assert_eq!(done.last()["steps"], 2);
    assert!(scene.has("b.gguf"));
    let same = scene.done(&format!("{TRAIN} --steps 3 --lr 0.01 --targets q,v --out c.gguf"));
    assert_eq!(same.last()["loss_last"], scene.done("train --config sub/run.toml").last()["loss_last"]);
    scene.write("bad.toml", "model = \"tiny.gguf\"\nleraning_rate = 1\n");
    scene.fails(2, "train --config bad.toml", &["bad.toml", "leraning_rate", "eval-every"]);
    scene.fails(2, "train --config none.toml", &["none.toml", "No such file"]);
    // The last of a flag that is given twice counts.
    assert_eq!(scene.done(&format!("{TRAIN} --steps 3 --steps 2 --out d.gguf")).last()["steps"], 2);
}

#[test]
fn an_output_is_one_trainings_at_a_time() {
    let scene = Scene::new();
    let (mut child, mut lines) = scene.start(&format!("{TRAIN} --steps 100000 --out a.gguf"));
    lines.find(|line| line.as_ref().unwrap().contains(r#""event":"step""#)).unwrap().unwrap();
    scene.fails(2, &format!("{TRAIN} --steps 1 --out a.gguf"), &["another process", "a.gguf"]);
    scene.done(&format!("{TRAIN} --steps 1 --out b.gguf"));
    child.kill().unwrap();
    child.wait().unwrap();
    // What a killed process leaves claims nothing.
    scene.done(&format!("{TRAIN} --steps 1 --out a.gguf"));
    assert!(!scene.has("a.gguf.lock"));
}

#[test]
fn a_plan_is_of_a_board_that_is_not_here_and_of_the_data() {
    let scene = Scene::new();
    let plan = |more: &str| scene.done(&format!("plan --model tiny.gguf --task label --json {more}")).last();
    let zero = plan("--board raspberry-pi-zero-2-w");
    let of_device = scene.done("device --board raspberry-pi-zero-2-w --json").last();
    assert_eq!(zero["budget_bytes"], of_device["budget"]);
    assert!(zero["estimators"].as_array().unwrap().iter().all(|way| way["step_seconds"].is_null()));
    assert_eq!((&zero["board"], &zero["seconds"]), (&"raspberry-pi-zero-2-w".into(), &Value::Null));
    let here = plan("--data label.jsonl --steps 7");
    assert_eq!(here["batches"], 7);
    let seconds = here["seconds"].as_f64().unwrap();
    let step = here["estimators"].as_array().unwrap().iter().find(|way| way["chosen"] == true).unwrap();
    assert!((seconds / 7.0 - step["step_seconds"].as_f64().unwrap()).abs() < 1e-9);
    let told =
        scene.done("plan --model tiny.gguf --task label --data label.jsonl --board raspberry-pi-4b-2gb").out;
    for words in ["Raspberry Pi 4", "batches: at least", "`sprig profile` measures"] {
        assert!(told.contains(words), "{told}");
    }
    // Of the same seven batches: 57.6 and 153.6 billion operations a second at most.
    let least = ["raspberry-pi-4b-2gb", "raspberry-pi-5-2gb"].map(|board| {
        let there = plan(&format!("--data label.jsonl --steps 7 --board {board}"));
        assert_eq!(there["seconds"], Value::Null);
        there["seconds_at_least"].as_f64().unwrap()
    });
    assert!((least[0] / least[1] - 153.6 / 57.6).abs() < 1e-9, "{least:?}");
    let of_any = plan("--data label.jsonl --steps 7 --board generic-aarch64");
    assert_eq!((&of_any["seconds"], &of_any["seconds_at_least"]), (&Value::Null, &Value::Null));
    scene.fails(2, "plan --model tiny.gguf --board toaster", &["toaster"]);
    scene.fails(3, "plan --model tiny.gguf --task label --data lm.jsonl", &["lm.jsonl:1"]);
}

#[test]
fn a_run_that_was_interrupted_goes_on_for_more_steps() {
    let scene = Scene::new();
    let line = |steps: u32| {
        format!("{TRAIN} --steps {steps} --checkpoint-every 1 --held-back 2 --eval-every 500 --out a.gguf")
    };
    let (mut child, mut lines) = scene.start(&line(1000));
    lines.find(|line| line.as_ref().unwrap().contains(r#""step":3"#)).unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    scene.fails(3, &format!("{} --resume", line(900)), &["steps = 1000"]);
    let (mut child, lines) = scene.start(&format!("{} --resume", line(2000)));
    let events: Vec<String> = lines.map(Result::unwrap).take(12).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(events.iter().any(|e| e.contains(r#""event":"resumed""#)), "{events:?}");
    assert!(events.iter().any(|e| e.contains(r#""steps":2000"#)), "{events:?}");
}
