//! A fleet whose devices act on their tasks alone: they hear of no round without one, and end where all would have.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;

const FLEET: &str = "fleet/coordinator/fleet.toml";
const DEVICES: usize = 3;
const ROUNDS: usize = 9;

/// Three devices that act on their tasks alone, of which one is selected a round; started one after another.
fn fleet() -> World {
    let setup = Setup { devices: DEVICES, rounds: ROUNDS, ..Setup::default() };
    let mut world = World::with(Scene::new(), &setup);
    let one = "devices = 1\nmin_devices = 1\nquorum = 1\nfollow = \"selected\"";
    world.edit(FLEET, "devices = 3\nmin_devices = 3\nquorum = 3", one);
    world.edit(&settings(1), "[agent]\n", "[agent]\nadapter = \"adapter.gguf\"\n");
    world.start("coordinator");
    for i in 1..=DEVICES {
        join(&mut world, i);
    }
    world
}

fn join(world: &mut World, i: usize) {
    let name = device(i);
    world.start(&name);
    world.until("joined", |who, e| who == "coordinator" && e["event"] == "joined" && e["device"] == *name);
}

fn settings(i: usize) -> String {
    format!("fleet/devices/{}/device.toml", device(i))
}

fn of<'w>(world: &'w World, name: &str, event: &str) -> Vec<&'w Value> {
    world.events.iter().filter(|(who, e)| who == name && e["event"] == event).map(|(_, e)| e).collect()
}

/// What each round made follows from who was selected and from what it was asked: whether others followed changes no bit of it.
/// Whoever has no task fetches nothing; whoever keeps the adapter fetches it once more, at the end.
#[test]
fn whoever_has_no_task_hears_of_no_round() {
    let mut world = fleet();
    let done = world.finish();
    assert_eq!(
        (done["rounds"].as_u64(), done["abandoned"].as_u64()),
        (Some(ROUNDS as u64), Some(0)),
        "{done}"
    );
    let trained: Vec<usize> = (1..=DEVICES).map(|i| of(&world, &device(i), "trained").len()).collect();
    assert_eq!(trained.iter().sum::<usize>(), ROUNDS, "{trained:?}");
    for i in 1..=DEVICES {
        let (name, keeps) = (device(i), usize::from(i == 1));
        let synced = of(&world, &name, "synced").len();
        assert!(synced <= trained[i - 1] + keeps, "{name} fetched {synced} adapters for {trained:?}");
        assert_eq!(of(&world, &name, "finished").len(), 1, "{name}");
    }
    assert_eq!(world.scene.bytes("fleet/devices/device-001/adapter.gguf"), world.adapter());
    let rounds = of(&world, "coordinator", "round").len();
    assert_eq!(rounds, ROUNDS);
}

/// A power cut of the coordinator, one of a device in the middle of its part, a device that comes when all is over, and more
/// rounds for those that stay.
#[test]
fn a_fleet_by_tasks_survives_kills_and_goes_on() {
    let mut world = fleet();
    for i in 1..=2 {
        world.edit(&settings(i), "[agent]\n", "[agent]\nstay = true\n");
    }
    // Rounds are not waited for by those that join.
    world.until("a round", |_, e| e["event"] == "round" && e["round"].as_u64() >= Some(1));
    world.kill("coordinator");
    for i in 1..=2 {
        world.kill(&device(i));
        world.start(&device(i));
    }
    world.start("coordinator");
    world.until("the end", |who, e| who == "coordinator" && e["event"] == "done");
    for i in 1..=2 {
        let name = device(i);
        if of(&world, &name, "finished").is_empty() {
            world.until("its rest", |who, e| who == name && e["event"] == "finished");
        }
    }
    let more = ROUNDS + 2;
    world.edit(FLEET, &format!("count = {ROUNDS}"), &format!("count = {more}"));
    world.start("coordinator");
    let done = world.until("the second end", |who, e| {
        who == "coordinator" && e["event"] == "done" && e["rounds"].as_u64() == Some(more as u64)
    });
    assert_eq!(done["abandoned"].as_u64(), Some(0), "{done}");
    // With nothing in its state, after everybody has gone.
    std::fs::remove_dir_all(world.folder("fleet/devices/device-003/state")).unwrap();
    world.edit(&settings(3), "[agent]\n", "[agent]\nadapter = \"adapter.gguf\"\n");
    world.start(&device(3));
    world.until("the late adapter", |who, e| who == device(3) && e["event"] == "adapter");
    assert_eq!(world.scene.bytes("fleet/devices/device-003/adapter.gguf"), world.adapter());
}
