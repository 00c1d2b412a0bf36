//! The cycle of mining and learning: what it reports, that it goes on bit for bit, and what is refused.

use crate::scene::{Scene, has_keys, model, number};
use serde_json::Value;

const RUN: &str = "lookalike --model tiny.gguf --threads 1 --families FADD,LIN- --items 12 --dev 2 --test 3 --samples 2 \
                   --cycles 2 --supervised-steps 6 --preference-steps 4 --batch 2 --len 256 --lr 0.02 --watch-every 5 --json";

fn events<'e>(events: &'e [Value], name: &'e str) -> impl Iterator<Item = &'e Value> {
    events.iter().filter(move |event| event["event"] == name)
}

#[test]
fn every_schedule_runs_and_reports() {
    let scene = Scene::new();
    for (schedule, minings) in [("a", 2), ("b", 1), ("c", 1), ("joint", 1), ("once", 1), ("sft", 0)] {
        // An untrained model says nothing that parses: what it is shown is drawn.
        let line = format!(
            "{RUN} --schedule {schedule} --negatives random --out {schedule}.gguf --run {schedule}.json"
        );
        let ran = scene.done(&line);
        let all = ran.events();
        assert_eq!(events(&all, "step").count(), 20, "{schedule}");
        assert_eq!(events(&all, "mined").count(), minings, "{schedule}");
        let done = ran.last();
        let keys =
            ["event", "t1_exact", "t2_exact", "t1_swap", "cyc_m", "key", "parse", "mined", "peak_rss_bytes"];
        has_keys(&done, &keys);
        assert_eq!(done["event"], "done");
        assert!(number(&done, "peak_rss_bytes") <= number(&done, "budget_bytes"), "{done}");
        let record: Value = serde_json::from_slice(&scene.bytes(&format!("{schedule}.json"))).unwrap();
        has_keys(
            &record,
            &["settings", "manifest", "phases", "mined", "pairs", "scores", "watched", "items"],
        );
        assert_eq!(record["settings"]["schedule"], schedule);
        assert!(scene.has(&format!("{schedule}.gguf")) && !scene.has(&format!("{schedule}.gguf.ckpt")));
        // h = 0 where preferences begin against the model as it is.
        if schedule == "a" {
            let first = events(&all, "step").find(|step| step["goal"] == "preferred").unwrap();
            assert!((number(first, "loss") - std::f64::consts::LN_2).abs() < 1e-5, "{first}");
            let pairs = String::from_utf8(scene.bytes("a.gguf.pairs")).unwrap();
            assert_eq!(pairs.lines().count() as u64, 8);
            // They are records of task pair.
            scene.done("eval --model tiny.gguf --task pair --raw --len 256 --data a.gguf.pairs --json");
        }
    }
    // The adapter is one of records of task lm, and may be gone on from.
    // Results may be written over earlier ones of their kind, and over nothing else.
    for from in ["a.gguf", "b.gguf"] {
        let line = format!("{RUN} --schedule sft --from {from} --out on.gguf --run on.json --dump on.jsonl");
        assert_eq!(scene.done(&line).last()["event"], "done");
    }
    let line = format!("{RUN} --schedule joint --preference-lr 0.001 --out on.gguf");
    scene.fails(2, &line, &["--preference-lr", "--schedule joint", "--lr"]);
    scene.fails(2, &format!("{RUN} --out on.gguf --dump choice.jsonl"), &["--dump", "data records"]);
}

#[test]
fn gold_answers_are_learnt_and_the_page_shows_them() {
    let scene = Scene::new();
    let line = RUN.replace("--supervised-steps 6", "--supervised-steps 60");
    let ran = scene.done(&format!(
        "{line} --schedule once --negatives swapped --dump answers.jsonl --page page.html --out a.gguf"
    ));
    let all = ran.events();
    let losses: Vec<f64> =
        events(&all, "step").filter(|s| s["goal"] == "supervised").map(|s| number(s, "loss")).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..20]), mean(&losses[losses.len() - 20..]));
    assert!(last < first - 0.5, "{first} to {last}");
    let dump = String::from_utf8(scene.bytes("answers.jsonl")).unwrap();
    assert_eq!(dump.lines().count(), 6);
    for line in dump.lines() {
        let item: Value = serde_json::from_str(line).unwrap();
        has_keys(&item, &["split", "family", "code", "stem", "key", "answer", "answers", "scores"]);
        assert_eq!((&item["scores"]["t1"], &item["scores"]["t2"]), (&1.into(), &1.into()), "{item}");
    }
    let page = String::from_utf8(scene.bytes("page.html")).unwrap();
    assert!(page.contains("From phase to phase") && page.contains("swap, t1"), "{page}");
}

#[test]
fn a_killed_run_goes_on_bit_for_bit_in_every_phase() {
    let scene = Scene::new();
    let line = format!("{RUN} --schedule a --negatives random --checkpoint-every 1");
    scene.done(&format!("{line} --reference sft --out whole.gguf"));
    let (mut stops, mut at) = (0, 3);
    loop {
        let resume = if stops == 0 { "" } else { "--resume" };
        let (mut child, lines) = scene.start(&format!("{line} --reference sft --out part.gguf {resume}"));
        let (mut steps, mut done) = (0, false);
        for text in lines {
            let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
            steps += u64::from(event["event"] == "step");
            done |= event["event"] == "done";
            if steps == at {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        if done {
            break;
        }
        (stops, at) = (stops + 1, at + 1);
    }
    assert!(stops >= 3, "{stops} stops");
    assert_eq!(scene.bytes("part.gguf"), scene.bytes("whole.gguf"));
    assert_eq!(scene.bytes("part.gguf.pairs"), scene.bytes("whole.gguf.pairs"));
}

/// Untrained, the model says nothing that parses: gold answers are learnt instead, in every schedule that mines once too.
#[test]
fn where_nothing_is_mined_the_run_goes_on() {
    let scene = Scene::new();
    // Pairs of another run lie there.
    scene.write("a.gguf.pairs", "{}");
    for schedule in ["a", "b", "c"] {
        let line = RUN.replace("--supervised-steps 6", "--supervised-steps 1").replace("--lr 0.02", "--lr 0");
        let ran = scene.done(&format!("{line} --schedule {schedule} --out a.gguf"));
        assert_eq!(ran.last()["mined"], 0, "{schedule}");
        assert!(events(&ran.events(), "nothing_mined").count() > 0, "{schedule}");
        assert_eq!(scene.bytes("a.gguf.pairs"), b"");
    }
}

/// What a board does between the rounds of a fleet that learns pairs.
#[test]
fn pairs_are_mined_alone_and_are_data_to_learn_from() {
    let scene = Scene::new();
    let trains = ["--cycles 2", "--supervised-steps 6", "--lr 0.02", "--watch-every 5"];
    let mine = trains.iter().fold(RUN.to_owned(), |line, flag| line.replace(flag, "")) + " --mine-only";
    let done = scene.done(&format!("{mine} --negatives random --out pairs.jsonl")).last();
    assert_eq!((&done["event"], &done["mined"]), (&"done".into(), &8.into()), "{done}");
    let pairs = String::from_utf8(scene.bytes("pairs.jsonl")).unwrap();
    assert_eq!(pairs.lines().count(), 8);
    assert!(number(&done, "peak_rss_bytes") <= number(&done, "budget_bytes"), "{done}");
    let left: Vec<_> = ["pairs", "ckpt", "first"].map(|end| format!("pairs.jsonl.{end}")).to_vec();
    assert!(left.iter().all(|file| !scene.has(file)), "nothing else is written");
    let learn = "train --model tiny.gguf --task pair --raw --len 256 --data pairs.jsonl --objective dpo --steps 3 --batch 2 \
                 --threads 1 --estimator reverse --out on.gguf --json";
    assert_eq!(scene.done(learn).last()["event"], "done");
    // Of an adapter, over the pairs of before; as it is, untrained, the model says nothing that parses.
    scene.fails(2, &format!("{mine} --out choice.jsonl"), &["--out", "data records"]);
    let again = scene.done(&format!("{mine} --from on.gguf --out pairs.jsonl"));
    assert_eq!(again.last()["mined"], 0);
    assert_eq!(scene.bytes("pairs.jsonl"), b"");
    for (flag, named) in [("--schedule a", "--schedule"), ("--run r.json", "--run"), ("--resume", "--resume")]
    {
        scene.fails(2, &format!("{mine} --out pairs.jsonl {flag}"), &["--mine-only", named]);
    }
    let none = mine.replace("--preference-steps 4", "--preference-steps 0");
    scene.fails(2, &format!("{none} --out pairs.jsonl"), &["--preference-steps"]);
}

/// The real model, with all tasks and its own answers, in the smallest budget that is named; the weights streamed.
#[test]
fn the_real_model_runs_within_its_smallest_budget() {
    let scene = Scene::new();
    let line = format!(
        "lookalike --model {} --threads 2 --families FADD --tasks t1,t2,t5 --items 4 --dev 1 --test 1 --samples 1 \
         --cycles 1 --supervised-steps 2 --preference-steps 2 --batch 2 --lr 0.002 --watch-every 0 --out a.gguf \
         --ignore-pressure --estimator reverse --json",
        model().display()
    );
    let refused = scene.run(&format!("{line} --budget 8MiB"));
    assert_eq!(refused.code, 4, "{}", refused.shown());
    let smallest = refused.err.split("give --budget ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let done = scene.done(&format!("{line} --budget {smallest}")).last();
    let [peak, budget] = ["peak_rss_bytes", "budget_bytes"].map(|key| number(&done, key));
    assert_eq!(budget.to_string(), smallest);
    assert!(peak <= budget, "{peak} of {budget}");
    assert!(number(&done, "t5") <= 1.0 && number(&done, "parse") > 0.0, "{done}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let scene = Scene::new();
    let run = |rest: &str| format!("{RUN} --out a.gguf {rest}");
    let families = |list: &str| RUN.replace("FADD,LIN-", list) + " --out a.gguf";
    scene.fails(2, &families("FOO"), &["--families", "FADD"]);
    scene.fails(2, &families("FADD,FADD"), &["each once"]);
    scene.fails(2, &format!("{} --hold-out-family FADD", families("FADD")), &["FADD"]);
    scene.fails(2, &run("--hold-out-error LTR"), &["LTR"]);
    scene.fails(2, &run("--tasks t1,t1"), &["--tasks", "twice"]);
    // Letters have to be tokens: of the tiny model they are not, behind a space.
    scene.fails(2, &run("--tasks t1,t5"), &["letter A", "--tasks"]);
    scene.fails(2, &run("--tasks t5"), &["--tasks t5", "--schedule sft"]);
    scene.fails(4, &run("--budget 1MiB").replace("--items 12", "--items 90000"), &["--items", "--budget"]);
    scene.fails(2, &run("--objective sft"), &["--schedule sft"]);
    scene.fails(2, &run("--estimator readout"), &["--estimator readout"]);
    scene.fails(2, &RUN.replace("--len 256", "--len 24 --out a.gguf"), &["--len"]);
    scene.fails(2, &run("--out label.jsonl").replace("--out a.gguf", ""), &["label.jsonl"]);
    scene.fails(4, &run("--budget 1MiB"), &["--budget"]);
    scene.write("a.gguf.ckpt", "no checkpoint");
    scene.fails(3, &run("--resume"), &["a.gguf.ckpt"]);
    assert!(!scene.has("a.gguf"));
}
