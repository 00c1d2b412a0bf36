//! `train --from`: steps that begin with an adapter that is there.

use crate::scene::{Scene, has_keys, number};

const READ: &str =
    "train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf --json";
const GO_ON: &str = "train --model tiny.gguf --task label --data label.jsonl --eval-data label.jsonl --threads 1 --json \
                     --from read.gguf";

#[test]
fn steps_go_on_from_a_read_out() {
    let scene = Scene::new();
    let read = scene.done(&format!("{READ} --eval-data label.jsonl")).last();
    for kind in ["lora", "lora-xs", "b-only"] {
        let line = |lr: &str| {
            format!("{GO_ON} --estimator reverse --adapter-kind {kind} --steps 3 --lr {lr} --out {kind}.gguf")
        };
        // Standing still, it is the read-out.
        let still = scene.done(&line("0")).last();
        for key in ["eval_before", "eval_after"] {
            let near =
                |field: &str| (number(&still[key], field) - number(&read["eval_after"], field)).abs() < 1e-4;
            assert!(near("accuracy") && near("loss"), "{kind} {key}: {still} for {read}");
        }
        let moved = scene.done(&line("0.001")).last();
        assert_ne!(moved["eval_after"]["loss"], moved["eval_before"]["loss"], "{kind}");
        let judged =
            format!("eval --model tiny.gguf --adapter {kind}.gguf --task label --data label.jsonl --json");
        let judged = scene.done(&judged).last();
        assert!((number(&judged, "loss") - number(&moved["eval_after"], "loss")).abs() < 1e-5, "{kind}");
    }
}

#[test]
fn a_warm_start_holds_its_budget_and_its_checkpoint() {
    let scene = Scene::new();
    scene.done(READ);
    let line = |out: &str| {
        format!("{GO_ON} --estimator auto --steps 6 --targets q,down --checkpoint-every 2 --out {out}.gguf")
    };
    let straight = scene.done(&line("a"));
    let (first, done) = (straight.events()[0].clone(), straight.last());
    assert_eq!(first["estimator"], "reverse", "{first}");
    has_keys(&done, &["plan_bytes"]);
    let plan = number(&done, "plan_bytes");
    let exact = scene.done(&format!("{} --budget {plan}", line("b"))).last();
    assert!(number(&exact, "peak_rss_bytes") <= plan, "{exact}");
    assert!(scene.bytes("a.gguf") == scene.bytes("b.gguf"), "the budget changed the adapter");

    let (mut child, lines) = scene.start(&line("c"));
    for line in lines {
        if line.unwrap().contains(r#""event":"step","#) && scene.has("c.gguf.ckpt") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    scene.done(&format!("{} --resume", line("c")));
    assert!(scene.bytes("a.gguf") == scene.bytes("c.gguf"), "the adapters differ");
}

#[test]
fn what_cannot_be_gone_on_from_is_refused() {
    let scene = Scene::new();
    scene.done(READ);
    let line = format!("{GO_ON} --estimator reverse --steps 2");
    scene.fails(2, &format!("{line} --out read.gguf"), &["--out", "--from", "name another"]);
    scene.fails(
        2,
        &format!("{line} --estimator readout").replace("--estimator reverse --steps 2 ", ""),
        &["--from"],
    );
    scene.model("other.gguf", 2);
    scene.fails(3, &line.replace("tiny.gguf", "other.gguf"), &["read.gguf", "digest"]);
    scene.fails(3, &line.replace("read.gguf", "label.jsonl"), &["label.jsonl"]);
    // A checkpoint of a run that began elsewhere is another run's.
    scene.done(&format!("{line} --out next.gguf"));
    let (mut child, lines) =
        scene.start(&format!("{GO_ON} --estimator reverse --steps 100000 --checkpoint-every 1"));
    for line in lines {
        if line.unwrap().contains(r#""step":3"#) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let other = GO_ON.replace("read.gguf", "next.gguf");
    scene.fails(
        3,
        &format!("{other} --estimator reverse --steps 100000 --resume"),
        &["went on from has changed"],
    );
}
