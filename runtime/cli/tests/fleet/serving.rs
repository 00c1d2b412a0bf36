//! Questions through the fleet's broker: whoever may coordinate may ask, a device answers for itself alone.

use super::world::{World, device};
use serde_json::{Value, json};
use sprig_transport::link::{Event, Link, LinkConfig};
use sprig_transport::mqtt::{MqttLink, connect};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A session as the coordinator or as a device.
fn session(world: &World, folder: &str, name: &str) -> MqttLink {
    let file = |end: &str| world.folder(&format!("fleet/{folder}/{name}.{end}"));
    let url = format!("mqtts://localhost:{}", world.port());
    let config = LinkConfig {
        ca: Some(world.folder(&format!("fleet/{folder}/ca.crt"))),
        identity: Some((file("crt"), file("key"))),
        ..LinkConfig::new(&url, &format!("asker-{}", folder.replace('/', "-")))
    };
    connect(&config).unwrap()
}

/// Asks, and gathers what comes to the question of that name until the end.
fn ask(link: &mut MqttLink, question: &Value) -> Vec<Value> {
    let device = device(1);
    let topic = format!("sprig/1/test/answer/{device}/{}", question["id"].as_str().unwrap());
    link.publish(&format!("sprig/1/test/ask/{device}"), question.to_string().into_bytes(), false).unwrap();
    let (until, mut found) = (Instant::now() + PATIENCE, Vec::<Value>::new());
    while found.last().is_none_or(|last| last["done"] != true) {
        assert!(Instant::now() < until, "no answer to {question}: {found:?}");
        if let Some(Event::Message { topic: from, payload }) = link.next(Duration::from_millis(200)).unwrap()
            && from == topic
        {
            found.push(serde_json::from_slice(&payload).unwrap());
        }
    }
    found
}

#[test]
fn a_device_answers_through_the_broker() {
    let world = World::new("");
    let line = format!(
        "serve --model tiny.gguf --threads 1 --json --rate 6 --mqtt fleet/devices/{}/device.toml",
        device(1)
    );
    let mut child = world.scene.command(&line).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("\"connected\"")), "never connected");
    let mut link = session(&world, "coordinator", "coordinator");
    link.subscribe(&format!("sprig/1/test/answer/{}/+", device(1))).unwrap();
    let until = Instant::now() + PATIENCE;
    while link.next(Duration::from_millis(200)).unwrap() != Some(Event::Connected) {
        assert!(Instant::now() < until, "no session");
    }
    let plain = json!({ "id": "one", "prompt": "count 3:", "raw": true, "max_tokens": 9 });
    let whole = ask(&mut link, &plain);
    assert!(whole.len() == 1 && whole[0]["completion_tokens"] == 9, "{whole:?}");
    let streamed = ask(
        &mut link,
        &json!({ "id": "two", "prompt": "count 3:", "raw": true, "max_tokens": 9, "stream": true }),
    );
    let text: String =
        streamed.iter().filter(|m| m["done"].is_null()).map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!(Value::from(text), whole[0]["text"]);
    assert!(streamed.iter().enumerate().all(|(i, m)| m["n"] == i), "{streamed:?}");
    let bad = ask(&mut link, &json!({ "id": "three", "prompt": "" }));
    assert!(bad[0]["error"].as_str().unwrap().contains("empty"), "{bad:?}");
    // No id that a topic can hold: nobody can be told, and the next is answered all the same.
    link.publish(
        &format!("sprig/1/test/ask/{}", device(1)),
        b"{\"id\": \"#\", \"prompt\": \"a\"}".to_vec(),
        false,
    )
    .unwrap();
    let small = |id: &str| json!({ "id": id, "prompt": "a", "raw": true, "max_tokens": 1 });
    for id in ["four", "five", "six", "seven"] {
        assert_eq!(ask(&mut link, &small(id))[0]["completion_tokens"], 1);
    }
    let often = ask(&mut link, &small("eight"));
    assert!(often[0]["error"].as_str().unwrap().contains("6 questions a minute"), "{often:?}");
    // Another device may neither ask nor listen: the broker keeps it out.
    let mut other = session(&world, &format!("devices/{}", device(2)), "device");
    other.subscribe(&format!("sprig/1/test/answer/{}/+", device(1))).unwrap();
    let asked = json!({ "id": "nine", "prompt": "" }).to_string().into_bytes();
    other.publish(&format!("sprig/1/test/ask/{}", device(1)), asked, false).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        if let Ok(Some(Event::Message { topic, .. })) = other.next(Duration::from_millis(200)) {
            panic!("{topic} reached another device");
        }
        if let Ok(Some(Event::Message { topic, .. })) = link.next(Duration::from_millis(50)) {
            panic!("another device asked: {topic}");
        }
    }
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("\"dropped\"")), "{rest:?}");
}
