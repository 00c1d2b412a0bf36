//! The model, the data and the settings of all tests here.

use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind, Tensor};
use sprig_engine::dual::TensorId;
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Module, PassLayout, Transformer, WeightBytes};
use sprig_engine::tokenizer::{Tokenizer, TokenizerBytes};
use sprig_learn::data::{DataSet, LoadOptions, Task};
use sprig_learn::directions::{Family, Sharing, initial_normals, run_key};
use sprig_learn::estimator::{Cut, Forward};
use sprig_learn::objective::{
    Aim, CausalLm, Choice, Distance, Extent, LabelLoss, Objective, Preference, Terms,
};
use sprig_learn::optimiser::Rule;
use sprig_learn::planner::ModelSize;
use sprig_learn::prefix::PrefixCache;
use sprig_learn::session::Session;
use sprig_learn::workload::Room;
use sprig_learn::workload::{Means, Residency, Tuning, Workload};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Most tokens of an example; examples differ in length.
pub const LENGTH: usize = 12;
pub const KINDS: [Kind; 3] = [Kind::Lora, Kind::BOnly, Kind::Xs];
pub const FAMILIES: [Family; 3] = [Family::Rademacher, Family::Walsh, Family::Gaussian];
pub const SHARINGS: [Sharing; 2] = [Sharing::Shared, Sharing::PerExample];
pub const ADAMW: Rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.01 };

/// The model and a data set of 8 examples for each sort of record; made once, alive to the end of the process.
pub struct World {
    pub weights: WeightBytes,
    pub model: Transformer<'static>,
    pub lm: DataSet,
    pub label: DataSet,
    pub pair: DataSet,
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    let bytes: &'static [u8] = Synthetic::tiny().bytes().unwrap().leak();
    let gguf = Gguf::parse(bytes).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let load = |task: Task, line: &dyn Fn(usize, &str) -> String| {
        let path = dir.path().join(task.name());
        let texts = ["seven birds", "a", "rain on tin", "the sea", "no wind", "go", "cold iron", "two hats"];
        let lines: Vec<String> = texts.iter().enumerate().map(|(i, text)| line(i, text)).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let template = Some("{text} =".to_owned());
        DataSet::load(
            &[path],
            &LoadOptions { raw: true, template, ..LoadOptions::new(task, LENGTH) },
            &tokenizer,
        )
        .unwrap()
    };
    let lm = load(Task::Lm, &|i, text| match i % 2 {
        0 => format!(r#"{{"text": "{text}."}}"#),
        _ => format!(r#"{{"prompt": "{text}", "completion": " xyz"}}"#),
    });
    let label = load(Task::Label, &|i, text| {
        // With the space before them these are single tokens.
        let label = ["t", "a", "s"][i % 3];
        format!(r#"{{"text": "{text}", "label": "{label}"}}"#)
    });
    let pair = load(Task::Pair, &|i, text| {
        let (chosen, rejected) = [(" xyz", " xy"), (" yes", " no"), (" t", " a")][i % 3];
        format!(r#"{{"prompt": "{text}", "chosen": "{chosen}", "rejected": "{rejected}"}}"#)
    });
    let model = Transformer::load(&gguf).unwrap();
    World { weights: WeightBytes::read(&gguf, model.geometry()).unwrap(), model, lm, label, pair }
});

/// A set of each sort of objective: over tokens, over candidates, over pairs of sequences.
pub fn objectives() -> [&'static DataSet; 3] {
    [&WORLD.lm, &WORLD.label, &WORLD.pair]
}

pub fn ctx(threads: usize) -> &'static Ctx {
    Box::leak(Box::new(Ctx::new(threads).unwrap()))
}

pub fn spec(kind: Kind, layers: Range<usize>) -> AdapterSpec {
    AdapterSpec {
        kind,
        rank: 2,
        alpha: 4.0,
        targets: Module::ALL.to_vec(),
        layers,
        kept: Vec::new(),
        routing: None,
    }
}

/// An adapter in mid-training: all its numbers differ from 0.
pub fn adapter(spec: &AdapterSpec) -> Adapter {
    let mut adapter = fresh_adapter(spec);
    let size = if spec.kind == Kind::Xs { 0.3 } else { 0.1 };
    let mut noise = vec![0.0; adapter.values().len()];
    initial_normals([9, 9], TensorId(999), &mut noise);
    adapter.values_mut().iter_mut().zip(noise).for_each(|(v, n)| *v += size * n);
    adapter
}

pub fn fresh_adapter(spec: &AdapterSpec) -> Adapter {
    Adapter::new(spec, &WORLD.model, ctx(1), |id, out| initial_normals([1, 2], id, out)).unwrap()
}

pub fn workload(
    data: &DataSet,
    spec: &AdapterSpec,
    batch: usize,
    tangents: usize,
    threads: usize,
) -> Workload {
    let means = Means { threads, residency: Residency::Auto };
    let needs = Forward::needs_for(tangents);
    Workload {
        length: data.longest().max(LENGTH),
        candidates: data.candidates(0),
        data: Bytes(data.bytes() as u64),
        prefix: false,
        ..Workload::training(objective(data), spec.clone(), batch, needs, Some(ADAMW), means)
    }
}

/// The model as a plan sees it, its tokenizer left out.
pub fn model_size() -> ModelSize<'static> {
    let nothing = TokenizerBytes { building: Bytes::ZERO, kept: Bytes::ZERO };
    let weights = WORLD.weights.clone();
    ModelSize { geometry: WORLD.model.geometry(), weights, header: Bytes::ZERO, tokenizer: nothing }
}

/// The layout of passes of `tuning`, as the planner makes it.
pub fn layout(ctx: &Ctx, data: &DataSet, spec: &AdapterSpec, tuning: &Tuning) -> PassLayout {
    let work = workload(data, spec, tuning.cut.examples, tuning.cut.tangents, ctx.pool.threads());
    PassLayout::new(WORLD.model.geometry(), tuning.pass(WORLD.model.geometry(), &work))
}

/// A session for passes of up to `cut`.
pub fn session(
    ctx: &'static Ctx,
    data: &DataSet,
    spec: &AdapterSpec,
    cut: Cut,
    prefix: Option<PrefixCache>,
) -> Session<'static> {
    let tuning = Tuning { cut, panel_rows: ctx.panel_rows(), streamed: false, run: 1 };
    let layout = layout(ctx, data, spec, &tuning);
    Session::new(&WORLD.model, ctx, room(data, layout, cut.examples), objective(data), prefix).unwrap()
}

/// Terms of a size that a difference quotient of single precision can tell; without confidences, which have a kink wherever
/// two tokens are equally likely, as most are to a model of random weights.
pub const SMOOTH: Terms = Terms {
    beta: 1.0,
    lambda: 0.5,
    sft: 1.0,
    smoothing: 0.0,
    kappa: 1.0,
    distance: Distance::L2,
    invert: true,
    hold_target: false,
    mask_shared: true,
};

/// What the data ask of a session.
pub fn objective(data: &DataSet) -> Arc<dyn Objective> {
    match (data.is_lm(), data.candidates(0)) {
        (true, _) => Arc::new(CausalLm),
        (false, 0) => Arc::new(Preference::new(Aim::Dpo, SMOOTH, LabelLoss::Full)),
        (false, _) => Arc::new(Choice),
    }
}

pub fn room(data: &DataSet, layout: PassLayout, examples: usize) -> Room {
    Room {
        layout,
        extent: Extent { tokens: data.longest().max(LENGTH), candidates: data.candidates(0) },
        examples,
    }
}

pub fn forward(family: Family, sharing: Sharing, tangents: usize) -> Forward {
    Forward { family, sharing, tangents, run_key: run_key(42) }
}

pub fn tensors(adapter: &Adapter) -> Vec<Tensor> {
    adapter.tensors().cloned().collect()
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
