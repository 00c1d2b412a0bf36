//! A run under way, and its checkpoint.

use super::material::Material;
use super::progress::Progress;
use crate::args::LookalikeArgs;
use crate::exit::{Exit, Failure};
use crate::files::beside;
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterSpec};
use sprig_engine::tokenizer::Tokenizer;
use sprig_ground::random::mix;
use sprig_learn::checkpoint::{self, Checkpoint, Fingerprint};
use sprig_learn::data::Task as Records;
use sprig_learn::directions::run_key;
use sprig_learn::guard::Guard;
use sprig_learn::recipe::defaults::single_lr;
use sprig_learn::session::Session;
use sprig_learn::trainer::State;
use sprig_lookalike::Goal;
use sprig_run::{Base, Engine, Planned, Running};
use std::path::Path;
use std::time::Instant;

/// A run under way.
pub struct Lookalike<'a> {
    pub args: &'a LookalikeArgs,
    pub base: &'a Base<'a>,
    pub engine: &'a Engine<'a>,
    pub planned: &'a Planned,
    pub spec: &'a AdapterSpec,
    pub tokenizer: &'a Tokenizer,
    pub material: &'a Material,
    pub running: Running<'a>,
    pub fingerprint: Fingerprint,
    /// SHA-256 of the model's file, hexadecimal.
    pub digest: String,
    /// The adapter that it goes on from.
    pub from: Option<&'a AdapterFile>,
    pub progress: Progress,
    pub output: Output,
    pub interrupt: Interrupt,
    /// When this process began to train.
    pub began: Instant,
}

/// What a model learns with.
pub type Held<'a> = (Session<'a>, Adapter);

impl LookalikeArgs {
    /// The highest learning rate of a phase.
    pub fn peak(&self, goal: Goal) -> f32 {
        let usual = || single_lr(self.shape.estimator.method(), self.shape.kind(), Records::Lm).get();
        let supervised = self.lr.map_or_else(usual, |lr| lr.get());
        match goal {
            Goal::Preferred => self.preference_lr.map_or(supervised / 10.0, |lr| lr.get()),
            Goal::Supervised | Goal::Alternating | Goal::Joint => supervised,
        }
    }

    /// A seed of phase `n`.
    pub fn of_phase(&self, n: usize) -> u64 {
        if n == 0 { self.seed } else { mix(self.seed ^ mix(n as u64)) }
    }
}

impl<'a> Lookalike<'a> {
    /// The adapter as it is before the first step.
    pub fn begun(&self) -> Result<Adapter, Failure> {
        let mut adapter = self.engine.adapter(self.spec, run_key(self.args.seed))?;
        if let Some(file) = self.from {
            file.begin(&mut adapter, &self.base.geometry)?;
        }
        Ok(adapter)
    }

    /// Goes on from the checkpoint, if that is asked for and there is one. Whether that is within a phase, whose steps go on
    /// with the optimiser's state from there.
    pub fn resume(&mut self, adapter: &mut Adapter) -> Result<bool, Failure> {
        if !self.args.resume {
            return Ok(false);
        }
        let Some(Checkpoint { values, state, notes, .. }) = self.checkpoint()? else {
            self.output.event(json!({ "event": "no_checkpoint" }), || {
                Some("there is no checkpoint: beginning anew".into())
            });
            return Ok(false);
        };
        let progress = Progress::read(&notes).filter(|_| values.len() == adapter.values().len());
        self.progress = progress.ok_or_else(|| self.no_checkpoint())?;
        adapter.values_mut().copy_from_slice(&values);
        let (phase, step) = (self.progress.phase, state.step);
        self.output.event(json!({ "event": "resumed", "phase": phase, "step": step }), || {
            Some(format!("resumed in phase {} at step {step}", phase + 1))
        });
        Ok(step > 0)
    }

    /// The checkpoint beside the adapter, if there is one.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, Failure> {
        Ok(checkpoint::load(&beside(&self.args.out, "ckpt"), &self.fingerprint)?)
    }

    /// That it is none of such a run.
    pub fn no_checkpoint(&self) -> Failure {
        let path = beside(&self.args.out, "ckpt");
        let message = format!("{}: it is of another kind of run; delete it to start anew", path.display());
        Failure::new(Exit::BadFile, message)
    }

    /// Writes a checkpoint, within a phase where there is a state.
    pub fn save(&self, adapter: &Adapter, state: Option<&State>) -> Result<(), Failure> {
        self.save_to(&beside(&self.args.out, "ckpt"), adapter, state, &self.progress.write())
    }

    /// Writes `adapter` as a checkpoint to `path`.
    pub fn save_to(
        &self,
        path: &Path,
        adapter: &Adapter,
        state: Option<&State>,
        notes: &str,
    ) -> Result<(), Failure> {
        let begun = State { step: 0, moments: Vec::new(), last: Vec::new(), guard: Guard::default() };
        let state = state.unwrap_or(&begun);
        checkpoint::save(path, &self.fingerprint, adapter.values(), state, None, notes)?;
        Ok(())
    }

    /// Says that the run was interrupted, and where.
    pub fn stopped(&self) -> Exit {
        let phase = self.progress.phase + 1;
        self.output.event(json!({ "event": "interrupted", "phase": phase }), || {
            Some(format!("interrupted in phase {phase}; go on with the same command and --resume"))
        });
        Exit::Interrupted
    }
}

/// What a phase trains, for people.
pub fn told(goal: Goal) -> &'static str {
    match goal {
        Goal::Supervised => "gold answers",
        Goal::Preferred => "preferences",
        Goal::Alternating => "either in turn",
        Goal::Joint => "both at once",
    }
}
