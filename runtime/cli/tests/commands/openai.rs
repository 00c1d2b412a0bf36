//! `serve` as clients of OpenAI's interface see it. Its own client is a judge in `cargo xtask test`.

use crate::scene::{Scene, model};
use crate::serve::{Server, ask, request};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::Duration;

fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let (status, reply) = ask(server.tcp(), path, &body.to_string());
    (status, serde_json::from_str(&reply).unwrap_or_else(|e| panic!("{e}: {reply}")))
}

fn get(server: &Server, path: &str) -> (u16, String) {
    request(server.tcp(), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// The events of a stream.
fn streamed(server: &Server, path: &str, body: &Value) -> Vec<String> {
    let (status, reply) = ask(server.tcp(), path, &body.to_string());
    assert_eq!(status, 200, "{reply}");
    reply.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, text) = get(server, "/metrics");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits for a figure: it is counted after its answer was given.
fn until(server: &Server, name: &str, value: u64) {
    let reached = |_| {
        std::thread::sleep(Duration::from_millis(50));
        metric(server, name) == value
    };
    assert!((0..600).any(reached), "{name} is {}, and not {value}", metric(server, name));
}

#[test]
fn an_adapter_answers_by_its_name_as_infer_does_with_it() {
    let scene = Scene::new();
    for (seed, out) in [(1, "a.gguf"), (2, "b.gguf")] {
        scene.done(&format!(
            "train --model tiny.gguf --task lm --raw --data lm.jsonl --adapter-kind lora --targets all --rank {} --steps 20 \
             --batch 8 --lr 0.2 --warmup 1 --out {out} --threads 2 --seed {seed}", 2 * seed
        ));
    }
    let server = Server::start(&scene, "--adapter one=a.gguf --adapter b.gguf --exact");
    let (_, listed) = get(&server, "/v1/models");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "b", "tiny"]);
    // Each in turn, and the first once more: nothing of one stays with another.
    for (model, with) in
        [("one", "--adapter a.gguf"), ("b", "--adapter b.gguf"), ("tiny", ""), ("one", "--adapter a.gguf")]
    {
        let alone = format!(
            "infer --model tiny.gguf --raw --prompt count --max-tokens 9 --exact --threads 1 --json {with}"
        );
        let body = json!({ "model": model, "prompt": "count", "max_tokens": 9 });
        let (status, answer) = post(&server, "/v1/completions", &body);
        assert_eq!((status, &answer["model"]), (200, &json!(model)), "{answer}");
        assert_eq!(answer["choices"][0]["text"], scene.done(&alone).last()["text"], "{model}");
        let same = json!({ "model": model, "prompt": "count", "raw": true, "max_tokens": 9 });
        assert_eq!(server.ask(&same).1["text"], answer["choices"][0]["text"]);
    }
    let (status, fault) = post(&server, "/v1/completions", &json!({ "model": "two", "prompt": "count" }));
    assert_eq!((status, &fault["error"]["code"]), (404, &json!("model_not_found")), "{fault}");
    assert!(fault["error"]["message"].as_str().unwrap().contains("`one`, `b`, `tiny`"), "{fault}");
    let last = server.stop();
    assert!(last["peak_rss_bytes"].as_u64() <= last["budget_bytes"].as_u64(), "{last}");
    let serve = "serve --model tiny.gguf --listen 127.0.0.1:0";
    scene.fails(2, &format!("{serve} --adapter x=a.gguf --adapter x=b.gguf"), &["two are called `x`"]);
    scene.fails(2, &format!("{serve} --adapter tiny=a.gguf"), &["the model itself is called `tiny`"]);
    scene.fails(2, &format!("{serve} --adapter ä=a.gguf"), &["no name"]);
}

#[test]
fn a_chat_comes_whole_and_in_chunks() {
    let scene = Scene::new();
    let server = Server::start(&scene, "");
    let chat = |more: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "Who?" }], "max_tokens": 8 });
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        body
    };
    let path = "/v1/chat/completions";
    let (status, whole) = post(&server, path, &chat(json!({ "logprobs": true, "top_logprobs": 2 })));
    assert_eq!((status, &whole["object"]), (200, &json!("chat.completion")), "{whole}");
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let scores = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let count = whole["usage"]["completion_tokens"].as_u64().unwrap();
    assert!(
        scores.len() as u64 == count
            && scores.iter().all(|s| s["top_logprobs"].as_array().unwrap().len() == 2)
    );
    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let mut events = streamed(&server, path, &chat(options));
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let pieces = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    assert_eq!(events.last().unwrap()["usage"], whole["usage"]);
    let drawn = |seed: u64| {
        post(&server, path, &chat(json!({ "temperature": 1.5, "seed": seed }))).1["choices"].clone()
    };
    assert_eq!(drawn(1), drawn(1));
    assert!((2..6).any(|seed| drawn(seed) != drawn(1)));
    let (status, fault) = post(&server, path, &chat(json!({ "n": 2 })));
    assert_eq!((status, &fault["error"]["param"]), (400, &json!("n")), "{fault}");
    let (status, fault) = post(&server, "/v1/classify", &json!({ "text": "a" }));
    assert!(status == 400 && fault["error"]["message"].as_str().unwrap().contains("no labels"), "{fault}");
    let (status, fault) = post(&server, path, &chat(json!({ "user": "x".repeat(70_000) })));
    assert_eq!((status, &fault["error"]["type"]), (413, &json!("invalid_request_error")), "{fault}");
    let (status, fault) = get(&server, "/v1/chat/completions");
    assert!(status == 405 && fault.contains("takes no GET"), "{fault}");
    until(&server, "sprig_questions_total{outcome=\"refused\"}", 1);
}

#[test]
fn labels_come_with_their_shares() {
    let scene = Scene::new();
    scene.done("train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf");
    let server = Server::start(&scene, "--adapter read.gguf");
    let text = "the up side of street 5";
    let (status, class) = post(&server, "/v1/classify", &json!({ "model": "read", "text": text }));
    let same = scene
        .run_with("infer --model tiny.gguf --adapter read.gguf --threads 1 --json", &["--label", text])
        .last();
    assert_eq!(
        (status, &class["label"], &class["object"]),
        (200, &same["text"], &json!("classification")),
        "{class}"
    );
    let shares = class["shares"].as_array().unwrap().iter().map(|share| share["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(post(&server, "/v1/classify", &json!({ "model": "tiny", "text": text })).0, 400);
}

#[test]
fn whoever_leaves_ends_the_answer() {
    let scene = Scene::new();
    // The tiny model would be done before anybody could leave.
    std::fs::remove_file(scene.path("tiny.gguf")).unwrap();
    std::os::unix::fs::symlink(model(), scene.path("tiny.gguf")).unwrap();
    let server = Server::start(&scene, "--context 2048");
    let body = r#"{"prompt":"a","max_tokens":1900,"stream":true,"temperature":1,"repetition_penalty":1.1}"#;
    let answer = r#"{"prompt":"a","raw":true,"max_tokens":1900,"stream":true}"#;
    for (path, body) in [("/v1/completions", body), ("/v1/answer", answer)] {
        let mut gone = server.tcp();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        gone.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        gone.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    until(&server, "sprig_questions_total{outcome=\"left\"}", 2);
    let written = metric(&server, "sprig_completion_tokens_total");
    assert!(written < 1900, "{written} tokens were written for nobody");
}

/// A short form of 100,000 requests by hand, whose figures are in docs/results.md.
#[test]
fn many_small_requests_leave_memory_flat() {
    let scene = Scene::new();
    let server = Server::start(&scene, "--rate 1000000");
    let mut stream = server.tcp();
    let mut some = |count: usize| {
        for i in 0..count {
            let body = match i % 3 {
                0 => json!({ "prompt": format!("count {i}"), "max_tokens": 2, "logprobs": 2 }),
                1 => json!({ "prompt": "a", "max_tokens": 1, "temperature": 1, "top_p": 0.5, "stop": ["x"] }),
                _ => json!({ "prompt": "a", "n": 2 }),
            };
            let body = body.to_string();
            let head = format!(
                "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
            let mut seen = Vec::new();
            // An answer ends with its last brace, in one write.
            while !seen.ends_with(b"}") {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).unwrap();
                assert!(count > 0, "it hung up");
                seen.extend_from_slice(&part[..count]);
            }
        }
        sprig_ground::kernel::process(server.pid()).unwrap().resident
    };
    let (early, late) = (some(600), some(3000));
    assert!(late <= early + (512 << 10), "{early} bytes after 600 requests, {late} after 3,600");
    server.stop();
}
