//! What is learnt of pairs of answers.

use super::choice::choice;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sprig_learn::data::Task;
use sprig_learn::objective::{Aim, Distance, Terms};
use sprig_learn::recipe::{Fraction, NotNegative, Positive, Preferring};

/// An objective over pairs: records of task pair, or a right and a wrong answer of a label or choice.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Preferences")]
pub struct PreferenceArgs {
    /// What is learnt of pairs of answers, given as {prompt, chosen, rejected}, or made of labels and choices: the right answer
    /// against the likeliest wrong one. sft = the chosen answer; dpo = direct preference optimisation; catto = dpo and
    /// a confidence that tells how right an answer is; rcft = the chosen answer and confidences drawn to the accuracy of
    /// answers like it, usually after another (--from); dpo-bce, cal-dpo, penalty = to compare with [default: dpo for
    /// task pair]
    #[arg(long, value_parser = choice::<Aim>())]
    pub objective: Option<Aim>,
    /// Temperature of dpo [default: 0.1]
    #[arg(long, value_name = "B")]
    pub beta: Option<Positive>,
    /// Weight of what calibrates: of catto, dpo-bce, cal-dpo, penalty and rcft [default: 0.1, of rcft 1]
    #[arg(long, value_name = "X")]
    pub lam: Option<NotNegative>,
    /// Weight of the chosen answer's cross-entropy beside the preference [default: 0]
    #[arg(long, value_name = "X")]
    pub sft_weight: Option<NotNegative>,
    /// How often a preference is the wrong way round: label smoothing of dpo [default: 0]
    #[arg(long, value_name = "E")]
    pub smoothing: Option<Fraction>,
    /// Slope of catto's target over the margin of the answer's token; beyond 2 it sharpens [default: 1]
    #[arg(long, value_name = "K")]
    pub kappa: Option<NotNegative>,
    /// How far a confidence is from catto's target [default: l1]
    #[arg(long, value_parser = choice::<Distance>())]
    pub cal_form: Option<Distance>,
    /// Whether the target is turned about on the answer that is not preferred [default: on]
    #[arg(long, value_parser = switch())]
    pub invert: Option<bool>,
    /// Hold catto's target while the confidence moves
    #[arg(long)]
    pub stopgrad_z: bool,
    /// Whether tokens that both answers begin or end with are left out of what calibrates [default: on]
    #[arg(long, value_parser = switch())]
    pub mask_shared: Option<bool>,
}

impl PreferenceArgs {
    /// The same as a settings file would have it.
    pub fn preferring(&self) -> Preferring {
        let Self { objective, beta, lam, sft_weight, smoothing, kappa, .. } = *self;
        let Self { cal_form, invert, stopgrad_z, mask_shared, .. } = *self;
        Preferring {
            objective,
            beta,
            lam,
            sft_weight,
            smoothing,
            kappa,
            cal_form,
            invert,
            stopgrad_z,
            mask_shared,
        }
    }

    /// Under the names of the flags, for a checkpoint and a record.
    pub fn settings(&self, task: Task) -> Vec<(&'static str, String)> {
        let preferring = self.preferring();
        let Some(aim) = preferring.aim(task) else { return Vec::new() };
        let Terms { beta, lambda, sft, smoothing, kappa, distance, invert, hold_target, mask_shared } =
            preferring.terms_of(aim);
        vec![
            ("objective", aim.to_string()),
            ("beta", beta.to_string()),
            ("lam", lambda.to_string()),
            ("sft-weight", sft.to_string()),
            ("smoothing", smoothing.to_string()),
            ("kappa", kappa.to_string()),
            ("cal-form", distance.to_string()),
            ("invert", invert.to_string()),
            ("stopgrad-z", hold_target.to_string()),
            ("mask-shared", mask_shared.to_string()),
        ]
    }
}

/// Parses `on` or `off`.
fn switch() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|name| name == "on")
}
