//! How a training is judged on its way, and what is said of it.

use super::record::Recorder;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_learn::data::Examples;
use sprig_learn::evaluate::{Evaluation, evaluate};
use sprig_learn::judging::{Judged, Judging, Standing, Word};
use sprig_learn::setting::Setting;
use sprig_learn::trainer::Trainer;
use sprig_learn::trend::Trend;
use sprig_run::apart;

/// What judges a training.
pub enum Judge<'d> {
    /// Examples that are not learnt from.
    Examples {
        /// The examples.
        examples: Examples<'d>,
        /// Whether they are held-out data, and not of the training data.
        held_out: bool,
        /// When they judge.
        judging: Judging,
        /// What they found so far.
        judged: Judged,
    },
    /// Its own losses.
    Losses(Trend),
}

/// How a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// With another step.
    On,
    /// It is done.
    Over,
    /// Somebody asked it to stop, before it was judged.
    Interrupted,
}

impl Judge<'_> {
    /// Judges the adapter of `trainer` as it stands, where that is due in a run of `steps` steps.
    pub fn look(
        &mut self,
        trainer: &mut Trainer<'_, '_>,
        steps: u64,
        output: &Output,
        interrupt: &Interrupt,
        recorder: &mut Recorder,
    ) -> Result<Going, Failure> {
        let step = trainer.state().step;
        let over = if step >= steps { Going::Over } else { Going::On };
        let Self::Examples { examples, held_out, judging, judged } = self else { return Ok(over) };
        if !judging.due(judged, step) {
            return Ok(if judging.is_over(judged) { Going::Over } else { over });
        }
        let go_on = |_| !interrupt.raised();
        let found = apart(|| match *held_out {
            false => trainer.judge(*examples, go_on),
            // The prefix cache is of the training data alone.
            true => {
                let at_a_time = trainer.cut().examples;
                let (session, adapter) = trainer.session();
                evaluate(session, Some(adapter), *examples, at_a_time, go_on)
            }
        });
        let Some(found) = found? else { return Ok(Going::Interrupted) };
        if !found.loss.is_finite() {
            return Err(diverged(step, "of what judges it"));
        }
        recorder.judged(step, &found);
        let word = judged.take(step, found.loss, trainer.adapter().values());
        let Some(standing) = judged.standing else { return Ok(over) };
        let is_over = judging.is_over(judged);
        let event = json!({
            "event": "judged", "step": step, "steps": steps, "result": found, "state": word.name(),
            "best_step": standing.best_step, "best_loss": standing.best,
        });
        let name = if *held_out { "held out" } else { "held back" };
        output.event(event, || Some(told(&standing, &found, (word, name), steps)));
        if is_over && step < steps {
            let event = json!({ "event": "stopped_early", "step": step, "steps": steps });
            output.event(event, || {
                Some(format!("nothing better for {} judgements: stopping at step {step}", standing.since))
            });
        }
        Ok(if is_over { Going::Over } else { over })
    }

    /// Takes the newest step's loss, and says now and then whether losses still fall.
    pub fn follow(&mut self, step: u64, loss: f64, steps: u64, output: &Output) {
        let Self::Losses(trend) = self else { return };
        let Some((mean, word)) = trend.take(loss) else { return };
        let window = trend.window();
        let event =
            json!({ "event": "trend", "step": step, "steps": steps, "loss": mean, "state": word.name() });
        output.event(event, || {
            let how = match word {
                Word::Untouched => String::new(),
                Word::Learning => ", still falling".to_owned(),
                Word::Waiting => ", no longer the lowest".to_owned(),
                Word::Still => format!(", no clear fall since the beginning; {}", remedy(word)),
                Word::Diverging => format!(", above the beginning; {}", remedy(word)),
            };
            Some(format!("step {step} of {steps}: loss {mean:.4} over the last {window} steps{how}"))
        });
    }

    /// Goes back to the best adapter, once all steps are taken.
    pub fn keep_the_best(&self, trainer: &mut Trainer<'_, '_>, output: &Output) {
        let Self::Examples { judged, .. } = self else { return };
        let Some(standing) = judged.standing.filter(|standing| standing.best_step != standing.step) else {
            return;
        };
        trainer.go_back_to(&judged.values);
        let Standing { best, best_step, .. } = standing;
        output.event(json!({ "event": "kept", "step": best_step, "loss": best }), || {
            Some(match best_step {
                0 => format!(
                    "no step was better than what the run began with, which is kept; try another {}",
                    Setting::Lr
                ),
                step => format!("keeping the adapter of step {step}, the best by what judged it"),
            })
        });
    }
}

/// The run ends: `what` is no number any more.
pub fn diverged(step: u64, what: &str) -> Failure {
    let message = format!(
        "training diverged: the loss {what} is not a number at step {step}; lower {} (a checkpoint, if any, is kept)",
        Setting::Lr
    );
    Failure::new(Exit::Diverged, message)
}

/// A judgement, for people.
fn told(standing: &Standing, found: &Evaluation, (word, name): (Word, &str), steps: u64) -> String {
    let Standing { step, first, best, best_step, .. } = *standing;
    let how = match word {
        Word::Untouched => "untouched".to_owned(),
        Word::Learning => "the best so far, still learning".to_owned(),
        Word::Waiting => format!("not below {best:.4} of step {best_step}"),
        Word::Still => format!("it does not move from {first:.4}; {}", remedy(word)),
        Word::Diverging => format!("above {first:.4} of the beginning; {}", remedy(word)),
    };
    let (n, share) = (found.n, 100.0 * found.accuracy);
    format!("step {step} of {steps}: loss {:.4}, accuracy {share:.1} % of {n} {name}, {how}", found.loss)
}

fn remedy(word: Word) -> String {
    match word {
        Word::Diverging => format!("lower {}", Setting::Lr),
        _ => format!(
            "raise {} or {}, or look whether the data tell what is to be learnt",
            Setting::Lr,
            Setting::Steps
        ),
    }
}
