//! The ledger on a real file: locks, foreign and damaged files, limits.

use super::world::{RUN, World, core, digest, options};
use crate::decision::Entry;
use crate::ledger::Ledger;
use crate::*;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{Digest, RunId, Snapshot};
use std::path::Path;

fn open(dir: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(dir, RUN, "rounds = 3\nrate = 1")
}

fn snapshot(applied: u32) -> Snapshot {
    let values: Vec<f32> = (0..20_000).map(|i| (i * applied) as f32).collect();
    Snapshot { run: RUN, round: applied, after: Digest([applied as u8; 32]), values, moments: vec![1.0; 3] }
}

#[test]
fn a_run_is_known_again_and_its_file_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(LedgerError::InUse { .. })));
    drop(first);
    // The name that a later start draws does not matter.
    let again = Ledger::open(dir.path(), RunId([9; 16]), "rounds = 3\nrate = 1").unwrap();
    assert_eq!(again.run(), RUN);
}

/// A file of settings that was tried before it was finished stands in nobody's way.
#[test]
fn a_run_without_a_round_gives_way_to_other_settings() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let other = Ledger::open(dir.path(), RunId([9; 16]), "rounds = 3\nrate = 2").unwrap();
    assert_eq!(other.run(), RunId([9; 16]));
}

#[test]
fn other_settings_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let (round, number) = (RoundId::FIRST, crate::ids::DeviceNumber(1));
    ledger.commit(&[Entry::Update { round, number, norm: 1.0, frame: vec![1] }]).unwrap();
    drop(ledger);
    let error = Ledger::open(dir.path(), RUN, "rounds = 3\nrate = 2").unwrap_err().to_string();
    assert!(error.contains("there `rate = 1`, here `rate = 2`"), "{error}");
    assert!(error.contains("ledger.redb") && error.contains("`state` under [coordinator]"), "{error}");
}

#[test]
fn what_is_no_ledger_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.redb");
    for bytes in [vec![], b"hello".to_vec(), vec![7; 100_000]] {
        std::fs::write(&file, &bytes).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{} bytes: {error}", bytes.len());
        assert!(error.to_string().contains("move it away"), "{error}");
    }
}

/// Wherever a byte is changed: an error that names the file, or a ledger that reads the same.
#[test]
fn damage_is_told_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    for applied in 0..3 {
        ledger.begin_with(&snapshot(applied)).unwrap();
    }
    drop(ledger);
    let file = dir.path().join("ledger.redb");
    let whole = std::fs::read(&file).unwrap();
    let (mut told, mut step) = (0, 1);
    let mut at = 0;
    while at < whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&file, &bytes).unwrap();
        let outcome = open(dir.path()).and_then(|ledger| {
            let rows = ledger.snapshots()?;
            rows.iter().map(|row| ledger.snapshot(row)).collect::<Result<Vec<_>, _>>()
        });
        match outcome {
            Ok(snapshots) => assert!(
                snapshots.iter().zip(0..).all(|(s, applied)| *s == snapshot(applied)),
                "byte {at} changed what is read"
            ),
            Err(LedgerError::Damaged { .. } | LedgerError::Format { .. }) => told += 1,
            // A changed lock or length.
            Err(other) => assert!(other.to_string().contains("ledger.redb"), "{other}"),
        }
        // All of the header, then ever wider steps: the file has hundreds of kilobytes.
        step = if at < 512 { 7 } else { (step + step / 16 + 1).min(9973) };
        at += step;
    }
    assert!(told > 5, "{told}");
}

#[test]
fn snapshots_stay_within_their_bytes() {
    let disk = Disk::default();
    let mut ledger = Ledger::with_backend(disk.plug(), RUN, "").unwrap();
    for applied in 0..10 {
        ledger.begin_with(&snapshot(applied)).unwrap();
    }
    let bytes = u64::from(ledger.snapshots().unwrap()[0].bytes);
    // The last one stays in any case, and those that an evaluation waits for.
    ledger.prune(0, 3 * bytes, &[Applied(2)]).unwrap();
    let kept = |ledger: &Ledger| ledger.snapshots().unwrap().iter().map(|s| s.applied.0).collect::<Vec<_>>();
    assert_eq!(kept(&ledger), [2, 7, 8, 9]);
    ledger.prune(0, 0, &[]).unwrap();
    assert_eq!(kept(&ledger), [9]);
    assert_eq!(ledger.snapshot(&ledger.snapshots().unwrap()[0]).unwrap(), snapshot(9));
    assert_eq!(ledger.slice(Applied(8), 0).unwrap(), None);
}

#[test]
fn records_stay_within_their_bytes() {
    let (disk, rounds) = (Disk::default(), 6);
    let mut options = options(3, rounds);
    options.keep_records = 700;
    let mut world = World::new(options, 3);
    let mut core = core(&disk, &world.options.clone());
    world.run(&mut core).unwrap();
    let sizes: Vec<usize> = (0..rounds)
        .map(|r| core.ledger.record(RoundId(r)).unwrap().map_or(0, |record| record.len()))
        .collect();
    assert!(sizes[5] > 0 && sizes[0] == 0, "{sizes:?}");
    assert!(sizes.iter().sum::<usize>() <= 700, "{sizes:?}");
    assert!(!digest(&core, rounds).contains("left over"));
}
