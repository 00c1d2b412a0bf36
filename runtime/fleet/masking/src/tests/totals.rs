//! The total is the plain sum, or nothing comes out.

use crate::error::Stage;
use crate::testing::{ALL, Fleet, Lost, Seeded};
use crate::{Blame, Collector, MaskingError, Total};

/// Chooses so many that are lost at that stage.
fn lose(fleet: &mut Fleet, count: usize, when: Lost, seed: u64) {
    let mut numbers = fleet.numbers();
    Seeded::new(seed ^ 99).shuffle(&mut numbers);
    fleet.lost.extend(numbers.into_iter().take(count).map(|number| (number, when)));
}

#[test]
fn totals_are_the_bits_of_plain_sums_whoever_is_lost_and_when() {
    for (members, seeds) in [(3, 4), (4, 4), (7, 3), (12, 2), (20, 1)] {
        for seed in 0..seeds {
            let mut fleet = Fleet::new(members, 70, seed);
            assert_eq!(fleet.total(), Ok(fleet.plain()), "{members} {seed}");
            for when in ALL {
                let mut fleet = Fleet::new(members, 70, seed);
                lose(&mut fleet, members as usize * 3 / 10, when, seed);
                assert_eq!(fleet.total(), Ok(fleet.plain()), "{members} {seed} {when:?}");
            }
        }
    }
}

#[test]
fn totals_are_right_with_losses_at_every_stage_of_one_round() {
    for seed in 0..4 {
        let mut fleet = Fleet::new(24, 600, seed);
        let mut numbers = fleet.numbers();
        Seeded::new(seed).shuffle(&mut numbers);
        for (when, some) in ALL.into_iter().zip(numbers.chunks(2)) {
            fleet.lost.extend(some.iter().map(|number| (*number, when)));
        }
        let total = fleet.total().unwrap();
        assert_eq!(total, fleet.plain());
        assert_eq!(total.members.len(), 18, "who reported and gave no answer is in the total");
    }
}

#[test]
fn totals_wrap_as_plain_sums_do() {
    for value in [i64::MIN, i64::MAX, -1, 0] {
        let mut fleet = Fleet::new(5, 3, 1);
        fleet.values.values_mut().for_each(|values| values.fill(value));
        let total = fleet.total().unwrap();
        assert_eq!(total.values, [value.wrapping_mul(5); 3]);
    }
}

#[test]
fn a_member_with_other_values_gives_another_total() {
    let mut fleet = Fleet::new(5, 3, 1);
    let before = fleet.total().unwrap();
    let mut other = Fleet::new(5, 3, 1);
    other.values.values_mut().next().unwrap()[1] += 1;
    let after = other.total().unwrap();
    assert_eq!(after.values[1], before.values[1].wrapping_add(1));
    assert_eq!([after.values[0], after.values[2]], [before.values[0], before.values[2]]);
}

#[test]
fn below_the_threshold_nothing_comes_out_and_the_error_says_how_many_are_missing() {
    let stages = [Stage::Keys, Stage::Packages, Stage::Veiled, Stage::Answers];
    for members in [3, 10, 21] {
        for (when, stage) in ALL.into_iter().zip(stages) {
            let mut fleet = Fleet::new(members, 4, 5);
            let need = fleet.terms.threshold();
            lose(&mut fleet, members as usize - need + 1, when, 5);
            let error = fleet.total().unwrap_err();
            assert_eq!(error, MaskingError::TooFew { stage, have: need - 1, need });
            assert_eq!(error.blame(), Blame::Nobody);
            assert!(error.to_string().contains(&format!("1 fewer than the {need}")), "{error}");
            assert!(fleet.collector.total().is_err());
        }
    }
}

#[test]
fn a_stage_that_had_too_few_goes_on_when_the_rest_arrives() {
    let mut fleet = Fleet::new(3, 4, 5);
    let lost = fleet.numbers()[0];
    fleet.keys().unwrap();
    fleet.packages().unwrap();
    fleet.lost.extend(fleet.numbers().into_iter().skip(1).map(|number| (number, Lost::AfterPackages)));
    assert!(matches!(fleet.veiled(), Err(MaskingError::TooFew { stage: Stage::Veiled, have: 1, need: 2 })));
    fleet.lost = [(lost, Lost::AfterPackages)].into();
    fleet.veiled().unwrap();
    fleet.lost.clear();
    fleet.answers().unwrap();
    assert_eq!(fleet.collector.total(), Ok(fleet.plain()));
}

#[test]
fn messages_that_come_twice_count_once() {
    let mut fleet = Fleet::new(6, 9, 2);
    let total = fleet.total().unwrap();
    let collector = &mut fleet.collector;
    assert!(fleet.keys.iter().all(|keys| collector.take_keys(keys.clone()) == Ok(false)));
    assert!(fleet.packages.iter().all(|packages| collector.take_packages(packages.clone()) == Ok(false)));
    assert!(fleet.veiled.iter().all(|veiled| collector.take_veiled(veiled) == Ok(false)));
    assert!(fleet.answers.iter().all(|answer| collector.take_answer(answer) == Ok(false)));
    assert_eq!(collector.total(), Ok(total));
}

#[test]
fn a_collector_that_gets_the_messages_again_asks_and_gives_the_same() {
    let mut fleet = Fleet::new(10, 9, 2);
    lose(&mut fleet, 2, Lost::AfterPackages, 2);
    let total = fleet.total().unwrap();
    // Backwards: the order within a stage says nothing.
    let again: Result<Total, MaskingError> = (|| {
        let mut collector = Collector::new(fleet.terms);
        for keys in fleet.keys.iter().rev() {
            collector.take_keys(keys.clone())?;
        }
        assert_eq!(Some(collector.roster()?), fleet.roster);
        for packages in fleet.packages.iter().rev() {
            collector.take_packages(packages.clone())?;
        }
        for dealer in collector.dealers()? {
            assert_eq!(collector.delivery(dealer)?, fleet.delivery(dealer));
        }
        for veiled in fleet.veiled.iter().rev() {
            collector.take_veiled(veiled)?;
        }
        assert_eq!(Some(collector.question()?), fleet.question);
        // Other answers than those used before: whichever threshold of them gives the same.
        for answer in fleet.answers.iter().rev().take(fleet.terms.threshold()) {
            collector.take_answer(answer)?;
        }
        collector.total()
    })();
    assert_eq!(again, Ok(total));
}
