//! Rounds whose sums are aggregated securely, with members of the real protocol: the total is that of the plain sums, whoever
//! is lost and when, and whenever the power goes.

mod fold;
mod scene;
mod steps;

use crate::aggregation::{BEGUN, Word};
use crate::decision::Entry;
use crate::*;
use scene::*;
use sprig_learn::readout::fleet::FleetSums;
use sprig_masking::{Member, Said, Told};
use sprig_transport::messages::{Body, Digest, Verdict};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn the_total_is_the_plain_one_with_thirty_percent_lost_at_each_stage() {
    for lost in [None, Some(At::Terms), Some(At::Roster), Some(At::Delivery), Some(At::Question)] {
        let mut scene = Scene::new(settings(DEVICES));
        // Two of seven: five are the threshold.
        let away: BTreeMap<u32, At> = lost.into_iter().flat_map(|at| [(1, at), (4, at)]).collect();
        scene.finish(&away);
        // Who is lost after its values are in is in the total.
        let counts = |n: &u32| !away.contains_key(n) || lost == Some(At::Question);
        let reported: BTreeSet<u32> = (0..DEVICES).filter(counts).collect();
        assert_eq!(scene.total(), plain(reported.iter().copied()), "{lost:?}");
        let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
        assert_eq!((row.state.as_str(), row.reported), ("closed", reported.len() as u32), "{lost:?}");
        let accepted = scene.receipts.iter().filter(|(_, receipt)| receipt.verdict == Verdict::Accepted);
        assert!(accepted.map(|(id, _)| number(id)).eq(reported), "{lost:?}: {:?}", scene.receipts);
        assert!(scene.core.ledger.words().unwrap().is_empty());
    }
}

/// Sixty members, of which a third is lost, some at each stage: as many as may be.
#[test]
fn a_third_of_many_is_made_up_for() {
    let mut scene = Scene::new(settings(60));
    let away: BTreeMap<u32, At> = (0..20).map(|n| (3 * n, STAGES[n as usize % 4])).collect();
    scene.finish(&away);
    let reported = (0..60).filter(|n| away.get(n).is_none_or(|at| *at == At::Question));
    assert_eq!(scene.total(), plain(reported));
}

/// Nothing that came from devices holds the sums of one, neither as they are nor as a read-out would pack them, and what took
/// their place is not the same twice.
#[test]
fn nothing_that_the_coordinator_hears_holds_a_devices_sums() {
    let mut scene = Scene::new(settings(DEVICES));
    scene.finish(&BTreeMap::new());
    let holds = |needle: &[u8]| {
        scene.heard.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    for device in 0..DEVICES {
        let numbers = numbers(device);
        let words: Vec<u8> = numbers[2..5].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert!(!holds(&words) && !holds(&FleetSums::pack(&numbers)), "device {device}");
    }
    // The search finds what is there: each device's examples are said openly, its number beside them.
    assert!(holds(&scene.members[&id(3)].keys().sealing));
}

#[test]
fn too_few_begin_again_and_give_up_at_last() {
    let mut scene = Scene::new(settings(DEVICES));
    let away: BTreeMap<u32, At> = [(1, At::Delivery), (4, At::Delivery), (5, At::Delivery)].into();
    scene.finish(&away);
    let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reported), ("abandoned", 0));
    assert_eq!(scene.total(), plain([]));
    let told: Vec<String> = scene.notices.iter().map(ToString::to_string).collect();
    let failed: Vec<_> = told.iter().filter(|text| text.contains("no total of the devices' sums")).collect();
    assert_eq!(failed.len(), 3, "{told:#?}");
    assert!(failed[2].contains("attempt 3: ") && failed[2].contains("1 fewer than the 5"), "{failed:?}");
    // Whoever is back in time makes the next attempt whole.
    let mut scene = Scene::new(settings(DEVICES));
    scene.run(&away);
    while scene.core.machine.round().attempt() == 0 {
        scene.wait(5_000);
    }
    scene.finish(&BTreeMap::new());
    assert_eq!(scene.total(), plain(0..DEVICES));
}

#[test]
fn a_coordinator_goes_on_after_a_power_cut_at_each_stage() {
    for cut in STAGES {
        let mut scene = Scene::new(settings(DEVICES));
        // The last device is a stage behind the others: the stage is open when the power goes.
        scene.run(&[(6, cut)].into());
        scene.restart();
        assert_eq!(scene.core.machine.round().attempt(), 0, "{cut:?}");
        // Nothing is asked of the others again that they have said.
        let asked: Vec<u32> = scene.tasks.keys().map(number).collect();
        assert_eq!(asked, [6], "{cut:?}");
        scene.finish(&BTreeMap::new());
        assert_eq!(scene.total(), plain(0..DEVICES), "{cut:?}");
        assert_eq!(scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap().reported, DEVICES);
    }
}

/// Rows of what was said that are no longer what was said lead to another attempt, not to a total of something else.
#[test]
fn words_that_are_damaged_begin_another_attempt() {
    for (kind, bytes) in [(BEGUN, vec![0; 3]), (1, vec![1, 2, 3])] {
        let mut scene = Scene::new(settings(DEVICES));
        scene.run(&[(6, At::Question)].into());
        let number = if kind == BEGUN { DeviceNumber::NOBODY } else { DeviceNumber(2) };
        scene.core.ledger.commit(&[Entry::Word(Word { number, kind, bytes })]).unwrap();
        scene.restart();
        scene.wait(1_000);
        assert_eq!(scene.core.machine.round().attempt(), 1, "{kind}");
        scene.finish(&BTreeMap::new());
        assert_eq!(scene.total(), plain(0..DEVICES), "{kind}");
    }
}

#[test]
fn what_cannot_be_is_refused_and_the_others_go_on() {
    let mut scene = Scene::new(settings(DEVICES));
    let task = scene.tasks[&id(2)].clone();
    let refused = |scene: &mut Scene, body: Body, blob: Option<&[u8]>, words: &str| {
        scene.receipts.clear();
        scene.update(&id(2), &task, body, blob);
        let receipt = scene.receipts.get(&id(2)).expect(words);
        assert!(matches!(receipt.verdict, Verdict::Refused(_)), "{receipt:?}");
        assert!(receipt.text.contains(words), "{receipt:?}");
    };
    refused(&mut scene, Body::Word(vec![9, 1]), None, "kind 9");
    refused(&mut scene, Body::Scalars(vec![1.0]), None, "scalars");
    let sums = FleetSums::pack(&numbers(2));
    let body = Body::Dense { digest: Digest::of(&sums), bytes: sums.len() as u32 };
    refused(&mut scene, body, Some(&sums), "numbers under veils are");
    // In the words of another.
    let theirs = Member::draw(*terms(&scene), task.number + 1, &mut scene.random).unwrap().keys().to_bytes();
    refused(&mut scene, Body::Word(theirs), None, "the words of member");
    // It is waited for no longer, and the six others are enough.
    scene.finish(&[(2, At::Terms)].into());
    assert_eq!(scene.total(), plain((0..DEVICES).filter(|n| *n != 2)));
}

fn terms(scene: &Scene) -> &'static sprig_masking::Terms {
    let Told::Terms(terms) = Told::from_bytes(&scene.tasks[&id(2)].word).unwrap() else {
        panic!("the first stage is past");
    };
    Box::leak(Box::new(terms))
}

/// A device whose sums no examples can have spoils the total, and is not found out; but nothing is learnt of it either.
#[test]
fn a_total_that_cannot_be_is_dropped_and_told_of() {
    let mut scene = Scene::new(Options { attempts: 1, ..settings(3) });
    let mut wrong = true;
    while let Some((device, task)) = scene.tasks.pop_first() {
        let told = Told::from_bytes(&task.word).unwrap();
        let said = match told {
            Told::Delivery(delivery) if std::mem::take(&mut wrong) => {
                let mut numbers = numbers(number(&device));
                numbers[0] += 1;
                Said::Veiled(scene.members.get_mut(&device).unwrap().veil(&delivery, &numbers).unwrap())
            }
            told => scene.say(&device, &task, told),
        };
        scene.send(&device, &task, said);
    }
    let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reported), ("abandoned", 0));
    assert_eq!(scene.total(), plain([]));
    let told: Vec<String> = scene.notices.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|text| text.contains("one of its devices sent none: sums of 16 examples")),
        "{told:#?}"
    );
}
