//! The recipe that flags give: the same as a settings file's, with the defaults of one device.

use super::{RecordArgs, ShapeArgs, TrainArgs};
use sprig_learn::optimiser::{Optimiser, Rule, Schedule};
use sprig_learn::recipe::defaults::{ADAMW, LABEL_STYLE, SINGLE, single_lr};
use sprig_learn::recipe::{AdamW, AdapterRecipe, Len, NotNegative, Recipe, Records, Single};

impl TrainArgs {
    /// The whole training.
    pub fn single(&self) -> Single {
        let recipe = Recipe {
            records: self.records.records(self.shape.len),
            adapter: self.shape.adapter(),
            estimator: self.shape.estimator,
            tangents: self.shape.tangents,
            family: self.family,
            directions: self.directions,
            batch: self.shape.batch,
            seed: self.seed,
        };
        let schedule = Schedule {
            peak: self.lr.unwrap_or(single_lr(self.shape.estimator)).get(),
            warmup: self.warmup,
            steps: self.steps.get().into(),
            decay: self.decay,
        };
        Single { recipe, rule: rule(self.shape.optimizer, self.momentum, self.weight_decay), schedule }
    }
}

impl ShapeArgs {
    /// The adapter, before the model is known.
    pub fn adapter(&self) -> AdapterRecipe {
        AdapterRecipe {
            kind: self.adapter_kind,
            rank: self.rank.unwrap_or(SINGLE.rank(self.adapter_kind)),
            alpha: self.alpha,
            targets: self.targets.clone(),
            layers: self.layers.clone(),
        }
    }

    /// The optimiser with its usual constants.
    pub fn rule(&self) -> Rule {
        rule(self.optimizer, SINGLE.momentum, ADAMW.decay)
    }
}

impl RecordArgs {
    /// How records become examples of `len` tokens.
    pub fn records(&self, len: Len) -> Records {
        Records {
            raw: self.raw,
            template: self.template.clone(),
            labels: self.labels.clone(),
            label_style: self.label_style.unwrap_or(LABEL_STYLE),
            label_words: self.label_tokens.clone(),
            ..Records::new(self.task, len)
        }
    }
}

fn rule(optimiser: Optimiser, momentum: NotNegative, decay: NotNegative) -> Rule {
    match optimiser {
        Optimiser::AdamW => AdamW { decay, ..ADAMW }.rule(),
        Optimiser::Sgd => Rule::Sgd { momentum: momentum.get() },
    }
}
