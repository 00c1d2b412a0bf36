//! The loop of `sprig train`: steps between two evaluations, with a checkpoint to go back to.

use super::eval::{Found, Shown, describe, evaluate_shown};
use super::judging::{Going, Judge, diverged};
use super::record::Recorder;
use crate::exit::{Exit, Failure};
use crate::files::beside;
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::{Value, json};
use sprig_budget::{Bytes, code};
use sprig_engine::adapter::AdapterMeta;
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::DataSet;
use sprig_learn::objective::{Objective, Preference};
use sprig_learn::prefix::PrefixCache;
use sprig_learn::trainer::{StepReport, Trainer};
use sprig_run::{Moved, Running, apart};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Plain forward passes timed in turn with the first steps, so that a ratio of the two sees the same machine.
const FORWARD_SAMPLES: usize = 3;

/// A training under way, and what goes on beside it.
pub struct Training<'m, 'd> {
    /// Most steps to take.
    pub steps: u64,
    /// What judges it on its way.
    pub judge: Judge<'d>,
    /// Steps between two checkpoints; 0 for none but when interrupted.
    pub checkpoint_every: u64,
    /// Where checkpoints are kept.
    pub checkpoint: PathBuf,
    /// What the result depends on.
    pub fingerprint: Fingerprint,
    /// What trains.
    pub trainer: Trainer<'m, 'd>,
    /// Memory between steps.
    pub running: Running<'d>,
    /// When this process began to train.
    pub began: Instant,
    /// Numbers for the record.
    pub recorder: Recorder,
    /// Where events go.
    pub output: Output,
    /// Set when somebody asks the run to stop.
    pub interrupt: Interrupt,
    /// What held-out data are judged by, where that is not what is learnt by.
    pub judging_held_out: Option<Arc<dyn Objective>>,
    /// What is learnt by, where every epoch reckons what its confidences are drawn to.
    pub reckoning: Option<Preference>,
}

impl Training<'_, '_> {
    /// Goes on from the checkpoint, if there is one.
    pub fn resume(&mut self) -> Result<(), Failure> {
        self.trainer.make_room();
        let Some(found) = checkpoint::load(&self.checkpoint, &self.fingerprint)? else {
            self.trainer.start_anew();
            self.tell_of_checkpoint(
                "no_checkpoint",
                "there is no checkpoint {}: beginning with the first step",
            );
            return Ok(());
        };
        let reckoned = self.recorder.restore(&found.notes);
        self.reckoned(reckoned);
        match (&mut self.judge, found.judged) {
            (Judge::Examples { judged, .. }, Some(found)) => *judged = found,
            (Judge::Losses(trend), _) => *trend = self.recorder.trend().unwrap_or(*trend),
            (Judge::Examples { .. }, None) => {}
        }
        self.trainer.restore(found.values, found.state)?;
        let step = self.trainer.state().step;
        self.output.event(serde_json::json!({ "event": "resumed", "step": step }), || {
            Some(format!("resumed at step {step}"))
        });
        Ok(())
    }

    /// Says so where this run will write over the checkpoint of one that was not finished.
    pub fn begin_anew(&self) {
        if self.checkpoint.exists() {
            let text = "{} is the checkpoint of an unfinished run, which this one replaces; to go on with that, stop \
                        this one now and give --resume";
            self.tell_of_checkpoint("replaces_checkpoint", text);
        }
    }

    fn tell_of_checkpoint(&self, event: &str, text: &str) {
        let path = self.checkpoint.display().to_string();
        self.output.event(serde_json::json!({ "event": event, "checkpoint": path }), || {
            Some(text.replace("{}", &path))
        });
    }

    /// Evaluates the untouched model, unless the checkpoint says what that gave: an adapter that was just made
    /// changes nothing. False when interrupted.
    pub fn evaluate_before(&mut self, held_out: Option<&DataSet>) -> Result<bool, Failure> {
        let Some(held_out) = held_out.filter(|_| self.recorder.eval_before.is_none()) else {
            return Ok(true);
        };
        let found = apart(|| self.evaluate(held_out, "before", "before: "))?;
        self.recorder.eval_before = found.map(|found| found.evaluation);
        Ok(self.recorder.eval_before.is_some())
    }

    /// Evaluates the trained model. False when interrupted, after a checkpoint.
    pub fn evaluate_after(&mut self, held_out: Option<&DataSet>) -> Result<bool, Failure> {
        let Some(held_out) = held_out else { return Ok(true) };
        match self.evaluate(held_out, "after", "after:  ")? {
            Some(found) => self.recorder.after(found),
            None => self.save()?,
        }
        Ok(self.recorder.eval_after.is_some())
    }

    fn evaluate(&mut self, held_out: &DataSet, when: &str, label: &str) -> Result<Option<Found>, Failure> {
        let examples = self.trainer.cut().examples;
        let (session, adapter) = self.trainer.session();
        let learnt_by = self.judging_held_out.clone().map(|judge| session.learn_by(judge));
        let shown = Shown { what: when, output: &mut self.output, interrupt: &self.interrupt };
        let found = evaluate_shown(session, Some(adapter), held_out, examples, shown)?;
        learnt_by.map(|objective| session.learn_by(objective));
        if let Some(Found { evaluation: found, .. }) = &found {
            self.output.event(serde_json::json!({ "event": "eval", "when": when, "result": found }), || {
                Some(format!("{label}{}", describe(found)))
            });
        }
        Ok(found)
    }

    /// Takes the steps that are left, and goes back to the best adapter. False when interrupted, after a checkpoint.
    pub fn steps(&mut self) -> Result<bool, Failure> {
        self.output.begin("training", self.steps, self.trainer.state().step);
        code::release(); // what prepared the run, and what looked at a checkpoint
        loop {
            let going = match self.trainer.state().step < self.steps && !self.reckon()? {
                true => Going::Interrupted,
                false => {
                    let Self { judge, trainer, output, interrupt, recorder, .. } = self;
                    judge.look(trainer, self.steps, output, interrupt, recorder)?
                }
            };
            match going {
                Going::On => {}
                Going::Over => break,
                Going::Interrupted => {
                    self.save()?;
                    self.output.end();
                    return Ok(false);
                }
            }
            if let Err(failure) = self.step_aside() {
                self.save()?;
                return Err(failure);
            }
            let report = self.step()?;
            let stop = self.interrupt.raised();
            if stop || (self.checkpoint_every > 0 && report.step % self.checkpoint_every == 0) {
                self.save()?;
            }
            if stop {
                self.output.end();
                return Ok(false);
            }
        }
        self.output.end();
        self.judge.keep_the_best(&mut self.trainer, &self.output);
        Ok(true)
    }

    /// Holds the heap to its limit, and holds less while others need memory.
    fn step_aside(&mut self) -> Result<(), Failure> {
        if let Some(moved) = self.running.between_steps(self.began.elapsed(), &mut self.trainer)? {
            let step = self.trainer.state().step;
            let room = moved.reading.room.unwrap_or_default();
            self.output.event(event(&moved, step), || Some(stepped_aside(room, moved.plan.total())));
            self.recorder.moved(step, &moved.plan);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<StepReport, Failure> {
        let start = Instant::now();
        let report = self.trainer.step()?;
        self.recorder.step(&report, start.elapsed());
        if self.recorder.forwards() < FORWARD_SAMPLES {
            let start = Instant::now();
            self.trainer.plain_forward()?;
            self.recorder.forward(start.elapsed());
        }
        if !report.loss.is_finite() {
            return Err(diverged(report.step, "of its batch"));
        }
        self.output.at(report.step, || self.recorder.status_line(report.loss));
        self.output.event(self.recorder.step_event(&report, self.steps, self.trainer.prefix()), || None);
        self.judge.follow(report.step, report.loss, self.steps, &self.output);
        Ok(report)
    }

    fn save(&mut self) -> Result<(), Failure> {
        apart(|| self.write_checkpoint())
    }

    fn write_checkpoint(&mut self) -> Result<(), Failure> {
        let Self { checkpoint, fingerprint, trainer, recorder, judge, reckoning, .. } = self;
        let (judged, trend) = match judge {
            Judge::Examples { judged, .. } => (Some(&*judged), None),
            Judge::Losses(trend) => (None, Some(*trend)),
        };
        let notes = recorder.notes(trend, reckoning.as_ref().and_then(Preference::reckoned));
        let write = |trainer: &Trainer<'_, '_>| {
            checkpoint::save(
                checkpoint,
                fingerprint,
                trainer.adapter().values(),
                trainer.state(),
                judged,
                &notes,
            )
        };
        // The prefix cache may have taken the disk's last room just before; it only saves time.
        write(trainer).or_else(|problem| {
            let room = trainer.session().0.prefix_mut().is_some_and(PrefixCache::give_up);
            if room { write(trainer) } else { Err(problem) }
        })?;
        Ok(())
    }

    /// Says that the run was interrupted, and where.
    pub fn stopped(&self) -> Exit {
        let step = self.trainer.state().step;
        self.output.event(serde_json::json!({ "event": "interrupted", "step": step }), || {
            Some(format!("interrupted at step {step}; go on with the same command and --resume"))
        });
        Exit::Interrupted
    }

    /// Writes the adapter, after the prefix cache has made room for it.
    pub fn write(&mut self, out: &Path, meta: &AdapterMeta) -> Result<(), Failure> {
        apart(|| self.write_adapter(out, meta))
    }

    fn write_adapter(&mut self, out: &Path, meta: &AdapterMeta) -> Result<(), Failure> {
        match self.trainer.session().0.prefix_mut() {
            Some(cache) => cache.remove(),
            None => drop(std::fs::remove_file(beside(out, "prefix"))), // of a run that was given up
        }
        if let Err(failure) = self.trainer.adapter().write(out, meta) {
            let _ = self.save(); // the steps since the last checkpoint need not be lost with it
            return Err(failure.into());
        }
        Ok(())
    }
}

/// That a run steps aside for others, for scripts.
pub fn event(moved: &Moved, step: u64) -> Value {
    let rungs: Vec<_> = moved.plan.ladder.iter().map(|r| r.why.as_str()).collect();
    json!({
        "event": "pressure", "step": step, "plan_bytes": moved.plan.total(), "ladder": rungs,
        "room_bytes": moved.reading.room, "stalled_percent": moved.reading.stalled,
    })
}

/// The same for people.
pub fn stepped_aside(room: Bytes, holds: Bytes) -> String {
    format!("memory: {room} are free on this machine; the run now holds {holds}")
}
