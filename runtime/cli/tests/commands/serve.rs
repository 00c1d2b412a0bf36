//! `serve`: questions over HTTP and a socket, as any program asks them.

use crate::scene::{Scene, has_keys};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread::JoinHandle;
use std::time::Duration;

const ANSWER: &str = "/v1/answer";

/// A server that answers.
pub struct Server {
    child: Child,
    /// Reads what it says on, which would fill the pipe; the last of it.
    said: Option<JoinHandle<Option<String>>>,
    pub port: u16,
    plan: Value,
}

impl Server {
    pub fn start(scene: &Scene, more: &str) -> Self {
        let line = format!("serve --model tiny.gguf --listen 127.0.0.1:0 --threads 1 --json {more}");
        let (child, mut lines) = scene.start(&line);
        let mut event = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let (plan, serving) = (event(), event());
        has_keys(&serving, &["event", "listen", "socket", "mqtt", "context", "labels"]);
        let port = serving["listen"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let said = std::thread::spawn(move || lines.map_while(Result::ok).last());
        Self { child, said: Some(said), port, plan }
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ask(&self, question: &Value) -> (u16, Value) {
        let (status, body) = ask(self.tcp(), ANSWER, &question.to_string());
        (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
    }

    /// Ends it as a service manager does; the last event.
    pub fn stop(mut self) -> Value {
        let sent = std::process::Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(7));
        let last = self.said.take().unwrap().join().unwrap().unwrap();
        serde_json::from_str(&last).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A POST of JSON; status and body.
pub fn ask(stream: impl Read + Write, path: &str, body: &str) -> (u16, String) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    request(stream, &(head + body))
}

pub fn request(mut stream: impl Read + Write, text: &str) -> (u16, String) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply); // a connection that is refused may be reset
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {reply:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The texts of server-sent events in a chunked body, and the last event.
fn events(body: &str) -> (String, Value) {
    let events: Vec<Value> = body
        .lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let text = events.iter().filter(|e| e["done"].is_null()).map(|e| e["text"].as_str().unwrap()).collect();
    (text, events.last().unwrap().clone())
}

#[test]
fn what_is_served_is_what_infer_says() {
    let scene = Scene::new();
    scene.done("train --estimator readout --model tiny.gguf --task label --data label.jsonl --out read.gguf");
    let derived = "personalise --model tiny.gguf --task label --data label.jsonl --adapter read.gguf --out p.sprig --threads 1";
    scene.done(derived);
    let server = Server::start(&scene, "--personal p.sprig --exact --socket door");
    let (status, answer) = server.ask(&json!({ "prompt": "count 3:", "raw": true, "max_tokens": 7 }));
    assert_eq!(status, 200, "{answer}");
    has_keys(
        &answer,
        &["text", "finish_reason", "prompt_tokens", "completion_tokens", "gates", "local_blocks"],
    );
    let alone = |more: &[&str]| {
        let line = "infer --model tiny.gguf --personal p.sprig --exact --threads 1 --json";
        scene.run_with(line, more).last()
    };
    let same = alone(&["--prompt", "count 3:", "--raw", "--max-tokens", "7"]);
    for (ours, theirs) in [
        ("text", "text"),
        ("prompt_tokens", "prompt_tokens"),
        ("completion_tokens", "tokens"),
        ("gates", "gates"),
    ] {
        assert_eq!(answer[ours], same[theirs], "{ours}: {answer} and {same}");
    }
    // Once more, over the socket and in pieces: nothing of one question is left in the next.
    let question = json!({ "prompt": "count 3:", "raw": true, "max_tokens": 7, "stream": true }).to_string();
    let door = UnixStream::connect(scene.path("door")).unwrap();
    let (status, body) = ask(door, ANSWER, &question);
    let (text, last) = events(&body);
    assert_eq!((status, &Value::from(text), &last["text"]), (200, &answer["text"], &answer["text"]));
    assert_eq!(last["done"], true);
    let text = "the up side of street 5";
    let (status, answer) = server.ask(&json!({ "text": text }));
    let same = alone(&["--label", text]);
    assert_eq!((status, &answer["text"], &answer["gates"]), (200, &same["text"], &same["gates"]), "{answer}");
    let labels = answer["labels"].as_array().unwrap();
    let sum: f64 = labels.iter().map(|l| l["probability"].as_f64().unwrap()).sum();
    assert!(labels.len() == 2 && (sum - 1.0).abs() < 1e-9, "{answer}");
    let (status, health) =
        request(server.tcp(), "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    assert!(status == 200 && health.contains("\"labels\":true"), "{health}");
    let last = server.stop();
    assert!(
        last["event"] == "interrupted" && last["peak_rss_bytes"].as_u64() <= last["budget_bytes"].as_u64()
    );
    assert!(!scene.has("door"), "the socket was left behind");
}

#[test]
fn bad_questions_are_refused_by_what_is_wrong_and_harm_nobody() {
    let scene = Scene::new();
    let server = Server::start(&scene, "--context 64 --queue 2");
    let post = |body: &str| ask(server.tcp(), ANSWER, body);
    let long = format!(r#"{{"prompt": "{}"}}"#, "x".repeat(70_000));
    for (status, body, says) in [
        (400, "", "no question"),
        (400, r#"{"promt": "a"}"#, "promt"),
        (400, r#"{"text": "a"}"#, "no labels"),
        (413, r#"{"prompt": "a", "max_tokens": 4000}"#, "2048"),
        (413, r#"{"prompt": "a", "max_tokens": 64}"#, "64 served here"),
        (413, &long, "65536"),
    ] {
        let (found, reply) = post(body);
        assert!(found == status && reply.contains(says), "{found}, {reply}");
    }
    let raw = |text: &str| request(server.tcp(), text);
    let get = |path: &str, host: &str| {
        raw(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(get("/v1/answer", "localhost").0, 405);
    assert_eq!(get("/nothing", "localhost:1").0, 404);
    assert_eq!(get("/health", "evil.example").0, 403);
    let form = "POST /v1/answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\
                Connection: close\r\n\r\n{\"prompt\":\"a\"}";
    assert_eq!(raw(form).0, 400);
    assert_eq!(raw("nonsense\r\n\r\n").0, 400);
    // Somebody who says half a question, one who reads nothing and one who goes away; all the same others are answered.
    let mut half = server.tcp();
    half.write_all(b"POST /v1/answer HTTP/1.1\r\nHost: lo").unwrap();
    let streamed = json!({ "prompt": "a", "raw": true, "max_tokens": 32, "stream": true }).to_string();
    let head = format!(
        "POST {ANSWER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{streamed}",
        streamed.len()
    );
    let mut silent = server.tcp();
    silent.write_all(head.as_bytes()).unwrap();
    let mut gone = server.tcp();
    gone.write_all(head.as_bytes()).unwrap();
    drop(gone);
    std::thread::sleep(Duration::from_millis(300));
    let many: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let one = || server.ask(&json!({ "prompt": "a b", "raw": true, "max_tokens": 16 }));
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let answered: Vec<&Value> =
        many.iter().filter(|(status, _)| *status == 200).map(|(_, a)| &a["text"]).collect();
    assert!(!answered.is_empty() && answered.windows(2).all(|w| w[0] == w[1]), "{many:?}");
    let busy = many
        .iter()
        .filter(|(status, answer)| *status == 503 && answer["error"].to_string().contains("2 questions"));
    assert_eq!(answered.len() + busy.count(), 10, "{many:?}");
    drop((half, silent));
    let plan = server.plan["plan"]["budget_bytes"].clone();
    let last = server.stop();
    assert!(last["peak_rss_bytes"].as_u64() <= last["budget_bytes"].as_u64(), "{last}, planned {plan}");
}

#[test]
fn too_many_questions_are_put_off_and_wrong_doors_are_refused() {
    let scene = Scene::new();
    let server = Server::start(&scene, "--rate 3");
    let statuses: Vec<u16> =
        (0..5).map(|_| server.ask(&json!({ "prompt": "a", "raw": true, "max_tokens": 1 })).0).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let serve = "serve --model tiny.gguf";
    let taken = format!("{serve} --listen 127.0.0.1:{}", server.port);
    scene.fails(5, &taken, &["cannot listen", "another port"]);
    scene.fails(2, serve, &["--listen", "--socket", "--mqtt"]);
    scene.fails(2, &format!("{serve} --listen 0.0.0.0:0"), &["0.0.0.0:0", "127.0.0.1", "--mqtt"]);
    let before = scene.bytes("lm.jsonl");
    scene.fails(2, &format!("{serve} --socket lm.jsonl"), &["lm.jsonl", "no socket"]);
    assert_eq!(scene.bytes("lm.jsonl"), before);
    scene.fails(4, &format!("{serve} --socket door --budget 4MiB"), &["MiB"]);
    // What that one left behind is taken over; one that is listened at is not.
    let second = Server::start(&scene, "--socket door");
    scene.fails(2, &format!("{serve} --socket door"), &["door", "listens there already"]);
    second.stop();
}
