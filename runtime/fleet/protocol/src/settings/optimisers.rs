//! What steps weights: on the device, and at the coordinator.

use super::train::{choose, wrong};
use super::{Mode, SettingsError, Train};
use serde::{Deserialize, Serialize};
use sprig_learn::optimiser::Rule;
use sprig_learn::spry::ServerRule;

/// Learning rate per iteration: it scales the averaged gradient, and the server's rule sets the step.
pub(super) const LR_PER_ITERATION: f32 = 1.0;
/// Learning rate of AdamW on the device: small cores take steps of this size, whatever the gradient's. In rounds of five
/// steps 0.015 and 0.03 learn alike, and 0.06 diverges.
pub(super) const LR_ADAMW: f32 = 0.02;
/// Learning rate of plain gradient descent on the device.
pub(super) const LR_SGD: f32 = 0.3;
/// Step length of a server that takes the devices' mean as it is.
pub(super) const ETA_AVG: f32 = 1.0;
/// Step length of a server whose rule normalises the change (Adam, Yogi).
pub(super) const ETA_ADAPTIVE: f32 = 0.05;

/// The constants of AdamW on the device, in per-epoch mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// ε, outside the root.
    pub epsilon: f32,
    /// Weight decay a step, times the learning rate.
    pub decay: f32,
}

/// The server's optimiser (spec 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// `avg`, `adam` or `yogi`; if absent `adam` per iteration, `avg` per epoch.
    pub rule: String,
    /// Step length; if absent 1 for `avg`, 0.05 for the others.
    pub eta: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// τ.
    pub tau: f32,
    /// Rounds over which eta falls in a straight line; 0 where it stays.
    pub decay_rounds: u32,
}

impl Default for AdamW {
    fn default() -> Self {
        // β₂ = 0.99: a forward gradient's scale is known within a hundred steps.
        Self { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::of("adam")
    }
}

impl Server {
    /// The usual constants of a rule.
    pub(super) fn of(rule: &str) -> Self {
        let eta = if rule == "avg" { ETA_AVG } else { ETA_ADAPTIVE };
        Self { rule: rule.to_owned(), eta, beta1: 0.9, beta2: 0.99, tau: 1e-3, decay_rounds: 0 }
    }

    /// The rule a mode has unless another is given.
    pub(super) fn usual(mode: Mode) -> &'static str {
        match mode {
            Mode::PerIteration => "adam",
            Mode::PerEpoch => "avg",
        }
    }

    pub(super) fn rule(&self) -> Result<ServerRule, SettingsError> {
        let Self { eta, beta1, beta2, tau, .. } = *self;
        let known = [
            ("avg", ServerRule::Avg { eta }),
            ("adam", ServerRule::Adam { eta, beta1, beta2, tau }),
            ("yogi", ServerRule::Yogi { eta, beta1, beta2, tau }),
        ];
        choose("server.rule", &self.rule, &known)
    }
}

impl Train {
    /// The learning rate of a mode and a local optimiser unless another is given.
    pub(super) fn usual_lr(mode: Mode, local_optimizer: &str) -> f32 {
        match (mode, local_optimizer) {
            (Mode::PerIteration, _) => LR_PER_ITERATION,
            (Mode::PerEpoch, "sgd") => LR_SGD,
            (Mode::PerEpoch, _) => LR_ADAMW,
        }
    }

    /// The optimiser of a device's own steps.
    pub(super) fn local(&self) -> Result<Rule, SettingsError> {
        let AdamW { beta1, beta2, epsilon, decay } = self.adamw;
        let adamw = Rule::AdamW { beta1, beta2, epsilon, decay };
        let known = [("adamw", adamw), ("sgd", Rule::Sgd { momentum: 0.0 })];
        choose("local_optimizer", &self.local_optimizer, &known)
    }

    /// Checks the constants of both.
    pub(super) fn check_optimisers(&self) -> Result<(), SettingsError> {
        let (server, adamw) = (&self.server, &self.adamw);
        let above = [
            ("lr", self.lr),
            ("adamw.epsilon", adamw.epsilon),
            ("server.eta", server.eta),
            ("server.tau", server.tau),
        ];
        for (field, value) in above {
            if !(value.is_finite() && value > 0.0) {
                return Err(wrong(field, value, "use a number above 0"));
            }
        }
        let decays = [
            ("adamw.beta1", adamw.beta1),
            ("adamw.beta2", adamw.beta2),
            ("server.beta1", server.beta1),
            ("server.beta2", server.beta2),
        ];
        for (field, value) in decays {
            if !(0.0..1.0).contains(&value) {
                return Err(wrong(field, value, "use 0 up to, but not, 1"));
            }
        }
        if !(adamw.decay.is_finite() && adamw.decay >= 0.0) {
            return Err(wrong("adamw.decay", adamw.decay, "use 0 or more"));
        }
        Ok(())
    }
}
