//! Bad input at the commands of a fleet, and what an operator asks of a running one.

use super::scene::Scene;
use super::world::{Setup, World, device};
use std::time::{Duration, Instant};

#[test]
fn an_operator_looks_pauses_goes_on_and_exports() {
    let mut world = World::new("");
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    let config = "--config fleet/coordinator/fleet.toml";
    world.scene.done(&format!("fleet pause {config}"));
    for i in 1..=2 {
        world.start(&device(i));
    }
    world.until("two devices", |_, e| e["event"] == "joined" && e["online"] == 2);
    std::thread::sleep(Duration::from_millis(300));
    let status = world.scene.done(&format!("fleet status --json {config}")).last();
    assert_eq!((status["state"].as_str(), status["round"].as_u64()), (Some("paused"), Some(0)), "{status}");
    assert!(world.scene.done(&format!("fleet status {config}")).out.contains(&device(2)));
    // One ledger, one coordinator.
    world.scene.fails(5, &format!("coordinate {config}"), &["in use by another coordinator"]);
    world.scene.done(&format!("fleet resume {config}"));
    // A device that has trained a round told what it took; whether its board is warm not every board tells.
    world.until("a round", |who, e| who == "coordinator" && e["event"] == "round" && e["state"] == "closed");
    world.scene.done(&format!("fleet pause {config}"));
    let told = |device: &serde_json::Value| device["planned_bytes"].is_u64() && device["round_s"].is_f64();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = world.scene.done(&format!("fleet status --json {config}")).last();
        if status["devices"].as_array().unwrap().iter().any(told) {
            break;
        }
        assert!(Instant::now() < until, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = world.scene.done(&format!("fleet status {config}")).out;
    assert!(status.contains("planned     round    warm") && status.contains(" s "), "{status}");
    world.scene.done(&format!("fleet resume {config}"));
    let done = world.finish();
    let history = world.ledger();
    let first = history[0]["adapter_digest"].as_str().unwrap();
    let export = format!("fleet export {config} --digest {} --out first.gguf --json", &first[..8]);
    assert_eq!(world.scene.done(&export).last()["adapter_digest"], *first);
    world.scene.done(&format!("fleet export {config} --out last.gguf"));
    assert_eq!(world.scene.bytes("last.gguf"), world.adapter());
    assert_ne!(world.scene.bytes("first.gguf"), world.adapter());
    world.scene.done("eval --model tiny.gguf --adapter last.gguf --task label --data label.jsonl");
    assert_eq!(done["adapter_digest"], history[3]["adapter_digest"]);
    world.scene.fails(2, &format!("fleet export {config} --digest ffff --out x.gguf"), &["ffff"]);
    // Both devices learnt from some of their examples in all rounds, each for the groups that it had.
    let coverage = world.scene.done(&format!("fleet coverage --json {config}")).events();
    let behind = |row: &serde_json::Value| -> u64 {
        row["examples"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    assert!(coverage.len() == 2 && coverage.iter().all(|row| behind(row) > 0), "{coverage:?}");
    let status = world.scene.done(&format!("fleet status {config}")).out;
    assert!(status.contains("test: finished after 4 rounds; no coordinator is running"), "{status}");
    // So are its devices, with what the ledger knows of them.
    let devices = world.scene.done(&format!("fleet devices --json {config}")).events();
    let mut names: Vec<_> = devices.iter().map(|known| known["id"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, [device(1), device(2)]);
    for known in &devices {
        assert_eq!(known["state"], "unknown", "{known}");
        assert!(known["accepted"].as_u64() > Some(0) && known["planned_bytes"].is_u64(), "{known}");
    }
    let devices = world.scene.done(&format!("fleet devices {config}")).out;
    assert!(devices.contains(&device(2)) && devices.contains("no coordinator is running"), "{devices}");
}

/// A run that is over says what its ledger holds.
#[test]
fn a_finished_run_reports_its_rounds() {
    let mut world = World::new("");
    for what in ["status", "devices"] {
        let line = format!("fleet {what} --config fleet/coordinator/fleet.toml");
        world.scene.fails(6, &line, &["no coordinator is running"]);
    }
    world.start("coordinator");
    (1..=2).for_each(|i| world.start(&device(i)));
    let done = world.finish();
    let config = "--config fleet/coordinator/fleet.toml";
    let again = world.scene.done(&format!("coordinate --json {config}")).last();
    assert_eq!((again["event"].as_str(), again["rounds"].as_u64()), (Some("done"), Some(4)), "{again}");
    assert!(again["accuracy_after"].is_f64(), "{again}");
    assert_eq!(again["accuracy_after"], done["accuracy_after"]);
    assert_eq!(again["accuracy_before"], done["accuracy_before"]);
    assert_eq!(world.ledger().len(), 4);
}

/// What no message can hold is refused before anybody trains for it.
#[test]
fn settings_whose_updates_cannot_travel_are_refused_at_the_start() {
    let train = "mode = \"per-epoch\"\nlocal_steps = 5000\nbatch = 32\ntangents = 64\n".to_owned();
    let world = World::with(Scene::new(), &Setup { train, ..Setup::default() });
    let words = ["[train] local_steps = 5000", "10240000 scalars", "8388608", "up = \"weights\""];
    world.scene.fails(2, "coordinate --config fleet/coordinator/fleet.toml", &words);
}

#[test]
fn bad_configurations_are_named_with_place_and_remedy() {
    let world = World::new("");
    let scene = &world.scene;
    scene.fails(5, "agent --config none.toml", &["none.toml"]);
    scene.write("a.toml", "[fleet]\nname = \"x\"\nbroker = 7\n");
    scene.fails(3, "agent --config a.toml", &["a.toml", "line 3"]);
    let folder = format!("fleet/devices/{}", device(1));
    let config = std::fs::read_to_string(world.folder(&format!("{folder}/device.toml"))).unwrap();
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        scene.write(&format!("{folder}/bad.toml"), &config.replace(from, to));
        format!("agent --config {folder}/bad.toml")
    };
    scene.fails(3, &with("resend_seconds", "resent_seconds"), &["bad.toml", "resent_seconds"]);
    let hasty = with("[agent]", "[agent]\npatience_seconds = 1");
    scene.fails(3, &hasty, &["bad.toml", "patience_seconds = 1", "use 6 or more"]);
    scene.fails(2, &with("ca = \"ca.crt\"", "ca = \"nowhere.crt\""), &["nowhere.crt"]);
    scene.fails(2, &with("mqtts://localhost", "http://localhost"), &["mqtts://"]);
    let plain = with(&format!("mqtts://localhost:{}", world.port()), "mqtt://example.org");
    scene.fails(2, &plain, &["allow_plain"]);
    // A device of another authority is not let in, and says so.
    scene.done("provision --out other --fleet test --devices 1");
    for file in ["device.crt", "device.key"] {
        let from = world.folder(&format!("other/devices/{}/{file}", device(1)));
        std::fs::copy(from, world.folder(&format!("{folder}/{file}"))).unwrap();
    }
    scene.fails(6, &format!("agent --config {folder}/device.toml"), &["localhost"]);
}

#[test]
fn a_terminal_that_goes_away_ends_coordinator_and_device_as_ctrl_c_does() {
    let mut world = World::new("");
    world.start("coordinator");
    world.start(&device(1));
    world.until("a device", |_, e| e["event"] == "joined");
    for name in [device(1), "coordinator".to_owned()] {
        world.send(&name, "-HUP");
        world.until("the end", |who, e| who == name && e["event"] == "interrupted");
        let ended = loop {
            match world.ended(&name) {
                Some((code, _)) => break code,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(ended, Some(7), "{name}");
    }
}
