//! Labels of a data set: how they are found, told apart and refused.

use super::*;

#[test]
fn labels_are_sorted_and_asked_for_by_their_first_token() {
    let lines = "{\"text\": \"t\", \"label\": \"pos\"}\n\n{\"text\": \"u\", \"label\": \"neg\"}\n{\"text\": \"v\", \"label\": 1}";
    let set = load(lines, &LoadOptions::new(Task::Label, 200)).unwrap();
    let asked = |t| {
        format!(
            "<|im_start|>user\n{t}\n\nWhich label fits? Options: 1, neg, pos.<|im_end|>\n<|im_start|>assistant\n"
        )
    };
    assert_eq!(set.labels().unwrap().names(), ["1", "neg", "pos"]);
    assert_eq!(shown(&set, 0), (asked("t"), "1np".into(), 2));
    assert_eq!(shown(&set, 1), (asked("u"), "1np".into(), 1));
    assert_eq!(shown(&set, 2), (asked("v"), "1np".into(), 0));

    let letters = LoadOptions { label_style: LabelStyle::Letter, ..LoadOptions::new(Task::Label, 200) };
    let set = load(lines, &letters).unwrap();
    assert!(shown(&set, 0).0.contains("Options: A. 1, B. neg, C. pos."));
    assert_eq!(shown(&set, 0).1, "ABC");

    let words = vec![("neg".into(), "bad".into()), ("pos".into(), "good".into())];
    let worded = LoadOptions { label_words: words, ..LoadOptions::new(Task::Label, 200) };
    let set = load(lines, &worded).unwrap();
    assert!(shown(&set, 0).0.contains("Options: 1, bad, good."));
    assert_eq!(shown(&set, 0).1, "1bg");
}

#[test]
fn held_out_data_uses_the_training_labels() {
    let options = LoadOptions { template: Some("{text}\n".into()), ..raw(Task::Label, 200) };
    let train =
        load("{\"text\": \"t\", \"label\": \"a\"}\n{\"text\": \"t\", \"label\": \"b\"}", &options).unwrap();
    let options = LoadOptions { labels: train.labels().cloned(), ..options };
    let held_out = load("{\"text\": \"t\", \"label\": \"b\"}", &options).unwrap();
    assert!(matches!(held_out.example(0).target, Target::Label { answer: 1, candidates: [_, _], .. }));
    fails(
        "\n{\"text\": \"t\", \"label\": \"c\"}",
        &options,
        &["d.jsonl:2: field \"label\": found \"c\"", "use one of: a, b"],
    );
}

#[test]
fn labels_that_one_token_cannot_tell_apart_are_refused() {
    let lines = |labels: &[&str]| -> String {
        labels.iter().map(|l| format!("{{\"text\": \"t\", \"label\": \"{l}\"}}\n")).collect()
    };
    let options = LoadOptions::new(Task::Label, 200);
    // Where words are given they are those, and no other is looked for.
    let words = ["neutral", "negative"].map(|name| (name.to_owned(), name.to_owned()));
    fails(
        &lines(&["neutral", "pos", "negative"]),
        &LoadOptions { label_words: words.to_vec(), ..options.clone() },
        &[
            "\"negative\" and \"neutral\" begin with the same token \"n\"",
            "`label_tokens`",
            "`label_style = \"letter\"`",
        ],
    );
    // Raw, the space before the word is the first token of all.
    fails(&lines(&["x", "y"]), &raw(Task::Label, 200), &["same token \" \""]);
    fails(&lines(&["x", "x"]), &options, &["every record has the label \"x\""]);
    let many: Vec<String> = (0..1025).map(|i| format!("{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    fails(&lines(&many), &options, &["d.jsonl:1025:", "more than 1024 different labels"]);
    let named = many.iter().map(|name| (*name).to_owned()).collect();
    let named = LoadOptions { label_names: named, ..options.clone() };
    fails(&lines(&["0", "1"]), &named, &["found 1025 different labels, and 1024 are the most"]);
    let letters = LoadOptions { label_style: LabelStyle::Letter, ..options.clone() };
    fails(&lines(&many[..27]), &letters, &["27 labels are too many for letters"]);
    let unknown = LoadOptions { label_words: vec![("z".into(), "w".into())], ..options.clone() };
    fails(&lines(&["x", "y"]), &unknown, &["`label_tokens` names \"z\"", "\"x\", \"y\""]);
    let blank = LoadOptions { label_words: vec![("x".into(), " ".into())], ..options };
    fails(&lines(&["x", "y"]), &blank, &["label \"x\" has no token"]);
}

#[test]
fn labels_that_begin_alike_get_words_of_their_own() {
    let lines: String = ["neutral", "pos", "negative", "pos_2"]
        .map(|label| format!("{{\"text\": \"t\", \"label\": \"{label}\"}}\n"))
        .concat();
    let options = LoadOptions::new(Task::Label, 200);
    let set = load(&lines, &options).unwrap();
    let labels = set.labels().unwrap();
    assert_eq!(labels.names(), ["negative", "neutral", "pos", "pos_2"]);
    assert_eq!(labels.renamed().collect::<Vec<_>>(), [("neutral", "A"), ("pos", "B"), ("pos_2", "2")]);
    assert!(shown(&set, 0).0.contains("Options: negative, A, B, 2."));
    assert_eq!(shown(&set, 0).1, "nAB2");
    // Who asks later has the words from the adapter.
    let asking = options.asking(set.labels());
    let again = load(&lines, &LoadOptions::asked(&asking, 200).unwrap()).unwrap();
    assert_eq!(again.digest(), set.digest());
}

#[test]
fn more_labels_than_a_prompt_lists_are_not_listed() {
    let lines = |n: usize| -> String {
        let first = ('A'..='Z').chain('0'..='9').chain("!#$%&'()*+-./:;<=>?@[]^_`{|}~".chars());
        first.take(n).map(|c| format!("{{\"text\": \"t\", \"label\": \"{c}x\"}}\n")).collect()
    };
    for raw in [false, true] {
        let options = LoadOptions { raw, template: None, ..LoadOptions::new(Task::Label, 400) };
        let options = LoadOptions { template: raw.then(|| "{text}\n{options}\n".to_owned()), ..options };
        let (few, many) = (load(&lines(64), &options).unwrap(), load(&lines(65), &options).unwrap());
        assert!(shown(&few, 0).0.contains("Ax, Bx"));
        assert_eq!(shown(&many, 0).0.contains("Ax, Bx"), raw, "a template that was given is heeded");
        let asking = options.asking(many.labels());
        let template = if raw { "{text}\n{options}\n" } else { "{text}\n\nWhich label fits?" };
        assert_eq!(asking.template.as_deref(), Some(template));
    }
}

#[test]
fn labels_whose_list_leaves_no_room_for_a_text_are_not_listed() {
    let name = |c: char| format!("{c} label with a long name");
    let lines: String =
        "abc".chars().map(|c| format!("{{\"text\": \"the text\", \"label\": \"{}\"}}\n", name(c))).collect();
    let long = load(&lines, &LoadOptions::new(Task::Label, 400)).unwrap();
    assert!(shown(&long, 0).0.contains("Options: a label with a long name, b label"));
    let options = LoadOptions::new(Task::Label, long.longest() - "the text".len());
    let set = load(&lines, &options).unwrap();
    assert!(
        shown(&set, 0).0.contains("the text\n\nWhich label fits?<") && set.cut() == 0,
        "{}",
        shown(&set, 0).0
    );
    // Held-out data and those who ask later do as the training did, and letters stand for nothing without their list.
    let held_out = load(&lines, &LoadOptions { labels: set.labels().cloned(), ..options.clone() }).unwrap();
    assert_eq!(shown(&held_out, 0), shown(&set, 0));
    let asked = LoadOptions::asked(&options.asking(set.labels()), options.len).unwrap();
    assert_eq!(shown(&load(&lines, &asked).unwrap(), 0), shown(&set, 0));
    fails(
        &lines,
        &LoadOptions { label_style: LabelStyle::Letter, ..options },
        &["without the record's text takes"],
    );
}

#[test]
fn a_label_without_a_row_is_refused_by_name() {
    let lines = "{\"text\": \"t\", \"label\": \"ab\"}\n{\"text\": \"t\", \"label\": \"zz\"}";
    let token = tokenizer(None).encode("z", Specials::Plain)[0] as usize;
    let free = |rows| LoadOptions { rows, ..LoadOptions::new(Task::Label, 200) };
    let options = |rows| LoadOptions { label_words: vec![("zz".into(), "zz".into())], ..free(rows) };
    assert!(load(lines, &options(token + 1)).is_ok());
    // Unless it was given, another word is found.
    let found = load(lines, &free(token)).unwrap();
    assert_eq!(found.labels().unwrap().renamed().collect::<Vec<_>>(), [("zz", "A")]);
    let rows = format!("head has {token} rows");
    fails(lines, &options(token), &["label \"zz\"", &format!("token {token}"), &rows]);
    let question = r#"{"question": "Which?", "choices": ["one", "two"], "answer": 0}"#;
    fails(question, &LoadOptions { rows: 9, ..LoadOptions::new(Task::Choice, 200) }, &["letter A"]);
}

#[test]
fn labels_that_differ_only_in_case_or_white_space_are_refused() {
    for (a, b) in [("food", "Food"), ("food", " food"), ("a  b", "A b")] {
        let lines =
            format!("{{\"text\": \"t\", \"label\": \"{a}\"}}\n{{\"text\": \"t\", \"label\": \"{b}\"}}");
        let options = LoadOptions::new(Task::Label, 200);
        fails(
            &lines,
            &options,
            &["differ only in case or white space", &format!("{a:?}"), &format!("{b:?}")],
        );
        let words = vec![(a.to_owned(), "x".to_owned()), (b.to_owned(), "y".to_owned())];
        let label_names = vec![a.to_owned(), b.to_owned()];
        assert!(load(&lines, &LoadOptions { label_names, label_words: words, ..options }).is_ok());
    }
}

#[test]
fn a_file_may_lack_some_of_the_announced_labels() {
    let line = r#"{"text": "t", "label": "pos"}"#;
    fails(line, &LoadOptions::new(Task::Label, 200), &["use records of at least two labels"]);
    let names = ["pos", "neg", "even"].map(str::to_owned).to_vec();
    let options = LoadOptions { label_names: names, ..LoadOptions::new(Task::Label, 200) };
    let set = load(line, &options).unwrap();
    assert_eq!(set.labels().unwrap().names(), ["even", "neg", "pos"]);
    fails(r#"{"text": "t", "label": "odd"}"#, &options, &["d.jsonl:1:", "odd"]);
}
