//! What the collector, a broker and all that they keep can tell: tried with the collector's own code.

use super::opening::Opening;
use crate::context::Context;
use crate::derive::{self, Secrets};
use crate::messages::Veiled;
use crate::sealing::Pieces;
use crate::testing::{Fleet, Lost, looks_random, unevenness};
use crate::{MaskingError, veil};
use std::collections::BTreeMap;
use x25519_dalek::StaticSecret;

/// A round of six whose values are small, as a device's are: what is left of them shows at once. Enough to judge by.
fn fleet(seed: u64) -> Fleet {
    let mut fleet = Fleet::new(6, 4096, seed);
    for (number, values) in &mut fleet.values {
        values.iter_mut().enumerate().for_each(|(at, value)| *value = i64::from(*number) + at as i64 % 7);
    }
    fleet
}

fn words(values: &[i64]) -> Vec<u64> {
    values.iter().map(|value| value.cast_unsigned()).collect()
}

fn difference(one: &[u64], other: &[u64]) -> Vec<u64> {
    one.iter().zip(other).map(|(one, other)| one.wrapping_sub(*other)).collect()
}

/// Takes off a member's vector the veils that it has with all others, by its key for veils.
fn without_pairs(fleet: &Fleet, veiled: &Veiled, veiling: &StaticSecret) -> Vec<u64> {
    let (_, listed) = fleet.collector.listed.as_ref().unwrap();
    let mut values = veiled.values.clone();
    for package in &fleet.delivery(veiled.member).packages {
        let keys = &fleet.collector.keys[&package.peer];
        let key = derive::pair_veil(veiling, &keys.veiling, listed, [veiled.member, package.peer]).unwrap();
        let change = if package.peer < veiled.member { veil::subtract } else { veil::add };
        change(&mut values, &key);
    }
    values
}

/// What a member keeps secret, which tests get at through the packages for it.
fn secrets(fleet: &Fleet, number: u32) -> Secrets {
    let state = fleet.members[&number].to_bytes();
    // Kind, version, terms and number stand before the root.
    let root = state[2 + 36 + 4..][..32].try_into().unwrap();
    Secrets::of(&derive::Key::new(root), &Context::of_terms(&fleet.terms), number)
}

#[test]
fn what_is_no_veil_does_not_look_random() {
    let fleet = fleet(1);
    let plain = words(&fleet.values[&fleet.numbers()[0]]);
    assert!(unevenness(&plain) > 10_000.0 && !looks_random(&plain));
}

#[test]
fn vectors_that_pass_look_random_and_so_do_differences_and_sums_of_them() {
    for seed in 0..4 {
        let mut fleet = fleet(seed);
        fleet.total().unwrap();
        let mut sum = vec![0u64; 4096];
        for (at, one) in fleet.veiled.iter().enumerate() {
            assert!(looks_random(&one.values), "{}", one.member);
            for other in &fleet.veiled[..at] {
                assert!(looks_random(&difference(&one.values, &other.values)));
            }
            // The last is the sum of all, in which veils between two are gone and each one's own are not.
            sum.iter_mut().zip(&one.values).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
            assert!(looks_random(&sum));
        }
    }
}

#[test]
fn two_rounds_of_the_same_values_look_unlike_each_other() {
    let mut fleets = [fleet(1), fleet(2)];
    fleets.iter_mut().for_each(|fleet| drop(fleet.total().unwrap()));
    let [one, other] = &fleets;
    assert!(looks_random(&difference(&one.veiled[0].values, &other.veiled[0].values)));
}

#[test]
fn fewer_answers_than_the_threshold_open_no_secret() {
    let mut fleet = fleet(3);
    let lost = fleet.numbers()[2];
    fleet.lost = [(lost, Lost::AfterPackages)].into();
    fleet.total().unwrap();
    let (at_lost, reported) = (fleet.question.as_ref().unwrap().reported.len(), fleet.numbers()[0]);
    let opened = |fleet: &Fleet| {
        let opening = Opening::of(&fleet.collector).unwrap();
        (opening.own_seed(0, reported).is_ok(), opening.veiling(at_lost, lost).is_ok())
    };
    assert_eq!(opened(&fleet), (true, true));
    while fleet.collector.answers.len() >= fleet.terms.threshold() {
        fleet.collector.answers.pop_last();
    }
    assert_eq!(opened(&fleet), (false, false));
    assert!(matches!(fleet.collector.total(), Err(MaskingError::TooFew { .. })));
}

#[test]
fn the_answers_of_all_open_no_single_vector() {
    let mut fleet = fleet(4);
    fleet.total().unwrap();
    let opening = Opening::of(&fleet.collector).unwrap();
    for (at, veiled) in fleet.veiled.iter().enumerate() {
        let own_seed = opening.own_seed(at, veiled.member).unwrap();
        let mut values = veiled.values.clone();
        veil::subtract(&mut values, &derive::own_veil(&own_seed, opening.listed));
        assert!(looks_random(&values), "the veils with others are still on");
        // As a key for veils the same pieces give nothing that anybody listed.
        assert!(opening.veiling(at, veiled.member).is_err());
        // And with that key, which nobody gives of one that reported, it would be open.
        let secrets = secrets(&fleet, veiled.member);
        let off = without_pairs(&fleet, &Veiled { values, ..veiled.clone() }, &secrets.veiling);
        assert_eq!(off, words(&fleet.values[&veiled.member]));
    }
}

#[test]
fn late_values_of_a_lost_member_stay_under_its_own_veil() {
    let mut fleet = fleet(5);
    let lost = fleet.numbers()[3];
    fleet.lost = [(lost, Lost::AfterPackages)].into();
    fleet.total().unwrap();
    let late = fleet.veil(lost).unwrap();
    let refused = fleet.collector.take_veiled(&late).unwrap_err();
    assert!(refused.to_string().contains("after it counted as lost"), "{refused}");
    // The collector has its key for veils by now, and takes off all that it has with others.
    let opening = Opening::of(&fleet.collector).unwrap();
    let at = fleet.question.as_ref().unwrap().reported.len();
    let values = without_pairs(&fleet, &late, &opening.veiling(at, lost).unwrap());
    assert!(looks_random(&values), "its own veil is still on");
    assert!(opening.own_seed(at, lost).is_err(), "and no answer holds a piece of its seed");
    // Which is all that is between them and its values.
    let mut values = values;
    veil::subtract(&mut values, &derive::own_veil(&secrets(&fleet, lost).own_seed, opening.listed));
    assert_eq!(values, words(&fleet.values[&lost]));
}

#[test]
fn as_many_members_as_the_threshold_could_open_a_device_and_one_fewer_could_not() {
    let mut fleet = fleet(6);
    fleet.total().unwrap();
    let victim = fleet.numbers()[5];
    let (_, listed) = fleet.collector.listed.as_ref().unwrap();
    // What others hold of the victim, with the keys that open their packages.
    let mut held = BTreeMap::new();
    for number in fleet.numbers().into_iter().take(fleet.terms.threshold()) {
        let delivery = fleet.delivery(number);
        let package = delivery.packages.iter().find(|package| package.peer == victim).unwrap();
        let theirs = &fleet.collector.keys[&victim].sealing;
        let mine = secrets(&fleet, number).sealing;
        let key = derive::package_key(&mine, theirs, listed, [victim, number]).unwrap();
        held.insert(number, Pieces::open(&package.sealed, &key).unwrap());
    }
    let join = |held: &BTreeMap<u32, Pieces>| {
        let members: Vec<u32> = held.keys().copied().collect();
        crate::pieces::Joining::of(&members).join(held.values().map(|pieces| &*pieces.of_veil))
    };
    let wanted = secrets(&fleet, victim).veil_seed;
    assert_eq!(*join(&held), *wanted);
    held.pop_last();
    assert_ne!(*join(&held), *wanted);
}
