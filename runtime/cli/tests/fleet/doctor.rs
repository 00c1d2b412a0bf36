//! `sprig doctor`: a board of a fleet is looked at, and what is wrong with it is told by who must act.

use super::scene::Scene;
use super::world::{World, device};
use serde_json::Value;

const ASKED: &str = "doctor --json --wait 3 --config fleet/devices/device-001/device.toml";

fn state<'a>(said: &'a Value, check: &str) -> &'a str {
    let all = said["checks"].as_array().unwrap();
    all.iter().find(|one| one["check"] == check).map_or("absent", |one| one["state"].as_str().unwrap())
}

/// What it says of a board that is not well, and that it ends with `code`.
fn bad(scene: &Scene, code: i32, line: &str) -> Value {
    let ran = scene.run(line);
    assert_eq!(ran.code, code, "{}", ran.shown());
    ran.last()
}

#[test]
fn a_board_is_told_well_and_what_is_wrong_is_told_by_its_code() {
    let mut world = World::new("");
    world.start("coordinator");
    world.start(&device(1));
    world.until("the agent", |who, e| who == device(1) && e["event"] == "connected");
    let said = world.scene.done(ASKED).last();
    assert_eq!(said["healthy"], true, "{said}");
    for check in ["settings", "clock", "storage", "model", "broker"] {
        assert_eq!(state(&said, check), "good", "{said}");
    }
    // The broker has one session for a certificate: the agent's made room, and it came back.
    world.until("the agent again", |who, e| who == device(1) && e["event"] == "connected");
    world.start(&device(2));
    assert_eq!(world.finish()["rounds"], 4);

    let scene = &world.scene;
    let settings = String::from_utf8(scene.bytes("fleet/devices/device-001/device.toml")).unwrap();
    let with = |what: &str, by: &str| {
        assert!(settings.contains(what), "{settings}");
        scene.write("fleet/devices/device-001/device.toml", &settings.replace(what, by));
    };
    with("budget = \"80%\"", "budget = \"4MiB\"");
    let said = bad(scene, 4, ASKED);
    assert_eq!((state(&said, "model"), state(&said, "broker")), ("bad", "good"), "{said}");
    with("ca = \"ca.crt\"", "ca = \"device.crt\"");
    assert_eq!(state(&bad(scene, 2, ASKED), "broker"), "bad");
    with("tiny.gguf", "nowhere.gguf");
    assert_eq!(state(&bad(scene, 5, ASKED), "model"), "bad");
    with("[model]", "[modle]");
    let said = bad(scene, 3, ASKED);
    assert_eq!((state(&said, "settings"), state(&said, "broker")), ("bad", "absent"), "{said}");
    with("[model]", "[model]");
    world.stop_broker();
    let said = bad(&world.scene, 6, ASKED);
    assert_eq!((state(&said, "broker"), said["healthy"].as_bool()), ("bad", Some(false)), "{said}");
}

#[test]
fn a_machine_is_looked_at_without_settings() {
    let scene = Scene::new();
    let said = scene.done("doctor --json").last();
    let checks: Vec<_> =
        said["checks"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert_eq!(checks, ["board", "limits", "clock"], "{said}");
    let text = scene.done("doctor").out;
    assert!(text.lines().count() == 3 && text.contains("budget"), "{text}");
    scene.fails(2, "doctor --wait 0", &["0", "1..=3600"]);
}
