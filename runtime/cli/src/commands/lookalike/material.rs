//! The questions of a run: items dealt into what is learnt from and what judges, and the examples made of them.

use crate::args::{ItemArgs, LookalikeArgs};
use crate::exit::{Exit, Failure};
use crate::files::scratch;
use serde_json::{Value, json};
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_learn::data::{DataSet, LoadOptions, Overflow, Task as Records};
use sprig_lookalike::{Asking, Task};
use sprig_mcq::{Asked, Fault, Holdout, Manifest, Part, Plan, Split, Suite, Wording};
use std::path::Path;

/// Tokens that an answer may have beyond the longest gold one.
const SPARE: usize = 4;

/// What an item takes with its questions, about: 1.5 KiB were seen.
pub const ITEM_BYTES: u64 = 2 << 10;

/// Items whose answers are looked at on the way, and shown afterwards.
const WATCHED: usize = 16;

/// What is asked.
pub struct Material {
    /// How.
    pub asking: Asking,
    /// All items, by split and family.
    pub suite: Suite,
    /// The items that are learnt from.
    pub train: Vec<Asked>,
    /// Their questions, each with its gold answer.
    pub supervised: DataSet,
    /// Questions of the items that are watched.
    pub watched: DataSet,
    /// Tokens of the letters of options.
    pub letters: Vec<u32>,
    /// Most tokens of a record.
    pub len: usize,
    /// Most tokens of an answer.
    pub most: usize,
}

impl Material {
    /// Makes all of it; records are of `len` tokens at most.
    pub fn make(args: &LookalikeArgs, tokenizer: &Tokenizer) -> Result<Self, Failure> {
        let items = &args.items;
        let suite = plan(items, args.seed).carry_out().map_err(|e| Failure::new(Exit::Usage, e))?;
        let (asking, len) = (Asking::of(tokenizer), args.shape.len.as_usize());
        let of = |split: Split| suite.split(split).flat_map(|part| part.items.iter().cloned());
        let train: Vec<Asked> = of(Split::Train).collect();
        let letters = letters(&items.tasks, tokenizer)?;
        let mut longest = 0;
        let mut questions = |items: &mut dyn Iterator<Item = &Asked>, named: &str| {
            let mut lines = String::new();
            for asked in items {
                let questions =
                    args.items.tasks.iter().filter_map(|task| asking.question(*task, asked, args.seed));
                questions.for_each(|question| {
                    longest = longest.max(tokenizer.encode(&question.answer, Specials::Parse).len());
                    lines.push_str(&question.line());
                    lines.push('\n');
                });
            }
            let overflow = Some(Overflow::into(scratch()));
            let options = LoadOptions { raw: true, overflow, ..LoadOptions::new(Records::Lm, len) };
            let set = DataSet::read(lines.as_bytes(), Path::new(named), &options, tokenizer)?;
            match set.cut() {
                0 => Ok(set),
                cut => {
                    let most = set.len_for(1.0);
                    let message = format!(
                        "{cut} questions are longer than --len {len}, the longest {most} tokens; give --len {most}"
                    );
                    Err(Failure::new(Exit::Usage, message))
                }
            }
        };
        let supervised = questions(&mut train.iter(), "the questions to learn from")?;
        let watched = questions(
            &mut of(Split::Dev).collect::<Vec<_>>().iter().take(WATCHED),
            "the questions to watch",
        )?;
        Ok(Self { asking, train, supervised, watched, letters, len, suite, most: longest + SPARE })
    }

    /// Items that are watched, of all families.
    pub fn watched(&self) -> impl Iterator<Item = &Asked> {
        let parts: Vec<&Part> = self.suite.split(Split::Dev).collect();
        let most = parts.iter().map(|part| part.items.len()).max().unwrap_or(0);
        let turn = move |i: usize| parts.clone().into_iter().filter_map(move |part| part.items.get(i));
        (0..most).flat_map(turn).take(WATCHED)
    }

    /// Tokens of the longest question with its gold answer.
    pub fn longest(&self) -> usize {
        self.supervised.longest().max(self.watched.longest())
    }

    /// Items whose answers are held at once: those of the largest part, and if they are written down those of all tests.
    pub fn tested(&self, all: bool) -> usize {
        let sizes =
            || self.suite.parts.iter().filter(|part| part.split != Split::Train).map(|part| part.items.len());
        sizes().max().unwrap_or(0) + if all { sizes().sum() } else { 0 }
    }

    /// Bytes of the items on the heap.
    pub fn item_bytes(&self) -> usize {
        let fault = |fault: &Fault| size_of::<Fault>() + fault.text.len();
        let one = |asked: &Asked| {
            size_of::<Asked>() + asked.item.text.len() + asked.item.faults.iter().map(fault).sum::<usize>()
        };
        let suite = self.suite.parts.iter().flat_map(|part| &part.items);
        // An eighth for what allocations round up.
        suite.chain(&self.train).map(one).sum::<usize>() * 9 / 8
    }

    /// Seed, counts and hashes.
    pub fn manifest(&self) -> Result<Value, Failure> {
        let manifest = Manifest::of(&self.suite).map_err(|e| Failure::new(Exit::Bug, e))?;
        Ok(json!(manifest))
    }
}

fn plan(items: &ItemArgs, seed: u64) -> Plan {
    let ItemArgs { hold_out_telling, hold_out_error, hold_out_family, .. } = *items;
    Plan {
        families: items.families.clone(),
        holdout: Holdout { template: hold_out_telling, code: hold_out_error, family: hold_out_family },
        wording: if items.paraphrase { Wording::Paraphrased } else { Wording::Closed },
        train: items.train as usize,
        dev: items.dev as usize,
        test: items.test as usize,
        ..Plan::new(seed)
    }
}

/// One token each, where letters are asked for.
fn letters(tasks: &[Task], tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    if !tasks.contains(&Task::Options) {
        return Ok(Vec::new());
    }
    let token = |letter: &str| match tokenizer.encode(letter, Specials::Plain)[..] {
        [id] => Ok(id),
        _ => {
            let message = format!("letter{letter} is not one token of this model; leave t5 out of --tasks");
            Err(Failure::new(Exit::Usage, message))
        }
    };
    [" A", " B", " C", " D"].into_iter().map(token).collect()
}
