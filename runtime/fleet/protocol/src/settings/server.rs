//! The `[train.server]` table: what steps the global weights.

use serde::{Deserialize, Serialize};
use sprig_learn::recipe::{Fraction, Positive, Whole, defaults};
use sprig_learn::spry::{Robust, ServerOptimiser, ServerRule};

/// The server's optimiser (algorithm.md 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// How a mean change of the devices moves the weights; if absent `adam` per iteration, `avg` per epoch.
    pub rule: ServerOptimiser,
    /// Step length; if absent 1 for `avg`, 0.05 for the others.
    pub eta: Positive,
    /// Decay of the first moment.
    pub beta1: Fraction,
    /// Decay of the second moment.
    pub beta2: Fraction,
    /// τ, which keeps small changes small.
    pub tau: Positive,
    /// Rounds over which eta falls in a straight line; 0 where it stays.
    pub decay_rounds: u32,
    /// What is done about updates that are far from the others: none; clip = cut down to three medians of the norms of their
    /// round; median or trimmed = that of all devices with the same groups, which they then hold in teams; clip if absent. Of
    /// [train.readout] none, or else nobody's sums count as of more than three medians of examples. The coordinator's choice, at
    /// any time.
    #[serde(skip_serializing)] // the coordinator's alone
    pub robust: Robust,
    /// Devices of such a team, at least: fewer than half of them may lie; 5 if absent.
    #[serde(skip_serializing)]
    pub holders: Whole<3, 65_535>,
}

impl Server {
    /// The usual constants of a rule.
    pub(super) fn of(rule: ServerOptimiser) -> Self {
        Self {
            rule,
            eta: defaults::server_eta(rule),
            beta1: defaults::SERVER_BETA1,
            beta2: defaults::SERVER_BETA2,
            tau: defaults::SERVER_TAU,
            decay_rounds: 0,
            robust: Robust::Clip,
            holders: Whole::of::<5>(),
        }
    }

    /// The rule with these constants.
    pub fn rule(&self) -> ServerRule {
        let (eta, beta1, beta2, tau) = (self.eta.get(), self.beta1.get(), self.beta2.get(), self.tau.get());
        match self.rule {
            ServerOptimiser::Avg => ServerRule::Avg { eta },
            ServerOptimiser::Adam => ServerRule::Adam { eta, beta1, beta2, tau },
            ServerOptimiser::Yogi => ServerRule::Yogi { eta, beta1, beta2, tau },
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::of(defaults::server_rule(defaults::MODE))
    }
}
