//! Boards as they show themselves, and as they would if something in them were damaged.

use super::machine::Fixture;
use sprig_device::{Boards, Detected};
use sprig_ground::random::SplitMix64;
use std::collections::BTreeSet;
use std::path::Path;

/// Every profile has a machine that is taken for it, with nothing to warn of; a board without one is none.
#[test]
fn every_board_is_told_by_what_it_shows() {
    let fixtures = Fixture::all();
    let mut seen = BTreeSet::new();
    for fixture in &fixtures {
        let Detected { board, cores, features, page, how, warnings, memory, .. } = fixture.machine().detect();
        let name = &fixture.name;
        assert_eq!(board.name, fixture.board, "{name}: {how}");
        seen.insert(board.family.clone());
        if board.name.starts_with("generic") {
            continue;
        }
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        assert!(board.pages.contains(&page), "{name}: {page}");
        assert!(
            cores.iter().all(|cores| board.cores.iter().any(|own| own.kind == cores.kind)),
            "{name}: {cores:?}"
        );
        assert_eq!(features, board.features, "{name}");
        assert!(memory <= board.ram() && memory > board.ram() / 10 * 7, "{name}: {memory}");
    }
    let all: BTreeSet<String> =
        Boards::of(Path::new("/nowhere")).unwrap().iter().map(|b| b.family.clone()).collect();
    assert_eq!(seen, all);
}

/// Whatever is damaged, a machine is taken for the board that it is or for none; if for none though it has a device tree, it
/// says so.
#[test]
fn a_damaged_machine_is_never_taken_for_another_board() {
    let fixtures = Fixture::all();
    let mut random = SplitMix64::new(0xB0A2D);
    let mut none = 0;
    for turn in 0..1000 {
        let fixture = &fixtures[turn % fixtures.len()];
        let mut damaged = fixture.clone();
        for _ in 0..1 + random.below(3) {
            damage(&mut damaged, &mut random);
        }
        let found = damaged.machine().detect();
        let generic = found.board.name.starts_with("generic");
        none += u32::from(generic && !fixture.board.starts_with("generic"));
        if generic {
            let silent = found.warnings.is_empty();
            let tree = damaged
                .files
                .iter()
                .any(|(path, bytes)| path.starts_with("proc/device-tree") && has_text(bytes));
            assert!(!tree || !silent, "turn {turn}, {}: {}", fixture.name, found.how);
        } else {
            let own = Boards::of(Path::new("/nowhere")).unwrap();
            let own = own.by_name(&fixture.board).unwrap();
            assert_eq!(found.board.family, own.family, "turn {turn}, {}: {}", fixture.name, found.how);
        }
    }
    // Most damage leaves a board what it is, and some does not.
    assert!((20..500).contains(&none), "{none} of 1000");
}

fn has_text(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// Takes a file away, cuts it, or changes, doubles or removes some of its bytes.
fn damage(fixture: &mut Fixture, random: &mut SplitMix64) {
    let at = random.below(fixture.files.len());
    let bytes = &mut fixture.files[at].1;
    let place = random.below(bytes.len().max(1));
    match random.below(6) {
        0 => drop(fixture.files.remove(at)),
        1 => bytes.truncate(place),
        2 if !bytes.is_empty() => bytes[place] = random.below(256) as u8,
        // A digit for a digit: 4-model-b becomes 5-model-b.
        3 => {
            let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
            if !digits.is_empty() {
                bytes[digits[random.below(digits.len())]] = b'0' + random.below(10) as u8;
            }
        }
        4 => {
            let end = (place + 1 + random.below(40)).min(bytes.len());
            bytes.drain(place.min(end)..end);
        }
        _ => {
            let end = (place + 1 + random.below(40)).min(bytes.len());
            let copy = bytes[place.min(end)..end].to_vec();
            bytes.splice(place.min(end)..place.min(end), copy);
        }
    }
    if fixture.files.is_empty() {
        fixture.files.push(("proc/meminfo".to_owned(), Vec::new()));
    }
}
