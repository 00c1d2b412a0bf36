//! Bytes from anybody: refused by name or read, never a panic, and no memory for what is not there.

use crate::messages::{Answer, Delivery, Keys, Packages, Question, Roster, Veiled};
use crate::testing::{Fleet, Lost, Seeded};
use crate::{Blame, Collector, MaskingError, Member};
use std::io::Read as _;

/// Reads bytes as each message, and gives those that it writes for what it read.
type Again = fn(&[u8]) -> Result<Vec<u8>, MaskingError>;

const DECODERS: [(&str, Again); 7] = [
    ("Keys", |bytes| Keys::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Roster", |bytes| Roster::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Packages", |bytes| Packages::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Delivery", |bytes| Delivery::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Veiled", |bytes| Veiled::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Question", |bytes| Question::from_bytes(bytes).map(|it| it.to_bytes())),
    ("Answer", |bytes| Answer::from_bytes(bytes).map(|it| it.to_bytes())),
];

/// A round, and one message of each kind in the order of the decoders.
fn honest() -> (Fleet, [Vec<u8>; 7]) {
    let mut fleet = Fleet::new(5, 6, 1);
    fleet.lost = [(fleet.numbers()[3], Lost::AfterPackages)].into();
    fleet.total().unwrap();
    let messages = [
        fleet.keys[0].to_bytes(),
        fleet.roster.as_ref().unwrap().to_bytes(),
        fleet.packages[0].to_bytes(),
        fleet.deliveries[0].to_bytes(),
        fleet.veiled[0].to_bytes(),
        fleet.question.as_ref().unwrap().to_bytes(),
        fleet.answers[0].to_bytes(),
    ];
    (fleet, messages)
}

#[test]
fn a_message_is_read_as_it_was_written_and_by_its_own_decoder_alone() {
    let (_, messages) = honest();
    for (kind, bytes) in messages.iter().enumerate() {
        for (at, (name, again)) in DECODERS.iter().enumerate() {
            match again(bytes) {
                Ok(written) => assert!(at == kind && written == *bytes, "{name}"),
                Err(error) => {
                    assert!(at != kind && error.to_string().contains(&format!("{name}: kind")), "{error}")
                }
            }
        }
    }
}

#[test]
fn a_message_that_is_cut_short_or_too_long_is_refused_by_name() {
    let (_, messages) = honest();
    for (bytes, (name, again)) in messages.iter().zip(DECODERS) {
        for end in 0..bytes.len() {
            let error = again(&bytes[..end]).unwrap_err();
            assert_eq!(error.blame(), Blame::Sender);
            let text = error.to_string();
            assert!(text.starts_with(name) && text.contains("cut short"), "{end}: {text}");
        }
        let error = again(&[bytes, &[0][..]].concat()).unwrap_err();
        assert!(error.to_string().contains("1 bytes after the end"), "{error}");
        let error = again(&[&bytes[..1], &[2], &bytes[2..]].concat()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

#[test]
fn a_list_longer_than_its_limit_or_its_bytes_takes_no_memory() {
    let (_, messages) = honest();
    // Where each message's first list has its length: after kind, version and tag, and but for two after a number.
    for (kind, at) in [(1, 10), (2, 14), (3, 14), (4, 14), (5, 10), (6, 14)] {
        for (count, why) in [(u32::MAX, "at most"), (1000, "cut short")] {
            let mut bytes = messages[kind].clone();
            bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
            let error = DECODERS[kind].1(&bytes).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}

#[test]
fn random_bytes_make_no_decoder_panic() {
    let mut source = Seeded::new(5);
    let mut bytes = [0; 200];
    for turn in 0..20_000usize {
        let length = source.below(bytes.len());
        source.read_exact(&mut bytes[..length]).unwrap();
        // Most begin rightly, to get further.
        if turn % 4 != 0 && length > 2 {
            bytes[..2].copy_from_slice(&[1 + (turn % 7) as u8, 1]);
        }
        for (_, again) in DECODERS {
            if let Ok(written) = again(&bytes[..length]) {
                assert_eq!(written, bytes[..length], "what is read has one form");
            }
        }
        assert!(Member::from_bytes(&bytes[..length]).is_err());
    }
}

/// Changes some bytes: a bit, a byte, a run of them.
fn mutate(bytes: &mut [u8], source: &mut Seeded) {
    for _ in 0..=source.below(3) {
        let at = source.below(bytes.len());
        match source.below(3) {
            0 => bytes[at] ^= 1 << source.below(8),
            1 => bytes[at] = source.draw() as u8,
            _ => {
                let end = (at + source.below(16)).min(bytes.len());
                bytes[at..end].fill(source.draw() as u8);
            }
        }
    }
}

#[test]
fn changed_messages_make_nobody_panic_and_change_no_total() {
    let (fleet, messages) = honest();
    let number = fleet.numbers()[0];
    let state = fleet.members[&number].to_bytes();
    let mut source = Seeded::new(6);
    for turn in 0..2_000 {
        let kind = turn % messages.len();
        let mut bytes = messages[kind].clone();
        mutate(&mut bytes, &mut source);
        if bytes == messages[kind] {
            continue;
        }
        offered_to_members(&fleet, number, &state, &bytes);
        offered_to_collectors(&fleet, &bytes);
    }
}

/// A member at each stage refuses what was changed.
fn offered_to_members(fleet: &Fleet, number: u32, state: &[u8], bytes: &[u8]) {
    if let Ok(roster) = Roster::from_bytes(bytes) {
        let mut fresh = Member::from_bytes(&drawn_state(fleet, number)).unwrap();
        // Another's keys may be changed on the way, and nobody signs them: a list of its own.
        drop(fresh.deal(&roster));
        assert!(Member::from_bytes(state).unwrap().deal(&roster).is_err());
    }
    if let Ok(delivery) = Delivery::from_bytes(bytes) {
        let mut fresh = Member::from_bytes(&drawn_state(fleet, number)).unwrap();
        fresh.deal(fleet.roster.as_ref().unwrap()).unwrap();
        assert!(fresh.veil(&delivery, &fleet.values[&number]).is_err());
    }
    if let Ok(question) = Question::from_bytes(bytes) {
        assert!(Member::from_bytes(state).unwrap().answer(&question).is_err());
    }
}

/// The state of that member as it was drawn.
fn drawn_state(fleet: &Fleet, number: u32) -> Vec<u8> {
    let again = Fleet::new(5, 6, fleet.terms.round());
    again.members[&number].to_bytes().to_vec()
}

/// Collectors panic at nothing, and one that heard all refuses what was changed.
fn offered_to_collectors(fleet: &Fleet, bytes: &[u8]) {
    if let Ok(keys) = Keys::from_bytes(bytes) {
        drop(Collector::new(fleet.terms).take_keys(keys));
    }
    if let Ok(packages) = Packages::from_bytes(bytes) {
        // Sealed bytes are the receiver's to judge.
        drop(knowing_keys(fleet).take_packages(packages));
    }
    if let Ok(veiled) = Veiled::from_bytes(bytes) {
        let mut collector = knowing_all(fleet);
        assert!(collector.take_veiled(&veiled).is_err());
        assert_eq!(collector.total().unwrap(), fleet.plain());
    }
    if let Ok(answer) = Answer::from_bytes(bytes) {
        let mut collector = knowing_all(fleet);
        assert!(collector.take_answer(&answer).is_err());
        assert_eq!(collector.total().unwrap(), fleet.plain());
    }
}

fn knowing_keys(fleet: &Fleet) -> Collector {
    let mut collector = Collector::new(fleet.terms);
    assert!(fleet.keys.iter().all(|keys| collector.take_keys(keys.clone()).unwrap()));
    collector.roster().unwrap();
    collector
}

fn knowing_all(fleet: &Fleet) -> Collector {
    let mut collector = knowing_keys(fleet);
    assert!(fleet.packages.iter().all(|packages| collector.take_packages(packages.clone()).unwrap()));
    collector.dealers().unwrap();
    assert!(fleet.veiled.iter().all(|veiled| collector.take_veiled(veiled).unwrap()));
    collector.question().unwrap();
    assert!(fleet.answers.iter().all(|answer| collector.take_answer(answer).unwrap()));
    collector
}
