//! The read-out of a fleet, through processes and a real broker: one round, sums that add up exactly.

use super::scene::Scene;
use super::world::{Setup, World, device};
use serde_json::Value;

const CONFIG: &str = "--config fleet/coordinator/fleet.toml";

/// A fleet of `devices` that has every device's records from `data`, with `more` in its read-out: not started.
fn fleet(devices: usize, more: &str, data: impl Fn(&Scene) -> String) -> World {
    let train = format!("len = 64\nbatch = 2\n[train.readout]\ndirections = 16\nmin_examples = 2\n{more}");
    let world = World::with(Scene::new(), &Setup { devices, rounds: 1, train, ..Setup::default() });
    world.scene.write("own.jsonl", &data(&world.scene));
    (1..=devices).for_each(|i| world.edit(&settings(i), "label.jsonl", "own.jsonl"));
    world
}

fn settings(i: usize) -> String {
    format!("fleet/devices/{}/device.toml", device(i))
}

/// The fleet after its one round: its last line.
fn run(mut world: World, devices: usize) -> (World, Value) {
    world.start("coordinator");
    (1..=devices).for_each(|i| world.start(&device(i)));
    let done = world.finish();
    (world, done)
}

fn read_out(devices: usize, more: &str, data: impl Fn(&Scene) -> String) -> (World, Value) {
    run(fleet(devices, more, data), devices)
}

/// Two devices with the same records are one device that has each record twice, to the bit; the adapter is evaluated by the
/// coordinator, exported from the ledger, and answers.
#[test]
fn one_round_of_sums_is_one_device_with_all_the_records() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let (two, done) = read_out(2, "", records);
    assert_eq!((done["rounds"].as_u64(), done["devices"].as_u64()), (Some(1), Some(2)), "{done}");
    assert!(done["accuracy_after"].is_f64(), "{done}");
    // All pieces of the sums: 1 + 2·(1 + 16) + 136 numbers of a byte or more.
    assert!(done["bytes_up_per_device_round"].as_f64().unwrap() > 171.0, "{done}");
    let (one, alone) = read_out(1, "", |scene| records(scene).repeat(2));
    assert_eq!(done["adapter_digest"], alone["adapter_digest"]);
    assert_eq!(two.adapter(), one.adapter());
    let export = two.scene.done(&format!("fleet export {CONFIG} --out last.gguf --json")).last();
    assert_eq!(export["adapter_digest"], done["adapter_digest"]);
    assert_eq!(two.scene.bytes("last.gguf"), two.adapter());
    let judged = "eval --json --model tiny.gguf --adapter last.gguf --task label --data label.jsonl --len 64";
    let judged = two.scene.done(judged).last();
    assert_eq!(judged["accuracy"], done["accuracy_after"], "{judged} {done}");
}

/// Three devices whose sums nobody sees are one that has each record three times, to the bit, over a real broker: whether all
/// follow the rounds, or act on their tasks alone; and devices that send nothing openly take part.
#[test]
fn sums_that_are_aggregated_securely_make_the_same_adapter() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let (three, done) = read_out(3, "secure_aggregation = true\n", records);
    assert_eq!((done["rounds"].as_u64(), done["devices"].as_u64()), (Some(1), Some(3)), "{done}");
    // What is hidden does not pack: 18 bytes and 8 of each of 171 numbers.
    assert!(done["bytes_up_per_device_round"].as_f64().unwrap() > 1386.0, "{done}");
    let (one, _) = read_out(1, "", |scene| records(scene).repeat(3));
    assert_eq!(three.adapter(), one.adapter());
    let by_task = fleet(3, "secure_aggregation = true\n", records);
    by_task.edit("fleet/coordinator/fleet.toml", "quorum = 3", "quorum = 3\nfollow = \"selected\"");
    (1..=3).for_each(|i| by_task.edit(&settings(i), "[data]\n", "[data]\nsecure_aggregation = true\n"));
    let (by_task, done) = run(by_task, 3);
    assert_eq!(done["devices"].as_u64(), Some(3), "{done}");
    assert_eq!(by_task.adapter(), one.adapter());
}

/// Noise that the fleet asks of its devices: a coordinator takes such sums, and no two runs have the same. Texts that
/// are too long for the fleet are told of where they lie. Of ε = 100 the two devices' noise is 0.6 examples of a class in
/// standard deviation; of 2 it was 16, and left at times one of two dozen texts' classes.
#[test]
fn sums_with_noise_are_taken_and_differ_from_run_to_run() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let run = || {
        let (world, done) = read_out(2, "dp = 100.0\n", records);
        assert_eq!((done["rounds"].as_u64(), done["devices"].as_u64()), (Some(1), Some(2)), "{done}");
        assert!(done["accuracy_after"].is_f64(), "{done}");
        let cut: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "cut").collect();
        assert!(cut.len() == 2 && cut.iter().all(|(_, e)| e["texts"] == 12 && e["of"] == 12), "{cut:?}");
        (world.adapter(), done["adapter_digest"].clone())
    };
    let ((first, one), (second, other)) = (run(), run());
    assert!(first != second && one != other, "the noise of two runs is the same");
}

/// A simulation takes steps; it does not pass a read-out over in silence.
#[test]
fn simulations_refuse_a_read_out_by_name() {
    let world = World::new("[train.readout]\n");
    let line = format!("simulate {CONFIG} --devices 2 --data label.jsonl --eval-data label.jsonl");
    world.scene.fails(2, &line, &["[train] readout", "steps"]);
}
