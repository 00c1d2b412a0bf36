//! Power cuts: every process in every state it tells of, and the broker too. The fleet ends with the ledger and the
//! adapter of an undisturbed run, bit for bit.

use super::world::{DEVICES, ROUNDS, World, device};
use serde_json::Value;
use std::time::Duration;

pub struct Undisturbed {
    pub ledger: Vec<Value>,
    pub adapter: Vec<u8>,
}

pub fn undisturbed(train: &str) -> Undisturbed {
    let mut world = World::new(train);
    world.start_all();
    let done = world.finish();
    assert_eq!(
        (done["rounds"].as_u64(), done["devices"].as_u64()),
        (Some(ROUNDS as u64), Some(DEVICES as u64))
    );
    let up = done["bytes_up_per_device_round"].as_f64().unwrap();
    assert!(up > 0.0 && up <= 2048.0, "{up} bytes up");
    assert!(done["peak_rss_bytes_max"].as_u64() < done["budget_bytes"].as_u64(), "{done}");
    let page = String::from_utf8(world.scene.bytes("fleet/coordinator/fleet.html")).unwrap();
    assert!(page.contains("id=\"kept\"") && page.contains(&device(1)));
    Undisturbed { ledger: world.ledger(), adapter: world.adapter() }
}

/// Kills `name` when it tells of `event` in `round` (or at all), starts it again, and compares the end.
fn killed(reference: &Undisturbed, train: &str, name: &str, event: &str, round: Option<u64>) {
    let mut world = World::new(train);
    world.start_all();
    let matches = |who: &str, e: &Value| {
        who == name && e["event"] == event && round.is_none_or(|r| e["round"].as_u64() == Some(r))
    };
    if !world.events.iter().any(|(who, e)| matches(who, e)) {
        world.until(event, matches);
    }
    world.kill(name);
    world.start(name);
    world.finish();
    assert_eq!(world.ledger(), reference.ledger, "{name} killed at {event} {round:?}");
    assert_eq!(world.adapter(), reference.adapter, "{name} killed at {event} {round:?}");
}

#[test]
fn a_device_killed_in_any_state_loses_nothing() {
    let reference = undisturbed("");
    let states = [
        ("planned", None),
        ("training", Some(1)),
        ("trained", Some(1)),
        ("sent", Some(2)),
        ("receipt", Some(2)),
        ("synced", None),
    ];
    for (event, round) in states {
        killed(&reference, "", &device(1), event, round);
    }
}

#[test]
fn a_coordinator_killed_in_any_state_loses_nothing() {
    let reference = undisturbed("");
    for (event, round) in [
        ("joined", None),
        ("opened", Some(1)),
        ("accepted", Some(1)),
        ("round", Some(2)),
        ("evaluated", None),
    ] {
        killed(&reference, "", "coordinator", event, round);
    }
}

#[test]
fn per_epoch_rounds_survive_kills_too() {
    let train = "mode = \"per-epoch\"\nlocal_steps = 3\nlr = 0.01\nserver = { rule = \"avg\", eta = 1.0 }";
    let reference = undisturbed(train);
    killed(&reference, train, &device(2), "training", Some(1));
    killed(&reference, train, "coordinator", "accepted", Some(2));
}

/// The broker is away for a while: in the midst of a round, and between a device's update and its receipt.
#[test]
fn a_broker_that_is_away_for_a_while_costs_time_alone() {
    let reference = undisturbed("");
    for (event, who) in [("training", device(1)), ("sent", device(2)), ("round", "coordinator".to_owned())] {
        let mut world = World::new("");
        world.start_all();
        world.until(event, |name, e| name == who && e["event"] == event && e["round"] != 0);
        world.stop_broker();
        std::thread::sleep(Duration::from_secs(1));
        world.start_broker();
        world.finish();
        assert_eq!(world.ledger(), reference.ledger, "broker away at {event}");
        assert_eq!(world.adapter(), reference.adapter, "broker away at {event}");
    }
}

/// A copy of the ledger that is put back, as its own error message advises: the run goes on from there as another epoch, devices
/// do the rounds since once more, and the fleet ends with the adapter of an undisturbed run.
#[test]
fn a_ledger_put_back_from_a_copy_goes_on() {
    let reference = undisturbed("");
    let mut world = World::new("");
    let ledger = world.folder("fleet/coordinator/state/ledger.redb");
    let copy = world.folder("fleet/copy.redb");
    let closed = |round: u64| {
        move |who: &str, e: &Value| who == "coordinator" && e["event"] == "round" && e["round"] == round
    };
    world.start_all();
    if !world.events.iter().any(|(who, e)| closed(1)(who, e)) {
        world.until("round 1", closed(1));
    }
    world.kill("coordinator");
    std::fs::copy(&ledger, &copy).unwrap();
    world.start("coordinator");
    let far = ROUNDS as u64 - 2;
    // The broker keeps the announcement of the round after it.
    world.until("a later round", |who, e| {
        who == device(1) && e["event"] == "training" && e["round"] == far + 1
    });
    world.kill("coordinator");
    std::fs::copy(&copy, &ledger).unwrap();
    let before = world.events.len();
    world.start("coordinator");
    let told = world.until("restored", |who, e| who == "coordinator" && e["event"] == "restored");
    let problem = told["problem"].as_str().unwrap();
    assert!(
        problem.contains("is older than what the fleet has done") && problem.contains("epoch 2"),
        "{problem}"
    );
    world.finish();
    let again: Vec<&Value> =
        world.events[before..].iter().filter(|(who, e)| closed(far)(who, e)).map(|(_, e)| e).collect();
    assert_eq!((again.len(), &again[0]["reported"]), (1, &Value::from(DEVICES)));
    assert_eq!(world.adapter(), reference.adapter);
}
