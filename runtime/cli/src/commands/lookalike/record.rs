//! The end of a run: tests, the adapter, the record, the last line.

use super::examine::described;
use super::page::Page;
use super::progress::object;
use super::under_way::{Held, Lookalike};
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use sprig_budget::{Bytes, process};
use sprig_engine::adapter::{AdapterMeta, Asking};
use sprig_ground::file;
use sprig_learn::data::Task as Records;
use sprig_lookalike::{Answers, Phase, Scores};
use sprig_mcq::{Asked, Split};

impl<'a> Lookalike<'a> {
    /// Tests the adapter, writes it and what is to be said of it.
    pub fn finish(mut self, held: Held<'a>, phases: &[Phase]) -> Result<Exit, Failure> {
        let mut dump = String::new();
        for split in [Split::Parameters, Split::Telling, Split::Error, Split::Family] {
            if !self.examine(split, &held, Some(&mut dump))? {
                return Ok(self.stopped());
            }
        }
        let watched: Vec<Asked> = self.material.watched().cloned().collect();
        let Some(after) = self.answers("after", &watched, &held)? else { return Ok(self.stopped()) };
        let (args, g) = (self.args, &self.base.geometry);
        let asking = Asking { task: Records::Lm.name().to_owned(), raw: true, ..Asking::default() };
        let meta = AdapterMeta { asking: Some(asking), ..AdapterMeta::of(g, &self.digest) };
        held.1.write(&args.out, &meta)?;
        if let Some(path) = &args.dump {
            file::write(path, dump.as_bytes())?;
        }
        let record = self.record(phases, &watched, &after)?;
        if let Some(path) = &args.run {
            file::write(path, record.to_string().as_bytes())?;
        }
        if let Some(path) = &args.page {
            let page = Page { progress: &self.progress, phases, watched: &watched, after: &after };
            file::write(path, page.render(&crate::commands::command_line()).as_bytes())?;
        }
        self.tidy();
        self.done(&record);
        Ok(Exit::Done)
    }

    fn record(&self, phases: &[Phase], watched: &[Asked], after: &[Answers]) -> Result<Value, Failure> {
        let progress = &self.progress;
        let items = watched.iter().zip(&progress.before).zip(after).map(|((asked, before), after)| {
            json!({
                "stem": asked.item.text, "key": asked.item.key.render(), "code": asked.code,
                "answer": asked.fault().map(|fault| fault.answer.render()), "before": before, "after": after,
            })
        });
        let phases = phases.iter().zip(&progress.losses);
        let phases = phases.map(|(phase, loss)| {
            json!({ "goal": phase.goal, "steps": phase.steps, "mines": phase.mines, "loss": loss })
        });
        Ok(json!({
            "command": "lookalike",
            "sprig_version": env!("CARGO_PKG_VERSION"),
            "model_sha256": self.digest,
            "settings": object(self.args, self.spec),
            "manifest": self.material.manifest()?,
            "plan": self.planned.plan,
            "phases": phases.collect::<Vec<_>>(),
            "mined": progress.mined,
            "minings": progress.minings,
            "pairs": progress.examples,
            "scores": progress.scores,
            "watched": progress.watched,
            "items": items.collect::<Vec<_>>(),
            "passes": progress.passes,
            "tokens": progress.tokens,
            "step_seconds": progress.step_seconds,
            "mining_seconds": progress.mining_seconds,
            "peak_rss_bytes": process::status().peak_rss,
        }))
    }

    /// The last line: of new parameters, all families together.
    fn done(&self, record: &Value) {
        let scores = self.progress.last(Split::Parameters);
        let of = |hits, of| Scores::share(hits, of);
        let event = json!({
            "event": "done",
            "t1_exact": of(scores.t1_exact, scores.t1),
            "t1_near": of(scores.t1_near, scores.t1),
            "t1_swap": of(scores.t1_swap, scores.t1),
            "t2_exact": of(scores.t2_exact, scores.t2),
            "cyc_m": of(scores.cyc_m, scores.t2),
            "key": of(scores.key, scores.t1),
            "parse": of(scores.parse, scores.t1),
            "t5": of(scores.t5_right, scores.t5),
            "mined": self.progress.mined.total(),
            "passes": record["passes"],
            "step_seconds": record["step_seconds"],
            "mining_seconds": record["mining_seconds"],
            "budget_bytes": self.planned.plan.budget,
            "peak_rss_bytes": record["peak_rss_bytes"],
            "out": self.args.out,
        });
        self.output.event(event, || {
            let peak = process::status().peak_rss.unwrap_or(Bytes::ZERO);
            Some(format!(
                "wrote {}: {}; {} pairs mined; peak {peak} of {}",
                self.args.out.display(),
                described(&scores),
                self.progress.mined.total(),
                self.planned.plan.budget
            ))
        });
    }
}
