//! A read-out under way: the pass, the fit, the evaluations around them, and what is written.

use super::super::elsewhere;
use super::super::eval::{Shown, describe, evaluate_shown};
use super::super::record::{Recorder, Run, Trained};
use super::super::training::{event, stepped_aside};
use crate::args::TrainArgs;
use crate::commands::opening::keep_record;
use crate::exit::{Exit, Failure};
use crate::files::beside;
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::{Value, json};
use sprig_budget::alloc;
use sprig_engine::adapter::{Adapter, AdapterMeta};
use sprig_learn::data::DataSet;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::readout::file::{Origin, Seen, write};
use sprig_learn::readout::{self, Chosen, Classes, Collector, Fit, Sample, Sums, Through};
use sprig_learn::session::Session;
use sprig_run::{Base, Data, Engine, Planned, Running, apart};
use std::time::Instant;

/// What the sums and the adapter are of.
pub struct Keep {
    /// What they are of.
    pub origin: Origin,
    /// Digests of all sets in them.
    pub sets: Vec<String>,
    /// What the adapter says of itself.
    pub meta: AdapterMeta,
}

/// A read-out under way.
pub struct Reading<'a> {
    /// The command line.
    pub args: &'a TrainArgs,
    /// The model's file.
    pub base: &'a Base<'a>,
    /// The model.
    pub engine: &'a Engine<'a>,
    /// What was planned.
    pub planned: &'a Planned,
    /// Its passes.
    pub session: Session<'a>,
    /// Memory between them.
    pub running: Running<'a>,
    /// Numbers for the record.
    pub recorder: Recorder,
    /// Examples of a pass.
    pub examples: usize,
    /// Where events go.
    pub output: Output,
    /// Set when somebody asks it to stop.
    pub interrupt: Interrupt,
    /// When this process began.
    pub began: Instant,
}

impl Reading<'_> {
    /// The whole of it, from the evaluation before to the last event.
    pub fn learn(
        &mut self,
        data: &Data,
        (sums, sample, taken): (Sums, Sample, usize),
        classes: &Classes,
        keep: &Keep,
    ) -> Result<Exit, Failure> {
        let stopped = |kept: &str| Failure::new(Exit::Interrupted, format_args!("interrupted; {kept}"));
        let held_out = data.held_out.as_ref();
        if !self.evaluate(None, held_out, "before", "before: ")? {
            return Err(stopped("nothing was read yet"));
        }
        let (start, known) = (Instant::now(), sums.examples() - taken as u64);
        let batch = self.planned.work.batch;
        let collector = Collector::new(&self.base.geometry, sums, sample, batch);
        let Some(collector) = self.pass(collector, &data.train, taken, keep)? else {
            return Ok(Exit::Interrupted);
        };
        let (chosen, adapter) = self.fit(collector, classes, keep)?;
        apart(|| adapter.write(&self.args.out, &keep.meta))?;
        let seconds = start.elapsed().as_secs_f64();
        if !self.evaluate(Some(&adapter), held_out, "after", "after:  ")? {
            return Err(stopped("the adapter and its sums are written, and not judged"));
        }
        let run = Run {
            args: self.args,
            base: self.base,
            engine: self.engine,
            digest: &keep.origin.model,
            spec: &readout::spec(&self.base.geometry, classes.tokens.len()),
            data,
            plan: &self.planned.plan,
            schedule: self.args.single(data.train.len()).schedule,
            held_back: 0,
        };
        self.done(&run, seconds, known, chosen)?;
        Ok(Exit::Done)
    }

    /// Judges `adapter` on the held-out data, if there are any. False when interrupted.
    fn evaluate(
        &mut self,
        adapter: Option<&Adapter>,
        held_out: Option<&DataSet>,
        when: &str,
        label: &str,
    ) -> Result<bool, Failure> {
        let Some(held_out) = held_out else { return Ok(true) };
        let shown = Shown { what: when, output: &mut self.output, interrupt: &self.interrupt };
        let found = apart(|| evaluate_shown(&mut self.session, adapter, held_out, self.examples, shown))?;
        let Some(found) = found else { return Ok(false) };
        self.output.event(json!({ "event": "eval", "when": when, "result": found.evaluation }), || {
            Some(format!("{label}{}", describe(&found.evaluation)))
        });
        match adapter {
            Some(_) => self.recorder.after(found),
            None => self.recorder.eval_before = Some(found.evaluation),
        }
        Ok(true)
    }

    /// Takes the examples of `data` from the place `done` on; `None` when interrupted, after a checkpoint.
    fn pass(
        &mut self,
        mut collector: Collector,
        data: &DataSet,
        mut done: usize,
        keep: &Keep,
    ) -> Result<Option<Collector>, Failure> {
        let (n, every) = (data.len(), self.args.checkpoint_every);
        if done > 0 {
            self.output.event(json!({ "event": "resumed", "examples": done }), || {
                Some(format!("resumed after {done} examples"))
            });
        }
        let mut passes = 0;
        let mut ids = Vec::with_capacity(self.args.shape.batch.as_usize());
        self.output.begin("reading", n as u64, done as u64);
        while done < n {
            if let Some(moved) = self.running.between_steps(self.began.elapsed(), &mut self.session)? {
                self.examples = moved.tuning.cut.examples;
                let room = moved.reading.room.unwrap_or_default();
                self.output
                    .event(event(&moved, done as u64), || Some(stepped_aside(room, moved.plan.total())));
                self.recorder.moved(done as u64, &moved.plan);
            }
            ids.clear();
            ids.extend(done..n.min(done + self.examples));
            let (batch, start) = (Minibatch::new(data, &ids), Instant::now());
            collector.take(&mut self.session, batch)?;
            done += ids.len();
            self.recorder.pass(done as u64, batch.tokens(), start.elapsed());
            self.output.at(done as u64, || "reading".to_owned());
            self.output.event(json!({ "event": "read", "examples": done, "of": n }), || None);
            passes += 1;
            let stop = self.interrupt.raised();
            if stop || every > 0 && passes % every == 0 {
                let seen = Seen { sets: keep.sets.clone(), taken: Some(done) };
                let (sums, sample) = collector.so_far();
                apart(|| write(&beside(&self.args.out, "ckpt"), &keep.origin, &seen, sums, sample))?;
            }
            if stop {
                self.output.end();
                self.output.event(json!({ "event": "interrupted", "examples": done }), || {
                    Some(format!(
                        "interrupted after {done} examples; go on with the same command and --resume"
                    ))
                });
                return Ok(None);
            }
        }
        self.output.end();
        Ok(Some(collector))
    }

    /// Writes the sums down, and fits the adapter to them.
    fn fit(
        &mut self,
        collector: Collector,
        classes: &Classes,
        keep: &Keep,
    ) -> Result<(Chosen, Adapter), Failure> {
        let Engine { model, ctx, .. } = self.engine;
        let (sums, sample) = collector.finish();
        let seen = Seen { sets: keep.sets.clone(), taken: None };
        apart(|| write(&beside(&self.args.out, "sums"), &keep.origin, &seen, &sums, &sample))?;
        let _ = std::fs::remove_file(beside(&self.args.out, "ckpt"));
        let outward = readout::outward(model, ctx, &classes.tokens)?;
        let through = Through { model, ctx, labels: &classes.tokens, outward: &outward };
        let m = sums.directions.kept as u64;
        self.output.begin("fitting", m, 0);
        let output = &self.output;
        let fit =
            readout::fit(sums, &sample, through, |left| output.at(m - left as u64, || "fitting".to_owned()));
        self.output.end();
        let Fit { down, up, chosen } = fit;
        let mut adapter =
            self.engine.adapter(&readout::spec(&self.base.geometry, classes.tokens.len()), [0; 2])?;
        let (a, b) = adapter.values_mut().split_at_mut(down.len());
        a.copy_from_slice(&down);
        b.copy_from_slice(&up);
        alloc::check()?;
        self.output.event(
            json!({
                "event": "fit", "regularisation": chosen.regularisation, "lift": chosen.lift, "contrast": chosen.contrast,
                "left_out_loss": chosen.loss, "left_out_answered": chosen.labelled, "sample": sample.len(),
            }),
            || {
                Some(format!(
                    "fitted: each of {} examples left out in its turn, loss {:.4}, {:.1} % answered with a label",
                    sample.len(),
                    chosen.loss,
                    100.0 * chosen.labelled
                ))
            },
        );
        Ok((chosen, adapter))
    }

    /// Writes the record, and the last event.
    fn done(&self, run: &Run<'_>, seconds: f64, known: u64, chosen: Chosen) -> Result<(), Failure> {
        let weights = run.spec.sizes(&run.base.geometry).0;
        let record = self.recorder.record(run, &Trained { weights, guard: None, prefix: None });
        keep_record(self.args, &record)?;
        let (passes, out) = (run.data.train.len() as u64, self.args.out.display());
        let mut done = self.recorder.done_event(&record, self.args);
        let more = json!({
            "passes": passes, "train_seconds": seconds, "examples": passes + known, "loss_last": chosen.loss,
        });
        if let (Some(done), Value::Object(more)) = (done.as_object_mut(), more) {
            done.extend(more);
        }
        self.output.event(done, || {
            let (peak, plan) = (record.measured.peak_rss, run.plan);
            Some(format!(
                "wrote {out} and {out}.sums: {} examples in {seconds:.1} s, peak {peak} of {} (planned {})\n{}",
                passes + known,
                plan.budget,
                plan.total(),
                elsewhere::lines(&self.args.model.model, &self.args.out)
            ))
        });
        Ok(())
    }
}
