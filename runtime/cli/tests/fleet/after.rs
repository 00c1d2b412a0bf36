//! The day after a training: devices have its adapter, whoever comes late too, the run goes on for more rounds, another one
//! goes on from its adapter, and a run that came to nothing says so.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;
use std::time::{Duration, Instant};

const FLEET: &str = "fleet/coordinator/fleet.toml";

fn settings(i: usize) -> String {
    format!("fleet/devices/{}/device.toml", device(i))
}

/// Adds lines to a device's `[agent]`.
fn agent(world: &World, i: usize, lines: &str) {
    world.edit(&settings(i), "[agent]\n", &format!("[agent]\n{lines}\n"));
}

fn written(world: &World, i: usize) -> Vec<u8> {
    world.scene.bytes(&format!("fleet/devices/{}/adapter.gguf", device(i)))
}

/// Exit code and message of a process, when it has ended.
fn ended(world: &mut World, name: &str) -> (Option<i32>, String) {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < until, "{name} does not end: {:?}", world.events.last());
        if let Some(ended) = world.ended(name) {
            while world.next(Duration::from_millis(200)).is_some() {}
            return ended;
        }
        world.next(Duration::from_millis(50));
    }
}

fn of<'w>(world: &'w World, name: &str, event: &str) -> Vec<&'w Value> {
    world.events.iter().filter(|(who, e)| who == name && e["event"] == event).map(|(_, e)| e).collect()
}

/// Devices write the very file that the coordinator exports. A board that comes when everybody has gone, with nothing in its
/// state and no data, has it from the broker; from a broker that has forgotten it nobody waits for ever.
#[test]
fn devices_have_the_adapter_and_whoever_comes_late_too() {
    let mut world = World::new("");
    agent(&world, 1, "adapter = \"adapter.gguf\"\nadapter_when = \"round\"");
    agent(&world, 2, "adapter = \"adapter.gguf\"\npatience_seconds = 6.0");
    world.start_all();
    let done = world.finish();
    assert_eq!(done["abandoned"], 0);
    let (first, second) = (device(1), device(2));
    for i in 1..=2 {
        assert_eq!(written(&world, i), world.adapter(), "device {i}");
        let told = of(&world, &device(i), "adapter");
        let last = told.last().unwrap();
        assert_eq!((&last["round"], &last["digest"]), (&Value::from(4), &done["adapter_digest"]), "{last}");
        assert_eq!(told.len() > 1, i == 1, "{told:?}");
    }
    assert_eq!(of(&world, "coordinator", "kept").len(), 1);
    // A card that died: no state, no data, no adapter; no coordinator either.
    let folder = format!("fleet/devices/{second}");
    std::fs::remove_dir_all(world.folder(&format!("{folder}/state"))).unwrap();
    std::fs::remove_file(world.folder(&format!("{folder}/adapter.gguf"))).unwrap();
    world.edit(&settings(2), "label.jsonl", "nowhere.jsonl");
    world.events.clear();
    world.start(&second);
    assert_eq!(ended(&mut world, &second).0, Some(0));
    assert_eq!(written(&world, 2), world.adapter());
    assert_eq!(of(&world, &second, "finished")[0]["digest"], done["adapter_digest"]);
    assert!(of(&world, &second, "training").is_empty());
    // The broker forgets, and the run is known only by what a coordinator says again.
    world.stop_broker();
    world.start_broker();
    std::fs::remove_file(world.folder(&format!("{folder}/adapter.gguf"))).unwrap();
    world.start("coordinator");
    world.start(&second);
    assert_eq!(ended(&mut world, &second).0, Some(0));
    assert_eq!(ended(&mut world, "coordinator").0, Some(0));
    assert_eq!(written(&world, 2), world.adapter());
    // One that has everything already ends at once, and writes the same.
    world.start(&first);
    assert_eq!(ended(&mut world, &first).0, Some(0));
}

/// The adapter of a finished run is neither with the broker nor is there a coordinator.
#[test]
fn whoever_comes_too_late_says_so_and_ends() {
    // More than is left with a broker: 1,6 MB of two factors and their moments.
    let train = "len = 64\nbatch = 1\ntangents = 1\nadapter = \"lora\"\nrank = 32\ntargets = \"all\"\nlayers = \"all\"\n";
    let setup = Setup { devices: 1, rounds: 1, train: train.to_owned(), ..Setup::default() };
    let mut world = World::with(Scene::new(), &setup);
    agent(&world, 1, "adapter = \"adapter.gguf\"\npatience_seconds = 6.0");
    world.start("coordinator");
    world.start(&device(1));
    world.finish();
    let kept = of(&world, "coordinator", "not-kept");
    if kept.is_empty() {
        panic!("the adapter is small enough for the broker: {:?}", of(&world, "coordinator", "kept"));
    }
    assert_eq!(written(&world, 1), world.adapter());
    std::fs::remove_dir_all(world.folder(&format!("fleet/devices/{}/state", device(1)))).unwrap();
    world.start(&device(1));
    let (code, message) = ended(&mut world, &device(1));
    assert_eq!(code, Some(6), "{message}");
    for words in
        ["is over after 1 rounds", "for 6 s neither the broker nor a coordinator", "sprig coordinate"]
    {
        assert!(message.contains(words), "{words}: {message}");
    }
    // Its coordinator is started again, and has been told to stay longer.
    world.edit(FLEET, "[coordinator]\n", "[coordinator]\nlinger_seconds = 20.0\n");
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.start(&device(1));
    assert_eq!(ended(&mut world, &device(1)).0, Some(0));
    world.send("coordinator", "-TERM");
    assert_eq!(ended(&mut world, "coordinator").0, Some(0));
}

/// More rounds are asked for than there were: the ledger goes on, devices that stayed take part again, and the end is that of
/// a run that had as many from the beginning.
#[test]
fn a_finished_run_goes_on_for_more_rounds() {
    let mut longer = World::with(Scene::new(), &Setup { rounds: 6, ..Setup::default() });
    longer.start_all();
    longer.finish();
    let mut world = World::new("");
    (1..=2).for_each(|i| agent(&world, i, "stay = true\nadapter = \"adapter.gguf\""));
    world.start_all();
    assert_eq!(ended(&mut world, "coordinator").0, Some(0));
    for i in 1..=2 {
        let name = device(i);
        if of(&world, &name, "finished").is_empty() {
            world.until("its end", |who, e| who == name && e["event"] == "finished");
        }
        assert_eq!(written(&world, i), world.adapter());
    }
    let config = format!("--config {FLEET}");
    world.edit(FLEET, "count = 4", "count = 3");
    world.scene.fails(
        2,
        &format!("coordinate {config}"),
        &["4 rounds are done", "[rounds] count", "more than 4"],
    );
    world.edit(FLEET, "count = 3", "count = 6");
    world.events.clear();
    world.start("coordinator");
    assert_eq!(ended(&mut world, "coordinator").0, Some(0));
    let done = of(&world, "coordinator", "done")[0].clone();
    assert_eq!((&done["rounds"], &done["abandoned"]), (&Value::from(6), &Value::from(0)), "{done}");
    assert_eq!(world.ledger().len(), 6);
    assert_eq!(world.adapter(), longer.adapter());
    for i in 1..=2 {
        let name = device(i);
        if of(&world, &name, "finished").is_empty() {
            world.until("its end", |who, e| who == name && e["event"] == "finished");
        }
        assert_eq!(written(&world, i), world.adapter());
        world.send(&name, "-TERM");
        assert_eq!(ended(&mut world, &name).0, Some(7));
    }
}

/// A run goes on from the adapter of another one: it begins as good as that one ended. What is none is refused by name.
#[test]
fn a_run_begins_with_the_adapter_of_another() {
    let mut world = World::new("");
    world.start_all();
    let first = world.finish();
    world.scene.write("note.txt", "no adapter");
    std::fs::copy(
        world.folder("fleet/coordinator/adapter.gguf"),
        world.folder("fleet/coordinator/first.gguf"),
    )
    .unwrap();
    let begin = |init: &str| {
        let text = std::fs::read_to_string(world.folder(FLEET)).unwrap();
        let text = text.replace("state = \"state\"", "state = \"second\"");
        let text = text.replace("[train]\n", &format!("[train]\ninit = {init:?}\n"));
        world.scene.write("fleet/coordinator/second.toml", &text);
        "coordinate --json --config fleet/coordinator/second.toml"
    };
    let refused = |init: &str, code: i32, words: &[&str]| world.scene.fails(code, begin(init), words);
    refused("../../note.txt", 2, &["[train] init", "note.txt"]);
    refused("../../tiny.gguf", 2, &["[train] init", "tiny.gguf", "adapter"]);
    refused("nowhere.gguf", 5, &["nowhere.gguf"]);
    refused("adapter.gguf", 2, &["adapter.gguf", "same file"]);
    begin("first.gguf");
    let text = std::fs::read_to_string(world.folder("fleet/coordinator/second.toml")).unwrap();
    let other = text.replace("targets = \"q,v\"", "targets = \"k\"");
    world.scene.write("fleet/coordinator/other.toml", &other);
    let words = ["[train] init", "first.gguf", "attn_q", "adapt"];
    world.scene.fails(2, "coordinate --config fleet/coordinator/other.toml", &words);
    // The second run, with the same devices.
    world.scene.write(FLEET, &text);
    // Devices that come before it find the first run over, and end.
    world.events.clear();
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    for i in 1..=2 {
        let name = device(i);
        world.start(&name);
        world.until("joined", |_, e| e["event"] == "joined" && e["device"] == *name);
    }
    let second = world.finish();
    assert_eq!(second["accuracy_before"], first["accuracy_after"], "{second}");
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-3;
    assert!(close(&second["before"]["loss"], &first["after"]["loss"]), "{first} {second}");
    assert_ne!(second["adapter_digest"], first["adapter_digest"]);
    assert!(
        world
            .events
            .iter()
            .any(|(who, e)| *who == device(1) && e["event"] == "synced" && e["by"] == "snapshot")
    );
    // Once begun, it began with that.
    world.edit(FLEET, "init = \"first.gguf\"\n", "");
    world.scene.fails(
        2,
        &format!("coordinate --config {FLEET}"),
        &["other settings", "began with adapter", "init"],
    );
}

/// A run in which no device's update was ever applied has an exit code of its own.
#[test]
fn a_run_that_came_to_nothing_says_so() {
    let mut world = World::with(Scene::new(), &Setup { devices: 1, rounds: 2, ..Setup::default() });
    world.edit(FLEET, "deadline_seconds = 60", "deadline_seconds = 1\nattempts = 1");
    agent(&world, 1, "stay = true");
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet pause --config {FLEET}"));
    world.start(&device(1));
    world.until("a device", |_, e| e["event"] == "joined");
    world.freeze(&device(1), true);
    world.scene.done(&format!("fleet resume --config {FLEET}"));
    let (code, message) = ended(&mut world, "coordinator");
    assert_eq!(code, Some(9), "{message}");
    assert!(
        message.contains("all 2 rounds were abandoned") && message.contains("fleet history"),
        "{message}"
    );
    let done = of(&world, "coordinator", "done")[0];
    assert_eq!((&done["rounds"], &done["abandoned"]), (&Value::from(2), &Value::from(2)), "{done}");
    assert!(!world.folder("fleet/coordinator/adapter.gguf").exists());
    // It can still come to something.
    world.edit(FLEET, "count = 2", "count = 3");
    world.edit(FLEET, "deadline_seconds = 1", "deadline_seconds = 60");
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.freeze(&device(1), false);
    assert_eq!(ended(&mut world, "coordinator").0, Some(0));
    let done = of(&world, "coordinator", "done").pop().unwrap().clone();
    assert_eq!((&done["rounds"], &done["abandoned"]), (&Value::from(3), &Value::from(2)), "{done}");
    assert!(world.folder("fleet/coordinator/adapter.gguf").exists());
    world.send(&device(1), "-TERM");
    assert_eq!(ended(&mut world, &device(1)).0, Some(7));
}

/// An adapter goes over nothing that the device reads, and a place where nothing can be written is told at the start.
#[test]
fn a_device_writes_over_nothing_that_it_reads() {
    let world = World::new("");
    let line = format!("agent --config {}", settings(1));
    agent(&world, 1, "adapter = \"../../../label.jsonl\"");
    world.scene.fails(2, &line, &["adapter", "same file as the data"]);
    world.edit(&settings(1), "../../../label.jsonl", "../../../tiny.gguf");
    world.scene.fails(2, &line, &["adapter", "same file as the model"]);
    world.edit(&settings(1), "../../../tiny.gguf", "nowhere/adapter.gguf");
    world.scene.fails(5, &line, &["nowhere"]);
}
