//! What commands that run for long log where no terminal is: each line with its time, level and target, in the format of
//! whoever reads it.

use super::scene::Scene;
use serde_json::Value;
use sprig_testkit::mosquitto::free_port;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

/// A device whose broker is not there.
fn scene() -> Scene {
    let scene = Scene::new();
    let settings = format!(
        "[fleet]\nname = \"test\"\nid = \"kitchen\"\nbroker = \"mqtt://localhost:{}\"\n[model]\npath = \"tiny.gguf\"\n\
         [data]\ntrain = \"label.jsonl\"\n",
        free_port()
    );
    scene.write("device.toml", &settings);
    scene
}

/// Whether `text` is a time such as 2026-11-28T03:26:06.123456Z.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}

/// Ends a child by SIGTERM; what it had left to say on standard error.
fn terminate(mut child: Child) -> Option<i32> {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    child.wait().unwrap().code()
}

#[test]
fn a_line_has_time_level_and_target_where_no_terminal_is() {
    let scene = scene();
    let (child, mut lines) = scene.start("agent --config device.toml");
    let first = lines.next().unwrap().unwrap();
    let (time, rest) = first.split_once(' ').unwrap();
    assert!(is_time(time) && rest.starts_with("INFO link: kitchen: connecting to mqtt://"), "{first}");
    let lost = lines.next().unwrap().unwrap();
    assert!(lost.contains("Z WARN link: connection lost ("), "{lost}");
    assert_eq!(terminate(child), Some(7));
}

#[test]
fn a_least_level_leaves_the_rest_out() {
    let scene = scene();
    let (child, mut lines) = scene.start("agent --log-level warn --log-format json --config device.toml");
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(is_time(first["time"].as_str().unwrap()), "{first}");
    assert_eq!((&first["level"], &first["target"]), (&"warn".into(), &"link".into()), "{first}");
    assert!(first["message"].as_str().unwrap().starts_with("connection lost"), "{first}");
    assert_eq!(terminate(child), Some(7));
}

#[test]
fn events_keep_standard_output_and_have_time_and_level() {
    let scene = scene();
    let line = "agent --json --log-format text --log-level warn --config device.toml";
    let mut child = scene.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut event = || serde_json::from_str::<Value>(&events.next().unwrap().unwrap()).unwrap();
    let (start, lost) = (event(), event());
    assert_eq!((&start["event"], &start["level"]), (&"start".into(), &"info".into()));
    assert_eq!((&lost["event"], &lost["level"]), (&"disconnected".into(), &"warn".into()));
    assert!(is_time(start["time"].as_str().unwrap()), "{start}");
    let logged = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(logged.contains("Z WARN link: connection lost ("), "{logged}");
    assert_eq!(terminate(child), Some(7));
}

#[test]
fn what_ends_a_command_is_logged_as_its_reader_expects() {
    let scene = scene();
    let ran = |name: &str, more: &[&str], set: fn(&File) -> String| {
        let file = File::create(scene.path(name)).unwrap();
        let mut command = scene.command("agent --config none.toml");
        command.args(more).env("JOURNAL_STREAM", set(&file));
        let status = command.stdout(Stdio::null()).stderr(file).status().unwrap();
        assert_eq!(status.code(), Some(5));
        let text = String::from_utf8(scene.bytes(name)).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let here = |file: &File| {
        let metadata = file.metadata().unwrap();
        format!("{}:{}", metadata.dev(), metadata.ino())
    };
    let message = "sprig: cannot read none.toml: No such file or directory";
    let journal = ran("journal", &[], here);
    assert!(journal.starts_with(&format!("<3>{message}")), "{journal}");
    let text = ran("text", &[], |_| "1:2".to_owned());
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(is_time(time) && rest.starts_with(&format!("ERROR {message}")), "{text}");
    let beside = ran("beside", &["--json"], |_| String::new());
    assert!(beside.contains(&format!("ERROR {message}")), "{beside}");
    let human = ran("human", &["--log-format", "human"], here);
    assert!(human.starts_with(message), "{human}");
}
