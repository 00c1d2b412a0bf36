//! Choices against their definitions, written plainly over whole distributions.

use super::*;
use proptest::prelude::*;

const DRAWS: u32 = 20_000;

/// The shares by definition: penalty, softmax over the temperature, then whoever top-k, top-p and min-p leave.
fn defined(how: &Decoding, logits: &[f32], seen: &[u32]) -> Vec<f64> {
    let penalty = f64::from(how.repetition_penalty);
    let each = logits.iter().enumerate().map(|(i, &l)| {
        let l = f64::from(l);
        let l = match seen.contains(&(i as u32)) {
            true if l > 0.0 => l / penalty,
            true => l * penalty,
            false => l,
        };
        (l / f64::from(how.temperature)).exp()
    });
    let weights: Vec<f64> = each.collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    if how.top_k > 0 {
        order.truncate(how.top_k as usize);
    }
    let sum: f64 = order.iter().map(|&i| weights[i]).sum();
    let mut before = 0.0;
    order.retain(|&i| {
        let stays = before < f64::from(how.top_p) * sum;
        before += weights[i];
        stays
    });
    let best = weights[order[0]];
    order.retain(|&i| weights[i] >= f64::from(how.min_p) * best);
    let sum: f64 = order.iter().map(|&i| weights[i]).sum();
    let mut shares = vec![0.0; weights.len()];
    order.iter().for_each(|&i| shares[i] = weights[i] / sum);
    shares
}

fn drawn(how: Decoding, logits: &[f32], seen: &[u32]) -> Vec<f64> {
    let mut chooser = Chooser::new(logits.len());
    let mut shares = vec![0.0; logits.len()];
    for seed in 0..DRAWS {
        chooser.begin(Decoding { seed: seed.into(), ..how }, seen);
        shares[chooser.choose(logits, seed % 7) as usize] += 1.0 / f64::from(DRAWS);
    }
    shares
}

fn assert_near(how: Decoding, logits: &[f32], seen: &[u32]) {
    let (drawn, defined) = (drawn(how, logits, seen), defined(&how, logits, seen));
    for (i, (a, b)) in drawn.iter().zip(&defined).enumerate() {
        // Four standard deviations and a little.
        let most = 4.0 * (b * (1.0 - b) / f64::from(DRAWS)).sqrt() + 1e-9;
        assert!((a - b).abs() <= most, "{how:?}: token {i} has {a}, not {b}: {drawn:?}, {defined:?}");
    }
}

#[test]
fn draws_have_the_shares_of_the_definitions() {
    let logits = [0.3, 2.0, -1.0, 1.2, 2.0, 0.9, -3.0, 1.21];
    let warm = Decoding { temperature: 0.8, ..Decoding::default() };
    for how in [
        warm,
        Decoding { temperature: 2.0, ..warm },
        Decoding { top_k: 3, ..warm },
        Decoding { top_p: 0.7, ..warm },
        Decoding { min_p: 0.3, ..warm },
        Decoding { top_k: 6, top_p: 0.85, min_p: 0.1, ..warm },
        Decoding { repetition_penalty: 1.7, ..warm },
        Decoding { repetition_penalty: 1.7, top_k: 4, top_p: 0.9, min_p: 0.2, ..warm },
    ] {
        assert_near(how, &logits, &[1, 2]);
    }
}

#[test]
fn without_temperature_the_likeliest_is_taken_whatever_the_seed() {
    let logits = [0.5, 3.0, 3.0, 2.5];
    let mut chooser = Chooser::new(4);
    for seed in 0..50 {
        chooser.begin(Decoding { seed, top_p: 0.5, ..Decoding::default() }, &[]);
        assert_eq!(chooser.choose(&logits, 0), 1, "the smaller of two equals");
    }
    // With a penalty the same is written once.
    chooser.begin(Decoding { repetition_penalty: 2.0, ..Decoding::default() }, &[2]);
    let written: Vec<u32> = (0..3).map(|place| chooser.choose(&logits, place)).collect();
    assert_eq!(written, [1, 3, 1], "3.0 and 3.0 are halved by then, and 2.5 last");
}

#[test]
fn numbers_that_choose_nothing_are_refused_by_name() {
    let good = Decoding::default();
    assert_eq!(good.check(), Ok(()));
    for (name, how) in [
        ("temperature", Decoding { temperature: -0.1, ..good }),
        ("temperature", Decoding { temperature: f32::NAN, ..good }),
        ("top_p", Decoding { top_p: 0.0, ..good }),
        ("top_p", Decoding { top_p: 1.1, ..good }),
        ("min_p", Decoding { min_p: f32::INFINITY, ..good }),
        ("repetition_penalty", Decoding { repetition_penalty: 0.0, ..good }),
    ] {
        assert_eq!(how.check().unwrap_err().name, name);
    }
}

proptest! {
    /// Who may be drawn of some hundred tokens is who the definition leaves, through the sorting in steps as well.
    #[test]
    fn those_who_may_be_drawn_are_those_of_the_definition(
        seed in any::<u64>(), n in 1usize..900, top_k in 0u32..200, top_p in 0.01f32..1.0, min_p in 0.0f32..0.5,
        temperature in 0.3f32..3.0,
    ) {
        let mut draw = sprig_ground::random::SplitMix64::new(seed);
        let logits: Vec<f32> = (0..n).map(|_| (draw.draw() % 4000) as f32 / 400.0).collect();
        let how = Decoding { temperature, top_k, top_p, min_p, ..Decoding::default() };
        let shares = defined(&how, &logits, &[]);
        let mut candidates: Vec<_> = (0u32..).zip(&logits).map(|(id, &logit)| Candidate { logit, id }).collect();
        let left = narrow(&mut candidates, &how);
        let allowed = shares.iter().filter(|share| **share > 0.0).count();
        // At a seam rounding may let one more or less in.
        prop_assert!(left.abs_diff(allowed) <= 1, "{} and {}", left, allowed);
        let mut ids: Vec<u32> = candidates[..left.min(allowed)].iter().map(|c| c.id).collect();
        ids.sort_unstable();
        prop_assert!(ids.iter().all(|&id| shares[id as usize] > 0.0));
    }
}
