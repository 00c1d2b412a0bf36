//! The splits: nothing that judges was learnt from (V9).
#![allow(clippy::unwrap_used)]

use sprig_mcq::{Asked, Family, Holdout, Manifest, Plan, Share, Split, Suite};
use std::collections::HashSet;

fn suite() -> Suite {
    Plan::new(9).carry_out().unwrap()
}

fn items(suite: &Suite, split: Split) -> Vec<&Asked> {
    suite.split(split).flat_map(|part| &part.items).collect()
}

#[test]
fn splits_share_no_stem_and_hold_out_what_they_say() {
    let suite = suite();
    let Holdout { template, code, family } = suite.plan.holdout;
    let (template, code, family) = (template.unwrap(), code.unwrap(), family.unwrap());
    let hashes =
        |split| items(&suite, split).iter().map(|one| one.item.stem.fingerprint()).collect::<HashSet<_>>();
    let (train, dev) = (hashes(Split::Train), hashes(Split::Dev));
    assert!(train.is_disjoint(&dev));
    for split in [Split::Parameters, Split::Telling, Split::Error, Split::Family] {
        assert!(train.is_disjoint(&hashes(split)) && dev.is_disjoint(&hashes(split)), "{split}");
        assert!(items(&suite, split).iter().all(|one| Share::of(&one.item.stem) == Share::Test));
    }
    for split in [Split::Train, Split::Dev, Split::Parameters] {
        for one in items(&suite, split) {
            assert!(one.item.template != template && one.item.family != family);
            assert!(one.item.fault(code).is_none() && one.code != code);
        }
    }
    assert!(items(&suite, Split::Telling).iter().all(|one| one.item.template == template));
    assert!(items(&suite, Split::Error).iter().all(|one| one.code == code));
    assert!(items(&suite, Split::Family).iter().all(|one| one.item.family == family));
    assert!(suite.parts.iter().flat_map(|part| &part.items).all(|one| one.fault().is_some()));
}

#[test]
fn parts_are_full_of_unlike_stems_and_errors_are_asked_about_as_often() {
    let suite = suite();
    let families = |split| suite.split(split).map(|part| part.family).collect::<Vec<_>>();
    assert_eq!(families(Split::Error), [Family::LinPlus, Family::LinMinus]);
    assert_eq!(families(Split::Family), [Family::PctOf]);
    assert_eq!(families(Split::Train).len(), 6);
    let manifest = Manifest::of(&suite).unwrap();
    for (part, record) in suite.parts.iter().zip(&manifest.parts) {
        let wanted = match part.split {
            Split::Train => 2000,
            Split::Dev => 200,
            _ => 500,
        };
        let stems: HashSet<_> = part.items.iter().map(|one| one.item.stem).collect();
        assert_eq!((stems.len(), part.items.len(), record.items), (wanted, wanted, wanted));
        let (least, most) = (record.asked.values().min().unwrap(), record.asked.values().max().unwrap());
        assert!(most - least <= wanted / 100, "{:?} {}: {:?}", part.split, part.family, record.asked);
        assert_eq!(record.asked.values().sum::<usize>(), wanted);
    }
}

#[test]
fn every_seen_telling_is_used() {
    let suite = suite();
    let told: HashSet<_> = items(&suite, Split::Train).iter().map(|one| one.item.template).collect();
    assert_eq!(told.len(), 3);
}
