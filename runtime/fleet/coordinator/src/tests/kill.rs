//! Power cut after every single step of a run: restarted, it ends as if nothing had happened.

use super::world::{RUN, World, core, digest, every, layout, options};
use crate::core::Core;
use crate::ledger::Ledger;
use crate::{CoordinatorError, Options, RoundId};
use sprig_testkit::power::Disk;
use std::sync::Arc;

const ROUNDS: u32 = 3;
const DEVICES: usize = 3;

fn world() -> World {
    let mut options = options(DEVICES as u32, ROUNDS);
    options.evaluate = every(2);
    // Every event in a transaction of its own: the most places to cut.
    let mut world = World::new(options, DEVICES);
    world.group = 1;
    world
}

#[test]
fn a_cut_anywhere_leaves_the_undisturbed_ledger() {
    let disk = Disk::default();
    let mut undisturbed = world();
    let mut whole = core(&disk, &undisturbed.options.clone());
    undisturbed.run(&mut whole).unwrap();
    let expected = digest(&whole, ROUNDS);
    assert!(expected.contains("accuracy: Some(0.5)"), "{expected}");
    assert_eq!(undisturbed.receipts.len(), DEVICES * ROUNDS as usize);

    let mut cuts = 0;
    loop {
        let (disk, mut world) = (Disk::default(), world());
        let mut first = core(&disk, &world.options.clone());
        first.fuse = Some(cuts);
        let ended = world.run(&mut first);
        disk.cut();
        drop(first);
        let mut second = core(&disk, &world.options.clone());
        world.run(&mut second).unwrap();
        assert_eq!(second.holds(), Ok(()), "after a cut");
        assert_eq!(digest(&second, ROUNDS), expected, "cut after step {cuts}");
        match ended {
            Ok(()) => break,
            Err(CoordinatorError::Cut) => cuts += 1,
            Err(other) => panic!("{other}"),
        }
    }
    // Each round has a commit, an announcement, tasks, updates with receipts, a closing and notices.
    assert!(cuts > 70, "only {cuts} steps");
}

/// Cut again and again. A start alone takes some 15 steps: the announcement, three tasks, notices.
#[test]
fn many_cuts_in_one_run_leave_the_undisturbed_ledger() {
    let disk = Disk::default();
    let mut undisturbed = world();
    let mut whole = core(&disk, &undisturbed.options.clone());
    undisturbed.run(&mut whole).unwrap();
    let expected = digest(&whole, ROUNDS);
    for stride in 16..50 {
        let (disk, mut world) = (Disk::default(), world());
        world.group = stride as usize % 4 + 1;
        let mut starts = 0;
        let last = loop {
            let mut core = core(&disk, &world.options.clone());
            core.fuse = Some(stride + starts % 7);
            starts += 1;
            match world.run(&mut core) {
                Ok(()) => break core,
                Err(CoordinatorError::Cut) => disk.cut(),
                Err(other) => panic!("{other}"),
            }
            assert!(starts < 500, "no progress with {stride} steps a start");
        };
        assert_eq!(digest(&last, ROUNDS), expected, "{starts} starts of about {stride} steps");
    }
}

/// Power cut within every sync of the disk, which may have kept any part of what was written.
#[test]
fn a_cut_within_any_sync_leaves_the_undisturbed_ledger() {
    let disk = Disk::default();
    let mut undisturbed = world();
    let mut whole = core(&disk, &undisturbed.options.clone());
    undisturbed.run(&mut whole).unwrap();
    let expected = digest(&whole, ROUNDS);
    for syncs in 0.. {
        let (disk, mut world) = (Disk::default(), world());
        let mut first = core(&disk, &world.options.clone());
        disk.cut_after(syncs);
        let ended = world.run(&mut first);
        disk.cut();
        drop(first);
        let mut second = core(&disk, &world.options.clone());
        world.run(&mut second).unwrap();
        assert_eq!(second.holds(), Ok(()), "after a cut");
        assert_eq!(digest(&second, ROUNDS), expected, "cut within sync {syncs}");
        if ended.is_ok() {
            assert!(syncs > 15, "only {syncs} syncs");
            break;
        }
    }
}

/// A run that is over is not what more, or fewer, rounds would have made.
#[test]
fn a_finished_run_is_not_taken_for_one_of_other_rounds() {
    let (disk, mut world) = (Disk::default(), world());
    world.run(&mut core(&disk, &world.options.clone())).unwrap();
    for asked in [ROUNDS - 1, ROUNDS + 1] {
        disk.cut();
        let options = Arc::new(Options { rounds: asked, ..(*world.options).clone() });
        let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
        let opened = Core::open(ledger, &options, layout(), vec![0.5; layout().len()]).map(drop);
        let Err(CoordinatorError::Over { done, asked: named, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!((done, named), (RoundId(ROUNDS), asked));
    }
}
