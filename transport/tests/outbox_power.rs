//! After a power cut at any moment, the outbox opens and holds what it acknowledged.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_ground::random::SplitMix64;
use sprig_testkit::power::Disk;
use sprig_transport::outbox::Outbox;
use std::collections::BTreeMap;

const CAP: u64 = 40_000;

/// What an outbox holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    messages: BTreeMap<u32, Vec<u8>>,
    note: Option<Vec<u8>>,
}

impl Held {
    fn of(outbox: &Outbox) -> Self {
        Self { messages: outbox.pending().unwrap().into_iter().collect(), note: outbox.note().unwrap() }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u32, usize),
    Remove(u32),
    Clear,
}

/// A device's life: rounds put and removed, some sent twice, old ones that make room, another run.
const LIFE: [Step; 14] = [
    Step::Put(1, 300),
    Step::Put(2, 9000),
    Step::Remove(1),
    Step::Put(3, 64),
    Step::Put(3, 5000),
    Step::Put(4, 12_000),
    Step::Remove(3),
    Step::Put(5, 9000),
    Step::Put(6, 9000),
    Step::Remove(99),
    Step::Put(7, 9000),
    Step::Clear,
    Step::Put(0, 700),
    Step::Remove(0),
];

fn content(seed: u32, bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|i| (i.wrapping_mul(31) ^ seed.wrapping_mul(7)) as u8).collect()
}

/// Takes one step; true if it is acknowledged.
fn take(outbox: &mut Outbox, number: usize, step: Step) -> bool {
    match step {
        Step::Put(round, bytes) => {
            outbox.forget_before(round.saturating_sub(1));
            let note = content(number as u32, 40 + number * 13);
            outbox.put(round, &content(round, bytes), &note).is_ok()
        }
        Step::Remove(round) => outbox.remove(round).is_ok(),
        Step::Clear => outbox.clear().is_ok(),
    }
}

fn new_disk() -> Vec<u8> {
    let disk = Disk::default();
    drop(Outbox::with_backend(disk.plug(), CAP).unwrap());
    disk.after_cut(|| true)
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_is_cut() {
    let empty = new_disk();
    // The undisturbed life: what is held after each step.
    let disk = Disk::holding(empty.clone());
    let mut outbox = Outbox::with_backend(disk.plug(), CAP).unwrap();
    let opened = disk.operations();
    let mut states = vec![Held::of(&outbox)];
    for (number, &step) in LIFE.iter().enumerate() {
        assert!(take(&mut outbox, number, step));
        states.push(Held::of(&outbox));
    }
    let total = disk.operations();
    assert!(states.iter().any(|held| !held.messages.contains_key(&2) && held.messages.contains_key(&6)));

    let mut random = SplitMix64::new(1);
    let (mut between, mut cuts) = (0, 0);
    for cut in opened..=total {
        let disk = Disk::holding(empty.clone());
        let mut outbox = Outbox::with_backend(disk.plug(), CAP).unwrap();
        disk.fail_from(cut);
        let taken = LIFE.iter().enumerate().take_while(|(i, step)| take(&mut outbox, *i, **step)).count();
        drop(outbox);
        for subset in 0..8 {
            // None, all, and six random parts of what was not synced.
            let image = disk.after_cut(|| match subset {
                0 => false,
                1 => true,
                _ => random.draw() % 8 < subset,
            });
            let opened = Outbox::with_backend(Disk::holding(image).plug(), CAP);
            let mut outbox = opened.unwrap_or_else(|error| panic!("cut {cut}, subset {subset}: {error}"));
            let held = Held::of(&outbox);
            // All that was acknowledged; of the step that was cut off, all or nothing.
            let whole = states.get(taken + 1).is_some_and(|next| *next == held);
            assert!(held == states[taken] || whole, "cut {cut}, subset {subset}: {taken} steps, {held:?}");
            between += usize::from(whole && states[taken] != held);
            // It takes messages as if nothing had happened.
            outbox.forget_before(u32::MAX);
            outbox.put(50, b"later", b"note").unwrap();
            cuts += 1;
        }
    }
    println!(
        "{} operations, {cuts} cuts, {between} found the step that was cut off complete",
        total - opened
    );
    assert!(cuts > 300 && between > 0, "{cuts} {between}");
}
