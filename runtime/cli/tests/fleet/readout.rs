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

/// Noise that three of four devices have among them, put together on the coordinator.
#[test]
fn noise_that_devices_share_is_put_together_on_the_coordinator() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let more = "secure_aggregation = true\ndp = 50.0\nnoise_among = 3\n";
    let (world, done) = read_out(4, more, records);
    assert_eq!((done["rounds"].as_u64(), done["devices"].as_u64()), (Some(1), Some(4)), "{done}");
    assert!(done["accuracy_after"].is_f64(), "{done}");
    let spent: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "spent").collect();
    assert!(spent.len() == 4 && spent.iter().all(|(_, e)| e["epsilon"] == 50.0), "{spent:?}");
}

/// A simulated read-out of all records is that of the fleet that has them, however they are dealt.
#[test]
fn a_simulation_makes_the_adapter_of_the_fleet() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let (world, done) = read_out(2, "", records);
    world.scene.write("twice.jsonl", &records(&world.scene).repeat(2));
    let line = format!("simulate {CONFIG} --devices 2 --data twice.jsonl --eval-data label.jsonl --json");
    let simulated = world.scene.done(&line).last();
    assert_eq!(simulated["adapter_digest"], done["adapter_digest"]);
    assert_eq!(simulated["accuracy_after"], done["accuracy_after"]);
}

/// Two coordinators that lead a part of the devices each: their totals together are that of one that leads them all, to the
/// bit; what does not add up is refused.
#[test]
fn totals_of_two_coordinators_add_up_to_that_of_one() {
    let records = |scene: &Scene| String::from_utf8(scene.bytes("label.jsonl")).unwrap() + "\n";
    let ((two, _), (one, _)) = (read_out(2, "", records), read_out(1, "", records));
    let other = one.folder("fleet/coordinator/fleet.toml");
    let line = format!("fleet export {CONFIG} --with {} --out folded.gguf --json", other.display());
    let folded = two.scene.done(&line).last();
    assert_eq!((folded["fleets"].as_u64(), folded["examples"].as_u64()), (Some(2), Some(36)), "{folded}");
    let (all, done) = read_out(1, "", |scene| records(scene).repeat(3));
    assert_eq!(folded["adapter_digest"], done["adapter_digest"]);
    assert_eq!(two.scene.bytes("folded.gguf"), all.adapter());
    let twice = format!("fleet export {CONFIG} --with fleet/coordinator/fleet.toml --out twice.gguf");
    two.scene.fails(2, &twice, &["--with", "added up already"]);
    one.edit("fleet/coordinator/fleet.toml", "directions = 16", "directions = 8");
    two.scene.fails(2, &line, &["[train] is another"]);
}
