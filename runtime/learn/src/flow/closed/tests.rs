//! Fits in closed form are those of their definitions.

use super::*;
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;
use sprig_ground::random::SplitMix64;

const LABELS: [u32; 3] = [7, 40, 99];

fn number(random: &mut SplitMix64) -> f32 {
    random.below(2001) as f32 / 1000.0 - 1.0
}

/// Hands paths over a small model, with `n` rows whose answers depend on what is seen, to `with`.
fn scene(n: usize, with: impl FnOnce(Paths, Vec<Row>)) {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(1).unwrap());
    let (inputs, d) = (12, model.geometry().width);
    let mut random = SplitMix64::new(5);
    let mut numbers = |n: usize| (0..n).map(|_| number(&mut random)).collect::<Vec<f32>>();
    // What a label's score adds is its row of the head: scores are logits.
    let rows: Vec<Vec<f64>> = LABELS.iter().map(|&l| crate::readout::label_row(&model, &ctx, l)).collect();
    let up = (0..d).flat_map(|i| rows.iter().map(move |row| 3.0 * row[i] as f32)).collect();
    let paths = Paths::new(&model, &ctx, (numbers(LABELS.len() * inputs), up), &LABELS);
    let rows = (0..n).map(|i| Row {
        gated: numbers(inputs),
        stream: numbers(d).into_iter().map(|v| 0.1 * v).collect(),
        seen: vec![if i % 2 == 0 { 1.0 } else { -1.0 }, 0.5, -0.5],
        answer: i % 3,
    });
    let rows = rows.collect();
    with(paths, rows);
}

#[test]
fn slopes_of_the_loss_are_those_of_differences() {
    scene(9, |mut paths, rows| {
        paths.local.iter_mut().for_each(|w| *w = 0.3 - *w);
        let logits = |paths: &Paths, row: &Row, q: f64| -> Vec<f64> {
            let [a, b] = [&paths.global, &paths.local].map(|weights| paths.scores(weights, row));
            let h: Vec<f64> = row
                .stream
                .iter()
                .zip(paths.up.chunks_exact(LABELS.len()))
                .map(|(v, up)| {
                    let mixed = |j: usize| f64::from(up[j]) * (q * a[j] + (1.0 - q) * b[j]);
                    f64::from(*v) + (0..LABELS.len()).map(mixed).sum::<f64>()
                })
                .collect();
            let n = h.iter().map(|v| v * v).sum::<f64>() / h.len() as f64 + paths.epsilon();
            paths
                .heads()
                .iter()
                .map(|e| e.iter().zip(&h).map(|(e, h)| e * h).sum::<f64>() / n.sqrt())
                .collect()
        };
        for row in &rows {
            for q in [0.0, 0.3, 1.0] {
                let (loss, slope) = paths.line(row).judge(q);
                let all = logits(&paths, row, q);
                let want = all.iter().map(|l| l.exp()).sum::<f64>().ln() - all[row.answer];
                assert!((loss - want).abs() < 1e-9 * (1.0 + want), "{loss} for {want}");
                let h = 1e-4;
                let at = |q: f64| paths.line(row).judge(q).0;
                let found = (at(q + h) - at(q - h)) / (2.0 * h);
                assert!((slope - found).abs() < 1e-6 * (1.0 + found.abs()), "{slope} for {found}");
            }
        }
        // With one path alone the other does not matter.
        let mut alone = paths.clone();
        alone.local.clone_from(&paths.global);
        for row in &rows {
            assert!((paths.line(row).judge(1.0).0 - alone.line(row).judge(0.3).0).abs() < 1e-9);
        }
        // Scores are known by what they move.
        assert!(paths.are_scores());
        paths.up.iter_mut().for_each(|u| *u = -*u);
        assert!(!paths.are_scores());
    });
}

/// A device whose answers follow the shared scores keeps them; one with a rule of its own learns it. And
/// without examples nothing is learnt.
#[test]
fn a_rule_of_the_devices_own_is_learnt_and_the_shared_one_kept() {
    scene(60, |paths, rows| {
        let whole = Local::fit(&paths, &rows);
        assert!(whole.errors[0] <= whole.errors[1]);
        let mut obedient = rows.clone();
        for row in &mut obedient {
            let scores = paths.scores(&paths.global, row);
            row.answer = (0..3).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        }
        let kept = Local::fit(&paths, &obedient);
        let moved = |local: &Local| -> f64 {
            let apart = local.weights.iter().zip(&paths.global).map(|(a, b)| f64::from(a - b).powi(2));
            apart.sum::<f64>().sqrt()
        };
        assert!(kept.errors[1] < whole.errors[1]);
        // A rule of the device's own, by one number of its rows, is learnt.
        let mut own = rows;
        own.iter_mut().for_each(|row| row.answer = usize::from(row.gated[0] > 0.0));
        let learnt = Local::fit(&paths, &own);
        assert!(learnt.regularisation.is_some() && moved(&learnt) > 0.0);
        assert!(learnt.errors[0] < 0.9 * learnt.errors[1], "{:?}", learnt.errors);
        assert_eq!(Local::fit(&paths, &own[..1]).weights, paths.global);
        assert_eq!(Local::fit(&paths, &[]).weights, paths.global);
    });
}

/// The router takes the path that is right, for all texts or for those where it is.
#[test]
fn routers_choose_what_is_right() {
    scene(64, |mut paths, mut rows| {
        paths.local = paths.global.iter().map(|w| -w).collect();
        let best = |paths: &Paths, weights: &[f32], row: &Row| {
            let scores = paths.scores(weights, row);
            (0..3).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
        };
        for (name, local) in [("global", 0), ("local", 1), ("each", 2)] {
            for (i, row) in rows.iter_mut().enumerate() {
                let local = local == 1 || local == 2 && i % 2 == 0;
                row.answer = best(&paths, if local { &paths.local } else { &paths.global }, row);
            }
            let router = Router::fit(&paths, &rows);
            let z = |row: &Row| {
                let along: f32 = router.weights.iter().zip(&row.seen).map(|(w, v)| w * v).sum();
                along + router.weights[row.seen.len()]
            };
            match (name, router.share) {
                ("global", Share::Global | Share::One | Share::Each(_)) => {
                    assert!(rows.iter().all(|r| z(r) > 0.0))
                }
                ("local", Share::Local | Share::One | Share::Each(_)) => {
                    assert!(rows.iter().all(|r| z(r) < 0.0))
                }
                ("each", Share::Each(_)) => {
                    assert!(rows.iter().all(|row| (z(row) < 0.0) == (row.seen[0] > 0.0)), "{router:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        // Too few to tell: the shared one.
        assert_eq!(Router::fit(&paths, &rows[..5]).share, Share::Global);
    });
}
