//! The shortest way through the house: a random-weight model learns to tell three kinds of text apart, within a budget.
//! `cargo run --release -p sprig-run --example train_tiny`

use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::gguf::{Mapped, Synthetic};
use sprig_engine::model::Module;
use sprig_learn::data::{LoadOptions, Task};
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{Estimator, Forward};
use sprig_learn::objective::{self, LabelLoss};
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::trainer::{Settings, Trainer};
use sprig_learn::workload::{Means, Residency, Workload};
use sprig_run::Base;
use std::error::Error;

/// Mean loss of the first and of the last ten steps, in nats.
fn train() -> Result<(f64, f64), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (model, data) = (folder.path().join("model.gguf"), folder.path().join("data.jsonl"));
    Synthetic::tiny().write_atomic(&model)?;
    let line = |(text, label): &(&str, &str)| format!("{{\"text\": \"{text}\", \"label\": \"{label}\"}}\n");
    let records = [("rain on tin", "t"), ("seven birds", "a"), ("the sea", "s"), ("cold iron", "t")];
    std::fs::write(&data, records.iter().map(line).collect::<String>())?;

    // The header of the model, then the data: no weight is touched yet.
    let map = Mapped::open(&model)?;
    let base = Base::open(&map)?;
    let template = Some("{text} =".to_owned());
    let options = LoadOptions { raw: true, template, ..LoadOptions::new(Task::Label, 32) };
    let budget = Bytes::mib(64);
    let data = base.data(&[data], &[], options, budget)?;

    // What the run takes, laid out and guarded; a budget that is too small is refused here.
    let blocks = base.geometry.blocks;
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 4,
        alpha: 4.0,
        targets: vec![Module::Q, Module::V],
        layers: 0..blocks,
        kept: Vec::new(),
        routing: None,
    };
    let (batch, tangents) = (4, 4);
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 };
    let means = Means { threads: 1, residency: Residency::Auto };
    let estimator =
        Forward { family: Family::Walsh, sharing: Sharing::PerExample, tangents, run_key: run_key(0) };
    let (objective, needs) = (objective::of_task(Task::Label, LabelLoss::Full), estimator.needs());
    let work = Workload::training(objective, spec.clone(), batch, needs, Some(rule), means);
    let planned = base.plan(data.measure(work), budget, None)?;
    println!("{}", planned.plan);

    // Weights, working memory, and one step after another.
    let engine = base.engine(&planned)?;
    let session = engine.session(&planned, None)?;
    let adapter = engine.adapter(&spec, run_key(0))?;
    let schedule = Schedule { peak: 0.02, warmup: 5, steps: 120, decay: Decay::Constant };
    let settings = Settings { estimator, rule, schedule, batch, dropout: Dropout::NONE, seed: 0 };
    let mut trainer = Trainer::new(session, adapter, &data.train, settings, planned.tuning.cut)?;
    let losses: Vec<f64> =
        (0..120).map(|_| trainer.step().map(|step| step.loss)).collect::<Result<_, _>>()?;
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    Ok((mean(&losses[..10]), mean(&losses[110..])))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (first, last) = train()?;
    println!("loss {first:.3} nats at first, {last:.3} after 120 steps");
    Ok(())
}

#[test]
fn the_example_learns() {
    let (first, last) = train().unwrap();
    assert!(last < 0.7 * first, "{first} to {last}");
}
