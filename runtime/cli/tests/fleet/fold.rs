//! Two fleets that learn one adapter, each with a coordinator and three boards, on one broker.

use super::scene::Scene;
use super::secure::STEPS;
use super::world::{Setup, World, device};
use serde_json::Value;

/// Seven are provisioned: three boards of each fleet, and who leads the second one.
const NAMES: usize = 7;
const ROUNDS: usize = 4;

/// Through processes and a broker whose list says who may hear what; the second coordinator loses its power in a round, and
/// whoever lacks something has it in the end: both have the same adapter after each round.
#[test]
fn two_fleets_learn_one_adapter() {
    let train = STEPS.to_owned();
    let mut world =
        World::with(Scene::new(), &Setup { devices: NAMES, rounds: ROUNDS, train, ..Setup::default() });
    let leader = device(NAMES);
    // Who leads one may hear the other's rounds and totals, and nothing else of it.
    let list = String::from_utf8(world.scene.bytes("fleet/broker/acl")).unwrap();
    let hears =
        |other: &str| format!("topic read sprig/1/{other}/round\ntopic read sprig/1/{other}/total/+\n");
    let north =
        list.replace("sprig/1/test", "sprig/1/north").replace("user coordinator", &format!("user {leader}"));
    let list = list.replace("user coordinator\n", &format!("user coordinator\n{}", hears("north")));
    let north = north.replace(&format!("user {leader}\n"), &format!("user {leader}\n{}", hears("test")));
    world.scene.write("fleet/broker/acl", &format!("{list}\n{north}"));
    world.stop_broker();
    world.start_broker();

    let file = "fleet/coordinator/fleet.toml";
    for count in ["devices", "min_devices", "quorum"] {
        world.edit(file, &format!("\n{count} = {NAMES}"), &format!("\n{count} = 3"));
    }
    world.edit(file, "[coordinator]\n", "[coordinator]\nfold_with = [\"north\"]\n");
    let first = String::from_utf8(world.scene.bytes(file)).unwrap();
    let second = first
        .replace("name = \"test\"", "name = \"north\"")
        .replace("[\"north\"]", "[\"test\"]")
        .replace("\"coordinator.crt\"", &format!("\"../devices/{leader}/device.crt\""))
        .replace("\"coordinator.key\"", &format!("\"../devices/{leader}/device.key\""))
        .replace("state = \"state\"", "state = \"second\"")
        .replace("\"adapter.gguf\"", "\"other.gguf\"")
        .replace("\"fleet.html\"", "\"other.html\"");
    world.scene.write("fleet/coordinator/second.toml", &second);
    for i in 4..=6 {
        world.edit(&format!("fleet/devices/{}/device.toml", device(i)), "\"test\"", "\"north\"");
    }
    world.start("coordinator");
    world.start("second");
    (1..=6).for_each(|i| world.start(&device(i)));

    let open = |who: &str, e: &Value| who == "second" && e["event"] == "opened" && e["round"] == 1;
    world.until("the second's round 1", open);
    world.kill("second");
    world.start("second");
    world.finish();

    let rounds = |of: &str| -> Vec<Value> {
        let said = world.events.iter().filter(|(who, e)| who == of && e["event"] == "round");
        said.map(|(_, e)| e.clone()).collect()
    };
    let ran = world.scene.done("fleet history --json --config fleet/coordinator/second.toml").events();
    assert_eq!((rounds("coordinator").len(), ran.len()), (ROUNDS, ROUNDS));
    for (ours, theirs) in rounds("coordinator").iter().zip(&ran) {
        assert_eq!(ours["adapter_digest"], theirs["adapter_digest"]);
        for row in [ours, theirs] {
            assert_eq!((row["reported"].as_u64(), row["others"].as_u64()), (Some(3), Some(3)), "{row}");
        }
    }
    assert_eq!(world.adapter(), world.scene.bytes("fleet/coordinator/other.gguf"));
}
