//! CATTO's claims C1 to C7, each held or not by its pass rule (specification, section 8): 95 of 100 paired resamples on its side.

use super::arm::Arm;
use super::best_of::BestOf;
use super::found::{Cell, Found, Key, Trained};
use super::score::{Difference, Judgements, Metric, difference};
use serde::Serialize;

/// Points of accuracy that may be lost.
const MARGIN: f64 = 0.015;
/// Seed of the resamples.
const SEED: u64 = 1;

/// A claim and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Its number.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Whether it held; `None` where it was not measured.
    pub held: Option<bool>,
    /// By what.
    pub why: String,
}

/// All of them.
pub fn claims(cells: &[Cell], found: &Found) -> Vec<Claim> {
    let (own, other): (Vec<&Cell>, Vec<&Cell>) = cells.iter().partition(|cell| cell.is_own());
    let claim = |id, says, (held, why): (Option<bool>, String)| Claim { id, says, held, why };
    vec![
        claim(
            "C1",
            "calibration error below DPO's on most sets",
            on_most(&own, &[&[Arm::Dpo]], &[Metric::Ece]),
        ),
        claim(
            "C2",
            "the same on sets it did not learn from",
            on_most(&other, &[&[Arm::Dpo]], &[Metric::Ece]),
        ),
        claim(
            "C3",
            "below the better of RCFT and DPO+BCE on most sets",
            on_most(&own, &[&[Arm::Rcft, Arm::DpoBce]], &[Metric::Ece]),
        ),
        claim("C4", "no more than 1.5 points of accuracy below DPO", as_right(&own)),
        claim(
            "C5",
            "of more candidates the surest is right more often, more than DPO's and than a majority, and the others' \
             confidences say nothing more",
            surest(found),
        ),
        claim("C6", "a step takes at most 1.05 times DPO's time and 1.02 times its memory", costs(found)),
        claim(
            "C7",
            "with temperatures for all, on sets it did not learn from, a lower error or better ranked answers than both \
             DPO's and a mere penalty's; otherwise it is one",
            on_most(&other, &[&[Arm::Dpo], &[Arm::Penalty]], &[Metric::ScaledEce, Metric::Unranked]),
        ),
    ]
}

fn ways<'c>(cell: &'c Cell, arms: &[Arm]) -> Vec<&'c Judgements> {
    arms.iter().filter_map(|arm| cell.ways.get(arm.name())).collect()
}

fn catto(cell: &Cell) -> Option<&Judgements> {
    cell.ways.get(Arm::Catto.name())
}

/// Whether on more than half of the cells CATTO is better than the best of each group, by one of the metrics at least.
fn on_most(cells: &[&Cell], groups: &[&[Arm]], metrics: &[Metric]) -> (Option<bool>, String) {
    let found: Vec<_> = cells.iter().filter_map(|cell| against(cell, groups, metrics)).collect();
    let held = found.iter().filter(|(better, _)| *better).count();
    let told: Vec<String> = found.into_iter().map(|(_, told)| told).collect();
    verdict(held, told.len(), 2 * held > told.len(), &told)
}

/// The same on one cell, with what it is by; `None` where CATTO or a whole group is missing.
fn against(cell: &Cell, groups: &[&[Arm]], metrics: &[Metric]) -> Option<(bool, String)> {
    let (catto, mut better, mut told) = (catto(cell)?, true, Vec::new());
    for group in groups {
        let rivals = ways(cell, group);
        let compared = metrics.iter().filter_map(|metric| difference(catto, &rivals, *metric, SEED));
        let differences: Vec<Difference> = compared.collect();
        if differences.is_empty() {
            return None;
        }
        better &= differences.iter().any(|difference| difference.interval.1 < 0.0);
        let there = group.iter().map(|arm| arm.name()).filter(|name| cell.ways.contains_key(*name));
        let named = there.collect::<Vec<_>>().join(" and ");
        let points: Vec<String> = differences.iter().map(points).collect();
        told.push(format!("{} against {named}", points.join(" and ")));
    }
    Some((better, format!("{} {}", place(cell), told.join(", "))))
}

/// Whether on all sets CATTO is wrong at most the margin more often than DPO.
fn as_right(cells: &[&Cell]) -> (Option<bool>, String) {
    let (mut held, mut of, mut told) = (0, 0, Vec::new());
    for cell in cells {
        let wrong = catto(cell).and_then(|c| difference(c, &ways(cell, &[Arm::Dpo]), Metric::Wrong, SEED));
        let Some(wrong) = wrong else { continue };
        (held, of) = (held + usize::from(wrong.interval.1 < MARGIN), of + 1);
        told.push(format!("{} {} wrong", place(cell), points(&wrong)));
    }
    verdict(held, of, held == of, &told)
}

fn verdict(held: usize, of: usize, passed: bool, told: &[String]) -> (Option<bool>, String) {
    match of {
        0 => (None, "not measured".to_owned()),
        _ => (Some(passed), format!("on {held} of {of}: {}", told.join("; "))),
    }
}

fn place(cell: &Cell) -> String {
    if cell.is_own() { cell.on.clone() } else { format!("{} to {}", cell.set, cell.on) }
}

fn points(difference: &Difference) -> String {
    let (low, high) = difference.interval;
    format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * difference.value, 100.0 * low, 100.0 * high)
}

/// CATTO and DPO of one set and seed, by what was found of both.
fn pairs<'f, T>(found: &'f Found, of: impl Fn(&Key) -> Option<&'f T>) -> Vec<(&'f T, &'f T)> {
    let keys = found.keys().into_iter().filter(|key| key.arm == Arm::Catto.name());
    let pair = |key: &Key| Some((of(key)?, of(&Key { arm: Arm::Dpo.name().to_owned(), ..key.clone() })?));
    keys.filter_map(pair).collect()
}

fn surest(found: &Found) -> (Option<bool>, String) {
    let pairs = pairs(found, |key| found.best_of(key));
    let holds = |(catto, dpo): &(&BestOf, &BestOf)| {
        let alone = catto.others.is_some_and(|p| p >= 0.05);
        catto.rises() && catto.last() > dpo.last() && catto.last() > catto.majority && alone
    };
    let told = |(catto, dpo): &(&BestOf, &BestOf)| {
        let by_k: Vec<String> =
            catto.surest.iter().map(|(k, a)| format!("{:.1} at {k}", 100.0 * a)).collect();
        let rivals = (100.0 * catto.majority, 100.0 * dpo.last());
        format!("{}, majority {:.1}, DPO's surest {:.1}", by_k.join(", "), rivals.0, rivals.1)
    };
    let held = pairs.iter().filter(|pair| holds(pair)).count();
    verdict(held, pairs.len(), 2 * held > pairs.len(), &pairs.iter().map(told).collect::<Vec<_>>())
}

fn costs(found: &Found) -> (Option<bool>, String) {
    let pairs = pairs(found, |key| found.trained(key));
    let ratio = |of: &dyn Fn(&Trained) -> f64, some: &[&(&Trained, &Trained)]| {
        let mut ratios: Vec<f64> = some.iter().map(|(catto, dpo)| of(catto) / of(dpo)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    };
    let alone: Vec<_> = pairs.iter().filter(|(catto, dpo)| catto.alone && dpo.alone).collect();
    let time = ratio(&|t| t.step_ms, &alone);
    let memory = ratio(&|t| t.peak_bytes as f64, &pairs.iter().collect::<Vec<_>>());
    match (time, memory) {
        (_, None) => (None, "not measured".to_owned()),
        (None, Some(memory)) => {
            (None, format!("memory {memory:.3} times; not timed here, for others ran beside it"))
        }
        (Some(time), Some(memory)) => {
            let why = format!("time {time:.3} times, memory {memory:.3} times");
            (Some(time <= 1.05 && memory <= 1.02), why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::score::{Judged, tests::judgements};
    use super::*;
    use crate::preferring::found::Fact;

    fn cell(set: &str, on: &str, ways: &[(Arm, f64, f64)]) -> Cell {
        let of = |(i, (arm, right, over)): (usize, &(Arm, f64, f64))| {
            (arm.name().to_owned(), judgements(400, *right, *over, 10 + i as u64))
        };
        let (set, on) = (set.to_owned(), on.to_owned());
        Cell { set, on, ways: ways.iter().enumerate().map(of).collect() }
    }

    fn nothing() -> (tempfile::TempDir, Found) {
        let folder = tempfile::tempdir().unwrap();
        let found = Found::read(folder.path()).unwrap();
        (folder, found)
    }

    fn held(claims: &[Claim], id: &str) -> Option<bool> {
        claims.iter().find(|claim| claim.id == id).unwrap().held
    }

    #[test]
    fn a_known_difference_is_found_and_none_is_not() {
        let (_folder, found) = nothing();
        let calm =
            [(Arm::Catto, 0.6, 0.0), (Arm::Dpo, 0.6, 0.2), (Arm::Rcft, 0.6, 0.0), (Arm::DpoBce, 0.6, 0.2)];
        let claims = claims(&[cell("a", "a", &calm), cell("a", "b", &calm)], &found);
        assert_eq!((held(&claims, "C1"), held(&claims, "C2")), (Some(true), Some(true)), "{claims:?}");
        assert_eq!(held(&claims, "C3"), Some(false), "RCFT is as calm: {claims:?}");
        assert!(claims[2].why.contains("against RCFT and DPO+BCE"), "{claims:?}");
        assert_eq!((held(&claims, "C5"), held(&claims, "C6"), held(&claims, "C7")), (None, None, None));
    }

    #[test]
    fn what_is_as_sure_or_less_often_right_does_not_hold() {
        let (_folder, found) = nothing();
        let alike = [(Arm::Catto, 0.5, 0.1), (Arm::Dpo, 0.7, 0.1)];
        let claims = claims(&[cell("a", "a", &alike)], &found);
        assert_eq!((held(&claims, "C1"), held(&claims, "C2")), (Some(false), None), "{claims:?}");
        assert_eq!((held(&claims, "C3"), held(&claims, "C4")), (None, Some(false)), "{claims:?}");
    }

    #[test]
    fn a_penalty_that_does_as_much_leaves_it_one() {
        let (_folder, found) = nothing();
        // After scaling all are calibrated alike; only who is right more often where it is surer differs.
        let of = |rival| {
            let mut cell =
                cell("a", "b", &[(Arm::Catto, 0.6, 0.0), (Arm::Dpo, 0.6, 0.0), (Arm::Penalty, 0.6, 0.0)]);
            for arm in rival {
                let worse = |items: &Vec<_>| {
                    items.iter().map(|i: &Judged| Judged { scaled: i.scaled + 0.2, ..*i }).collect()
                };
                let way = cell.ways.get_mut(arm).unwrap();
                *way = way.iter().map(|(seed, items)| (*seed, worse(items))).collect();
            }
            held(&claims(&[cell], &found), "C7")
        };
        assert_eq!(of(vec!["DPO", "penalty"]), Some(true));
        assert_eq!(of(vec!["DPO"]), Some(false));
    }

    #[test]
    fn most_sets_decide() {
        let (_folder, found) = nothing();
        let (better, alike) =
            ([(Arm::Catto, 0.6, 0.0), (Arm::Dpo, 0.6, 0.2)], [(Arm::Catto, 0.6, 0.2), (Arm::Dpo, 0.6, 0.2)]);
        let of = |cells: &[Cell]| held(&claims(cells, &found), "C1");
        assert_eq!(of(&[cell("a", "a", &better), cell("b", "b", &alike)]), Some(false), "half is not most");
        assert_eq!(
            of(&[cell("a", "a", &better), cell("b", "b", &better), cell("c", "c", &alike)]),
            Some(true)
        );
    }

    #[test]
    fn costs_count_where_they_were_timed_alone() {
        let (_folder, mut found) = nothing();
        let key = |arm: Arm, seed| Key { set: "a".to_owned(), seed, arm: arm.name().to_owned() };
        let trained = |step_ms, alone| Trained { steps: 1, step_ms, alone, seconds: 1.0, peak_bytes: 100 };
        found.push(&key(Arm::Catto, 1), Fact::Trained(trained(104.0, false))).unwrap();
        found.push(&key(Arm::Dpo, 1), Fact::Trained(trained(50.0, false))).unwrap();
        let of = |found: &Found| claims(&[], found).into_iter().find(|claim| claim.id == "C6").unwrap();
        assert_eq!(of(&found).held, None);
        assert!(of(&found).why.contains("memory 1.000 times; not timed here"), "{:?}", of(&found));
        found.push(&key(Arm::Catto, 2), Fact::Trained(trained(104.0, true))).unwrap();
        found.push(&key(Arm::Dpo, 2), Fact::Trained(trained(100.0, true))).unwrap();
        assert_eq!(
            (of(&found).held, of(&found).why.as_str()),
            (Some(true), "time 1.040 times, memory 1.000 times")
        );
    }

    #[test]
    fn the_surest_of_several_has_to_beat_all() {
        let (_folder, mut found) = nothing();
        let key = |arm: Arm| Key { set: "a".to_owned(), seed: 1, arm: arm.name().to_owned() };
        let best =
            |last, others| BestOf { n: 100, surest: vec![(1, 0.5), (8, last)], majority: 0.55, others };
        found.push(&key(Arm::Catto), Fact::BestOf(best(0.6, Some(0.4)))).unwrap();
        let of = |found: &Found| held(&claims(&[], found), "C5");
        assert_eq!(of(&found), None, "DPO's is missing");
        found.push(&key(Arm::Dpo), Fact::BestOf(best(0.58, None))).unwrap();
        assert_eq!(of(&found), Some(true));
        let (_folder, mut other) = nothing();
        other.push(&key(Arm::Catto), Fact::BestOf(best(0.6, Some(0.01)))).unwrap();
        other.push(&key(Arm::Dpo), Fact::BestOf(best(0.58, None))).unwrap();
        assert_eq!(of(&other), Some(false), "the others' confidences say more");
    }
}
