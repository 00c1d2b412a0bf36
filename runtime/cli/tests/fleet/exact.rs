//! Fleets that learn by exact gradients, on the real model: weights travel per epoch, and under Flow with their routers,
//! derivatives along the round's directions per iteration. Power cuts in mid-round, at a device and at the coordinator, change no bit and count no update twice.

use super::scene::{Scene, model};
use super::world::{DEVICES, Setup, World, device};
use serde_json::Value;
use std::os::unix::fs::symlink;

const ROUNDS: usize = 3;
/// A dozen tokens, none of which is cut off, and the two uppermost blocks.
const SMALL: &str = "raw = true\ntemplate = \"{text}:\"\nlen = 24\nbatch = 2\nlayers = \"28..30\"\n";

/// How a fleet ended.
#[derive(Debug, PartialEq)]
struct End {
    ledger: Vec<Value>,
    coverage: Vec<Value>,
    adapter: Vec<u8>,
}

fn fleet(train: &str) -> World {
    let scene = Scene::new();
    symlink(model(), scene.path("model.gguf")).unwrap();
    let models = ["model.gguf"; 2];
    World::with(scene, &Setup { rounds: ROUNDS, train: SMALL.to_owned() + train, models, ..Setup::default() })
}

/// Waits for the end, at which everyone has the coordinator's adapter and each update counts once.
fn end(mut world: World) -> End {
    let done = world.finish();
    assert_eq!(done["updates"].as_f64(), Some((ROUNDS * DEVICES) as f64), "{done}");
    for i in 1..=DEVICES {
        let name = device(i);
        let last = world.events.iter().rev().find(|(who, e)| *who == name && e["event"] == "finished");
        assert_eq!(last.unwrap().1["digest"], done["adapter_digest"], "{name}");
    }
    let coverage = world.scene.done("fleet coverage --json --config fleet/coordinator/fleet.toml").events();
    End { ledger: world.ledger(), coverage, adapter: world.adapter() }
}

fn power_cuts_in_mid_round_change_nothing(fleet: impl Fn() -> World) {
    let mut world = fleet();
    world.start_all();
    let reference = end(world);
    let mut world = fleet();
    world.start_all();
    for (name, event, round) in [(device(2), "training", 1), ("coordinator".to_owned(), "accepted", 2)] {
        world.until(event, |who, e| who == name && e["event"] == event && e["round"] == round);
        world.kill(&name);
        world.start(&name);
    }
    assert_eq!(end(world), reference);
}

#[test]
fn exact_steps_of_the_real_model_travel_as_weights_and_survive_kills() {
    power_cuts_in_mid_round_change_nothing(|| fleet("preset = \"fedyogi-split\"\nlocal_steps = 2"));
}

#[test]
fn routers_of_the_real_model_travel_with_their_adapter_and_survive_kills() {
    let train = "local_steps = 2\nrank = 4\ntargets = \"q,v\"\n[train.flow]\n";
    power_cuts_in_mid_round_change_nothing(|| fleet(train));
}

#[test]
fn exact_derivatives_of_the_real_model_travel_as_scalars_and_survive_kills() {
    let train = "estimator = \"reverse\"\ntangents = 2\nrank = 4\nup = \"auto\"";
    power_cuts_in_mid_round_change_nothing(|| fleet(train));
}

/// 252 examples along 64 directions: 16,128 scalars, which a message does not hold.
#[test]
fn derivatives_that_no_message_holds_travel_in_pieces_and_survive_kills() {
    let record =
        |i: usize| format!("{{\"text\": \"{i} birds\", \"label\": \"{}\"}}\n", ["up", "down"][i % 2]);
    power_cuts_in_mid_round_change_nothing(|| {
        let scene = Scene::new();
        scene.write("label.jsonl", &(0..252).map(record).collect::<String>());
        let train = "len = 64\nrank = 2\ntargets = \"q,v\"\nlayers = \"1..3\"\n\
                     estimator = \"reverse\"\ntangents = 64\nbatch = 252\n";
        World::with(scene, &Setup { rounds: ROUNDS, train: train.to_owned(), ..Setup::default() })
    });
}
