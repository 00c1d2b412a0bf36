//! The ways to learn that are compared, each as the flags of `sprig train` that make it.

use clap::ValueEnum;

/// A way to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// What `sprig train` chooses by itself
    Auto,
    /// The read-out in closed form
    Readout,
    /// Exact gradients, checkpointed
    Reverse,
    /// The read-out, then exact gradients from where it ended
    ReadoutReverse,
    /// Forward gradients
    Forward,
    /// Forward gradients as in Spry's paper: LoRA r = 1 on q and v, one Gaussian direction a
    /// batch, dropout 0.1
    Paper,
    /// MeZO
    Mezo,
    /// BAFFLE+
    Baffle,
    /// FwdLLM+
    Fwdllm,
}

/// Forward gradients with the settings that learn most here: four directions an example, small cores in the top quarter of
/// the blocks, the loss among the labels alone (over the whole vocabulary they end at 43 % where this ends at 67 %).
const FORWARD: &[(&str, &str)] = &[
    ("estimator", "forward"),
    ("tangents", "4"),
    ("adapter-kind", "lora-xs"),
    ("rank", "8"),
    ("targets", "q,v,o"),
    ("layers", "22..30"),
    ("directions", "per-example"),
    ("lr", "0.05"),
    ("batch", "8"),
    ("label-loss", "labels"),
];

impl Arm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Readout => "read-out",
            Self::Reverse => "exact gradients",
            Self::ReadoutReverse => "read-out, then exact gradients",
            Self::Forward => "forward gradients",
            Self::Paper => "forward, paper's settings",
            Self::Mezo => "MeZO",
            Self::Baffle => "BAFFLE+",
            Self::Fwdllm => "FwdLLM+",
        }
    }

    /// What it adds to the command line, of its last training if there are several.
    pub fn flags(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Auto => &[("estimator", "auto")],
            Self::Readout => &[("estimator", "readout")],
            Self::Reverse | Self::ReadoutReverse => &[("estimator", "reverse")],
            Self::Forward => FORWARD,
            Self::Paper => &[
                ("estimator", "forward"),
                ("adapter-kind", "lora"),
                ("rank", "1"),
                ("alpha", "1"),
                ("targets", "q,v"),
                ("layers", "0..30"),
                ("tangents", "1"),
                ("family", "gaussian"),
                ("directions", "shared"),
                ("dropout", "0.1"),
                ("lr", "0.001"),
                ("weight-decay", "0.01"),
                ("label-loss", "labels"),
            ],
            Self::Mezo => &[("estimator", "mezo")],
            Self::Baffle => &[("estimator", "baffle")],
            Self::Fwdllm => &[("estimator", "fwdllm")],
        }
    }

    /// What each of its trainings adds, one from the adapter of the other.
    pub fn stages(self) -> Vec<&'static [(&'static str, &'static str)]> {
        match self {
            Self::ReadoutReverse => vec![Self::Readout.flags(), Self::Reverse.flags()],
            _ => vec![self.flags()],
        }
    }

    /// Those of its flags that a plan needs.
    pub fn shape(self) -> Vec<(&'static str, &'static str)> {
        const OF_TRAINING: [&str; 4] = ["directions", "family", "lr", "weight-decay"];
        self.flags().iter().copied().filter(|(flag, _)| !OF_TRAINING.contains(flag)).collect()
    }

    /// Whether it is for tasks whose answers are labels alone.
    pub fn needs_labels(self) -> bool {
        matches!(self, Self::Readout | Self::ReadoutReverse)
    }

    /// Whether a number of steps means anything to it.
    pub fn takes_steps(self) -> bool {
        !matches!(self, Self::Auto | Self::Readout | Self::ReadoutReverse)
    }
}
