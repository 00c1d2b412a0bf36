//! What is wrong with the command line or a file is named, and nothing is lost.

use crate::scene::Scene;
use sprig_engine::gguf::{Mapped, Synthetic};

const TRAIN: &str =
    "train --model tiny.gguf --task lm --raw --data lm.jsonl --steps 1 --out a.gguf --threads 1";

#[test]
fn a_model_that_is_not_there_or_no_model_is_named() {
    let scene = Scene::new();
    let whole = scene.bytes("tiny.gguf");
    scene.write("text.gguf", "Once upon a time there was a file that was no model.\n".repeat(9).as_str());
    scene.write("empty.gguf", "");
    let cuts = [10, 300, whole.len() / 2, whole.len() - 1];
    for cut in cuts {
        std::fs::write(scene.path(&format!("cut{cut}.gguf")), &whole[..cut]).unwrap();
    }
    for command in [
        "plan",
        "train --task lm --raw --data lm.jsonl --out a.gguf",
        "eval --task lm --raw --data lm.jsonl",
        "infer --prompt a",
    ] {
        scene.fails(5, &format!("{command} --model nowhere.gguf"), &["nowhere.gguf", "No such file"]);
        scene.fails(3, &format!("{command} --model text.gguf"), &["text.gguf", "not a GGUF file"]);
        scene.fails(3, &format!("{command} --model empty.gguf"), &["empty.gguf"]);
        for cut in cuts {
            scene.fails(3, &format!("{command} --model cut{cut}.gguf"), &[&format!("cut{cut}.gguf"), "byte"]);
        }
    }
    assert!(!scene.has("a.gguf"));
}

/// A tokenizer that lists more tokens than the model has logits for: fine, until one of them is an answer.
#[test]
fn answers_that_the_model_has_no_logits_of_are_named() {
    let scene = Scene::new();
    // The last merge, and so the last of 291 tokens, is " m"; the embedding ends before it.
    let mut bytes = Synthetic { vocab: 291, ..Synthetic::tiny() }.bytes().unwrap();
    let name = b"token_embd.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len();
    let rows = at + 4 + 8; // after the number of dimensions and the first of them
    assert_eq!(bytes[rows..rows + 8], 291u64.to_le_bytes());
    bytes[rows..rows + 8].copy_from_slice(&290u64.to_le_bytes());
    std::fs::write(scene.path("short.gguf"), bytes).unwrap();
    scene.write("m.jsonl", "{\"text\": \"b\", \"label\": \"m\"}\n{\"text\": \"c\", \"label\": \"t\"}\n");
    let line = "--model short.gguf --threads 1";
    let records = "--task label --raw --label-tokens m=m --data m.jsonl";
    let words = ["token 290", "290 rows"];
    scene.fails(3, &format!("eval {line} {records}"), &words);
    scene.fails(3, &format!("train {line} {records} --steps 1 --out a.gguf"), &words);
    let words = ["token id 290", "logits for ids below 290", "another model file"];
    scene.fails(3, &format!("infer {line} --raw --prompt a --choices m,t"), &words);
    scene.done(&format!("infer {line} --raw --prompt a --choices s,t"));
}

#[test]
fn data_errors_name_file_and_line() {
    let scene = Scene::new();
    let good = r#"{"prompt": "a", "completion": "b"}"#;
    scene.write("json.jsonl", &format!("{good}\n{good}\n{{\"prompt\": \"a\", \"completion\": \n{good}\n"));
    scene.write("empty.jsonl", "");
    scene.write("blank.jsonl", "\n\n  \n");
    scene.write("type.jsonl", "{\"prompt\": 3, \"completion\": \"b\"}\n");
    scene.write("unheard.jsonl", "{\"text\": \"a\", \"label\": \"sideways\"}\n");
    std::fs::write(scene.path("latin.jsonl"), b"{\"text\": \"caf\xe9\"}\n").unwrap();
    let with = |file: &str, task: &str| {
        [
            TRAIN.replace("lm.jsonl", file).replace("--task lm --raw", &format!("--task {task}")),
            format!("eval --model tiny.gguf --threads 1 --data {file} --task {task}"),
        ]
    };
    let cases: [(i32, &str, &str, &[&str]); 9] = [
        (5, "nowhere.jsonl", "lm", &["nowhere.jsonl", "No such file"]),
        (3, "json.jsonl", "lm", &["json.jsonl:3:", "JSON"]),
        (3, "lm.jsonl", "label", &["lm.jsonl:1:", "{\"text\", \"label\"}", "--task lm"]),
        (3, "label.jsonl", "choice", &["label.jsonl:1:", "{\"question\", \"choices\", \"answer\"}"]),
        (3, "choice.jsonl", "lm", &["choice.jsonl:1:", "{\"prompt\", \"completion\"} or {\"text\"}"]),
        (3, "empty.jsonl", "lm", &["empty.jsonl", "no records"]),
        (3, "blank.jsonl", "label", &["blank.jsonl", "no records"]),
        (3, "type.jsonl", "lm", &["type.jsonl:1:", "\"prompt\"", "found a number"]),
        (3, "latin.jsonl", "lm", &["latin.jsonl:1:", "UTF-8"]),
    ];
    for (code, file, task, words) in cases {
        for line in with(file, task) {
            scene.fails(code, &line, words);
        }
    }
    scene.fails(
        3,
        "train --model tiny.gguf --task label --data label.jsonl --eval-data unheard.jsonl --out a.gguf",
        &["unheard.jsonl:1:", "sideways", "down, up"],
    );
    assert!(!scene.has("a.gguf"));
}

#[test]
fn a_wrong_command_line_is_refused_by_the_flag_that_is_wrong() {
    let scene = Scene::new();
    let cases: [(&str, &[&str]); 16] = [
        ("--targets q,x", &["\"x\"", "q, k, v, o, gate, up or down", "--targets"]),
        ("--targets=", &["--targets"]),
        ("--layers 0..9", &["0..9", "0..3"]),
        ("--layers 2..2", &["2..2", "FROM..TO"]),
        ("--layers 3..1", &["3..1", "FROM..TO"]),
        ("--rank 65", &["65", "rank"]),
        ("--rank 9999", &["9999", "--rank"]),
        ("--budget 12Q", &["12Q", "--budget"]),
        ("--nonsense 1", &["--nonsense"]),
        ("--len 1", &["--len", "1"]),
        ("--batch 0", &["--batch", "0"]),
        ("--alpha 0", &["alpha", "0"]),
        ("--alpha NaN", &["alpha", "NaN"]),
        ("--dropout 1", &["--dropout", "1", "from 0 up to, but not, 1"]),
        ("--dropout -0.1", &["--dropout", "-0.1", "from 0 up to, but not, 1"]),
        ("--threads 0", &["--threads", "0"]),
    ];
    for (flag, words) in cases {
        scene.fails(2, &format!("plan --model tiny.gguf {flag}"), words);
        if !flag.starts_with("--threads") {
            scene.fails(2, &format!("{TRAIN} {flag}"), words);
        }
    }
    for (flag, words) in [
        ("--lr NaN", ["lr", "NaN"]),
        ("--lr inf", ["lr", "inf"]),
        ("--lr -1", ["--lr", "-1"]),
        ("--steps 0", ["--steps", "0"]),
    ] {
        scene.fails(2, &format!("{} {flag}", TRAIN.replace("--steps 1 ", "")), &words);
    }
    let bare = scene.run("");
    assert!(bare.code == 2 && bare.err.contains("Usage"), "{}", bare.shown());
    scene.fails(2, "fly", &["fly"]);
    scene.fails(2, "train --model tiny.gguf --data lm.jsonl", &["--task"]);
    assert!(!scene.has("a.gguf") && !scene.has("adapter.gguf"));
    assert!(scene.done("--help").out.contains("train") && scene.done("--version").out.starts_with("sprig "));
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_training() {
    let scene = Scene::new();
    let line = TRAIN.replace("a.gguf", "nowhere/a.gguf");
    let ran = scene.fails(5, &format!("{line} --json"), &["nowhere"]);
    assert_eq!(ran.out, "", "nothing was planned or trained");
    let ran = scene.fails(5, &format!("{TRAIN} --json --run nowhere/run.json"), &["cannot write in nowhere"]);
    assert_eq!(ran.out, "", "nothing was planned or trained");
}

#[test]
fn an_adapter_of_another_base_or_a_file_that_is_none_is_refused() {
    let scene = Scene::new();
    scene.model("other.gguf", 2);
    scene.done(TRAIN);
    let digest = |name: &str| Mapped::open(scene.path(name)).unwrap().digest_hex().unwrap();
    let (own, other) = (digest("tiny.gguf"), digest("other.gguf"));
    let whole = scene.bytes("a.gguf");
    std::fs::write(scene.path("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    scene.write("text.gguf", "no adapter at all");
    for command in ["eval --task lm --raw --data lm.jsonl", "infer --prompt a"] {
        scene.fails(3, &format!("{command} --model other.gguf --adapter a.gguf"), &["a.gguf", &own, &other]);
        for (code, file) in [(5, "nowhere.gguf"), (3, "cut.gguf"), (3, "text.gguf"), (3, "tiny.gguf")] {
            scene.fails(code, &format!("{command} --model tiny.gguf --adapter {file}"), &[file]);
        }
    }
    scene.fails(3, "infer --prompt a --model a.gguf", &["a.gguf"]);
}

#[test]
fn a_prompt_has_to_fit_the_context_and_to_be_there() {
    let scene = Scene::new();
    let prompt = "xyz".repeat(200);
    let ran = scene.run_with("infer --model tiny.gguf --raw --max-tokens 4 --prompt", &[&prompt]);
    assert!(ran.code == 2 && ["600", "512"].iter().all(|n| ran.err.contains(n)), "{}", ran.shown());
    let ran = scene.run_with("infer --model tiny.gguf --raw --prompt", &[""]);
    assert!(ran.code == 2 && ran.err.contains("--prompt"), "{}", ran.shown());
    // All of the context, to the last token.
    let prompt = "x".repeat(500);
    let ran = scene.run_with("infer --model tiny.gguf --raw --max-tokens 12 --json --prompt", &[&prompt]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn a_record_that_is_none_makes_no_report() {
    let scene = Scene::new();
    scene.write("garbage.json", "{\"version\": 1, \"steps\": [oops");
    scene.write("other.json", "{\"a\": 1}");
    scene.write("report.html", "an older page");
    scene.fails(3, "report garbage.json", &["garbage.json"]);
    scene.fails(3, "report other.json", &["other.json"]);
    scene.fails(3, "report tiny.gguf", &["tiny.gguf"]);
    scene.fails(5, "report nowhere.json", &["nowhere.json"]);
    assert_eq!(scene.bytes("report.html"), b"an older page");
}

#[test]
fn an_instruction_set_that_this_machine_lacks_is_refused_and_scalar_code_gives_the_same() {
    let scene = Scene::new();
    let line = "infer --model tiny.gguf --raw --max-tokens 3 --json --prompt abc";
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    for name in ["sse9", foreign] {
        for line in [line, TRAIN, "eval --model tiny.gguf --task lm --raw --data lm.jsonl"] {
            let ran = scene.command(line).env("SPRIG_ISA", name).output().unwrap();
            let told = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(2), "{line}: {told}");
            assert!([name, "scalar"].iter().all(|word| told.contains(word)), "{told}");
        }
    }
    let logits = |isa: &str| {
        let ran = scene.command(line).env("SPRIG_ISA", isa).output().unwrap();
        let last = String::from_utf8(ran.stdout).unwrap();
        serde_json::from_str::<serde_json::Value>(&last).unwrap()["top_logits"].clone()
    };
    assert_eq!(logits("scalar"), logits(""));
}

#[test]
fn a_model_with_tensors_that_are_not_computed_with_is_refused() {
    let scene = Scene::new();
    let bias = [0.5f32; 64];
    let writer = Synthetic::tiny().writer().unwrap().tensor_f32("blk.0.attn_q.bias", &[64], &bias);
    writer.write_atomic(scene.path("biased.gguf")).unwrap();
    for command in [
        "train --task lm --raw --data lm.jsonl --out a.gguf",
        "eval --task lm --raw --data lm.jsonl",
        "infer --prompt a",
    ] {
        scene.fails(3, &format!("{command} --model biased.gguf"), &["biased.gguf", "`blk.0.attn_q.bias`"]);
    }
}
