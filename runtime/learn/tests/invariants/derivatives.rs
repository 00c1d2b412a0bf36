//! What a pass calls a derivative is one, and estimates made of them tend to the gradient.

use super::world::*;
use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, Kind};
use sprig_engine::dual::{Batch, Directions as Fill, Probe, TensorId};
use sprig_engine::model::{Module, Pass, PassInput, PassLayout};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Directions, Family, Sharing, initial_normals};
use sprig_learn::estimator::{Cut, Estimator, Forward, Iteration, ScalarEstimator, Scalars, StepInput};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::Tuning;
use std::ops::Range;

/// T1: the derivative of a pass is that of the loss.
#[test]
fn derivatives_are_those_of_the_loss() {
    const K: usize = 12;
    let ids = [0, 3, 5, 6];
    for data in objectives() {
        for kind in KINDS {
            let spec = spec(kind, 0..3);
            let (adapter, cut) = (adapter(&spec), Cut { tangents: K, examples: ids.len() });
            let mut session = session(ctx(2), data, &spec, cut, None);
            for sharing in SHARINGS {
                let tensors = tensors(&adapter);
                let forward = forward(Family::Rademacher, sharing, K);
                let all = forward.directions(&tensors, Iteration::of_step(3));
                let (mut outcomes, mut found) = ([Outcome::default(); 4], [0.0f32; 4 * K]);
                let probe = Probe { directions: &all, tangents: K, first_example: 0 };
                let batch = Minibatch::new(data, &ids);
                session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut found).unwrap();
                let n = adapter.values().len();
                let mut errors = Vec::new();
                for (e, k) in (0..ids.len()).flat_map(|e| (0..K).map(move |k| (e, k))) {
                    let v = direction(&all, k, e, n);
                    let h = 0.1 / (n as f32).sqrt();
                    let slope = slopes(&mut session, &adapter, &v, h, data, &ids)[e];
                    errors.push(f64::from(found[e * K + k]) - slope);
                }
                let size = rms(found.iter().map(|&s| f64::from(s)));
                let error = rms(errors.iter().copied()) / size;
                let lm = data.is_lm();
                println!("lm {lm}, {kind:?}, {sharing:?}: size {size:.3}, relative error {error:.1e}");
                assert!(size > 1e-3 && error < 1e-3, "lm {lm}, {kind:?}, {sharing:?}: {error} of {size}");
            }
        }
    }
}

/// Directions that leave all blocks but one alone.
struct OnlyBlock<'a>(Directions<'a>, u32);

impl Fill for OnlyBlock<'_> {
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        // Two names a module, seven modules a block.
        match tensor.0 / 14 == self.1 {
            true => self.0.fill(tangent, example, tensor, out),
            false => out.fill(0.0),
        }
    }
}

/// Tangents that are never made are tangents of zero: block 1 alone is perturbed, with and without sites below it that
/// add nothing (B = 0), and with those sites there but not chosen.
#[test]
fn absent_tangents_are_zero_tangents() {
    const K: usize = 3;
    let (tokens, starts) = ([5, 80, 210, 7, 7, 299, 31], [0, 4, 7]);
    let (wanted, targets) = ([0, 2, 4, 5], [80, 7, 299, 31]);
    let ctx = ctx(2);
    let derivatives = |layers: Range<usize>, chosen: Option<usize>| {
        let spec = spec(Kind::Lora, layers);
        let mut adapter = fresh_adapter(&spec);
        let tensors = tensors(&adapter);
        for t in tensors.iter().filter(|t| t.id.0 / 14 == 1) {
            let values = &mut adapter.values_mut()[t.range.clone()];
            initial_normals([9, 9], t.id, values);
            values.iter_mut().for_each(|v| *v *= 0.1);
        }
        let blocks: Vec<usize> = adapter.places().map(|(block, _)| block).collect();
        adapter.perturb(|site| chosen.is_none_or(|block| blocks[site] == block));
        let forward = forward(Family::Rademacher, Sharing::PerExample, K);
        let all = forward.directions(&tensors, Iteration::of_step(0));
        // Chosen sites need no help to leave the others alone.
        let directions = OnlyBlock(all, 1);
        let directions: &dyn Fill = if chosen.is_some() { &all } else { &directions };
        let work = workload(&WORLD.lm, &spec, 2, K, 2);
        let layout = PassLayout::new(
            WORLD.model.geometry(),
            Tuning::widest(&work).pass(WORLD.model.geometry(), &work),
        );
        let rope = WORLD.model.rope(LENGTH);
        let mut arena = Arena::new(layout.bytes()).unwrap();
        let probe = Probe { directions, tangents: K, first_example: 0 };
        let batch = Batch::new(&tokens, &starts, 300).unwrap().along(probe);
        let input = PassInput { batch, adapter: Some(&adapter), integer: false };
        let mut pass = Pass::new(&WORLD.model, &rope, ctx, layout, arena.stack(), input).unwrap();
        pass.embed();
        pass.blocks(0..3).unwrap();
        let stats = pass.row_statistics(&wanted, &targets).unwrap();
        [&*stats.lse, stats.target, stats.d_lse, stats.d_target].concat()
    };
    let (without, with) = (derivatives(1..2, None), derivatives(0..2, None));
    let chosen = derivatives(0..2, Some(1));
    assert_eq!(bits(&chosen), bits(&without), "sites that were not chosen have tangents");
    let size = rms(without[8..].iter().map(|&v| f64::from(v)));
    assert!(size > 1e-2);
    for (i, (a, b)) in without.iter().zip(&with).enumerate() {
        assert!(f64::from((a - b).abs()) <= 1e-5 * size, "{i}: {a} and {b}");
    }
}

/// T2: the mean of n estimates tends to the gradient as n^−½, in all and for the weights of each group; T3 on a real loss: with as many Walsh directions as
/// numbers, one estimate is the gradient.
#[test]
fn estimates_tend_to_the_gradient() {
    let mut spec = spec(Kind::Xs, 2..3);
    (spec.rank, spec.targets) = (4, vec![Module::Q, Module::V, Module::O, Module::Down]);
    let adapter = adapter(&spec);
    let (tensors, d) = (tensors(&adapter), adapter.values().len());
    assert_eq!(d, 64);
    let ids = [0, 2, 4, 5];
    for data in objectives() {
        let cut = Cut { tangents: 64, examples: 4 };
        let mut session = session(ctx(2), data, &spec, cut, None);
        let rows: Vec<f64> = {
            let outcomes = losses_at(&mut session, &adapter, &vec![0.0; d], 0.0, data, &ids);
            outcomes.iter().map(|o| f64::from(o.rows)).collect()
        };
        let exact: Vec<f64> = (0..d)
            .map(|i| {
                let mut v = vec![0.0; d];
                v[i] = 1.0;
                let slopes = slopes(&mut session, &adapter, &v, 0.05, data, &ids);
                slopes.iter().zip(&rows).map(|(s, r)| s * r).sum::<f64>() / rows.iter().sum::<f64>()
            })
            .collect();
        let size = rms(exact.iter().copied());
        let mut mean = |forward: Forward, from: u64, n: u64| {
            let mut mean = vec![0.0f64; d];
            let cut = Cut { tangents: forward.tangents, ..cut };
            for iteration in from..from + n {
                let (mut scalars, mut gradient) = (Scalars::new(&forward.needs(), 4, d), vec![0.0; d]);
                let step = StepInput {
                    batch: Minibatch::new(data, &ids),
                    cut,
                    tensors: &tensors,
                    at: Iteration::of_step(iteration),
                    last: &[],
                    // A new guard clips nothing.
                    guard: &mut Guard::default(),
                    noise: None,
                };
                forward
                    .gradient(&mut session, &mut adapter.clone(), step, &mut scalars, &mut gradient)
                    .unwrap();
                mean.iter_mut().zip(&gradient).for_each(|(m, g)| *m += f64::from(*g) / n as f64);
            }
            // In all, and for each of the four adapted layers.
            let error = |part: Range<usize>| rms(part.map(|i| mean[i] - exact[i])) / size;
            let groups: Vec<f64> = tensors.iter().map(|t| error(t.range.clone())).collect();
            (error(0..d), groups)
        };
        for sharing in SHARINGS {
            let (error, _) = mean(forward(Family::Walsh, sharing, d), 0, 1);
            println!("lm {}, {sharing:?}, Walsh at K = d: {error:.1e}", data.is_lm());
            assert!(error < 1e-3, "Walsh, {sharing:?}, K = d: {error}");
            for family in [Family::Rademacher, Family::Gaussian] {
                let of = forward(family, sharing, 1);
                let ((few, few_each), (many, many_each)) = (mean(of, 0, 16), mean(of, 1000, 256));
                println!("lm {}, {sharing:?}, {family:?}: {few:.3} at 16, {many:.3} at 256", data.is_lm());
                assert!((2.5..6.5).contains(&(few / many)), "{family:?}, {sharing:?}: {few} and {many}");
                for (few, many) in few_each.iter().zip(&many_each) {
                    // 16 numbers, whose mean square scatters more.
                    let ratio = few / many;
                    assert!(
                        (1.5..9.0).contains(&ratio),
                        "{family:?}, {sharing:?}: {few_each:?}, {many_each:?}"
                    );
                }
            }
        }
    }
}

/// The direction of (k, example) over all trainable numbers.
fn direction(all: &Directions<'_>, k: usize, example: usize, len: usize) -> Vec<f32> {
    let mut v = vec![0.0; len];
    all.tensors.iter().for_each(|t| all.fill(k, example, t.id, &mut v[t.range.clone()]));
    v
}

/// Mean loss of each example of `ids` with the adapter moved by `step`·`v`.
fn losses_at(
    session: &mut Session<'_>,
    adapter: &Adapter,
    v: &[f32],
    step: f32,
    data: &DataSet,
    ids: &[usize],
) -> Vec<Outcome> {
    let mut moved = adapter.clone();
    moved.values_mut().iter_mut().zip(v).for_each(|(w, v)| *w += step * v);
    let mut outcomes = vec![Outcome::default(); ids.len()];
    session.run(Some(&moved), None, Minibatch::new(data, ids), &mut outcomes, &mut []).unwrap();
    outcomes
}

/// Central differences of each example's loss at two step sizes, extrapolated to fourth order.
fn slopes(
    session: &mut Session<'_>,
    adapter: &Adapter,
    v: &[f32],
    h: f32,
    data: &DataSet,
    ids: &[usize],
) -> Vec<f64> {
    let mut at = |step| losses_at(session, adapter, v, step, data, ids);
    let [far_below, below, above, far_above] = [-2.0 * h, -h, h, 2.0 * h].map(&mut at);
    let near = |e: usize| (above[e].loss - below[e].loss) / (2.0 * f64::from(h));
    let far = |e: usize| (far_above[e].loss - far_below[e].loss) / (4.0 * f64::from(h));
    (0..ids.len()).map(|e| (4.0 * near(e) - far(e)) / 3.0).collect()
}

fn rms(values: impl Iterator<Item = f64> + Clone) -> f64 {
    (values.clone().map(|v| v * v).sum::<f64>() / values.count() as f64).sqrt()
}
