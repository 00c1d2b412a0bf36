//! Keeping, making room, and files that are damaged; power cuts are in `tests/outbox_power.rs`.

use super::*;
use std::fs;

fn rounds(outbox: &Outbox) -> Vec<u32> {
    outbox.pending().unwrap().into_iter().map(|(round, _)| round).collect()
}

#[test]
fn what_was_put_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.redb");
    let mut outbox = Outbox::open(&path, 10_000).unwrap();
    assert_eq!(outbox.note().unwrap(), None);
    outbox.put(7, b"seven", b"after 7").unwrap();
    outbox.put(3, b"three", b"after 3").unwrap();
    outbox.put(3, b"THREE", b"after 3 again").unwrap();
    assert!(matches!(Outbox::open(&path, 10_000), Err(OutboxError::InUse(_))));
    drop(outbox);
    let mut outbox = Outbox::open(&path, 10_000).unwrap();
    assert_eq!(outbox.pending().unwrap(), [(3, b"THREE".to_vec()), (7, b"seven".to_vec())]);
    assert_eq!(outbox.note().unwrap().unwrap(), b"after 3 again");
    outbox.remove(3).unwrap();
    outbox.remove(99).unwrap();
    assert_eq!(rounds(&outbox), [7]);
    outbox.clear().unwrap();
    assert_eq!((rounds(&outbox), outbox.note().unwrap()), (vec![], None));
}

#[test]
fn only_closed_rounds_make_room_and_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(&folder.path().join("o"), 4 * 164).unwrap();
    let message = [1; 100];
    for round in 0..3 {
        outbox.put(round, &message, &message).unwrap();
    }
    // Three messages and the note fill it.
    assert_eq!(outbox.held().unwrap(), 4 * 164);
    let full = outbox.put(3, &message, &message).unwrap_err();
    assert!(matches!(full, OutboxError::Full { needed: 328, held: 492, limit: 656 }), "{full}");
    assert_eq!((rounds(&outbox), outbox.note().unwrap().unwrap()), (vec![0, 1, 2], message.to_vec()));
    outbox.put(1, &message, &message).unwrap();
    outbox.forget_before(2);
    assert_eq!(rounds(&outbox), [0, 1, 2]);
    outbox.put(3, &message, &message).unwrap();
    assert_eq!(rounds(&outbox), [1, 2, 3]);
    outbox.put(4, &message, &message).unwrap();
    assert_eq!(rounds(&outbox), [2, 3, 4]);
    assert!(outbox.put(5, &message, &message).is_err());
    outbox.forget_before(10);
    assert!(matches!(outbox.put(10, &[0; 600], &[]), Err(OutboxError::Full { held: 0, .. })));
    assert_eq!(rounds(&outbox), [2, 3, 4]);
}

#[test]
fn the_file_stays_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o");
    let cap = 1 << 20;
    let mut outbox = Outbox::open(&path, cap).unwrap();
    for round in 0..200u32 {
        outbox.forget_before(round);
        outbox.put(round, &vec![round as u8; 60_000], &vec![1; 20_000]).unwrap();
    }
    assert!(outbox.held().unwrap() > cap * 9 / 10);
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes <= Outbox::file_bytes(cap), "{bytes}");
}

#[test]
fn a_file_that_is_no_outbox_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o");
    fs::write(&path, vec![7; 10_000]).unwrap();
    let error = Outbox::open(&path, 1000).unwrap_err().to_string();
    assert!(error.contains("remove it"), "{error}");
    assert!(Outbox::open(&folder.path().join("no/such/o"), 1000).is_err());
}

/// Of each damaged file: an error or an outbox, never a panic.
#[test]
fn a_damaged_file_does_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o");
    let mut outbox = Outbox::open(&path, 100_000).unwrap();
    for round in 0..5 {
        outbox.put(round, &[round as u8; 3000], b"note").unwrap();
    }
    drop(outbox);
    let whole = fs::read(&path).unwrap();
    let used = whole.iter().rposition(|&byte| byte != 0).unwrap();
    let mut opened = 0;
    for at in (0..used).step_by(used / 150) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        if let Ok(mut outbox) = Outbox::open(&path, 100_000) {
            opened += 1;
            let _ = (outbox.pending(), outbox.note(), outbox.put(9, b"nine", b"note"));
        }
    }
    for length in [0, 1, 100, 4096, used / 2] {
        fs::write(&path, &whole[..length]).unwrap();
        let _ = Outbox::open(&path, 100_000).map(|outbox| outbox.pending());
    }
    assert!(opened > 0);
}
