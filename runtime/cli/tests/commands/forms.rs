//! The forms of data that people have, from the file to an adapter that answers.

use super::scene::Scene;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const LABEL: &str = "--model tiny.gguf --task label --batch 2 --len 250";

/// A table, an array, packed lines and two files train the same adapter as the lines that they hold.
#[test]
fn every_form_of_the_same_records_trains_the_same_adapter() {
    let s = Scene::new();
    let lines = String::from_utf8(s.bytes("label.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cells = |by: &str| -> String {
        let rows = records.iter().map(|r| {
            let cell = |field: &str| r[field].as_str().unwrap().to_owned();
            format!("{}{by}{}\n", cell("label"), cell("text"))
        });
        format!("label{by}text\n") + &rows.collect::<String>()
    };
    s.write("d.csv", &cells(","));
    s.write("d.tsv", &cells("\t"));
    s.write("d.json", &serde_json::to_string_pretty(&records).unwrap());
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(lines.as_bytes()).unwrap();
    std::fs::write(s.path("d.jsonl.gz"), packer.finish().unwrap()).unwrap();
    let (one, two) = lines.split_at(lines.match_indices('\n').nth(5).unwrap().0 + 1);
    s.write("one.jsonl", one);
    s.write("two.jsonl", two);
    s.done(&format!("train {LABEL} --data label.jsonl --steps 3 --out want.gguf"));
    for data in [
        "--data d.csv",
        "--data d.tsv",
        "--data d.json",
        "--data d.jsonl.gz",
        "--data one.jsonl two.jsonl",
        "--data one.jsonl --data two.jsonl",
    ] {
        s.done(&format!("train {LABEL} {data} --steps 3 --out {}", "got.gguf"));
        assert!(s.bytes("got.gguf") == s.bytes("want.gguf"), "{data}");
    }
    s.write("named.csv", &cells(",").replacen("label,text", "Intent,sentence", 1));
    let named = "--text-column sentence --label-column Intent";
    s.done(&format!("train {LABEL} --data named.csv {named} --steps 3 --out got.gguf"));
    assert!(s.bytes("got.gguf") == s.bytes("want.gguf"));
    s.done(&format!("eval {LABEL} --adapter got.gguf --data named.csv {named}"));
    s.fails(
        3,
        &format!("train {LABEL} --data named.csv --steps 3"),
        &[
            "named.csv:2: the columns \"Intent\", \"sentence\"; task label needs",
            "name another by --text-column, name another by --label-column",
        ],
    );
    s.fails(
        3,
        &format!("train {LABEL} --data d.csv --text-column words --steps 3"),
        &["--text-column words is none of them"],
    );
    // None of several files is written over.
    s.fails(
        2,
        &format!("train {LABEL} --data one.jsonl two.jsonl --steps 3 --out two.jsonl"),
        &["--out two.jsonl is the same file as --data"],
    );
    s.fails(5, &format!("train {LABEL} --data one.jsonl nowhere.csv --steps 3"), &["nowhere.csv"]);
}

#[test]
fn tables_are_not_written_over_either() {
    let s = Scene::new();
    s.write("d.csv", "text,label\na,x\nb,y\n");
    s.fails(2, &format!("train {LABEL} --data label.jsonl --steps 3 --out d.csv"), &["d.csv"]);
    assert_eq!(s.bytes("d.csv"), b"text,label\na,x\nb,y\n");
}

#[test]
fn what_is_held_out_depends_on_what_records_say_and_not_on_their_order() {
    let s = Scene::new();
    let lines: Vec<String> = (0..60)
        .map(|i| format!("{{\"text\": \"street {i}\", \"label\": \"{}\"}}", ["down", "up"][i % 2]))
        .collect();
    s.write("a.jsonl", &lines.join("\n"));
    s.write("b.jsonl", &lines.iter().rev().cloned().collect::<Vec<_>>().join("\n"));
    let split = |data: &str, more: &str| {
        let ran = s.done(&format!("train {LABEL} --data {data} --steps 2 --out {data}.gguf --json {more}"));
        let event = |name: &str| {
            ran.events()
                .into_iter()
                .find(|event| event["event"] == name)
                .unwrap_or_else(|| panic!("{}", ran.shown()))
        };
        let split = event("split");
        let judged = ran.events().into_iter().rfind(|event| event["event"] == "eval").unwrap();
        (
            split["train"].as_u64().unwrap(),
            split["held_out"].as_u64().unwrap(),
            judged["result"]["n"].as_u64().unwrap(),
        )
    };
    let (train, held_out, judged) = split("a.jsonl", "--split 25%");
    assert!(
        train + held_out == 60 && judged == held_out && (5..28).contains(&held_out),
        "{train} {held_out}"
    );
    assert_eq!(split("b.jsonl", "--split 0.25"), (train, held_out, judged));
    assert_ne!(split("a.jsonl", "--split 60%").1, held_out);
    s.fails(
        2,
        &format!("train {LABEL} --data a.jsonl --eval-data b.jsonl --split 10%"),
        &["cannot be used with"],
    );
    s.fails(2, &format!("train {LABEL} --data a.jsonl --split 100%"), &["`100%` is no share"]);
    s.write("few.jsonl", &lines[..2].join("\n"));
    s.fails(
        2,
        &format!("train {LABEL} --data few.jsonl --split 0.1%"),
        &["--split 0.1% holds none of the records out"],
    );
}

/// What a check finds wrong it tells all of, and exits so that a script knows.
#[test]
fn data_are_looked_at_before_they_are_learnt_from() {
    let s = Scene::new();
    s.write("d.csv", "text,label\none,up\none,up\none,down\ntwo,Down\n ,up\n\"four, and five\",down\nsix,\n");
    let ran = s.run("data check d.csv --model tiny.gguf --len 250 --json");
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let found = ran.last();
    let number = |key: &str| found[key].as_u64().unwrap();
    assert_eq!((number("records"), number("wrong"), number("duplicates")), (6, 1, 1), "{found}");
    let found = &found;
    assert_eq!(
        (found["contradictions"].as_u64(), found["empty"].as_u64(), found["task"].as_str()),
        (Some(1), Some(1), Some("label"))
    );
    assert!(
        found["problems"][0].as_str().unwrap().contains("d.csv:8: field \"label\": found an empty label"),
        "{found}"
    );
    assert_eq!(found["variants"][0][0], "Down");
    assert_eq!(found["labels"]["up"], 3);
    s.write("lm.json", "[{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"ho\"}]}]");
    let ran = s.done("data check lm.jsonl label.jsonl --task lm --raw --model tiny.gguf --len 16");
    assert!(ran.out.contains("24 records of task lm"), "{}", ran.shown());
    assert!(
        ran.out.contains("would be cut at --len 16; --len ") && ran.out.contains("[["),
        "{}",
        ran.shown()
    );
    let ran = s.done("data check choice.jsonl");
    assert!(
        ran.out.contains("12 records of task choice") && ran.out.contains("give --model"),
        "{}",
        ran.shown()
    );
    let chat = s.done("data check lm.json");
    assert!(chat.out.contains("1 records of task lm"), "{}", chat.shown());
    s.write("torn.csv", "text,label\none,up\nthree\n");
    s.fails(3, "data check torn.csv", &["torn.csv:3: found 1 columns, and the header has 2"]);
    s.fails(3, "data check tiny.gguf", &["tiny.gguf:1"]);
    s.fails(5, "data check nowhere.jsonl", &["nowhere.jsonl"]);
}

#[test]
fn a_check_names_labels_that_are_missing_and_those_that_are_too_many() {
    let s = Scene::new();
    s.write("null.jsonl", "{\"text\": \"a\", \"label\": null}\n{\"text\": \"b\", \"label\": \"up\"}\n");
    s.write("null.csv", "text,label\na,\nb,up\n");
    for (data, problem) in [("null.jsonl", "\"label\" (null); task label needs"), ("null.csv", "empty label")]
    {
        let ran = s.run(&format!("data check {data}"));
        assert_eq!(ran.code, 3, "{}", ran.shown());
        assert!(ran.out.contains("1 records of task label") && ran.out.contains(problem), "{}", ran.shown());
    }
    s.done("data check null.jsonl --task lm");
    let many = (0..1100).map(|i| format!("{{\"text\": \"t{i}\", \"label\": \"class {i}\"}}\n"));
    s.write("many.jsonl", &many.collect::<String>());
    for more in ["", "--model tiny.gguf"] {
        let ran = s.run(&format!("data check many.jsonl {more}"));
        assert_eq!(ran.code, 3, "{}", ran.shown());
        assert!(
            ran.out.contains("more than 1024 labels") && !ran.out.contains("give --model"),
            "{}",
            ran.shown()
        );
        assert!(ran.err.is_empty(), "{}", ran.shown());
    }
}

#[test]
fn records_without_a_text_are_told_before_they_are_learnt_from() {
    let s = Scene::new();
    let lines = String::from_utf8(s.bytes("label.jsonl")).unwrap();
    s.write("d.jsonl", &format!("{lines}\n{{\"text\": \"\", \"label\": \"up\"}}\n"));
    let line = format!("train {LABEL} --data d.jsonl --steps 1 --out a.gguf");
    let said = s.done(&line).out;
    assert!(said.contains("d.jsonl: 1 of 13 records have no text"), "{said}");
    let events = s.done(&format!("{line} --json")).events();
    assert!(events.iter().any(|e| e["event"] == "empty" && e["empty"] == 1 && e["n"] == 13), "{events:?}");
    let whole = s.done(&line.replace("d.jsonl", "label.jsonl")).out;
    assert!(!whole.contains("no text"), "{whole}");
}

#[test]
fn texts_are_classified_as_they_were_trained_and_a_stopped_run_goes_on() {
    let s = Scene::new();
    s.done(&format!("train {LABEL} --data label.jsonl --steps 3 --out a.gguf"));
    let one = s.done("classify --model tiny.gguf --adapter a.gguf --text street --json").last();
    let infer = s.run_with("infer --model tiny.gguf --adapter a.gguf --json --label", &["street"]).last();
    assert_eq!(one["label"], infer["text"]);
    let (ours, theirs) =
        (one["share"].as_f64().unwrap(), infer["choices"][0]["probability"].as_f64().unwrap());
    assert!((ours - theirs).abs() < 1e-5, "{one} {infer}");
    let marked = s.done("classify --model tiny.gguf --adapter a.gguf --text street");
    assert!(marked.out.starts_with("* ") && marked.out.lines().count() == 2, "{}", marked.shown());
    let flat =
        s.done("classify --model tiny.gguf --adapter a.gguf --text street --temperature 1000 --json").last();
    assert!((flat["share"].as_f64().unwrap() - 0.5).abs() < 0.01, "{flat}");

    let rows: String = (0..23).map(|i| format!("{i},\"street {i}, at the sea\"\n")).collect();
    s.write("in.csv", &format!("id,words\n{rows}"));
    let line =
        "classify --model tiny.gguf --adapter a.gguf --data in.csv --text-column words --out out.jsonl";
    let done = s.done(line);
    assert!(done.out.contains("wrote out.jsonl: 23 answers") && !s.has("out.jsonl.part"), "{}", done.shown());
    let whole = String::from_utf8(s.bytes("out.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(whole.lines().next().unwrap()).unwrap();
    assert_eq!((first["row"].as_u64(), first["text"].as_str()), (Some(1), Some("street 0, at the sea")));
    // Cut anywhere, within an answer too, the same command ends in the same file; and so do other passes.
    for cut in [0, 10, whole.len() / 2, whole.len() - 1, whole.len()] {
        s.write("out.jsonl.part", &whole[..cut]);
        s.done(&format!("{line} --batch 3"));
        assert!(s.bytes("out.jsonl") == whole.as_bytes(), "{cut}");
    }
    // Answers of another adapter, or about other texts, are not gone on from.
    s.write("out.jsonl.part", &whole[..whole.len() / 2]);
    s.fails(
        2,
        &format!("{line} --temperature 2"),
        &["out.jsonl.part holds answers about other texts, or of another adapter"],
    );
    s.write("few.csv", "words\nstreet\n");
    s.fails(2, &line.replace("in.csv", "few.csv"), &["out.jsonl.part holds answers"]);
    s.fails(2, &line.replace("out.jsonl", "in.csv"), &["--out in.csv is the same file as --data"]);
    s.fails(2, &line.replace("out.jsonl", "label.jsonl"), &["label.jsonl holds data records"]);
    s.fails(
        3,
        &line.replace(" --text-column words", ""),
        &["in.csv:2: the columns \"id\", \"words\"", "--text-column"],
    );
    s.done("train --model tiny.gguf --task lm --raw --data lm.jsonl --steps 1 --out lm.gguf");
    s.fails(
        2,
        "classify --model tiny.gguf --adapter lm.gguf --text street",
        &["sprig classify needs an adapter that was trained with --task label"],
    );
    s.fails(2, "classify --model tiny.gguf --adapter a.gguf", &["--text"]);
}

/// Examples that are more than a budget should hold lie on the disk, and train the same adapter.
#[test]
fn data_larger_than_the_budget_train_the_same_adapter() {
    let s = Scene::new();
    let lines = (0..40_000).map(|i| format!("{{\"text\": \"record {i} of many, {}\"}}\n", i * i % 9973));
    s.write("large.jsonl", &lines.collect::<String>());
    let run =
        "train --model tiny.gguf --task lm --raw --data large.jsonl --batch 2 --len 64 --steps 5 --json";
    let held = s.done(&format!("{run} --budget 1GiB --out held.gguf")).last();
    let before = s.list();
    let done = s.done(&format!("{run} --budget 9MiB --split 10% --out filed.gguf")).last();
    assert!(done["peak_rss_bytes"].as_u64().unwrap() <= 9 << 20, "{done}");
    let left: Vec<_> = s.list().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(left, ["filed.gguf", "filed.gguf.run.json"], "what it leaves");
    // 40,000 examples of 20 tokens and more are 4 MB.
    let plans = [&held, &done].map(|run| run["plan_bytes"].as_u64().unwrap());
    assert!(plans[0] > plans[1] + (2 << 20), "{plans:?}");
    s.done(&format!("{run} --budget 9MiB --out filed.gguf"));
    assert!(s.bytes("filed.gguf") == s.bytes("held.gguf"));
}
