//! What a setting is when nobody gives it: every default of a training, in one place. What one device and a fleet have
//! otherwise stands in [`SINGLE`], [`ANSWERS`] and [`FLEET`]; the rest is the same for all.

use super::{AdamW, Batch, Fraction, Len, LocalSteps, NotNegative, Patience, Positive, Rank, Tangents};
use crate::data::{LabelStyle, Task};
use crate::directions::Sharing;
use crate::estimator::Method;
use crate::objective::LabelLoss;
use crate::optimiser::{Decay, Optimiser};
use crate::spry::{Dealing, Mode, Seeds, ServerOptimiser};
use sprig_engine::adapter::Kind;
use sprig_engine::model::Module;
use std::ops::Range;

/// Defaults that depend on who trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// K of the forward estimator.
    pub tangents: Tangents,
    /// r of LoRA-XS.
    pub rank_xs: Rank,
    /// r of the other kinds of adapter.
    pub rank: Rank,
    /// Adapted linear layers.
    pub targets: &'static [Module],
    /// Decay of the sum of gradients that plain gradient descent steps by.
    pub momentum: NotNegative,
}

/// One device by itself.
pub const SINGLE: Defaults = Defaults {
    tangents: Tangents::of::<1>(),
    rank_xs: Rank::of::<4>(),
    rank: Rank::of::<8>(),
    targets: &[Module::Q, Module::V],
    momentum: NotNegative::of(0.9),
};

/// The same where answers are learnt, labels or choices. 400 forward steps of the demo's task end at 67 % of 600 held out.
pub const ANSWERS: Defaults = Defaults {
    tangents: Tangents::of::<4>(),
    rank_xs: Rank::of::<8>(),
    targets: &[Module::Q, Module::V, Module::O],
    ..SINGLE
};

/// A fleet.
pub const FLEET: Defaults = Defaults {
    tangents: Tangents::of::<4>(),
    rank_xs: Rank::of::<8>(),
    rank: Rank::of::<8>(),
    targets: &[Module::Q, Module::V, Module::O],
    momentum: NotNegative::of(0.0),
};

/// What the loss of labels and choices counts in a fleet: as published, and as jobs and ledgers that do not name it mean it.
pub const FLEET_LABEL_LOSS: LabelLoss = LabelLoss::Labels;

/// Most tokens of an example.
pub const LEN: Len = Len::of::<128>();
/// What stands for a label in the answer.
pub const LABEL_STYLE: LabelStyle = LabelStyle::Word;
/// What of the low-rank update trains.
pub const ADAPTER: Kind = Kind::Xs;
/// How gradients are got.
pub const ESTIMATOR: Method = Method::Forward;
/// Examples of a step.
pub const BATCH: Batch = Batch::of::<8>();
/// Share of the adapters' inputs that training leaves out.
pub const DROPOUT: Fraction = Fraction::of(0.0);

/// The optimiser, of one device and of a fleet's devices within a round.
pub const OPTIMISER: Optimiser = Optimiser::AdamW;
/// β₂ = 0.99: a forward gradient's scale is known within a hundred steps.
pub const ADAMW: AdamW = AdamW {
    beta1: Fraction::of(0.9),
    beta2: Fraction::of(0.99),
    epsilon: Positive::of(1e-8),
    decay: NotNegative::of(0.0),
};
/// Learning rate of AdamW: small cores take steps of this size, whatever the gradient's. In rounds of five steps 0.015 and
/// 0.03 learn alike, and 0.06 diverges. For one device it is that of plain gradient descent as well.
const LR_ADAMW: f32 = 0.02;
/// The same of forward gradients of answers, with the settings of [`ANSWERS`].
const LR_ANSWERS: f32 = 0.05;
/// Learning rate of exact gradients of whole factors: thousands of numbers, each of which takes a step of this size. 100
/// steps on the demo's data (r = 8, alpha = 16 on q, v and o of the top eight blocks) end at 82.5 % of 600 held out with
/// 0.001 and at 90.8 % with this.
const LR_EXACT: f32 = 0.003;

/// Learning rate of a training that goes on from an adapter, as a share of the usual one.
const LR_WARM: f32 = 0.1;

/// Fewest steps of one device: a forward gradient is mostly noise, and on fewer nothing shows.
pub const FEWEST_STEPS: u64 = 300;
/// Most of them: an epoch of more than 24,000 examples would take a board days.
pub const MOST_STEPS: u64 = 3000;
/// Share of the examples that is kept back to be judged by.
pub const HELD_BACK_PERCENT: f32 = 10.0;
/// Most examples kept back: one judgement is to cost no more than some steps. The same ones are judged each time, so that
/// their differences tell more than their number does.
pub const MOST_HELD_BACK: usize = 100;
/// Fewest examples of which some are kept back.
pub const FEWEST_TO_DIVIDE: usize = 50;
/// Judgements in a row without a better one that end a run: a quarter of a long run's.
pub const PATIENCE: Patience = Patience::of::<5>();
/// Steps with a learning rate that still rises.
pub const WARMUP: u64 = 10;
/// How it falls afterwards.
pub const DECAY: Decay = Decay::Linear;

/// What a fleet learns from a record; one device is told by its user.
pub const FLEET_TASK: Task = Task::Label;
/// When a fleet exchanges.
pub const MODE: Mode = Mode::PerIteration;
/// Steps of a device within a round, where it takes any.
pub const LOCAL_STEPS: LocalSteps = LocalSteps::of::<10>();
/// Medians of their sizes that a derivative may measure.
pub const CLIP: NotNegative = NotNegative::of(crate::guard::CLIP);
/// Whose directions a device of a fleet takes.
pub const SEEDS: Seeds = Seeds::Own;
/// How groups are dealt.
pub const DEALING: Dealing = Dealing::Contiguous;
/// Moments and τ of the server's rule.
pub const SERVER_BETA1: Fraction = Fraction::of(0.9);
/// See [`SERVER_BETA1`].
pub const SERVER_BETA2: Fraction = Fraction::of(0.99);
/// See [`SERVER_BETA1`].
pub const SERVER_TAU: Positive = Positive::of(1e-3);

impl Default for AdamW {
    fn default() -> Self {
        ADAMW
    }
}

impl Defaults {
    /// K, by the estimator: of MeZO, BAFFLE+ and FwdLLM+ as published.
    pub const fn tangents(&self, estimator: Method) -> Tangents {
        match estimator {
            Method::Forward | Method::Reverse => self.tangents,
            Method::Mezo => Tangents::of::<1>(),
            Method::Baffle | Method::FwdLlm => Tangents::of::<10>(),
        }
    }

    /// r of an adapter of `kind`.
    pub fn rank(&self, kind: Kind) -> Rank {
        match kind {
            Kind::Xs | Kind::XsSeeded => self.rank_xs,
            Kind::Lora | Kind::BOnly => self.rank,
        }
    }
}

/// Who shares a direction.
pub const fn directions(estimator: Method) -> Sharing {
    if estimator.is_by_differences() { Sharing::Shared } else { Sharing::PerExample }
}

/// How far estimators by differences move the weights along a direction: as MeZO, BAFFLE+ and FwdLLM+ were published.
pub const fn difference_step(estimator: Method) -> Positive {
    match estimator {
        Method::Forward | Method::Reverse | Method::Mezo => Positive::of(1e-3),
        Method::Baffle => Positive::of(1e-4),
        Method::FwdLlm => Positive::of(1e-2),
    }
}

/// What of the low-rank update one device trains: both factors by exact gradients, for which they are few; small cores
/// otherwise.
pub const fn kind(estimator: Method) -> Kind {
    match estimator {
        Method::Reverse => Kind::Lora,
        Method::Forward | Method::Mezo | Method::Baffle | Method::FwdLlm => ADAPTER,
    }
}

/// Adapted blocks of `blocks`: the top quarter for small cores and for exact gradients, below which nothing has to be kept
/// or carried; all otherwise, as published.
pub const fn layers(estimator: Method, kind: Kind, blocks: usize) -> Range<usize> {
    match (estimator, kind) {
        (_, Kind::Xs | Kind::XsSeeded) | (Method::Reverse, _) => blocks - blocks.div_ceil(4)..blocks,
        (_, Kind::Lora | Kind::BOnly) => 0..blocks,
    }
}

/// What one device has by default that learns `task`.
pub const fn single(task: Task) -> Defaults {
    match task {
        Task::Lm | Task::Pair => SINGLE,
        Task::Label | Task::Choice => ANSWERS,
    }
}

/// What the loss of labels and choices counts on one device, by whose gradients it takes steps along, if any: all tokens, so that the model answers with a label when it is
/// asked greedily, wherever the adapter is used. Estimates along directions are too noisy for that: 400 forward steps of the
/// demo's task end at 67 % with the labels alone and at 43 % with all tokens; with a tenth of the other tokens' part added
/// to the former, 200 steps end at 50 % where they end at 58 % without, and no more answers are labels.
pub const fn label_loss(steps: Option<Method>) -> LabelLoss {
    match steps {
        None | Some(Method::Reverse) => LabelLoss::Full,
        Some(_) => LabelLoss::Labels,
    }
}

/// The learning rate of one device, by the estimator of its gradients, what trains and what is learnt.
pub const fn single_lr(estimator: Method, kind: Kind, task: Task) -> NotNegative {
    match (estimator, kind) {
        (Method::Forward, Kind::Xs) if matches!(task, Task::Label | Task::Choice) => {
            NotNegative::of(LR_ANSWERS)
        }
        (Method::Reverse, Kind::Lora | Kind::BOnly) => NotNegative::of(LR_EXACT),
        (Method::Reverse, Kind::Xs | Kind::XsSeeded) => NotNegative::of(LR_ADAMW),
        (Method::Forward | Method::Mezo | Method::Baffle | Method::FwdLlm, _) => NotNegative::of(LR_ADAMW),
    }
}

/// The same of a training that goes on from an adapter.
pub fn warm_lr(estimator: Method, kind: Kind, task: Task) -> f32 {
    LR_WARM * single_lr(estimator, kind, task).get()
}

/// The learning rate of a fleet. Per iteration it scales the averaged gradient, and the server's rule sets the step.
pub const fn fleet_lr(mode: Mode, local: Optimiser, estimator: Method, kind: Kind) -> Positive {
    match (mode, local, estimator, kind) {
        (Mode::PerIteration, ..) => Positive::of(1.0),
        (Mode::PerEpoch, Optimiser::Sgd, ..) => Positive::of(0.3),
        (Mode::PerEpoch, Optimiser::AdamW, Method::Reverse, Kind::Lora | Kind::BOnly) => {
            Positive::of(LR_EXACT)
        }
        (Mode::PerEpoch, Optimiser::AdamW, ..) => Positive::of(LR_ADAMW),
    }
}

/// The server's rule, by when a fleet exchanges.
pub const fn server_rule(mode: Mode) -> ServerOptimiser {
    match mode {
        Mode::PerIteration => ServerOptimiser::Adam,
        Mode::PerEpoch => ServerOptimiser::Avg,
    }
}

/// Step length of a server: the devices' mean as it is, or of a rule that normalises the change.
pub const fn server_eta(rule: ServerOptimiser) -> Positive {
    match rule {
        ServerOptimiser::Avg => Positive::of(1.0),
        ServerOptimiser::Adam | ServerOptimiser::Yogi => Positive::of(0.05),
    }
}
