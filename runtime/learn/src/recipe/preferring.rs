//! What is learnt of pairs of answers, as a user says it: by flags or by keys of a settings file, under the same names.

use super::{Fraction, NotNegative, Positive};
use crate::data::Task;
use crate::objective::{Aim, Distance, LabelLoss, Objective, Preference, Terms};
use crate::setting::{Setting, SettingError};

/// An objective over pairs and its terms; what is left out is as [`Terms::default`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preferring {
    /// Which; DPO for pairs and none for other records, if it is left out.
    pub objective: Option<Aim>,
    /// β.
    pub beta: Option<Positive>,
    /// λ.
    pub lam: Option<NotNegative>,
    /// α.
    pub sft_weight: Option<NotNegative>,
    /// ε.
    pub smoothing: Option<Fraction>,
    /// κ.
    pub kappa: Option<NotNegative>,
    /// How far a confidence is from its target.
    pub cal_form: Option<Distance>,
    /// Whether the target is turned about on the other answer.
    pub invert: Option<bool>,
    /// Whether the target is held while the confidence moves.
    pub stopgrad_z: bool,
    /// Whether tokens that both answers begin or end with are left out of what calibrates.
    pub mask_shared: Option<bool>,
}

impl Preferring {
    /// The objective of a training on records of `task`, if it is one over pairs; of labels confidences and cross-entropies
    /// count `vocabulary`.
    pub fn objective(&self, task: Task, vocabulary: LabelLoss) -> Option<Preference> {
        let aim = self.aim(task)?;
        Some(Preference::new(aim, self.terms_of(aim), vocabulary))
    }

    /// Which it is.
    pub fn aim(&self, task: Task) -> Option<Aim> {
        self.objective.or_else(|| (task == Task::Pair).then(Aim::default))
    }

    /// What its parts weigh with records of `task`; nothing where it is none.
    pub fn weights(&self, task: Task) -> Vec<f64> {
        self.objective(task, LabelLoss::default())
            .map(|objective| objective.weights().to_vec())
            .unwrap_or_default()
    }

    /// Whether this makes sense with records of `task`.
    ///
    /// # Errors
    /// An objective over pairs for single texts, or terms of none.
    pub fn check(&self, task: Task) -> Result<(), SettingError> {
        let terms = Self { objective: None, ..*self } != Self::default();
        match self.aim(task) {
            Some(aim) if task == Task::Lm => {
                let problem = format!(
                    "learns from pairs of answers, and records of {} have one; use {}, label or choice",
                    Setting::Task.to(task),
                    Setting::Task.to(Task::Pair)
                );
                Err(Setting::Objective.error(aim, problem))
            }
            None if terms => {
                let (lam, objective) = (Setting::Lam, Setting::Objective);
                let problem = format!(
                    "{lam} and what else an objective over pairs takes need one; name it with {objective}"
                );
                Err(Setting::Objective.error("none", problem))
            }
            _ => Ok(()),
        }
    }

    /// The same in a fleet, whose settings may have tables of `others` beside it.
    ///
    /// # Errors
    /// Nor what is reckoned over the epochs of one device, or what is learnt with two adapters or none.
    pub fn check_of_fleet(&self, task: Task, others: bool) -> Result<(), SettingError> {
        self.check(task)?;
        let problem = match self.aim(task) {
            Some(Aim::Rcft) => "reckons anew in each epoch of one device; train it with sprig train",
            Some(_) if others => {
                "is learnt in steps of one adapter; leave the tables [train.flow] and [train.readout] out"
            }
            _ => return Ok(()),
        };
        Err(Setting::Objective.error(self.aim(task).unwrap_or_default(), problem))
    }

    /// The numbers and switches of `aim`.
    pub fn terms_of(&self, aim: Aim) -> Terms {
        let usual = Terms::usual(aim);
        // As the decimals say it: 0.1 is not the nearest of single precision.
        let exact = |value: Option<f32>, usual| {
            value.map_or(usual, |value| value.to_string().parse().unwrap_or(usual))
        };
        Terms {
            beta: exact(self.beta.map(Positive::get), usual.beta),
            lambda: exact(self.lam.map(NotNegative::get), usual.lambda),
            sft: exact(self.sft_weight.map(NotNegative::get), usual.sft),
            smoothing: exact(self.smoothing.map(Fraction::get), usual.smoothing),
            kappa: exact(self.kappa.map(NotNegative::get), usual.kappa),
            distance: self.cal_form.unwrap_or(usual.distance),
            invert: self.invert.unwrap_or(usual.invert),
            hold_target: self.stopgrad_z,
            mask_shared: self.mask_shared.unwrap_or(usual.mask_shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_published_and_terms_need_an_objective() {
        let none = Preferring::default();
        assert_eq!((none.terms_of(Aim::Dpo), none.aim(Task::Pair)), (Terms::default(), Some(Aim::Dpo)));
        assert!(none.weights(Task::Choice).is_empty() && none.check(Task::Lm).is_ok());
        let catto = Preferring { objective: Some(Aim::Catto), lam: NotNegative::new(0.3), ..none };
        assert_eq!(catto.weights(Task::Choice), [1.0, 0.3, 0.0]);
        let error = catto.check(Task::Lm).unwrap_err();
        assert!(error.problem.contains("task") && error.setting == Setting::Objective, "{error}");
        let error = Preferring { lam: NotNegative::new(0.3), ..none }.check(Task::Label).unwrap_err();
        assert!(error.problem.contains("need one"), "{error}");
    }
}
