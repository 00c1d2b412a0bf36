//! Power cut after every single step of a run: restarted, it ends as if nothing had happened.

use super::world::{RUN, World, core, digest, every, layout, options};
use crate::core::Core;
use crate::ledger::Ledger;
use crate::{Applied, CoordinatorError, Options, RoundId};
use sprig_protocol::settings::Evaluate;
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
    // What the second round makes is not let through.
    world.accuracy = |applied| if applied == Applied(2) { 0.1 } else { 0.5 };
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
    let states = |core: &Core| -> Vec<String> {
        core.ledger.history(RoundId::FIRST).unwrap().into_iter().map(|row| row.state).collect()
    };
    assert_eq!(states(&whole), ["closed", "reverted", "closed"]);
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

/// A ledger that keeps as little as it may, cut anywhere and put back, goes on as another epoch.
#[test]
fn a_cut_anywhere_leaves_a_ledger_that_another_epoch_goes_on_from() {
    let frugal = |run| {
        let mut world = world();
        let options = (*world.options).clone();
        world.options = Arc::new(Options { run, keep_records: 0, keep_snapshots: 0, ..options });
        world
    };
    let next = RUN.next_epoch();
    for cuts in 0.. {
        let (disk, mut world) = (Disk::default(), frugal(RUN));
        let mut first = core(&disk, &world.options.clone());
        first.fuse = Some(cuts);
        let ended = world.run(&mut first);
        disk.cut();
        drop(first);
        Ledger::with_backend(disk.plug(), RUN, &world.options.settings).unwrap().renew(next).unwrap();
        disk.unplug();
        let mut world = frugal(next);
        let ledger = Ledger::with_backend(disk.plug(), next, &world.options.settings).unwrap();
        let mut second = Core::open(ledger, &world.options, layout(), vec![0.5; layout().len()]).unwrap();
        world.run(&mut second).unwrap();
        assert_eq!(second.holds(), Ok(()), "put back after step {cuts}");
        if ended.is_ok() {
            assert!(cuts > 70, "only {cuts} steps");
            break;
        }
    }
}

/// A finished run that is asked for more goes on to the ledger of one that was asked for as many from the beginning, whenever
/// it is cut; for fewer there is nothing to be done.
#[test]
fn a_finished_run_goes_on_for_more_rounds_and_not_for_fewer() {
    let more = ROUNDS + 2;
    // The end of the shorter run would be evaluated.
    let asked = |rounds: u32| Options { rounds, evaluate: Evaluate::Never, ..(*world().options).clone() };
    let (whole, mut longer) = (Disk::default(), World::new(asked(more), DEVICES));
    let mut core_of_all = core(&whole, &longer.options.clone());
    longer.run(&mut core_of_all).unwrap();
    let wanted = digest(&core_of_all, more);
    for fuse in [None, Some(0), Some(3), Some(11)] {
        let (disk, mut world) = (Disk::default(), World::new(asked(ROUNDS), DEVICES));
        world.run(&mut core(&disk, &world.options.clone())).unwrap();
        disk.cut();
        let options = Arc::new(asked(ROUNDS - 1));
        let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
        let opened = Core::open(ledger, &options, layout(), vec![0.5; layout().len()]).map(drop);
        let Err(CoordinatorError::Over { done, asked: named, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!((done, named), (RoundId(ROUNDS), ROUNDS - 1));
        world.options = Arc::new(asked(more));
        disk.cut();
        let mut next = core(&disk, &world.options.clone());
        next.fuse = fuse;
        if world.run(&mut next).is_err() {
            drop(next);
            disk.cut();
            next = core(&disk, &world.options.clone());
            world.run(&mut next).unwrap();
        }
        assert_eq!(digest(&next, more), wanted, "cut after {fuse:?} steps");
    }
}
