//! Slots of the prefix cache: what they keep, and what damage costs.

use super::*;
use tempfile::TempDir;

const WIDTH: usize = 4;
/// Bytes of a row of it.
const ROW: usize = 2 * (1 + WIDTH);
/// Tokens before each of three examples, and of all.
const BEFORE: [usize; 4] = [0, 3, 7, 10];
/// Bytes of a file that holds all three.
const WHOLE: u64 = HEADER + (3 * SUM + BEFORE[3] * ROW) as u64;
const KEY: [u8; 32] = [7; 32];

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf.prefix");
    (dir, path)
}

fn open(path: &Path, limit: u64, key: &[u8; 32]) -> Slots {
    Slots::open(path, Bytes(limit), key, 4, (WIDTH, Isa::Scalar))
}

/// Values of example `id` that f16 does not have.
fn values(id: usize) -> Vec<f32> {
    (0..(BEFORE[id + 1] - BEFORE[id]) * WIDTH).map(|i| 0.1001 * (i + 10 * id) as f32 - 1.0).collect()
}

fn rounded(id: usize) -> Vec<f32> {
    values(id).into_iter().map(|v| f16::from_f32(v).to_f32()).collect()
}

fn fill(slots: &mut Slots) {
    for id in 0..3 {
        let mut rows = values(id);
        slots.store(id, BEFORE[id], &mut rows);
        assert_eq!(rows, rounded(id));
    }
}

/// How each example is found; what is served is what was stored.
fn found(slots: &mut Slots) -> [Found; 3] {
    [0, 1, 2].map(|id| {
        let mut rows = vec![f32::NAN; values(id).len()];
        let found = slots.load(id, BEFORE[id], &mut rows);
        match found {
            Found::Held => assert_eq!(rows, rounded(id)),
            _ => assert!(rows.iter().all(|v| v.is_nan()), "rows of a slot that is not held were touched"),
        }
        found
    })
}

fn filled() -> (TempDir, PathBuf, Vec<u8>) {
    let (dir, path) = place();
    fill(&mut open(&path, WHOLE, &KEY));
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, WHOLE);
    (dir, path, bytes)
}

#[test]
fn what_is_stored_is_held_by_this_run_and_the_next_of_its_key() {
    let (_dir, path) = place();
    let mut slots = open(&path, WHOLE, &KEY);
    assert_eq!(found(&mut slots), [Found::Missing; 3]);
    fill(&mut slots);
    assert_eq!(found(&mut slots), [Found::Held; 3]);
    drop(slots);
    assert_eq!(found(&mut open(&path, WHOLE, &KEY)), [Found::Held; 3]);
    let mut other = open(&path, WHOLE, &[8; 32]);
    assert_eq!((found(&mut other), other.error()), ([Found::Missing; 3], None));
    other.remove();
    assert!(!path.exists());
}

#[test]
fn the_limit_holds_for_the_whole_file_and_for_an_older_longer_one() {
    let (_dir, path, _) = filled();
    let third = WHOLE - 1;
    assert_eq!(found(&mut open(&path, third, &KEY)), [Found::Held, Found::Held, Found::Missing]);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), third);
    for limit in 0..WHOLE {
        let mut slots = open(&path, limit, &KEY);
        fill(&mut slots);
        let held = found(&mut slots).into_iter().filter(|&f| f == Found::Held).count();
        let length = std::fs::metadata(&path).map_or(0, |m| m.len());
        assert!(length <= limit && slots.error().is_none(), "{length} bytes, {limit} allowed");
        assert_eq!(
            held,
            (0..3).filter(|i| HEADER + ((i + 1) * SUM + BEFORE[i + 1] * ROW) as u64 <= limit).count()
        );
    }
}

#[test]
fn no_flipped_bit_is_served() {
    let (_dir, path, whole) = filled();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let mut slots = open(&path, WHOLE, &KEY);
        let want = match (bit / 8) as u64 {
            ..HEADER => [Found::Missing; 3],
            at => [0, 1, 2].map(|id| {
                let [from, to] = [id, id + 1].map(|i| HEADER + (i * SUM + BEFORE[i] * ROW) as u64);
                if (from..to).contains(&at) { Found::Corrupt } else { Found::Held }
            }),
        };
        assert_eq!(found(&mut slots), want, "bit {bit}");
        fill(&mut slots);
        assert_eq!(found(&mut slots), [Found::Held; 3]);
        drop(slots);
        assert!(std::fs::read(&path).unwrap() == whole, "bit {bit}: not repaired");
    }
}

/// After a power loss a file may end anywhere, and pages that were never written are zeros.
#[test]
fn what_a_power_loss_leaves_is_held_or_not_but_never_wrong() {
    let (_dir, path, whole) = filled();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(!found(&mut open(&path, WHOLE, &KEY)).contains(&Found::Corrupt), "cut at {cut}");
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        std::fs::write(&path, &zeros).unwrap();
        found(&mut open(&path, WHOLE, &KEY));
    }
}

#[test]
fn slots_of_another_example_or_another_run_are_not_served() {
    let (_dir, path, whole) = filled();
    let mut swapped = whole.clone();
    // Examples 0 and 2 are of one length.
    let (first, third) = (HEADER as usize, whole.len() - (SUM + 3 * ROW));
    swapped.copy_within(third.., first);
    std::fs::write(&path, &swapped).unwrap();
    assert_eq!(found(&mut open(&path, WHOLE, &KEY)), [Found::Corrupt, Found::Held, Found::Held]);
    // The new header reached the disk, the slots of the old key are still there.
    let mut other = whole;
    other[8..40].fill(8);
    std::fs::write(&path, &other).unwrap();
    assert_eq!(found(&mut open(&path, WHOLE, &[8; 32])), [Found::Corrupt; 3]);
}

#[test]
fn a_second_run_goes_without_and_leaves_the_file_alone() {
    let (_dir, path, _) = filled();
    let mut first = open(&path, WHOLE, &KEY);
    for key in [KEY, [8; 32]] {
        let mut second = open(&path, WHOLE, &key);
        fill(&mut second);
        assert_eq!(found(&mut second), [Found::Missing; 3]);
        assert_eq!(second.error(), Some("another run is using it"));
        second.remove();
    }
    assert_eq!(found(&mut first), [Found::Held; 3]);
    drop(first);
    assert_eq!(found(&mut open(&path, WHOLE, &KEY)), [Found::Held; 3]);
}

#[test]
fn without_a_usable_file_it_only_rounds() {
    let (dir, path) = place();
    std::fs::create_dir(&path).unwrap();
    for path in [&path, &dir.path().join("none/a.prefix"), Path::new("/dev/null")] {
        let mut slots = open(path, WHOLE, &KEY);
        fill(&mut slots);
        assert_eq!(found(&mut slots), [Found::Missing; 3]);
        assert!(slots.error().is_some(), "{path:?}");
        slots.remove();
    }
    assert!(path.exists() && Path::new("/dev/null").exists());
}

#[test]
fn a_failing_disk_ends_the_keeping_and_a_full_one_limits_it() {
    let (_dir, path, _) = filled();
    let deaf = OpenOptions::new().write(true).open(&path).unwrap();
    let mut slots = Slots { file: Some(deaf), ..open(&path, WHOLE, &KEY) };
    assert_eq!(found(&mut slots), [Found::Missing; 3]);
    assert!(slots.file.is_none() && slots.error().is_some());

    let mute = File::open(&path).unwrap();
    let mut slots = Slots { file: Some(mute), ..open(&path, WHOLE, &KEY) };
    fill(&mut slots);
    assert!(slots.file.is_none() && slots.error().is_some());

    let mut slots = open(&path, 1 << 30, &KEY);
    assert_eq!(found(&mut slots), [Found::Held; 3]);
    slots.fail(ErrorKind::FileTooLarge.into(), WHOLE - (SUM + 3 * ROW) as u64);
    fill(&mut slots);
    assert_eq!(found(&mut slots), [Found::Held, Found::Held, Found::Missing]);
    drop(slots);
    let mut slots = open(&path, 1 << 30, &KEY);
    fill(&mut slots);
    slots.fail(ErrorKind::StorageFull.into(), 0);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), WHOLE / 2);
    fill(&mut slots);
    assert_eq!(found(&mut slots), [Found::Held, Found::Missing, Found::Missing]);
    assert!(std::fs::metadata(&path).unwrap().len() <= WHOLE / 2);
    assert!(slots.give_up() && !slots.give_up() && !path.exists());
    fill(&mut slots);
    assert_eq!(found(&mut slots), [Found::Missing; 3]);

    let mut slots = open(&path, 1 << 30, &KEY);
    (0..8).for_each(|_| slots.fail(ErrorKind::StorageFull.into(), 0));
    fill(&mut slots);
    assert_eq!(found(&mut slots), [Found::Missing; 3]);
}

#[test]
fn rows_beyond_half_floats_are_held() {
    let (_dir, path) = place();
    let mut slots = open(&path, WHOLE, &KEY);
    // A row of each size: 65,504 is the largest half float.
    let mut rows =
        [[65_504.0, -65_536.0, 3.0, 0.5], [1e6, -2e30, 7.0, 0.0], [1e-12, 3e-12, -1e-13, 0.0]].concat();
    let want = rows.clone();
    slots.store(0, 0, &mut rows);
    for (found, want) in rows.iter().zip(&want) {
        assert!((found - want).abs() <= want.abs() / 2048.0 || want.abs() < 1e30 / 1e8, "{found} of {want}");
    }
    assert_eq!((rows[0], rows[4]), (65_504.0, 0.0), "a row has one scale");
    let mut held = vec![f32::NAN; rows.len()];
    assert_eq!(slots.load(0, 0, &mut held), Found::Held);
    assert!(held == rows);
}
