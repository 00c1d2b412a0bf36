//! What fits a budget: of each model the longest records that each way of learning has room for.

use crate::args::{PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use clap::{Args, Command, FromArgMatches};
use serde::Serialize;
use sprig_budget::{BudgetError, Bytes};
use sprig_engine::gguf::Mapped;
use sprig_learn::LearnError;
use sprig_learn::data::Task;
use sprig_learn::estimator::Method;
use sprig_learn::recipe::{Batch, Len, Tangents, Way};
use sprig_learn::workload::{Means, Residency};
use sprig_run::Base;
use std::path::{Path, PathBuf};

/// Most tokens of a record, tried from the longest down.
const LENGTHS: [Len; 8] = [
    Len::of::<8192>(),
    Len::of::<4096>(),
    Len::of::<2048>(),
    Len::of::<1024>(),
    Len::of::<512>(),
    Len::of::<256>(),
    Len::of::<128>(),
    Len::of::<64>(),
];
const BATCHES: [Batch; 2] = [Batch::of::<1>(), Batch::of::<8>()];
const WAYS: [(Method, Option<Tangents>); 3] = [
    (Method::Forward, Some(Tangents::of::<1>())),
    (Method::Forward, Some(Tangents::of::<4>())),
    (Method::Reverse, None),
];

/// What of a model fits.
#[derive(Serialize)]
pub struct Fits {
    model: PathBuf,
    rows: Vec<Row>,
}

/// A way of learning on it, next tokens, with the defaults of `sprig train`.
#[derive(Serialize)]
struct Row {
    estimator: &'static str,
    /// Directions (K); none where no direction is taken.
    tangents: Option<Tangents>,
    /// Examples of a step.
    batch: Batch,
    /// Tokens of the longest record that there is room for; none where there is none for 64.
    len: Option<Len>,
    /// What it would hold then.
    total_bytes: Option<Bytes>,
    /// Whether weights would be read from the file as they are used, a layer at a time.
    streamed: Option<bool>,
    /// Tokens of the longest record for which weights stay in memory.
    resident_len: Option<Len>,
    /// The smallest budget in which records of 64 tokens are learnt.
    smallest_budget_bytes: Bytes,
}

impl Fits {
    /// What fits `budget` of the model in `path`, on `threads` threads.
    pub fn of(path: &Path, budget: Bytes, threads: usize) -> Result<Self, Failure> {
        let map = Mapped::open(path)?;
        let base = Base::open(&map)?;
        let shape = usual()?;
        let mut rows = Vec::new();
        for (method, tangents) in WAYS {
            for batch in BATCHES {
                let shape = ShapeArgs { estimator: Way::Steps(method), tangents, batch, ..shape.clone() };
                rows.push(Row::of(&base, shape, budget, threads)?);
            }
        }
        Ok(Self { model: path.to_owned(), rows })
    }

    /// The way that has room for the longest records, in words; none where nothing fits.
    pub fn roomiest(&self) -> Option<String> {
        let row = self.rows.iter().filter(|row| row.len.is_some()).max_by_key(|row| row.len)?;
        Some(format!("{}, batches of {}, records of up to {} tokens", row.way(), row.batch, row.len?))
    }

    /// The smallest budget in which any way learns.
    pub fn smallest(&self) -> Bytes {
        self.rows.iter().map(|row| row.smallest_budget_bytes).min().unwrap_or_default()
    }

    /// It as lines.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("fits      {}", self.model.display()),
            format!(
                "          {:14} {:>5}  {:>10} {:>10} {:9} {:>13}  {:>8}",
                "estimator", "batch", "tokens", "holds", "weights", "in memory", "smallest"
            ),
        ];
        lines.extend(self.rows.iter().map(Row::line));
        lines
    }
}

impl Row {
    fn of(base: &Base<'_>, shape: ShapeArgs, budget: Bytes, threads: usize) -> Result<Self, Failure> {
        let plan = |len: Len, residency, budget| {
            let spec = shape.spec(Task::Lm, &base.geometry, &[])?;
            let work = shape.workload(Task::Lm, spec, shape.rule(), Means { threads, residency });
            match base.fit(&work.foreseen(Task::Lm, len.as_usize()), budget) {
                Ok(fitted) => Ok(Ok(fitted)),
                Err(LearnError::Budget(BudgetError::TooSmall { smallest, .. })) => Ok(Err(smallest)),
                Err(other) => Err(Failure::from(other)),
            }
        };
        let [.., shortest] = LENGTHS;
        let smallest = plan(shortest, Residency::Auto, Bytes::ZERO)?;
        let mut row = Row {
            estimator: shape.estimator.method().name(),
            tangents: shape.tangents,
            batch: shape.batch,
            len: None,
            total_bytes: None,
            streamed: None,
            resident_len: None,
            smallest_budget_bytes: smallest.map_or_else(|smallest| smallest, |fitted| fitted.plan.total()),
        };
        for len in LENGTHS.into_iter().filter(|len| len.as_usize() <= base.geometry.context) {
            if row.len.is_none()
                && let Ok(fitted) = plan(len, Residency::Auto, budget)?
            {
                (row.len, row.total_bytes) = (Some(len), Some(fitted.plan.total()));
                row.streamed = Some(fitted.tuning.streamed);
            }
            if row.len.is_some() && plan(len, Residency::Resident, budget)?.is_ok() {
                row.resident_len = Some(len);
                break;
            }
        }
        Ok(row)
    }

    fn way(&self) -> String {
        match self.tangents {
            Some(tangents) => format!("{}, K = {tangents}", self.estimator),
            None => self.estimator.to_owned(),
        }
    }

    fn line(&self) -> String {
        let way = self.way();
        let (len, holds) = match (self.len, self.total_bytes) {
            (Some(len), Some(total)) => (format!("up to {len}"), total.to_string()),
            _ => ("none".to_owned(), "-".to_owned()),
        };
        let weights = match self.streamed {
            Some(true) => "streamed",
            Some(false) => "resident",
            None => "-",
        };
        let (batch, smallest) = (self.batch.to_string(), self.smallest_budget_bytes.to_string());
        let resident = self.resident_len.map_or_else(|| "none".to_owned(), |len| format!("up to {len}"));
        format!(
            "          {way:14} {batch:>5}  {len:>10} {holds:>10} {weights:9} {resident:>13}  {smallest:>8}"
        )
    }
}

/// The shape of a step where nothing of it is said.
fn usual() -> Result<ShapeArgs, Failure> {
    let command = PlanArgs::augment_args(Command::new("plan"));
    let found = command.try_get_matches_from(["plan", "--model", "none"]);
    let args = found.and_then(|matches| PlanArgs::from_arg_matches(&matches));
    args.map(|args| args.shape).map_err(|e| Failure::new(Exit::Bug, e))
}
