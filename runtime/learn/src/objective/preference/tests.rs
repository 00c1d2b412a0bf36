//! Losses of single tokens in double precision, and of pairs as a head would find them.

use super::terms::{Aim, Distance, Terms};
use super::*;
use crate::objective::Row;
use sprig_engine::dual::RowStats;
use sprig_ground::random::SplitMix64;

/// Logits of a row and a direction.
fn drawn(random: &mut SplitMix64, n: usize, spread: f64) -> Vec<f64> {
    (0..n).map(|_| spread * (2.0 * random.fraction() - 1.0)).collect()
}

/// Statistics of `logits`, in double precision.
fn row(logits: &[f64], slopes: &[f64], target: usize) -> Row {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let z: f64 = logits.iter().map(|l| libm::exp(l - top)).sum();
    let lse = top + libm::log(z);
    let pull = logits.iter().zip(slopes).map(|(l, d)| libm::exp(l - lse) * d).sum();
    let others = (0..logits.len()).filter(|&v| v != target);
    let rival = others.reduce(|best, v| if logits[v] > logits[best] { v } else { best }).unwrap();
    let dual = |v: usize| Dual { v: logits[v], d: slopes[v] };
    Row { lse: Dual { v: lse, d: pull }, target: dual(target), rival: dual(rival), rival_id: rival as u32 }
}

fn token(aim: Aim, row: &Row, turned: bool, terms: &Terms) -> Dual {
    catto::token(aim, row, turned, terms)
}

#[test]
fn tangents_of_every_token_loss_match_central_differences() {
    let mut random = SplitMix64::new(7);
    for n in [2, 4, 12, 300] {
        for case in 0..40 {
            let (logits, slopes) = (drawn(&mut random, n, 3.0), drawn(&mut random, n, 1.0));
            let (target, turned) = (case % n, case % 2 == 0);
            for (aim, distance) in [
                (Aim::Catto, Distance::L1),
                (Aim::Catto, Distance::L2),
                (Aim::Catto, Distance::Bce),
                (Aim::DpoBce, Distance::L1),
                (Aim::Penalty, Distance::L1),
            ] {
                let terms = Terms { kappa: [1.0, 2.0, 4.0][case % 3], distance, ..Terms::default() };
                let at = |h: f64| {
                    let moved: Vec<f64> = logits.iter().zip(&slopes).map(|(l, d)| l + h * d).collect();
                    token(aim, &row(&moved, &slopes, target), turned, &terms).v
                };
                let found = token(aim, &row(&logits, &slopes, target), turned, &terms).d;
                let h = 1e-5;
                let wanted = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let near = (found - wanted).abs() < 1e-6 * wanted.abs().max(1e-3);
                assert!(near, "{aim} {distance} of {n}: {found} and {wanted}");
            }
        }
    }
}

/// No logit pulls harder than 1/4 + κ/8: there is no heavy tail.
#[test]
fn a_token_pulls_no_harder_than_its_bound() {
    let mut random = SplitMix64::new(11);
    let mut hardest = 0.0f64;
    for case in 0..100_000 {
        let n = [2, 3, 5][case % 3];
        let kappa = [0.5, 1.0, 2.0, 4.0][case % 4];
        let logits = drawn(&mut random, n, 6.0);
        let slopes: Vec<f64> = (0..n).map(|v| f64::from(u8::from(v == case % n))).collect();
        let terms = Terms { kappa, ..Terms::default() };
        let pull = token(Aim::Catto, &row(&logits, &slopes, (case / 3) % n), case % 2 == 0, &terms).d.abs();
        assert!(pull <= 0.25 + kappa / 8.0 + 1e-12, "{pull} at {kappa}");
        hardest = hardest.max(pull / (0.25 + kappa / 8.0));
    }
    assert!(hardest > 0.5, "a bound of nothing: {hardest}");
}

/// dL/dg of two tokens with g the target's logit over its rival's, κ = 1: it raises p while wrong, and pulls mildly to 1/2
/// once right.
#[test]
fn two_tokens_are_pulled_as_tabled() {
    let pull = |p: f64, kappa: f64| {
        let gap = libm::log(p / (1.0 - p));
        let terms = Terms { kappa, ..Terms::default() };
        token(Aim::Catto, &row(&[gap, 0.0], &[1.0, 0.0], 0), false, &terms)
    };
    for (p, wanted) in [
        (0.05, -0.067),
        (0.2, -0.233),
        (0.4, -0.359),
        (0.55, 0.124),
        (0.6, 0.121),
        (0.8, 0.087),
        (0.9, 0.051),
        (0.99, 0.006),
    ] {
        let found = pull(p, 1.0).d;
        assert!((found - wanted).abs() < 1e-3, "{p}: {found} and {wanted}");
    }
    // The second attractor beyond κ = 2, where the loss is nothing.
    for (kappa, p) in [(3.0, 0.929), (4.0, 0.979)] {
        assert!(pull(p, kappa).v < 1e-3, "{:?}", pull(p, kappa));
    }
    // Without a slope every token is half right.
    let flat = token(
        Aim::Catto,
        &row(&[2.0, 0.0], &[1.0, 0.0], 0),
        false,
        &Terms { kappa: 0.0, ..Terms::default() },
    );
    assert!((flat.v - (1.0 / (1.0 + libm::exp(-2.0)) - 0.5)).abs() < 1e-15);
}

#[test]
fn a_confidence_that_rounds_to_one_has_a_finite_cross_entropy() {
    for over in [0.0, 1e-7, -1e-7] {
        let sure = Row {
            lse: Dual { v: 20.0, d: 0.3 },
            target: Dual { v: 20.0 + over, d: 0.2 },
            rival: Dual { v: -5.0, d: 0.1 },
            rival_id: 1,
        };
        for (aim, turned) in [(Aim::DpoBce, true), (Aim::DpoBce, false), (Aim::Catto, false)] {
            let terms = Terms { distance: Distance::Bce, ..Terms::default() };
            let found = token(aim, &sure, turned, &terms);
            assert!(found.v.is_finite() && found.d.is_finite(), "{aim} {turned} {over}: {found:?}");
        }
    }
}

/// Hands statistics of `logits` after each of two answers' only token to `read`, rows first and then the logits.
fn found<T>(logits: &[f64], targets: [usize; 2], read: impl FnOnce(&Found<'_>) -> T) -> T {
    let slopes: Vec<f64> = (0..logits.len()).map(|i| 0.1 * i as f64 - 0.2).collect();
    let rows = targets.map(|target| row(logits, &slopes, target));
    let part = |of: fn(&Row) -> f64| rows.each_ref().map(|row| of(row) as f32);
    let stats = RowStats {
        lse: &mut part(|row| row.lse.v),
        target: &mut part(|row| row.target.v),
        rival: &mut part(|row| row.rival.v),
        rival_id: &mut part(|row| f64::from(row.rival_id)),
        d_lse: &mut part(|row| row.lse.d),
        d_target: &mut part(|row| row.target.d),
        d_rival: &mut part(|row| row.rival.d),
    };
    let named: Vec<f32> = logits.iter().zip(&slopes).flat_map(|(l, d)| [*l as f32, *d as f32]).collect();
    read(&Found::new(&stats, &named, 1))
}

/// Where the labels are the whole vocabulary, rows and logits say the same.
#[test]
fn labels_alone_are_the_vocabulary_restricted_to_them() {
    let candidates = [0, 1, 2, 3];
    let target = Target::Label { row: 0, candidates: &candidates, answer: 2 };
    let example = Example { tokens: &[7], target };
    let terms = Terms { sft: 0.5, ..Terms::default() };
    found(&[0.4, 1.1, 0.9, -2.0], [2, 1], |found| {
        let reference = Reference { chosen: -1.0, rejected: -1.5, negative: Some(1) };
        for aim in [Aim::Sft, Aim::Dpo, Aim::DpoBce, Aim::Catto, Aim::Penalty] {
            let parts = |found: &Found<'_>| {
                let mut parts = [Dual::constant(0.0); PARTS];
                let objective = Preference::new(aim, terms, LabelLoss::Full).against(vec![reference]);
                objective.loss(0, &example, found, &mut parts);
                parts
            };
            let alone = found.within(0..0, 0..4);
            for (whole, alone) in parts(found).iter().zip(parts(&alone)) {
                let near = (whole.v - alone.v).abs() < 1e-6 && (whole.d - alone.d).abs() < 1e-6;
                assert!(near, "{aim}: {whole:?} and {alone:?}");
            }
        }
    });
}

/// Tokens that both answers have get no calibration; the order of the others does not count.
#[test]
fn shared_tokens_are_not_calibrated() {
    let calibration = |tokens: &[u32], logits: [f64; 2]| {
        let example = Example { tokens, target: Target::Pair { first: 1, second: 3 } };
        let rows = logits.map(|logit| row(&[logit, 0.0, -0.3], &[0.0; 3], 0));
        let each: Vec<Row> = (0..2).flat_map(|_| rows).collect();
        let part = |of: fn(&Row) -> f64| each.iter().map(|row| of(row) as f32).collect::<Vec<_>>();
        let stats = RowStats {
            lse: &mut part(|row| row.lse.v),
            target: &mut part(|row| row.target.v),
            rival: &mut part(|row| row.rival.v),
            rival_id: &mut part(|_| 1.0),
            d_lse: &mut [],
            d_target: &mut [],
            d_rival: &mut [],
        };
        let mut parts = [Dual::constant(0.0); PARTS];
        let catto = Preference::new(Aim::Catto, Terms::default(), LabelLoss::Full);
        catto.loss(0, &example, &Found::new(&stats, &[], 0), &mut parts);
        parts[1].v
    };
    assert_eq!(calibration(&[9, 5, 6, 5, 6], [0.4, 1.0]), 0.0);
    let [one, other] = [[0.4, 1.0], [1.0, 0.4]].map(|logits| calibration(&[9, 5, 6, 7, 8], logits));
    assert!(one > 0.1 && (one - other).abs() < 1e-6, "{one} {other}");
    // The first token is shared: the second alone counts.
    let [one, other] = [[0.4, 1.0], [2.0, 1.0]].map(|logits| calibration(&[9, 5, 6, 5, 8], logits));
    assert!(one > 0.0 && one == other, "{one} {other}");
}

/// Answers whose confidence was above 0.9 had been right in 3 of 4 cases, those between 0.3 and 0.4 in half.
const RECKONED: &str = r#"{"epoch": 2, "places": "j-d", "bins": [{"n":0,"hits":0,"confidence":0},
    {"n":0,"hits":0,"confidence":0}, {"n":0,"hits":0,"confidence":0}, {"n":2,"hits":1,"confidence":3000000000},
    {"n":0,"hits":0,"confidence":0}, {"n":0,"hits":0,"confidence":0}, {"n":0,"hits":0,"confidence":0},
    {"n":0,"hits":0,"confidence":0}, {"n":0,"hits":0,"confidence":0}, {"n":4,"hits":3,"confidence":16000000000}]}"#;

/// The squared distance from the accuracy of its bin, which is held: of an example that was looked at the bin of then, of another
/// one the bin of now.
#[test]
fn confidences_are_drawn_to_the_accuracy_of_their_bin() {
    let reckoned: Reckoned = serde_json::from_str(RECKONED).unwrap();
    let logits = [0.4, 1.1, 0.9, -2.0];
    let slope = |i: usize| 0.1 * i as f64 - 0.2;
    let candidates = [0, 1, 2, 3];
    let label = Target::Label { row: 0, candidates: &candidates, answer: 2 };
    let largest = |logits: &[f64]| {
        let z: f64 = logits.iter().map(|&l| libm::exp(l)).sum();
        libm::exp(logits[1]) / z
    };
    // 1 is the token on top, 2 is not: of the pair's first answer all is right, and its confidence is the same.
    for target in [label, Target::Pair { first: 1, second: 2 }] {
        let example = Example { tokens: &[7, 1, 2], target };
        found(&logits, [1, 2], |found| {
            for (id, accuracy) in [(0, Some(0.75)), (1, None), (2, Some(0.5))] {
                let mut parts = [Dual::constant(9.0); PARTS];
                let objective = Preference::new(Aim::Rcft, Terms::usual(Aim::Rcft), LabelLoss::Full);
                assert_eq!((objective.weights(), objective.reckons()), (&[0.0, 1.0, 1.0][..], true));
                let objective = objective.drawn_to(reckoned.clone());
                objective.loss(id, &example, &found.along(0), &mut parts);
                let at = |h: f64| {
                    let moved: Vec<f64> = logits.iter().enumerate().map(|(i, l)| l + h * slope(i)).collect();
                    accuracy.map_or(0.0, |accuracy| (largest(&moved) - accuracy).powi(2))
                };
                let wanted = (at(1e-5) - at(-1e-5)) / 2e-5;
                let near = (parts[1].v - at(0.0)).abs() < 1e-6 && (parts[1].d - wanted).abs() < 1e-6;
                assert!(near, "{id}: {:?}, not {} and {wanted}", parts[1], at(0.0));
                assert!(accuracy.is_none() || parts[1].d.abs() > 1e-3, "{:?}", parts[1]);
            }
        });
    }
    // Nothing is asked before the epoch is reckoned, nor with a weight of nothing.
    let free = Preference::new(Aim::Rcft, Terms { lambda: 0.0, ..Terms::default() }, LabelLoss::Full);
    assert!(!free.reckons() && free.reckoned().is_none());
}
