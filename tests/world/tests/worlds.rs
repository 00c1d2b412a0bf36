//! Some hundred worlds; more, from other seeds: `cargo xtask sim --seed N --minutes M`.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_world::{Deed, Report, run};
use std::collections::BTreeSet;

/// Worlds of each test: they run beside each other.
const WORLDS: u64 = 75;

/// Runs the worlds from `first` on; the deeds that were done in them.
fn worlds(first: u64) -> BTreeSet<Deed> {
    let mut done = BTreeSet::new();
    for seed in first..first + WORLDS {
        match run(seed) {
            Ok(report) => done.extend(report.deeds.into_keys()),
            Err(failure) => {
                let last = failure.last.join("\n");
                panic!("world {seed}: {}; again: cargo xtask sim --seed {seed}\n{last}", failure.what)
            }
        }
    }
    done
}

#[test]
fn fleets_end_well_whatever_happens_to_them() {
    assert_eq!(worlds(1).len(), Deed::ALL.len());
}

#[test]
fn other_fleets_end_well_whatever_happens_to_them() {
    worlds(10_001);
}

#[test]
fn fleets_of_other_seeds_end_well_whatever_happens_to_them() {
    worlds(20_001);
}

/// Its broker keeps a damaged job, and the coordinator heard a whole one before.
#[test]
fn a_damaged_job_does_not_stay_with_the_broker() {
    let failure = run(81_218).err();
    assert!(failure.is_none(), "{failure:?}");
}

#[test]
fn a_seed_has_one_course() {
    for seed in [3, 17, 40] {
        // What the heap comes to depends on hash tables, whose seeds are not the world's.
        let course = || Report { held: 0, ..run(seed).unwrap() };
        assert_eq!(course(), course());
    }
}
