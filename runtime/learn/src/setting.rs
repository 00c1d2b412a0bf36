//! The settings that errors speak of: by what they are, not by how they were given. Whoever talks to the user says how
//! with [`word_as`]: the command line as flags, a settings file as keys of its tables.

use std::fmt::{self, Display, Formatter};
use std::sync::OnceLock;
use thiserror::Error;

/// How a setting is worded, alone or with the value it has or should have.
pub type Wording = fn(Setting, Option<&str>) -> String;

static WORDING: OnceLock<Wording> = OnceLock::new();

/// Words settings by `wording` in every message of this process, which has one user. The first call counts; without one
/// the bare key stands for a setting.
pub fn word_as(wording: Wording) {
    let _ = WORDING.set(wording);
}

/// A setting that cannot be used. For the user to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {problem}", setting.to(found))]
pub struct SettingError {
    /// Which.
    pub setting: Setting,
    /// What it says.
    pub found: String,
    /// The limit and the remedy.
    pub problem: String,
}

macro_rules! settings {
    ($($setting:ident = $key:literal,)+) => {
        /// Something that a user chooses, by the key it has in a settings file. In a message it is worded as the user
        /// gave it: `{setting}` alone, and [`to`](Self::to) with a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the key says it")]
        pub enum Setting {
            $($setting,)+
        }

        impl Setting {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$setting),+];

            /// Its key, with the tables within its table: `server.eta`.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$setting => $key,)+
                }
            }
        }
    };
}

settings! {
    // Of the process.
    Model = "model",
    Budget = "budget",
    Threads = "threads",
    Data = "data",
    // How records become tokens.
    Task = "task",
    Raw = "raw",
    Template = "template",
    TextColumn = "text_column",
    LabelColumn = "label_column",
    Labels = "labels",
    LabelStyle = "label_style",
    LabelTokens = "label_tokens",
    LabelLoss = "label_loss",
    Objective = "objective",
    Lam = "lam",
    Len = "len",
    // The adapter.
    Adapter = "adapter",
    Rank = "rank",
    Alpha = "alpha",
    Targets = "targets",
    Layers = "layers",
    Head = "head",
    // The estimator.
    Estimator = "estimator",
    Tangents = "tangents",
    Directions = "directions",
    Family = "family",
    DifferenceStep = "difference_step",
    VarianceLimit = "variance_limit",
    Dropout = "dropout",
    Seed = "seed",
    // A step.
    Batch = "batch",
    Steps = "steps",
    Epochs = "epochs",
    Split = "split",
    HeldBack = "held_back",
    Patience = "patience",
    Optimizer = "local_optimizer",
    Momentum = "momentum",
    Beta1 = "adamw.beta1",
    Beta2 = "adamw.beta2",
    Epsilon = "adamw.epsilon",
    WeightDecay = "adamw.decay",
    Lr = "lr",
    Warmup = "warmup",
    Decay = "decay",
    // A fleet.
    Mode = "mode",
    LocalSteps = "local_steps",
    Seeds = "seeds",
    Noise = "noise",
    NoiseAmong = "noise.noise_among",
    ReadOutNoiseAmong = "readout.noise_among",
    Dealing = "dealing",
    Up = "up",
    Parts = "parts",
    SecureAggregation = "secure_aggregation",
    ServerRule = "server.rule",
    ServerEta = "server.eta",
    ServerBeta1 = "server.beta1",
    ServerBeta2 = "server.beta2",
    ServerTau = "server.tau",
    ServerDecayRounds = "server.decay_rounds",
}

impl Setting {
    /// With `value`, as the user would give it: `--len 96`, or `len = 96`.
    pub fn to(self, value: impl Display) -> String {
        self.worded(Some(&value.to_string()))
    }

    /// A complaint about the value it has; `problem` names the limit and the remedy.
    pub fn error(self, found: impl Display, problem: impl Into<String>) -> SettingError {
        SettingError { setting: self, found: found.to_string(), problem: problem.into() }
    }

    fn worded(self, value: Option<&str>) -> String {
        match (WORDING.get(), value) {
            (Some(wording), value) => wording(self, value),
            (None, Some(value)) => format!("`{} = {}`", self.key(), quoted(value)),
            (None, None) => format!("`{}`", self.key()),
        }
    }
}

/// A value as TOML has it: words in quotes, numbers, `true` and `false` bare.
pub fn quoted(value: &str) -> String {
    match value.parse::<f64>().is_ok() || matches!(value, "true" | "false") {
        true => value.to_owned(),
        false => format!("{value:?}"),
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.worded(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_stands_by_its_key_until_somebody_words_it() {
        assert_eq!(Setting::LabelTokens.to_string(), "`label_tokens`");
        assert_eq!(Setting::Len.to(96), "`len = 96`");
        assert_eq!(Setting::Task.to("lm"), "`task = \"lm\"`");
        assert_eq!(Setting::Raw.to(true), "`raw = true`");
        let error = Setting::Batch.error(0, "use 1 to 4096");
        assert_eq!(error.to_string(), "`batch = 0`: use 1 to 4096");
    }
}
