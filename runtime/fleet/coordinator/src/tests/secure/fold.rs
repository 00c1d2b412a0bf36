//! Fleets that learn one adapter, each with a part of the devices: what they make is what one fleet of all makes, and nobody's
//! power cut, message that is lost or run that is past has them go different ways.

use super::scene::*;
use super::steps::{ROUNDS, scene};
use crate::incoming::Ears;
use crate::*;
use sprig_transport::messages::{FleetTotal, RunId};
use sprig_transport::topics::Topics;
use std::collections::BTreeMap;

const NAMES: [&str; 2] = ["north", "south"];

/// Two that are folded, of three devices each.
fn two() -> [Scene; 2] {
    [scene(NAMES[0], 0, 3, &NAMES[1..]), scene(NAMES[1], 3, 3, &NAMES[..1])]
}

/// All that a broker keeps of the other comes to each.
fn meet(scenes: &mut [Scene; 2]) {
    let kept = [0, 1].map(|at| scenes[at].kept.clone());
    for at in [0, 1] {
        let other = [NAMES[1 - at].to_owned()];
        let ears = Ears::new(Topics::new(NAMES[at]).unwrap(), &other).unwrap();
        let events = kept[1 - at].iter().filter_map(|(topic, payload)| ears.event(topic, payload.clone()));
        scenes[at].take(events.collect());
    }
}

/// Runs both to their ends.
fn finish(scenes: &mut [Scene; 2]) {
    for _ in 0..40 {
        meet(scenes);
        scenes.iter_mut().for_each(|scene| scene.run(&BTreeMap::new()));
        if scenes.iter().all(|scene| scene.core.machine.finished()) {
            return;
        }
        scenes.iter_mut().for_each(|scene| scene.wait(500));
    }
    panic!("they are not over: {:?} {:?}", scenes[0].notices, scenes[1].notices);
}

/// Digests of the adapters that the rounds made.
fn adapters(scene: &Scene) -> Vec<String> {
    let rows = scene.core.ledger.history(RoundId::FIRST).unwrap();
    rows.into_iter().map(|row| row.adapter_digest).collect()
}

fn of_one() -> Vec<String> {
    let mut one = scene("all", 0, 6, &[]);
    for _ in 0..ROUNDS {
        one.run(&BTreeMap::new());
        one.wait(500);
    }
    assert!(one.core.machine.finished());
    adapters(&one)
}

fn waits_for(scene: &Scene) -> String {
    scene.core.machine.view(scene.now).waiting_for
}

#[test]
fn two_fleets_make_the_adapter_of_one_with_all_devices() {
    let mut scenes = two();
    finish(&mut scenes);
    let expected = of_one();
    assert_eq!(expected.len(), ROUNDS as usize);
    for scene in &scenes {
        assert_eq!(adapters(scene), expected);
        let rows = scene.core.ledger.history(RoundId::FIRST).unwrap();
        assert!(rows.iter().all(|row| (row.reported, row.others) == (3, Some(3))), "{rows:?}");
    }
}

/// A round waits for the other, which has lost its power at any stage, or before it told its total; both end as undisturbed.
#[test]
fn a_power_cut_at_any_time_leads_both_to_the_same_adapter() {
    let expected = of_one();
    for cut in STAGES.into_iter().map(Some).chain([None]) {
        let mut scenes = two();
        meet(&mut scenes);
        scenes[0].run(&BTreeMap::new());
        scenes[1].run(&cut.into_iter().map(|at| (5, at)).collect());
        assert!(waits_for(&scenes[0]).contains("other fleets found: south (in its round 0)"), "{cut:?}");
        for scene in &mut scenes {
            scene.restart();
            assert_eq!(scene.core.holds(), Ok(()));
        }
        finish(&mut scenes);
        assert_eq!(scenes.each_ref().map(adapters), [expected.clone(), expected.clone()], "{cut:?}");
    }
    // One goes ahead while the other is without power, and the broker keeps nothing: it is told again what it lacks.
    let mut scenes = two();
    meet(&mut scenes);
    scenes.iter_mut().for_each(|scene| scene.run(&BTreeMap::new()));
    let total = scenes[1].kept.clone();
    let ears = Ears::new(Topics::new(NAMES[0]).unwrap(), &[NAMES[1].to_owned()]).unwrap();
    scenes[0].take(total.into_iter().filter_map(|(topic, payload)| ears.event(&topic, payload)).collect());
    scenes[0].run(&BTreeMap::new());
    assert_eq!(scenes.each_ref().map(|scene| scene.core.machine.round().id()), [RoundId(1), RoundId(0)]);
    scenes[1].restart();
    scenes.iter_mut().for_each(|scene| scene.kept.clear());
    scenes.iter_mut().for_each(|scene| scene.wait(6_000));
    finish(&mut scenes);
    assert_eq!(scenes.each_ref().map(adapters), [expected.clone(), expected]);
}

#[test]
fn a_fleet_with_too_few_devices_goes_along_with_the_others() {
    let mut scenes = two();
    meet(&mut scenes);
    scenes[0].run(&BTreeMap::new());
    for _ in 0..10 {
        scenes[1].run(&[(4, At::Delivery), (5, At::Delivery)].into());
        scenes[1].wait(20_000);
    }
    meet(&mut scenes);
    let row = |scene: &Scene| {
        let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
        (row.state, row.reported, row.others, row.adapter_digest)
    };
    let [first, second] = scenes.each_ref().map(row);
    assert_eq!((first.0.as_str(), first.1, first.2), ("closed", 3, Some(0)));
    assert_eq!((second.0.as_str(), second.1, second.2), ("closed", 0, Some(3)));
    assert_eq!(first.3, second.3);
    // The devices of the second are sent a record of what the others made.
    assert!(scenes[1].core.ledger.record(RoundId::FIRST).unwrap().is_some());
}

/// Totals that are not for this round and run, and such as cannot be, are not taken, whoever sends them.
#[test]
fn what_is_not_for_this_run_is_not_folded() {
    let mut scenes = two();
    meet(&mut scenes);
    scenes.iter_mut().for_each(|scene| scene.run(&BTreeMap::new()));
    let topic = Topics::new(NAMES[1]).unwrap().total(0);
    let sent = FleetTotal::decode(&scenes[1].kept[&topic]).unwrap();
    assert_eq!((sent.devices, sent.numbers.len(), sent.partners.len()), (3, 4, 1));
    let ears = Ears::new(Topics::new(NAMES[0]).unwrap(), &[NAMES[1].to_owned()]).unwrap();
    let mut hear = |total: FleetTotal| {
        scenes[0].take(ears.event(&topic, total.encode()).into_iter().collect());
        assert_eq!(scenes[0].core.machine.round().id(), RoundId::FIRST);
        waits_for(&scenes[0])
    };
    let with = |change: &dyn Fn(&mut FleetTotal)| {
        let mut total = sent.clone();
        change(&mut total);
        total
    };
    let past = hear(with(&|total| total.partners = vec![RunId([1; 16])]));
    assert!(past.ends_with("south (in its round 0)"), "{past}");
    assert!(hear(with(&|total| total.run = RunId([1; 16]))).ends_with("south (in its round 0)"));
    assert!(hear(with(&|total| total.round = 2)).ends_with("south (in its round 0)"));
    assert!(hear(with(&|total| total.settings.0[0] ^= 1)).contains("other settings of [train]"));
    assert!(hear(with(&|total| total.base.0[0] ^= 1)).contains("begin both anew from one of them"));
    assert!(hear(with(&|total| total.numbers.truncate(3))).contains("3 numbers in its total, not 4"));
    assert!(hear(with(&|total| total.examples = 0)).contains("4 numbers in its total"));
    assert!(hear(with(&|total| total.numbers[0] = i64::MAX)).contains("numbers that no devices have"));
    // What is no total at all is counted, and changes nothing.
    scenes[0].take(ears.event(&topic, vec![1, 2, 3]).into_iter().collect());
    assert_eq!(scenes[0].core.machine.strangers(), 1);
    scenes[0].take(ears.event(&topic, sent.encode()).into_iter().collect());
    assert_eq!(scenes[0].core.machine.round().id(), RoundId(1));
}
