//! Devices that go by other numbers each round.

use super::world::{World, core, options};
use crate::*;
use sprig_testkit::power::Disk;
use sprig_transport::messages::Record;
use std::collections::BTreeSet;
use std::sync::Arc;

const DEVICES: u32 = 5;
const ROUNDS: u32 = 6;

/// Numbers of the contributions of each round, and the adapter's digest.
fn told(core: &crate::core::Core) -> (Vec<Vec<u32>>, String) {
    let numbers = |round| -> Vec<u32> {
        let frame = core.ledger.record(RoundId(round)).unwrap().unwrap();
        Record::decode(&frame).unwrap().contributions.iter().map(|c| c.number).collect()
    };
    ((0..ROUNDS).map(numbers).collect(), core.closer.digest().to_string())
}

fn run(key: Option<[u8; 32]>) -> (Vec<Vec<u32>>, String) {
    let settings = Options { numbers: key, max_devices: 1000, ..options(DEVICES, ROUNDS) };
    let mut world = World::new(settings, DEVICES as usize);
    let mut core = core(&Disk::default(), &world.options);
    world.run(&mut core).unwrap();
    assert_eq!(world.receipts.len() as u32, DEVICES * ROUNDS);
    told(&core)
}

#[test]
fn records_name_devices_by_other_numbers_each_round() {
    let (own, _) = run(None);
    assert!(own.iter().all(|round| *round == [1, 2, 3, 4, 5]), "{own:?}");
    let (drawn, digest) = run(Some([3; 32]));
    assert!(drawn.iter().all(|round| round.len() == 5 && round.is_sorted()), "{drawn:?}");
    // Of thirty numbers among a thousand some may come twice.
    let all: BTreeSet<u32> = drawn.concat().into_iter().collect();
    assert!(all.len() > 24 && all.iter().all(|n| (1..=1000).contains(n)), "{drawn:?}");
    assert_eq!(run(Some([3; 32])), (drawn.clone(), digest));
    assert_ne!(run(Some([4; 32])).0, drawn);
}

/// The key that a run began with stays, whatever another start of its coordinator draws.
#[test]
fn numbers_are_those_of_the_runs_beginning_after_a_restart() {
    let settings = Options { numbers: Some([3; 32]), max_devices: 1000, ..options(DEVICES, ROUNDS) };
    let disk = Disk::default();
    let mut world = World::new(Options { rounds: 3, ..settings.clone() }, DEVICES as usize);
    world.run(&mut core(&disk, &world.options.clone())).unwrap();
    world.options = Arc::new(Options { numbers: Some([9; 32]), ..settings });
    let mut again = core(&disk, &world.options.clone());
    world.run(&mut again).unwrap();
    assert_eq!(told(&again), run(Some([3; 32])));
}
