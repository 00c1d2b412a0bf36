//! What is asked of a model, in the numbers that decide its memory.

use crate::data::Task;
use crate::optimiser::Rule;
use sprig_budget::Bytes;
use sprig_engine::adapter::AdapterSpec;
use sprig_engine::dual::HEAD_TILE;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, PREFILL, PassSize};
use sprig_ground::names;

/// Data of a run that is only foreseen: room for some 250,000 tokens.
const DATA_ALLOWANCE: Bytes = Bytes::mib(1);

/// What is asked of a model. Made by [`training`](Self::training), [`evaluation`](Self::evaluation) or
/// [`generation`](Self::generation); what only the data tell is filled in once they are read.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Examples of an optimiser step, or of one pass of an evaluation.
    pub batch: usize,
    /// Most tokens of an example, or of a text that is continued.
    pub length: usize,
    /// K; 0 where nothing trains.
    pub tangents: usize,
    /// The adapter.
    pub adapter: Adapted,
    /// Optimiser of the trainer; `None` where nothing trains, and where steps are taken elsewhere (see
    /// `held_elsewhere`).
    pub rule: Option<Rule>,
    /// Heap bytes that the caller holds beside the session and the data, and what for.
    pub held_elsewhere: Vec<(&'static str, Bytes)>,
    /// Most candidate answers of an example; `None` for a language model, which needs all logits of all rows.
    pub candidates: Option<usize>,
    /// Whether a text is continued: keys and values are kept, and so is the tokenizer.
    pub generates: bool,
    /// Bytes of the encoded data sets.
    pub data: Bytes,
    /// What reading them takes beyond that and a usual record: the longest lines.
    pub reading: Bytes,
    /// Whether a prefix cache is kept.
    pub prefix: bool,
    /// What it may use.
    pub means: Means,
}

/// What a workload may use of the machine, beside its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Threads.
    pub threads: usize,
    /// Where the weights may be.
    pub residency: Residency,
}

/// Where weights are between their uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// In memory if the budget allows it.
    Auto,
    /// In memory, or the budget is refused.
    Resident,
    /// In the file: a linear layer at a time is mapped, used and released.
    Streamed,
}

names!(Residency, "place for the weights", [Auto = "auto", Resident = "resident", Streamed = "streamed"]);

/// The adapter of a workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Adapted {
    /// None: the model as it is.
    Plain,
    /// Made from its specification.
    Made(AdapterSpec),
    /// Read from a file, to be used as it is.
    Read {
        /// Its largest rank.
        rank: usize,
        /// Its bytes on the heap.
        bytes: Bytes,
        /// What reading it takes beside them.
        loading: Bytes,
    },
}

/// How a batch is cut to fit the budget; the gradient is the same for every cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tangents carried by one pass.
    pub tangents: usize,
    /// Examples of one pass.
    pub examples: usize,
}

/// Sizes the ladder may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How a batch is cut into passes.
    pub cut: Cut,
    /// Weight rows a thread dequantises at a time.
    pub panel_rows: usize,
    /// Whether weights are streamed.
    pub streamed: bool,
}

impl Workload {
    /// Training of `spec` by `tangents` directions an example. Without a `rule`, steps are taken elsewhere.
    pub fn training(
        spec: AdapterSpec,
        batch: usize,
        tangents: usize,
        rule: Option<Rule>,
        means: Means,
    ) -> Self {
        let prefix = spec.layers.start > 0;
        Self { tangents, rule, prefix, ..Self::evaluation(Adapted::Made(spec), batch, means) }
    }

    /// Judging examples, `batch` at a time.
    pub fn evaluation(adapter: Adapted, batch: usize, means: Means) -> Self {
        Self {
            batch,
            length: 0,
            tangents: 0,
            adapter,
            rule: None,
            held_elsewhere: Vec::new(),
            candidates: None,
            generates: false,
            data: Bytes::ZERO,
            reading: Bytes::ZERO,
            prefix: false,
            means,
        }
    }

    /// Continuing one text up to `length` tokens in all.
    pub fn generation(adapter: Adapted, length: usize, means: Means) -> Self {
        // The one row whose logits are wanted has a place of its own.
        let candidates = Some(0);
        Self { length, candidates, generates: true, ..Self::evaluation(adapter, 1, means) }
    }

    /// The same before any data are read: for `task`, with examples as long as they may be.
    pub fn foreseen(self, task: Task, length: usize) -> Self {
        let candidates = match task {
            Task::Lm => None,
            Task::Choice => Some(26),
            Task::Label => Some(64),
        };
        Self { length, candidates, data: DATA_ALLOWANCE, ..self }
    }
}

impl Adapted {
    /// Largest rank; 0 without an adapter.
    pub fn rank(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Made(spec) => spec.rank,
            Self::Read { rank, .. } => *rank,
        }
    }

    /// (trainable numbers, bytes on the heap in all) on a model of shape `geometry`.
    pub fn sizes(&self, geometry: &Geometry) -> (usize, Bytes) {
        match self {
            Self::Plain => (0, Bytes::ZERO),
            Self::Made(spec) => {
                let (trainable, frozen) = spec.sizes(geometry);
                (trainable, Bytes(4 * (trainable + frozen) as u64))
            }
            Self::Read { bytes, .. } => (0, *bytes),
        }
    }

    /// Bytes on the heap that making it takes beside that, and gives back before anything runs.
    pub fn making(&self, geometry: &Geometry, threads: usize, panel_rows: usize) -> Bytes {
        match self {
            Self::Made(spec) => spec.making_bytes(geometry, threads, panel_rows),
            Self::Read { loading, .. } => *loading,
            Self::Plain => Bytes::ZERO,
        }
    }

    /// The lowest adapted block, where it is known before the adapter is.
    pub fn lowest_block(&self) -> Option<usize> {
        match self {
            Self::Made(spec) => Some(spec.layers.start),
            Self::Plain | Self::Read { .. } => None,
        }
    }

    fn largest_tensor(&self, geometry: &Geometry) -> usize {
        match self {
            Self::Made(spec) => spec.largest_tensor(geometry),
            Self::Plain | Self::Read { .. } => 0,
        }
    }
}

impl Tuning {
    /// The roomiest, fastest choice for `workload`.
    pub fn widest(workload: &Workload) -> Self {
        Self {
            cut: Cut { tangents: workload.tangents, examples: workload.batch },
            panel_rows: Ctx::PANEL_ROWS,
            streamed: workload.means.residency == Residency::Streamed,
        }
    }

    /// Size of the largest pass.
    pub fn pass(&self, geometry: &Geometry, workload: &Workload) -> PassSize {
        let longest = if workload.generates { workload.length.min(PREFILL) } else { workload.length };
        let positions = self.cut.examples * longest;
        PassSize {
            positions,
            tangents: self.cut.tangents,
            wanted: if workload.candidates.is_none() { positions } else { 0 },
            candidates: workload.candidates.unwrap_or(0) * self.cut.examples,
            rank: workload.adapter.rank(),
            largest_tensor: workload.adapter.largest_tensor(geometry),
            threads: workload.means.threads,
            panel_rows: self.panel_rows,
            head_tile: HEAD_TILE,
        }
    }
}
