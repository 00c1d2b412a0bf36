//! `chat`: a conversation through a pipe, a line a turn.

use crate::scene::{Scene, model};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const CHAT: &str = "chat --model tiny.gguf --threads 1 --max-tokens 6 --context 200";

/// What it says to `lines`, and how it ends.
fn said(scene: &Scene, line: &str, lines: &str) -> (String, String, i32) {
    let mut command = scene.command(line);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap_or(());
    let ran = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(ran.stdout), text(ran.stderr), ran.status.code().unwrap_or(-1))
}

fn events(scene: &Scene, more: &str, lines: &str) -> Vec<Value> {
    let (out, err, code) = said(scene, &format!("{CHAT} --json {more}"), lines);
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'v>(events: &'v [Value], kind: &str) -> Vec<&'v Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_conversation_is_what_serve_answers_to_all_of_it() {
    let scene = Scene::new();
    let events = events(&scene, "--exact", "Who?\nAnd then?\n/reset\nWho?\n/bye\nnever read\n");
    let answers = of(&events, "answer");
    assert_eq!(answers.len(), 3, "{events:?}");
    assert_eq!(answers[0]["text"], answers[2]["text"], "something was left after /reset");
    assert!(answers[1]["prompt_tokens"].as_u64() > answers[0]["prompt_tokens"].as_u64());
    let server = crate::serve::Server::start(&scene, "--exact");
    let first = answers[0]["text"].as_str().unwrap();
    let messages = serde_json::json!([
        { "role": "user", "content": "Who?" },
        { "role": "assistant", "content": first },
        { "role": "user", "content": "And then?" },
    ]);
    let body = serde_json::json!({ "messages": messages, "max_tokens": 6 }).to_string();
    let (status, reply) = crate::serve::ask(server.tcp(), "/v1/chat/completions", &body);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!((status, &reply["choices"][0]["message"]["content"]), (200, &answers[1]["text"]), "{reply}");
    assert_eq!(reply["usage"]["prompt_tokens"], answers[1]["prompt_tokens"]);
    // For people: answers alone on standard output, a line each here.
    let (out, err, _) = said(&scene, &format!("{CHAT} --exact"), "Who?\n/help\n/nonsense\n");
    assert_eq!(out, format!("{first}\n"));
    assert!(err.contains("/reset") && err.contains("no command /nonsense"), "{err}");
}

#[test]
fn the_oldest_turns_are_dropped_where_no_room_is_left_and_that_is_said() {
    let scene = Scene::new();
    let lines: String = (0..6).map(|i| format!("line {i} of some letters\n")).collect();
    let found = events(&scene, "", &lines);
    let (answers, dropped) = (of(&found, "answer"), of(&found, "dropped"));
    assert!(answers.len() == 6 && !dropped.is_empty(), "{found:?}");
    assert!(dropped.iter().all(|event| event["turns"].as_u64().unwrap() % 2 == 0), "{found:?}");
    assert!(answers.iter().all(|event| event["prompt_tokens"].as_u64().unwrap() <= 194), "{found:?}");
    let found = events(&scene, "", &format!("{}\nWho?\n", "x".repeat(400)));
    let refused = of(&found, "refused");
    assert!(refused[0]["reason"].as_str().unwrap().contains("--context"), "{found:?}");
    assert_eq!(of(&found, "answer").len(), 1, "a message that was too long stayed");
}

#[test]
fn another_adapter_is_taken_on_the_way_and_one_that_cannot_be_is_not() {
    let scene = Scene::new();
    scene.done(
        "train --model tiny.gguf --task lm --data lm.jsonl --adapter-kind lora --targets all --steps 30 --batch 8 --lr 0.3 \
         --warmup 1 --out a.gguf --threads 2",
    );
    let lines = "count 3:\n/reset\n/adapter a.gguf\ncount 3:\n/reset\n/adapter nothing.gguf\ncount 3:\n/reset\n/adapter\ncount 3:\n";
    let found = events(&scene, "", lines);
    let texts: Vec<&Value> = of(&found, "answer").iter().map(|event| &event["text"]).collect();
    assert_eq!(texts.len(), 4, "{found:?}");
    assert!(texts[0] != texts[1] && texts[1] == texts[2] && texts[0] == texts[3], "{texts:?}");
    let refused = of(&found, "refused");
    assert!(refused.len() == 1 && refused[0]["reason"].to_string().contains("nothing.gguf"), "{found:?}");
    scene.fails(2, &format!("{CHAT} --top-p 3"), &["--top-p"]);
    let first = scene.run(&format!("{CHAT} --adapter nothing.gguf"));
    assert!(first.code == 5 && first.err.contains("nothing.gguf"), "{}", first.shown());
}

/// Ctrl-C ends the answer; through a pipe, where nobody sits, the program with it.
#[test]
fn an_answer_can_be_interrupted() {
    let scene = Scene::new();
    // The tiny model would be done before anybody could stop it.
    let line = "chat --threads 1 --max-tokens 1900 --context 4000 --temperature 1 --json --model";
    let mut command = scene.command(line);
    command.arg(model());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap(); // it is ready
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Who?\n").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(answer["finish_reason"], "interrupted", "{answer}");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    drop(stdin);
}
