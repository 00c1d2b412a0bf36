//! What a record may look like, and what is said of one that does not.

use super::*;

fn weighed(line: &str, task: Task) -> Result<(Record, f32), Problem> {
    Record::read(&Row::Object(line), task, None)
}

fn parse(line: &str, task: Task) -> Result<Record, Problem> {
    weighed(line, task).map(|(record, _)| record)
}

fn fails(line: &str, task: Task, say: &[&str]) {
    let message = parse(line, task).unwrap_err().to_string();
    for part in say {
        assert!(message.contains(part), "{line}: {message:?} should contain {part:?}");
    }
}

#[test]
fn each_schema_is_read_and_extra_fields_are_ignored() {
    let text = Record::Text("a\n".into());
    assert_eq!(parse(r#"{"id": [1, {}], "text": "a\n", "label": 3}"#, Task::Lm).unwrap(), text);
    let pair = Record::Completion { prompt: "p".into(), completion: "c".into() };
    let line = r#"{"completion": "c", "text": 7, "prompt": "p", "answer": null}"#;
    assert_eq!(parse(line, Task::Lm).unwrap(), pair);
    for (label, name) in [("\"ham\"", "ham"), ("-3", "-3"), ("0", "0")] {
        let line = format!(r#"{{"text": "t", "label": {label}}}"#);
        let want = Record::Labelled { text: "t".into(), label: name.into() };
        assert_eq!(parse(&line, Task::Label).unwrap(), want);
    }
}

#[test]
fn an_answer_is_an_index_a_letter_or_a_choice() {
    for (choices, answer, want) in [
        (r#"["x", "y", "z"]"#, "2", 2),
        (r#"["x", "y", "z"]"#, "\"B\"", 1),
        (r#"["x", "y", "z"]"#, "\"c\"", 2),
        (r#"["x", "y", "z"]"#, "\"x\"", 0),
        (r#"[10, 2.5]"#, "\"2.5\"", 1),
        (r#"[10, 20]"#, "20", 1),
        (r#"["B", "A"]"#, "0", 0),
    ] {
        let line = format!(r#"{{"question": "q", "choices": {choices}, "answer": {answer}}}"#);
        let record = parse(&line, Task::Choice).unwrap();
        assert!(matches!(record, Record::Question { answer, .. } if answer == want), "{line} {record:?}");
    }
    for (choices, answer, say) in [
        (r#"["x", "y"]"#, "2", "\"2\" is none of the 2 choices; write an index from 0 to 1"),
        (r#"["x", "y"]"#, "-1", "none of"),
        (r#"["x", "y"]"#, "\"C\"", "none of"),
        (r#"["x", "y"]"#, "1.5", "field \"answer\": found a number"),
        (r#"["x", "y"]"#, "[0]", "found an array"),
        (r#"["B", "A"]"#, "\"A\"", "could mean choices 1 and 0"),
        (r#"["1", "2"]"#, "1", "could mean choices 0 and 1"),
        (r#"["x", "x"]"#, "\"x\"", "could mean choices 0 and 1"),
        (r#"["x"]"#, "0", "found 1 choices; write an array of 2 to 26 strings"),
        (r#"["x", {}]"#, "0", "found an object among them"),
        (r#""xy""#, "0", "field \"choices\": found"),
    ] {
        fails(
            &format!(r#"{{"question": "q", "choices": {choices}, "answer": {answer}}}"#),
            Task::Choice,
            &[say],
        );
    }
    let many: Vec<String> = (0..27).map(|i| format!("\"{i}x\"")).collect();
    let line = format!(r#"{{"question": "q", "choices": [{}], "answer": 0}}"#, many.join(","));
    fails(&line, Task::Choice, &["found 27 choices"]);
}

#[test]
fn a_record_of_another_task_says_which() {
    let labelled = r#"{"text": "t", "label": "x"}"#;
    fails(
        labelled,
        Task::Choice,
        &["\"text\", \"label\"", "task choice needs", "would do for `task = \"label\"`"],
    );
    fails(r#"{"text": "t"}"#, Task::Label, &["task label needs {\"text\", \"label\"}", "`task = \"lm\"`"]);
    fails(r#"{"text": "t", "label": null}"#, Task::Label, &["needs"]);
    fails(
        r#"{"prompt": "t", "text": "x"}"#,
        Task::Lm,
        &["task lm needs {\"messages\"}", "{\"prompt\", \"completion\"} or {\"text\"}"],
    );
    fails(r#"{"Text": "t"}"#, Task::Lm, &["the fields \"Text\""]);
    fails("{}", Task::Lm, &["no fields; task lm needs"]);
}

#[test]
fn hostile_lines_give_errors() {
    let deep = format!("{{\"x\": {}", "[".repeat(100_000));
    let wide = format!("{{{}}}", (0..1000).map(|i| format!("\"k{i}\": 0")).collect::<Vec<_>>().join(","));
    for line in [
        "",
        "null",
        "[1]",
        "\"text\"",
        "3",
        "{",
        "{\"text\"",
        "{\"text\": \"a\"} {}",
        "{\"text\": \"a\"}}",
        "{'text': 'a'}",
        "{\"text\": \"\\ud800\"}",
        "{\"text\": \"a\tb\"}",
        "{\"text\": 1e999}",
        "{\"text\": \"a\", \"text\": \"b\"}",
        "{\"te\u{0}xt\": 1}",
        "[\"p\", \"c\", \"t\"]",
        &deep,
        &wide,
    ] {
        for task in [Task::Lm, Task::Choice, Task::Label] {
            let message = parse(line, task).unwrap_err().to_string();
            assert!(message.len() < 600, "{message}");
        }
    }
    fails("{\"text\": \"a\", \"text\": \"b\"}", Task::Lm, &["field \"text\" appears twice"]);
    fails("{\"text\": tru}", Task::Lm, &["not a JSON object", "(column 1"]);
    fails(r#"{"text": 5}"#, Task::Lm, &["field \"text\": found a number; write a string"]);
    fails(r#"{"text": "a", "label": " "}"#, Task::Label, &["field \"label\": found an empty label"]);
    fails(r#"{"text": "a", "label": [1]}"#, Task::Label, &["found an array; write a string or an integer"]);
    fails(r#"{"text": "a", "label": 99999999999999999999}"#, Task::Label, &["found a number"]);
}

#[test]
fn tasks_have_names() {
    for task in [Task::Lm, Task::Choice, Task::Label] {
        assert_eq!(task.name().parse(), Ok(task));
    }
    assert!("LM".parse::<Task>().unwrap_err().to_string().contains("use lm, choice, label or pair"));
}

#[test]
fn a_record_may_weigh_more_or_less() {
    let weight = |value: &str| {
        let line = format!(r#"{{"text": "a", "label": "b", "weight": {value}}}"#);
        weighed(&line, Task::Label).map(|(_, weight)| weight).map_err(|e| e.to_string())
    };
    for (text, want) in [("2", 2.0), ("0.5", 0.5), ("1e-6", 1e-6), ("1000000", 1e6), ("null", 1.0)] {
        assert_eq!(weight(text), Ok(want), "{text}");
    }
    for text in ["0", "-1", "1e7", "1e-7", "1e999", "\"2\"", "[1]", "true"] {
        let message = weight(text).unwrap_err();
        assert!(
            message.contains("field \"weight\": found") && message.contains("0.000001 to 1000000"),
            "{message}"
        );
    }
    assert_eq!(weighed(r#"{"text": "a"}"#, Task::Lm).unwrap().1, 1.0);
}

fn turn(role: Role, content: &str) -> Turn {
    Turn { role, content: content.to_owned() }
}

#[test]
fn chats_of_every_spelling_are_read_up_to_the_last_answer() {
    use Role::{Assistant, System, User};
    let want = vec![turn(System, "s"), turn(User, "u"), turn(Assistant, "a")];
    for line in [
        r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}"#,
        r#"{"messages": [{"role": "developer", "content": "s"}, {"content": [{"type": "text", "text": "u"}], "role": "user", "name": 1}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "and?"}]}"#,
        r#"{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]}"#,
        r#"{"system": "s", "conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]}"#,
        r#"{"instruction": "u", "input": "", "output": "a", "system": "s", "text": "all of it"}"#,
    ] {
        assert_eq!(parse(line, Task::Lm).unwrap(), Record::Chat(want.clone()), "{line}");
    }
    let alpaca = |prompt: &str| Record::Completion { prompt: prompt.into(), completion: "c".into() };
    for (line, prompt) in [
        (r#"{"instruction": "p", "output": "c"}"#, "p"),
        (r#"{"instruction": "p", "input": "", "output": "c"}"#, "p"),
        (r#"{"instruction": "p", "input": "i", "output": "c"}"#, "p\n\ni"),
    ] {
        assert_eq!(parse(line, Task::Lm).unwrap(), alpaca(prompt));
    }
    for (messages, say) in [
        ("3", "field \"messages\": not a list of messages: invalid type: integer"),
        ("[]", "no message of the role assistant"),
        (r#"[{"role": "user", "content": "u"}]"#, "no message of the role assistant"),
        (r#"[{"role": "tool", "content": "u"}]"#, "found the role \"tool\"; the roles are system"),
        (r#"[{"role": "assistant", "content": null, "tool_calls": []}]"#, "has no content; write the text"),
        (r#"[{"role": "assistant", "content": 3}]"#, "found a number for what the assistant says"),
        (
            r#"[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#,
            "pictures and other parts",
        ),
        (r#"[{"role": "assistant", "content": " "}]"#, "the assistant says nothing"),
        (r#"[{"role": "assistant", "from": "gpt", "content": "a"}]"#, "duplicate field"),
        (r#"[{"content": "a"}]"#, "missing field `role`"),
    ] {
        fails(&format!("{{\"messages\": {messages}}}"), Task::Lm, &[say]);
    }
    let long = vec![r#"{"role": "assistant", "content": "a"}"#; 1025].join(",");
    fails(&format!("{{\"messages\": [{long}]}}"), Task::Lm, &["found 1025 messages; split it: 1024"]);
    let hint = r#"{"messages": [{"role": "assistant", "content": "a"}]}"#;
    fails(hint, Task::Label, &["the fields \"messages\"; task label needs", "would do for `task = \"lm\"`"]);
    fails(
        r#"{"dialog": []}"#,
        Task::Lm,
        &["{\"messages\"}, {\"conversations\"}, {\"instruction\", \"output\"}"],
    );
}

#[test]
fn text_and_label_may_be_called_otherwise() {
    let columns = |text: &str, label: &str| {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Columns { text: name(text), label: name(label) }
    };
    let read = |line: &str, columns: &Columns| {
        Record::read(&Row::Object(line), Task::Label, Some(columns)).map(|(record, _)| record)
    };
    let want = Record::Labelled { text: "t".into(), label: "x".into() };
    let line = r#"{"sentence": "t", "intent": "x", "text": 3}"#;
    assert_eq!(read(line, &columns("sentence", "intent")).unwrap(), want);
    // A name that was given is the only one.
    let message = read(r#"{"text": "t", "label": "x"}"#, &columns("sentence", "")).unwrap_err().to_string();
    assert!(message.contains("`text_column` sentence is none of them"), "{message}");
    let message = read(line, &columns("sentence", "")).unwrap_err().to_string();
    assert!(message.contains("name another by `label_column`"), "{message}");
}
