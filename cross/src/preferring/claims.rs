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

/// Whether on more than half of the cells CATTO is better by one of the metrics at least than the best of each group.
fn on_most(cells: &[&Cell], groups: &[&[Arm]], metrics: &[Metric]) -> (Option<bool>, String) {
    let (mut held, mut of, mut told) = (0, 0, Vec::new());
    for cell in cells {
        let Some(catto) = catto(cell) else { continue };
        let rivals: Vec<_> = groups.iter().map(|group| ways(cell, group)).collect();
        let compared = |rivals: &Vec<&Judgements>| -> Vec<Option<Difference>> {
            metrics.iter().map(|metric| difference(catto, rivals, *metric, SEED)).collect()
        };
        let all: Vec<Vec<Difference>> =
            rivals.iter().map(|r| compared(r).into_iter().flatten().collect()).collect();
        if all.iter().any(Vec::is_empty) {
            continue;
        }
        let better = all.iter().all(|some| some.iter().any(|difference| difference.interval.1 < 0.0));
        (held, of) = (held + usize::from(better), of + 1);
        let differences: Vec<String> =
            all.iter().map(|some| some.iter().map(points).collect::<Vec<_>>().join(", ")).collect();
        told.push(format!("{} {}", place(cell), differences.join("; ")));
    }
    verdict(held, of, 2 * held > of, &told)
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
        let alone = catto.others.is_some_and(|(low, high)| low <= 0.0 && high >= 0.0);
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
