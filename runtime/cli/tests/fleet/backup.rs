//! A copy of the ledger, made while the run goes, put back after more rounds were done.

use super::kill::undisturbed;
use super::world::{DEVICES, ROUNDS, World, device};
use serde_json::Value;

const CONFIG: &str = "--config fleet/coordinator/fleet.toml";

/// The run goes on from the copy as another epoch and ends with the adapter of an undisturbed run.
#[test]
fn a_run_goes_on_from_a_copy_that_was_made_while_it_went() {
    let reference = undisturbed("");
    let mut world = World::new("");
    world.scene.fails(2, &format!("fleet backup {CONFIG} --out early.redb"), &["there is no run"]);
    let closed = |round: u64| {
        move |who: &str, e: &Value| who == "coordinator" && e["event"] == "round" && e["round"] == round
    };
    world.start_all();
    if !world.events.iter().any(|(who, e)| closed(1)(who, e)) {
        world.until("round 1", closed(1));
    }
    let backup = format!("fleet backup {CONFIG} --out copy.redb");
    let events = world.scene.done(&format!("{backup} --json")).events();
    let (last, copied) = events.split_last().unwrap();
    assert_eq!(
        (&last["event"], &last["epoch"], &last["devices"]),
        (&"backup".into(), &1.into(), &DEVICES.into())
    );
    let (round, run) = (last["round"].as_u64().unwrap(), last["run"].clone());
    assert!(
        round >= 2 && copied.iter().all(|e| e["event"] == "copied" && e["rows"].as_u64() <= e["of"].as_u64())
    );
    world.scene.fails(2, &backup, &["copy.redb", "is there already"]);
    let over = format!("fleet backup {CONFIG} --out fleet/coordinator/fleet.toml");
    world.scene.fails(2, &over, &["the same file as --config"]);
    // The broker keeps the announcement of a round after it.
    let far = ROUNDS as u64 - 1;
    world.until("a later round", |who, e| who == device(1) && e["event"] == "training" && e["round"] == far);
    let restore = format!("fleet restore {CONFIG} copy.redb");
    world.scene.fails(5, &format!("{restore} --replace"), &["in use by another coordinator"]);
    world.kill("coordinator");
    world.scene.fails(2, &restore, &["holds a run already", "--replace"]);
    let told = world.scene.done(&format!("{restore} --replace --json")).last();
    assert_eq!((&told["run"], &told["round"], &told["epoch"]), (&run, &round.into(), &1.into()), "{told}");
    assert!(told["aside"].as_str().unwrap().ends_with("ledger.1.redb"), "{told}");
    world.start("coordinator");
    if round < far {
        let told = world.until("restored", |who, e| who == "coordinator" && e["event"] == "restored");
        assert!(told["problem"].as_str().unwrap().contains("epoch 2"), "{told}");
    }
    world.finish();
    assert_eq!(world.adapter(), reference.adapter);
    // Without a coordinator it is read from the state folder; in another one there is nothing to replace.
    world.scene.done(&format!("fleet backup {CONFIG} --out end.redb"));
    std::fs::remove_file(world.folder("fleet/coordinator/state/ledger.redb")).unwrap();
    let out = world.scene.done(&format!("fleet restore {CONFIG} end.redb")).out;
    assert!(out.contains(&format!("finished after {ROUNDS} rounds")), "{out}");
    assert_eq!(world.ledger().len(), ROUNDS);
}
