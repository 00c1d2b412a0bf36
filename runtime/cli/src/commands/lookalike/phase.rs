//! Phases: steps under one optimiser, and what lies between them.

use super::mine::Pairs;
use super::under_way::{Held, Lookalike, told};
use crate::args::LookalikeArgs;
use crate::commands::judging::diverged;
use crate::commands::training::{event, stepped_aside};
use crate::exit::{Exit, Failure};
use serde_json::json;
use sprig_learn::data::{Shuffle, Task as Records};
use sprig_learn::objective::{CausalLm, Objective, Preference};
use sprig_learn::optimiser::Schedule;
use sprig_learn::recipe::defaults::directions;
use sprig_learn::recipe::{Recipe, Records as Format, Single};
use sprig_learn::trainer::{StepReport, Trainer};
use sprig_lookalike::{Goal, Phase, phases};
use sprig_mcq::Split;
use std::sync::Arc;
use std::time::Instant;

impl LookalikeArgs {
    /// The training of phase `n`: its learning rate rises over a tenth of it.
    fn single(&self, n: usize, phase: &Phase) -> Single {
        let (shape, method) = (&self.shape, self.shape.estimator.method());
        let recipe = Recipe {
            records: Format { raw: true, ..Format::new(Records::Lm, shape.len) },
            adapter: shape.adapter(Records::Pair),
            estimator: method,
            tangents: shape.tangents(Records::Pair),
            family: None,
            directions: directions(method),
            difference_step: None,
            variance_limit: None,
            batch: shape.batch,
            dropout: shape.dropout,
            label_loss: shape.label_loss(),
            preferring: shape.preference.preferring(),
            seed: self.of_phase(n),
        };
        let schedule = Schedule {
            peak: self.peak(phase.goal),
            warmup: phase.steps.div_ceil(10),
            steps: phase.steps,
            decay: self.decay,
        };
        Single { recipe, rule: shape.rule(), schedule }
    }
}

impl<'a> Lookalike<'a> {
    /// All of it.
    pub fn all(mut self, mut held: Held<'a>) -> Result<Exit, Failure> {
        let phases = phases(self.args.schedule, self.args.cycles, self.args.steps());
        let mut resumed = self.resume(&mut held.1)?;
        if self.progress.before.is_empty() && !self.begin(&held)? {
            return Ok(self.stopped());
        }
        loop {
            // A run that was stopped may not have come to it.
            if !self.progress.is_judged(Split::Dev) && !self.examine(Split::Dev, &held, None)? {
                return Ok(self.stopped());
            }
            let n = self.progress.phase;
            let Some(phase) = phases.get(n) else { break };
            held = match self.phase((n, phase), held, std::mem::take(&mut resumed))? {
                Some(held) => held,
                None => return Ok(self.stopped()),
            };
            if n == 0 {
                self.keep_first(&held.1)?;
            }
            self.progress.phase = n + 1;
            self.save(&held.1, None)?;
        }
        self.finish(held, &phases)
    }

    /// One phase; `None` when interrupted, after a checkpoint.
    fn phase(
        &mut self,
        (n, phase): (usize, &Phase),
        (mut session, adapter): Held<'a>,
        resumed: bool,
    ) -> Result<Option<Held<'a>>, Failure> {
        let material = self.material;
        let pairs = match phase.goal {
            Goal::Supervised => None,
            Goal::Preferred | Goal::Alternating | Goal::Joint => {
                match self.pairs((n, phase), &mut session, &adapter, resumed)? {
                    Some(pairs) => pairs,
                    None => return Ok(None),
                }
            }
        };
        let own = match (phase.goal, &pairs) {
            (Goal::Preferred | Goal::Joint, Some(pairs)) => &pairs.set,
            _ => &material.supervised,
        };
        let settings = self.args.single(n, phase).settings()?;
        let mut trainer = Trainer::new(session, adapter, own, settings, self.planned.tuning.cut)?;
        if resumed {
            trainer.make_room();
            let found = self.checkpoint()?.ok_or_else(|| self.no_checkpoint())?;
            trainer.restore(found.values, found.state)?;
        }
        let what = format!("phase {}, {}", n + 1, told(phase.goal));
        self.output.begin(&what, phase.steps, trainer.state().step);
        let done = self.steps((n, phase), &mut trainer, pairs.as_ref());
        self.output.end();
        Ok(if done? { Some(trainer.into_parts()) } else { None })
    }

    /// The steps of a phase. False when interrupted, after a checkpoint.
    fn steps(
        &mut self,
        (n, phase): (usize, &Phase),
        trainer: &mut Trainer<'a, '_>,
        pairs: Option<&Pairs>,
    ) -> Result<bool, Failure> {
        let supervised: Arc<dyn Objective> = Arc::new(CausalLm);
        let preferred = pairs.map(|pairs| self.objective(phase.goal, pairs));
        let order = pairs.and_then(|pairs| Shuffle::new(self.args.of_phase(n), pairs.set.len()));
        let (mut losses, mut counted) = (0.0, 0u64);
        while trainer.state().step < phase.steps {
            let step = trainer.state().step;
            if let Some(moved) = self.running.between_steps(self.began.elapsed(), trainer)? {
                let room = moved.reading.room.unwrap_or_default();
                self.output.event(event(&moved, step), || Some(stepped_aside(room, moved.plan.total())));
            }
            let start = Instant::now();
            let report = match (&preferred, pairs, &order) {
                (Some(preferred), Some(pairs), Some(order)) if turns(phase.goal, step) => {
                    trainer.session().0.learn_by(preferred.clone());
                    let ids: Vec<usize> =
                        order.batch(place(phase.goal, step), self.args.shape.batch.as_usize()).collect();
                    trainer.step_on(&pairs.set, &ids)?
                }
                _ => {
                    trainer.session().0.learn_by(supervised.clone());
                    trainer.step()?
                }
            };
            self.progress.step_seconds += start.elapsed().as_secs_f64();
            self.took(n, phase, &report)?;
            if report.step > phase.steps - phase.steps.div_ceil(10) {
                (losses, counted) = (losses + report.loss, counted + 1);
            }
            let (stop, every) = (self.interrupt.raised(), self.args.checkpoint_every);
            if stop || (every > 0 && report.step % every == 0 && report.step < phase.steps) {
                self.save(trainer.adapter(), Some(trainer.state()))?;
            }
            if stop {
                return Ok(false);
            }
            let watch = self.args.watch_every;
            if watch > 0 && report.step % watch == 0 {
                self.watch((n, phase.goal, report.step), trainer)?;
            }
        }
        self.progress.losses.push(losses / counted.max(1) as f64);
        Ok(true)
    }

    /// Counts a step, and tells of it.
    fn took(&mut self, n: usize, phase: &Phase, report: &StepReport) -> Result<(), Failure> {
        self.progress.passes += report.passes;
        self.progress.tokens += report.tokens as u64;
        if !report.loss.is_finite() {
            return Err(diverged(report.step, "of its batch"));
        }
        let StepReport { step, loss, lr, .. } = *report;
        self.output.at(step, || format!("phase {}, {}, loss {loss:.4}", n + 1, told(phase.goal)));
        let event = json!({
            "event": "step", "phase": n + 1, "goal": phase.goal, "step": step, "steps": phase.steps, "loss": loss, "lr": lr,
        });
        self.output.event(event, || None);
        Ok(())
    }

    /// What pairs are learnt by in a phase of `goal`.
    fn objective(&self, goal: Goal, pairs: &Pairs) -> Arc<dyn Objective> {
        let shape = &self.args.shape;
        let objective = shape.preference.preferring().objective(Records::Pair, shape.label_loss());
        let objective = objective
            .unwrap_or_else(|| Preference::new(Default::default(), Default::default(), shape.label_loss()));
        let objective = objective.against(pairs.references.clone());
        let alpha = f64::from(self.args.joint_weight.get());
        Arc::new(match goal {
            // The gold answer's cross-entropy counts 1, as in supervised steps.
            Goal::Joint => {
                let [preference, calibration, _] = objective.weighed();
                objective.weighing([alpha * preference, alpha * calibration, 1.0])
            }
            Goal::Supervised | Goal::Preferred | Goal::Alternating => objective,
        })
    }
}

/// Whether a step is one of preferences.
fn turns(goal: Goal, step: u64) -> bool {
    match goal {
        Goal::Supervised => false,
        Goal::Preferred | Goal::Joint => true,
        Goal::Alternating => step % 2 == 1,
    }
}

/// Which batch of pairs it takes.
fn place(goal: Goal, step: u64) -> u64 {
    if goal == Goal::Alternating { step / 2 } else { step }
}
