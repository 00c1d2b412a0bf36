//! One pass over the examples: their rows, into sums and sample. And what all of a read-out takes, for plans.

use super::features::MOST_INPUTS;
use super::sample::{KEPT, Sample};
use super::sums::Sums;
use super::{fit, judge, outward};
use crate::data::{DataSet, Target};
use crate::error::LearnError;
use crate::estimator::Method;
use crate::minibatch::Minibatch;
use crate::session::{LastRows, Session};
use crate::setting::Setting;
use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Module};
use thiserror::Error;

/// Most directions that are kept: reducing the sums of more takes minutes on a small board (4/3 n³ operations).
pub const MOST_DIRECTIONS: usize = 2048;
/// Fewest: with 64 the demo's task is read at 84 %, with all 1,536 at 92 %.
const FEWEST_DIRECTIONS: usize = 64;
/// Examples of a class without which it cannot be judged by the others.
const FEWEST_EXAMPLES: usize = 2;

/// The answers that examples choose among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The token of each.
    pub tokens: Vec<u32>,
    /// Its name, for messages.
    pub names: Vec<String>,
}

/// Why a read-out cannot learn from examples.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// They have no answers to choose among.
    #[error("learns answers that are chosen among a few words, and these examples have none")]
    NoAnswers,
    /// Their records have weights.
    #[error("counts every record alike, and these have weights")]
    Weights,
    /// All have the same answer.
    #[error("needs examples of two or more answers, and all of these have the same answer")]
    OneAnswer,
    /// Too few have one of the answers.
    #[error("needs {FEWEST_EXAMPLES} or more examples of each answer, and {name:?} has {n}")]
    Few {
        /// The answer.
        name: String,
        /// How many have it.
        n: u64,
    },
}

/// Sums and sample as they grow, and the rows of the batch under way.
#[derive(Debug)]
pub struct Collector {
    sums: Sums,
    sample: Sample,
    rows: LastRows,
    whole: Vec<i32>,
    answers: Vec<usize>,
}

/// Refuses a model too wide for exact sums, and one whose last block is not read in closed form: behind a norm of its own the
/// down projection's output is no linear part of the stream.
///
/// # Errors
/// [`LearnError::Settings`], with the limit.
pub fn check(g: &Geometry) -> Result<(), LearnError> {
    let remedy = format!("use {}", Setting::Estimator.to(Method::Reverse));
    let why = if g.family.post_norms {
        format!("a model of the family {} has a norm behind its down projections", g.architecture())
    } else if g.ffn > MOST_INPUTS {
        format!(
            "this model's down projection has {} inputs, and a read-out's sums are exact up to {MOST_INPUTS}",
            g.ffn
        )
    } else {
        return Ok(());
    };
    Err(LearnError::Settings(format!("{why}, so it cannot be learnt by a read-out; {remedy}")))
}

/// Numbers of directions to try, the most first, for a model of shape `g`: all its inputs, then half as many each time.
pub fn kept(g: &Geometry) -> impl Iterator<Item = usize> {
    let halves = std::iter::successors(Some(g.ffn), |m| Some(m.div_ceil(2)));
    let (most, fewest) = (MOST_DIRECTIONS, FEWEST_DIRECTIONS.min(g.ffn));
    halves.skip_while(move |&m| m > most).take_while(move |&m| m >= fewest && m > 1)
}

/// The adapter that a read-out of `classes` answers makes.
pub fn spec(g: &Geometry, classes: usize) -> AdapterSpec {
    AdapterSpec {
        kind: Kind::Lora,
        rank: classes,
        alpha: classes as f32,
        targets: vec![Module::Down],
        layers: g.blocks - 1..g.blocks,
        kept: Vec::new(),
        routing: None,
    }
}

/// What a read-out holds beside passes of `batch` examples, and what for.
pub fn needs(
    g: &Geometry,
    kept: usize,
    classes: usize,
    batch: usize,
    threads: usize,
) -> Vec<(&'static str, Bytes)> {
    let rows = LastRows::bytes(g, batch) + Bytes((batch * (4 * kept + size_of::<usize>())) as u64);
    let panels = Ctx::PANEL_ROWS;
    // The rows of a batch are gone before the fit begins, and so are the walks through the head before it is judged.
    let fitting = fit::bytes(kept, classes, KEPT)
        + judge::bytes(g, KEPT, threads, panels).max(outward::bytes(g, classes, threads, panels))
        + Bytes((8 * classes * g.width + 4 * classes * (g.ffn + g.width)) as u64);
    vec![
        ("read-out's sums", Sums::bytes(kept, classes)),
        ("read-out's sample", Sample::bytes(g)),
        ("read-out's rows, then its fit", rows.max(fitting)),
    ]
}

impl Classes {
    /// Of the examples of `data`.
    ///
    /// # Errors
    /// Examples of which nothing is chosen, or that do not count alike.
    pub fn of(data: &DataSet) -> Result<Self, Unfit> {
        let widest = (0..data.len()).max_by_key(|&i| data.candidates(i)).unwrap_or(0);
        let Target::Label { candidates, .. } = data.example(widest).target else {
            return Err(Unfit::NoAnswers);
        };
        if (0..data.len()).any(|i| data.weight(i) != 1.0) {
            return Err(Unfit::Weights);
        }
        let names = match data.labels() {
            Some(labels) => labels.names().to_vec(),
            None => ('A'..='Z').take(candidates.len()).map(String::from).collect(),
        };
        Ok(Self { tokens: candidates.to_vec(), names })
    }

    /// Examples of each class in `data`, and in `others`.
    pub fn counts(&self, data: &DataSet, others: Option<&Sums>) -> Vec<u64> {
        let mut counts = others.map_or_else(|| vec![0; self.tokens.len()], |sums| sums.counts.clone());
        for i in 0..data.len() {
            if let Target::Label { answer, .. } = data.example(i).target {
                counts[answer] += 1;
            }
        }
        counts
    }

    /// Refuses examples that cannot be learnt from: `counts` are those of each class. With `labels` each has to have some.
    ///
    /// # Errors
    /// What there are too few of.
    pub fn check(&self, counts: &[u64], labels: bool) -> Result<(), Unfit> {
        if counts.iter().filter(|&&n| n > 0).count() < 2 {
            return Err(Unfit::OneAnswer);
        }
        let few = counts.iter().position(|&n| (labels || n > 0) && n < FEWEST_EXAMPLES as u64);
        few.map_or(Ok(()), |few| Err(Unfit::Few { name: self.names[few].clone(), n: counts[few] }))
    }
}

impl Unfit {
    fn remedy(&self) -> String {
        let other = Setting::Estimator.to(Method::Reverse);
        match self {
            Self::NoAnswers => "use task label or choice, or another estimator".to_owned(),
            Self::Weights => format!("leave the weights out, or use {other}"),
            Self::OneAnswer => "add some of another".to_owned(),
            Self::Few { .. } => format!("add some, leave it out, or use {other}"),
        }
    }
}

impl From<Unfit> for LearnError {
    fn from(unfit: Unfit) -> Self {
        Self::Settings(format!("a read-out {unfit}; {}", unfit.remedy()))
    }
}

impl Collector {
    /// Goes on from `sums` and `sample`, in batches of up to `batch`.
    pub fn new(g: &Geometry, sums: Sums, sample: Sample, batch: usize) -> Self {
        Self {
            sample,
            rows: LastRows::new(g, batch),
            whole: vec![0; batch * sums.directions.kept],
            answers: Vec::with_capacity(batch),
            sums,
        }
    }

    /// Takes the examples of `batch`, which follow those taken before.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn take(&mut self, session: &mut Session<'_>, batch: Minibatch<'_>) -> Result<(), LearnError> {
        session.last_rows(batch, None, &mut self.rows)?;
        self.answers.clear();
        let (inputs, m) = (self.sums.directions.inputs, self.sums.directions.kept);
        for (e, (id, example)) in batch.examples().enumerate() {
            let Target::Label { answer, .. } = example.target else { continue };
            self.answers.push(answer);
            let row = &self.rows.gated[e * inputs..][..inputs];
            self.sums.directions.quantise(row, &mut self.whole[e * m..][..m]);
            if self.sample.wants(id) {
                self.sample.take(&self.rows, e, answer);
            }
        }
        self.sums.add(&session.ctx().pool, &self.whole[..batch.len() * m], &self.answers)
    }

    /// What was collected so far.
    pub fn so_far(&self) -> (&Sums, &Sample) {
        (&self.sums, &self.sample)
    }

    /// What was collected.
    pub fn finish(self) -> (Sums, Sample) {
        (self.sums, self.sample)
    }
}
