//! The recipe that flags give: the same as a settings file's, with the defaults of one device.

use super::{RecordArgs, ShapeArgs, TrainArgs};
use sprig_engine::adapter::Kind;
use sprig_learn::choosing::Question;
use sprig_learn::data::{Part, Task, held_back};
use sprig_learn::objective::LabelLoss;
use sprig_learn::optimiser::{Optimiser, Rule, Schedule};
use sprig_learn::recipe::defaults::{
    ADAMW, LABEL_STYLE, SINGLE, directions, kind, label_loss, single, single_lr, warm_lr,
};
use sprig_learn::recipe::{
    AdamW, AdapterRecipe, HeldBack, Len, Length, NotNegative, Recipe, Records, Single, Tangents, Targets, Way,
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

    /// Whether what is held out judges it on its way. Preferences are measured there by other means than in training.
    pub fn is_judged_by_held_out(&self) -> bool {
        let preference =
            self.shape.preference.preferring().objective(self.records.task, self.shape.label_loss());
        self.eval_every.is_some()
            && (!self.eval_data.is_empty() || self.split.is_some())
            && self.held_back.is_none()
            && preference.is_none()
    }

    /// Whether anything judges a training of so many examples on its way, so that the best adapter so far is kept.
    pub fn is_judged(&self, examples: usize) -> bool {
        self.is_judged_by_held_out() || !self.held_back(examples).is_empty()
    }

    /// The part of the data that is learnt from, where some are held out.
    pub fn part(&self) -> Option<Part> {
        self.split.map(|share| Part { share, seed: self.seed, drawn: false })
    }

    /// Places of the examples that are kept back of so many.
    pub fn held_back(&self, examples: usize) -> Vec<usize> {
        let usual = || match self.eval_every {
            Some(_) if self.is_judged_by_held_out() => HeldBack::None,
            Some(_) => HeldBack::usual(Length::Usual, examples),
            None => HeldBack::usual(self.length(), examples),
        };
        let asked = self.held_back.unwrap_or_else(usual);
        held_back(examples, asked.of(examples), self.seed)
    }

    /// The whole training, of so many examples.
    pub fn single(&self, examples: usize) -> Single {
        let (method, task) = (self.shape.estimator.method(), self.records.task);
        let recipe = Recipe {
            records: self.records.records(self.shape.len),
            adapter: self.shape.adapter(task),
            estimator: method,
            tangents: self.shape.tangents(task),
            family: self.family,
            directions: self.directions.unwrap_or(directions(method)),
            difference_step: self.difference_step,
            variance_limit: self.variance_limit,
            batch: self.shape.batch,
            dropout: self.shape.dropout,
            label_loss: self.shape.label_loss(),
            preferring: self.shape.preference.preferring(),
            seed: self.seed,
        };
        let schedule = Schedule {
            peak: self.peak(),
            warmup: self.warmup,
            steps: self.length().steps(examples, self.shape.batch),
            decay: self.decay,
        };
        Single { recipe, rule: rule(self.shape.optimizer, self.momentum, self.weight_decay), schedule }
    }
}

impl TrainArgs {
    /// The highest learning rate.
    fn peak(&self) -> f32 {
        let (method, kind, task) = (self.shape.estimator.method(), self.shape.kind(), self.records.task);
        let usual = || match self.from {
            Some(_) => warm_lr(method, kind, task),
            None => single_lr(method, kind, task).get(),
        };
        self.lr.map_or_else(usual, NotNegative::get)
    }

    /// What is to be decided before a training.
    pub fn question(&self) -> Question {
        let question = self.shape.question(self.records.task);
        let asked = match question.asked {
            // Nothing else has sums to add to.
            Way::Auto if self.add_to.is_some() => Way::ReadOut,
            way => way,
        };
        Question { asked, ..question }
    }
}

impl ShapeArgs {
    /// The adapter that learns `task`, before the model is known.
    pub fn adapter(&self, task: Task) -> AdapterRecipe {
        let usual = single(task);
        AdapterRecipe {
            kind: self.kind(),
            rank: self.rank.unwrap_or(usual.rank(self.kind())),
            alpha: self.alpha,
            targets: self.targets.clone().unwrap_or(Targets::of(usual.targets)),
            layers: self.layers.clone(),
            method: self.estimator.method(),
        }
    }

    /// What of the low-rank update trains.
    pub fn kind(&self) -> Kind {
        self.adapter_kind.unwrap_or(kind(self.estimator.method()))
    }

    /// What is to be decided before a plan.
    pub fn question(&self, task: Task) -> Question {
        Question { asked: self.estimator, task, given: self.given.settings() }
    }

    /// K.
    pub fn tangents(&self, task: Task) -> Tangents {
        self.tangents.unwrap_or(single(task).tangents(self.estimator.method()))
    }

    /// What the loss of labels and choices counts.
    pub fn label_loss(&self) -> LabelLoss {
        self.label_loss.unwrap_or(label_loss(self.estimator.steps()))
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
