//! Pairs of a phase: mined with the model as it is, measured, kept in a file beside the adapter.

use super::under_way::{Held, Lookalike};
use crate::args::Anchor;
use crate::exit::{Exit, Failure};
use crate::files::{beside, scratch};
use serde_json::json;
use sprig_budget::process;
use sprig_engine::adapter::Adapter;
use sprig_engine::tokenizer::Specials;
use sprig_ground::PathError;
use sprig_ground::file;
use sprig_learn::checkpoint;
use sprig_learn::data::{DataSet, LoadOptions, Overflow, Shuffle, Task as Records};
use sprig_learn::directions::run_key;
use sprig_learn::objective::{Candidates, Reference, references};
use sprig_learn::sampling::Sampler;
use sprig_learn::session::Session;
use sprig_lookalike::{
    Candidate, Counts, Goal, Kind, MinedPair, Miner, Negatives, Phase, Question, Scribe, Task, Wrong,
    substitute, wrong_answer, wrong_name,
};
use sprig_mcq::Asked;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Pairs that are learnt from.
pub struct Pairs {
    /// As examples.
    pub set: DataSet,
    /// What both answers of each had.
    pub references: Vec<Reference>,
}

impl<'a> Lookalike<'a> {
    /// Mines with the model as it is, and nothing else.
    pub fn only_mine(mut self, (mut session, adapter): Held<'a>) -> Result<Exit, Failure> {
        let phase = Phase { goal: Goal::Preferred, steps: self.args.preference_steps, mines: true };
        let found = self.pairs((0, &phase), &mut session, &adapter, false)?;
        let out = self.args.out.display();
        let Some(pairs) = found else {
            let event = json!({ "event": "interrupted", "phase": 1 });
            self.output.event(event, || Some(format!("interrupted; {out} is as it was")));
            return Ok(Exit::Interrupted);
        };
        let (mined, seconds) = (pairs.map_or(0, |pairs| pairs.set.len()), self.progress.mining_seconds);
        let peak = process::status().peak_rss;
        let event = json!({
            "event": "done", "mined": mined, "counts": self.progress.mined, "out": self.args.out,
            "mining_seconds": seconds, "budget_bytes": self.planned.plan.budget, "peak_rss_bytes": peak,
        });
        self.output.event(event, || Some(format!("{out}: {mined} pairs, mined in {seconds:.0} s")));
        Ok(Exit::Done)
    }

    /// The pairs of phase `n`: `Some(None)` where the model contradicts itself nowhere, `None` when interrupted.
    pub fn pairs(
        &mut self,
        (n, phase): (usize, &Phase),
        session: &mut Session<'a>,
        adapter: &Adapter,
        resumed: bool,
    ) -> Result<Option<Option<Pairs>>, Failure> {
        let path = self.args.kept_pairs();
        let mined = if resumed || !phase.mines {
            self.kept(&path)?
        } else {
            let start = Instant::now();
            let mined = self.mined(n, phase, session, adapter)?;
            self.progress.mining_seconds += start.elapsed().as_secs_f64();
            match mined {
                Some(mined) => mined,
                None => return Ok(None),
            }
        };
        if mined.is_empty() {
            // Later phases and a run that goes on find it so.
            self.keep(&path, mined, &[])?;
            self.output.event(json!({ "event": "nothing_mined" }), || {
                let instead = if self.args.mine_only { "" } else { ": gold answers are learnt instead" };
                Some(format!("the model contradicts itself nowhere{instead}"))
            });
            return Ok(Some(None));
        }
        let set = self.examples(&mined)?;
        let references = match resumed {
            true => mined.iter().map(MinedPair::reference).collect(),
            false => match self.measure(session, adapter, &set)? {
                Some(references) => references,
                None => return Ok(None),
            },
        };
        if !resumed {
            self.keep(&path, mined, &references)?;
        }
        Ok(Some(Some(Pairs { set, references })))
    }

    /// Has the model answer questions until there are as many pairs as the phase visits, or no more questions.
    fn mined(
        &mut self,
        n: usize,
        phase: &Phase,
        session: &Session<'a>,
        adapter: &Adapter,
    ) -> Result<Option<Vec<MinedPair>>, Failure> {
        let (args, material) = (self.args, self.material);
        let wanted = ((phase.steps * u64::from(args.shape.batch.get())) as usize).min(args.pairs());
        let mining = &args.mining;
        let mut miner = Miner {
            most: mining.most as usize,
            key_cap: mining.key_cap,
            kinds: mining.mine.clone(),
            counts: Counts::default(),
        };
        let sizes = (super::capacity(material), material.most);
        let mut scribe = Scribe::new((session.model(), session.ctx()), Some(adapter), self.tokenizer, sizes)?;
        let tasks: Vec<Task> =
            args.items.tasks.iter().copied().filter(|task| *task != Task::Options).collect();
        let questions = (material.train.len() * tasks.len()) as u64;
        let order = Shuffle::new(args.of_phase(n), material.train.len() * tasks.len());
        let mut pairs: Vec<MinedPair> = Vec::new();
        self.output.begin("mining", wanted as u64, 0);
        for number in 0..questions {
            let Some(place) = order.map(|order| order.at(number)).filter(|_| pairs.len() < wanted) else {
                break;
            };
            let (asked, task) = (&material.train[place / tasks.len()], tasks[place % tasks.len()]);
            let Some(question) = material.asking.question(task, asked, args.seed) else { continue };
            let candidates = self.candidates(&mut scribe, (task, asked, &question), (n, number as u32))?;
            miner.most = (mining.most as usize).min(wanted - pairs.len());
            let found = miner.pick(&asked.item, candidates);
            pairs.extend(found.into_iter().map(|(kind, rejected)| MinedPair {
                prompt: question.prompt.clone(),
                chosen: question.answer.clone(),
                rejected,
                task,
                kind,
                family: asked.item.family,
                index: asked.item.index,
                code: asked.code,
                reference: [0.0; 2],
            }));
            self.output.at(pairs.len() as u64, || format!("mining, {} questions", number + 1));
            if self.interrupt.raised() {
                self.output.end();
                return Ok(None);
            }
        }
        self.output.end();
        self.tell(n, &miner.counts);
        Ok(Some(pairs))
    }

    /// Answers to a question: the model's own, or what stands for them.
    fn candidates(
        &self,
        scribe: &mut Scribe<'_>,
        (task, asked, question): (Task, &Asked, &Question),
        (n, number): (usize, u32),
    ) -> Result<Vec<Candidate>, Failure> {
        let (mining, asking) = (&self.args.mining, self.material.asking);
        let key = run_key(self.args.of_phase(n));
        let judged = |text: &str| match (task, asked.fault()) {
            // No example is longer than was planned.
            _ if self.tokenizer.encode(text, Specials::Parse).len() > self.material.most => Wrong::Malformed,
            (Task::Naming, Some(fault)) => wrong_name(&asked.item, &fault.answer, text),
            _ => wrong_answer(&asked.item, asked.code, text),
        };
        if mining.negatives != Negatives::Own {
            let drawn = (0..mining.most).filter_map(|i| {
                let (_, answer) = substitute(mining.negatives, task, asked, (key, number * mining.most + i))?;
                let text = asking.written(&answer);
                let wrong = judged(&text);
                Some(Candidate { text, log_probability: -f64::from(i), wrong })
            });
            return Ok(drawn.collect());
        }
        scribe.read(&question.prompt)?;
        let sampler = Sampler { key, temperature: mining.temperature.get() };
        let mut candidates = Vec::with_capacity(1 + mining.samples as usize);
        for i in 0..=mining.samples {
            let written = match i {
                0 => scribe.greedy()?,
                i => scribe.drawn(&sampler, number.wrapping_mul(mining.samples + 1) + i)?,
            };
            let wrong = if written.text.ends_with('\n') { judged(&written.text) } else { Wrong::Malformed };
            candidates.push(Candidate {
                text: written.text,
                log_probability: written.log_probability,
                wrong,
            });
        }
        Ok(candidates)
    }

    fn tell(&mut self, n: usize, counts: &Counts) {
        self.progress.mined.add(counts);
        self.progress.minings.push(counts.clone());
        let of = |kind: Kind| counts.pairs.get(&kind).copied().unwrap_or(0);
        let event = json!({ "event": "mined", "phase": n + 1, "pairs": counts.total(), "counts": counts });
        self.output.event(event, || {
            let kinds: Vec<String> = Kind::ALL.iter().map(|kind| format!("{} {kind}", of(*kind))).collect();
            let Counts { candidates, consistent, malformed, .. } = counts;
            Some(format!(
                "mined {} pairs ({}) of {candidates} answers, of which {consistent} were as asked and {malformed} malformed",
                counts.total(),
                kinds.join(", ")
            ))
        });
    }

    /// The pairs as examples.
    fn examples(&self, pairs: &[MinedPair]) -> Result<DataSet, Failure> {
        let lines = sprig_lookalike::write(pairs).map_err(|e| Failure::new(Exit::Bug, e))?;
        let options = LoadOptions {
            raw: true,
            overflow: Some(Overflow::into(scratch())),
            ..LoadOptions::new(Records::Pair, self.material.len.max(self.planned.work.length))
        };
        Ok(DataSet::read(lines.as_bytes(), Path::new("the mined pairs"), &options, self.tokenizer)?)
    }

    /// What both answers of each pair have under the policy that preferences are measured against.
    fn measure(
        &mut self,
        session: &mut Session<'a>,
        adapter: &Adapter,
        set: &DataSet,
    ) -> Result<Option<Vec<Reference>>, Failure> {
        let other = match self.args.mining.reference {
            Anchor::Phase => None,
            Anchor::Base => Some(self.begun()?),
            Anchor::Supervised => {
                let mut first = self.begun()?;
                let path = beside(&self.args.out, "first");
                let kept = checkpoint::load(&path, &self.fingerprint)?;
                match kept.filter(|kept| kept.values.len() == first.values().len()) {
                    Some(kept) => first.values_mut().copy_from_slice(&kept.values),
                    None => {
                        let message = format!("{} is gone; begin anew, without --resume", path.display());
                        return Err(Failure::new(Exit::BadFile, message));
                    }
                }
                Some(first)
            }
        };
        let candidates = Candidates::new(2);
        let learnt_by = session.learn_by(Arc::new(candidates.clone()));
        let examples = self.planned.tuning.cut.examples;
        self.output.begin("measuring what is preferred so far", set.len() as u64, 0);
        let (output, interrupt) = (&self.output, &self.interrupt);
        let found =
            references(session, other.as_ref().unwrap_or(adapter), set, (&candidates, examples), |done| {
                output.at(done as u64, String::new);
                !interrupt.raised()
            });
        self.output.end();
        session.learn_by(learnt_by);
        Ok(found?)
    }

    /// Writes the pairs, and remembers one of each kind.
    fn keep(
        &mut self,
        path: &Path,
        mut pairs: Vec<MinedPair>,
        references: &[Reference],
    ) -> Result<(), Failure> {
        for (pair, reference) in pairs.iter_mut().zip(references) {
            pair.reference = [reference.chosen, reference.rejected];
        }
        for pair in &pairs {
            let examples = &mut self.progress.examples;
            if !examples.iter().any(|other| (other.kind, other.task) == (pair.kind, pair.task)) {
                examples.push(pair.clone());
            }
        }
        let text = sprig_lookalike::write(&pairs).map_err(|e| Failure::new(Exit::Diverged, e))?;
        file::write(path, text.as_bytes())?;
        Ok(())
    }

    /// The pairs of an earlier phase, or of this one before it was stopped.
    fn kept(&self, path: &Path) -> Result<Vec<MinedPair>, Failure> {
        let text = std::fs::read_to_string(path).map_err(PathError::at("read", path))?;
        sprig_lookalike::read(&text).map_err(|e| {
            let message = format!("{}: {e}; begin anew, without --resume", path.display());
            Failure::new(Exit::BadFile, message)
        })
    }

    /// Keeps the adapter of the first supervised steps, if preferences are measured against it.
    pub fn keep_first(&self, adapter: &Adapter) -> Result<(), Failure> {
        if self.args.mining.reference != Anchor::Supervised {
            return Ok(());
        }
        let path = beside(&self.args.out, "first");
        self.save_to(&path, adapter, None, "")
    }

    /// Removes what only a run under way needs; the pairs stay, to be looked at.
    pub fn tidy(&self) {
        let _ = std::fs::remove_file(beside(&self.args.out, "ckpt"));
        let _ = std::fs::remove_file(beside(&self.args.out, "first"));
    }
}
