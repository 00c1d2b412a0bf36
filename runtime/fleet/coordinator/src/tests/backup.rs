//! Copies of a ledger: whole, of one moment, over no file, and put back.

use super::world::{GROUPS, RUN, WEIGHTS, World, core, digest, layout, options};
use crate::core::Core;
use crate::ledger::{Copied, Ledger};
use crate::*;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{Digest, Snapshot};
use std::fs;
use std::path::Path;

const ROUNDS: u32 = 3;

fn finished() -> (World, Core) {
    let mut world = World::new(options(3, ROUNDS), 3);
    let mut core = core(&Disk::default(), &world.options.clone());
    world.run(&mut core).unwrap();
    (world, core)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_the_ledger_as_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let (world, core) = finished();
    let out = dir.path().join("copy.redb");
    let mut last = Copied::default();
    let mut heard = |copied| {
        last = copied;
        true
    };
    let held = core.ledger.moment().unwrap().copy_to(&out, &mut heard).unwrap().unwrap();
    assert_eq!((held.round, held.finished, held.devices, held.epoch), (ROUNDS, true, 3, RUN.epoch()));
    assert!(last.rows == last.of && last.rows > 15 && last.bytes > 1000, "{last:?}");
    assert_eq!(names(dir.path()), ["copy.redb"], "nothing is left beside it");
    let copy = Ledger::at(out.clone()).unwrap();
    let again = Core::open(copy, &world.options, layout(), vec![0.5; GROUPS * WEIGHTS]).unwrap();
    assert_eq!(digest(&again, ROUNDS), digest(&core, ROUNDS));
    // It goes over no file.
    let error = core.ledger.moment().unwrap().copy_to(&out, &mut |_| true).unwrap_err();
    assert!(matches!(error, LedgerError::There { .. }), "{error}");
}

#[test]
fn what_comes_after_the_moment_is_not_in_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(options(3, ROUNDS), 3);
    let mut core = core(&Disk::default(), &world.options.clone());
    let moment = core.ledger.moment().unwrap();
    world.run(&mut core).unwrap();
    let reference = digest(&core, ROUNDS);
    let out = dir.path().join("copy.redb");
    let held = moment.copy_to(&out, &mut |_| true).unwrap().unwrap();
    assert_eq!((held.round, held.finished, held.devices), (0, false, 0));
    // Of a coordinator that has ended there is none.
    drop(core);
    let late = dir.path().join("late.redb");
    assert!(moment.copy_to(&late, &mut |_| true).unwrap().is_none() && !late.exists());
    // A run that goes on from it comes to the same end.
    let mut world = World::new(options(3, ROUNDS), 3);
    let copy = Ledger::at(out).unwrap();
    let mut again = Core::open(copy, &world.options.clone(), layout(), vec![0.5; GROUPS * WEIGHTS]).unwrap();
    world.run(&mut again).unwrap();
    assert_eq!(digest(&again, ROUNDS), reference);
}

#[test]
fn a_large_ledger_is_copied_in_portions_and_a_copy_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::with_backend(Disk::default().plug(), RUN, "").unwrap();
    for applied in 0..4_u32 {
        let (values, moments) = (vec![applied as f32; 1 << 20], Vec::new());
        let after = Digest([applied as u8; 32]);
        ledger.begin_with(&Snapshot { run: RUN, round: applied, after, values, moments }).unwrap();
    }
    let moment = ledger.moment().unwrap();
    let (mut told, mut most) = (0, 0);
    let mut before = 0;
    let whole = moment.copy_to(&dir.path().join("whole"), &mut |copied| {
        most = most.max(copied.bytes - std::mem::replace(&mut before, copied.bytes));
        told += 1;
        true
    });
    assert_eq!(whole.unwrap().unwrap().round, 0);
    assert!(told > 12 && most <= (4 << 20) + (16 << 10), "{told} portions of up to {most} bytes");
    let part = moment.copy_to(&dir.path().join("part"), &mut |copied| copied.bytes < 8 << 20);
    assert!(part.unwrap().is_none());
    assert_eq!(names(dir.path()), ["whole"]);
}

#[test]
fn a_copy_is_put_back_whole_and_over_no_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (_, core) = finished();
    let (copy, state) = (dir.path().join("copy.redb"), dir.path().join("new/state"));
    core.ledger.moment().unwrap().copy_to(&copy, &mut |_| true).unwrap().unwrap();
    let mut told = (0, 0);
    let restored = restore(&state, &copy, false, &mut |done, of| told = (done, of)).unwrap();
    assert_eq!((restored.held.round, restored.aside, told.0), (ROUNDS, None, told.1));
    assert_eq!(restored.ledger, state.join("ledger.redb"));
    let refused = restore(&state, &copy, false, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("holds a run already") && refused.contains("--replace"), "{refused}");
    // The one before keeps its bytes under another name, even one that is damaged, but not one that is in use.
    fs::write(&restored.ledger, "damaged").unwrap();
    let replaced = restore(&state, &copy, true, &mut |_, _| {}).unwrap();
    assert_eq!(fs::read(replaced.aside.unwrap()).unwrap(), b"damaged");
    let open = Ledger::existing(&state).unwrap();
    let refused = restore(&state, &copy, true, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("in use by another coordinator"), "{refused}");
    drop(open);
    assert_eq!(names(&state), ["ledger.1.redb", "ledger.redb"]);
}

#[test]
fn a_damaged_copy_is_not_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let (_, core) = finished();
    let (copy, state) = (dir.path().join("copy.redb"), dir.path().join("state"));
    core.ledger.moment().unwrap().copy_to(&copy, &mut |_| true).unwrap().unwrap();
    let whole = fs::read(&copy).unwrap();
    restore(&state, &copy, false, &mut |_, _| {}).unwrap();
    fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    let error = restore(&state, &copy, true, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("copy.redb is damaged"), "{error}");
    assert_eq!(names(&state), ["ledger.redb"], "the ledger is what it was");
    assert_eq!(Ledger::existing(&state).unwrap().held().unwrap().round, ROUNDS);
}
