//! What a preference objective is made of, in the settings that a user gives.

use sprig_ground::names;

/// Which objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aim {
    /// The preferred answer's tokens alone: supervised finetuning.
    Sft,
    /// Direct preference optimisation (Rafailov et al. 2023).
    #[default]
    Dpo,
    /// DPO and, a token, cross-entropy of the confidence against whether the top token is right.
    DpoBce,
    /// DPO with rewards drawn to ±1/(2β) (Cal-DPO, Xiao et al. 2024; its constants are not verified).
    CalDpo,
    /// DPO and, a token, the distance of the confidence from a soft correctness (CATTO, arXiv 2601.23096).
    Catto,
    /// DPO and, a token, the confidence itself: the control of CATTO.
    Penalty,
    /// The preferred answer's tokens, and the distance of the answer's confidence from the accuracy of those like it
    /// (regularised calibration-aware finetuning, after Xiao et al., arXiv 2505.01997).
    Rcft,
}

names!(
    Aim,
    "objective",
    [
        Sft = "sft",
        Dpo = "dpo",
        DpoBce = "dpo-bce",
        CalDpo = "cal-dpo",
        Catto = "catto",
        Penalty = "penalty",
        Rcft = "rcft"
    ]
);

/// How far a confidence c is from its target z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distance {
    /// |c − z|.
    #[default]
    L1,
    /// (c − z)².
    L2,
    /// −(z ln c + (1 − z) ln(1 − c)).
    Bce,
}

names!(Distance, "distance", [L1 = "l1", L2 = "l2", Bce = "bce"]);

/// The numbers and switches of all of them; an objective looks at those it knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// β, the temperature of DPO.
    pub beta: f64,
    /// λ, the weight of what calibrates.
    pub lambda: f64,
    /// α, the weight of the preferred answer's mean cross-entropy beside the preference.
    pub sft: f64,
    /// ε of DPO with label smoothing: how often a preference is the wrong way round.
    pub smoothing: f64,
    /// κ, the slope of the soft correctness over the margin.
    pub kappa: f64,
    /// How far from its target a confidence is.
    pub distance: Distance,
    /// Whether the target is turned about on the answer that was not preferred.
    pub invert: bool,
    /// Whether the soft correctness is held while its confidence moves.
    pub hold_target: bool,
    /// Whether tokens that both answers begin or end with are left out of what calibrates: they would get opposing targets.
    pub mask_shared: bool,
}

impl Terms {
    /// What is usual for `aim`: [`Default`], and for RCFT the weight 1 of what calibrates.
    pub fn usual(aim: Aim) -> Self {
        match aim {
            Aim::Rcft => Self { lambda: 1.0, ..Self::default() },
            _ => Self::default(),
        }
    }
}

impl Default for Terms {
    /// β = 0.1, λ = 0.1, κ = 1 and L1 with flowing, inverted targets, as reported.
    fn default() -> Self {
        Self {
            beta: 0.1,
            lambda: 0.1,
            sft: 0.0,
            smoothing: 0.0,
            kappa: 1.0,
            distance: Distance::L1,
            invert: true,
            hold_target: false,
            mask_shared: true,
        }
    }
}
