//! Fleets that learn preferences: scalars of all parts of the loss travel in one update, the coordinator weighs them, and
//! everybody ends in the same bits, however often the power is cut. What devices count of their confidences adds up.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;

const DEVICES: usize = 3;
const ROUNDS: usize = 3;
const BATCH: u64 = 2;

fn fleet() -> World {
    let usual = Setup::default();
    let train = usual.train.clone() + "objective = \"catto\"\nlam = 0.5\nparts = true\n";
    World::with(Scene::new(), &Setup { devices: DEVICES, rounds: ROUNDS, train, ..usual })
}

/// Starts everyone, devices one after another so that each has its number.
fn start(world: &mut World) {
    world.start("coordinator");
    for name in (1..=DEVICES).map(device) {
        world.start(&name);
        world
            .until("joined", |who, e| who == "coordinator" && e["event"] == "joined" && e["device"] == *name);
    }
}

/// Waits for the end, at which everyone has the coordinator's adapter: the history, and the adapter.
fn end(mut world: World) -> (Vec<Value>, Vec<u8>) {
    let done = world.finish();
    for name in (1..=DEVICES).map(device) {
        let last = world.events.iter().rev().find(|(who, e)| *who == name && e["event"] == "finished");
        assert_eq!(last.unwrap().1["digest"], done["adapter_digest"], "{name}");
    }
    (world.ledger(), world.adapter())
}

#[test]
fn parts_of_a_preference_are_weighed_on_the_coordinator_and_survive_kills() {
    let mut world = fleet();
    start(&mut world);
    let reference = end(world);
    let (ledger, _) = &reference;
    assert_eq!(ledger.len(), ROUNDS);
    for row in ledger {
        assert_eq!(row["weights"], serde_json::json!([1.0, 0.5, 0.0]), "{row}");
        let (found, bins) = (&row["calibration"], row["calibration"]["bins"].as_array().unwrap());
        let sum = |which: usize| bins.iter().map(|bin| bin[which].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum(0), bins.len()), (DEVICES as u64 * BATCH, 15), "{row}");
        // What the bins say: the mean confidence less the share of right answers.
        let gap = (sum(2) as f64 / (1u64 << 32) as f64 - sum(1) as f64) / sum(0) as f64;
        assert!((found["gap"].as_f64().unwrap() - gap).abs() < 1e-9 && found["n"] == sum(0), "{row}");
    }
    let mut world = fleet();
    start(&mut world);
    for (name, event, round) in [(device(2), "training", 1), ("coordinator".to_owned(), "accepted", 2)] {
        world.until(event, |who, e| who == name && e["event"] == event && e["round"] == round);
        world.kill(&name);
        world.start(&name);
    }
    assert_eq!(end(world), reference);
}
