//! The generator: exact counts, and what no emitted item may hold (V3, V4).
#![allow(clippy::unwrap_used)]

use sprig_mcq::{Family, Maker, Standing, Verdict, Wording, agree};
use std::collections::HashSet;

/// How the stems of a family fare.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    stems: u64,
    accepted: u64,
    triggered: u64,
    shown: u64,
}

fn counts(family: Family) -> Counts {
    let mut counts = Counts::default();
    for stem in family.stems() {
        let verdict = Verdict::of(family, &stem).unwrap();
        counts.stems += 1;
        counts.accepted += u64::from(verdict.accepts(3));
        counts.triggered += (family.codes().len() - verdict.count(Standing::Right)) as u64;
        counts.shown += verdict.count(Standing::Shown) as u64;
    }
    counts
}

/// A share as the specification prints it, in thousandths.
fn per_mille(part: u64, whole: u64) -> u64 {
    (2000 * part + whole) / (2 * whole)
}

#[test]
fn the_accepted_counts_are_those_of_the_specification() {
    for (family, accepted, stems, triggered, unique) in [
        (Family::Sub0, 14_400, 18_225, 1000, 890),
        (Family::Fadd, 4_452, 4_548, 1000, 1000),
        (Family::Fdiv, 4_530, 4_548, 1000, 1000),
        (Family::LinPlus, 3_766, 3_840, 999, 990),
        (Family::LinMinus, 3_770, 3_840, 1000, 991),
        (Family::Order, 8_415, 8_512, 996, 1000),
        (Family::PctOf, 3_840, 3_840, 1000, 1000),
    ] {
        let found = counts(family);
        assert_eq!((found.accepted, found.stems), (accepted, stems), "{family}");
        let slots = found.stems * family.codes().len() as u64;
        assert_eq!(per_mille(found.triggered, slots), triggered, "{family}");
        assert_eq!(per_mille(found.shown, found.triggered), unique, "{family}");
    }
}

/// SUB was sampled by the specification: .388, .792 and .058 are within what 20,000 draws scatter of these.
#[test]
fn subtraction_of_any_numbers_is_seldom_accepted() {
    let found = counts(Family::Sub);
    let expected = Counts { stems: 485_550, accepted: 28_800, triggered: 756_135, shown: 601_353 };
    assert_eq!(found, expected);
    let shares = [per_mille(found.triggered, 4 * found.stems), per_mille(found.shown, found.triggered)];
    assert_eq!((shares, per_mille(found.accepted, found.stems)), ([389, 795], 59));
}

#[test]
fn no_item_shows_the_right_answer_or_one_answer_twice() {
    for family in Family::ALL {
        for (least, wording) in [(3, Wording::Closed), (1, Wording::Paraphrased)] {
            let maker = Maker { seed: 11, least, wording };
            for index in 0..2000 {
                let item = maker.item(family, index).unwrap();
                assert!(item.faults.len() >= least);
                for (i, fault) in item.faults.iter().enumerate() {
                    assert!(!agree(&item.stem, &fault.answer, &item.key), "{item:?}");
                    let made = |code| sprig_mcq::apply(code, &item.stem).unwrap();
                    assert_eq!(made(fault.code), fault.answer);
                    let makers =
                        family.codes().iter().filter(|code| agree(&item.stem, &made(**code), &fault.answer));
                    assert_eq!(makers.count(), 1, "{item:?}");
                    assert!(item.faults[..i].iter().all(|other| !other.answer.same(&fault.answer)));
                }
                if least == 3 {
                    let options = item.options(11).unwrap();
                    let texts: HashSet<String> =
                        options.shown.iter().map(|(_, answer)| answer.render()).collect();
                    assert_eq!((texts.len(), options.shown.len()), (4, 4), "{item:?}");
                    assert_eq!(options.shown[options.right], (None, item.key.clone()));
                }
            }
        }
    }
}

#[test]
fn items_lie_in_the_enumerated_stems_and_below_the_limits() {
    for family in Family::ALL {
        let all: HashSet<_> = family.stems().collect();
        for index in 0..500 {
            let item = Maker::new(u64::MAX).item(family, index).unwrap();
            assert!(all.contains(&item.stem), "{}", item.stem);
            for answer in item.faults.iter().map(|fault| &fault.answer).chain([&item.key]) {
                let value = answer.number().unwrap().value();
                assert!(value.top().abs() < 100_000 * value.bottom() && value.bottom() < 200, "{answer}");
            }
        }
    }
}
