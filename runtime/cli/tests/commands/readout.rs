//! `train --estimator readout`: one pass, sums that can be added to, and an adapter that answers.

use crate::scene::{Scene, has_keys, model, number};

const LINE: &str = "train --estimator readout --model tiny.gguf --task label --data label.jsonl --json";

/// The sums of a file of two classes and 128 directions, without the header that names the data and the sample.
fn sums(scene: &Scene, name: &str) -> Vec<u8> {
    let bytes = scene.bytes(name);
    let header = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let numbers = 2 + 2 * 128 + 128 * 129 / 2;
    bytes[16 + header..][..8 * numbers].to_vec()
}

#[test]
fn a_read_out_says_what_it_did_and_holds_the_budget_of_its_plan() {
    let scene = Scene::new();
    let ran = scene.done(&format!("{LINE} --eval-data label.jsonl --out a.gguf --run a.json"));
    let record: serde_json::Value = serde_json::from_slice(&scene.bytes("a.json")).unwrap();
    assert_eq!(record["eval_after"]["answered"], 1.0, "{record}");
    let done = ran.last();
    has_keys(
        &done,
        &["estimator", "why", "passes", "train_seconds", "eval_accuracy_before", "eval_accuracy_after"],
    );
    assert_eq!((&done["estimator"], &done["passes"]), (&"readout".into(), &12.into()), "{done}");
    assert!(number(&done, "eval_accuracy_after") > number(&done, "eval_accuracy_before"), "{done}");
    assert_eq!(number(&done["eval_after"], "answered"), 1.0, "{done}");
    let plan = number(&done, "plan_bytes");
    let exact = scene.done(&format!("{LINE} --out b.gguf --eval-data label.jsonl --budget {plan}")).last();
    assert!(number(&exact, "peak_rss_bytes") <= plan, "{exact}");
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "the budget changed the adapter");
    let judged =
        scene.done("eval --model tiny.gguf --adapter a.gguf --task label --data label.jsonl --json").last();
    assert_eq!(judged["accuracy"], done["eval_accuracy_after"]);
}

#[test]
fn neither_threads_nor_passes_nor_residency_change_a_bit() {
    let scene = Scene::new();
    scene.done(&format!("{LINE} --threads 1 --out a.gguf"));
    for more in ["--threads 3", "--batch 1", "--batch 5", "--weights streamed"] {
        scene.done(&format!("{LINE} --out b.gguf {more}"));
        assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "{more} changed the adapter");
        assert!(scene.bytes("a.gguf.sums") == scene.bytes("b.gguf.sums"), "{more} changed the sums");
    }
}

#[test]
fn sums_that_were_added_to_are_those_of_all_examples_together() {
    let scene = Scene::new();
    let all = String::from_utf8(scene.bytes("label.jsonl")).unwrap();
    let (first, second): (Vec<_>, Vec<_>) = all.lines().enumerate().partition(|(i, _)| *i < 5);
    let text = |lines: Vec<(usize, &str)>| {
        lines.into_iter().map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    scene.write("first.jsonl", &text(first));
    scene.write("second.jsonl", &text(second));
    let line = |data: &str, out: &str| LINE.replace("label.jsonl", data) + " --out " + out;
    scene.done(&line("label.jsonl", "all.gguf"));
    scene.done(&line("second.jsonl", "a.gguf"));
    let done = scene.done(&format!("{} --add-to a.gguf.sums", line("first.jsonl", "a.gguf"))).last();
    assert_eq!((&done["examples"], &done["passes"]), (&12.into(), &5.into()), "{done}");
    assert!(sums(&scene, "a.gguf.sums") == sums(&scene, "all.gguf.sums"));

    let twice = format!("{} --add-to a.gguf.sums", line("first.jsonl", "b.gguf"));
    scene.fails(2, &twice, &["count twice"]);
    let other = format!("{} --add-to a.gguf.sums --template", line("label.jsonl", "b.gguf"));
    let other = scene.run_with(&other, &["Say: {text}, which is"]);
    assert!(other.code == 3 && other.err.contains("asked in other words"), "{}", other.shown());
    scene.fails(3, &format!("{LINE} --out b.gguf --add-to label.jsonl"), &["label.jsonl", "holds no sums"]);
}

#[test]
fn a_read_out_that_is_killed_goes_on_bit_for_bit() {
    let scene = Scene::new();
    let lines: Vec<_> = (0..400)
        .map(|i| {
            format!(r#"{{"text": "the {0} side of street {i}", "label": "{0}"}}"#, ["down", "up"][i % 2])
        })
        .collect();
    scene.write("label.jsonl", &lines.join("\n"));
    let line = |out: &str| format!("{LINE} --batch 2 --checkpoint-every 3 --out {out}.gguf");
    let straight = scene.done(&line("a")).last();
    let (mut child, lines) = scene.start(&line("b"));
    let read = lines.filter(|line| line.as_ref().unwrap().contains(r#""event":"read""#));
    assert_eq!(read.take(20).count(), 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(scene.has("b.gguf.ckpt") && !scene.has("b.gguf"));
    scene.fails(3, &format!("{LINE} --out c.gguf --add-to b.gguf.ckpt"), &["b.gguf.ckpt", "--resume"]);
    // What is resumed is the read-out, whoever chooses.
    let resumed = scene.done(&format!("{} --resume", line("b").replace("readout", "auto"))).events();
    assert_eq!(
        (&resumed[0]["estimator"], &resumed[0]["why"]),
        (&"readout".into(), &"made the checkpoint".into())
    );
    let from = resumed.iter().find(|event| event["event"] == "resumed").unwrap();
    assert!(number(from, "examples") >= 36.0, "{from}");
    assert_eq!(resumed.last().unwrap()["examples"], straight["examples"]);
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "the adapters differ");
    assert!(scene.bytes("a.gguf.sums") == scene.bytes("b.gguf.sums"), "the sums differ");
    assert!(!scene.has("b.gguf.ckpt"));
}

#[test]
fn what_a_read_out_cannot_learn_is_refused() {
    let scene = Scene::new();
    let line = LINE.replace(" --json", "");
    scene.fails(2, &format!("{line} --task lm").replace("--task label ", ""), &["--task label", "readout"]);
    scene.fails(2, &format!("{line} --labels down,up,left"), &["left", "has 0"]);
    let one = r#"{"text": "one", "label": "up"}"#;
    scene.write("label.jsonl", &format!("{one}\n{}", one.replace("one", "two")));
    scene.fails(2, &format!("{line} --labels down,up"), &["same answer"]);
    scene.write("label.jsonl", &format!("{one}\n{}", one.replace("up", "down")));
    scene.fails(2, &line, &["down", "has 1", "2 or more"]);
    scene.write("label.jsonl", &one.replace('}', r#", "weight": 2}"#));
    scene.fails(2, &format!("{line} --labels down,up"), &["weights"]);
    let tight = scene.fails(
        4,
        "plan --estimator readout --task label --model tiny.gguf --budget 1MiB",
        &["--budget"],
    );
    assert!(tight.out.contains("read-out's sums"), "{}", tight.shown());
}

#[test]
fn choices_are_learnt_likewise() {
    let scene = Scene::new();
    let line = "train --estimator readout --model tiny.gguf --task choice --data choice.jsonl --eval-data choice.jsonl --json";
    let done = scene.done(line).last();
    assert_eq!(number(&done["eval_after"], "answered"), 1.0, "{done}");
}

/// Twenty-four texts about two things, of which eight are held out.
#[test]
fn the_real_model_learns_from_few_examples_in_less_than_half_its_size() {
    let (scene, model) = (Scene::new(), model());
    let food = [
        "soup", "bread", "cheese", "an apple", "rice", "noodles", "a pie", "salad", "beans", "fish", "cake",
        "jam",
    ];
    let tools = [
        "a hammer", "nails", "a saw", "pliers", "a drill", "screws", "a wrench", "an axe", "a file", "glue",
        "a rope", "a ladder",
    ];
    let line = |(i, (thing, label)): (usize, (&str, &str))| {
        format!(
            r#"{{"text": "{} {thing} today", "label": "{label}"}}"#,
            ["We had", "They brought", "I saw"][i % 3]
        )
    };
    let pairs: Vec<_> =
        food.iter().zip(&tools).flat_map(|(f, t)| [(*f, "kitchen"), (*t, "garage")]).collect();
    let lines: Vec<String> = pairs.into_iter().enumerate().map(line).collect();
    scene.write("train.jsonl", &lines[..16].join("\n"));
    scene.write("held.jsonl", &lines[16..].join("\n"));
    let command = "train --estimator readout --task label --data train.jsonl --eval-data held.jsonl --budget 44MiB --threads 2 \
                   --json --out a.gguf --model";
    let ran = scene.run_with(command, &[model.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let done = ran.last();
    assert!(number(&done, "eval_accuracy_after") >= 0.75, "{done}");
    assert_eq!(number(&done["eval_after"], "answered"), 1.0, "{done}");
    assert!(number(&done, "peak_rss_bytes") <= f64::from(44 << 20), "{done}");
}
