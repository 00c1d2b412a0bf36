//! Chats in tokens: what of them is learnt, and what is left of one that is too long.

use super::super::super::Columns;
use super::*;

const CHAT: &str = r#"{"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "eins"}, {"role": "user", "content": "two"}, {"role": "assistant", "content": "zwei"}, {"role": "user", "content": "and?"}]}"#;
const WHOLE: &str = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\neins\
                     <|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\nzwei<|im_end|>";

/// All of an example, and what of it is learnt, part by part.
fn learnt(set: &DataSet, i: usize) -> (String, Vec<String>) {
    let t = tokenizer(None);
    let example = set.example(i);
    let Target::Lm { first, pauses } = example.target else { panic!("{example:?}") };
    let mut from = first;
    let mut parts = Vec::new();
    for pause in pauses {
        parts.push(t.decode(&example.tokens[from..pause.from as usize]));
        from = pause.to as usize;
    }
    parts.push(t.decode(&example.tokens[from..]));
    (t.decode(example.tokens), parts)
}

#[test]
fn only_what_the_assistant_says_is_learnt_and_how_it_ends() {
    let set = load(CHAT, &LoadOptions::new(Task::Lm, 400)).unwrap();
    let (whole, parts) = learnt(&set, 0);
    assert_eq!(whole, WHOLE);
    assert_eq!(parts, ["eins<|im_end|>", "zwei<|im_end|>"]);
    assert_eq!((set.cut(), set.is_lm()), (0, true));
    // One question and its answer are a completion, whatever they are written as.
    let pair = r#"{"prompt": "one", "completion": "eins"}"#;
    let chat = r#"{"conversations": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "eins"}]}"#;
    let options = LoadOptions::new(Task::Lm, 400);
    assert_eq!(load(pair, &options).unwrap().digest(), load(chat, &options).unwrap().digest());
}

#[test]
fn pauses_belong_to_their_own_example_and_to_the_digest() {
    let options = LoadOptions::new(Task::Lm, 400);
    let plain = r#"{"text": "words"}"#;
    let set = load(&[plain, CHAT, plain, CHAT].join("\n"), &options).unwrap();
    assert_eq!(learnt(&set, 0).1, ["ords"]);
    assert_eq!(learnt(&set, 1), learnt(&set, 3));
    assert_eq!((learnt(&set, 2).1.len(), learnt(&set, 3).1.len()), (1, 2));
    let other =
        CHAT.replace(r#""role": "user", "content": "two""#, r#""role": "assistant", "content": "two""#);
    let other = load(&[plain, &other, plain, CHAT].join("\n"), &options).unwrap();
    assert_ne!(set.digest(), other.digest());
}

#[test]
fn a_chat_that_is_too_long_loses_its_end_and_keeps_an_answer() {
    let tokens = |text: &str| tokenizer(None).encode(text, Specials::Parse).len();
    let all = tokens(WHOLE);
    let first = tokens(WHOLE.split_once("<|im_end|>\n<|im_start|>user\ntwo").unwrap().0) + 1;
    for len in first..all {
        let set = load(CHAT, &LoadOptions::new(Task::Lm, len)).unwrap();
        let (whole, parts) = learnt(&set, 0);
        assert!(WHOLE.starts_with(&whole) && tokens(&whole) <= len, "{len}: {whole}");
        assert!(whole.ends_with("eins<|im_end|>") || tokens(&whole) == len, "{len}: {whole}");
        assert_eq!(
            (parts[0].as_str(), set.cut(), set.len_for(1.0) >= all),
            ("eins<|im_end|>", 1, true),
            "{len}"
        );
        assert!(parts.len() == 1 || "zwei<|im_end|>".starts_with(&parts[1]), "{parts:?}");
    }
    assert_eq!(load(CHAT, &LoadOptions::new(Task::Lm, all)).unwrap().cut(), 0);
    // No room for the first answer behind all that comes before it: the question alone comes before it.
    let set = load(CHAT, &LoadOptions::new(Task::Lm, first - 1)).unwrap();
    let (whole, parts) = learnt(&set, 0);
    assert_eq!(whole, "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\neins<|im_end|>");
    assert_eq!((parts, set.cut()), (vec!["eins<|im_end|>".to_owned()], 1));
}

#[test]
fn what_chats_cannot_be_is_refused() {
    fails(
        CHAT,
        &raw(Task::Lm, 400),
        &["d.jsonl:1", "without the words of a chat template", "leave `raw` out"],
    );
    let odd = CHAT.replace("two", "two\u{10FFFE}");
    fails(&odd, &LoadOptions::new(Task::Lm, 400), &["d.jsonl:1", "U+10FFFE"]);
    let deaf = tokenizer(Some("{{ messages[0]['content'] }}"));
    let message = load_with(&deaf, CHAT, &LoadOptions::new(Task::Lm, 400)).unwrap_err().to_string();
    assert!(message.contains("chat template does not keep what the assistant says"), "{message}");
    // A template without a token of its own for the end of a turn: only the last ends, as a completion does.
    let plain =
        tokenizer(Some("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"));
    let set = load_with(&plain, CHAT, &LoadOptions::new(Task::Lm, 400)).unwrap();
    assert_eq!(learnt(&set, 0).1, ["eins", "zwei<|im_end|>"]);
}

#[test]
fn a_table_and_an_array_are_read_as_lines_are() {
    let dir = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        columns: Some(Columns { text: Some("sentence".into()), label: Some("intent".into()) }),
        ..LoadOptions::new(Task::Label, 200)
    };
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lines =
        "{\"sentence\": \"a\", \"intent\": \"up\", \"weight\": 2}\n{\"sentence\": \"b, c\", \"intent\": 7}\n";
    let forms = [
        file("d.jsonl", lines),
        file("d.json", &format!("[{}]", lines.trim().replace('\n', ","))),
        file("d.csv", "intent,sentence,weight\nup,a,2\n7,\"b, c\",\n"),
        file("d.tsv", "sentence\tweight\tintent\na\t2\tup\nb, c\t\t7\n"),
    ];
    let digest = |paths: &[&std::path::PathBuf]| {
        let set = DataSet::load(paths, &options, &tokenizer(Some(CHATML))).unwrap_or_else(|e| panic!("{e}"));
        (set.len(), set.digest())
    };
    let all = forms.each_ref().map(|path| digest(&[path]));
    assert!(all.iter().all(|found| *found == all[0]), "{all:?}");
    // Several files are as one, and all their labels count.
    let one = file("one.csv", "sentence,intent,weight\na,up,2\n");
    let two = file("two.jsonl", lines.split_once('\n').unwrap().1);
    assert_eq!(digest(&[&one, &two]), all[0]);
    let wrong = file("wrong.csv", "text,label\na,up\n");
    let message = DataSet::load(&[wrong], &options, &tokenizer(Some(CHATML))).unwrap_err().to_string();
    assert!(message.contains("wrong.csv:2: the columns \"text\", \"label\"; task label needs"), "{message}");
    assert!(
        message.contains("sentence is none of them") && message.contains("first line of a table"),
        "{message}"
    );
}
