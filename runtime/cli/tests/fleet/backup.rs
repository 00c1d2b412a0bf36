//! A copy of the ledger, made while the run goes, put back after more rounds were done.

use super::scene::Scene;
use super::world::{DEVICES, Setup, World, device};
use serde_json::Value;

const CONFIG: &str = "--config fleet/coordinator/fleet.toml";
/// So many that some are left, whenever the fleet is paused.
const ROUNDS: usize = 16;

fn world() -> World {
    World::with(Scene::new(), &Setup { rounds: ROUNDS, ..Setup::default() })
}

/// The run goes on from the copy as another epoch, with every device in each round. Its adapter is not that of an undisturbed
/// run: another epoch begins the devices' guards anew, which know only after 32 scalars what is large.
#[test]
fn a_run_goes_on_from_a_copy_that_was_made_while_it_went() {
    let mut world = world();
    world.scene.fails(2, &format!("fleet backup {CONFIG} --out early.redb"), &["there is no run"]);
    let closed = |round: u64| {
        move |who: &str, e: &Value| who == "coordinator" && e["event"] == "round" && e["round"] == round
    };
    world.start_all();
    if !world.events.iter().any(|(who, e)| closed(1)(who, e)) {
        world.until("round 1", closed(1));
    }
    // Which round it is in stays as it is, until it is let go on.
    world.scene.done(&format!("fleet pause {CONFIG}"));
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
    let restore = format!("fleet restore {CONFIG} copy.redb");
    world.scene.fails(5, &format!("{restore} --replace"), &["in use by another coordinator"]);
    world.scene.done(&format!("fleet resume {CONFIG}"));
    // The broker keeps the announcement of a round after it.
    let far = round + 2;
    world.until("a later round", |who, e| who == device(1) && e["event"] == "training" && e["round"] == far);
    world.kill("coordinator");
    world.scene.fails(2, &restore, &["holds a run already", "--replace"]);
    let told = world.scene.done(&format!("{restore} --replace --json")).last();
    assert_eq!((&told["run"], &told["round"], &told["epoch"]), (&run, &round.into(), &1.into()), "{told}");
    assert!(told["aside"].as_str().unwrap().ends_with("ledger.1.redb"), "{told}");
    world.start("coordinator");
    let told = world.until("restored", |who, e| who == "coordinator" && e["event"] == "restored");
    assert!(told["problem"].as_str().unwrap().contains("epoch 2"), "{told}");
    // The fleet was paused when the copy was made, and so it is again.
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet resume {CONFIG}"));
    let done = world.finish();
    let rows = world.ledger();
    assert!(rows.len() == ROUNDS && rows.iter().all(|row| row["reported"] == DEVICES), "{rows:?}");
    assert_eq!(rows[ROUNDS - 1]["adapter_digest"], done["adapter_digest"]);
    assert!(!world.adapter().is_empty());
    // Without a coordinator it is read from the state folder; in another one there is nothing to replace.
    world.scene.done(&format!("fleet backup {CONFIG} --out end.redb"));
    std::fs::remove_file(world.folder("fleet/coordinator/state/ledger.redb")).unwrap();
    let out = world.scene.done(&format!("fleet restore {CONFIG} end.redb")).out;
    assert!(out.contains(&format!("finished after {ROUNDS} rounds")), "{out}");
    assert_eq!(world.ledger().len(), ROUNDS);
}
