//! What differs between two profiles, or two runs: boards, versions or commits against each other.

mod facts;
mod text;

use crate::profile::{Outcome, Point, Profile};
use crate::record::RunRecord;
use serde::Serialize;
use sprig_budget::Bytes;

/// Two documents of one kind, side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// What is not the same of the program, the board, the model and the budget.
    pub facts: Vec<Fact>,
    /// Every setting that either has, those of the first in its order and then those that only the second has.
    pub settings: Vec<Pair>,
}

/// Something that is said of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Of the first.
    pub a: String,
    /// Of the second.
    pub b: String,
}

/// A setting in both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The setting, in words.
    pub setting: String,
    /// Which of them held it: `both`, `a`, `b` or `neither`; a setting that was not tried counts as not held.
    pub fits: &'static str,
    /// What the first saw, where it tried it.
    pub a: Option<Seen>,
    /// What the second saw.
    pub b: Option<Seen>,
    /// Second over first of each figure that both have.
    pub ratio: Ratios,
}

/// What was seen at a setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// `ran`, `refused` or `failed`.
    pub outcome: &'static str,
    /// Bytes planned.
    pub planned_bytes: Option<Bytes>,
    /// Most bytes the process held.
    pub peak_bytes: Option<Bytes>,
    /// Median time of a step.
    pub step_seconds: Option<f64>,
    /// Tokens trained on in a second.
    pub tokens_per_s: Option<f64>,
    /// The smallest budget that would have done, of one that was refused.
    pub smallest_budget_bytes: Option<Bytes>,
    /// Highest temperature while it ran, in °C.
    pub hottest: Option<f64>,
    /// Held-out loss after training, of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Held-out accuracy after training, of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

/// Second over first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ratios {
    /// Of the bytes planned.
    pub planned: Option<f64>,
    /// Of the bytes held.
    pub peak: Option<f64>,
    /// Of the time of a step: above 1 the second is slower.
    pub step: Option<f64>,
}

impl Diff {
    /// Two profiles, setting by setting.
    pub fn profiles(a: &Profile, b: &Profile) -> Diff {
        let found = |of: &Profile, point: &Point| {
            of.points.iter().find(|p| p.setting == point.setting).map(Seen::of_point)
        };
        let of_a = a
            .points
            .iter()
            .map(|point| Pair::new(point.setting.to_string(), Some(Seen::of_point(point)), found(b, point)));
        let only_b = b.points.iter().filter(|point| found(a, point).is_none());
        let of_b =
            only_b.map(|point| Pair::new(point.setting.to_string(), None, Some(Seen::of_point(point))));
        Diff { facts: facts::of_profiles(a, b), settings: of_a.chain(of_b).collect() }
    }

    /// Two runs, whatever their settings; those that differ are among the facts.
    pub fn runs(a: &RunRecord, b: &RunRecord) -> Diff {
        let pair = Pair::new("the whole run".to_owned(), Some(Seen::of_run(a)), Some(Seen::of_run(b)));
        Diff { facts: facts::of_runs(a, b), settings: vec![pair] }
    }

    /// Settings that one of them alone held, though both tried.
    pub fn disputed(&self) -> impl Iterator<Item = &Pair> {
        self.settings
            .iter()
            .filter(|pair| pair.a.is_some() && pair.b.is_some() && matches!(pair.fits, "a" | "b"))
    }

    /// Geometric mean of the ratios of step times, over the settings that both ran.
    pub fn mean_step_ratio(&self) -> Option<f64> {
        let logs: Vec<f64> = self.settings.iter().filter_map(|pair| pair.ratio.step).map(f64::ln).collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    }
}

impl Pair {
    fn new(setting: String, a: Option<Seen>, b: Option<Seen>) -> Self {
        let ran = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.outcome == "ran");
        let fits = match (ran(&a), ran(&b)) {
            (true, true) => "both",
            (true, false) => "a",
            (false, true) => "b",
            (false, false) => "neither",
        };
        let ratio = |of: fn(&Seen) -> Option<f64>| {
            let (a, b) = (a.as_ref().and_then(of)?, b.as_ref().and_then(of)?);
            Some(b / a).filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        };
        let ratio = Ratios {
            planned: ratio(|seen| seen.planned_bytes.map(Bytes::as_mib)),
            peak: ratio(|seen| seen.peak_bytes.map(Bytes::as_mib)),
            step: ratio(|seen| seen.step_seconds),
        };
        Self { setting, fits, a, b, ratio }
    }
}

impl Seen {
    fn of_point(point: &Point) -> Self {
        let hottest = point.heat.hottest;
        match &point.outcome {
            Outcome::Ran(ran) => Self {
                outcome: "ran",
                planned_bytes: Some(ran.plan.total()),
                peak_bytes: Some(ran.measured.peak_rss),
                step_seconds: Some(ran.speed.step_ms_median / 1e3),
                tokens_per_s: Some(ran.speed.tokens_per_s),
                hottest,
                ..Self::default()
            },
            Outcome::Refused { smallest_budget } => {
                Self { outcome: "refused", smallest_budget_bytes: Some(*smallest_budget), ..Self::default() }
            }
            Outcome::Failed { .. } => Self { outcome: "failed", hottest, ..Self::default() },
        }
    }

    fn of_run(run: &RunRecord) -> Self {
        Self {
            outcome: "ran",
            planned_bytes: Some(run.plan.total()),
            peak_bytes: Some(run.measured.peak_rss),
            step_seconds: Some(run.speed.step_ms_median / 1e3),
            tokens_per_s: Some(run.speed.tokens_per_s),
            loss: run.eval_after.as_ref().map(|after| after.loss),
            accuracy: run.eval_after.as_ref().and_then(|after| after.accuracy),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{profiled, sample};

    #[test]
    fn settings_meet_their_like_and_say_who_held_them() {
        let (a, mut b) = (profiled::profile(), profiled::profile());
        let refused = b.points[0].clone();
        b.points.reverse();
        let last = b.points.len() - 1;
        b.points[last].outcome = Outcome::Refused { smallest_budget: Bytes::mib(400) };
        b.points.push(Point {
            setting: crate::profile::Setting { len: 4096, ..refused.setting.clone() },
            ..refused
        });
        if let Outcome::Ran(ran) = &mut b.points[last - 1].outcome {
            ran.speed.step_ms_median *= 2.0;
        }
        let diff = Diff::profiles(&a, &b);
        assert_eq!(diff.settings.len(), a.points.len() + 1);
        assert_eq!((diff.settings[0].fits, diff.settings[1].fits), ("a", "both"));
        assert_eq!(diff.settings[0].b.as_ref().unwrap().smallest_budget_bytes, Some(Bytes::mib(400)));
        assert_eq!(diff.settings[1].ratio, Ratios { planned: Some(1.0), peak: Some(1.0), step: Some(2.0) });
        let only_b = diff.settings.last().unwrap();
        assert!(only_b.a.is_none() && only_b.fits == "b" && only_b.setting.contains("4096"));
        assert_eq!(diff.disputed().count(), 1, "what was not tried is no dispute");
        assert!((diff.mean_step_ratio().unwrap() - 2.0).abs() < 1e-9 || a.ran().count() > 2);
    }

    #[test]
    fn a_profile_against_itself_differs_in_nothing() {
        let a = profiled::profile();
        let diff = Diff::profiles(&a, &a);
        assert!(diff.facts.is_empty(), "{:?}", diff.facts);
        assert!(diff.settings.iter().all(|pair| pair.ratio.step.is_none_or(|ratio| ratio == 1.0)));
        assert_eq!(diff.disputed().count(), 0);
    }

    #[test]
    fn runs_are_compared_whole_with_what_was_set_otherwise() {
        let (a, mut b) = (sample::record(), sample::record());
        b.settings[1].1 = "8".into();
        b.machine.cpu = "Cortex-A53".into();
        b.speed.step_ms_median *= 3.0;
        b.speed.tokens_per_s = 0.0;
        let diff = Diff::runs(&a, &b);
        let names: Vec<_> = diff.facts.iter().map(|fact| fact.name.as_str()).collect();
        assert_eq!(names, ["processor", "tangents"]);
        assert!((diff.settings[0].ratio.step.unwrap() - 3.0).abs() < 1e-9);
        assert!(diff.settings[0].a.as_ref().unwrap().accuracy.is_some());
    }
}
