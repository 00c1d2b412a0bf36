//! The recipe that flags give: the same as a settings file's, with the defaults of one device.

use super::{RecordArgs, ShapeArgs, TrainArgs};
use sprig_learn::data::held_back;
use sprig_learn::optimiser::{Optimiser, Rule, Schedule};
use sprig_learn::recipe::defaults::{ADAMW, LABEL_STYLE, SINGLE, directions, single_lr};
use sprig_learn::recipe::{
    AdamW, AdapterRecipe, HeldBack, Len, Length, NotNegative, Recipe, Records, Single, Tangents,
};

impl TrainArgs {
    /// How long it is.
    pub fn length(&self) -> Length {
        match (self.steps, self.epochs) {
            (Some(steps), _) => Length::Steps(steps),
            (None, Some(epochs)) => Length::Epochs(epochs),
            (None, None) => Length::Usual,
        }
    }

    /// Places of the examples that are kept back of so many.
    pub fn held_back(&self, examples: usize) -> Vec<usize> {
        let asked = self.held_back.unwrap_or_else(|| HeldBack::usual(self.length(), examples));
        held_back(examples, asked.of(examples), self.seed)
    }

    /// The whole training, of so many examples.
    pub fn single(&self, examples: usize) -> Single {
        let recipe = Recipe {
            records: self.records.records(self.shape.len),
            adapter: self.shape.adapter(),
            estimator: self.shape.estimator.method(),
            tangents: self.shape.tangents(),
            family: self.family,
            directions: self.directions.unwrap_or(directions(self.shape.estimator.method())),
            difference_step: self.difference_step,
            variance_limit: self.variance_limit,
            batch: self.shape.batch,
            label_loss: self.shape.label_loss,
            seed: self.seed,
        };
        let schedule = Schedule {
            peak: self.lr.unwrap_or(single_lr(self.shape.estimator.method(), self.shape.adapter_kind)).get(),
            warmup: self.warmup,
            steps: self.length().steps(examples, self.shape.batch),
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

    /// K.
    pub fn tangents(&self) -> Tangents {
        self.tangents.unwrap_or(SINGLE.tangents(self.estimator.method()))
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
