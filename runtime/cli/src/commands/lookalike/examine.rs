//! What the model says about items, and what that is worth: between phases, on the way, and in the end.

use super::progress::{Scored, Watched};
use super::under_way::{Held, Lookalike, told};
use crate::exit::Failure;
use serde_json::{Value, json};
use sprig_engine::adapter::Adapter;
use sprig_learn::evaluate::evaluate_from_prefix;
use sprig_learn::objective::CausalLm;
use sprig_learn::session::Session;
use sprig_learn::trainer::Trainer;
use sprig_lookalike::{Answers, Goal, Scores, Scribe, answer, judge};
use sprig_mcq::{Asked, Split};
use std::sync::Arc;

impl<'a> Lookalike<'a> {
    /// Looks at the untouched model. False when interrupted.
    pub fn begin(&mut self, held: &Held<'a>) -> Result<bool, Failure> {
        let watched: Vec<Asked> = self.material.watched().cloned().collect();
        let Some(before) = self.answers("before", &watched, held)? else { return Ok(false) };
        self.progress.before = before;
        Ok(true)
    }

    /// Judges a split, family by family; what was answered goes into `dump`, a line of JSON an item. False when interrupted.
    pub fn examine(
        &mut self,
        split: Split,
        held: &Held<'a>,
        mut dump: Option<&mut String>,
    ) -> Result<bool, Failure> {
        let material = self.material;
        for part in material.suite.split(split) {
            let what = format!("{split}, {}", part.family);
            let Some(answers) = self.answers(&what, &part.items, held)? else { return Ok(false) };
            let mut scores = Scores::default();
            for (asked, answers) in part.items.iter().zip(&answers) {
                let one = judge(asked, answers);
                scores.add(&one);
                if let Some(dump) = &mut dump {
                    dump.push_str(&line(split, asked, answers, &one).to_string());
                    dump.push('\n');
                }
            }
            let (phase, family) = (self.progress.phase, part.family);
            self.progress.scores.push(Scored { phase, split, family, scores });
            let event = json!({ "event": "scores", "phase": phase, "split": split, "family": family, "scores": scores });
            self.output.event(event, || {
                let after =
                    if phase == 0 { "before training".to_owned() } else { format!("after phase {phase}") };
                Some(format!("{after}, {split}, {family}: {}", described(&scores)))
            });
        }
        Ok(true)
    }

    /// What the model says about `items`; `None` when interrupted.
    pub fn answers(
        &mut self,
        what: &str,
        items: &[Asked],
        (session, adapter): &Held<'a>,
    ) -> Result<Option<Vec<Answers>>, Failure> {
        let shown = !what.is_empty();
        if shown {
            self.output.begin(what, items.len() as u64, 0);
        }
        let found = self.write(what, items, session, adapter);
        if shown {
            self.output.end();
        }
        found
    }

    fn write(
        &self,
        what: &str,
        items: &[Asked],
        session: &Session<'a>,
        adapter: &Adapter,
    ) -> Result<Option<Vec<Answers>>, Failure> {
        let (material, args) = (self.material, self.args);
        let sizes = (super::capacity(material), material.most);
        let mut scribe = Scribe::new((session.model(), session.ctx()), Some(adapter), self.tokenizer, sizes)?;
        let mut answers = Vec::with_capacity(items.len());
        for asked in items {
            let letters = (&*material.letters, args.seed);
            answers.push(answer(&mut scribe, material.asking, &args.items.tasks, asked, letters)?);
            if !what.is_empty() {
                self.output.at(answers.len() as u64, || what.to_owned());
            }
            if self.interrupt.raised() {
                return Ok(None);
            }
        }
        Ok(Some(answers))
    }

    /// A look within a phase: what gold answers have lost or gained, and what a few questions are answered with.
    pub fn watch(
        &mut self,
        (phase, goal, step): (usize, Goal, u64),
        trainer: &mut Trainer<'a, '_>,
    ) -> Result<(), Failure> {
        let (material, examples) = (self.material, self.planned.tuning.cut.examples);
        let (session, adapter) = trainer.session();
        let learnt_by = session.learn_by(Arc::new(CausalLm));
        let found = evaluate_from_prefix(session, adapter, (&material.watched).into(), examples, |_| true);
        session.learn_by(learnt_by);
        let Some(found) = found? else { return Ok(()) };
        let watched: Vec<Asked> = material.watched().cloned().collect();
        let Some(answers) = self.write("", &watched, session, adapter)? else { return Ok(()) };
        let mut scores = Scores::default();
        watched.iter().zip(&answers).for_each(|(asked, answers)| scores.add(&judge(asked, answers)));
        // Mean over tokens times tokens of an answer: the sum, as the objective has it.
        let gold = -found.loss * found.n as f64 / material.watched.len() as f64;
        if goal == Goal::Supervised {
            self.progress.level = Some(gold);
        }
        let gold = gold - self.progress.level.unwrap_or(gold);
        let look = Watched { phase, goal, step, gold, scores };
        self.output.event(json!({ "event": "watch", "look": look }), || {
            let share = |hits, of| 100.0 * Scores::share(hits, of).unwrap_or(0.0);
            Some(format!(
                "phase {}, {}, step {step}: gold answers {gold:+.2} nats, parsed {:.0} %, key {:.0} %, swapped {:.0} %",
                phase + 1,
                told(goal),
                share(scores.parse, scores.t1),
                share(scores.key, scores.t1),
                share(scores.t1_swap, scores.t1)
            ))
        });
        self.progress.watched.push(look);
        Ok(())
    }
}

fn line(split: Split, asked: &Asked, answers: &Answers, scores: &Scores) -> Value {
    let item = &asked.item;
    json!({
        "split": split, "family": item.family, "index": item.index, "code": asked.code, "stem": item.text,
        "key": item.key.render(), "answer": asked.fault().map(|fault| fault.answer.render()),
        "answers": answers, "scores": scores,
    })
}

/// Scores, for people.
pub fn described(scores: &Scores) -> String {
    let share =
        |hits, of| Scores::share(hits, of).map_or_else(|| "-".to_owned(), |s| format!("{:.1} %", 100.0 * s));
    let mut parts = Vec::new();
    if scores.t1 > 0 {
        parts.push(format!(
            "wrong answers {} as the error leads to (of another error {}, the key {})",
            share(scores.t1_exact, scores.t1),
            share(scores.t1_swap, scores.t1),
            share(scores.key, scores.t1)
        ));
    }
    if scores.t2 > 0 {
        parts.push(format!(
            "errors {} (answered alike again {})",
            share(scores.t2_exact, scores.t2),
            share(scores.cyc_m, scores.t2)
        ));
    }
    if scores.t5 > 0 {
        parts.push(format!("options {}", share(scores.t5_right, scores.t5)));
    }
    parts.join("; ")
}
