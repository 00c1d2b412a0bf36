//! Runs that wait for one another, in one command, over mosquitto.

use super::world::{World, device};
use serde_json::Value;

const FIRST: &str = "fleet/coordinator/fleet.toml";
const NEXT: &str = "fleet/coordinator/next.toml";
const BOTH: &str =
    "coordinate --json --config fleet/coordinator/fleet.toml --config fleet/coordinator/next.toml";

/// A fleet whose devices stay, and a second run that begins with what the first one ends with.
fn world() -> World {
    let world = World::new("");
    let first = String::from_utf8(world.scene.bytes(FIRST)).unwrap();
    let next = first
        .replace("state = \"state\"", "state = \"next\"")
        .replace("adapter = \"adapter.gguf\"", "adapter = \"next.gguf\"")
        .replace("page = \"fleet.html\"", "page = \"next.html\"")
        .replace("count = 4", "count = 3")
        .replace("[train]\n", "[train]\ninit = \"adapter.gguf\"\n");
    world.scene.write(NEXT, &next);
    for i in 1..=2 {
        let file = format!("fleet/devices/{}/device.toml", device(i));
        let settings = String::from_utf8(world.scene.bytes(&file)).unwrap();
        world.scene.write(&file, &settings.replace("[agent]\n", "[agent]\nstay = true\n"));
    }
    world
}

/// The coordinator's events of that name.
fn of<'a>(world: &'a World, name: &'a str) -> Vec<&'a Value> {
    let all = world.events.iter().filter(move |(who, e)| who == "queue" && e["event"] == *name);
    all.map(|(_, e)| e).collect()
}

#[test]
fn runs_wait_for_one_another_and_those_that_are_over_are_passed() {
    let mut world = world();
    // What is wrong with the last one is said before the first one begins.
    let (first, next) = [FIRST, NEXT].map(|file| String::from_utf8(world.scene.bytes(file)).unwrap()).into();
    world.scene.write(NEXT, &next.replace("count = 3", "count = \"three\""));
    world.scene.fails(3, BOTH, &["next.toml", "count"]);
    world.scene.write(NEXT, &first);
    world.scene.fails(2, BOTH, &["fleet.toml and", "next.toml have the same state folder"]);
    assert!(!world.scene.has("fleet/coordinator/state"));
    world.scene.write(NEXT, &next);

    (1..=2).for_each(|i| world.start(&device(i)));
    world.start_as("queue", BOTH);
    world.until("the second run", |who, e| who == "queue" && e["event"] == "queue" && e["run"] == 2);
    world.until("its first round", |who, e| who == "queue" && e["event"] == "round");
    world.kill("queue");
    assert!(world.scene.has("fleet/coordinator/adapter.gguf"));
    // As if the power had gone between the first run's end and its file.
    let adapter = world.adapter();
    std::fs::remove_file(world.scene.path("fleet/coordinator/adapter.gguf")).unwrap();
    let before = of(&world, "done").len();
    assert_eq!((before, of(&world, "done")[0]["rounds"].as_u64()), (1, Some(4)));
    world.start_as("queue", BOTH);
    world.until("the end", |who, e| who == "queue" && e["event"] == "done" && e["rounds"] == 3);
    assert_eq!(world.adapter(), adapter);
    assert_eq!(of(&world, "queue").last().unwrap()["run"], 2);
    assert_eq!(of(&world, "queue").len(), 3, "the first run was led once");
    assert_eq!((of(&world, "taken-over").len(), of(&world, "rival").len()), (0, 0));
    for i in 1..=2 {
        let name = device(i);
        let finished = |(who, e): &&(String, Value)| *who == name && e["event"] == "finished";
        while world.events.iter().filter(finished).count() < 2 {
            world.next(std::time::Duration::from_millis(100));
        }
        world.kill(&name);
    }
    assert!(world.scene.has("fleet/coordinator/next.gguf"));
}
