//! Derivatives of preferences on the real model, with its quantised weights: along 20 directions against central differences,
//! part by part. Errors are measured against the typical derivative, the root mean square over the directions.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::Probe;
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Module, PassLayout, Transformer};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{DataSet, LoadOptions, Task};
use sprig_learn::directions::{Family, Sharing, initial_normals, run_key};
use sprig_learn::estimator::{Forward, Iteration, ScalarEstimator};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{Aim, Candidates, Distance, LabelLoss, Preference, Reckoned, Terms, references};
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::{Means, Residency, Tuning, Workload};
use std::sync::Arc;

const DIRECTIONS: usize = 20;
const PAIRS: usize = 2;
const RECORDS: &str = r#"{"prompt": "The capital of France is", "chosen": " Paris, of course.", "rejected": " Rome, I think."}
{"prompt": "Water boils at", "chosen": " one hundred degrees", "rejected": " ten degrees"}"#;

fn set(tokenizer: &Tokenizer) -> DataSet {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.jsonl");
    std::fs::write(&path, RECORDS).unwrap();
    let options = LoadOptions { raw: true, ..LoadOptions::new(Task::Pair, 64) };
    DataSet::load(&[path], &options, tokenizer).unwrap()
}

fn normal(id: sprig_engine::dual::TensorId, out: &mut [f32]) {
    initial_normals([1, 2], id, out);
}

#[test]
fn derivatives_of_preferences_on_the_real_model() {
    let map = Mapped::open(sprig_testkit::model::real_model()).unwrap();
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(2).unwrap());
    let data = set(&Tokenizer::from_gguf(&gguf).unwrap());
    let g = model.geometry();
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 4,
        alpha: 4.0,
        targets: vec![Module::Q, Module::V],
        layers: g.blocks - 8..g.blocks,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, &model, &ctx, normal).unwrap();
    let tensors: Vec<_> = adapter.tensors().cloned().collect();
    // The steps are wide, for the losses are of single precision: a size has kinks within them, a square has none.
    let terms = Terms { sft: 1.0, distance: Distance::L2, ..Terms::default() };
    let candidates = Candidates::new(2);
    let means = Means { threads: 2, residency: Residency::Auto };
    let work = Workload {
        length: data.longest(),
        prefix: false,
        ..Workload::training(
            Arc::new(candidates.clone()),
            spec.clone(),
            PAIRS,
            Forward::needs_for(DIRECTIONS),
            None,
            means,
        )
    };
    let layout = PassLayout::new(g, Tuning::widest(&work).pass(g, &work));
    let mut session =
        Session::new(&model, &ctx, work.room(layout), Arc::new(candidates.clone()), None).unwrap();
    let known = references(&mut session, &adapter, &data, (&candidates, PAIRS), |_| true).unwrap().unwrap();
    // In mid-training: no factor is zero.
    let mut noise = vec![0.0; adapter.values().len()];
    initial_normals([3, 4], sprig_engine::dual::TensorId(999), &mut noise);
    adapter.values_mut().iter_mut().zip(&noise).for_each(|(v, n)| *v += 0.02 * n);

    let forward = Forward {
        family: Family::Rademacher,
        sharing: Sharing::Shared,
        tangents: DIRECTIONS,
        run_key: run_key(5),
    };
    let directions = forward.directions(&tensors, Iteration::of_step(0));
    let batch = Minibatch::new(&data, &[0, 1]);
    let mut outcomes = [Outcome::default(); PAIRS];
    for aim in [Aim::Catto, Aim::DpoBce, Aim::Rcft] {
        let mut objective = Preference::new(aim, terms, LabelLoss::Full).against(known.clone());
        if objective.reckons() {
            let (pass, what) = ((&mut session, &adapter), (Arc::new(objective.clone()) as Arc<_>, 0));
            let reckoned = Reckoned::of(pass, (&data).into(), PAIRS, what, &mut |_| true).unwrap().unwrap();
            objective = objective.drawn_to(reckoned);
        }
        session.learn_by(Arc::new(objective));
        let probe = Probe { directions: &directions, tangents: DIRECTIONS, first_example: 0 };
        let mut slopes = [0.0; PAIRS * DIRECTIONS];
        session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut slopes).unwrap();
        // The loss and its parts, of each pair and direction.
        let parts = session.parts().chunks(session.parts().len() / slopes.len());
        let found: Vec<Vec<f64>> = parts
            .zip(slopes)
            .map(|(parts, slope)| std::iter::once(slope.into()).chain(parts.iter().map(|p| p.d)).collect())
            .collect();
        let mut values_at = |direction: usize, step: f32| -> Vec<Vec<f64>> {
            let mut moved = adapter.clone();
            for tensor in &tensors {
                let values = &mut moved.values_mut()[tensor.range.clone()];
                let mut v = vec![0.0; values.len()];
                sprig_engine::dual::Directions::fill(&directions, direction, 0, tensor.id, &mut v);
                values.iter_mut().zip(v).for_each(|(w, v)| *w += step * v);
            }
            session.run(Some(&moved), None, batch, &mut outcomes, &mut []).unwrap();
            let parts = session.parts().chunks(session.parts().len() / PAIRS);
            let values = parts.zip(&outcomes);
            values
                .map(|(parts, o)| std::iter::once(o.loss).chain(parts.iter().map(|p| p.v)).collect())
                .collect()
        };
        let each = found[0].len();
        let (mut error, mut size) = (vec![0.0; each], vec![0.0; each]);
        let h = 0.02f32;
        for k in 0..DIRECTIONS {
            let [a, b, c, d, e, f] = [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0].map(|steps| values_at(k, steps * h));
            for (pair, p) in (0..PAIRS).flat_map(|pair| (0..each).map(move |p| (pair, p))) {
                let of = |values: &Vec<Vec<f64>>| values[pair][p];
                let sum = 45.0 * (of(&d) - of(&c)) - 9.0 * (of(&e) - of(&b)) + (of(&f) - of(&a));
                let wanted = sum / (60.0 * f64::from(h));
                error[p] += (found[pair * DIRECTIONS + k][p] - wanted).powi(2);
                size[p] += wanted.powi(2);
            }
        }
        for p in 0..each {
            let relative = (error[p] / size[p]).sqrt();
            println!("{aim}, {p}: {relative:.1e} of {:.2e}", (size[p] / 40.0).sqrt());
            // What calibrates is a fifth of the loss, and is told as much less exactly by its differences.
            assert!(relative < if p == 0 { 1e-3 } else { 2e-3 }, "{aim}, {p}: {relative}");
        }
    }
}
