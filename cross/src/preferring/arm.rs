//! The ways of learning that are compared, each from the same base with as many steps (specification, section 5).

use clap::ValueEnum;

/// What a base that has learnt the answers alone is called.
pub const BASE: &str = "base";

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// The right answer alone, further on
    Sft,
    /// Direct preference optimisation
    Dpo,
    /// The same with label smoothing of 0.1
    Smoothing,
    /// With cross-entropy between confidence and correctness
    DpoBce,
    /// With confidences held to the accuracy of their bin
    Rcft,
    /// With rewards held to their scale
    CalDpo,
    /// With a penalty of confidence
    Penalty,
    /// CATTO with a weight of 0.1 and a slope of 1
    Catto,
    /// With a weight of 0.03
    #[value(name = "catto-.03")]
    CattoLight,
    /// With a weight of 0.3
    #[value(name = "catto-.3")]
    CattoHeavy,
    /// With a slope of 2
    #[value(name = "catto-k2")]
    CattoSteep,
}

impl Arm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sft => "SFT",
            Self::Dpo => "DPO",
            Self::Smoothing => "DPO, smoothing .1",
            Self::DpoBce => "DPO+BCE",
            Self::Rcft => "RCFT",
            Self::CalDpo => "Cal-DPO",
            Self::Penalty => "penalty",
            Self::Catto => "CATTO",
            Self::CattoLight => "CATTO, λ .03",
            Self::CattoHeavy => "CATTO, λ .3",
            Self::CattoSteep => "CATTO, κ 2",
        }
    }

    /// What it adds to the command line of `sprig train`.
    pub fn flags(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Sft => &[("objective", "sft")],
            Self::Dpo => &[("objective", "dpo")],
            Self::Smoothing => &[("objective", "dpo"), ("smoothing", "0.1")],
            Self::DpoBce => &[("objective", "dpo-bce")],
            Self::Rcft => &[("objective", "rcft")],
            Self::CalDpo => &[("objective", "cal-dpo")],
            Self::Penalty => &[("objective", "penalty")],
            Self::Catto => &[("objective", "catto")],
            Self::CattoLight => &[("objective", "catto"), ("lam", "0.03")],
            Self::CattoHeavy => &[("objective", "catto"), ("lam", "0.3")],
            Self::CattoSteep => &[("objective", "catto"), ("kappa", "2")],
        }
    }

    /// Whether it is one of those that are tried unless others are named.
    pub fn is_usual(self) -> bool {
        !matches!(self, Self::CattoLight | Self::CattoHeavy | Self::CattoSteep)
    }
}
