//! How far a run is, for its checkpoint and its record.

use super::material::Material;
use crate::args::LookalikeArgs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sprig_engine::adapter::AdapterSpec;
use sprig_ground::hex;
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::Task as Records;
use sprig_lookalike::{Answers, Counts, Goal, MinedPair, Scores};
use sprig_mcq::{Family, Split};

/// What a checkpoint says beside the adapter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Phases done.
    pub phase: usize,
    /// What mining found, all phases together.
    pub mined: Counts,
    /// What was found in each mining.
    pub minings: Vec<Counts>,
    /// One pair of each kind.
    pub examples: Vec<MinedPair>,
    /// Scores after so many phases.
    pub scores: Vec<Scored>,
    /// Looks on the way.
    pub watched: Vec<Watched>,
    /// Mean loss of each phase's last tenth, or of all of a short one.
    pub losses: Vec<f64>,
    /// Plain forward passes of an example that all steps are worth.
    pub passes: f64,
    /// Tokens of all steps.
    pub tokens: u64,
    /// Seconds of the steps.
    pub step_seconds: f64,
    /// Seconds of mining.
    pub mining_seconds: f64,
    /// Log-probability of the gold answers at the last supervised end.
    pub level: Option<f64>,
    /// What was answered about the watched items before training.
    pub before: Vec<Answers>,
}

/// Scores of a family in a split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scored {
    /// Phases done then.
    pub phase: usize,
    /// The split.
    pub split: Split,
    /// The family.
    pub family: Family,
    /// Its scores.
    pub scores: Scores,
}

/// A look at the watched items (specification 6.11).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watched {
    /// The phase,
    pub phase: usize,
    /// what it trains,
    pub goal: Goal,
    /// and its step.
    pub step: u64,
    /// Mean log-probability of the gold answers, less that at the last supervised end.
    pub gold: f64,
    /// Their answers.
    pub scores: Scores,
}

impl Progress {
    /// Of a checkpoint's notes.
    pub fn read(notes: &str) -> Option<Self> {
        serde_json::from_str(notes).ok()
    }

    /// For a checkpoint.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a split was judged after the phases done so far.
    pub fn is_judged(&self, split: Split) -> bool {
        self.scores.iter().any(|scored| scored.split == split && scored.phase == self.phase)
    }

    /// Scores of a split after the last phase that it was judged at, all families together.
    pub fn last(&self, split: Split) -> Scores {
        let of = |scored: &&Scored| scored.split == split;
        let last = self.scores.iter().filter(of).map(|scored| scored.phase).max();
        self.of(split, last.unwrap_or(0))
    }

    /// Scores of a split after `phase` phases, all families together.
    pub fn of(&self, split: Split, phase: usize) -> Scores {
        let mut all = Scores::default();
        let of = |scored: &&Scored| scored.split == split && scored.phase == phase;
        self.scores.iter().filter(of).for_each(|scored| all.add(&scored.scores));
        all
    }
}

/// Everything the result depends on, under the names of the flags.
pub fn fingerprint(
    args: &LookalikeArgs,
    spec: &AdapterSpec,
    [model, from]: [Option<&String>; 2],
    material: &Material,
) -> Fingerprint {
    let mut all = settings(args, spec);
    all.extend(
        [(checkpoint::MODEL, model), (checkpoint::FROM, from)]
            .into_iter()
            .filter_map(|(name, digest)| Some((name, digest?.clone()))),
    );
    all.push((checkpoint::DATA, hex::encode(&material.supervised.digest())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What was asked for, under the names of the flags.
pub fn settings(args: &LookalikeArgs, spec: &AdapterSpec) -> Vec<(&'static str, String)> {
    let LookalikeArgs { items, mining, shape, .. } = args;
    let list = |names: Vec<&'static str>| names.join(",");
    let of = |held: Option<&'static str>| held.unwrap_or("none").to_owned();
    let mut all = vec![
        ("families", list(items.families.iter().map(|family| family.name()).collect())),
        ("tasks", list(items.tasks.iter().map(|task| task.name()).collect())),
        ("items", items.train.to_string()),
        ("dev", items.dev.to_string()),
        ("test", items.test.to_string()),
        ("paraphrase", items.paraphrase.to_string()),
        ("hold-out-telling", of(items.hold_out_telling.map(|held| held.name()))),
        ("hold-out-error", of(items.hold_out_error.map(|held| held.name()))),
        ("hold-out-family", of(items.hold_out_family.map(|held| held.name()))),
        ("samples", mining.samples.to_string()),
        ("most", mining.most.to_string()),
        ("temperature", mining.temperature.to_string()),
        ("key-cap", mining.key_cap.to_string()),
        ("mine", list(mining.mine.iter().map(|kind| kind.name()).collect())),
        ("negatives", mining.negatives.to_string()),
        ("reference", mining.reference.to_string()),
        ("schedule", args.schedule.to_string()),
        ("cycles", args.cycles.to_string()),
        ("supervised-steps", args.supervised_steps.to_string()),
        ("preference-steps", args.preference_steps.to_string()),
        ("joint-weight", args.joint_weight.to_string()),
        ("lr", args.peak(Goal::Supervised).to_string()),
        ("preference-lr", args.peak(Goal::Preferred).to_string()),
        ("decay", args.decay.to_string()),
        ("seed", args.seed.to_string()),
        ("estimator", shape.estimator.to_string()),
        ("tangents", shape.tangents(Records::Pair).to_string()),
        ("adapter-kind", spec.kind.name().to_owned()),
        ("rank", spec.rank.to_string()),
        ("alpha", spec.alpha.to_string()),
        ("targets", list(spec.targets.iter().map(|target| target.name()).collect())),
        ("layers", format!("{}..{}", spec.layers.start, spec.layers.end)),
        ("batch", shape.batch.to_string()),
        ("len", shape.len.to_string()),
        ("dropout", shape.dropout.to_string()),
        ("optimizer", shape.optimizer.to_string()),
    ];
    all.extend(shape.preference.settings(Records::Pair));
    all
}

/// The same as an object.
pub fn object(args: &LookalikeArgs, spec: &AdapterSpec) -> Value {
    settings(args, spec).into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}
