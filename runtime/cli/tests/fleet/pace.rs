//! A board that hangs, and an operator who decides about boards: processes, over mosquitto.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;

pub const CONFIG: &str = "--config fleet/coordinator/fleet.toml";

/// A fleet whose rounds need one update, with so many devices here.
pub fn world(devices: usize, rounds: usize) -> World {
    let world = World::with(Scene::new(), &Setup { devices, rounds, ..Setup::default() });
    let file = "fleet/coordinator/fleet.toml";
    let settings = std::fs::read_to_string(world.folder(file)).unwrap();
    let all = format!("min_devices = {devices}\nquorum = {devices}\ndeadline_seconds = 60");
    assert!(settings.contains(&all));
    world.scene.write(file, &settings.replace(&all, "min_devices = 1\nquorum = 1\ndeadline_seconds = 300"));
    world
}

/// Starts the coordinator and three devices, and waits until all have reported in one round.
pub fn three_report(world: &mut World) {
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet pause {CONFIG}"));
    (1..=3).for_each(|i| world.start(&device(i)));
    world.until("three devices", |_, e| e["event"] == "joined" && e["online"] == 3);
    world.scene.done(&format!("fleet resume {CONFIG}"));
    world.until("a round of all", |_, e| e["event"] == "round" && e["reported"] == 3);
}

pub fn devices(world: &World) -> Vec<Value> {
    world.scene.done(&format!("fleet devices --json {CONFIG}")).events()
}

#[test]
fn a_board_that_hangs_costs_a_grace_and_not_the_deadline() {
    let mut world = world(3, 8);
    three_report(&mut world);
    world.freeze(&device(3), true);
    let passed = world.until("nobody waits for it", |_, e| e["event"] == "round" && e["reported"] == 2);
    assert_eq!(passed["selected"], 3, "{passed}");
    // It rests, so the next round does not even ask it.
    let next = world.until("the next", |_, e| e["event"] == "round");
    assert_eq!((next["selected"].as_u64(), next["reported"].as_u64()), (Some(2), Some(2)), "{next}");
    let hung = devices(&world).into_iter().find(|d| d["id"] == *device(3)).unwrap();
    assert_eq!((hung["missed"].as_u64(), hung["failures"].as_u64()), (Some(1), Some(1)), "{hung}");
    world.kill(&device(3));
    world.finish();
    // The deadline is 300 seconds; a grace is two, and half of what devices usually take.
    let rows = world.scene.done(&format!("fleet history --json {CONFIG}")).events();
    assert!(rows.iter().all(|row| row["seconds"].as_f64().unwrap() < 60.0), "{rows:#?}");
}

#[test]
fn an_operator_decides_about_devices() {
    let mut world = world(2, 4);
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet pause {CONFIG}"));
    (1..=2).for_each(|i| world.start(&device(i)));
    world.until("two devices", |_, e| e["event"] == "joined" && e["online"] == 2);
    let other = device(2);
    world.scene.done(&format!("fleet quarantine {other} {CONFIG}"));
    let listed = world.scene.done(&format!("fleet devices {CONFIG}")).out;
    assert!(listed.contains("quarantined") && listed.contains("idle"), "{listed}");
    let refused = ["device-002 is here", "sprig fleet quarantine"];
    world.scene.fails(2, &format!("fleet remove {other} {CONFIG}"), &refused);
    world.scene.fails(2, &format!("fleet allow nobody {CONFIG}"), &["no device is called nobody"]);
    world.scene.done(&format!("fleet resume {CONFIG}"));
    let one = world.until("a round of one", |_, e| e["event"] == "round");
    assert_eq!((one["selected"].as_u64(), one["reported"].as_u64()), (Some(1), Some(1)), "{one}");
    world.scene.done(&format!("fleet allow {other} {CONFIG}"));
    world.finish();
    let told = world.events.iter().filter(|(_, e)| e["event"] == "decided").count();
    assert_eq!(told, 2, "the quarantine and its end");
}
