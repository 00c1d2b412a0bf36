//! Rounds of steps that are aggregated securely: the step is that of the mean over those that reported, whoever is lost.

use super::scene::*;
use crate::*;
use sprig_learn::directions::Sharing;
use sprig_learn::estimator::{AnyEstimator, Forward};
use sprig_learn::spry::{Dealing, Rules, Seeds, Terms};
use sprig_simulate as simulate;
use sprig_transport::messages::Record;
use std::collections::BTreeMap;

pub(super) const ROUNDS: u32 = 3;

#[test]
fn the_step_is_of_those_that_report_with_thirty_percent_lost_at_each_stage() {
    for lost in [None, Some(At::Terms), Some(At::Roster), Some(At::Delivery), Some(At::Question)] {
        let mut scene = scene("test", 0, DEVICES, &[]);
        // Two of seven: five are the threshold.
        let away: BTreeMap<u32, At> = lost.into_iter().flat_map(|at| [(1, at), (4, at)]).collect();
        scene.finish(&away);
        // Whose numbers are in is in the step, even if it is lost before they are opened.
        let reported = (0..DEVICES).filter(|n| !away.contains_key(n) || lost == Some(At::Question));
        let (mut examples_in_all, mut sums) = (0, [0; 4]);
        for device in reported {
            examples_in_all += examples(device);
            sums.iter_mut().zip(numbers(device)).for_each(|(sum, own)| *sum += own);
        }
        let mean = |sum: i64| (sum as f64 / f64::from(1 << 28) / f64::from(examples_in_all)) as f32;
        let record = scene.core.ledger.record(RoundId::FIRST).unwrap().unwrap();
        let [told] = &Record::decode(&record).unwrap().contributions[..] else { panic!("{lost:?}") };
        assert_eq!((told.number, &told.scalars[..]), (0, &sums.map(mean)[..]), "{lost:?}");
    }
}

/// A fleet of `devices` devices that hide their steps, which is folded with `others`.
fn settings(fleet: &str, devices: u32, others: &[&str]) -> Options {
    let rules = simulate::rules(8);
    let AnyEstimator::Forward(along) = rules.estimator else { unreachable!() };
    let along = Forward { sharing: Sharing::Shared, tangents: 4, ..along };
    let estimator = AnyEstimator::Forward(along);
    Options {
        fleet: fleet.into(),
        rounds: ROUNDS,
        rules: Rules::new(Terms { seeds: Seeds::Shared, estimator, ..*rules }).unwrap(),
        dealing: Dealing::Unsplit,
        readout: None,
        fold_with: others.iter().map(|&name| name.to_owned()).collect(),
        ..super::scene::settings(devices)
    }
}

/// The devices from `first` on, each with numbers of its own.
pub(super) fn scene(fleet: &str, first: u32, devices: u32, others: &[&str]) -> Scene {
    Scene::of(settings(fleet, devices, others), Deeds { first, examples, numbers })
}

fn examples(device: u32) -> u32 {
    2 + device
}

fn numbers(device: u32) -> Vec<i64> {
    (0..4).map(|n| ((i64::from(device) + 1) * (n + 1)) << 25).collect()
}
