//! Two coordinators in one fleet, as processes on one broker, where each takes the other's session.

use super::scene::Scene;
use super::world::{DEVICES, Setup, World, device};
use serde_json::Value;
use std::time::Duration;

const ROUNDS: usize = 60;

/// The one that comes second stands down, and stays down however often it is started; the first one ends its run.
#[test]
fn of_two_coordinators_the_second_stands_down_for_good() {
    let mut world = World::with(Scene::new(), &Setup { rounds: ROUNDS, ..Setup::default() });
    let first = String::from_utf8(world.scene.bytes("fleet/coordinator/fleet.toml")).unwrap();
    let second =
        first.replace("state = \"state\"", "state = \"second\"").replace("adapter.gguf", "other.gguf");
    assert!(second.contains("\"second\"") && second.contains("other.gguf"));
    world.scene.write("fleet/coordinator/second.toml", &second);
    world.start_all();
    let training = |who: &str, e: &Value| who == device(1) && e["event"] == "training" && e["round"] == 2;
    world.until("round 2", training);

    world.start("second");
    let message = code_6(&mut world);
    assert!(message.contains("is led by another coordinator"), "{message}");
    world.start("second");
    let message = code_6(&mut world);
    assert!(message.contains("stood down") && message.contains("sprig fleet take-over"), "{message}");

    let done = world.finish();
    assert_eq!((done["rounds"].as_u64(), done["devices"].as_u64()), (Some(60), Some(DEVICES as u64)));
    let rivals = world.events.iter().filter(|(who, e)| who == "coordinator" && e["event"] == "rival").count();
    assert_eq!(rivals, 1);
    let told = world.scene.done("fleet take-over --json --config fleet/coordinator/second.toml").last();
    assert!(told["stood_down_for"].is_string(), "{told}");
}

/// What the second one said when it ended, which it did by code 6.
fn code_6(world: &mut World) -> String {
    let ended = (0..600).find_map(|_| {
        world.next(Duration::from_millis(100));
        world.ended("second")
    });
    let (code, message) = ended.expect("the second coordinator goes on");
    assert_eq!(code, Some(6), "{message}");
    message
}
